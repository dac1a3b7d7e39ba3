//! A file with plugin configurations in it: one alone, or those inside a configuration of Envoy,
//! Istio or Envoy Gateway, which may stand in a `ConfigMap`; JSON or YAML.

mod cluster;
mod surroundings;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::printable::printable;
use super::yaml::{self, Lines, YamlError};
use crate::authority::{Configuration, SignalsConfiguration};
use crate::configuration::{joined, nearest};
pub use cluster::ClusterFinding;
pub use surroundings::Surroundings;

/// A plugin configuration, and where it is in the file.
#[derive(Clone, Debug)]
pub struct Found {
    /// Path of the configuration in the file; empty when the file is nothing else.
    pub path: String,
    /// The configuration, as the filter would get it; empty where it gets none.
    pub text: String,
    /// What the file says about its use.
    pub surroundings: Surroundings,
    /// Path of the document that it is in; empty if that is the file's own.
    within: String,
    lines: Rc<Lines>,
    /// The lines of its contents, and its own path among them.
    own_lines: (Rc<Lines>, String),
}

impl Found {
    /// The line of a path in the configuration; if that is missing, of the nearest path above it.
    /// Inside of text in quotes, the line where the text begins.
    #[must_use]
    pub fn line(&self, path: &str) -> usize {
        let (lines, root) = &self.own_lines;
        lines.of(&under(root, path))
    }

    /// Scalars that are not read as what they look like, by their paths in the configuration, each
    /// with a sentence on it.
    pub fn misread(&self) -> impl Iterator<Item = (&str, &str)> {
        let (lines, root) = &self.own_lines;
        lines.misread(root)
    }

    /// The path in the file, and the line, of something around the configuration.
    #[must_use]
    pub fn around(&self, path: &str) -> (String, usize) {
        (under(&self.within, path), self.lines.of(path))
    }
}

/// A document of a file, or of a file inside of a `ConfigMap`.
#[derive(Debug)]
pub(crate) struct Document {
    /// The file, as shown in messages.
    pub(crate) file: Rc<Path>,
    /// Path in the file; empty for the file's own documents.
    pub(crate) path: String,
    /// What stands in it.
    pub(crate) value: Value,
    /// Where; by the paths in the document.
    pub(crate) lines: Rc<Lines>,
}

/// What holds a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum HolderKind {
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
    /// It is not UTF-8.
    #[error("{path}: expected text in UTF-8; hint: save it as UTF-8")]
    Encoding {
        /// The file.
        path: PathBuf,
    },
    /// It is neither JSON nor YAML.
    #[error("{path}:{line}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// It is none of the files that are known here.
    #[error(
        "{path}: expected a plugin configuration (with `providers` at its top), a file of Envoy, Istio or \
         Envoy Gateway with the filter in it, the authority's file (with {}) or the signals file (with {}, \
         or with {} in one of its `issuers`){suggestion}",
        any_of(&Configuration::SECTIONS),
        any_of(&SignalsConfiguration::SECTIONS),
        any_of(&SignalsConfiguration::OF_ISSUERS)
    )]
    Nothing {
        /// The file.
        path: PathBuf,
        /// Which key may have been meant by one of its keys, if any.
        suggestion: String,
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

/// The documents in the file, those inside of `ConfigMap`s after these; `-` is standard input.
///
/// # Errors
///
/// [`ConfigurationFileError`], when it cannot be read.
pub(crate) fn documents(path: &Path) -> Result<Vec<Document>, ConfigurationFileError> {
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    let path = shown(path).to_owned();
    let text = match bytes.map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return Err(ConfigurationFileError::Encoding { path }),
        Err(source) => return Err(ConfigurationFileError::Read { path, source }),
    };
    parts(&path, &text).map_err(|error| ConfigurationFileError::Syntax {
        path,
        line: error.line,
        message: error.message,
    })
}

/// A file by its name, for messages.
pub(crate) fn shown(path: &Path) -> &Path {
    if path.as_os_str() == "-" {
        Path::new("standard input")
    } else {
        path
    }
}

/// JSON is YAML; a file may have several documents with `---` between them.
fn parts(file: &Path, text: &str) -> Result<Vec<Document>, YamlError> {
    let file: Rc<Path> = file.into();
    let mut parts = Vec::new();
    for document in yaml::documents(text)? {
        let part = Document {
            file: Rc::clone(&file),
            path: String::new(),
            value: document.value,
            lines: Rc::new(document.lines),
        };
        add(part, &mut parts)?;
    }
    Ok(parts)
}

/// Adds a document; the items of a Kubernetes `List` and the files in a `ConfigMap` count as
/// documents.
fn add(document: Document, parts: &mut Vec<Document>) -> Result<(), YamlError> {
    let kind = document
        .value
        .get("kind")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let mut inner = Vec::new();
    match kind.as_deref() {
        Some("List") => {
            let items = document.value.get("items").and_then(Value::as_array);
            for (index, item) in items.into_iter().flatten().enumerate() {
                let path = format!("items[{index}]");
                inner.push(Document {
                    file: Rc::clone(&document.file),
                    path: under(&document.path, &path),
                    value: item.clone(),
                    lines: Rc::new(document.lines.below(&path)),
                });
            }
        }
        Some("ConfigMap") => {
            let data = document.value.get("data").and_then(Value::as_object);
            for (name, value) in data.into_iter().flatten() {
                if let Some(text) = value.as_str() {
                    inner.extend(files(text, name, &document)?);
                }
            }
            parts.push(document);
        }
        _ => {
            parts.push(document);
            return Ok(());
        }
    }
    inner.into_iter().try_for_each(|part| add(part, parts))
}

/// The documents of a file in a `ConfigMap`. A file that is neither JSON nor YAML is ignored,
/// unless its name says that it is.
fn files(text: &str, name: &str, map: &Document) -> Result<Vec<Document>, YamlError> {
    let path = joined("data", name);
    let first = map.lines.of_text(&path);
    let extension = Path::new(name).extension().and_then(|end| end.to_str());
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(error) if matches!(extension, Some("yaml" | "yml" | "json")) => {
            return Err(YamlError {
                line: first.map_or_else(|| map.lines.of(&path), |first| first + error.line - 1),
                message: format!("{path}: {}", error.message),
            });
        }
        Err(_) => Vec::new(),
    };
    let documents = documents.into_iter().map(|document| Document {
        file: Rc::clone(&map.file),
        path: under(&map.path, &path),
        lines: Rc::new(match first {
            Some(first) => document.lines.beginning_at(first),
            None => Lines::all_in(map.lines.of(&path)),
        }),
        value: document.value,
    });
    Ok(documents.collect())
}

/// These keys in a sentence.
fn any_of(keys: &[&str]) -> String {
    match keys {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [others @ .., last] => format!("`{}` or `{last}`", others.join("`, `")),
    }
}

/// That there is nothing in these documents of a file that is known here.
pub(crate) fn nothing(path: &Path, documents: &[Document]) -> ConfigurationFileError {
    let known: Vec<_> = ["providers"]
        .into_iter()
        .chain(Configuration::SECTIONS)
        .chain(SignalsConfiguration::SECTIONS)
        .collect();
    let documents = documents.iter();
    let mut keys = documents
        .filter_map(|document| document.value.as_object())
        .flat_map(Map::keys);
    let meant = keys.find_map(|key| Some((key, nearest(key, &known)?)));
    let suggestion = meant.map(|(key, known)| {
        let key = printable(key);
        format!("; found `{key}`, did you mean `{known}`?")
    });
    ConfigurationFileError::Nothing {
        path: shown(path).to_owned(),
        suggestion: suggestion.unwrap_or_default(),
    }
}

/// The plugin configurations in the file.
///
/// # Errors
///
/// [`ConfigurationFileError`], when it cannot be read.
pub fn configurations(path: &Path) -> Result<Vec<Found>, ConfigurationFileError> {
    documents(path).map(|documents| found(&documents))
}

/// The plugin configurations in these documents.
pub(crate) fn found(documents: &[Document]) -> Vec<Found> {
    let mut found = Vec::new();
    for document in documents {
        if is_configuration(&document.value) {
            found.push(Found {
                path: document.path.clone(),
                text: document.value.to_string(),
                surroundings: Surroundings::default(),
                within: document.path.clone(),
                lines: Rc::clone(&document.lines),
                own_lines: (Rc::clone(&document.lines), String::new()),
            });
        } else if !Configuration::is_in(&document.value) {
            // Nothing in the authority's own file is a filter's, whatever it looks like.
            let mut ancestors = vec![(String::new(), &document.value)];
            walk(document, &mut ancestors, &mut found);
        }
    }
    found
}

/// The path of what has the path `inner` below `outer`.
pub(crate) fn under(outer: &str, inner: &str) -> String {
    match (outer, inner) {
        (outer, "") => outer.to_owned(),
        ("", inner) => inner.to_owned(),
        (outer, inner) if inner.starts_with('[') => format!("{outer}{inner}"),
        (outer, inner) => format!("{outer}.{inner}"),
    }
}

/// Whether it has the key that only our configurations have at the top.
fn is_configuration(value: &Value) -> bool {
    value.get("providers").is_some()
}

/// Looks for configurations in the last of these, which is inside of the others. Those of other
/// plugins are ignored.
fn walk<'d>(
    document: &'d Document,
    ancestors: &mut Vec<(String, &'d Value)>,
    found: &mut Vec<Found>,
) {
    let Some((path, value)) = ancestors.last().cloned() else {
        return;
    };
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => {
            if let Some((key, kind, text)) = held(members) {
                let inside = joined(&path, key);
                found.push(Found {
                    surroundings: Surroundings::of(kind, members, &path, ancestors),
                    path: under(&document.path, &inside),
                    within: document.path.clone(),
                    lines: Rc::clone(&document.lines),
                    own_lines: own_lines(&document.lines, kind, members.get(key), inside, &text),
                    text,
                });
                return;
            }
            let members = members.iter();
            members
                .map(|(name, member)| (joined(&path, name), member))
                .collect()
        }
        Value::Array(elements) => {
            let elements = elements.iter().enumerate();
            elements
                .map(|(index, element)| (format!("{path}[{index}]"), element))
                .collect()
        }
        _ => Vec::new(),
    };
    for one in inner {
        ancestors.push(one);
        walk(document, ancestors, found);
        ancestors.pop();
    }
}

/// The lines of a configuration that has this path, and its own path among them.
fn own_lines(
    lines: &Rc<Lines>,
    kind: HolderKind,
    holder: Option<&Value>,
    path: String,
    text: &str,
) -> (Rc<Lines>, String) {
    if kind != HolderKind::Envoy {
        return (Rc::clone(lines), path);
    }
    let value = joined(&path, "value");
    let is_text = holder
        .and_then(|any| any.get("value"))
        .is_some_and(Value::is_string);
    if !is_text {
        return (Rc::clone(lines), value);
    }
    let inner = lines.of_text(&value).and_then(|first| {
        let document = yaml::documents(text).ok()?.into_iter().next()?;
        Some(document.lines.beginning_at(first))
    });
    let inner = inner.unwrap_or_else(|| Lines::all_in(lines.of(&value)));
    (Rc::new(inner), String::new())
}

/// The configuration that this object holds: its key, what holds it, and its text. One that cannot
/// be read, or is missing, counts too if the object says that it is for Portcullis.
fn held(members: &Map<String, Value>) -> Option<(&'static str, HolderKind, String)> {
    let has = |keys: &[&str]| keys.iter().any(|key| members.contains_key(*key));
    for (key, kind, beside) in [
        // Before Envoy's, since Istio has a `vmConfig` too.
        ("pluginConfig", HolderKind::Istio, &["url"][..]),
        ("config", HolderKind::EnvoyGateway, &["code"]),
        (
            "configuration",
            HolderKind::Envoy,
            &["vm_config", "vmConfig"],
        ),
    ] {
        let text = match (members.get(key), kind) {
            (None, _) => None,
            (Some(any), HolderKind::Envoy) => unpacked(any),
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

/// Whether a name, or the location of the module, says so.
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

/// What the filter gets from a `google.protobuf.Struct`, or from text or bytes in a
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
