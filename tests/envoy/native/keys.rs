//! Keys that the two filters do not think of alike.

use serde_json::{Value, json};

use super::Requests;
use super::requests::api;
use super::trials::usual;
use crate::support::{Token, jwks};

/// An RSA key of 1024 bits, and a token of it that outlasts this test.
fn weak() -> Value {
    serde_json::from_str(include_str!("../../vectors/weak-rsa.json")).unwrap()
}

/// A key that does not say which tokens are its own, before another one.
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
    usual(json!({"local_jwks": {"inline_string": set.to_string()}}))
}

pub(super) fn requests() -> Requests {
    let bearer = |name, token: Token| (name, api().bearer(token));
    let by_rsa = |key: &'static str| Token::signed_by(key).header("kid", "test-rs256");
    vec![
        bearer("ES256", Token::signed_by("es256")),
        bearer("ES512", Token::signed_by("es512")),
        bearer("PS256", Token::signed_by("ps256")),
        bearer("RS256 by a key without alg", by_rsa("rs256")),
        bearer("RS384 by a key without alg", by_rsa("rs384")),
        bearer("a key for encryption", Token::signed_by("eddsa")),
        bearer("a secret", Token::signed_by("hs256")),
        (
            "a weak key",
            api().bearer(weak()["token"].as_str().unwrap()),
        ),
    ]
}
