//! Keys, tokens and configurations as they are found in use, on the command line: `validate`,
//! `explain` and `jwks` make of them what the filter makes of them, and say why in the same words.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::inputs::{Input, Trial, inputs};
use super::{assert_fails, json_line, run_in};

fn told(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What the tests call these files in their directory.
fn write(directory: &Path, configuration: &Value, keys: &str) {
    fs::write(directory.join("gate.json"), configuration.to_string()).unwrap();
    fs::write(directory.join("keys"), keys).unwrap();
}

fn explain(directory: &Path, trial: &Trial, arguments: &[&str]) -> Output {
    let mut all = vec!["explain".to_owned(), "gate.json".to_owned()];
    all.extend(["--path".to_owned(), trial.path.clone()]);
    for (name, value) in &trial.headers {
        all.extend(["--header".to_owned(), format!("{name}: {value}")]);
    }
    all.extend(arguments.iter().map(|&argument| argument.to_owned()));
    run_in(
        directory,
        &all.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

/// Every request gets the expected verdict with the files in the directory.
#[track_caller]
fn comes_out(directory: &Path, input: &Input, arguments: &[&str], warnings: &[String]) {
    for (index, trial) in input.trials.iter().enumerate() {
        let output = explain(directory, trial, arguments);
        let (steps, errors) = (told(&output.stdout), told(&output.stderr));
        let context = format!("{}, {index}: {steps}{errors}", input.name);
        match &trial.refusal {
            None => {
                assert!(
                    steps.contains("verdict    goes on to the upstream"),
                    "{context}"
                );
                assert_eq!(output.status.code(), Some(0), "{context}");
            }
            Some(refusal) => {
                for part in [
                    format!("verdict    refused with {}\n", refusal.status),
                    format!("\"code\":\"{}\"", refusal.code),
                    format!(": {}", refusal.reason),
                ] {
                    assert!(steps.contains(&part), "{part}; {context}");
                }
                assert_eq!(output.status.code(), Some(1), "{context}");
            }
        }
        for warning in warnings {
            assert!(errors.contains(warning), "{warning}; {context}");
        }
    }
}

#[test]
fn validate_finds_in_every_input_what_the_filter_finds() {
    let directory = TempDir::new().unwrap();
    for input in inputs() {
        write(directory.path(), &input.configuration, &input.keys);
        let output = run_in(directory.path(), &["validate", "gate.json"]);
        let (found, warned) = (told(&output.stdout), told(&output.stderr));
        let context = format!("{}: {found}{warned}", input.name);
        let is_valid = input.faults.is_empty();
        assert_eq!(output.status.success(), is_valid, "{context}");
        for fault in &input.faults {
            assert!(
                found.contains(&format!("gate.json:1: error: {fault}")),
                "{context}"
            );
        }
        for warning in &input.warnings {
            assert!(warned.contains(warning), "{warning}; {context}");
        }
    }
}

#[test]
fn explain_decides_on_every_input_as_the_filter_does() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    for input in inputs() {
        write(directory, &input.configuration, &input.keys);
        if !input.faults.is_empty() {
            let output = run_in(directory, &["explain", "gate.json"]);
            assert_eq!(output.status.code(), Some(1), "{}", input.name);
            let errors = told(&output.stderr);
            for fault in &input.faults {
                assert!(
                    errors.contains(&format!("gate.json:1: error: {fault}")),
                    "{errors}"
                );
            }
        } else if input.is_fetched() {
            comes_out(directory, &input, &["--jwks", "idp=keys"], &input.warnings);
        } else {
            comes_out(directory, &input, &[], &input.warnings);
        }
    }
}

#[test]
fn explain_reads_keys_that_are_fetched_as_those_that_stand_in_the_configuration() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    for input in inputs() {
        let configuration = input.with_fetched_keys();
        // A secret is never fetched.
        if configuration["providers"]["idp"]
            .get("allow_symmetric_keys")
            .is_some()
        {
            continue;
        }
        write(directory, &configuration, &input.keys);
        let arguments = ["--jwks", "idp=keys"];
        if let Some(fault) = &input.fault_of_keys {
            let output = run_in(
                directory,
                &[&["explain", "gate.json"], &arguments[..]].concat(),
            );
            assert_fails(&output, 1, fault);
        } else if input.faults.is_empty() {
            comes_out(directory, &input, &arguments, &input.left_out);
        }
    }
}

#[test]
fn jwks_makes_of_every_input_keys_that_verify_the_same() {
    let directory = TempDir::new().unwrap();
    let directory = directory.path();
    for input in inputs() {
        write(directory, &input.configuration, &input.keys);
        let output = run_in(directory, &["jwks", "keys"]);
        if let Some(fault) = &input.fault_of_keys {
            assert_fails(&output, 1, fault);
            continue;
        }
        let (set, errors) = (told(&output.stdout), told(&output.stderr));
        assert!(output.status.success(), "{}: {errors}", input.name);
        for key in &input.left_out {
            assert!(errors.contains(key), "{key}; {}: {errors}", input.name);
        }
        assert!(!set.contains("\"d\":"), "{set}");
        if input.faults.is_empty() {
            write(directory, &input.with_local_keys(&set), &set);
            comes_out(directory, &input, &[], &[]);
        }
    }
}

/// Members that say nothing do not make it a private one.
#[test]
fn a_public_key_alone_is_a_set_of_one() {
    let directory = TempDir::new().unwrap();
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/keys");
    let private = format!("{vectors}/es256.private.jwk.json");
    let set = json_line(&run_in(directory.path(), &["jwks", &private]));
    for nothing in [None, Some(json!("")), Some(Value::Null)] {
        let mut key = set["keys"][0].clone();
        if let Some(value) = nothing {
            key["d"] = value;
        }
        fs::write(directory.path().join("public"), key.to_string()).unwrap();
        let again = json_line(&run_in(directory.path(), &["jwks", "public"]));
        for name in ["kty", "crv", "x", "y", "kid", "alg"] {
            assert_eq!(again["keys"][0][name], set["keys"][0][name], "{name}");
        }
    }
}

/// The one key there was made for RFC 8037, which has its private half in appendix A.
#[test]
fn explain_reads_what_people_write_in_yaml() {
    let directory = TempDir::new().unwrap();
    let key = json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    });
    fs::write(directory.path().join("key"), key.to_string()).unwrap();
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/configurations/as-people-write-it.yaml"
    );
    let mint = |arguments: &[&str]| {
        let usual = ["mint", "--key", "key", "--issuer", "https://issuer.example"];
        let output = run_in(directory.path(), &[&usual[..], arguments].concat());
        told(&output.stdout).trim().to_owned()
    };
    for (path, arguments, verdict) in [
        (
            "/API/orders",
            ["--audience", "api"].as_slice(),
            "goes on to the upstream",
        ),
        (
            "/api",
            &["--audience", "api", "--expires-in", "2h"],
            "refused with 401",
        ),
        ("/api", &["--audience", "other"], "refused with 403"),
    ] {
        let token = mint(arguments);
        let explain = ["explain", file, "--path", path, "--token", &token];
        let steps = told(&run_in(directory.path(), &explain).stdout);
        assert!(steps.contains(&format!("verdict    {verdict}")), "{steps}");
        assert!(steps.contains("rules[0] (line 35)"), "{steps}");
    }
}
