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

mod spelling;
#[cfg(not(target_family = "wasm"))]
mod usual;

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
        let node = self.unwrapped()?;
        let boolean = spelling::boolean(node.value);
        let boolean = boolean.ok_or_else(|| node.mismatch("`true` or `false`"))?;
        self.usually(boolean);
        Ok(boolean)
    }

    /// A whole number from 0 to 2^32 - 1.
    pub(super) fn whole_number(&self) -> Read<u32> {
        let node = self.unwrapped()?;
        let number = spelling::whole(node.value).and_then(|number| u32::try_from(number).ok());
        let expected = "a whole number from 0 to 4294967295";
        let number = number.ok_or_else(|| node.mismatch(expected))?;
        self.usually(number);
        Ok(number)
    }

    /// A whole number of either sign.
    pub(super) fn integer(&self) -> Read<i64> {
        let node = self.unwrapped()?;
        let number = spelling::whole(node.value);
        let number = number.ok_or_else(|| node.mismatch("a whole number"))?;
        self.usually(number);
        Ok(number)
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
        duration.ok_or_else(|| match spelling::whole(self.value) {
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

    fn members(&self) -> Read<&'c Map<String, Value>> {
        let members = self.value.as_object();
        members.ok_or_else(|| self.mismatch("an object"))
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

    /// A member that may be absent. `null` is there, and nothing that can be read: it is what a
    /// template leaves where its value is missing, and would switch off what the key is for.
    pub(super) fn optional(&mut self, key: &'static str) -> Option<Node<'c>> {
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
    pub(super) fn nullable(&mut self, key: &'static str) -> Option<Node<'c>> {
        let node = self.optional(key)?;
        if node.value.is_null() {
            node.warning("is `null`, so the default counts");
            return None;
        }
        Some(node)
    }

    /// A text that may be absent, and is so with a warning when it is empty. Only for keys of
    /// `jwt_authn` for which it means the same.
    pub(super) fn unset_if_empty(&mut self, key: &'static str) -> Option<Node<'c>> {
        let node = self.optional(key)?;
        if *node.value == "" {
            node.warning("is empty, so it counts as not set, as in `jwt_authn`");
            return None;
        }
        Some(node)
    }

    /// What `read` makes of a member that may be absent.
    pub(super) fn optional_as<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Node<'c>) -> Read<T>,
    ) -> Read<Option<T>> {
        self.optional(key).as_ref().map(read).transpose()
    }

    /// A member that `jwt_authn` knows and that cannot be had here; `message` says why, and what
    /// to use in its place.
    pub(super) fn refused(&mut self, key: &'static str, message: &str) {
        self.refused.push(key);
        if let Some((spelling, _)) = self.member(key) {
            self.fault_of(spelling, message);
        }
    }

    /// The one thing that was found among members of which there has to be exactly one.
    pub(super) fn one_of<T>(&self, found: Vec<Read<T>>, message: &str) -> Read<T> {
        let mut found = found.into_iter();
        if let (Some(one), None) = (found.next(), found.next()) {
            return one;
        }
        Err(self.node.fault(message))
    }

    /// A flag, with what it is when it is left out.
    pub(super) fn flag(&mut self, key: &'static str, default: bool) -> bool {
        boolean_or(self.optional(key), default)
    }

    /// The elements of a list; none when it is left out.
    pub(super) fn list(&mut self, key: &'static str) -> Vec<Node<'c>> {
        let elements = self.optional_as(key, Node::elements);
        elements.ok().flatten().unwrap_or_default()
    }

    /// What `read` makes of each element of a list; nothing when it is left out.
    pub(super) fn each<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&Node<'c>) -> Read<T>,
    ) -> Read<Vec<T>> {
        let values = self.optional_as(key, |node| all(&node.elements()?, read));
        Ok(values?.unwrap_or_default())
    }

    /// A list of strings that are not empty.
    pub(super) fn texts(&mut self, key: &'static str) -> Read<Vec<String>> {
        self.each(key, |node| node.text().map(str::to_owned))
    }

    /// A member that has to be there.
    pub(super) fn required(&mut self, key: &'static str) -> Read<Node<'c>> {
        let member = self.optional(key);
        member.ok_or_else(|| self.node.fault(format!("`{key}` is missing")))
    }

    fn refuse_unknown_keys(&self) {
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

/// What `read` makes of each of these; all of them are looked at, so that a fault in one does not
/// hide those in the next.
pub(super) fn all<'c, T>(nodes: &[Node<'c>], read: impl Fn(&Node<'c>) -> Read<T>) -> Read<Vec<T>> {
    let values: Vec<_> = nodes.iter().map(read).collect();
    values.into_iter().collect()
}

/// A flag, with what it is when it is left out. For one that cannot be read too, whose fault
/// keeps it from being used.
pub(super) fn boolean_or(node: Option<Node<'_>>, default: bool) -> bool {
    let boolean = node.and_then(|node| node.boolean().ok());
    boolean.unwrap_or(default)
}

/// A duration, with what it is when it is left out.
pub(super) fn duration_or(node: Option<Node<'_>>, default: Duration) -> Read<Duration> {
    node.map_or(Ok(default), |node| node.duration())
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

fn list(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
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
