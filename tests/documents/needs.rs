//! The table of what applications need of their sessions: every need has a row, and every key, option and
//! command in it exists.

use std::collections::BTreeSet;

use portcullis::gate::{Action, Reason};
use serde_json::Value;

use super::support::program;
use super::{document, rows};

const HEAD: &str = "| need | what does it here |";

/// A word of each need, in the order of the table.
const NEEDS: [&str; 15] = [
    "persistence",
    "expiry",
    "refresh",
    "stateless and stateful",
    "hijacking",
    "several devices",
    "logout",
    "inactivity",
    "revocation",
    "network trouble",
    "distributed cache",
    "load balancing",
    "analytics",
    "anomalies",
    "graceful expiry",
];

/// What is of other papers or of Envoy: claims, headers, members of answers.
const OF_OTHERS: [&str; 4] = ["exp", "cnf", "x-session-expires-at", "retry_after"];

#[test]
fn every_need_has_a_row() {
    let rows = rows(&document("envoy/README.md"), HEAD);
    assert_eq!(rows.len(), NEEDS.len());
    for (row, need) in rows.iter().zip(NEEDS) {
        assert!(row[0].starts_with(need), "{need}: {row:?}");
        let does_it = row[1].contains('`') || row[1].contains("](");
        assert!(does_it, "no key, command or link: {row:?}");
    }
}

/// Keys of the filter and of the authority's file, each without what is above it as well.
fn keys() -> BTreeSet<String> {
    let list: Vec<Value> = serde_json::from_str(&document("envoy/configuration.json")).unwrap();
    let mut keys = BTreeSet::new();
    let paths = list.iter().filter_map(|row| row["key"].as_str());
    for path in paths {
        add(path, &mut keys);
    }
    let schema = serde_json::from_str(&document("envoy/authority.schema.json")).unwrap();
    add_properties(&schema, &schema, "", &mut keys);
    keys
}

fn add(path: &str, keys: &mut BTreeSet<String>) {
    let mut rest = Some(path);
    while let Some(end) = rest {
        keys.insert(end.to_owned());
        rest = end.split_once('.').map(|(_, below)| below);
    }
}

fn add_properties(schema: &Value, at: &Value, path: &str, keys: &mut BTreeSet<String>) {
    for (name, inner) in at["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}{name}");
        add(&path, keys);
        add_properties(schema, inner, &format!("{path}."), keys);
    }
    for below in ["items", "additionalProperties"] {
        if let Some(inner) = at.get(below) {
            add_properties(schema, inner, path, keys);
        }
    }
    if let Some(reference) = at["$ref"].as_str() {
        let inner = schema.pointer(reference.trim_start_matches('#')).unwrap();
        add_properties(schema, inner, path, keys);
    }
}

#[test]
fn what_does_it_exists() {
    let keys = keys();
    assert!(keys.contains("session_policy.idle_timeout"), "{keys:?}");
    let actions = [Action::Refresh, Action::SignIn, Action::Wait, Action::None];
    let is_told = |word: &str| {
        actions.iter().any(|action| action.label() == word)
            || Reason::ALL
                .iter()
                .any(|reason| reason.problem().code == word)
    };
    let (mut commands, mut found) = (0, 0);
    for row in rows(&document("envoy/README.md"), HEAD) {
        let mut of_revoke = false;
        for span in row[1].split('`').skip(1).step_by(2) {
            if let Some(command) = span.strip_prefix("portcullis ") {
                runs(command);
                of_revoke = command.starts_with("revoke ");
                commands += 1;
                continue;
            }
            let key = span.split(':').next().unwrap();
            if keys.contains(key) {
                found += 1;
                continue;
            }
            if of_revoke && !is_told(span) {
                runs(&format!("revoke {span}"));
                continue;
            }
            assert!(is_told(span) || OF_OTHERS.contains(&span), "{span}");
        }
    }
    assert!(commands >= 6 && found >= 12, "{commands}, {found}");
}

/// Whether the program has this command with these options.
fn runs(command: &str) {
    let arguments: Vec<_> = command.split(' ').collect();
    let help = |arguments: &[&str]| {
        let mut program = std::process::Command::new(program());
        let output = program.args(arguments).arg("--help").output().unwrap();
        assert!(output.status.success(), "{command}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = help(&arguments[..1]);
    // `redis://…` is a value that the reader chooses.
    for word in arguments[1..].iter().filter(|word| !word.contains('…')) {
        // An option, or a kind of name, which the help lists.
        let is_listed = text
            .split([' ', ',', '\n', ']', '[', ':', '='])
            .any(|listed| listed == *word);
        assert!(is_listed, "{command}: {word} is not in {text}");
    }
}
