//! A file with plugin configurations in it: one alone, or those inside a configuration of Envoy,
//! Istio or Envoy Gateway; JSON or YAML.

mod surroundings;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize as _;
use serde_json::{Map, Value};

use surroundings::joined;
pub use surroundings::{ClusterFinding, Surroundings};

/// A plugin configuration, and where in the file it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Path of the configuration in the file; empty when the file is nothing else.
    pub place: String,
    /// The configuration, as the filter would get it; empty where it gets none.
    pub text: String,
    /// What the file says of how it is used.
    pub surroundings: Surroundings,
}

/// What a configuration stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `configuration` of Envoy's `PluginConfig`.
    Envoy,
    /// `pluginConfig` of Istio's `WasmPlugin` and `TrafficExtension`.
    Istio,
    /// `config` of Envoy Gateway's `EnvoyExtensionPolicy`.
    EnvoyGateway,
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
                text: document.to_string(),
                surroundings: Surroundings::default(),
            });
        } else {
            walk(&mut vec![(String::new(), &document)], &mut found);
        }
    }
    Ok(found)
}

/// What no other configuration has at its top.
fn is_configuration(value: &Value) -> bool {
    value.get("providers").is_some()
}

/// Looks for configurations in the last of these, which stands inside of the others. Those of
/// other plugins are not ours to judge.
fn walk(ancestors: &mut Vec<(String, &Value)>, found: &mut Vec<Found>) {
    let Some((place, value)) = ancestors.last().cloned() else {
        return;
    };
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            if let Some((key, kind, text)) = held(members) {
                found.push(Found {
                    surroundings: Surroundings::of(kind, members, &place, ancestors),
                    place: joined(&place, key),
                    text,
                });
                return;
            }
            let members = members.iter();
            members
                .map(|(name, member)| (joined(&place, name), member))
                .collect()
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements
                .map(|(index, element)| (format!("{place}[{index}]"), element))
                .collect()
        }
        _ => Vec::new(),
    };
    for one in inner {
        ancestors.push(one);
        walk(ancestors, found);
        ancestors.pop();
    }
}

/// The configuration that this object holds: its key, what holds it, and its text. One that cannot
/// be read, or is missing, is the filter's too where the object says that it is for Portcullis.
fn held(members: &Map<String, Value>) -> Option<(&'static str, Kind, String)> {
    let has = |keys: &[&str]| keys.iter().any(|key| members.contains_key(*key));
    for (key, kind, beside) in [
        ("configuration", Kind::Envoy, &["vm_config", "vmConfig"][..]),
        ("pluginConfig", Kind::Istio, &["url"]),
        ("config", Kind::EnvoyGateway, &["code"]),
    ] {
        let text = match (members.get(key), kind) {
            (None, _) => None,
            (Some(any), Kind::Envoy) => unpacked(any),
            (Some(value), _) => Some(value.to_string()),
        };
        let value: Option<Value> = text
            .as_ref()
            .and_then(|text| serde_json::from_str(text).ok());
        let is_ours = has(beside) && is_for_portcullis(members, key);
        if is_ours || value.is_some_and(|value| is_configuration(&value)) {
            return Some((key, kind, text.unwrap_or_default()));
        }
    }
    None
}

/// Whether a name, or where the module is, says so.
fn is_for_portcullis(members: &Map<String, Value>, configuration: &str) -> bool {
    fn says_so(value: &Value) -> bool {
        match value {
            Value::String(text) => text.to_ascii_lowercase().contains("portcullis"),
            Value::Array(elements) => elements.iter().any(says_so),
            Value::Object(members) => members.values().any(says_so),
            _ => false,
        }
    }
    let mut members = members.iter();
    members.any(|(name, value)| name != configuration && says_so(value))
}

/// What the filter gets of a `google.protobuf.Struct`, or of text or bytes in a
/// `google.protobuf.StringValue` or `BytesValue`.
fn unpacked(any: &Value) -> Option<String> {
    let kind = any.get("@type")?.as_str()?;
    let value = any.get("value")?;
    match kind.rsplit('/').next()? {
        "google.protobuf.Struct" => Some(value.to_string()),
        "google.protobuf.StringValue" => value.as_str().map(str::to_owned),
        "google.protobuf.BytesValue" => {
            let bytes = STANDARD.decode(value.as_str()?).ok()?;
            String::from_utf8(bytes).ok()
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
