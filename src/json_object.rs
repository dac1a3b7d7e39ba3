//! Writing an object of JSON as text at once, member by member, where a tree of values would only be made
//! to be written.

use serde_json::Value;

/// A value as compact JSON. As text it would be written by other code, which indents as well and is twice as
/// long.
pub(crate) fn json_text(value: &Value) -> String {
    // Writing to memory does not fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// An object that is being written at the end of a text.
#[derive(Debug)]
pub(crate) struct JsonObject(Vec<u8>);

impl JsonObject {
    /// The beginning of an object behind this text.
    pub(crate) fn begin(mut text: Vec<u8>) -> Self {
        text.push(b'{');
        Self(text)
    }

    /// The name of the next member. Its value has to follow.
    pub(crate) fn name(&mut self, member: &str) {
        if self.0.last() != Some(&b'{') {
            self.0.push(b',');
        }
        self.write(member);
        self.0.push(b':');
    }

    /// A member with this text; none for `None`.
    pub(crate) fn text(&mut self, member: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.name(member);
            self.write(text);
        }
    }

    /// A member with this number.
    pub(crate) fn number(&mut self, member: &str, number: u64) {
        self.name(member);
        self.raw(number.to_string().as_bytes());
    }

    /// Text that is JSON already.
    pub(crate) fn raw(&mut self, json: &[u8]) {
        self.0.extend_from_slice(json);
    }

    fn write(&mut self, text: &str) {
        // Writing to memory does not fail.
        let _ = serde_json::to_writer(&mut self.0, text);
    }

    /// The text so far, for one who ends the object in another way.
    pub(crate) fn unended(self) -> Vec<u8> {
        self.0
    }

    /// The whole text.
    pub(crate) fn end(mut self) -> Vec<u8> {
        self.0.push(b'}');
        self.0
    }
}
