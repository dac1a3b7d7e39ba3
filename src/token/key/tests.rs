use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::signer::Signer;
use crate::token::fixtures::{eddsa, es256, rs256, rsa, symmetric};

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

fn read(jwk: &Value) -> Result<Key, KeyError> {
    Key::from_jwk(jwk, &KeyRules::default())
}

fn algorithms(key: &Key) -> Vec<Algorithm> {
    key.algorithms().collect()
}

#[wasm_bindgen_test(unsupported = test)]
fn a_key_is_bound_to_one_algorithm_whether_or_not_it_says_so() {
    for (signer, algorithm) in [
        (rs256(), Algorithm::Rs256),
        (es256(), Algorithm::Es256),
        (eddsa(), Algorithm::EdDsa),
    ] {
        let mut jwk = signer.public_jwk();
        let key = read(&jwk).unwrap();
        assert_eq!(
            (algorithms(&key), key.id()),
            (vec![algorithm], signer.key_id())
        );
        jwk.as_object_mut().unwrap().remove("alg");
        assert_eq!(algorithms(&read(&jwk).unwrap()), [algorithm]);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn types_curves_and_algorithms_that_do_not_belong_together_are_refused() {
    let refused = [
        (es256(), "alg", json!("RS256")),
        (es256(), "alg", json!("none")),
        (es256(), "alg", json!(256)),
        (es256(), "crv", json!("secp256k1")),
        (rs256(), "alg", json!("HS256")),
        (rs256(), "alg", json!("RSA-OAEP")),
        (eddsa(), "crv", json!("X25519")),
        (es256(), "alg", json!("ES384")),
        (es256(), "kty", json!("ec")),
    ];
    for (signer, name, value) in refused {
        let jwk = with(signer.public_jwk(), name, value.clone());
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        assert_eq!(read(&jwk).unwrap_err(), KeyError::member(name, &value));
    }
    for jwk in [
        json!("key"),
        json!({}),
        json!({"kty": 1}),
        json!({"kty": ""}),
    ] {
        assert_eq!(read(&jwk).unwrap_err(), KeyError::NotAKey, "{jwk}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn numbers_that_no_sound_key_has_are_refused() {
    // 171 characters are 1026 bits, of which the first is set.
    let even = rs256().public_jwk()["n"].as_str().unwrap().to_owned();
    let even = format!("{}A", &even[..even.len() - 1]);
    for (jwk, expected) in [
        (
            with(rs256().public_jwk(), "n", json!("8".repeat(171))),
            KeyError::Modulus { bits: 1024 },
        ),
        (
            with(rs256().public_jwk(), "n", json!("8".repeat(684))),
            KeyError::Modulus { bits: 4104 },
        ),
        (
            with(rs256().public_jwk(), "n", json!("AAAA")),
            KeyError::Modulus { bits: 0 },
        ),
        (
            with(rs256().public_jwk(), "n", json!(even)),
            KeyError::NotRsa,
        ),
        (
            with(rs256().public_jwk(), "e", json!("Aw")),
            KeyError::Exponent("3".to_owned()),
        ),
        (
            with(rs256().public_jwk(), "e", json!("AQAAAAAAAAAB")),
            KeyError::Exponent("of 9 bytes".to_owned()),
        ),
        (
            with(rs256().public_jwk(), "e", json!(65537)),
            KeyError::Missing("e"),
        ),
        (
            with(rs256().public_jwk(), "e", json!("A")),
            KeyError::Base64("e"),
        ),
        (
            with(es256().public_jwk(), "x", json!("AAAA")),
            KeyError::NotOnCurve,
        ),
        (
            with(es256().public_jwk(), "x", Value::Null),
            KeyError::Missing("x"),
        ),
        (
            with(eddsa().public_jwk(), "crv", Value::Null),
            KeyError::Missing("crv"),
        ),
    ] {
        assert_eq!(read(&jwk).unwrap_err(), expected, "{jwk}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn nothing_private_is_used_wherever_it_stands() {
    for name in ["d", "p", "q", "dp", "dq", "qi"] {
        for value in [json!("AAAA"), json!(1), json!(["AAAA"]), json!({})] {
            for signer in [rs256(), es256(), eddsa()] {
                let jwk = with(signer.public_jwk(), name, value.clone());
                assert_eq!(read(&jwk).unwrap_err(), KeyError::Private, "{jwk}");
                // This message rather than that it is for something else.
                let jwk = with(jwk, "use", json!("enc"));
                assert_eq!(read(&jwk).unwrap_err(), KeyError::Private, "{jwk}");
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_character_of_a_secret_is_never_shown() {
    let rules = KeyRules {
        allow_symmetric: true,
        ..KeyRules::default()
    };
    let jwk = json!({"kty": "oct", "k": "hunter2+hunter2"});
    assert_eq!(
        Key::from_jwk(&jwk, &rules).unwrap_err(),
        KeyError::Base64("k")
    );
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
        let key = read(jwk).unwrap();
        let names: Vec<_> = key.algorithms().map(Algorithm::name).collect();
        assert_eq!(names, [&jwk["alg"]], "{jwk}");
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
        assert_eq!(algorithms(&key), [algorithm]);
        assert_eq!(read(&jwk).unwrap_err(), KeyError::SymmetricNotAllowed);
        let short = with(jwk, "k", json!("c2hvcnQ"));
        let expected = algorithm.digest().bytes();
        assert_eq!(
            Key::from_jwk(&short, &rules).unwrap_err(),
            KeyError::ShortSecret { found: 5, expected }
        );
    }
    // RFC 7518 section 3.2: an RSA key never becomes a secret.
    let confused = with(rs256().public_jwk(), "alg", json!("HS256"));
    assert_eq!(
        Key::from_jwk(&confused, &rules).unwrap_err(),
        KeyError::member("alg", "HS256")
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_key_that_names_no_algorithm_is_good_for_every_one_listed_that_it_can_be_for() {
    let rules = |algorithms: &[Algorithm]| KeyRules {
        algorithms: algorithms.to_vec(),
        allow_symmetric: true,
        ..KeyRules::default()
    };
    let bound = |jwk: &Value, listed: &[Algorithm]| {
        Key::from_jwk(jwk, &rules(listed)).map(|key| algorithms(&key))
    };
    let mut rsa = rs256().public_jwk();
    rsa.as_object_mut().unwrap().remove("alg");
    assert_eq!(bound(&rsa, &[]), Ok(vec![Algorithm::Rs256]));
    let mixed = [Algorithm::Ps512, Algorithm::Es256, Algorithm::Rs256];
    assert_eq!(
        bound(&rsa, &mixed),
        Ok(vec![Algorithm::Rs256, Algorithm::Ps512])
    );
    let refused = Err(KeyError::NotAllowed(Algorithm::Rs256));
    assert_eq!(bound(&rsa, &[Algorithm::Es256]), refused);
    assert_eq!(bound(&rs256().public_jwk(), &[Algorithm::Ps512]), refused);
    assert_eq!(
        bound(&rs256().public_jwk(), &mixed),
        Ok(vec![Algorithm::Rs256])
    );

    // A curve has one algorithm.
    let mut point = es256().public_jwk();
    point.as_object_mut().unwrap().remove("alg");
    let curves = [Algorithm::Es384, Algorithm::Es256];
    assert_eq!(bound(&point, &curves), Ok(vec![Algorithm::Es256]));

    // A secret is for the algorithms that it is long enough for.
    let secret = |bytes: usize| json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode(vec![7; bytes])});
    let hashes = [Algorithm::Hs512, Algorithm::Hs256, Algorithm::Rs256];
    assert_eq!(bound(&secret(64), &[]), Ok(vec![Algorithm::Hs256]));
    assert_eq!(
        bound(&secret(64), &hashes),
        Ok(vec![Algorithm::Hs256, Algorithm::Hs512])
    );
    assert_eq!(bound(&secret(63), &hashes), Ok(vec![Algorithm::Hs256]));
    let short = KeyError::ShortSecret {
        found: 31,
        expected: 32,
    };
    assert_eq!(bound(&secret(31), &hashes), Err(short));
}

#[wasm_bindgen_test(unsupported = test)]
fn the_key_information_is_what_others_read() {
    use p256::pkcs8::DecodePublicKey as _;
    let info = |jwk: Value| read(&jwk).unwrap().subject_public_key_info;
    let curve = |algorithm| info(Signer::generate(algorithm, None).unwrap().public_jwk());
    assert!(p256::PublicKey::from_public_key_der(&info(es256().public_jwk())).is_ok());
    assert!(p384::PublicKey::from_public_key_der(&curve(Algorithm::Es384)).is_ok());
    assert!(p521::PublicKey::from_public_key_der(&curve(Algorithm::Es512)).is_ok());
    let rsa = info(rs256().public_jwk());
    let read = Rsa::<Public>::public_key_from_der(&rsa).unwrap();
    assert_eq!(read.public_key_to_der().unwrap(), rsa);
}
