//! The forms in which a configuration reaches the module.
//!
//! Envoy hands a `google.protobuf.StringValue` on as its text, and Istio sends JSON text; a
//! `google.protobuf.Struct`, which is how one writes YAML straight into Envoy's file, arrives as
//! protobuf bytes with every number a double.

use serde_json::{Map, Number, Value};

use crate::protobuf::{Message, bytes_key, fixed64_key, varint_key};
use crate::token::{JsonError, MAX_JSON_DEPTH, parse_json};

/// Reads either form.
///
/// A `Struct` begins with the byte 0x0A, which JSON allows as white space, so the first byte does
/// not tell. But the bytes of a non-empty `Struct` are never JSON, since its first key is not in
/// quotes; so JSON is tried first, and its error is reported when the bytes are neither.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_json(bytes).or_else(|error| match members(Message(bytes), MAX_JSON_DEPTH) {
        Some(members) if !members.is_empty() => Ok(Value::Object(members)),
        _ => Err(error),
    })
}

/// `message Struct { map<string, Value> fields = 1; }`. Anything else in the message makes it
/// something other than a `Struct`, as does a repeated name.
fn members(mut message: Message<'_>, levels: usize) -> Option<Map<String, Value>> {
    let levels = levels.checked_sub(1)?;
    let mut members = Map::new();
    while !message.is_empty() {
        if message.varint()? != bytes_key(1) {
            return None;
        }
        let (name, value) = member(Message(message.bytes()?), levels)?;
        if members.insert(name, value).is_some() {
            return None;
        }
    }
    Some(members)
}

/// An entry of a map is a message with the key as field 1 and the value as field 2; a missing field
/// is empty.
fn member(mut message: Message<'_>, levels: usize) -> Option<(String, Value)> {
    let (mut name, mut member) = ("", Value::Null);
    while !message.is_empty() {
        let key = message.varint()?;
        let bytes = message.bytes()?;
        if key == bytes_key(1) {
            name = str::from_utf8(bytes).ok()?;
        } else if key == bytes_key(2) {
            member = value(Message(bytes), levels)?;
        } else {
            return None;
        }
    }
    Some((name.to_owned(), member))
}

/// `message Value`, of which one of six fields is set, or none for `null`.
fn value(mut message: Message<'_>, levels: usize) -> Option<Value> {
    if message.is_empty() {
        return Some(Value::Null);
    }
    let key = message.varint()?;
    let value = if key == varint_key(1) {
        message.varint()?;
        Value::Null
    } else if key == fixed64_key(2) {
        Value::Number(Number::from_f64(message.double()?)?)
    } else if key == bytes_key(3) {
        Value::String(str::from_utf8(message.bytes()?).ok()?.to_owned())
    } else if key == varint_key(4) {
        Value::Bool(message.varint()? != 0)
    } else if key == bytes_key(5) {
        Value::Object(members(Message(message.bytes()?), levels)?)
    } else if key == bytes_key(6) {
        Value::Array(elements(Message(message.bytes()?), levels)?)
    } else {
        return None;
    };
    message.is_empty().then_some(value)
}

/// `message ListValue { repeated Value values = 1; }`
fn elements(mut message: Message<'_>, levels: usize) -> Option<Vec<Value>> {
    let levels = levels.checked_sub(1)?;
    let mut elements = Vec::new();
    while !message.is_empty() {
        if message.varint()? != bytes_key(1) {
            return None;
        }
        elements.push(value(Message(message.bytes()?), levels)?);
    }
    Some(elements)
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::value::Kind;
    use prost_types::{ListValue, Struct, Value as StructValue};
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn encoded(fields: Vec<(&str, Kind)>) -> Vec<u8> {
        let fields = fields.into_iter();
        let fields = fields.map(|(name, kind)| (name.to_owned(), StructValue { kind: Some(kind) }));
        Struct {
            fields: fields.collect(),
        }
        .encode_to_vec()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_struct_and_json_text_give_the_same() {
        let bytes = encoded(vec![
            ("allow_unmatched", Kind::BoolValue(true)),
            ("realm", Kind::StringValue("api".into())),
            ("number", Kind::NumberValue(60.0)),
        ]);
        let expected = json!({"allow_unmatched": true, "realm": "api", "number": 60.0});
        let nested = |kind| vec![StructValue { kind: Some(kind) }, StructValue { kind: None }];
        let list = Kind::ListValue(ListValue {
            values: nested(Kind::BoolValue(false)),
        });
        let inner = Struct {
            fields: [(String::new(), StructValue { kind: Some(list) })].into(),
        };
        assert_eq!(
            decode(&encoded(vec![
                ("a", Kind::StructValue(inner)),
                ("b", Kind::NullValue(0))
            ])),
            Ok(json!({"a": {"": [false, null]}, "b": null}))
        );
        assert_eq!(decode(&bytes), Ok(expected.clone()));
        assert_eq!(decode(format!("\n\t {expected}").as_bytes()), Ok(expected));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_struct_that_looks_like_json_at_its_start_is_still_one() {
        // The entry's length is 0x7B, the code of `{`.
        let text = "x".repeat(0x7b - 2 - 1 - 2 - 2);
        let bytes = encoded(vec![("a", Kind::StringValue(text.clone()))]);
        assert!(bytes.starts_with(b"\n{"), "{}", bytes.escape_ascii());
        assert_eq!(decode(&bytes), Ok(json!({"a": text})));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn bytes_that_are_neither_are_refused_with_the_position_in_the_text() {
        for bytes in [
            &b""[..],
            b"{\n  \"a\": 1,\n}",
            b"\xff\xff",
            b"providers: {}",
        ] {
            let outcome = decode(bytes);
            assert!(
                matches!(outcome, Err(JsonError::Syntax { .. })),
                "{outcome:?}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_struct_that_breaks_off_or_has_more_in_it_is_none() {
        let whole = encoded(vec![("a", Kind::StringValue("b".into()))]);
        assert!(decode(&whole).is_ok());
        for length in 1..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length}");
        }
        for more in [
            // Another field, the same name again, and two values of one name.
            [&whole[..], b"\x12\x00"].concat(),
            [&whole[..], &whole].concat(),
            b"\x0a\x0b\x0a\x01a\x12\x06\x1a\x01b\x1a\x01c".to_vec(),
            encoded(vec![("a", Kind::NumberValue(f64::NAN))]),
        ] {
            assert!(decode(&more).is_err(), "{}", more.escape_ascii());
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_struct_may_be_nested_as_deeply_as_json() {
        let nested = |levels: usize| {
            let mut kind = Kind::BoolValue(true);
            for _ in 0..levels {
                kind = Kind::ListValue(ListValue {
                    values: vec![StructValue { kind: Some(kind) }],
                });
            }
            let json = format!("{{\"a\":{}true{}}}", "[".repeat(levels), "]".repeat(levels));
            (decode(&encoded(vec![("a", kind)])), decode(json.as_bytes()))
        };
        let (read, json) = nested(MAX_JSON_DEPTH - 1);
        assert!(read.is_ok());
        assert_eq!(read, json);
        assert!(nested(MAX_JSON_DEPTH).0.is_err());
    }
}
