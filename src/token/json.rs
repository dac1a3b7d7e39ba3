//! JSON as a security boundary wants it: one meaning per text.
//!
//! RFC 8259 leaves open what a repeated member means, and parsers disagree, so one party may check
//! the first `aud` and the next party use the second. RFC 7519 section 4 allows refusing such
//! texts, and RFC 8725 section 2.6 warns of the confusion: they are refused here, in tokens, in key
//! sets and in configurations alike.

pub(crate) mod heap;
mod members;

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::map::Entry;
use serde_json::{Map, Number, Value};

pub use members::Members;

/// Nesting that a text may have. Claims of real identity providers stay below six; the limit
/// keeps a crafted text from using up the stack (1 MiB in a WebAssembly module).
pub const MAX_JSON_DEPTH: usize = 32;

/// Why a text is not JSON that can be relied upon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not JSON (RFC 8259), or not UTF-8, or a number that no double can hold.
    #[error("invalid JSON at line {line} column {column}")]
    Syntax {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault, from 1; 0 where the fault is the end of a line.
        column: usize,
    },
    /// One object has two members of the same name.
    #[error("member `{}` appears twice", name.escape_default())]
    DuplicateMember {
        /// The name.
        name: String,
    },
    /// Nested deeper than [`MAX_JSON_DEPTH`].
    #[error("nested deeper than {MAX_JSON_DEPTH} levels")]
    TooDeep,
}

/// Parses one JSON text, refusing repeated members, deep nesting and anything after the value.
///
/// # Errors
///
/// [`JsonError`], which names the first fault.
pub fn parse(text: &[u8]) -> Result<Value, JsonError> {
    parse_with(text, |strict, deserializer| {
        strict.deserialize(deserializer)
    })
}

/// Parses one JSON text as [`parse`] does, where it is an object; `None` where it is something
/// else that is well-formed.
///
/// # Errors
///
/// As [`parse`].
pub fn parse_object(text: &[u8]) -> Result<Option<Members>, JsonError> {
    if !text.trim_ascii_start().starts_with(b"{") {
        return parse(text).map(|_| None);
    }
    let members = parse_with(text, |strict, deserializer| {
        deserializer.deserialize_map(members::Collect(strict))
    });
    members.map(Some)
}

fn parse_with<'t, T>(
    text: &'t [u8],
    read: impl FnOnce(
        Strict<'_>,
        &mut serde_json::Deserializer<serde_json::de::StrRead<'t>>,
    ) -> serde_json::Result<T>,
) -> Result<T, JsonError> {
    // Checking the whole text once costs less than checking every string in it.
    let text = str::from_utf8(text).map_err(|error| not_text(text, error.valid_up_to()))?;
    let fault = RefCell::new(None);
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let strict = Strict {
        depth: 0,
        fault: &fault,
    };
    let outcome =
        read(strict, &mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    outcome.map_err(|error| {
        fault.take().unwrap_or(JsonError::Syntax {
            line: error.line(),
            column: error.column(),
        })
    })
}

/// The position at which a text stops being UTF-8, counted as `serde_json` does.
fn not_text(text: &[u8], valid: usize) -> JsonError {
    let before = text.get(..valid).unwrap_or_default();
    let lines = memchr::memchr_iter(b'\n', before).count();
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    JsonError::Syntax {
        line: lines + 1,
        column: valid - line_start + 1,
    }
}

/// Builds a [`Value`] and stops at the first thing that has two meanings. The reason is left in
/// `fault`, since `serde_json`'s own error can carry only text.
#[derive(Clone, Copy)]
struct Strict<'f> {
    depth: usize,
    fault: &'f RefCell<Option<JsonError>>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth >= MAX_JSON_DEPTH {
            return Err(self.stop(JsonError::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    fn stop<E: serde::de::Error>(self, fault: JsonError) -> E {
        self.fault.replace(Some(fault));
        E::custom("refused")
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value)
            .map(Value::Number)
            .ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut values = Vec::new();
        while let Some(value) = elements.next_element_seed(deeper)? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let deeper = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            match object.entry(name) {
                Entry::Vacant(entry) => entry.insert(members.next_value_seed(deeper)?),
                Entry::Occupied(earlier) => {
                    let name = earlier.key().clone();
                    return Err(self.stop::<A::Error>(JsonError::DuplicateMember { name }));
                }
            };
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn ordinary_text_is_read_as_serde_json_reads_it() {
        let text = br#"{"a":[1,-2,0.5,true,null,"\u00e9"],"b":{"c":18446744073709551615}}"#;
        assert_eq!(
            parse(text).unwrap(),
            serde_json::from_slice::<Value>(text).unwrap()
        );
        assert_eq!(parse(b" [] ").unwrap(), json!([]));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn repeated_members_are_refused_at_every_depth_and_after_unescaping() {
        for text in [
            r#"{"aud":"a","aud":"b"}"#,
            r#"{"x":[{"aud":"a","aud":"b"}]}"#,
            r#"{"aud":"a","a\u0075d":"b"}"#,
        ] {
            assert_eq!(
                parse(text.as_bytes()),
                Err(JsonError::DuplicateMember { name: "aud".into() }),
                "{text}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_not_utf_8_is_refused_wherever_it_stands() {
        for (text, line, column) in [
            (&b"\xff"[..], 1, 1),
            (b"{\"a\xff\":1}", 1, 4),
            (b"{\n\"a\":\n\"\xc3\x28\"}", 3, 2),
            (b"\"\xed\xa0\x80\"", 1, 2),
            (b"{} \xff", 1, 4),
        ] {
            let error = JsonError::Syntax { line, column };
            assert_eq!(parse(text), Err(error.clone()), "{}", text.escape_ascii());
            assert_eq!(parse_object(text), Err(error), "{}", text.escape_ascii());
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn nesting_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(MAX_JSON_DEPTH).as_bytes()).is_ok());
        assert_eq!(
            parse(nested(MAX_JSON_DEPTH + 1).as_bytes()),
            Err(JsonError::TooDeep)
        );
        assert_eq!(
            parse("[".repeat(60_000).as_bytes()),
            Err(JsonError::TooDeep)
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_lenient_parsers_let_through_is_refused() {
        for text in [
            &b""[..],
            b"{} {}",
            b"{'a':1}",
            b"{a:1}",
            b"[1,]",
            b"{\"a\":1,}",
            b"\"\x01\"",
            b"\"\xff\"",
            b"1e400",
            b"NaN",
            b"\xef\xbb\xbf{}",
        ] {
            let outcome = parse(text);
            assert!(
                matches!(outcome, Err(JsonError::Syntax { .. })),
                "{} gave {outcome:?}",
                text.escape_ascii()
            );
        }
    }
}
