//! Walking a configuration so that every fault in it is found in one go, each with its path.
//!
//! A derived deserialiser stops at the first fault, and an operator would start Envoy once for
//! every typing error. Here each value is asked for by name and type; what is wrong is written
//! down and the walk goes on. What was never asked for is an unknown key.

use std::cell::RefCell;
use std::fmt;

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

/// Keys of Envoy's `JwtAuthentication` that are not supported, so that an operator who pastes
/// a configuration is told that apart from a typing error.
const UNSUPPORTED_KEYS: [&str; 32] = [
    "allow_missing",
    "allow_missing_or_failed",
    "async_fetch",
    "bypass_cors_preflight",
    "case_sensitive",
    "claim_path",
    "clear_route_cache",
    "connect_matcher",
    "extract_only_without_validation",
    "failed_status_in_metadata",
    "filename",
    "filter_state_rules",
    "forward_payload_header",
    "from_cookies",
    "from_params",
    "header_in_metadata",
    "headers",
    "inline_bytes",
    "jwt_cache_config",
    "max_lifetime",
    "normalize_payload_in_metadata",
    "pad_forward_payload_header",
    "path_separated_prefix",
    "payload_in_metadata",
    "provider_and_audiences",
    "query_parameters",
    "remote_jwks",
    "requirement_map",
    "requirement_name",
    "requires_all",
    "requires_any",
    "safe_regex",
];

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    found: RefCell<Vec<Fault>>,
    /// Every key that was asked for, for the test that compares the documentation with the code.
    #[cfg(test)]
    pub(super) asked: RefCell<std::collections::BTreeSet<String>>,
}

impl Faults {
    pub(super) fn into_found(self) -> Vec<Fault> {
        self.found.into_inner()
    }
}

/// One value of the configuration, and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node<'c> {
    value: &'c Value,
    path: String,
    faults: &'c Faults,
}

impl<'c> Node<'c> {
    pub(super) const fn root(value: &'c Value, faults: &'c Faults) -> Self {
        Self {
            value,
            path: String::new(),
            faults,
        }
    }

    /// Writes down a fault of this value.
    pub(super) fn fault(&self, message: impl Into<String>) {
        self.faults.found.borrow_mut().push(self.remark(message));
    }

    /// Something to be said about this value that is no fault.
    pub(super) fn remark(&self, message: impl Into<String>) -> Fault {
        Fault {
            path: self.path.clone(),
            message: message.into(),
        }
    }

    fn mismatch<T>(&self, expected: &str) -> Option<T> {
        self.fault(format!(
            "expected {expected}, found {}",
            description(self.value)
        ));
        None
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

    /// The elements of a list.
    pub(super) fn elements(&self) -> Option<impl Iterator<Item = Self>> {
        let Value::Array(values) = self.value else {
            return self.mismatch("a list");
        };
        Some(values.iter().enumerate().map(|(index, value)| Self {
            value,
            path: format!("{}[{index}]", self.path),
            faults: self.faults,
        }))
    }

    /// The members of an object whose names the operator chooses.
    pub(super) fn entries(&self) -> Option<impl Iterator<Item = (&'c str, Self)>> {
        let members = self.members()?;
        Some(members.iter().map(|(name, value)| {
            let member = Self {
                value,
                path: joined(&self.path, name),
                faults: self.faults,
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
        self.node.faults.asked.borrow_mut().insert(path.clone());
        let value = self.members.get(key).filter(|value| !value.is_null())?;
        Some(Node {
            value,
            path,
            faults: self.node.faults,
        })
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
            if self.known.contains(&key.as_str()) {
                continue;
            }
            let message = if UNSUPPORTED_KEYS.contains(&key.as_str()) {
                "known to `jwt_authn`, but not supported here".to_owned()
            } else {
                format!("unknown key{}", self.suggestion(key))
            };
            self.node.faults.found.borrow_mut().push(Fault {
                path: joined(&self.node.path, key),
                message,
            });
        }
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
fn joined(path: &str, name: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    match (path, !name.is_empty() && name.bytes().all(is_plain)) {
        ("", true) => name.to_owned(),
        (path, true) => format!("{path}.{name}"),
        (path, false) => format!("{path}[\"{}\"]", name.escape_debug()),
    }
}
