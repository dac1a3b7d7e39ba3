//! The README's figures are those of runs that are kept.

use std::collections::BTreeMap;

use super::{document, rows};

const CI: &str = include_str!("../../.ci/run");

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

/// What `signals.md` says of a flood, and the figures of the run that it links.
#[test]
fn the_figures_of_a_flood_are_those_of_the_kept_run() {
    let run = document("tests/bench/results/signals-2026-11-30.md");
    let page = document("envoy/signals.md");
    let measured = page
        .lines()
        .find(|line| line.starts_with("[Measured](../tests/bench/results/signals-2026-11-30.md)"));
    let measured = measured.unwrap();
    for (name, figure, shown) in [
        ("forged signals", "4727 /s", "4,700 forged signals a second"),
        (
            "flood: revocation answered, p99 later by",
            "3.76 ms",
            "answer is 4 ms later",
        ),
        (
            "flood: revocation refused by every worker, p99 later by",
            "7.73 ms",
            "worker 8 ms",
        ),
        (
            "flood: logout token of another issuer → answered: longest",
            "1008.59 ms",
            "the slowest after a second",
        ),
        (
            "8 Envoys, logout token sent → refused by every worker: p99",
            "127.91 ms",
            "within 128 ms",
        ),
    ] {
        let is_it = |line: &str| line.starts_with(name) && line.contains(figure);
        assert!(run.lines().any(is_it), "{name}: {figure}");
        assert!(measured.contains(shown), "{shown}");
    }
}

/// What `database.md` says of throughput, and the figures of the run that it links.
#[test]
fn the_figures_of_authorities_on_a_database_are_those_of_the_kept_run() {
    const RUN: &str = "tests/bench/results/replicas-2026-11-30.md";
    let run = document(RUN);
    let page = document("envoy/database.md");
    let measured = page.lines().find(|line| line.contains(RUN)).unwrap();
    for (name, figure, shown) in [
        (
            "1 on a database: durable single revocations, 256 clients",
            "20738 /s",
            "some 20,000 a second",
        ),
        (
            "3 on a database: durable single revocations, 256 clients",
            "14934 /s",
            "some 15,000",
        ),
        (
            "1000000 imported into a database",
            "58376 /s",
            "some 58,000 lines a second",
        ),
        (
            "10000000 in a database: imported a second",
            "31777.97",
            "32,000 a second over ten million",
        ),
        (
            "10000000 in a database: bytes of the database for each",
            "321.57 bytes",
            "some 320 bytes",
        ),
        (
            "10000000 in a database: authority killed and ready again",
            "10.29 s",
            "some ten seconds after a start",
        ),
        (
            "10000000 in a database: authority's memory",
            "637.45 MiB",
            "some 640 MiB",
        ),
    ] {
        let is_it = |line: &str| line.starts_with(name) && line.contains(figure);
        assert!(run.lines().any(is_it), "{name}: {figure}");
        assert!(measured.contains(shown), "{shown}");
    }
}

/// What `operations.md` says of an authority's memory, and the figures of the run that it links.
#[test]
fn the_figures_of_capacity_are_those_of_the_kept_run() {
    const RUN: &str = "tests/bench/results/revocation-2026-11-25.md";
    let run = document(RUN);
    let page = document("envoy/operations.md");
    let row = page.lines().find(|line| line.contains(RUN)).unwrap();
    let shown = row.split(" | ").nth(2).unwrap().replace(',', "");
    let mut figures = shown.split(|letter: char| !letter.is_ascii_digit());
    for entries in [1_000_000, 10_000_000, 50_000_000] {
        let name = format!("{entries} entries: authority's memory ");
        let measured = run.lines().find_map(|line| line.strip_prefix(&name));
        let measured = measured.unwrap().trim().strip_suffix(" MiB").unwrap();
        let measured = measured.parse::<f64>().unwrap().round();
        let figure = figures.find(|figure| !figure.is_empty());
        assert_eq!(figure, Some(&*measured.to_string()), "{entries}: {row}");
    }
}

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

#[test]
fn the_size_that_the_documents_name_is_what_ci_allows() {
    let (_, behind) = CI.split_once("wasm_size_limit=").unwrap();
    let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
    let kilobytes = digits.parse::<u32>().unwrap() / 1_000;
    let text = document("tests/bench/README.md");
    assert!(text.contains(&format!("CI allows the module {kilobytes} of them")));
}

const PEERS: &str =
    "| | Portcullis | `jwt_authn`, `ext_authz` over gRPC | `jwt_authn`, `ext_authz` over HTTP |";

/// The columns of that table, as `peers.md` calls them.
const GATES: [&str; 3] = [
    "Portcullis",
    "jwt_authn, cache, and ext_authz over gRPC",
    "jwt_authn, cache, and ext_authz over HTTP",
];

/// What the README calls a scenario of `peers.md`, and whether it shows single requests too.
const LOADS: [(&str, &str, bool); 3] = [
    ("known token", "warm, 2,000 tokens, ES256", true),
    ("new token", "cold, ES256", false),
    ("95 % known", "mix, 95 % warm, ES256", false),
];

const OUTAGES: [&str; 3] = [
    "the other process is slow (50 ms), or does not answer",
    "it is gone",
    "it is gone for longer than `max_staleness`",
];

#[test]
fn the_comparison_in_the_readme_is_that_of_the_kept_run() {
    let run = document("tests/bench/results/peers.md");
    let mut expected = Vec::new();
    for (label, scenario, shows_singles) in LOADS {
        let head = run
            .lines()
            .find(|line| line.starts_with(&format!("| {scenario} |")));
        let measured = rows(&run, head.unwrap());
        let mut add = |what: &str, figure: &dyn Fn(&[String]) -> String| {
            let mut row = vec![format!("{label}{what}")];
            for gate in GATES {
                row.push(figure(measured.iter().find(|row| row[0] == gate).unwrap()));
            }
            expected.push(row);
        };
        let median = |cell: &str| cell.split(' ').next().unwrap().to_owned();
        add(": CPU of Envoy + of the other process, µs", &|row| {
            format!("{} + {}", median(&row[1]), median(&row[2]))
        });
        add(": requests/s", &|row| row[4].clone());
        add(": p50 / p99, µs", &|row| row[5].clone());
        if shows_singles {
            add(", one at a time: p50 / p99, µs", &|row| row[6].clone());
        }
    }
    let outages = rows(
        &run,
        &format!("| | {} | {} | {} |", GATES[1], GATES[2], GATES[0]),
    );
    for (label, row) in OUTAGES.into_iter().zip(&outages[1..]) {
        // All requests had the same answer.
        let shown = |cell: &String| {
            let (status, times) = cell
                .strip_prefix("100 % ")
                .unwrap()
                .split_once("; ")
                .unwrap();
            format!("{status} after {} ms", times.split(' ').next().unwrap())
        };
        expected.push(vec![
            label.to_owned(),
            shown(&row[3]),
            shown(&row[1]),
            shown(&row[2]),
        ]);
    }
    assert_eq!(rows(&document("README.md"), PEERS), expected);
}
