//! Reading JSON exactly as the interface describes it.
//!
//! Derived deserializers accept a little more than they write: an array instead of an object, with
//! the members in the order of the source code, and an object with one member instead of an enum's
//! word. Neither is in the description, and `[]` would make a backup. So every request goes through
//! here, whatever its type and however deeply it is nested.

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error, IntoDeserializer as _, MapAccess,
    SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

/// Reads a value, with nothing but white space around it. Objects have to be objects, words have to
/// be text, and whole numbers, of which `1.0` is one, have to be below 2^63.
///
/// # Errors
///
/// What is wrong with the text, and where.
pub(super) fn from_slice<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = T::deserialize(Strict(&mut deserializer))?;
    deserializer.end()?;
    Ok(value)
}

/// Wraps one of serde's parts, and every part that it leads to.
struct Strict<T>(T);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Strict<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_any(Strict(visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_map(Strict(visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.0.deserialize_str(Word(visitor))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
        self.0.deserialize_option(Strict(visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Strict<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(formatter)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<V::Value, E> {
        self.0.visit_bool(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<V::Value, E> {
        self.0.visit_i64(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<V::Value, E> {
        if i64::try_from(value).is_err() {
            return Err(E::custom("expected a whole number below 2^63"));
        }
        self.0.visit_u64(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<V::Value, E> {
        // Below 2^63, and a double without a fraction is exactly what it says.
        if (0.0..9_223_372_036_854_775_808.0).contains(&value) && value.fract() == 0.0 {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range and the fraction were checked"
            )]
            return self.0.visit_u64(value as u64);
        }
        self.0.visit_f64(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<V::Value, E> {
        self.0.visit_str(value)
    }

    fn visit_unit<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_unit()
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.0.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<V::Value, D::Error> {
        self.0.visit_some(Strict(deserializer))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, elements: A) -> Result<V::Value, A::Error> {
        self.0.visit_seq(Strict(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<V::Value, A::Error> {
        self.0.visit_map(Strict(members))
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_element_seed(Strict(seed))
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Strict<A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, A::Error> {
        self.0.next_key_seed(seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.0.next_value_seed(Strict(seed))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Strict<S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.0.deserialize(Strict(deserializer))
    }
}

/// One of the words of an enum, as text.
struct Word<V>(V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Word<V> {
    type Value = V::Value;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.expecting(formatter)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<V::Value, E> {
        self.0.visit_enum(value.into_deserializer())
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::authority::request::{RestorationRequest, RevocationRequest};
    use crate::revocation::Kind;
    use crate::revocation::wire::CheckRequest;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        inner: Option<Inner>,
        #[serde(default)]
        list: Vec<Inner>,
        #[serde(default)]
        names: Vec<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        kind: Kind,
        count: u64,
    }

    fn told<T: DeserializeOwned + std::fmt::Debug>(json: &str) -> String {
        from_slice::<T>(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_array_is_no_object_however_deep_it_stands() {
        for json in [
            "[]",
            "[null,[],[]]",
            r#"{"inner":["token",1]}"#,
            r#"{"inner":null,"list":[{"kind":"token","count":1},["token",1]]}"#,
        ] {
            assert!(
                told::<Outer>(json).contains("invalid type: sequence"),
                "{json}"
            );
        }
        for json in ["[]", r#"["session","i","v",null]"#, r#"["session","i"]"#] {
            assert!(told::<RevocationRequest>(json).contains("invalid type: sequence"));
            assert!(told::<RestorationRequest>(json).contains("invalid type: sequence"));
            assert!(told::<CheckRequest>(json).contains("invalid type: sequence"));
        }
    }

    #[test]
    fn a_word_is_text() {
        for kind in [
            r#"{"token":null}"#,
            r#"["token"]"#,
            "0",
            "null",
            r#""user""#,
        ] {
            let json = format!(r#"{{"inner":{{"kind":{kind},"count":1}}}}"#);
            assert!(told::<Outer>(&json).contains("line 1 column"), "{kind}");
        }
    }

    #[test]
    fn whole_numbers_are_below_two_to_the_sixty_third_however_they_are_written() {
        let read = |count: &str| {
            let json = format!(r#"{{"kind":"token","count":{count}}}"#);
            from_slice::<Inner>(json.as_bytes())
                .map(|inner| inner.count)
                .ok()
        };
        let most = i64::MAX.unsigned_abs();
        assert_eq!(read("9223372036854775807"), Some(most));
        assert_eq!(read("156.0"), Some(156));
        assert_eq!(read("1e3"), Some(1_000));
        assert_eq!(read("-0.0"), Some(0));
        for count in [
            "9223372036854775808",
            "18446744073709551615",
            "1e19",
            "9223372036854775808.0",
            "-1",
            "1.5",
            "1e400",
            "\"1\"",
            "null",
            "true",
            "[]",
        ] {
            assert_eq!(read(count), None, "{count}");
        }
    }

    #[test]
    fn what_is_described_is_read() {
        let json = r#" {"inner":{"kind":"device","count":7},"list":[{"count":1,"kind":"issuer"}],
                        "names":["a","b\u00e9"]} "#;
        let inner = |kind, count| Inner { kind, count };
        let expected = Outer {
            inner: Some(inner(Kind::Device, 7)),
            list: vec![inner(Kind::Issuer, 1)],
            names: vec!["a".into(), "bé".into()],
        };
        assert_eq!(from_slice::<Outer>(json.as_bytes()).unwrap(), expected);
        for json in [
            "",
            "{}x",
            r#"{"inner":null,"inner":null}"#,
            r#"{"other":1}"#,
            "null",
        ] {
            told::<Outer>(json);
        }
    }
}
