//! The JSON Schema for editors, as `portcullis schema` prints it, and the configurations that there are.

use std::fs;
use std::process::Command;

use jsonschema::Validator;
use portcullis::cli::configuration_file::configurations;
use portcullis::configuration::Variable;
use portcullis::gate::inspect_configuration;
use serde_json::Value;

use super::support::documents::{Document, documents, files};
use super::support::program;

fn schema() -> Validator {
    let output = Command::new(program()).arg("schema").output().unwrap();
    assert!(output.status.success());
    let schema = serde_json::from_slice(&output.stdout).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

/// What the schema says of a value.
fn errors(schema: &Validator, value: &Value) -> Vec<String> {
    let errors = schema.iter_errors(value);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn the_schema_takes_every_configuration_that_is_shown_as_it_stands() {
    let schema = schema();
    let place = tempfile::tempdir().unwrap();
    let mut paths = files("envoy", "yaml");
    // It has merge keys, which Compose knows and Envoy does not, and no configuration.
    paths.retain(|path| !path.ends_with("envoy/docker-compose.yaml"));
    // Grafana has `providers` as well.
    paths.retain(|path| !path.iter().any(|part| part == "grafana"));
    let documents = documents();
    let blocks = documents.iter().flat_map(Document::blocks);
    let blocks = blocks.filter(|block| block.language == "yaml");
    for (number, block) in blocks.enumerate() {
        let path = place.path().join(format!("{number}.yaml"));
        fs::write(&path, block.text).unwrap();
        paths.push(path);
    }
    let mut count = 0;
    for path in paths {
        for found in configurations(&path).unwrap() {
            let value = serde_json::from_str(&found.text).unwrap();
            let errors = errors(&schema, &value);
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
            count += 1;
        }
    }
    assert!(count >= 6, "{count}");
}

#[test]
fn the_schema_takes_the_vectors_in_the_usual_spelling() {
    let schema = schema();
    let directory = super::root().join("tests/vectors/configurations");
    let mut count = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        for found in configurations(&path).unwrap() {
            let inspection = inspect_configuration(found.text.as_bytes(), &|_| Variable::Unknown);
            assert_eq!(inspection.faults, [], "{}", path.display());
            let errors = errors(&schema, &inspection.configuration);
            assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
            count += 1;
        }
    }
    assert!(count >= 2, "{count}");
}
