//! What the documents show, held to what happens: their configurations are read, and their metrics are
//! looked for.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use super::command_line::told;
use super::process::{Authority, binary, directory};

const DOCUMENTS: &str = concat!(
    include_str!("../../README.md"),
    include_str!("../../envoy/README.md"),
    include_str!("../../envoy/configuration.md"),
    include_str!("../../envoy/jwt_authn.md"),
    include_str!("../../envoy/operations.md"),
    include_str!("../../envoy/revocation.md"),
);

/// The blocks of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let mark = format!("\n```{language}\n");
    let rest = DOCUMENTS.split(&mark).skip(1);
    rest.filter_map(|rest| rest.split("\n```").next()).collect()
}

/// A set of keys, for where the documents leave it out.
fn keys() -> String {
    let key = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/keys/es256.private.jwk.json"
    );
    let output = Command::new(binary()).args(["jwks", key]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_filters_that_the_documents_show_are_valid_and_faults_are_told_as_there() {
    let place = directory();
    let validate = |text: &str| {
        fs::write(place.path().join("filter.yaml"), text).unwrap();
        let output = Command::new(binary())
            .current_dir(place.path())
            .args(["validate", "--deny-warnings", "filter.yaml"])
            .output();
        told(&output.unwrap())
    };
    let mut filters = blocks("yaml");
    filters.retain(|block| block.contains("envoy.filters.http.wasm"));
    assert_eq!(filters.len(), 2);
    let mut texts = String::new();
    for filter in filters {
        let filter = filter.replace(r#"{"keys":[…]}"#, &keys());
        let (code, text, errors) = validate(&filter);
        assert_eq!((code, errors.as_str()), (0, ""), "{text}");
        let wrong = filter.replace("issuer:", "isuer:");
        let wrong = wrong.replace("provider_name: idp", "provider_name: ipd");
        let (code, text, _) = validate(&wrong);
        assert_eq!(code, 1);
        texts += &text;
    }
    let faults: Vec<_> = DOCUMENTS
        .lines()
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
        "verification_",
    ];
    let directory = directory();
    let authority = Authority::start(directory.path());
    let page = String::from_utf8(authority.get("/metrics").bytes).unwrap();
    let is_shown = |name: &str| {
        let lines = page
            .lines()
            .filter_map(|line| line.split([' ', '{']).next());
        lines.into_iter().any(|found| found == name)
    };
    let is_letter = |letter: char| letter == '_' || letter.is_ascii_lowercase();
    let named: BTreeSet<_> = DOCUMENTS
        .split(|letter| !is_letter(letter))
        .filter_map(|word| word.strip_prefix("portcullis_"))
        .filter(|name| !name.is_empty() && *name != "denied")
        .filter(|name| !of_edges.iter().any(|of_edge| name.starts_with(of_edge)))
        .collect();
    assert!(named.len() >= 4, "{named:?}");
    for name in named {
        assert!(is_shown(&format!("portcullis_{name}")), "{name}: {page}");
    }
}
