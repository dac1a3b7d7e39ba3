//! The table of the documents that lists the keys that are read.

use std::collections::BTreeSet;

use super::{Reading, Variable, complete, policy};

/// The table in `envoy/configuration.md` is what operators read; the code is what they get.
#[test]
fn the_documents_list_exactly_the_keys_that_are_read() {
    let configuration = complete();
    let reading = Reading::new(&configuration, &|_| Variable::Unknown);
    policy(reading.root()).unwrap();
    let asked = reading.asked();
    let read: BTreeSet<_> = asked.iter().map(|key| as_documented(key)).collect();

    let document = include_str!("../../../../envoy/configuration.md");
    let (_, table) = document.split_once("<!-- configuration keys -->").unwrap();
    let (table, _) = table
        .split_once("<!-- end of configuration keys -->")
        .unwrap();
    let rows = table
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<_> = rows.map(|(key, _)| key.to_owned()).collect();
    assert_eq!(documented, read);
}

/// Names that the operator chooses, indices of lists, and what may be in several objects, as they
/// are written in `envoy/configuration.md`.
pub(super) fn as_documented(key: &str) -> String {
    let mut key = key.to_owned();
    for digit in 0..10 {
        key = key.replace(&format!("[{digit}]"), "[]");
    }
    for (name, written) in [
        ("providers.idp", "providers.<name>"),
        ("providers.remote", "providers.<name>"),
        ("providers.searched", "providers.<name>"),
        ("requirement_map.some", "requirement_map.<name>"),
        (
            "filter_state_rules.requires.some",
            "filter_state_rules.requires.<name>",
        ),
        (
            "requirement_by_route_name.assets",
            "requirement_by_route_name.<route>",
        ),
    ] {
        key = key.replace(name, written);
    }
    key = key.replace("[\"@type\"]", "@type");
    for (suffix, written) in [
        ("safe_regex", "<regex>"),
        ("safe_regex_match", "<regex>"),
        ("string_match", "<text>"),
        ("subjects", "<text>"),
        ("issuer_pattern", "<text>"),
        ("requirements[]", "<requirement>"),
        ("filter_state_rules.requires.<name>", "<requirement>"),
        ("requires", "<requirement>"),
        ("requirement_map.<name>", "<requirement>"),
        ("match.headers[]", "<header>"),
        ("match.query_parameters[]", "<parameter>"),
    ] {
        if let Some((_, rest)) = key.rsplit_once(&format!("{suffix}.")) {
            return format!("{written}.{rest}");
        }
    }
    key
}
