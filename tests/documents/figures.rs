//! The README's figures are those of runs that are kept.

use std::collections::BTreeMap;

use super::{document, rows};

const HEAD: &str = "| | Portcullis | `jwt_authn` | `jwt_authn` with its cache |";

/// A row of the README, and the row of `gate.md` that it shows.
const SCENARIOS: [(&str, &str); 7] = [
    (
        "known token, one of 10,000, ES256",
        "warm, 10,000 tokens, ES256",
    ),
    (
        "known token, one of 10,000, RS256",
        "warm, 10,000 tokens, RS256",
    ),
    ("new token, ES256", "cold, ES256"),
    ("new token, RS256", "cold, RS256"),
    ("new token, EdDSA", "cold, EdDSA"),
    ("forged token, RS256", "forged, RS256"),
    (
        "95 % known, through an upstream, RS256",
        "mix, 95 % warm, through an upstream, RS256",
    ),
];

#[test]
fn the_figures_of_the_readme_are_those_of_the_kept_runs() {
    let mut expected = BTreeMap::new();
    let gate = document("tests/bench/results/gate.md");
    let head = "| CPU added to Envoy for a request, µs | empty Wasm filter | jwt_authn | jwt_authn, cache | Portcullis |";
    let measured = rows(&gate, head);
    for (label, scenario) in SCENARIOS {
        let row = measured.iter().find(|row| row[0] == scenario).unwrap();
        expected.insert(
            label.to_owned(),
            [&row[4], &row[2], &row[3]].map(String::clone),
        );
    }
    let starts = rows(&gate, "| | first verdict, ms | memory, MiB |");
    let start = |name: &str, column: usize| {
        let row = starts.iter().find(|row| row[0] == name).unwrap();
        row[column].split(' ').next().unwrap().to_owned()
    };
    for (label, column) in [
        ("start of Envoy to the first verdict, ms", 1),
        ("memory at rest, MiB", 2),
    ] {
        let figures = ["Portcullis", "jwt_authn"].map(|name| start(name, column));
        let [own, native] = figures;
        expected.insert(label.to_owned(), [own, native, "not measured".to_owned()]);
    }
    let mut shown = BTreeMap::new();
    for row in rows(&document("README.md"), HEAD) {
        let [label, figures @ ..] = row.as_slice() else {
            panic!("an empty row");
        };
        shown.insert(
            label.clone(),
            <[String; 3]>::try_from(figures.to_vec()).unwrap(),
        );
    }
    let revoked = shown.remove("revoked → refused by every worker of 8 Envoys, ms (p50, p99)");
    assert_eq!(shown, expected);

    let revoked = revoked.unwrap()[0].clone();
    let (p50, p99) = revoked.split_once(", ").unwrap();
    let run = document("tests/bench/results/revocation-2026-11-25.md");
    for (name, figure) in [("p50", p50), ("p99", p99)] {
        let mut lines = run.lines().filter(|line| line.starts_with("8 Envoys"));
        let is_it = |line: &str| line.contains(name) && line.contains(&format!(" {figure}."));
        assert!(lines.any(is_it), "{name}: {figure}");
    }
}
