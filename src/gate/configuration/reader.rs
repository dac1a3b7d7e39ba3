//! Walking a configuration so that every fault in it is found in one go, each with its path.
//!
//! A derived deserialiser stops at the first fault, and an operator would start Envoy once for
//! every typing error. Here each value is asked for by name and type; what is wrong is written
//! down and the walk goes on. What was never asked for is an unknown key.

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

/// One thing that is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, `rules[0].match.prefix` for instance; empty for the configuration as a whole.
    pub path: String,
    /// What is wrong, and what was expected.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => formatter.write_str(&self.message),
            path => write!(formatter, "{path}: {}", self.message),
        }
    }
}

/// One reading of one configuration: where its variables come from, and what was found so far.
pub(super) struct Reading<'e> {
    environment: &'e dyn Fn(&str) -> Option<String>,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
    /// Every key that was asked for, for the test that compares the documentation with the code.
    #[cfg(test)]
    pub(super) asked: RefCell<std::collections::BTreeSet<String>>,
}

impl<'e> Reading<'e> {
    pub(super) fn new(environment: &'e dyn Fn(&str) -> Option<String>) -> Self {
        Self {
            environment,
            faults: RefCell::default(),
            warnings: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Faults and warnings.
    pub(super) fn into_findings(self) -> (Vec<Fault>, Vec<Fault>) {
        (self.faults.into_inner(), self.warnings.into_inner())
    }
}

/// One value of the configuration, and where it stands.
#[derive(Clone)]
pub(super) struct Node<'c> {
    value: &'c Value,
    path: String,
    reading: &'c Reading<'c>,
}

impl<'c> Node<'c> {
    pub(super) const fn root(value: &'c Value, reading: &'c Reading<'c>) -> Self {
        Self {
            value,
            path: String::new(),
            reading,
        }
    }

    /// Writes down a fault of this value.
    pub(super) fn fault(&self, message: impl Into<String>) {
        self.reading.faults.borrow_mut().push(self.remark(message));
    }

    /// Writes down what the operator should know about this value although it is no fault.
    pub(super) fn warning(&self, message: impl Into<String>) {
        self.reading
            .warnings
            .borrow_mut()
            .push(self.remark(message));
    }

    fn remark(&self, message: impl Into<String>) -> Fault {
        Fault {
            path: self.path.clone(),
            message: message.into(),
        }
    }

    /// An environment variable of the virtual machine.
    pub(super) fn variable(&self, name: &str) -> Option<String> {
        (self.reading.environment)(name)
    }

    fn mismatch<T>(&self, expected: &str) -> Option<T> {
        self.fault(format!(
            "expected {expected}, found {}",
            description(self.value)
        ));
        None
    }

    /// Whether it is an object, where something else may stand as well.
    pub(super) fn is_object(&self) -> bool {
        self.value.is_object()
    }

    pub(super) fn string(&self) -> Option<&'c str> {
        self.value.as_str().or_else(|| self.mismatch("a string"))
    }

    /// A string with at least one character.
    pub(super) fn text(&self) -> Option<&'c str> {
        match self.string()? {
            "" => self.mismatch("a string that is not empty"),
            text => Some(text),
        }
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.value
            .as_bool()
            .or_else(|| self.mismatch("`true` or `false`"))
    }

    /// A whole number from 0 to 2^32 - 1. A `google.protobuf.Struct` has only doubles, so `60.0`
    /// is one too.
    pub(super) fn whole_number(&self) -> Option<u32> {
        let whole = match self.value.as_u64() {
            Some(number) => u32::try_from(number).ok(),
            None => self.value.as_f64().and_then(whole),
        };
        whole.or_else(|| self.mismatch("a whole number from 0 to 4294967295"))
    }

    /// The value itself, whatever it is.
    pub(super) const fn value(&self) -> &'c Value {
        self.value
    }

    /// A whole number of either sign: as text, which is how protobuf writes 64 bits in JSON, as an
    /// integer, or as a double up to 2^32.
    pub(super) fn integer(&self) -> Option<i64> {
        let integer = match self.value {
            Value::Number(number) => number.as_i64().or_else(|| {
                let number = number.as_f64()?;
                let magnitude = i64::from(whole(number.abs())?);
                Some(if number < 0.0 { -magnitude } else { magnitude })
            }),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        integer.or_else(|| self.mismatch("a whole number"))
    }

    /// A length of time above zero as protobuf writes it in JSON: seconds with up to nine decimals
    /// and an `s`.
    pub(super) fn duration(&self) -> Option<Duration> {
        let duration = duration(self.string()?).filter(|duration| !duration.is_zero());
        duration.or_else(|| self.mismatch("a duration above zero, `300s` or `0.5s` for instance"))
    }

    /// The elements of a list.
    pub(super) fn elements(&self) -> Option<impl Iterator<Item = Self>> {
        let Value::Array(values) = self.value else {
            return self.mismatch("a list");
        };
        Some(values.iter().enumerate().map(|(index, value)| Self {
            value,
            path: format!("{}[{index}]", self.path),
            reading: self.reading,
        }))
    }

    /// The members of an object whose names the operator chooses.
    pub(super) fn entries(&self) -> Option<impl Iterator<Item = (&'c str, Self)>> {
        let members = self.members()?;
        Some(members.iter().map(|(name, value)| {
            let member = Self {
                value,
                path: joined(&self.path, name),
                reading: self.reading,
            };
            (name.as_str(), member)
        }))
    }

    /// Reads an object whose names are fixed. Members that `read` does not ask for are faults.
    pub(super) fn object<T>(&self, read: impl FnOnce(&mut Fields<'c>) -> Option<T>) -> Option<T> {
        let mut fields = Fields {
            node: self.clone(),
            members: self.members()?,
            known: Vec::new(),
            refused: Vec::new(),
        };
        let outcome = read(&mut fields);
        fields.refuse_unknown_keys();
        outcome
    }

    fn members(&self) -> Option<&'c Map<String, Value>> {
        self.value
            .as_object()
            .or_else(|| self.mismatch("an object"))
    }
}

/// The members of an object with fixed names.
pub(super) struct Fields<'c> {
    node: Node<'c>,
    members: &'c Map<String, Value>,
    known: Vec<&'static str>,
    refused: Vec<&'static str>,
}

impl<'c> Fields<'c> {
    /// The object itself, for faults that concern several of its members.
    pub(super) const fn node(&self) -> &Node<'c> {
        &self.node
    }

    /// A member that may be absent. `null` counts as absent, as in the JSON form of protobuf.
    pub(super) fn optional(&mut self, key: &'static str) -> Option<Node<'c>> {
        self.known.push(key);
        let path = joined(&self.node.path, key);
        #[cfg(test)]
        self.node.reading.asked.borrow_mut().insert(path.clone());
        let value = self.members.get(key).filter(|value| !value.is_null())?;
        Some(Node {
            value,
            path,
            reading: self.node.reading,
        })
    }

    /// A member that `jwt_authn` knows and that cannot be had here; `message` says why, and what
    /// to use in its place.
    pub(super) fn refused(&mut self, key: &'static str, message: &str) {
        self.refused.push(key);
        if self.members.get(key).is_some_and(|value| !value.is_null()) {
            self.fault_of(key, message);
        }
    }

    /// The one thing that was found among members of which there has to be exactly one.
    pub(super) fn one_of<T>(&self, found: Vec<Option<T>>, message: &str) -> Option<T> {
        let mut found = found.into_iter();
        if let (Some(one), None) = (found.next(), found.next()) {
            return one;
        }
        self.node.fault(message);
        None
    }

    /// A flag, with what it is when it is left out.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        let node = self.optional(key);
        node.and_then(|node| node.boolean()).unwrap_or(default)
    }

    /// The elements of a list; none when it is left out.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<Node<'c>> {
        let node = self.optional(key);
        let elements = node.and_then(|node| Some(node.elements()?.collect()));
        elements.unwrap_or_default()
    }

    /// A list of strings that are not empty.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<String> {
        let elements = self.list(key).into_iter();
        elements
            .filter_map(|node| node.text().map(str::to_owned))
            .collect()
    }

    /// A duration, with what it is when it is left out.
    pub(super) fn duration(&mut self, key: &'static str, default: Duration) -> Option<Duration> {
        match self.optional(key) {
            None => Some(default),
            Some(node) => node.duration(),
        }
    }

    /// A member that has to be there.
    pub(super) fn required(&mut self, key: &'static str) -> Option<Node<'c>> {
        let member = self.optional(key);
        if member.is_none() {
            self.node.fault(format!("`{key}` is missing"));
        }
        member
    }

    fn refuse_unknown_keys(&self) {
        for key in self.members.keys() {
            let is_known = |known: &[&str]| known.contains(&key.as_str());
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
    pub(super) fn fault_at(&self, path: String, message: &str) {
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

fn whole(number: f64) -> Option<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number that does not come back unchanged is refused"
    )]
    let candidate = number as u32;
    #[expect(clippy::float_cmp, reason = "equality is what makes it a whole number")]
    let unchanged = f64::from(candidate) == number;
    unchanged.then_some(candidate)
}

/// `300s` or `0.25s`. At most 10,000 years, as in protobuf.
fn duration(text: &str) -> Option<Duration> {
    const MOST_SECONDS: u64 = 315_576_000_000;
    let digits = text.strip_suffix('s')?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) || fraction.len() > 9 {
        return None;
    }
    let seconds = whole.parse().ok().filter(|whole| *whole <= MOST_SECONDS)?;
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(seconds, nanoseconds))
}

/// What a value is, in words. Never the value itself: it may be a key or a secret.
fn description(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

/// `a.b`, or `a["odd name"]` for names that would make the path unreadable.
pub(super) fn joined(path: &str, name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match (path, !name.is_empty() && name.bytes().all(is_plain)) {
        ("", true) => name.to_owned(),
        (path, true) => format!("{path}.{name}"),
        (path, false) => format!("{path}[\"{}\"]", name.escape_debug()),
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn durations_are_those_of_protobuf_json() {
        for (text, expected) in [
            ("300s", Duration::from_mins(5)),
            ("0.5s", Duration::from_millis(500)),
            ("1.000000001s", Duration::new(1, 1)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(duration(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "s",
            "300",
            "5m",
            "-1s",
            ".5s",
            "1.s",
            "1.0000000001s",
            "1e3s",
            "+1s",
            " 1s",
            "99999999999999999999s",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }
}
