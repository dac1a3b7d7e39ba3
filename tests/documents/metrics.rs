//! Metrics that the documents name, and those that there are.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use super::support::{Authority, ISSUER, jwks, make_certificate};
use super::{Document, document, documents, files};

/// Ends of names that a scraper sees beside the name itself.
const ENDS: [&str; 5] = ["_total", "_bucket", "_count", "_sum", "_info"];

/// What access logs have, which are no metrics.
const DETAILS: [&str; 2] = ["portcullis_denied", "portcullis_served"];

/// The authority's metrics, as its page declares them.
fn of_the_authority() -> BTreeSet<String> {
    let page = page_of_the_authority();
    let declared = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = declared.filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

fn page_of_the_authority() -> String {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("signals.json");
    fs::write(directory.path().join("jwks.json"), jwks(&["es256"])).unwrap();
    let (certificate, key) = make_certificate(directory.path());
    // What is told of a stream, or of a certificate, is shown when there is one.
    let signals = json!({
        "listen": "127.0.0.1:0",
        "tls": {"certificate": certificate, "key": key},
        "issuers": [{"issuer": ISSUER, "keys": {"jwks_file": "jwks.json"}, "receivers": {}}],
        "streams": [{
            "name": "s", "issuer": ISSUER, "audiences": ["a"], "delivery": {"push": {}},
        }],
    });
    fs::write(&file, signals.to_string()).unwrap();
    let authority = Authority::start_with(&["--signals", file.to_str().unwrap()]);
    // What is counted by route and by answer is shown when there is one.
    authority.is_revoked(&json!({"issuer": ISSUER, "sid": "s"}));
    authority.get("/metrics").1
}

/// Those of edges, as Prometheus has them, from the table that the tests with Envoy hold to what Envoy
/// shows. Where a label takes the place of a part, its name ends before that.
fn of_edges() -> BTreeSet<String> {
    let text = document("envoy/operations.md");
    let (_, table) = text.split_once("| metric | what it counts |").unwrap();
    let rows = table.lines().skip(2);
    let rows = rows.take_while(|line| line.starts_with('|'));
    let mut names = BTreeSet::new();
    for row in rows {
        let spans = row.split('`').skip(1).step_by(2);
        let metrics = spans.filter(|span| span.starts_with("portcullis"));
        names.extend(metrics.flat_map(alternatives));
    }
    names
}

/// `a.<b|c>` is two names, `a.<fault>` one, `a_…` the beginning of some.
fn alternatives(name: &str) -> Vec<String> {
    let name = name.split(['{', '[', '…']).next().unwrap();
    let (before, choice) = name.split_once('<').unwrap_or((name, ""));
    let (choice, _) = choice.split_once('>').unwrap_or((choice, ""));
    let before = before.replace('.', "_");
    if choice.contains('|') {
        let words = choice.split('|').map(|word| word.trim_end_matches('\\'));
        return words.map(|word| format!("{before}{word}")).collect();
    }
    vec![before.trim_end_matches('_').to_owned()]
}

/// Every word of the documents for operators that looks like a metric.
fn named() -> BTreeSet<String> {
    let mut documents = documents();
    documents.retain(is_for_operators);
    named_in(&documents)
}

/// The same in the alerts, their cases and the dashboard.
fn asked_for() -> BTreeSet<String> {
    let yaml = files("envoy/observability", "yaml");
    let json = files("envoy/observability", "json");
    let files: Vec<_> = yaml
        .iter()
        .chain(&json)
        .map(|path| Document::at(path))
        .collect();
    named_in(&files)
}

fn named_in(documents: &[Document]) -> BTreeSet<String> {
    let is_letter = |letter: char| letter == '_' || letter.is_ascii_lowercase();
    let words = documents.iter().flat_map(|document| {
        let words = document.text.split(move |letter| !is_letter(letter));
        words.map(str::to_owned).collect::<Vec<_>>()
    });
    words
        .filter(|word| word.starts_with("portcullis_") && word != "portcullis_")
        .filter(|word| !DETAILS.contains(&word.as_str()))
        .collect()
}

fn is_for_operators(document: &Document) -> bool {
    document.name == "README.md" || document.name.starts_with("envoy/")
}

fn without_end(name: &str) -> &str {
    let mut ends = ENDS.iter();
    ends.find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

#[test]
fn there_is_every_metric_that_the_documents_name() {
    let (authority, edges) = (of_the_authority(), of_edges());
    assert!(edges.len() > 15, "{edges:?}");
    let (named, asked_for) = (named(), asked_for());
    assert!(named.len() > 30, "{named:?}");
    assert!(asked_for.len() > 50, "{asked_for:?}");
    for name in named.union(&asked_for) {
        let is_of_the_authority = authority.contains(without_end(name));
        let begin = name.trim_end_matches('_');
        let is_of_edges = edges.contains(without_end(begin))
            || name.ends_with('_') && edges.iter().any(|edge| edge.starts_with(name));
        assert!(is_of_the_authority || is_of_edges, "{name}");
    }
}

#[test]
fn the_documents_name_every_metric_of_the_authority() {
    let named: BTreeSet<_> = named()
        .iter()
        .map(|name| without_end(name).to_owned())
        .collect();
    let missing: Vec<_> = of_the_authority().difference(&named).cloned().collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Those that the alert on signals leaves out, or takes for what anyone can cause.
#[test]
fn there_is_every_outcome_of_signals_that_the_alert_names() {
    let page = page_of_the_authority();
    let rules = document("envoy/observability/rules.yaml");
    let lists = rules
        .split("outcome!~\"")
        .skip(1)
        .chain(rules.split("outcome=~\"").skip(1));
    let lists = lists.map(|behind| behind.split('"').next().unwrap());
    let lists: Vec<Vec<&str>> = lists.map(|list| list.split('|').collect()).collect();
    let [ordinary, of_strangers] = lists.as_slice() else {
        panic!("expected two lists, found {lists:?}");
    };
    for outcome in ordinary {
        let is_one = |line: &str| {
            line.starts_with("portcullis_signals_total")
                && line.contains(&format!("outcome=\"{outcome}\""))
        };
        assert!(page.lines().any(is_one), "{outcome}");
    }
    // What the first half leaves out and the second does not have goes unheard.
    let of_order = [
        "accepted", "recorded", "repeated", "ignored", "active", "inactive",
    ];
    let left_out: Vec<_> = ordinary
        .iter()
        .filter(|it| !of_order.contains(*it))
        .collect();
    assert_eq!(left_out, of_strangers.iter().collect::<Vec<_>>());
    assert_eq!(ordinary.len(), of_order.len() + of_strangers.len());
}
