//! Configurations, faults and metrics that the documents show.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::support::{Authority, jwks, program};
use super::{Document, documents};

#[test]
fn the_filters_that_the_documents_show_are_valid_and_faults_are_told_as_there() {
    let directory = tempfile::tempdir().unwrap();
    let validate = |text: &str| {
        fs::write(directory.path().join("filter.yaml"), text).unwrap();
        let mut command = Command::new(program());
        command.args(["validate", "--deny-warnings", "filter.yaml"]);
        let output = command.current_dir(directory.path()).output().unwrap();
        let told = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.success(),
            told(output.stdout),
            told(output.stderr),
        )
    };
    let documents = documents();
    let blocks = documents.iter().flat_map(Document::blocks);
    let filters = blocks.filter(|block| block.text.contains("envoy.filters.http.wasm"));
    let filters: Vec<_> = filters
        .filter(|block| block.language == "yaml")
        .map(|block| block.text.replace(r#"{"keys":[…]}"#, &jwks(&["es256"])))
        .collect();
    assert!(!filters.is_empty());
    for filter in &filters {
        let (is_valid, text, errors) = validate(filter);
        assert_eq!((is_valid, errors.as_str()), (true, ""), "{text}");
    }
    let mut texts = String::new();
    for filter in filters {
        let wrong = filter.replace("issuer:", "isuer:");
        let (is_valid, text, _) =
            validate(&wrong.replace("provider_name: idp", "provider_name: ipd"));
        assert!(!is_valid);
        texts += &text;
    }
    let lines = documents.iter().flat_map(|document| document.text.lines());
    let faults: Vec<_> = lines
        .filter_map(|line| line.strip_prefix("configuration: "))
        .collect();
    assert_eq!(faults.len(), 2);
    for fault in faults {
        assert!(texts.contains(fault), "no {fault:?} in {texts}");
    }
}

/// Those of edges are held to what Envoy shows, in the tests with Envoy.
#[test]
fn the_authority_has_the_metrics_that_the_documents_name() {
    let of_edges = [
        "requests",
        "keys_",
        "feed_",
        "confirmations_",
        "token_cache_",
        "streams_",
        "activity_",
        "verification_",
    ];
    let (_, page) = Authority::start().get("/metrics");
    let shown: BTreeSet<_> = page
        .lines()
        .filter_map(|line| line.split([' ', '{']).next())
        .collect();
    let is_letter = |letter: char| letter == '_' || letter.is_ascii_lowercase();
    let mut documents = documents();
    documents
        .retain(|document| document.name == "README.md" || document.name.starts_with("envoy/"));
    let named: BTreeSet<_> = documents
        .iter()
        .flat_map(|document| document.text.split(|letter| !is_letter(letter)))
        .filter(|word| word.starts_with("portcullis_") && *word != "portcullis_")
        .filter(|word| !["portcullis_denied", "portcullis_served"].contains(word))
        .filter(|word| {
            let name = word.trim_start_matches("portcullis_");
            !of_edges.iter().any(|of_edge| name.starts_with(of_edge))
        })
        .collect();
    assert!(named.len() >= 4, "{named:?}");
    let missing: Vec<_> = named.difference(&shown).collect();
    assert!(missing.is_empty(), "{missing:?}: {page}");
}
