//! Configurations and faults that the documents show.

use std::fs;
use std::process::Command;

use super::support::{jwks, program};
use super::{Document, document, documents};

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

/// The lines of an example between these two, without comments.
fn part_of(example: &str, from: &str, to: Option<&str>) -> String {
    let text = document(&format!("envoy/{example}"));
    let lines = text.lines().skip_while(|line| *line != from);
    let lines = lines.take_while(|line| to != Some(*line));
    let lines = lines.filter(|line| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with('#')
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// All but the cluster of the authorities, so that neither example is mended without the other.
#[test]
fn the_example_with_several_authorities_is_that_with_one() {
    let parts = [
        ("admin:", Some("  clusters:")),
        (
            "    - name: upstream",
            Some("    - name: revocation_authority"),
        ),
        ("stats_config:", None),
    ];
    for (from, to) in parts {
        let part = |example| part_of(example, from, to);
        assert!(!part("envoy.yaml").is_empty(), "{from}");
        assert_eq!(part("envoy-replicas.yaml"), part("envoy.yaml"), "{from}");
    }
}

/// Each argument has a line of its own in these files.
#[test]
fn the_options_that_the_examples_start_an_authority_with_exist() {
    let output = Command::new(program()).args(["serve", "--help"]).output();
    let help = String::from_utf8(output.unwrap().stdout).unwrap();
    for (name, least) in [
        ("docker-compose.yaml", 9),
        ("kubernetes/base/authority.yaml", 6),
        ("kubernetes/components/replicas/authority.yaml", 7),
    ] {
        let text = document(&format!("envoy/{name}"));
        let arguments = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- --"));
        let options = arguments.filter_map(|argument| argument.split_once('='));
        let mut count = 0;
        for (option, value) in options {
            let is_one = |line: &str| line.trim_start().starts_with(&format!("--{option} <"));
            assert!(help.lines().any(is_one), "{name}: --{option}");
            assert!(!value.is_empty(), "{name}: --{option}");
            count += 1;
        }
        assert!(count >= least, "{name}: {count}");
    }
}
