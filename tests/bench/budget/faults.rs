//! Configurations with faults in them, of every kind that there is a key for.

use portcullis::gate::read_configuration;
use serde_json::{Value, json};

use crate::process::Process;
use crate::vm::{Compiled, Vm};

/// A configuration with every key in it.
const EVERY_KEY: &str = include_str!("../../vectors/configurations/every-key.json");

/// Deeper than any key of a configuration.
const MOST_LEVELS: usize = 12;

/// Texts that are refused.
pub(crate) fn configurations() -> Vec<Vec<u8>> {
    let values = [
        json!(-1),
        json!(1e300),
        json!("\u{202e}\"é\n"),
        json!(""),
        json!(true),
        json!([]),
        json!([{"unknown key": 1}, 2]),
        json!({"unknown key": {}}),
    ];
    let levels = |value| (0..MOST_LEVELS).map(move |level| with_level_replaced(level, value));
    let mut configurations: Vec<_> = values.iter().flat_map(levels).collect();
    let texts = [
        "",
        "{",
        "{\"a\": 1,\n\"a\": 2}",
        "\"text\"",
        "\u{0}",
        "\n\u{b}",
    ];
    configurations.extend(texts.map(|text| text.as_bytes().to_vec()));
    configurations.retain(|text| !faults_natively(text).is_empty());
    configurations
}

/// What the filter says of a configuration, line by line.
pub(crate) fn faults_in_the_filter(compiled: &Compiled, configuration: &[u8]) -> Vec<String> {
    let mut vm = Vm::load(compiled, Process::new(configuration.to_vec(), true));
    let is_taken = vm.configure();
    let said = std::mem::take(&mut vm.process().log);
    assert!(!is_taken, "taken: {}", configuration.escape_ascii());
    said
}

/// What it would have to say.
pub(crate) fn faults_natively(configuration: &[u8]) -> Vec<String> {
    let faults = read_configuration(configuration, &|_| None).err();
    let faults = faults.into_iter().flatten();
    faults
        .map(|fault| format!("configuration: {fault}"))
        .collect()
}

/// The configuration with every key, in which everything at this depth is something else.
fn with_level_replaced(level: usize, other: &Value) -> Vec<u8> {
    let mut configuration = serde_json::from_str(EVERY_KEY).expect("JSON");
    replace(&mut configuration, level, other);
    configuration.to_string().into_bytes()
}

fn replace(value: &mut Value, level: usize, other: &Value) {
    let Some(below) = level.checked_sub(1) else {
        value.clone_from(other);
        return;
    };
    match value {
        Value::Array(values) => values
            .iter_mut()
            .for_each(|value| replace(value, below, other)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|value| replace(value, below, other)),
        _ => {}
    }
}
