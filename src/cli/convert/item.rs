//! A value that is translated, with its path, and remarks on it.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use crate::cli::configuration_file::{Document, under};
use crate::cli::yaml::plain;
use crate::configuration::{boolean, joined as joined_path, whole};

/// A warning or note, with its line and its path in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    pub(super) file: Rc<Path>,
    pub(super) line: usize,
    pub(super) path: String,
    pub(super) message: String,
    /// More goes through than before, or may; `--accept-differences` does not accept that.
    pub(super) opens: bool,
}

/// The remarks on a translation.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    /// What the translation does differently from the original.
    pub(super) differences: RefCell<Vec<Remark>>,
    /// What the reader should know although it is no difference, or one on purpose.
    pub(super) notes: RefCell<Vec<Remark>>,
}

/// A value in a document.
#[derive(Clone)]
pub(super) struct Item<'d> {
    pub(super) document: &'d Document,
    /// Path in the document.
    pub(super) path: String,
    pub(super) value: &'d Value,
    pub(super) remarks: &'d Remarks,
}

impl<'d> Item<'d> {
    /// A whole document.
    pub(super) const fn of(document: &'d Document, remarks: &'d Remarks) -> Self {
        Self {
            document,
            path: String::new(),
            value: &document.value,
            remarks,
        }
    }

    fn remark(&self, message: impl Into<String>) -> Remark {
        Remark {
            file: Rc::clone(&self.document.file),
            line: self.document.lines.of(&self.path),
            path: under(&self.document.path, &self.path),
            message: message.into(),
            opens: false,
        }
    }

    /// Warns that the translation is not, or not quite, the same.
    pub(super) fn differs(&self, message: impl Into<String>) {
        self.tell(self.remark(message));
    }

    /// Warns that more goes through than before, or may. `message` says that it OPENS something.
    pub(super) fn opens(&self, message: impl Into<String>) {
        let remark = Remark {
            opens: true,
            ..self.remark(message)
        };
        self.tell(remark);
    }

    /// Warns of what cannot be read. Neither Envoy nor Kubernetes takes such an original.
    fn unread(&self, message: &str) {
        self.opens(format!("{message}; {MENDED}"));
    }

    /// Warns of an unknown key, which may do anything in some version of the original.
    pub(super) fn is_unknown(&self) {
        self.opens(
            "is not known here, so it is left out; that may OPEN what it closed; hint: delete it in \
             the original if it did nothing, and convert again",
        );
    }

    /// Marks what was lost inside of this, a rule for instance, as opening something: it decides
    /// which requests get through.
    pub(super) fn lost_is_open(&self) {
        let path = under(&self.document.path, &self.path);
        let mut differences = self.remarks.differences.borrow_mut();
        for remark in differences.iter_mut().filter(|remark| !remark.opens) {
            let is_of_this = remark.file == self.document.file;
            let rest = remark.path.strip_prefix(&path).filter(|_| is_of_this);
            if rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])) {
                remark.opens = true;
                remark.message.push_str("; ");
                remark.message.push_str(MENDED);
            }
        }
    }

    fn tell(&self, remark: Remark) {
        let mut differences = self.remarks.differences.borrow_mut();
        if !differences.contains(&remark) {
            differences.push(remark);
        }
    }

    /// Adds a note.
    pub(super) fn note(&self, message: impl Into<String>) {
        let remark = self.remark(message);
        let mut notes = self.remarks.notes.borrow_mut();
        if !notes.contains(&remark) {
            notes.push(remark);
        }
    }

    /// A value inside of this one.
    pub(super) fn inner(&self, name: &str, value: &'d Value) -> Self {
        Self {
            path: joined_path(&self.path, name),
            value,
            ..self.clone()
        }
    }

    /// The members of an object; none of `null`.
    pub(super) fn members(&self) -> Vec<(&'d str, Self)> {
        let Some(members) = self.value.as_object() else {
            if !self.value.is_null() {
                self.unread("expected an object, so it is left out");
            }
            return Vec::new();
        };
        let members = members.iter();
        members
            .map(|(name, value)| (name.as_str(), self.inner(name, value)))
            .collect()
    }

    /// A member that is not `null`, by any spelling of its name that protobuf takes.
    pub(super) fn member(&self, name: &str) -> Option<Self> {
        let members = self.value.as_object()?;
        let mut members = members.iter().filter(|(_, value)| !value.is_null());
        let (name, value) = members.find(|(known, _)| plain(known) == plain(name))?;
        Some(self.inner(name, value))
    }

    /// A member that is not `null`, by a name that the operator has chosen.
    pub(super) fn exact(&self, name: &str) -> Option<Self> {
        let members = self.value.as_object()?;
        let (name, value) = members.get_key_value(name)?;
        (!value.is_null()).then(|| self.inner(name, value))
    }

    /// The elements of a list, or the single value in place of a list.
    pub(super) fn elements(&self) -> Vec<Self> {
        let Some(elements) = self.value.as_array() else {
            return vec![self.clone()];
        };
        let elements = elements.iter().enumerate().map(|(index, value)| Self {
            path: format!("{}[{index}]", self.path),
            value,
            ..self.clone()
        });
        elements.collect()
    }

    /// The elements of a list that may be absent.
    pub(super) fn list(&self, name: &str) -> Vec<Self> {
        let list = self.member(name);
        list.map_or_else(Vec::new, |list| list.elements())
    }

    /// A text that may be absent; an empty one is.
    pub(super) fn text_of(&self, name: &str) -> Option<String> {
        let member = self.member(name)?;
        member.text().filter(|text| !text.is_empty())
    }

    /// The texts of a list that may be absent.
    pub(super) fn texts_of(&self, name: &str) -> Vec<String> {
        self.list(name).iter().filter_map(Self::text).collect()
    }

    pub(super) fn flag_of(&self, name: &str) -> bool {
        self.member(name).and_then(|member| member.flag()) == Some(true)
    }

    /// A text. Envoy and Kubernetes refuse numbers and booleans where text is meant, and what is
    /// written without quotes may be one of these to them.
    pub(super) fn text(&self) -> Option<String> {
        let message = match self.value {
            Value::String(text) => return Some(text.clone()),
            Value::Number(_) | Value::Bool(_) => format!(
                "expected text, found `{}`, as which Envoy and Kubernetes read it without quotes, \
                 so it is left out",
                self.value
            ),
            _ => "expected text, so it is left out".to_owned(),
        };
        self.unread(&message);
        None
    }

    pub(super) fn flag(&self) -> Option<bool> {
        // A wrapper, as protobuf has them for values that may be absent.
        if let Some(wrapped) = self.member("value") {
            return wrapped.flag();
        }
        let flag = boolean(self.value);
        if flag.is_none() {
            self.differs("expected `true` or `false`, so it is left out");
        }
        flag
    }

    pub(super) fn number(&self) -> Option<Value> {
        if let Some(wrapped) = self.member("value") {
            return wrapped.number();
        }
        let number = whole(self.value);
        if number.is_none() {
            self.differs("expected a whole number, so it is left out");
        }
        number.map(Value::from)
    }

    /// A length of time as protobuf or Go write it, in protobuf's text: `300s`.
    pub(super) fn duration(&self) -> Option<Value> {
        let text = match self.value {
            Value::String(text) => duration(text),
            Value::Object(_) => {
                let part = |name: &str| {
                    let part = self.member(name).and_then(|part| part.number());
                    part.and_then(|part| part.as_u64()).unwrap_or_default()
                };
                Some(seconds(part("seconds"), part("nanos")))
            }
            _ => None,
        };
        if text.is_none() {
            self.differs("expected a duration, `300s` for instance, so it is left out");
        }
        text.map(Value::from)
    }

    /// Warns of every member that is none of these, and is left out.
    pub(super) fn refuse_others(&self, known: &[&str]) {
        for (name, member) in self.members() {
            let is_known = known.iter().any(|known| plain(known) == plain(name));
            if !is_known && !member.value.is_null() {
                member.is_unknown();
            }
        }
    }
}

const MENDED: &str =
    "that may OPEN what was closed; hint: mend it in the original, and convert again";

/// Go's format for durations includes protobuf's.
fn duration(text: &str) -> Option<String> {
    let is_known = text.ends_with('s') || text.ends_with('m') || text.ends_with('h');
    let is_decimal = text.contains('.');
    if is_decimal {
        let digits = text.strip_suffix('s')?;
        let is_number = digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        return is_number.then(|| text.to_owned());
    }
    let parsed = humantime::parse_duration(text).ok().filter(|_| is_known)?;
    Some(seconds(parsed.as_secs(), parsed.subsec_nanos().into()))
}

fn seconds(seconds: u64, nanoseconds: u64) -> String {
    if nanoseconds == 0 {
        return format!("{seconds}s");
    }
    let fraction = format!("{nanoseconds:09}");
    format!("{seconds}.{}s", fraction.trim_end_matches('0'))
}

/// These objects with their members renamed, from the first name to the second; the values are
/// text. `None` when there are none.
pub(super) fn renamed(objects: &[Item<'_>], names: [(&str, &str); 2]) -> Option<Value> {
    let renamed = objects.iter().map(|one| {
        one.refuse_others(&names.map(|(name, _)| name));
        object(names.map(|(name, own)| (own, one.text_of(name).map(Value::from))))
    });
    let renamed: Vec<_> = renamed.map(Value::from).collect();
    (!renamed.is_empty()).then(|| renamed.into())
}

/// A list of these texts; `None` when there are none.
pub(super) fn texts(texts: Vec<String>) -> Option<Value> {
    (!texts.is_empty()).then(|| texts.into())
}

/// An object with the members that are not `None`.
pub(super) fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let members = members.into_iter();
    members
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
}
