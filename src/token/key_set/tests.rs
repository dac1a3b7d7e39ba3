use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock::MockHost;
use crate::time::UnixTime;
use crate::token::fixtures::{eddsa, es256, jwk_set, rs256, token};
use crate::token::{Backend, UnverifiedToken};

fn parse(text: &str) -> Result<KeySet, KeySetError> {
    KeySet::parse(text.as_bytes(), &KeyRules::default())
}

fn is_verified(keys: &KeySet, token: &str) -> bool {
    let host = MockHost::get("/", UnixTime::MAX);
    let token = UnverifiedToken::parse(token.as_bytes()).unwrap();
    token.verify(keys, Backend::Module, &host).is_ok()
}

/// `tests/vectors/published`, whose `README.md` says what is in it.
#[wasm_bindgen_test(unsupported = test)]
fn keys_are_usable_as_they_are_published_and_others_are_named_with_their_reason() {
    let text = include_str!("../../../tests/vectors/published/sets.json");
    let sets: Value = serde_json::from_str(text).unwrap();
    for set in sets.as_array().unwrap() {
        let name = &set["name"];
        let listed = set["settings"]["algorithms"].as_array();
        let listed = listed.into_iter().flatten();
        let rules = KeyRules {
            algorithms: listed
                .map(|name| Algorithm::from_name(name.as_str().unwrap()).unwrap())
                .collect(),
            ..KeyRules::default()
        };
        let read = KeySet::parse(set["text"].as_str().unwrap().as_bytes(), &rules);
        let left_out = match &read {
            Ok(keys) => keys.left_out(),
            Err(KeySetError::NoUsableKey(left_out)) => left_out,
            Err(error) => panic!("{name}: {error}"),
        };
        let expected = set["left_out"].as_array().unwrap();
        assert_eq!(left_out.len(), expected.len(), "{name}: {left_out:?}");
        for (found, expected) in left_out.iter().zip(expected) {
            assert_eq!(found.position, expected["position"], "{name}");
            assert_eq!(found.key_id.as_deref(), expected["kid"].as_str(), "{name}");
            let reason = expected["reason"].as_str().unwrap();
            let told = found.to_string();
            assert!(
                told.contains(&format!(" is left out: {reason}")),
                "{name}: {told}"
            );
        }
        for token in set["genuine"].as_array().unwrap() {
            let keys = read.as_ref().unwrap();
            assert!(
                is_verified(keys, token.as_str().unwrap()),
                "{name}: {token}"
            );
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_set_keeps_its_good_keys_and_lists_the_others() {
    let mut encryption = rs256().public_jwk();
    encryption["use"] = "enc".into();
    let set = json!({"keys": [
        encryption,
        es256().public_jwk(),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a\nb"},
    ]});
    let set = parse(&set.to_string()).unwrap();
    assert_eq!(set.keys().len(), 1);
    let told: Vec<_> = set.left_out().iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "keys[0] (`kid` test-rs256) is left out: `use` is `enc`",
            "keys[2] (`kid` a\\nb) is left out: a shared secret; hint: `allow_symmetric_keys` lets \
             local sets have them",
        ]
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn of_a_set_with_too_many_keys_the_first_ones_are_used() {
    let many = json!({"keys": vec![es256().public_jwk(); MAX_KEYS + 2]}).to_string();
    let set = parse(&many).unwrap();
    assert_eq!(set.keys().len(), MAX_KEYS);
    let left_out = set.left_out().iter();
    let left_out: Vec<_> = left_out.map(|key| (key.position, &key.error)).collect();
    assert_eq!(
        left_out,
        [
            (MAX_KEYS, &KeyError::Surplus),
            (MAX_KEYS + 1, &KeyError::Surplus)
        ]
    );
    let complaints: Vec<_> = set.complaints().map(|key| key.position).collect();
    assert_eq!(complaints, [MAX_KEYS]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_text_that_is_no_usable_set_is_an_error() {
    let too_many = json!({"keys": vec![json!(1); MAX_MEMBERS + 1]}).to_string();
    let too_large = " ".repeat(MAX_JWK_SET_BYTES + 1);
    let many_blocks = "-BEGIN A-x".repeat(MAX_MEMBERS + 2);
    let length = too_large.len();
    for (text, expected) in [
        ("{}", KeySetError::NotASet),
        ("[]", KeySetError::NotASet),
        (r#"{"keys":{}}"#, KeySetError::NotASet),
        (r#"{"a":"b"}"#, KeySetError::NotASet),
        (r#"["-----BEGIN PUBLIC KEY-----x"]"#, KeySetError::NotASet),
        (
            r#"{"keys":"-----BEGIN PUBLIC KEY-----x"}"#,
            KeySetError::NotASet,
        ),
        (r#"{"keys":[]}"#, KeySetError::NoUsableKey(Vec::new())),
        (&too_many, KeySetError::TooManyKeys(MAX_MEMBERS + 1)),
        (&many_blocks, KeySetError::TooManyKeys(MAX_MEMBERS + 1)),
        (&too_large, KeySetError::TooLarge(length)),
    ] {
        assert_eq!(parse(text).unwrap_err(), expected);
    }
    assert!(matches!(parse("keys"), Err(KeySetError::Json(_))));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_set_without_a_usable_key_says_why_of_each() {
    let keys = vec![json!({"kty": "oct", "k": "AAAA"}), json!(1)];
    let error = parse(&json!({"keys": keys}).to_string()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "no usable key: keys[0] is left out: a shared secret; hint: `allow_symmetric_keys` lets \
         local sets have them; keys[1] is left out: expected an object with a string `kty`"
    );
    let error = parse(&json!({"keys": vec![1; 20]}).to_string()).unwrap_err();
    assert!(error.to_string().ends_with("`kty`; and 4 more"), "{error}");
}

#[wasm_bindgen_test(unsupported = test)]
fn the_number_of_keys_tried_for_one_token_is_bounded() {
    let signers: Vec<_> = (0..20).map(|_| es256()).collect();
    let text = jwk_set(&signers.iter().collect::<Vec<_>>());
    for max_candidates in [1, 8, 20, 256] {
        let rules = KeyRules {
            max_candidates,
            ..KeyRules::default()
        };
        let set = KeySet::parse(text.as_bytes(), &rules).unwrap();
        let candidates = |key_id, algorithm| set.candidates(key_id, algorithm).count();
        assert_eq!(candidates(None, Algorithm::Es256), max_candidates.min(20));
        assert_eq!(candidates(None, Algorithm::Rs256), 0);
        assert_eq!(candidates(Some("another"), Algorithm::Es256), 0);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_key_that_is_named_is_tried_before_those_without_a_name() {
    let mut nameless = es256().public_jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    let mut keys = vec![nameless; 9];
    keys.push(es256().public_jwk());
    let set = parse(&json!({"keys": keys}).to_string()).unwrap();
    let first = |key_id| set.candidates(key_id, Algorithm::Es256).next();
    assert_eq!(first(Some("test-es256")).unwrap().id(), Some("test-es256"));
    assert_eq!(first(Some("another")).unwrap().id(), None);
    assert_eq!(first(None).unwrap().id(), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_set_that_is_no_list_is_not_read_as_one() {
    // The JWK Set wins over whatever is beside it.
    let mut set: Value = serde_json::from_str(&jwk_set(&[&eddsa()])).unwrap();
    set["other"] = "-----BEGIN PUBLIC KEY-----AAAA-----END PUBLIC KEY-----".into();
    let keys = parse(&set.to_string()).unwrap();
    assert_eq!((keys.keys().len(), keys.left_out().len()), (1, 0));
    assert!(is_verified(&keys, &token(&eddsa(), &json!({}))));
}
