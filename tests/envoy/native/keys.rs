//! Keys that the two filters treat differently.

use serde_json::{Value, json};

use super::Requests;
use super::requests::api;
use super::trials::usual;
use crate::support::{Token, jwks};

/// An RSA key of 1024 bits, and a token of it that outlasts this test.
fn weak() -> Value {
    serde_json::from_str(include_str!("../../vectors/weak-rsa.json")).unwrap()
}

/// RSA keys of 4608 bits and with the exponent 3, each with a token that outlasts this test.
fn odd() -> [Value; 2] {
    let file: Value = serde_json::from_str(include_str!("../../vectors/odd-rsa.json")).unwrap();
    [file["keys"][0].clone(), file["keys"][1].clone()]
}

/// This many copies of the key of this name, each with another `kid`, and then the key `es256`.
fn behind(name: &str, count: usize) -> Value {
    let mut set: Value = serde_json::from_str(&jwks(&[name, "es256"])).unwrap();
    let keys = set["keys"].as_array_mut().unwrap();
    let last = keys.pop().unwrap();
    let other = keys.pop().unwrap();
    for index in 0..count {
        let mut key = other.clone();
        key["kid"] = format!("another-{index}").into();
        keys.push(key);
    }
    keys.push(last);
    usual(json!({"local_jwks": {"inline_string": set.to_string()}}))
}

pub(super) fn more_than_256() -> Value {
    behind("rs256", 256)
}

pub(super) fn of_the_last() -> Requests {
    let first = Token::signed_by("rs256").header("kid", "another-0");
    vec![
        ("the first key", api().bearer(first)),
        ("the 257th key", api().bearer(Token::signed_by("es256"))),
    ]
}

pub(super) fn nine_of_an_algorithm() -> Value {
    behind("es256-other", 8)
}

pub(super) fn without_a_name() -> Requests {
    let nameless = |key| Token::signed_by(key).without_header("kid");
    vec![
        ("the first key", api().bearer(nameless("es256-other"))),
        ("the ninth key", api().bearer(nameless("es256"))),
        (
            "the ninth key by its name",
            api().bearer(Token::signed_by("es256")),
        ),
    ]
}

/// A key without `kid`, before another one.
pub(super) fn with_a_nameless_key() -> Value {
    let mut set: Value = serde_json::from_str(&jwks(&["eddsa", "rs256"])).unwrap();
    for member in ["alg", "kid"] {
        set["keys"][0].as_object_mut().unwrap().remove(member);
    }
    usual(json!({"local_jwks": {"inline_string": set.to_string()}}))
}

pub(super) fn for_a_nameless_key() -> Requests {
    vec![
        ("EdDSA", api().bearer(Token::signed_by("eddsa"))),
        ("RS256", api().bearer(Token::signed_by("rs256"))),
    ]
}

/// The sets of these names in `tests/vectors/published`.
fn published(names: &'static [&str]) -> impl Iterator<Item = Value> {
    let text = include_str!("../../vectors/published/sets.json");
    let sets: Vec<Value> = serde_json::from_str(text).unwrap();
    let is_named = |set: &Value| names.iter().any(|name| set["name"] == *name);
    sets.into_iter().filter(move |set| is_named(set))
}

/// All their keys in one set.
fn keys_of(names: &'static [&str]) -> Value {
    let keys = published(names).flat_map(|set| {
        let set: Value = serde_json::from_str(set["text"].as_str().unwrap()).unwrap();
        set["keys"].as_array().unwrap().clone()
    });
    let set = json!({"keys": keys.collect::<Vec<_>>()});
    usual(json!({"local_jwks": {"inline_string": set.to_string()}}))
}

/// All their tokens, each by its index.
fn tokens_of(names: &'static [&str]) -> Requests {
    const INDICES: [&str; 12] = [
        "1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th", "10th", "11th", "12th",
    ];
    let tokens = published(names).flat_map(|set| set["genuine"].as_array().unwrap().clone());
    let tokens: Vec<_> = tokens.collect();
    assert!(tokens.len() <= INDICES.len());
    let tokens = INDICES.into_iter().zip(tokens);
    tokens
        .map(|(index, token)| (index, api().bearer(token.as_str().unwrap())))
        .collect()
}

const ODD_MEMBERS: &[&str] = &[
    "coordinates without the zeros before them",
    "coordinates with a zero too many",
    "numbers with zeros before them, padding and line breaks",
    "members that say nothing",
];

pub(super) fn with_odd_members() -> Value {
    keys_of(ODD_MEMBERS)
}

pub(super) fn for_odd_members() -> Requests {
    tokens_of(ODD_MEMBERS)
}

const ODD_SPELLINGS: &[&str] = &["members that belong to other types, and other spellings"];

pub(super) fn with_odd_spellings() -> Value {
    keys_of(ODD_SPELLINGS)
}

pub(super) fn for_odd_spellings() -> Requests {
    tokens_of(ODD_SPELLINGS)
}

/// RSA certificates, the only ones that `jwt_authn` reads.
pub(super) fn certificates() -> Value {
    let set = published(&["Firebase"]).next().unwrap();
    usual(json!({"local_jwks": {"inline_string": set["text"]}}))
}

pub(super) fn of_certificates() -> Requests {
    tokens_of(&["Firebase"])
}

/// Keys whose ids are a number, `null` and empty.
pub(super) fn with_odd_ids() -> Value {
    let mut set: Value = serde_json::from_str(&jwks(&["rs256", "es256", "eddsa"])).unwrap();
    for (key, id) in
        set["keys"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .zip([json!(1), Value::Null, json!("")])
    {
        key["kid"] = id;
    }
    usual(json!({"local_jwks": {"inline_string": set.to_string()}}))
}

pub(super) fn for_odd_ids() -> Requests {
    let by = |key, id| api().bearer(Token::signed_by(key).header("kid", id));
    let nameless = |key| api().bearer(Token::signed_by(key).without_header("kid"));
    vec![
        ("RS256 by its digits", by("rs256", "1")),
        ("RS256 by another id", by("rs256", "2")),
        ("RS256 without an id", nameless("rs256")),
        ("ES256 by any id", by("es256", "1")),
        ("ES256 without an id", nameless("es256")),
        ("EdDSA by any id", by("eddsa", "1")),
        ("forged", by("es256-other", "1")),
    ]
}

/// A set with keys of all kinds.
pub(super) fn configuration() -> Value {
    let mut set: Value = serde_json::from_str(&jwks(&[
        "es256", "rs256", "eddsa", "hs256", "ps256", "es512",
    ]))
    .unwrap();
    let keys = set["keys"].as_array_mut().unwrap();
    keys[1].as_object_mut().unwrap().remove("alg");
    keys[2]["use"] = "enc".into();
    keys.push(weak()["jwk"].take());
    keys.extend(odd().map(|mut odd| odd["jwk"].take()));
    let mut signs_only: Value = serde_json::from_str(&jwks(&["es256"])).unwrap();
    signs_only["keys"][0]["kid"] = "signs-only".into();
    signs_only["keys"][0]["key_ops"] = json!(["sign"]);
    keys.push(signs_only["keys"][0].take());
    let mut private: Value = serde_json::from_str(&jwks(&["es256"])).unwrap();
    private["keys"][0]["kid"] = "private".into();
    private["keys"][0]["d"] = "AAAA".into();
    keys.push(private["keys"][0].take());
    usual(json!({"local_jwks": {"inline_string": set.to_string()}}))
}

pub(super) fn requests() -> Requests {
    let bearer = |name, token: Token| (name, api().bearer(token));
    let [large, exponent] = odd().map(|odd| odd["token"].as_str().unwrap().to_owned());
    let by_rsa = |key: &'static str| Token::signed_by(key).header("kid", "test-rs256");
    vec![
        bearer("ES256", Token::signed_by("es256")),
        bearer("ES512", Token::signed_by("es512")),
        bearer("PS256", Token::signed_by("ps256")),
        bearer("RS256 by a key without alg", by_rsa("rs256")),
        bearer("RS384 by a key without alg", by_rsa("rs384")),
        bearer("a key for encryption", Token::signed_by("eddsa")),
        bearer("a secret", Token::signed_by("hs256")),
        ("a key of 4608 bits", api().bearer(large)),
        ("a key with the exponent 3", api().bearer(exponent)),
        bearer("a key that is for signing only", {
            Token::signed_by("es256").header("kid", "signs-only")
        }),
        bearer(
            "a private key",
            Token::signed_by("es256").header("kid", "private"),
        ),
        (
            "a weak key",
            api().bearer(weak()["token"].as_str().unwrap()),
        ),
    ]
}
