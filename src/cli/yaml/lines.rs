//! The lines of a file, by the paths of what is in them.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::plain::{Reader, misreading};
use super::{Content, Node};
use crate::configuration::joined as joined_path;

/// The lines of a document, by path.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Lines {
    /// The first line of the document.
    first: usize,
    by_path: BTreeMap<String, usize>,
    /// The same by names as [`plain`] has them: messages may spell the keys of a configuration
    /// differently than the file does.
    by_plain_path: BTreeMap<String, usize>,
    /// Where text begins whose lines are lines of the file.
    texts: BTreeMap<String, usize>,
    /// Scalars that are not read as what they look like, each with a sentence on it.
    misread: BTreeMap<String, String>,
}

impl Lines {
    /// The line of this path, or of the nearest path above it that exists.
    pub(crate) fn of(&self, path: &str) -> usize {
        let mut path = path;
        while !path.is_empty() {
            let known = self.by_path.get(path);
            if let Some(line) = known.or_else(|| self.by_plain_path.get(&plain(path))) {
                return *line;
            }
            path = parent(path);
        }
        self.first
    }

    /// The line in which the text with this path begins, where its lines are those of the file: a
    /// block after `|`. For text in quotes or after `>`, it is not known.
    pub(crate) fn of_text(&self, path: &str) -> Option<usize> {
        self.texts.get(path).copied()
    }

    /// The paths below this one of unquoted scalars that are not read as what they look like, each
    /// with a sentence on it. Few of these matter: most keys take one kind of value only.
    pub(crate) fn misread(&self, path: &str) -> impl Iterator<Item = (&str, &str)> {
        let misread = self.misread.iter();
        misread.filter_map(move |(known, message)| {
            let rest = known.strip_prefix(path)?;
            Some((rest.strip_prefix('.').unwrap_or(rest), message.as_str()))
        })
    }

    /// The same lines for a text that begins in this line of another one.
    #[must_use]
    pub(crate) fn beginning_at(mut self, first: usize) -> Self {
        let above = first.saturating_sub(1);
        self.first += above;
        for lines in [&mut self.by_path, &mut self.by_plain_path, &mut self.texts] {
            for line in lines.values_mut() {
                *line += above;
            }
        }
        self
    }

    /// The lines of what is below this path, by the paths inside it.
    pub(crate) fn below(&self, path: &str) -> Self {
        let inside = |lines: &BTreeMap<String, usize>, path: &str| {
            let lines = lines.iter().filter_map(|(known, line)| {
                let rest = known.strip_prefix(path)?;
                let rest = rest.strip_prefix('.').unwrap_or(rest);
                Some((rest.to_owned(), *line))
            });
            lines.collect()
        };
        Self {
            first: self.of(path),
            by_path: inside(&self.by_path, path),
            by_plain_path: inside(&self.by_plain_path, &plain(path)),
            texts: inside(&self.texts, path),
            misread: self
                .misread(path)
                .map(|(path, message)| (path.to_owned(), message.to_owned()))
                .collect(),
        }
    }

    /// Lines of which only the first one is known.
    pub(crate) fn all_in(line: usize) -> Self {
        Self {
            first: line,
            ..Self::default()
        }
    }

    fn add(&mut self, path: &str, line: usize) {
        self.by_path.insert(path.to_owned(), line);
        self.by_plain_path.entry(plain(path)).or_insert(line);
    }
}

/// A node as a value, and the lines of everything in it.
pub(super) fn told_apart(node: Node, is_json: bool) -> (Value, Lines) {
    let mut lines = Lines::all_in(node.line);
    let reader = if is_json {
        Reader::Json
    } else if is_of_kubernetes(&node) {
        Reader::Kubernetes
    } else {
        Reader::Envoy
    };
    let value = value(node, "", reader, &mut lines);
    (value, lines)
}

fn is_of_kubernetes(document: &Node) -> bool {
    let Content::Object(members) = &document.content else {
        return false;
    };
    let has = |name: &str| members.iter().any(|(known, ..)| known == name);
    has("apiVersion") && has("kind")
}

fn value(node: Node, path: &str, reader: Reader, lines: &mut Lines) -> Value {
    match node.content {
        Content::Text(text) => Value::String(text),
        Content::Plain { text, is_text } if is_text && reader != Reader::Envoy => {
            Value::String(text)
        }
        Content::Plain { text, .. } => {
            let value = reader.value(&text);
            if let Some(message) = misreading(&text, &value) {
                lines.misread.insert(path.to_owned(), message);
            }
            value
        }
        Content::Literal(text) => {
            // The parser gives the first line that is not empty.
            let empty = text.bytes().take_while(|byte| *byte == b'\n').count();
            let first = node.line.saturating_sub(empty);
            lines.texts.insert(path.to_owned(), first);
            Value::String(text)
        }
        Content::List(elements) => {
            let elements = elements.into_iter().enumerate().map(|(index, element)| {
                let path = format!("{path}[{index}]");
                lines.add(&path, element.line);
                value(element, &path, reader, lines)
            });
            Value::Array(elements.collect())
        }
        Content::Object(members) => {
            let members = members.into_iter().map(|(name, line, member)| {
                let path = joined_path(path, &name);
                lines.add(&path, line);
                (name, value(member, &path, reader, lines))
            });
            Value::Object(members.collect::<Map<_, _>>())
        }
    }
}

/// `a.b[0]` → `a.b`, `a.b` → `a`; empty for a path with one part.
fn parent(path: &str) -> &str {
    let end = path.rfind(['.', '[']).unwrap_or_default();
    path.get(..end).unwrap_or_default()
}

/// A name, or a path of names, without what differs between the spellings that protobuf takes.
pub(crate) fn plain(path: &str) -> String {
    path.replace('_', "").to_ascii_lowercase()
}
