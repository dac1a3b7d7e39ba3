//! What `portcullis convert` makes of a configuration gives the verdicts of the original, where a
//! configuration can say so.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{deviations, differences, trials};
use crate::support::program;

/// Deviations that a configuration can undo.
const SETTLED: [&str; 4] = [
    "no-rule",
    "expiration-required",
    "zero-skew",
    "symmetric-keys",
];

#[test]
fn a_converted_configuration_gives_the_verdicts_of_the_original() {
    let trials = trials::all();
    let found = differences(&trials, converted);
    let deviations = deviations::all();
    let shown = || deviations.iter().flat_map(|deviation| &deviation.shown_by);
    let undeclared: Vec<_> = found
        .iter()
        .filter(|found| !shown().any(|shown| shown.is(found)))
        .collect();
    assert!(undeclared.is_empty(), "not on the list: {undeclared:#?}");
    for id in SETTLED {
        let deviation = deviations.iter().find(|deviation| deviation.id == id);
        let deviation = deviation.unwrap_or_else(|| panic!("no deviation `{id}`"));
        let left = found
            .iter()
            .find(|found| deviation.shown_by.iter().any(|shown| shown.is(found)));
        assert!(left.is_none(), "`{id}` is left: {left:#?}");
    }
    let before = differences(&trials, Value::clone);
    assert!(found.len() < before.len(), "{found:#?}");
}

/// As for a user with a whole configuration of Envoy.
fn converted(configuration: &Value) -> Value {
    let mut filter = configuration.clone();
    let members = filter.as_object_mut().expect("an object");
    members.insert("@type".to_owned(), TYPE.into());
    let filters = json!({"http_filters": [{"name": "jwt", "typed_config": filter}]});
    converted_file(&filters.to_string())
}

/// What `portcullis convert` makes of a file.
pub(crate) fn converted_file(text: &str) -> Value {
    let mut process = Command::new(program())
        .args(["convert", "--json", "--accept-differences", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("portcullis");
    let mut input = process.stdin.take().expect("a pipe");
    let text = text.to_owned();
    let writer = std::thread::spawn(move || input.write_all(text.as_bytes()));
    let output = process.wait_with_output().expect("its output");
    writer.join().expect("no panic").expect("all of it");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

const TYPE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
