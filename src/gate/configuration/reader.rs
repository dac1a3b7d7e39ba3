//! Walking a configuration so that every fault in it is found in one go, each with its path.
//!
//! A derived deserialiser stops at the first fault, and an operator would start Envoy once for
//! every typing error. Here each value is asked for by name and type; what is wrong is written
//! down and the walk goes on. What was never asked for is an unknown key.
//!
//! What stands there and cannot be read is never taken for absent: a reader gives a value or
//! [`Unread`], which only [`Node::fault`] makes, and a [`Reading`] with a fault gives no policy.
//!
//! Every key and value may be spelt in each way that protobuf's JSON takes, as Envoy reads it: keys
//! in camel case too, one element in place of a list, numbers and booleans in quotes or in a
//! wrapper (`{value: 3}`), durations as text or as `{seconds: 300}`.

mod fields;
mod spelling;
#[cfg(not(target_family = "wasm"))]
mod usual;

use std::cell::RefCell;
use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

pub(super) use fields::{Fields, all, boolean_or, duration_or};
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

/// What is known of an environment variable of the virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// It has this value.
    Set(String),
    /// The virtual machine has no such variable.
    Unset,
    /// Only Envoy knows; never so in the filter itself.
    Unknown,
}

/// A value, or the proof that what stands in its place keeps the configuration from being used.
pub(super) type Read<T> = Result<T, Unread>;

/// The proof that a fault was written down. Made by [`Node::fault`] and nothing else.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread(());

/// One reading of one configuration: where its variables come from, and what was found so far.
pub(super) struct Reading<'e> {
    environment: &'e dyn Fn(&str) -> Variable,
    faults: RefCell<Vec<Fault>>,
    warnings: RefCell<Vec<Fault>>,
    #[cfg(not(target_family = "wasm"))]
    usual: RefCell<usual::Usual>,
    /// Every key that was asked for, for the test that compares the documentation with the code.
    #[cfg(test)]
    pub(super) asked: RefCell<std::collections::BTreeSet<String>>,
}

impl<'e> Reading<'e> {
    pub(super) fn new(environment: &'e dyn Fn(&str) -> Variable) -> Self {
        Self {
            environment,
            faults: RefCell::default(),
            warnings: RefCell::default(),
            #[cfg(not(target_family = "wasm"))]
            usual: RefCell::default(),
            #[cfg(test)]
            asked: RefCell::default(),
        }
    }

    /// Faults and warnings.
    pub(super) fn into_findings(self) -> (Vec<Fault>, Vec<Fault>) {
        (self.faults.into_inner(), self.warnings.into_inner())
    }

    /// What was read, in its usual spelling: keys in snake case, lists as lists, numbers and
    /// booleans without quotes and wrappers.
    #[cfg(not(target_family = "wasm"))]
    pub(super) fn in_usual_spelling(&self, read: &Value) -> Value {
        self.usual.borrow().spelling_of(read)
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
    pub(super) fn fault(&self, message: impl Into<String>) -> Unread {
        self.reading.faults.borrow_mut().push(self.remark(message));
        Unread(())
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

    /// What the environment variable of the virtual machine holds that this text names; `None`
    /// where only Envoy knows, which is a warning then.
    pub(super) fn variable(&self) -> Read<Option<String>> {
        let name = self.text()?;
        match (self.reading.environment)(name) {
            Variable::Set(value) => Ok(Some(value)),
            Variable::Unset => Err(self.fault(
                "the variable is not set in the virtual machine; \
                 hint: name it in `vm_config.environment_variables`",
            )),
            Variable::Unknown => {
                self.warning(format!(
                    "`{}` is not set here; Envoy does not start unless it is set there",
                    name.escape_default()
                ));
                Ok(None)
            }
        }
    }

    fn mismatch(&self, expected: &str) -> Unread {
        let found = description(self.value);
        self.fault(format!("expected {expected}, found {found}"))
    }

    /// Whether it is an object, where something else may stand as well.
    pub(super) fn is_object(&self) -> bool {
        self.value.is_object()
    }

    pub(super) fn string(&self) -> Read<&'c str> {
        let text = self.value.as_str();
        text.ok_or_else(|| self.mismatch("a string"))
    }

    /// A string with at least one character.
    pub(super) fn text(&self) -> Read<&'c str> {
        match self.string()? {
            "" => Err(self.mismatch("a string that is not empty")),
            text => Ok(text),
        }
    }

    pub(super) fn boolean(&self) -> Read<bool> {
        self.scalar("`true` or `false`", boolean)
    }

    /// A whole number from 0 to 2^32 - 1.
    pub(super) fn whole_number(&self) -> Read<u32> {
        self.scalar("a whole number from 0 to 4294967295", |value| {
            whole(value).and_then(|number| u32::try_from(number).ok())
        })
    }

    /// A whole number of either sign.
    pub(super) fn integer(&self) -> Read<i64> {
        self.scalar("a whole number", whole)
    }

    /// What `read` makes of the value, or of the one in its wrapper.
    fn scalar<T: Copy + Into<Value>>(
        &self,
        expected: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Read<T> {
        let node = self.unwrapped()?;
        let scalar = read(node.value).ok_or_else(|| node.mismatch(expected))?;
        self.usually(scalar);
        Ok(scalar)
    }

    /// The value, or the one in its wrapper.
    fn unwrapped(&self) -> Read<Self> {
        match self.value.get("value") {
            Some(_) => self.object(|fields| fields.required("value")),
            None => Ok(self.clone()),
        }
    }

    /// Remembers what this would be without quotes and wrappers.
    #[cfg(not(target_family = "wasm"))]
    fn usually(&self, value: impl Into<Value>) {
        let mut usual = self.reading.usual.borrow_mut();
        usual.replace(self.value, value.into());
    }

    #[cfg(target_family = "wasm")]
    #[expect(clippy::unused_self, reason = "nobody looks at it later on")]
    fn usually<T>(&self, _: T) {}

    /// The value itself, of any kind but `null`, which must not stand anywhere in it either.
    pub(super) fn value(&self) -> Read<&'c Value> {
        match self.value {
            Value::Null => return Err(self.mismatch("a value")),
            Value::Array(_) => {
                for element in self.elements()? {
                    element.value()?;
                }
            }
            Value::Object(_) => {
                for (_, member) in self.entries()? {
                    member.value()?;
                }
            }
            _ => {}
        }
        Ok(self.value)
    }

    /// A length of time above zero.
    pub(super) fn duration(&self) -> Read<Duration> {
        let duration = match self.value {
            Value::Object(_) => self.object(|fields| {
                let mut part = |key| fields.optional_as(key, Self::integer);
                let (seconds, nanoseconds) = (part("seconds"), part("nanos"));
                let (seconds, nanoseconds) = (seconds?, nanoseconds?);
                Ok(spelling::duration_of(
                    seconds.unwrap_or_default(),
                    nanoseconds.unwrap_or_default(),
                ))
            })?,
            Value::String(text) => spelling::duration(text),
            _ => None,
        };
        let duration = duration.filter(|duration| !duration.is_zero());
        duration.ok_or_else(|| match whole(self.value) {
            Some(number) if number > 0 => {
                self.fault(format!("expected a duration with its unit: `{number}s`"))
            }
            _ => self.mismatch("a duration above zero, `300s` or `0.5s` for instance"),
        })
    }

    /// The elements of a list. What is no list is one of a single element.
    pub(super) fn elements(&self) -> Read<Vec<Self>> {
        let Value::Array(values) = self.value else {
            if self.value.is_null() {
                return Err(self.mismatch("a list"));
            }
            #[cfg(not(target_family = "wasm"))]
            self.reading.usual.borrow_mut().enlist(self.value);
            return Ok(vec![self.clone()]);
        };
        let elements = values.iter().enumerate().map(|(index, value)| Self {
            value,
            path: format!("{}[{index}]", self.path),
            reading: self.reading,
        });
        Ok(elements.collect())
    }

    /// The members of an object whose names the operator chooses.
    pub(super) fn entries(&self) -> Read<impl Iterator<Item = (&'c str, Self)>> {
        let members = self.members()?;
        Ok(members.iter().map(|(name, value)| {
            let member = Self {
                value,
                path: joined(&self.path, name),
                reading: self.reading,
            };
            (name.as_str(), member)
        }))
    }

    /// Reads an object whose names are fixed. Members that `read` does not ask for are faults.
    pub(super) fn object<T>(&self, read: impl FnOnce(&mut Fields<'c>) -> Read<T>) -> Read<T> {
        let mut fields = Fields::of(self.clone(), self.members()?);
        let outcome = read(&mut fields);
        fields.refuse_unknown_keys();
        outcome
    }

    fn members(&self) -> Read<&'c Map<String, Value>> {
        let members = self.value.as_object();
        members.ok_or_else(|| self.mismatch("an object"))
    }
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
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match (path, !name.is_empty() && name.bytes().all(is_plain)) {
        ("", true) => name.to_owned(),
        (path, true) => format!("{path}.{name}"),
        (path, false) => format!("{path}[\"{}\"]", name.escape_default()),
    }
}
