//! The page for app developers, held to what clients are told.

use std::collections::BTreeSet;

use portcullis::gate::{Action, Problem, Reason};
use portcullis::revocation::Cause;
use regex_lite::Regex;

use super::{document, files, rows};

const PAGE: &str = "envoy/applications.md";

fn problems() -> impl Iterator<Item = Problem> {
    Reason::ALL.into_iter().map(Reason::problem)
}

fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

#[test]
fn every_action_has_a_row_with_the_statuses_that_it_comes_with() {
    let told: BTreeSet<_> = rows(&document(PAGE), "| `action` | status | what to do |")
        .iter()
        .map(|row| {
            let number = Regex::new("[0-9]+").unwrap();
            let statuses = number.find_iter(&row[1]).map(|found| found.as_str());
            let statuses: BTreeSet<u16> = statuses.map(|text| text.parse().unwrap()).collect();
            (row[0].trim_matches('`').to_owned(), statuses)
        })
        .collect();
    let actions = [
        Action::Refresh,
        Action::SignIn,
        Action::StepUp,
        Action::Retry,
        Action::Wait,
        Action::None,
    ];
    assert!(problems().all(|problem| actions.contains(&problem.action)));
    let given: BTreeSet<_> = actions
        .into_iter()
        .map(|action| {
            let of_action = problems().filter(|problem| problem.action == action);
            let statuses: BTreeSet<_> = of_action.map(|problem| problem.status).collect();
            (action.label().to_owned(), statuses)
        })
        .collect();
    assert_eq!(told, given);
}

#[test]
fn every_reason_for_which_a_session_ends_is_told_and_no_other() {
    let table = rows(&document(PAGE), "| `code` | what happened |");
    let told: BTreeSet<_> = table.iter().map(|row| row[0].trim_matches('`')).collect();
    let given = Cause::ALL.map(|cause| Reason::from(cause).problem().code);
    assert_eq!(told, BTreeSet::from(given));
}

// "401 `code`", "**503** `code`", "401 with `action: "sign_in"` (`code`, …)".
#[test]
fn a_code_that_is_named_with_a_status_comes_with_it() {
    let text = document(PAGE);
    let named = Regex::new(r"\b([45][0-9]{2})\**:? `([a-z_]+)`").unwrap();
    let mut count = 0;
    for found in named.captures_iter(&text) {
        let (status, code) = (found[1].parse::<u16>().unwrap(), &found[2]);
        let is_told = problems().any(|problem| problem.code == code && problem.status == status);
        assert!(is_told, "{status} {code}");
        count += 1;
    }
    assert!(count >= 8, "{count}");
    let with_action = Regex::new("`action: \"([a-z_]+)\"` \\(([^)]*)\\)").unwrap();
    for found in with_action.captures_iter(&text) {
        for code in spans(&found[2]).filter(|code| *code != "…") {
            let is_told = problems()
                .any(|problem| problem.code == code && problem.action.label() == &found[1]);
            assert!(is_told, "{code} with {}", &found[1]);
        }
    }
    assert!(with_action.is_match(&text));
}

/// Everything between backticks that ends as codes do.
#[test]
fn every_word_that_looks_like_a_code_is_one() {
    let text = document(PAGE);
    let (codes, mut count) = (problems().map(|problem| problem.code), 0);
    let codes: BTreeSet<_> = codes.collect();
    let begins = [
        "token_",
        "session_",
        "sign_out_",
        "sessions_",
        "revocation_",
        "keys_",
    ];
    for span in spans(&text) {
        let is_word = span
            .bytes()
            .all(|byte| byte == b'_' || byte.is_ascii_lowercase());
        if is_word && begins.iter().any(|begin| span.starts_with(begin)) {
            assert!(codes.contains(span), "{span}");
            count += 1;
        }
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn every_client_to_start_from_acts_on_every_action() {
    let mut count = 0;
    for extension in ["ts", "kt", "swift"] {
        for path in files("envoy/clients", extension) {
            let text = std::fs::read_to_string(&path).unwrap();
            for action in [Action::Refresh, Action::SignIn, Action::Wait] {
                let word = format!("\"{}\"", action.label());
                assert!(text.contains(&word), "{}: {word}", path.display());
            }
            count += 1;
        }
    }
    assert_eq!(count, 3);
}
