//! Metrics that the documents name, and those that there are.

use std::collections::BTreeSet;
use std::fs;

use serde_json::json;

use super::support::{Authority, ISSUER, jwks};
use super::{Document, document, documents};

/// Ends of names that a scraper sees beside the name itself.
const ENDS: [&str; 4] = ["_total", "_bucket", "_count", "_sum"];

/// What access logs have, which are no metrics.
const DETAILS: [&str; 2] = ["portcullis_denied", "portcullis_served"];

/// The authority's metrics, as its page declares them.
fn of_the_authority() -> BTreeSet<String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("signals.json");
    fs::write(directory.path().join("jwks.json"), jwks(&["es256"])).unwrap();
    // What is counted by stream is shown when there is one.
    let signals = json!({
        "listen": "127.0.0.1:0",
        "issuers": [{"issuer": ISSUER, "keys": {"jwks_file": "jwks.json"}, "receivers": {}}],
        "streams": [{
            "name": "s", "issuer": ISSUER, "audiences": ["a"], "delivery": {"push": {}},
        }],
    });
    fs::write(&file, signals.to_string()).unwrap();
    let authority = Authority::start_with(&["--signals", file.to_str().unwrap()]);
    // What is counted by route and by answer is shown when there is one.
    authority.is_revoked(&json!({"issuer": ISSUER, "sid": "s"}));
    let (_, page) = authority.get("/metrics");
    let declared = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = declared.filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
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

/// Every word of the documents for operators that looks like a metric, in queries and alerts too.
fn named() -> BTreeSet<String> {
    let mut documents = documents();
    documents.retain(is_for_operators);
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
    let named = named();
    assert!(named.len() > 30, "{named:?}");
    for name in &named {
        let is_of_the_authority = authority.contains(without_end(name));
        let begin = name.trim_end_matches('_');
        let is_of_edges = edges.contains(begin)
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
