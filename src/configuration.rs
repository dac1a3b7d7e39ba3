//! Reading a configuration so that every fault in it is found at once, each with its path.
//!
//! A derived deserialiser stops at the first fault, and an operator would start the program once
//! for every typing error. Here each value is asked for by name and type; a fault is noted and the
//! reading goes on. A key that nothing asks for is unknown, which is a fault.
//!
//! **What is there and cannot be read never counts as absent.** A reader gives a value or `Unread`,
//! which only a fault makes. If the value has a default, the default may stand in for what cannot
//! be read, which keeps the readers short: `Reading::findings` gives the faults, and with one of
//! them nothing that was read may be used.
//!
//! **Spelling.** Every key and value may be spelt in each way that protobuf's JSON takes, as Envoy
//! reads it: keys in camel case too, one element in place of a list, numbers and booleans in quotes
//! or in a wrapper (`{value: 3}`), durations as text or as `{seconds: 300}`.
//!
//! **Paths.** A `Node` does not carry its path. Only a fault needs one, and finds it by searching
//! the whole for the value: so nodes are two pointers that are copied, and the readers of ordinary
//! values, which are most of this code, have nothing to build up and to drop.

mod fields;
mod spelling;
#[cfg(not(target_family = "wasm"))]
mod usual;

use std::cell::RefCell;
use std::fmt;
use std::ptr;
use std::slice;
use std::time::Duration;

use serde_json::{Map, Value};

#[cfg(not(any(target_family = "wasm", fuzzing)))]
pub(crate) use fields::nearest;
pub(crate) use fields::{Fields, all, each_once};
pub(crate) use spelling::{boolean, whole};

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

/// What is known of an environment variable of the program that the configuration is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// It has this value.
    Set(String),
    /// There is no such variable.
    Unset,
    /// It cannot be looked up from here; this never happens where the configuration is used.
    Unknown,
}

/// A value, or the proof that what is there instead keeps the configuration from being used.
pub(crate) type Read<T> = Result<T, Unread>;

/// The proof that a fault was noted. Only [`Node::fault`] makes one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unread(());

/// One reading of one configuration, and what was found so far.
pub(crate) struct Reading<'c> {
    whole: &'c Value,
    environment: &'c dyn Fn(&str) -> Variable,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
    #[cfg(not(target_family = "wasm"))]
    usual: RefCell<usual::Usual>,
    /// Every key that was asked for, each with its object, for the test that compares the
    /// documentation with the code.
    #[cfg(test)]
    asked: RefCell<Vec<(*const Value, &'static str)>>,
}

impl<'c> Reading<'c> {
    pub(crate) fn new(whole: &'c Value, environment: &'c dyn Fn(&str) -> Variable) -> Self {
        Self {
            whole,
            environment,
            faults: RefCell::default(),
            warnings: RefCell::default(),
            #[cfg(not(target_family = "wasm"))]
            usual: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// The configuration as a whole.
    pub(crate) const fn root(&'c self) -> Node<'c> {
        Node {
            value: self.whole,
            reading: self,
        }
    }

    /// Faults and warnings. With a fault, nothing that was read may be used.
    pub(crate) fn findings(&self) -> (Vec<Fault>, Vec<Fault>) {
        (self.faults.take(), self.warnings.take())
    }

    /// What was read, in its usual spelling: keys in snake case, lists as lists, numbers and
    /// booleans without quotes and wrappers.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn in_usual_spelling(&self) -> Value {
        self.usual.borrow().spelling_of(self.whole)
    }

    /// The paths of all keys that were asked for.
    #[cfg(all(test, not(target_family = "wasm")))]
    pub(crate) fn asked(&self) -> std::collections::BTreeSet<String> {
        let asked = self.asked.borrow();
        let asked = asked
            .iter()
            .map(|(object, key)| joined(&path_of(*object, self.whole), key));
        asked.collect()
    }

    fn fault(&self, path: String, message: String) -> Unread {
        self.faults.borrow_mut().push(Fault { path, message });
        Unread(())
    }
}

/// One value of a configuration.
#[derive(Clone, Copy)]
pub(crate) struct Node<'c> {
    value: &'c Value,
    reading: &'c Reading<'c>,
}

impl<'c> Node<'c> {
    /// Notes a fault of this value.
    pub(crate) fn fault(self, message: impl Into<String>) -> Unread {
        self.reading.fault(self.path(), message.into())
    }

    /// Notes what the operator should know about this value although it is not a fault.
    pub(crate) fn warning(self, message: impl Into<String>) {
        let warning = Fault {
            path: self.path(),
            message: message.into(),
        };
        self.reading.warnings.borrow_mut().push(warning);
    }

    /// The path of the value. Each value of a configuration has an address of its own, and none is
    /// moved while it is read.
    pub(crate) fn path(self) -> String {
        path_of(self.value, self.reading.whole)
    }

    const fn with(self, value: &'c Value) -> Self {
        Self { value, ..self }
    }

    fn mismatch(self, expected: &str) -> Unread {
        let found = description(self.value);
        self.fault(format!("expected {expected}, found {found}"))
    }

    /// Whether it is an object, if something else may be there as well.
    pub(crate) fn is_object(self) -> bool {
        self.value.is_object()
    }

    pub(crate) fn string(self) -> Read<&'c str> {
        let text = self.value.as_str();
        text.ok_or_else(|| self.mismatch("a string"))
    }

    /// A string with at least one character.
    pub(crate) fn text(self) -> Read<&'c str> {
        match self.string()? {
            "" => Err(self.mismatch("a string that is not empty")),
            text => Ok(text),
        }
    }

    /// A text whose characters are all `expected`, in words and by a function.
    pub(crate) fn text_of(self, expected: &str, is_fit: fn(u8) -> bool) -> Read<&'c str> {
        let text = self.text()?;
        if text.bytes().all(is_fit) {
            return Ok(text);
        }
        Err(self.fault(format!("expected {expected}")))
    }

    /// One of these words, and what it stands for.
    pub(crate) fn word<T: Copy>(self, words: &[(&str, T)]) -> Read<T> {
        let text = self.string()?;
        let found = words.iter().find(|(word, _)| *word == text);
        found.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let mut words = words.iter().map(|(word, _)| *word);
            self.fault(format!("expected {}", listed(&mut words, "or")))
        })
    }

    /// What is known of the environment variable that this text names.
    pub(crate) fn variable(self) -> Read<Variable> {
        Ok((self.reading.environment)(self.text()?))
    }

    pub(crate) fn boolean(self) -> Read<bool> {
        let node = self.unwrapped()?;
        let boolean = boolean(node.value).ok_or_else(|| node.mismatch("`true` or `false`"))?;
        self.usually(boolean);
        Ok(boolean)
    }

    /// A whole number from 0 to 2^32 - 1.
    pub(crate) fn whole_number(self) -> Read<u32> {
        self.number(0, u32::MAX.into(), "a whole number from 0 to 4294967295")
            .map(|number| u32::try_from(number).unwrap_or_default())
    }

    /// A whole number of either sign.
    pub(crate) fn integer(self) -> Read<i64> {
        self.number(i64::MIN, i64::MAX, "a whole number")
    }

    fn number(self, least: i64, most: i64, expected: &str) -> Read<i64> {
        let node = self.unwrapped()?;
        let number = whole(node.value).filter(|number| (least..=most).contains(number));
        let number = number.ok_or_else(|| node.mismatch(expected))?;
        self.usually(number);
        Ok(number)
    }

    /// The value, or the one in its wrapper.
    fn unwrapped(self) -> Read<Self> {
        match self.value.get("value") {
            Some(_) => self.object(|fields| fields.required("value")),
            None => Ok(self),
        }
    }

    /// Notes what this would be without quotes and wrappers.
    #[cfg(not(target_family = "wasm"))]
    fn usually(self, value: impl Into<Value>) {
        let mut usual = self.reading.usual.borrow_mut();
        usual.replace(self.value, value.into());
    }

    #[cfg(target_family = "wasm")]
    #[expect(
        clippy::unused_self,
        reason = "the filter does not look at it later on"
    )]
    fn usually<T>(self, _: T) {}

    /// The value itself, of any kind but `null`, which must not be anywhere in it either.
    pub(crate) fn value(self) -> Read<&'c Value> {
        match self.value {
            Value::Null => return Err(self.mismatch("a value")),
            Value::Array(elements) => {
                for element in elements {
                    self.with(element).value()?;
                }
            }
            Value::Object(members) => {
                for member in members.values() {
                    self.with(member).value()?;
                }
            }
            _ => {}
        }
        Ok(self.value)
    }

    /// A length of time above zero.
    pub(crate) fn duration(self) -> Read<Duration> {
        let duration = match self.value {
            Value::Object(_) => self.object(|fields| {
                let mut part = |key| fields.optional(key).map_or(Ok(0), Self::integer);
                let (seconds, nanoseconds) = (part("seconds"), part("nanos"));
                Ok(spelling::duration_of(seconds?, nanoseconds?))
            })?,
            Value::String(text) => spelling::duration(text),
            _ => None,
        };
        let duration = duration.filter(|duration| !duration.is_zero());
        duration.ok_or_else(|| match whole(self.value) {
            Some(number) if number > 0 => {
                self.fault(format!("expected a duration with its unit: `{number}s`"))
            }
            _ => {
                const EXPECTED: &str = "a duration above zero, `300s` or `0.5s` for instance";
                match self.value {
                    Value::String(text) => {
                        let found = text.escape_default();
                        self.fault(format!("expected {EXPECTED}, found `{found}`"))
                    }
                    _ => self.mismatch(EXPECTED),
                }
            }
        })
    }

    /// The elements of a list. Anything else counts as a list of one element.
    pub(crate) fn elements(self) -> Read<impl ExactSizeIterator<Item = Self>> {
        let values = match self.value {
            Value::Array(values) => values,
            Value::Null => return Err(self.mismatch("a list")),
            single => {
                #[cfg(not(target_family = "wasm"))]
                self.reading.usual.borrow_mut().enlist(single);
                slice::from_ref(single)
            }
        };
        Ok(values.iter().map(move |value| self.with(value)))
    }

    /// The elements of a list that must not be empty.
    pub(crate) fn some_elements(self, expected: &str) -> Read<impl ExactSizeIterator<Item = Self>> {
        let elements = self.elements()?;
        if elements.len() == 0 {
            return Err(self.fault(format!("expected at least one {expected}")));
        }
        Ok(elements)
    }

    /// The members of an object whose names the operator chooses.
    pub(crate) fn entries(self) -> Read<impl ExactSizeIterator<Item = (&'c str, Self)>> {
        let members = self.members()?;
        Ok(members
            .iter()
            .map(move |(name, value)| (name.as_str(), self.with(value))))
    }

    /// Reads an object whose names are fixed. Members that `read` does not ask for are faults.
    pub(crate) fn object<T>(self, read: impl FnOnce(&mut Fields<'c>) -> Read<T>) -> Read<T> {
        let mut fields = Fields::of(self)?;
        let outcome = read(&mut fields);
        fields.end();
        outcome
    }

    fn members(self) -> Read<&'c Map<String, Value>> {
        let members = self.value.as_object();
        members.ok_or_else(|| self.mismatch("an object"))
    }
}

/// A step on the way to a value.
enum Step<'v> {
    Member(&'v str),
    Element(usize),
}

fn path_of(wanted: *const Value, whole: &Value) -> String {
    let mut steps = Vec::new();
    find(wanted, whole, &mut steps);
    let mut path = String::new();
    for step in steps.iter().rev() {
        match step {
            Step::Member(name) => append(&mut path, name),
            Step::Element(index) => {
                path.push('[');
                path.push_str(&index.to_string());
                path.push(']');
            }
        }
    }
    path
}

/// Whether the value is in this one, and the steps that lead there, the last one first.
fn find<'v>(wanted: *const Value, within: &'v Value, steps: &mut Vec<Step<'v>>) -> bool {
    if ptr::eq(within, wanted) {
        return true;
    }
    let step = match within {
        Value::Array(elements) => {
            let mut elements = elements.iter();
            let index = elements.position(|element| find(wanted, element, steps));
            index.map(Step::Element)
        }
        Value::Object(members) => {
            let mut members = members.iter();
            let member = members.find(|(_, member)| find(wanted, member, steps));
            member.map(|(name, _)| Step::Member(name))
        }
        _ => None,
    };
    let is_found = step.is_some();
    steps.extend(step);
    is_found
}

/// What a value is, in words. Never the value itself: it may be a key or a secret.
fn description(value: &Value) -> &'static str {
    match value {
        Value::Null => "`null`",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(text) if text.is_empty() => "an empty string",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// `a.b`, or `a["odd name"]` for names that would make the path unreadable.
pub(crate) fn joined(path: &str, name: &str) -> String {
    let mut path = path.to_owned();
    append(&mut path, name);
    path
}

fn append(path: &mut String, name: &str) {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || !name.bytes().all(is_plain) {
        path.push_str("[\"");
        path.extend(name.escape_default());
        path.push_str("\"]");
        return;
    }
    if !path.is_empty() {
        path.push('.');
    }
    path.push_str(name);
}

/// `a`, `b` and `c`; the last two with this word between them.
///
/// Over any iterator, so that there is one of it in the filter and not one for each kind of list.
fn listed(names: &mut dyn ExactSizeIterator<Item = &str>, word: &str) -> String {
    let mut text = String::new();
    let last = names.len().saturating_sub(1);
    for (index, name) in names.enumerate() {
        if index > 0 && index == last {
            text = text + " " + word + " ";
        } else if index > 0 {
            text += ", ";
        }
        text = text + "`" + name + "`";
    }
    text
}
