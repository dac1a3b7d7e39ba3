//! The members of one object, as a list.
//!
//! A claims set has a dozen members. Walking through them finds one faster than a tree does, and
//! needs at most one allocation for each value, none for each name.

use std::collections::BinaryHeap;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::{JsonError, Strict, heap};

/// Up to this many members, a new name is compared with all earlier ones; beyond it, names are
/// sorted once at the end, since a token of 16 KiB has room for thousands.
const FEW: usize = 32;

/// The members of one object in the order of the text, no two of them with the same name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Members {
    /// All names, one after the other.
    names: String,
    list: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq)]
struct Member {
    tag: Tag,
    name: Range<usize>,
    value: Value,
}

/// The first bytes of a name and its length: all of a name of up to seven bytes, and enough of a
/// longer one to tell it from most others without a look at either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tag(u64);

impl Tag {
    const BYTES: usize = 7;

    fn of(name: &[u8]) -> Self {
        let length = u8::try_from(name.len()).unwrap_or(u8::MAX);
        let first = name.iter().take(Self::BYTES);
        Self(first.fold(u64::from(length), |tag, byte| tag << 8 | u64::from(*byte)))
    }
}

impl Members {
    /// The value of the member with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let index = self.index(name)?;
        self.list.get(index).map(|member| &member.value)
    }

    /// Takes the value of the member with this name out.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        let index = self.index(name)?;
        let member = self.list.get_mut(index)?;
        Some(member.value.take())
    }

    /// Names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let list = self.list.iter();
        list.map(|member| (self.name(&member.name), &member.value))
    }

    /// Bytes of memory that all of them hold together, the allocator's own included.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let values = self.list.iter();
        let values = values.map(|member| heap::value(&member.value));
        heap::block(self.names.capacity())
            + heap::list::<Member>(self.list.capacity())
            + values.sum::<usize>()
    }

    fn name(&self, range: &Range<usize>) -> &str {
        self.names.get(range.clone()).unwrap_or_default()
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.tagged(Tag::of(name.as_bytes()), name)
    }

    /// The index of the member with this name, whose tag is known.
    fn tagged(&self, tag: Tag, name: &str) -> Option<usize> {
        // As bytes, in which no character boundaries have to be looked for.
        let (names, name) = (self.names.as_bytes(), name.as_bytes());
        let is_it = |member: &Member| {
            member.tag == tag
                && (name.len() <= Tag::BYTES
                    || names.get(member.name.clone()).is_some_and(|it| it == name))
        };
        self.list.iter().position(is_it)
    }

    /// A name that two members have, of more than [`FEW`].
    fn repeated(&self) -> Option<&str> {
        // Sorted by a heap, which takes a tenth of the code that a slice's own methods take.
        let names: BinaryHeap<&str> = self.iter().map(|(name, _)| name).collect();
        let names = names.into_sorted_vec();
        names.windows(2).find_map(|pair| match pair {
            [first, second] if first == second => Some(*first),
            _ => None,
        })
    }
}

impl FromIterator<(String, Value)> for Members {
    fn from_iter<List: IntoIterator<Item = (String, Value)>>(list: List) -> Self {
        let mut members = Self::default();
        for (name, value) in list {
            let start = members.names.len();
            members.names.push_str(&name);
            members.list.push(Member {
                tag: Tag::of(name.as_bytes()),
                name: start..members.names.len(),
                value,
            });
        }
        members
    }
}

/// Reads the members of an object.
pub(super) struct Collect<'f>(pub(super) Strict<'f>);

impl<'de> Visitor<'de> for Collect<'_> {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let Self(strict) = self;
        let deeper = strict.deeper()?;
        let mut members = Members {
            names: String::with_capacity(96),
            list: Vec::with_capacity(16),
        };
        loop {
            let start = members.names.len();
            if map.next_key_seed(Name(&mut members.names))?.is_none() {
                break;
            }
            let range = start..members.names.len();
            let name = members.name(&range);
            let tag = Tag::of(name.as_bytes());
            if members.list.len() < FEW && members.tagged(tag, name).is_some() {
                let name = name.to_owned();
                return Err(strict.stop(JsonError::DuplicateMember { name }));
            }
            let value = map.next_value_seed(deeper)?;
            members.list.push(Member {
                tag,
                name: range,
                value,
            });
        }
        if members.list.len() > FEW
            && let Some(name) = members.repeated()
        {
            let name = name.to_owned();
            return Err(strict.stop(JsonError::DuplicateMember { name }));
        }
        Ok(members)
    }
}

/// Appends the next name to all the others.
struct Name<'n>(&'n mut String);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<(), E> {
        self.0.push_str(name);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::super::parse_object;
    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn members_are_found_by_their_whole_names() {
        let text = br#" {"a":1,"ab":[2],"":{"a":3},"\u0062":null} "#;
        let mut members = parse_object(text).unwrap().unwrap();
        assert_eq!(members.get("a"), Some(&json!(1)));
        assert_eq!(members.get("ab"), Some(&json!([2])));
        assert_eq!(members.get(""), Some(&json!({"a": 3})));
        assert_eq!(members.get("b"), Some(&Value::Null));
        assert_eq!(members.get("aba"), None);
        assert_eq!(members.take("a"), Some(json!(1)));
        let names: Vec<_> = members.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "ab", "", "b"]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn names_of_any_length_are_told_apart() {
        let long = |end: &str| format!("{}{end}", "n".repeat(300));
        let names = [
            "",
            "\0",
            "\0\0",
            "a",
            "a\0",
            "\u{1}",
            "sixsix",
            "seven77",
            "seven78",
            "eight888",
            "eight889",
            "seven778",
            "eigth888",
            &long("a"),
            &long("b"),
            &long("ab"),
        ];
        let members = names.iter().enumerate();
        let members = members.map(|(index, name)| ((*name).to_owned(), json!(index)));
        let members: Members = members.collect();
        for (index, name) in names.iter().enumerate() {
            assert_eq!(members.get(name), Some(&json!(index)), "{name:?}");
        }
        assert_eq!(members.get("seven7"), None);
        assert_eq!(members.get(&long("c")), None);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_no_object_is_none_and_what_is_no_json_an_error() {
        for text in ["[]", "1", " \"a\"", "null"] {
            assert_eq!(parse_object(text.as_bytes()), Ok(None), "{text}");
        }
        for text in ["", " ", "[", "{", "{}}", "{\"a\"}", "{1:1}", "{} x"] {
            let outcome = parse_object(text.as_bytes());
            assert!(matches!(outcome, Err(JsonError::Syntax { .. })), "{text}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_name_that_stands_twice_is_found_among_few_and_among_many() {
        for count in [2, FEW, FEW + 1, FEW + 2, 500] {
            let name = |number: usize| format!("\"m{number}\":{number}");
            let mut list: Vec<_> = (0..count).map(name).collect();
            let whole = format!("{{{}}}", list.join(","));
            let members = parse_object(whole.as_bytes()).unwrap().unwrap();
            assert_eq!(members.get("m1"), Some(&json!(1)), "{count}");
            for index in [1, count] {
                list.insert(index, name(0));
                let twice = format!("{{{}}}", list.join(","));
                let error = JsonError::DuplicateMember { name: "m0".into() };
                assert_eq!(parse_object(twice.as_bytes()), Err(error), "{count}");
                list.remove(index);
            }
        }
    }
}
