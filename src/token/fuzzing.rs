//! What holds for tokens and JWK Sets, whatever their bytes.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::fixtures::{eddsa, es256, jwk_set as public_set, rs256, token as signed_token};
use super::{
    Algorithm, Backend, KeyRules, KeySet, MAX_JSON_DEPTH, MAX_JWK_SET_BYTES, MAX_KEYS,
    MAX_TOKEN_BYTES, UnverifiedToken, parse_json, signature,
};
use crate::host::{ForeignAnswer, SignatureHost};

thread_local! {
    static KEYS: KeySet =
        KeySet::parse(public_set(&[&es256(), &eddsa(), &rs256()]).as_bytes(), &KeyRules::default())
            .unwrap();
    static GENUINE: [String; 3] = genuine_tokens();
}

/// All tokens that were ever signed with the keys that [`token`] verifies with.
fn genuine_tokens() -> [String; 3] {
    [es256(), eddsa(), rs256()].map(|signer| signed_token(&signer, &genuine_claims()))
}

/// The only claims that tokens are ever signed for.
pub(crate) fn genuine_claims() -> Value {
    json!({
        "iss": "https://issuer.example", "aud": ["api", "other"], "sub": "alice", "jti": "token-1",
        "exp": 1_767_225_900, "iat": 1_767_225_600.5, "nbf": 0, "scope": "read", "ä": [null, {}],
    })
}

/// A token in its compact form.
///
/// A token that is read has one spelling, and its claims are what any other reader of JSON sees. A
/// token that is verified was signed: its signature may have been changed, its content may not.
pub fn token(bytes: &[u8]) {
    let Ok(token) = UnverifiedToken::parse(bytes) else {
        return;
    };
    assert!(bytes.len() <= MAX_TOKEN_BYTES);
    let [header, payload, _] = parts(bytes);
    let header: Value = serde_json::from_slice(&header).unwrap();
    assert_eq!(header["alg"], token.unverified_algorithm());
    assert_eq!(header.get("crit"), None);
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    assert!(depth(&payload) <= MAX_JSON_DEPTH);
    let claims = token.unverified_claims();
    let members = claims.members();
    let members = members.map(|(name, value)| (name.to_owned(), value.clone()));
    assert_eq!(payload, Value::Object(members.collect()));
    for (name, time) in [
        ("exp", claims.expires_at()),
        ("nbf", claims.not_before()),
        ("iat", claims.issued_at()),
    ] {
        assert_eq!(payload.get(name).is_some(), time.is_some(), "{name}");
    }
    if KEYS
        .with(|keys| token.verify(keys, Backend::Module, &NoHost))
        .is_ok()
    {
        let is_genuine =
            |genuine: &String| signing_input(genuine.as_bytes()) == signing_input(bytes);
        assert!(
            GENUINE.with(|all| all.iter().any(is_genuine)),
            "this was never signed"
        );
    }
}

/// What the three parts are, by a decoder that accepts everything; each is spelled as a strict
/// encoder spells it.
fn parts(token: &[u8]) -> [Vec<u8>; 3] {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let lenient = GeneralPurpose::new(&URL_SAFE, lenient);
    let parts: Vec<_> = token.split(|byte| *byte == b'.').collect();
    let parts: [&[u8]; 3] = parts.try_into().unwrap();
    parts.map(|part| {
        let decoded = lenient.decode(part).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(&decoded).as_bytes(), part);
        decoded
    })
}

fn signing_input(token: &[u8]) -> &[u8] {
    let end = token.iter().rposition(|byte| *byte == b'.').unwrap();
    &token[..end]
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// A set of keys: a JWK Set, a document of certificates, or PEM.
///
/// In a set that is read, every key is either usable or has a fault; none is usable that the rules
/// do not allow, or that has a private half; and whatever a key is made of, it can be tried.
pub fn jwk_set(bytes: &[u8]) {
    let any = KeyRules {
        allow_symmetric: true,
        ..KeyRules::default()
    };
    let one = KeyRules {
        algorithms: vec![Algorithm::Ps256],
        ..KeyRules::default()
    };
    let mut all = usize::MAX;
    for rules in [any, KeyRules::default(), one] {
        let set = match KeySet::parse(bytes, &rules) {
            Ok(set) => set,
            Err(error) => {
                // What is said of it is one line, whatever it is.
                assert!(
                    error
                        .to_string()
                        .chars()
                        .all(|character| !character.is_control())
                );
                continue;
            }
        };
        assert!(bytes.len() <= MAX_JWK_SET_BYTES);
        assert!(set.keys().len() <= all, "stricter rules gave more keys");
        all = set.keys().len();
        follows(&set, &rules);
        match parse_json(bytes) {
            Ok(value) if value.get("keys").is_some() => is_its_own(&set, &rules, &value),
            Ok(document) => {
                let members = document.as_object().unwrap();
                assert_eq!(set.keys().len() + set.left_out().len(), members.len());
                let is_a_name = |id: &str| id.is_empty() || members.contains_key(id);
                assert!(
                    set.keys()
                        .iter()
                        .all(|key| is_a_name(key.id().unwrap_or("")))
                );
            }
            Err(_) => assert!(set.keys().iter().all(|key| key.id().is_none())),
        }
    }
}

/// What holds for every set, whatever it was read from.
fn follows(set: &KeySet, rules: &KeyRules) {
    assert!(set.keys().len() <= MAX_KEYS);
    assert!(!set.keys().is_empty());
    let mut positions: Vec<_> = set.left_out().iter().map(|key| key.position).collect();
    positions.dedup();
    assert_eq!(positions.len(), set.left_out().len());
    assert!(positions.is_sorted());
    for key in set.left_out() {
        assert!(
            key.to_string()
                .chars()
                .all(|character| !character.is_control())
        );
    }
    for key in set.keys() {
        assert!(key.algorithms().next().is_some());
        for algorithm in key.algorithms() {
            assert!(rules.allow_symmetric || !algorithm.is_symmetric());
            assert!(rules.algorithms.is_empty() || rules.algorithms.contains(&algorithm));
            for length in [0, 64, 96, 132, 256] {
                let signature = vec![1; length];
                let host = &NoHost;
                let forged =
                    signature::verify(key, algorithm, Backend::Module, host, b"text", &signature);
                assert!(!forged, "{algorithm}");
            }
        }
    }
}

/// What holds for a JWK Set: it has the keys of its text, and another spelling of the text gives
/// the same.
fn is_its_own(set: &KeySet, rules: &KeyRules, value: &Value) {
    let members = value["keys"].as_array().unwrap();
    assert_eq!(set.keys().len() + set.left_out().len(), members.len());
    let is_left_out = |position| set.left_out().iter().any(|key| key.position == position);
    let usable = members.iter().enumerate();
    let usable = usable.filter(|(position, _)| !is_left_out(*position));
    for (key, (_, jwk)) in set.keys().iter().zip(usable) {
        if jwk["kty"] != "oct" {
            assert!(jwk["d"].is_null() || jwk["d"] == "");
        }
        match &jwk["kid"] {
            Value::String(id) => assert_eq!(key.id().unwrap_or(""), id),
            Value::Number(id) => assert_eq!(key.id(), Some(id.to_string().as_str())),
            _ => assert_eq!(key.id(), None),
        }
    }
    let again = KeySet::parse(value.to_string().as_bytes(), rules).unwrap();
    let names = |set: &KeySet| -> Vec<_> {
        let keys = set.keys().iter();
        keys.map(|key| {
            (
                key.id().map(str::to_owned),
                key.algorithms().collect::<Vec<_>>(),
            )
        })
        .collect()
    };
    assert_eq!(names(set), names(&again));
}

struct NoHost;

impl SignatureHost for NoHost {
    fn verify_signature(&self, _arguments: &[u8]) -> ForeignAnswer {
        ForeignAnswer::Unavailable
    }
}
