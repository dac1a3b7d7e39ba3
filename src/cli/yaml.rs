//! YAML, and so JSON, with the line of everything in it.
//!
//! Unquoted scalars are read as the reader of the file, Envoy or Kubernetes, would read them. What
//! else the two read differently, and invisible mistakes (a tab, a byte order mark, UTF-16), are
//! refused with a sentence that says what to do.

mod lines;
mod plain;
mod writer;

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde::de::IgnoredAny;
use serde_json::Value;

pub(crate) use lines::{Lines, plain};
pub(crate) use writer::to_yaml;

/// Maximum depth of nested lists and objects: more than any configuration needs, and safe for the
/// stack.
const MAX_DEPTH: usize = 128;

/// Maximum number of values, those that aliases repeat included: a page of aliases can expand to
/// more than fits into memory.
const MAX_VALUES: usize = 1_000_000;

/// One document of a file.
#[derive(Debug)]
pub(crate) struct Document {
    /// Its value.
    pub(crate) value: Value,
    /// The lines of it.
    pub(crate) lines: Lines,
}

/// Why a text cannot be read as YAML.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub(crate) struct YamlError {
    /// The line, counted from 1.
    pub(crate) line: usize,
    pub(crate) message: String,
}

/// The documents of a text that are not empty, in their order.
///
/// # Errors
///
/// The first thing that cannot be read.
pub(crate) fn documents(text: &str) -> Result<Vec<Document>, YamlError> {
    let mut composer = Composer::of(text)?;
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let mut documents = Vec::new();
    while let Some(node) = composer.document()? {
        let (value, lines) = lines::told_apart(node, is_json);
        if !value.is_null() {
            documents.push(Document { value, lines });
        }
    }
    Ok(documents)
}

/// A value, and the lines of it and of what is in it.
#[derive(Clone)]
pub(crate) struct Node {
    line: usize,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Text(String),
    /// A scalar without quotes, or with a tag, which may say that it is text; Envoy ignores tags.
    Plain {
        text: String,
        is_text: bool,
    },
    /// A literal block, whose lines are those of the file, from the next line on.
    Literal(String),
    List(Vec<Node>),
    /// Members, each with the line of its name.
    Object(Vec<(String, usize, Node)>),
}

/// Builds values from the events of a parser.
struct Composer<'t> {
    text: &'t str,
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    anchors: BTreeMap<usize, Node>,
    values: usize,
}

impl<'t> Composer<'t> {
    fn of(text: &'t str) -> Result<Self, YamlError> {
        let bare = text.strip_prefix('\u{feff}');
        if bare.is_some_and(|rest| rest.trim_start().starts_with(['{', '['])) {
            return Err(YamlError {
                line: 1,
                message: "the file begins with a byte order mark, which Envoy does not take in \
                          JSON; hint: save it as UTF-8 without one"
                    .to_owned(),
            });
        }
        let text = bare.unwrap_or(text);
        Ok(Self {
            text,
            parser: Parser::new_from_str(text),
            anchors: BTreeMap::new(),
            values: 0,
        })
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), YamlError> {
        match self.parser.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.syntax(&error)),
            None => Ok((Event::StreamEnd, Span::default())),
        }
    }

    /// The value of the next document, if there is one.
    fn document(&mut self) -> Result<Option<Node>, YamlError> {
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(None),
                (Event::DocumentStart(_), _) => {
                    let (event, span) = self.next()?;
                    return self.node(event, span, 0).map(Some);
                }
                _ => {}
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, YamlError> {
        let line = span.start.line();
        self.count(1, line)?;
        if depth > MAX_DEPTH {
            let message = format!("expected at most {MAX_DEPTH} levels");
            return Err(YamlError { line, message });
        }
        let (content, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let content = match (style, tag) {
                    (ScalarStyle::Literal, None) => Content::Literal(text.into_owned()),
                    (style, tag) => scalar(&text, style, tag.as_deref(), line)?,
                };
                (content, anchor)
            }
            Event::SequenceStart(anchor, tag) => {
                untagged(tag.as_deref(), "seq", line)?;
                (Content::List(self.elements(depth)?), anchor)
            }
            Event::MappingStart(anchor, tag) => {
                untagged(tag.as_deref(), "map", line)?;
                (Content::Object(self.members(depth)?), anchor)
            }
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                let node = known.ok_or_else(|| YamlError {
                    line,
                    message: "an alias (`*`) stands inside of what it repeats".to_owned(),
                })?;
                self.count(size(&node), line)?;
                // Messages give the line where it is written.
                return Ok(node);
            }
            // An empty document.
            _ => (
                Content::Plain {
                    text: String::new(),
                    is_text: false,
                },
                0,
            ),
        };
        let node = Node { line, content };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Node>, YamlError> {
        let mut elements = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd | Event::StreamEnd, _) => return Ok(elements),
                (event, span) => elements.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn members(&mut self, depth: usize) -> Result<Vec<(String, usize, Node)>, YamlError> {
        let mut members: Vec<(String, usize, Node)> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            let line = span.start.line();
            let wrong = |message: String| Err(YamlError { line, message });
            let name = match event {
                Event::MappingEnd | Event::StreamEnd => return Ok(members),
                Event::Scalar(name, ..) => name.into_owned(),
                Event::Alias(_) => {
                    return wrong("expected a name, found an alias (`*`)".to_owned());
                }
                _ => return wrong("expected a name, found a list or an object".to_owned()),
            };
            if name == "<<" {
                return wrong(
                    "merge keys (`<<`) are not in YAML 1.2, and Envoy does not know them; hint: \
                     write the members out, as `yq 'explode(.)' FILE` does"
                        .to_owned(),
                );
            }
            if let Some((_, first, _)) = members.iter().find(|(known, ..)| *known == name) {
                return wrong(format!(
                    "`{}` stands here twice, first in line {first}; which one counts?",
                    name.escape_debug()
                ));
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            members.push((name, line, node));
        }
    }

    fn count(&mut self, number: usize, line: usize) -> Result<(), YamlError> {
        self.values += number;
        if self.values > MAX_VALUES {
            let message = format!("expected at most {MAX_VALUES} values");
            return Err(YamlError { line, message });
        }
        Ok(())
    }

    /// The parser's message, or the real cause where that is known.
    fn syntax(&self, error: &ScanError) -> YamlError {
        let told = error.marker().line();
        let mut lines = self.text.lines().enumerate();
        let tabbed = lines.find(|(index, line)| {
            let blanks = line.trim_start_matches([' ', '\t']);
            let indentation = line.strip_suffix(blanks).unwrap_or_default();
            // The parser gives the line where it stopped, which may be the next one.
            (told.saturating_sub(1)..=told + 1).contains(&(index + 1))
                && (indentation.contains('\t') || line.contains(":\t") || line.contains("-\t"))
        });
        match tabbed {
            Some((index, _)) => YamlError {
                line: index + 1,
                message: "a tab stands where YAML takes blanks only; hint: `expand -t 2 FILE`"
                    .to_owned(),
            },
            None => YamlError {
                line: told,
                message: format!("expected JSON or YAML: {}", error.info()),
            },
        }
    }
}

fn size(node: &Node) -> usize {
    1 + match &node.content {
        Content::Text(_) | Content::Plain { .. } | Content::Literal(_) => 0,
        Content::List(elements) => elements.iter().map(size).sum(),
        Content::Object(members) => members.iter().map(|(.., node)| size(node)).sum(),
    }
}

/// Refuses tags other than the one for what is there anyway.
fn untagged(tag: Option<&Tag>, own: &str, line: usize) -> Result<(), YamlError> {
    match tag {
        Some(tag) if !(tag.is_yaml_core_schema() && tag.suffix == own) => Err(unknown(tag, line)),
        _ => Ok(()),
    }
}

fn unknown(tag: &Tag, line: usize) -> YamlError {
    let message = format!("the tag `{tag}` is nothing that Envoy or Kubernetes knows");
    YamlError { line, message }
}

fn scalar(
    text: &str,
    style: ScalarStyle,
    tag: Option<&Tag>,
    line: usize,
) -> Result<Content, YamlError> {
    let text = text.to_owned();
    Ok(match tag {
        None if style == ScalarStyle::Plain => Content::Plain {
            text,
            is_text: false,
        },
        None => Content::Text(text),
        Some(tag) if tag.is_yaml_core_schema() => Content::Plain {
            text,
            is_text: tag.suffix == "str",
        },
        Some(tag) => return Err(unknown(tag, line)),
    })
}

#[cfg(test)]
mod tests;
