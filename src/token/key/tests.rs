use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::signer::Signer;
use crate::token::fixtures::{eddsa, es256, jwk_set, rs256, rsa, symmetric};

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

#[wasm_bindgen_test(unsupported = test)]
fn a_key_is_bound_to_one_algorithm_whether_or_not_it_says_so() {
    for (signer, algorithm) in [
        (rs256(), Algorithm::Rs256),
        (es256(), Algorithm::Es256),
        (eddsa(), Algorithm::EdDsa),
    ] {
        let mut jwk = signer.public_jwk();
        let key = Key::from_jwk(&jwk, &KeyRules::default()).unwrap();
        assert_eq!((key.algorithm(), key.id()), (algorithm, signer.key_id()));
        jwk.as_object_mut().unwrap().remove("alg");
        assert_eq!(
            Key::from_jwk(&jwk, &KeyRules::default())
                .unwrap()
                .algorithm(),
            algorithm
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn types_curves_and_algorithms_that_do_not_belong_together_are_refused() {
    let unsupported = [
        with(es256().public_jwk(), "alg", json!("RS256")),
        with(es256().public_jwk(), "alg", json!("none")),
        with(es256().public_jwk(), "alg", json!(null)),
        with(es256().public_jwk(), "crv", json!("secp256k1")),
        with(rs256().public_jwk(), "alg", json!("HS256")),
        with(rs256().public_jwk(), "alg", json!("RSA-OAEP")),
        with(eddsa().public_jwk(), "crv", json!("X25519")),
        with(es256().public_jwk(), "alg", json!("ES384")),
    ];
    for jwk in unsupported {
        assert_eq!(
            Key::from_jwk(&jwk, &KeyRules::default()).unwrap_err(),
            KeyError::Unsupported,
            "{jwk}"
        );
    }
    for jwk in [json!("key"), json!({}), json!({"kty": 1})] {
        assert_eq!(
            Key::from_jwk(&jwk, &KeyRules::default()).unwrap_err(),
            KeyError::NotAKey,
            "{jwk}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn keys_that_are_weak_or_not_for_verifying_are_refused() {
    let modulus_of_1024_bits = "8".repeat(171);
    for jwk in [
        with(rs256().public_jwk(), "n", json!(modulus_of_1024_bits)),
        with(rs256().public_jwk(), "e", json!("Aw")),
        with(rs256().public_jwk(), "use", json!("enc")),
        with(es256().public_jwk(), "key_ops", json!(["sign"])),
        with(es256().public_jwk(), "x", json!("AAAA")),
        with(es256().public_jwk(), "y", es256().public_jwk()["x"].clone()),
        with(es256().public_jwk(), "d", json!("AAAA")),
        with(eddsa().public_jwk(), "x", json!("AAAA")),
    ] {
        let error = Key::from_jwk(&jwk, &KeyRules::default()).unwrap_err();
        assert!(matches!(error, KeyError::Unusable(_)), "{jwk}: {error:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_set_keeps_its_good_keys_and_lists_the_others() {
    let set = json!({"keys": [
        with(rs256().public_jwk(), "use", json!("enc")),
        es256().public_jwk(),
        {"kty": "oct", "k": "c2VjcmV0"},
    ]});
    let set = KeySet::parse(set.to_string().as_bytes(), &KeyRules::default()).unwrap();
    assert_eq!(set.keys().len(), 1);
    let left_out: Vec<_> = set.unusable().iter().map(|(index, _)| *index).collect();
    assert_eq!(left_out, [0, 2]);
}

#[wasm_bindgen_test(unsupported = test)]
fn of_a_set_with_too_many_keys_the_first_ones_are_used() {
    let many = json!({"keys": vec![es256().public_jwk(); MAX_KEYS + 2]}).to_string();
    let set = KeySet::parse(many.as_bytes(), &KeyRules::default()).unwrap();
    assert_eq!(set.keys().len(), MAX_KEYS);
    let left_out = [
        (MAX_KEYS, KeyError::Surplus),
        (MAX_KEYS + 1, KeyError::Surplus),
    ];
    assert_eq!(set.unusable(), left_out);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_text_that_is_no_usable_set_is_an_error() {
    let too_many = json!({"keys": vec![json!(1); MAX_MEMBERS + 1]}).to_string();
    let too_large = vec![b' '; MAX_JWK_SET_BYTES + 1];
    let length = too_large.len();
    for (text, expected) in [
        (&b"{}"[..], KeySetError::NotASet),
        (b"[]", KeySetError::NotASet),
        (br#"{"keys":{}}"#, KeySetError::NotASet),
        (br#"{"keys":[]}"#, KeySetError::NoUsableKey(None)),
        (
            br#"{"keys":[1]}"#,
            KeySetError::NoUsableKey(Some(KeyError::NotAKey)),
        ),
        (
            too_many.as_bytes(),
            KeySetError::TooManyKeys(MAX_MEMBERS + 1),
        ),
        (&too_large, KeySetError::TooLarge(length)),
    ] {
        assert_eq!(
            KeySet::parse(text, &KeyRules::default()).unwrap_err(),
            expected
        );
    }
    assert!(matches!(
        KeySet::parse(b"keys", &KeyRules::default()),
        Err(KeySetError::Json(_))
    ));
}

#[wasm_bindgen_test(unsupported = test)]
fn the_number_of_keys_tried_for_one_token_is_bounded() {
    let signers: Vec<_> = (0..20).map(|_| es256()).collect();
    let text = jwk_set(&signers.iter().collect::<Vec<_>>());
    let set = KeySet::parse(text.as_bytes(), &KeyRules::default()).unwrap();
    assert_eq!(
        set.candidates(None, Algorithm::Es256).count(),
        MAX_CANDIDATES
    );
    assert_eq!(set.candidates(None, Algorithm::Rs256).count(), 0);
    assert_eq!(set.candidates(Some("another"), Algorithm::Es256).count(), 0);
}

#[wasm_bindgen_test(unsupported = test)]
fn every_algorithm_has_keys_of_its_own() {
    let generated =
        [Algorithm::Es384, Algorithm::Es512].map(|algorithm| Signer::generate(algorithm, None));
    let generated = generated.map(|signer| signer.unwrap().public_jwk());
    let algorithms = [
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
    ];
    let rsa = algorithms.map(|algorithm| rsa(algorithm).public_jwk());
    for jwk in generated.iter().chain(&rsa) {
        let key = Key::from_jwk(jwk, &KeyRules::default()).unwrap();
        assert_eq!(key.algorithm().name(), jwk["alg"], "{jwk}");
        assert_eq!(key.id(), jwk["kid"].as_str());
    }
    for (jwk, name, value) in [
        (&generated[0], "alg", json!("ES256")),
        (&generated[1], "alg", json!("ES384")),
        (&generated[1], "crv", json!("P-384")),
        (&generated[1], "x", json!("AAAA")),
        (&generated[1], "y", generated[1]["x"].clone()),
        (&generated[1], "d", json!("AAAA")),
        (&generated[1], "use", json!("enc")),
        (&generated[1], "key_ops", json!(["sign"])),
        (&generated[1], "kid", json!(1)),
    ] {
        let jwk = with(jwk.clone(), name, value);
        assert!(Key::from_jwk(&jwk, &KeyRules::default()).is_err(), "{jwk}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn shared_secrets_have_to_be_allowed_and_long_enough() {
    let rules = KeyRules {
        allow_symmetric: true,
        ..KeyRules::default()
    };
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let (jwk, _) = symmetric(algorithm, &json!({}));
        let key = Key::from_jwk(&jwk, &rules).unwrap();
        assert_eq!(key.algorithm(), algorithm);
        assert_eq!(
            Key::from_jwk(&jwk, &KeyRules::default()).unwrap_err(),
            KeyError::SymmetricNotAllowed
        );
        let short = with(jwk, "k", json!("c2hvcnQ"));
        assert_eq!(
            Key::from_jwk(&short, &rules).unwrap_err(),
            KeyError::Unusable(algorithm)
        );
    }
    // RFC 7518 section 3.2: an RSA key never becomes a secret.
    let confused = with(rs256().public_jwk(), "alg", json!("HS256"));
    assert_eq!(
        Key::from_jwk(&confused, &rules).unwrap_err(),
        KeyError::Unsupported
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_list_of_algorithms_keeps_others_out_and_binds_rsa_keys_that_name_none() {
    let rules = |algorithms: &[Algorithm]| KeyRules {
        algorithms: algorithms.to_vec(),
        ..KeyRules::default()
    };
    let mut unlabelled = rs256().public_jwk();
    unlabelled.as_object_mut().unwrap().remove("alg");
    let bound = |algorithms: &[Algorithm]| {
        Key::from_jwk(&unlabelled, &rules(algorithms)).map(|key| key.algorithm())
    };
    assert_eq!(bound(&[]), Ok(Algorithm::Rs256));
    assert_eq!(bound(&[Algorithm::Ps512]), Ok(Algorithm::Ps512));
    assert_eq!(
        bound(&[Algorithm::Es256]),
        Err(KeyError::NotAllowed(Algorithm::Rs256))
    );
    assert_eq!(
        Key::from_jwk(&rs256().public_jwk(), &rules(&[Algorithm::Ps512])).unwrap_err(),
        KeyError::NotAllowed(Algorithm::Rs256)
    );
}
