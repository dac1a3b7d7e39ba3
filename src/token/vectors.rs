//! Test vectors in the shape of Wycheproof's: `tests/vectors/signatures`, whose `README.md` says
//! what is in them and how they are made. Here they meet the module's own cryptography, natively
//! and inside a WebAssembly engine; `tests/envoy/vectors.rs` takes them through the host's.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;
use wasm_bindgen_test::wasm_bindgen_test;

use super::{Algorithm, Backend, KeyRules, KeySet, UnverifiedToken, signature};
use crate::host::mock::MockHost;
use crate::time::UnixTime;

macro_rules! vectors {
    ($name:literal) => {
        serde_json::from_str(include_str!(concat!(
            "../../tests/vectors/signatures/",
            $name,
            ".json"
        )))
        .unwrap()
    };
}

/// The keys of a group, of which those that are too weak are left out.
fn keys(group: &Value) -> KeySet {
    let rules = KeyRules {
        allow_symmetric: true,
        ..KeyRules::default()
    };
    KeySet::parse(group["jwks"].to_string().as_bytes(), &rules).unwrap()
}

fn is_accepted(keys: &KeySet, jws: &str) -> bool {
    let host = MockHost::get("/", UnixTime::MAX);
    let token = UnverifiedToken::parse(jws.as_bytes());
    token.is_ok_and(|token| token.verify(keys, Backend::Module, &host).is_ok())
}

/// Whether the signature alone is good, of a token whose payload is not a claims set.
fn is_signed(group: &Value, keys: &KeySet, jws: &str) -> bool {
    let (signing_input, encoded) = jws.rsplit_once('.').unwrap();
    let bytes = URL_SAFE_NO_PAD.decode(encoded).unwrap();
    let algorithm = Algorithm::from_name(group["type"].as_str().unwrap()).unwrap();
    let key = keys.candidates(None, algorithm).next().unwrap();
    let host = MockHost::get("/", UnixTime::MAX);
    signature::verify(
        key,
        algorithm,
        Backend::Module,
        &host,
        signing_input.as_bytes(),
        &bytes,
    )
}

/// Tries all of a file; how many were valid and how many were not.
fn try_all(vectors: &Value) -> (usize, usize) {
    let (mut valid, mut invalid) = (0, 0);
    for group in vectors["testGroups"].as_array().unwrap() {
        let keys = keys(group);
        for test in group["tests"].as_array().unwrap() {
            let jws = test["jws"].as_str().unwrap();
            let has_claims = test["flags"][0] != "NoClaims";
            let accepted = if has_claims {
                is_accepted(&keys, jws)
            } else {
                is_signed(group, &keys, jws)
            };
            let (kind, number, comment) = (&group["type"], &test["tcId"], &test["comment"]);
            let expected = test["result"] == "valid";
            assert_eq!(accepted, expected, "{kind} {number}: {comment}");
            if expected {
                valid += 1;
            } else {
                invalid += 1;
            }
        }
    }
    assert_eq!(vectors["numberOfTests"], valid + invalid);
    (valid, invalid)
}

#[wasm_bindgen_test(unsupported = test)]
fn our_own_vectors_come_out_as_they_say() {
    let (valid, invalid) = try_all(&vectors!("own"));
    assert!(valid >= 50 && invalid >= 1_000, "{valid} {invalid}");
}

#[wasm_bindgen_test(unsupported = test)]
fn the_examples_of_the_rfcs_are_valid() {
    assert_eq!(try_all(&vectors!("rfc")), (9, 0));
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_of_other_libraries_are_valid() {
    assert_eq!(try_all(&vectors!("pyjwt")), (39, 0));
    assert_eq!(try_all(&vectors!("jose")), (42, 0));
}
