//! Translation by tables: the members that a protobuf object may have, and what becomes of each.

use serde_json::{Map, Value};

use super::item::Item;
use crate::cli::yaml::plain;

/// The type of a value.
pub(super) enum Shape {
    Text,
    Flag,
    Number,
    Duration,
    /// A list, or the one element of it.
    List(&'static Shape),
    /// An object whose names the operator chooses.
    Named(&'static Shape),
    /// An object whose names are fixed.
    Object(&'static [Member]),
    /// `{}`, whatever is in it.
    Empty,
}

/// A member of an object, by its name in snake case.
pub(super) struct Member {
    name: &'static str,
    fate: Fate,
}

enum Fate {
    /// It means the same.
    Kept(&'static Shape),
    /// It is left out, which changes nothing.
    Needless(&'static str),
    /// It is left out, which changes something.
    Lost(&'static str),
    /// Other code reads it.
    Elsewhere,
}

impl Member {
    pub(super) const fn kept(name: &'static str, shape: &'static Shape) -> Self {
        let fate = Fate::Kept(shape);
        Self { name, fate }
    }

    pub(super) const fn needless(name: &'static str, message: &'static str) -> Self {
        let fate = Fate::Needless(message);
        Self { name, fate }
    }

    pub(super) const fn lost(name: &'static str, message: &'static str) -> Self {
        let fate = Fate::Lost(message);
        Self { name, fate }
    }

    pub(super) const fn elsewhere(name: &'static str) -> Self {
        let fate = Fate::Elsewhere;
        Self { name, fate }
    }
}

impl Shape {
    /// The value in the usual spelling; `None` for what cannot be read, with a warning.
    pub(super) fn of(&self, item: &Item<'_>) -> Option<Value> {
        match self {
            Self::Text => item.text().map(Value::String),
            Self::Flag => item.flag().map(Value::Bool),
            Self::Number => item.number(),
            Self::Duration => item.duration(),
            Self::List(shape) => {
                let elements = item.elements();
                let elements = elements.iter().filter_map(|element| shape.of(element));
                Some(elements.collect())
            }
            Self::Named(shape) => {
                let members = item.members().into_iter();
                let members = members
                    .filter_map(|(name, member)| Some((name.to_owned(), shape.of(&member)?)));
                Some(Value::Object(members.collect()))
            }
            Self::Object(members) => Some(Value::Object(fields(item, members))),
            Self::Empty => Some(Value::Object(Map::new())),
        }
    }
}

/// The members of an object that stay, by their names in snake case.
pub(super) fn fields(item: &Item<'_>, members: &'static [Member]) -> Map<String, Value> {
    let mut kept = Map::new();
    for (name, inner) in item.members() {
        if name == "@type" {
            continue;
        }
        let known = members
            .iter()
            .find(|member| plain(member.name) == plain(name));
        let Some(member) = known else {
            inner.is_unknown();
            continue;
        };
        if inner.value.is_null() {
            inner.note("is `null`, which protobuf takes for left out");
            continue;
        }
        match &member.fate {
            Fate::Kept(shape) => {
                if let Some(value) = shape.of(&inner) {
                    kept.insert(member.name.to_owned(), value);
                }
            }
            Fate::Needless(message) => inner.note(*message),
            Fate::Lost(message) => inner.differs(*message),
            Fate::Elsewhere => {}
        }
    }
    kept
}
