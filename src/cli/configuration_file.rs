//! A file with plugin configurations in it: one alone, or those inside a configuration of Envoy,
//! Istio or Envoy Gateway; JSON or YAML.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize as _;
use serde_json::Value;

/// A plugin configuration, and where in the file it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Path of the configuration in the file; empty when the file is nothing else.
    pub place: String,
    /// The configuration, as the filter would get it.
    pub configuration: Value,
}

/// Why a file gave no configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigurationFileError {
    /// It could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is neither JSON nor YAML.
    #[error("{path}: expected JSON or YAML")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and what.
        source: serde_yaml_ng::Error,
    },
    /// There is no configuration of the filter in it.
    #[error("{path}: expected a plugin configuration, or a file with the filter in it")]
    Nothing {
        /// The file.
        path: PathBuf,
    },
    /// There are several, and only one can be used.
    #[error("{path}: expected one configuration, found {number}")]
    Several {
        /// The file.
        path: PathBuf,
        /// How many.
        number: usize,
    },
}

/// Every configuration in the file, in its order.
///
/// # Errors
///
/// [`ConfigurationFileError`]; there is at least one configuration otherwise.
pub fn read(path: &Path) -> Result<Vec<Found>, ConfigurationFileError> {
    let text = fs::read_to_string(path).map_err(|source| ConfigurationFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let found = search(&text).map_err(|source| ConfigurationFileError::Syntax {
        path: path.to_owned(),
        source,
    })?;
    if found.is_empty() {
        return Err(ConfigurationFileError::Nothing {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

/// JSON is YAML; a file may have several documents with `---` between them.
fn search(text: &str) -> Result<Vec<Found>, serde_yaml_ng::Error> {
    let mut found = Vec::new();
    for document in serde_yaml_ng::Deserializer::from_str(text) {
        // By way of YAML's own value, which refuses repeated keys.
        let document = serde_yaml_ng::Value::deserialize(document)?;
        let document: Value = serde_yaml_ng::from_value(document)?;
        if is_configuration(&document) {
            found.push(Found {
                place: String::new(),
                configuration: document,
            });
        } else {
            walk(&document, "", &mut found);
        }
    }
    Ok(found)
}

/// What no other configuration has at its top.
fn is_configuration(value: &Value) -> bool {
    value.get("providers").is_some()
}

/// `configuration` of Envoy's plugins, `pluginConfig` of Istio's, `config` of Envoy Gateway's.
/// Those of other plugins are not ours to judge.
fn walk(value: &Value, place: &str, found: &mut Vec<Found>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                let place = match place {
                    "" => name.clone(),
                    place => format!("{place}.{name}"),
                };
                let candidate = match name.as_str() {
                    "configuration" => unpacked(member),
                    "pluginConfig" | "config" => Some(member.clone()),
                    _ => None,
                };
                match candidate.filter(is_configuration) {
                    Some(configuration) => found.push(Found {
                        place,
                        configuration,
                    }),
                    None => walk(member, &place, found),
                }
            }
        }
        Value::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                walk(element, &format!("{place}[{index}]"), found);
            }
        }
        _ => {}
    }
}

/// What stands in a `google.protobuf.Struct` or, as text, in a `google.protobuf.StringValue`.
fn unpacked(any: &Value) -> Option<Value> {
    let kind = any.get("@type")?.as_str()?;
    let value = any.get("value")?;
    match kind.rsplit('/').next()? {
        "google.protobuf.Struct" => Some(value.clone()),
        "google.protobuf.StringValue" => serde_json::from_str(value.as_str()?).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn places(text: &str) -> Vec<String> {
        let found = search(text).unwrap();
        found.into_iter().map(|found| found.place).collect()
    }

    #[test]
    fn a_file_may_be_nothing_but_a_configuration() {
        assert_eq!(places(r#"{"providers": {}}"#), [""]);
        assert_eq!(places("providers: {a: {}}\nrules: []\n"), [""]);
        assert_eq!(places("- 1\n- a\n"), [] as [&str; 0]);
    }

    #[test]
    fn configurations_are_found_in_the_files_of_envoy_istio_and_envoy_gateway() {
        let of_type = |name: &str, value: Value| {
            let name = format!("type.googleapis.com/google.protobuf.{name}");
            json!({"filters": [{"configuration": {"@type": name, "value": value}}]}).to_string()
        };
        let inner = json!({"providers": {"a": {}}});
        for text in [
            of_type("Struct", inner.clone()),
            of_type("StringValue", inner.to_string().into()),
        ] {
            let found = search(&text).unwrap();
            assert_eq!(found.len(), 1, "{text}");
            assert_eq!(found[0].place, "filters[0].configuration");
            assert_eq!(found[0].configuration, inner);
        }
        assert_eq!(
            places(&of_type("Struct", json!({"other": 1}))),
            [] as [&str; 0]
        );
        assert_eq!(
            places("kind: A\n---\nspec: {pluginConfig: {providers: {}}}\n"),
            ["spec.pluginConfig"]
        );
        assert_eq!(
            places("spec: {wasm: [{config: {providers: {}}}]}"),
            ["spec.wasm[0].config"]
        );
    }

    #[test]
    fn repeated_keys_are_an_error_and_not_a_choice() {
        assert!(search("providers: {}\nproviders: {}\n").is_err());
        assert!(search("a: [\n").is_err());
    }
}
