//! Configurations and faults that the documents show.

use std::fs;
use std::process::Command;

use super::support::{jwks, program};
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

#[test]
fn the_signals_files_that_the_documents_show_are_valid() {
    let directory = tempfile::tempdir().unwrap();
    let documents = documents();
    let blocks = documents.iter().flat_map(Document::blocks);
    let mut count = 0;
    for block in blocks.filter(|block| block.language == "yaml") {
        let is_whole = block.text.contains("issuers:\n");
        let has_signals = ["receivers:", "streams:"].map(|key| block.text.contains(key));
        if !is_whole || has_signals == [false; 2] {
            continue;
        }
        fs::write(directory.path().join("signals.yaml"), block.text).unwrap();
        let mut command = Command::new(program());
        command.args(["validate", "--deny-warnings", "signals.yaml"]);
        let output = command.current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", block.line);
        count += 1;
    }
    assert!(count >= 6, "{count}");
}
