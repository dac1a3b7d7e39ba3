//! An object with fixed names, which are asked for one by one.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{Node, Read, Unread, joined, listed, spelling};

/// The members of an object with fixed names.
///
/// Those that may be absent are read to a default then, and also if a fault keeps the configuration
/// from being used.
pub(crate) struct Fields<'c> {
    node: Node<'c>,
    members: &'c Map<String, Value>,
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
}

impl<'c> Fields<'c> {
    /// Not inlined at each of the many objects of a configuration: it is read once, and the whole
    /// module compiled at each start.
    #[inline(never)]
    pub(super) fn of(node: Node<'c>) -> Read<Self> {
        Ok(Self {
            node,
            members: node.members()?,
            known: Vec::new(),
            refused: Vec::new(),
        })
    }

    /// The object itself, for faults that concern several of its members.
    pub(crate) const fn node(&self) -> Node<'c> {
        self.node
    }

    /// A member that may be absent. `null` is not absent, and cannot be read: a template leaves it
    /// where its value is missing, and it would switch off what the key is for.
    pub(crate) fn optional(&mut self, key: &'static str) -> Option<Node<'c>> {
        self.known.push(key);
        #[cfg(test)]
        self.node
            .reading
            .asked
            .borrow_mut()
            .push((self.node.value, key));
        self.member(key).map(|(_, value)| self.node.with(value))
    }

    /// The member of this name in either spelling, and how it is spelt.
    fn member(&self, key: &'static str) -> Option<(&'c str, &'c Value)> {
        let snake = self.members.get_key_value(key);
        let mut members = self.members.iter();
        let camel = members.find(|(name, _)| *name != key && spelling::is_camel_case(name, key));
        if let (Some(_), Some((name, _))) = (snake, camel) {
            self.fault_of(name, format!("is `{key}` too, which is here as well"));
        }
        #[cfg(not(target_family = "wasm"))]
        if let Some((_, value)) = camel {
            self.node.reading.usual.borrow_mut().rename(value, key);
        }
        let member = snake.or(camel);
        member.map(|(name, value)| (name.as_str(), value))
    }

    /// A member that may be absent, and counts as absent with a warning when it is `null`. Only for
    /// keys whose default admits no request that another value would refuse.
    pub(crate) fn nullable(&mut self, key: &'static str) -> Option<Node<'c>> {
        let node = self.optional(key)?;
        if node.value.is_null() {
            node.warning("is `null`, so the default counts");
            return None;
        }
        Some(node)
    }

    /// A text that may be absent, and counts as absent with a warning when it is empty. Only for
    /// keys of `jwt_authn` for which both mean the same.
    pub(crate) fn unset_if_empty(&mut self, key: &'static str) -> Option<Node<'c>> {
        let node = self.optional(key)?;
        if *node.value == "" {
            node.warning("is empty, so it counts as not set, as in `jwt_authn`");
            return None;
        }
        Some(node)
    }

    /// A member that has to be there.
    pub(crate) fn required(&mut self, key: &'static str) -> Read<Node<'c>> {
        let member = self.optional(key);
        member.ok_or_else(|| self.node.fault(format!("`{key}` is missing")))
    }

    /// A member that other software knows and that is not supported here; `message` says why, and
    /// what to use instead.
    pub(crate) fn refused(&mut self, key: &'static str, message: &str) {
        self.refused.push(key);
        if let Some((spelling, _)) = self.member(key) {
            self.fault_of(spelling, message.to_owned());
        }
    }

    /// The one of these members that is there, with what its key stands for.
    pub(crate) fn one_of<T: Copy>(&mut self, keys: &[(&'static str, T)]) -> Read<(T, Node<'c>)> {
        if let [found] = self.found(keys).as_slice() {
            return Ok(*found);
        }
        Err(match keys.len() {
            2 => self.expected("either", keys, "or"),
            _ => self.expected("one of", keys, "and"),
        })
    }

    /// The same where there may be none of them.
    pub(crate) fn at_most_one_of<T: Copy>(
        &mut self,
        keys: &[(&'static str, T)],
    ) -> Read<Option<(T, Node<'c>)>> {
        match self.found(keys).as_slice() {
            [] => Ok(None),
            [found] => Ok(Some(*found)),
            _ => Err(self.expected("at most one of", keys, "and")),
        }
    }

    fn found<T: Copy>(&mut self, keys: &[(&'static str, T)]) -> Vec<(T, Node<'c>)> {
        let keys = keys.iter();
        keys.filter_map(|(key, meaning)| Some((*meaning, self.optional(key)?)))
            .collect()
    }

    fn expected<T>(&self, words: &str, keys: &[(&'static str, T)], last: &str) -> Unread {
        let keys = listed(&mut keys.iter().map(|(key, _)| *key), last);
        self.node.fault(format!("expected {words} {keys}"))
    }

    /// A flag, with its default.
    pub(crate) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        boolean_or(self.optional(key), default)
    }

    /// A flag that may be `null`, see [`Self::nullable`].
    pub(crate) fn nullable_flag(&mut self, key: &'static str, default: bool) -> bool {
        boolean_or(self.nullable(key), default)
    }

    /// A duration, with its default.
    pub(crate) fn duration(&mut self, key: &'static str, default: Duration) -> Duration {
        duration_or(self.optional(key), default)
    }

    /// A duration that may be `null`, see [`Self::nullable`].
    pub(crate) fn nullable_duration(&mut self, key: &'static str, default: Duration) -> Duration {
        duration_or(self.nullable(key), default)
    }

    /// A duration that may be `0s`, with what it is when it is left out.
    pub(crate) fn grace(&mut self, key: &'static str, default: Duration) -> Duration {
        match self.optional(key) {
            Some(node) if *node.value == "0s" => Duration::ZERO,
            node => duration_or(node, default),
        }
    }

    /// A duration that has no default.
    pub(crate) fn optional_duration(&mut self, key: &'static str) -> Option<Duration> {
        self.optional(key)?.duration().ok()
    }

    /// A whole number from `least` to `most`.
    pub(crate) fn number(
        &mut self,
        key: &'static str,
        (least, most): (usize, usize),
        default: usize,
    ) -> usize {
        let node = self.optional(key);
        let Some((node, Ok(number))) = node.map(|node| (node, node.whole_number())) else {
            return default;
        };
        let number = usize::try_from(number).unwrap_or(usize::MAX);
        if !(least..=most).contains(&number) {
            node.fault(format!("expected a number from {least} to {most}"));
        }
        number
    }

    /// A required text that is not empty.
    pub(crate) fn required_text(&mut self, key: &'static str) -> Read<&'c str> {
        self.required(key)?.text()
    }

    /// An optional text that is not empty.
    pub(crate) fn optional_text(&mut self, key: &'static str) -> Option<&'c str> {
        self.optional(key)?.text().ok()
    }

    /// One of these words, or what counts when it is left out or `null`, see [`Self::nullable`].
    pub(crate) fn word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
    ) -> T {
        let node = self.nullable(key);
        let word = node.and_then(|node| node.word(words).ok());
        word.unwrap_or(default)
    }

    /// The same for keys of which `null` is a fault, since another value than the default would end or
    /// refuse more.
    pub(crate) fn strict_word<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&str, T)],
        default: T,
    ) -> T {
        let node = self.optional(key);
        let word = node.and_then(|node| node.word(words).ok());
        word.unwrap_or(default)
    }

    /// What `read` makes of each element of a list, which must not be empty; nothing when it is left out.
    pub(crate) fn some<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: fn(Node<'c>) -> Read<T>,
    ) -> Vec<T> {
        let elements = self.optional(key).map(|node| node.some_elements(expected));
        let Some(Ok(elements)) = elements else {
            return Vec::new();
        };
        all(elements, read).unwrap_or_default()
    }

    /// What `read` makes of each element of a list; nothing when it is left out.
    pub(crate) fn each<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(Node<'c>) -> Read<T>,
    ) -> Vec<T> {
        let mut values = Vec::new();
        // A loop: in a chain of adapters `read` would be inlined up to six times.
        if let Some(Ok(elements)) = self.optional(key).map(Node::elements) {
            for node in elements {
                if let Ok(value) = read(node) {
                    values.push(value);
                }
            }
        }
        values
    }

    /// A list of strings that are not empty.
    pub(crate) fn texts(&mut self, key: &'static str) -> Vec<String> {
        self.each(key, |node| node.text().map(str::to_owned))
    }

    pub(super) fn end(self) {
        for key in self.members.keys() {
            let mut known = self.known.iter().chain(&self.refused);
            if !known.any(|known| known == key || spelling::is_camel_case(key, known)) {
                self.fault_of(key, format!("unknown key{}", self.suggestion(key)));
            }
        }
    }

    fn fault_of(&self, key: &str, message: String) {
        let path = joined(&self.node.path(), key);
        self.node.reading.fault(path, message);
    }

    /// A fault of something inside, by its whole path.
    pub(crate) fn fault_at(&self, path: String, message: &str) {
        self.node.reading.fault(path, message.to_owned());
    }

    fn suggestion(&self, key: &str) -> String {
        if let Some(known) = nearest(key, &self.known) {
            return format!(", did you mean `{known}`?");
        }
        let known = listed(&mut self.known.iter().copied(), "and");
        format!(", expected one of {known}")
    }
}

/// Which of these keys may have been meant by one that is none of them.
pub(crate) fn nearest<'k>(key: &str, known: &[&'k str]) -> Option<&'k str> {
    /// Letters by which two keys may differ and still count as the same word, misspelt.
    const CLOSE: usize = 2;
    let plain = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let distance = |known: &str| strsim::levenshtein(&plain(key), &plain(known));
    let nearest = known.iter().min_by_key(|known| distance(known));
    nearest.filter(|known| distance(known) <= CLOSE).copied()
}

/// What `read` makes of each of these. All of them are read, so that a fault in one does not hide
/// those in the next.
pub(crate) fn all<'c, T>(
    nodes: impl Iterator<Item = Node<'c>>,
    read: impl Fn(Node<'c>) -> Read<T>,
) -> Read<Vec<T>> {
    let mut values = Vec::new();
    let mut outcome = Ok(());
    for node in nodes {
        match read(node) {
            Ok(value) => values.push(value),
            Err(unread) => outcome = Err(unread),
        }
    }
    outcome.map(|()| values)
}

/// The same of a list in which each name may stand once.
pub(crate) fn each_once<'c, T>(
    nodes: impl Iterator<Item = Node<'c>>,
    read: impl Fn(Node<'c>) -> Read<T>,
    name: impl Fn(&T) -> &str,
) -> Read<Vec<T>> {
    let nodes: Vec<_> = nodes.collect();
    let values = all(nodes.iter().copied(), read)?;
    for (index, (node, value)) in nodes.iter().zip(&values).enumerate() {
        let mut before = values.iter().take(index);
        if before.any(|earlier| name(earlier) == name(value)) {
            return Err(node.fault(format!("`{}` is in the list already", name(value))));
        }
    }
    Ok(values)
}

fn boolean_or(node: Option<Node<'_>>, default: bool) -> bool {
    let boolean = node.and_then(|node| node.boolean().ok());
    boolean.unwrap_or(default)
}

fn duration_or(node: Option<Node<'_>>, default: Duration) -> Duration {
    let duration = node.and_then(|node| node.duration().ok());
    duration.unwrap_or(default)
}
