//! An object whose names are fixed, and what is asked of it by name.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Fault, Node, Read, joined, spelling};

/// The members of an object with fixed names.
pub(in super::super) struct Fields<'c> {
    node: Node<'c>,
    members: &'c Map<String, Value>,
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
}

impl<'c> Fields<'c> {
    pub(super) const fn of(node: Node<'c>, members: &'c Map<String, Value>) -> Self {
        Self {
            node,
            members,
            known: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The object itself, for faults that concern several of its members.
    pub(in super::super) const fn node(&self) -> &Node<'c> {
        &self.node
    }

    /// A member that may be absent. `null` is there, and nothing that can be read: it is what a
    /// template leaves where its value is missing, and would switch off what the key is for.
    pub(in super::super) fn optional(&mut self, key: &'static str) -> Option<Node<'c>> {
        self.known.push(key);
        let reading = self.node.reading;
        #[cfg(test)]
        reading
            .asked
            .borrow_mut()
            .insert(joined(&self.node.path, key));
        let (spelling, value) = self.member(key)?;
        Some(Node {
            value,
            path: joined(&self.node.path, spelling),
            reading,
        })
    }

    /// The member of this name in either spelling, and how it is spelt.
    fn member(&self, key: &'static str) -> Option<(&'c str, &'c Value)> {
        let snake = self.members.get_key_value(key);
        let mut members = self.members.iter();
        let camel = members.find(|(name, _)| *name != key && spelling::is_camel_case(name, key));
        if let (Some(_), Some((name, _))) = (snake, camel) {
            self.fault_of(name, format!("is `{key}` too, which stands here as well"));
        }
        #[cfg(not(target_family = "wasm"))]
        if let Some((_, value)) = camel {
            self.node.reading.usual.borrow_mut().rename(value, key);
        }
        let member = snake.or(camel);
        member.map(|(name, value)| (name.as_str(), value))
    }

    /// A member that may be absent, and is so with a warning when it is `null`. Only for keys whose
    /// default lets nobody in whom another value would keep out.
    pub(in super::super) fn nullable(&mut self, key: &'static str) -> Option<Node<'c>> {
        let node = self.optional(key)?;
        if node.value.is_null() {
            node.warning("is `null`, so the default counts");
            return None;
        }
        Some(node)
    }

    /// A text that may be absent, and is so with a warning when it is empty. Only for keys of
    /// `jwt_authn` for which it means the same.
    pub(in super::super) fn unset_if_empty(&mut self, key: &'static str) -> Option<Node<'c>> {
        let node = self.optional(key)?;
        if *node.value == "" {
            node.warning("is empty, so it counts as not set, as in `jwt_authn`");
            return None;
        }
        Some(node)
    }

    /// What `read` makes of a member that may be absent.
    pub(in super::super) fn optional_as<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node<'c>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.optional(key).as_ref().map(read).transpose()
    }

    /// A member that `jwt_authn` knows and that cannot be had here; `message` says why, and what
    /// to use in its place.
    pub(in super::super) fn refused(&mut self, key: &'static str, message: &str) {
        self.refused.push(key);
        if let Some((spelling, _)) = self.member(key) {
            self.fault_of(spelling, message);
        }
    }

    /// The one thing that was found among members of which there has to be exactly one.
    pub(in super::super) fn one_of<T>(&self, found: Vec<Read<T>>, message: &str) -> Read<T> {
        let mut found = found.into_iter();
        if let (Some(one), None) = (found.next(), found.next()) {
            return one;
        }
        Err(self.node.fault(message))
    }

    /// A flag, with what it is when it is left out.
    pub(in super::super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        boolean_or(self.optional(key), default)
    }

    /// The elements of a list; none when it is left out.
    pub(in super::super) fn list(&mut self, key: &'static str) -> Vec<Node<'c>> {
        let elements = self.optional_as(key, Node::elements);
        elements.ok().flatten().unwrap_or_default()
    }

    /// What `read` makes of each element of a list; nothing when it is left out.
    pub(in super::super) fn each<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Node<'c>) -> Read<T>,
    ) -> Read<Vec<T>> {
        let values = self.optional_as(key, |node| all(&node.elements()?, read));
        Ok(values?.unwrap_or_default())
    }

    /// A list of strings that are not empty.
    pub(in super::super) fn texts(&mut self, key: &'static str) -> Read<Vec<String>> {
        self.each(key, |node| node.text().map(str::to_owned))
    }

    /// A member that has to be there.
    pub(in super::super) fn required(&mut self, key: &'static str) -> Read<Node<'c>> {
        let member = self.optional(key);
        member.ok_or_else(|| self.node.fault(format!("`{key}` is missing")))
    }

    pub(super) fn refuse_unknown_keys(&self) {
        for key in self.members.keys() {
            let is_key = |known: &&str| known == key || spelling::is_camel_case(key, known);
            let is_known = |known: &[&str]| known.iter().any(is_key);
            if !is_known(&self.known) && !is_known(&self.refused) {
                self.fault_of(key, format!("unknown key{}", self.suggestion(key)));
            }
        }
    }

    fn fault_of(&self, key: &str, message: impl Into<String>) {
        self.node.reading.faults.borrow_mut().push(Fault {
            path: joined(&self.node.path, key),
            message: message.into(),
        });
    }

    /// A fault of something below, by its whole path.
    pub(in super::super) fn fault_at(&self, path: String, message: &str) {
        self.node.reading.faults.borrow_mut().push(Fault {
            path,
            message: message.to_owned(),
        });
    }

    fn suggestion(&self, key: &str) -> String {
        /// Letters that may differ before two keys count as different words.
        const CLOSE: usize = 2;
        let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
        let distance = |known: &str| strsim::levenshtein(&plain(key), &plain(known));
        let nearest = self.known.iter().min_by_key(|known| distance(known));
        match nearest.filter(|known| distance(known) <= CLOSE) {
            Some(known) => format!(", did you mean `{known}`?"),
            None => format!(", expected one of {}", list(&self.known)),
        }
    }
}

/// What `read` makes of each of these; all of them are looked at, so that a fault in one does not
/// hide those in the next.
pub(in super::super) fn all<'c, T>(
    nodes: &[Node<'c>],
    read: impl Fn(&Node<'c>) -> Read<T>,
) -> Read<Vec<T>> {
    let values: Vec<_> = nodes.iter().map(read).collect();
    values.into_iter().collect()
}

/// A flag, with what it is when it is left out. For one that cannot be read too, whose fault
/// keeps it from being used.
pub(in super::super) fn boolean_or(node: Option<Node<'_>>, default: bool) -> bool {
    let boolean = node.and_then(|node| node.boolean().ok());
    boolean.unwrap_or(default)
}

/// A duration, with what it is when it is left out.
pub(in super::super) fn duration_or(node: Option<Node<'_>>, default: Duration) -> Read<Duration> {
    node.map_or(Ok(default), |node| node.duration())
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
