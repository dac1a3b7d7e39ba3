//! The page that says how secrets are replaced has all of them.

use std::fs;
use std::process::Command;

use super::support::process::binary;
use super::{document, files};

const PAGE: &str = "envoy/rotation.md";

/// What a name has in it that stands for a secret.
const SECRET: [&str; 5] = ["password", "secret", "credential", "tls-key", "tls_key"];

fn is_secret(name: &str) -> bool {
    SECRET.iter().any(|word| name.contains(word))
}

#[test]
fn every_option_for_a_secret_is_on_the_page() {
    let help = Command::new(binary())
        .args(["serve", "--help"])
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let lines = help.lines().map(str::trim_start);
    let options = lines.filter_map(|line| line.strip_prefix("--")?.split(' ').next());
    let options: Vec<_> = options.filter(|name| is_secret(name)).collect();
    assert!(options.len() >= 5, "{options:?}");
    let page = document(PAGE);
    for option in options {
        let is_there = page.contains(&format!("--{option}"));
        assert!(is_there, "{option}");
    }
}

/// The keys of the authority's files, by their schemas.
#[test]
fn every_key_for_a_secret_is_on_the_page_or_on_the_one_that_it_links() {
    let page = document(PAGE);
    let secrets = document("envoy/signals.md");
    let (_, secrets) = secrets.split_once("## Secrets").unwrap();
    let (secrets, _) = secrets.split_once("\n## ").unwrap();
    assert!(page.contains("signals.md#secrets"));
    for (schema, text, least) in [
        ("envoy/authority.schema.json", &*page, 1),
        ("envoy/signals.schema.json", secrets, 2),
    ] {
        let schema: serde_json::Value = serde_json::from_str(&document(schema)).unwrap();
        let mut keys = Vec::new();
        collect(&schema, &mut keys);
        // With a hyphen, they are names of events.
        keys.retain(|key| (is_secret(key) || key == "authorization") && !key.contains('-'));
        assert!(keys.len() >= least, "{keys:?}");
        for key in keys {
            // Part of what a transmitter is shown.
            let is_shown = key == "client_secret" || key == "client_credentials";
            assert!(is_shown || text.contains(&*key), "{key}");
        }
    }
}

/// The names of all properties.
fn collect(schema: &serde_json::Value, keys: &mut Vec<String>) {
    match schema {
        serde_json::Value::Object(members) => {
            if let Some(serde_json::Value::Object(properties)) = members.get("properties") {
                keys.extend(properties.keys().cloned());
            }
            for inner in members.values() {
                collect(inner, keys);
            }
        }
        serde_json::Value::Array(elements) => {
            for element in elements {
                collect(element, keys);
            }
        }
        _ => {}
    }
}

#[test]
fn the_lines_of_the_log_that_the_pages_quote_are_written() {
    let sources = files("src", "rs");
    let sources: String = sources
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut count = 0;
    for page in [PAGE, "envoy/systemd.md"] {
        for quoted in document(page).split('`').skip(1).step_by(2) {
            if quoted.starts_with("the c") {
                assert!(sources.contains(quoted), "{page}: {quoted}");
                count += 1;
            }
        }
    }
    assert!(count >= 2, "{count}");
}
