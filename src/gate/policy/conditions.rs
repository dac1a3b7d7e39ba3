//! What a requirement asks of the claims of a token.

use serde_json::Value;

use crate::token::Claims;

/// Words that have to be in a claim: scopes (RFC 6749 section 3.3), or ways to sign in (RFC 8176).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::gate) struct Words {
    /// Every one of these.
    pub(in crate::gate) all_of: Vec<String>,
    /// One of these; empty if none is needed.
    pub(in crate::gate) any_of: Vec<String>,
}

/// A condition on one claim.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::gate) struct ClaimCondition {
    /// Names of the members that lead to the value, outermost first.
    pub(in crate::gate) path: Vec<String>,
    pub(in crate::gate) test: ClaimTest,
}

/// What is asked of a claim. An absent claim fails all of these.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::gate) enum ClaimTest {
    /// It is there and not `null`.
    Present,
    /// It is one of these values.
    OneOf(Vec<Value>),
    /// It is a list with this element, or text with this word.
    Contains(Value),
}

impl Words {
    /// None are asked for.
    pub(in crate::gate) const NONE: Self = Self {
        all_of: Vec::new(),
        any_of: Vec::new(),
    };

    /// Whether they are in these claims, each of which is words with blanks between them, or a list of words.
    pub(super) fn are_in(&self, names: &[&str], claims: &Claims) -> bool {
        let has = |word: &String| {
            names.iter().any(|name| {
                let claim = claims.get(name);
                claim.is_some_and(|claim| contains(claim, word))
            })
        };
        self.all_of.iter().all(has) && (self.any_of.is_empty() || self.any_of.iter().any(has))
    }

    /// The scopes for a challenge (RFC 6750 section 3): those that are all needed, or else those of
    /// which one is needed.
    pub(in crate::gate) fn needed(&self) -> String {
        if self.all_of.is_empty() {
            self.any_of.join(" ")
        } else {
            self.all_of.join(" ")
        }
    }
}

impl ClaimCondition {
    pub(super) fn is_met(&self, claims: &Claims) -> bool {
        let Some(value) = claims.at(&self.path).filter(|value| !value.is_null()) else {
            return false;
        };
        match &self.test {
            ClaimTest::Present => true,
            ClaimTest::OneOf(expected) => expected.iter().any(|other| is_same(value, other)),
            ClaimTest::Contains(Value::String(word)) => contains(value, word),
            ClaimTest::Contains(expected) => {
                let elements = value.as_array();
                elements.is_some_and(|list| list.iter().any(|other| is_same(other, expected)))
            }
        }
    }
}

fn contains(value: &Value, word: &str) -> bool {
    match value {
        Value::String(text) => text.split(' ').any(|other| other == word),
        Value::Array(elements) => elements.iter().any(|element| element == word),
        _ => false,
    }
}

/// Equality of JSON values, where `1` and `1.0` are the same: a configuration that comes as a
/// `google.protobuf.Struct` has only the second.
fn is_same(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Number(one), Value::Number(other)) => {
            one == other || (one.is_f64() != other.is_f64() && one.as_f64() == other.as_f64())
        }
        _ => value == expected,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn claims(value: Value) -> Claims {
        match value {
            Value::Object(members) => Claims::new(members.into_iter().collect()).unwrap(),
            other => panic!("test data is not an object: {other}"),
        }
    }

    fn words(all_of: &[&str], any_of: &[&str]) -> Words {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        Words {
            all_of: owned(all_of),
            any_of: owned(any_of),
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn words_are_whole_words_of_one_of_the_claims() {
        let are_in = |words: Words, claims: &Claims| words.are_in(&["scope", "scp"], claims);
        for claims in [
            claims(json!({"scope": "read write"})),
            claims(json!({"scp": ["read", "write"]})),
            claims(json!({"scp": "read write"})),
        ] {
            assert!(are_in(words(&["read", "write"], &[]), &claims));
            assert!(are_in(words(&["read"], &["admin", "write"]), &claims));
            assert!(!are_in(words(&["read", "admin"], &[]), &claims));
            assert!(!are_in(words(&["rea"], &[]), &claims));
            assert!(!are_in(words(&[], &["admin"]), &claims));
        }
        assert!(!are_in(words(&["read"], &[]), &claims(json!({}))));
        assert!(are_in(words(&[], &[]), &claims(json!({}))));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn conditions_look_at_nested_claims_and_fail_on_absent_ones() {
        let claims = claims(json!({
            "role": "admin", "level": 3, "none": null, "verified": true,
            "realm": {"roles": ["a", 7]}, "https://x/y": "z",
        }));
        let is_met = |path: &[&str], test: ClaimTest| {
            let path = path.iter().map(|name| (*name).to_owned()).collect();
            ClaimCondition { path, test }.is_met(&claims)
        };
        let one_of = |values: &[Value]| ClaimTest::OneOf(values.to_vec());
        assert!(is_met(&["role"], one_of(&[json!("admin")])));
        assert!(is_met(&["role"], one_of(&[json!("x"), json!("admin")])));
        assert!(!is_met(&["role"], one_of(&[json!("adm")])));
        assert!(is_met(&["level"], one_of(&[json!(3.0)])));
        assert!(!is_met(&["level"], one_of(&[json!("3")])));
        assert!(is_met(&["verified"], ClaimTest::Present));
        assert!(!is_met(&["none"], ClaimTest::Present));
        assert!(!is_met(&["absent"], ClaimTest::Present));
        assert!(is_met(&["realm", "roles"], ClaimTest::Contains(json!("a"))));
        assert!(is_met(&["realm", "roles"], ClaimTest::Contains(json!(7.0))));
        assert!(!is_met(
            &["realm", "roles"],
            ClaimTest::Contains(json!("b"))
        ));
        assert!(is_met(&["https://x/y"], ClaimTest::Contains(json!("z"))));
    }
}
