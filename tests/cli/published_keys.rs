//! Keys in the shapes in which identity providers publish them, on the command line: `validate`,
//! `explain` and `jwks` use those that the filter uses, and name the others as it does.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{assert_fails, json_line, run_in};

fn sets() -> Vec<Value> {
    let text = include_str!("../vectors/published/sets.json");
    serde_json::from_str(text).unwrap()
}

/// The line about a key that is left out, up to the beginning of the reason.
fn told(key: &Value) -> String {
    let id = match key["kid"].as_str() {
        Some(id) => format!(" (`kid` {id})"),
        None => String::new(),
    };
    let reason = key["reason"].as_str().unwrap();
    format!("keys[{}]{id} is left out: {reason}", key["place"])
}

fn list<'s>(set: &'s Value, name: &str) -> &'s [Value] {
    set[name].as_array().unwrap()
}

/// Writes a configuration with these keys, and the keys alone.
fn write(directory: &Path, set: &Value, text: &Value) {
    let mut provider = json!({
        "issuer": "https://issuer.example",
        "audiences": ["api"],
        "local_jwks": {"inline_string": text},
    });
    for (name, value) in set["settings"].as_object().unwrap() {
        provider[name] = value.clone();
    }
    let configuration = json!({
        "providers": {"published": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "published"}}],
    });
    fs::write(directory.join("gate.json"), configuration.to_string()).unwrap();
    fs::write(directory.join("keys"), text.as_str().unwrap()).unwrap();
}

fn explains(directory: &Path, set: &Value) {
    for token in list(set, "genuine") {
        let token = token.as_str().unwrap();
        let output = run_in(directory, &["explain", "gate.json", "--token", token]);
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}: {told}", set["name"]);
    }
}

#[test]
fn published_keys_are_used_and_those_left_out_are_named_with_their_reason() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    for set in sets() {
        write(directory, &set, &set["text"]);
        let validated = run_in(directory, &["validate", "gate.json"]);
        let printed = run_in(directory, &["jwks", "keys"]);
        if list(&set, "genuine").is_empty() {
            let fault = told(&list(&set, "left_out")[0]);
            assert!(
                String::from_utf8_lossy(&validated.stdout).contains(&fault),
                "{fault}"
            );
            assert_fails(&printed, 1, &fault);
            continue;
        }
        for output in [&validated, &printed] {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: {errors}", set["name"]);
            for key in list(&set, "left_out") {
                assert!(errors.contains(&told(key)), "{}: {errors}", told(key));
            }
        }
        explains(directory, &set);
        // What `jwks` makes of it verifies the same.
        let public = String::from_utf8(printed.stdout).unwrap();
        assert!(!public.contains("\"d\":"), "{public}");
        write(directory, &set, &public.into());
        explains(directory, &set);
    }
}

#[test]
fn a_public_key_alone_is_a_set_of_one() {
    let directory = TempDir::new().unwrap();
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/keys");
    let private = format!("{vectors}/es256.private.jwk.json");
    let set = json_line(&run_in(directory.path(), &["jwks", &private]));
    fs::write(directory.path().join("public"), set["keys"][0].to_string()).unwrap();
    let again = json_line(&run_in(directory.path(), &["jwks", "public"]));
    for name in ["kty", "crv", "x", "y", "kid", "alg"] {
        assert_eq!(again["keys"][0][name], set["keys"][0][name], "{name}");
    }
}
