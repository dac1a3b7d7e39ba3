//! The forms in which a configuration reaches the module.
//!
//! Envoy hands a `google.protobuf.StringValue` on as its text, and Istio sends JSON text; a
//! `google.protobuf.Struct`, which is how one writes YAML straight into Envoy's file, arrives as
//! protobuf bytes with every number a double.

use prost::Message as _;
use prost_types::value::Kind;
use prost_types::{Struct, Value as StructValue};
use serde_json::{Map, Number, Value};

use crate::token::{JsonError, parse_json};

/// Reads either form.
///
/// A `Struct` begins with the byte 0x0A, which JSON allows as white space, so the first byte does
/// not tell. But the bytes of a non-empty `Struct` are never JSON, since its first key stands in
/// it without quotes; so JSON is tried first, and its error is told when the bytes are neither.
pub(super) fn decode(bytes: &[u8]) -> Result<Value, JsonError> {
    parse_json(bytes).or_else(|error| match Struct::decode(bytes) {
        Ok(decoded) if !decoded.fields.is_empty() => Ok(object(decoded)),
        _ => Err(error),
    })
}

fn object(decoded: Struct) -> Value {
    // One by one: collecting them would bring a sorting algorithm into the module.
    let mut members = Map::new();
    for (name, member) in decoded.fields {
        members.insert(name, value(member));
    }
    Value::Object(members)
}

fn value(decoded: StructValue) -> Value {
    match decoded.kind {
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(boolean)) => Value::Bool(boolean),
        Some(Kind::NumberValue(number)) => {
            Number::from_f64(number).map_or(Value::Null, Value::Number)
        }
        Some(Kind::StringValue(text)) => Value::String(text),
        Some(Kind::ListValue(list)) => Value::Array(list.values.into_iter().map(value).collect()),
        Some(Kind::StructValue(inner)) => object(inner),
    }
}

#[cfg(test)]
mod tests {
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
    fn bytes_that_are_neither_are_refused_with_the_place_in_the_text() {
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
}
