use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::ForeignAnswer;
use crate::host::mock::MockHost;
use crate::signer::Signer;
use crate::time::UnixTime;
use crate::token::KeyRules;
use crate::token::fixtures::{eddsa, es256, es256_other, jwk_set, rs256, signed, token};

fn parse(token: &str) -> Result<UnverifiedToken<'_>, TokenError> {
    UnverifiedToken::parse(token.as_bytes())
}

fn keys(signers: &[&Signer]) -> KeySet {
    KeySet::parse(jwk_set(signers).as_bytes(), &KeyRules::default()).unwrap()
}

/// Verifies inside the module.
fn verify(token: &str, keys: &KeySet) -> Result<VerifiedToken, SignatureError> {
    let host = MockHost::get("/", UnixTime::MAX);
    parse(token).unwrap().verify(keys, Backend::Module, &host)
}

fn with_header(header: &Value) -> String {
    signed(&es256(), header.to_string().as_bytes(), b"{}")
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_of_every_algorithm_are_verified_with_the_key_that_they_name() {
    let signers = [rs256(), es256(), eddsa()];
    let keys = keys(&signers.each_ref());
    for signer in &signers {
        let token = token(signer, &json!({"sub": "alice"}));
        let verified = verify(&token, &keys).unwrap();
        assert_eq!(verified.claims().string("sub"), Some("alice"));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_signature_of_another_key_is_refused_even_under_the_same_key_id() {
    let forged = token(&es256_other(), &json!({}));
    let genuine = es256();
    assert_eq!(
        verify(&forged, &keys(&[&genuine])).unwrap_err(),
        SignatureError::KeyUnknown
    );
    let header = json!({"alg": "ES256", "kid": genuine.key_id()}).to_string();
    let forged = signed(&es256_other(), header.as_bytes(), b"{}");
    assert_eq!(
        verify(&forged, &keys(&[&genuine])).unwrap_err(),
        SignatureError::Invalid
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn every_changed_byte_breaks_the_token() {
    let signer = eddsa();
    let keys = keys(&[&signer]);
    let genuine = token(&signer, &json!({"sub": "alice"}));
    for index in 0..genuine.len() {
        let mut bytes = genuine.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        let accepted = parse(&changed).is_ok_and(|token| {
            let host = MockHost::get("/", UnixTime::MAX);
            token.verify(&keys, Backend::Module, &host).is_ok()
        });
        assert!(!accepted, "byte {index}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_key_decides_the_algorithm_and_never_the_token() {
    let signer = es256();
    let keys = keys(&[&signer]);
    for name in ["none", "None", "HS256", "RS256", "ES384", "es256", ""] {
        let header = json!({"alg": name, "kid": signer.key_id()});
        let outcome = verify(&with_header(&header), &keys);
        assert_eq!(
            outcome.unwrap_err(),
            SignatureError::AlgorithmMismatch,
            "{name}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_without_a_key_id_is_tried_with_the_keys_of_its_algorithm() {
    let signer = es256();
    let unnamed = with_header(&json!({"alg": "ES256"}));
    let (other, rs256) = (es256_other(), rs256());
    assert!(verify(&unnamed, &keys(&[&other, &rs256, &signer])).is_ok());
    assert_eq!(
        verify(&unnamed, &keys(&[&other])).unwrap_err(),
        SignatureError::Invalid
    );
    assert_eq!(
        verify(&unnamed, &keys(&[&rs256])).unwrap_err(),
        SignatureError::AlgorithmMismatch
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_no_of_the_host_is_final_and_only_an_absent_function_falls_back() {
    let signer = es256();
    let keys = keys(&[&signer]);
    let genuine = token(&signer, &json!({}));
    for (answer, accepted) in [
        (ForeignAnswer::Genuine, true),
        (ForeignAnswer::Forged, false),
        (ForeignAnswer::Unavailable, true),
    ] {
        let host = MockHost::get("/", UnixTime::MAX).with_foreign_answer(answer);
        let outcome = parse(&genuine).unwrap().verify(&keys, Backend::Host, &host);
        assert_eq!(outcome.is_ok(), accepted, "{answer:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn only_three_parts_are_a_token() {
    for (text, found) in [
        ("", 1),
        ("a", 1),
        ("e30.e30", 2),
        ("e30.e30.", 3),
        ("e30.e30.e30.", 4),
        (".e30.e30.e30", 4),
        ("e30.e30.e30.e30.e30", 5),
        (&".".repeat(10_000), 6),
    ] {
        let error = parse(text).unwrap_err();
        if found == 3 {
            assert!(
                matches!(error, TokenError::HeaderParameter { name: "alg" }),
                "{error:?}"
            );
        } else {
            assert_eq!(error, TokenError::Parts { found }, "{}", text.len());
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn base64url_has_one_spelling() {
    let genuine = with_header(&json!({"alg": "ES256"}));
    let (rest, signature) = genuine.rsplit_once('.').unwrap();
    // 64 bytes leave four unused bits in the last character: `A` and `B` would decode alike.
    for spelling in [
        format!("{signature}="),
        format!("{signature}=="),
        format!(" {signature}"),
        format!("{signature}\n"),
        format!("{}+", &signature[1..]),
        format!("{}/", &signature[1..]),
        format!("{}B", &signature[..signature.len() - 1]),
    ] {
        let outcome = parse(&format!("{rest}.{spelling}")).map(|_| ()).err();
        let expected = Some(TokenError::Base64 {
            part: Part::Signature,
        });
        assert_eq!(outcome, expected, "{}", spelling.escape_debug());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn sizes_are_limited_before_anything_is_decoded() {
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    let limit = MAX_TOKEN_BYTES;
    let length = limit + 1;
    assert_eq!(
        parse(&long).unwrap_err(),
        TokenError::TooLarge { length, limit }
    );
    let header = format!("{}.e30.e30", "a".repeat(MAX_HEADER_CHARACTERS + 1));
    assert!(matches!(
        parse(&header).unwrap_err(),
        TokenError::TooLarge { limit: 4096, .. }
    ));
}

#[wasm_bindgen_test(unsupported = test)]
fn critical_extensions_and_odd_headers_are_refused() {
    for crit in [json!([]), json!(["b64"]), json!(null)] {
        let token = with_header(&json!({"alg": "ES256", "crit": crit}));
        assert_eq!(
            parse(&token).unwrap_err(),
            TokenError::CriticalHeader,
            "{crit}"
        );
    }
    for (header, name) in [
        (json!({}), "alg"),
        (json!({"alg": 1}), "alg"),
        (json!({"alg": "ES256", "kid": 1}), "kid"),
        (json!({"alg": "ES256", "kid": null}), "kid"),
    ] {
        let token = with_header(&header);
        assert_eq!(
            parse(&token).unwrap_err(),
            TokenError::HeaderParameter { name },
            "{header}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn keys_that_a_token_brings_along_are_ignored() {
    let attacker = es256_other();
    let header = json!({
        "alg": "ES256",
        "kid": es256().key_id(),
        "jwk": attacker.public_jwk(),
        "jku": "https://attacker.example/keys",
        "x5u": "https://attacker.example/cert",
    });
    let forged = signed(&attacker, header.to_string().as_bytes(), b"{}");
    assert_eq!(
        verify(&forged, &keys(&[&es256()])).unwrap_err(),
        SignatureError::Invalid
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn header_and_claims_have_to_be_strict_json_objects() {
    let signer = es256();
    let alg = br#"{"alg":"ES256"}"#;
    for (header, payload) in [
        (&b"[]"[..], &b"{}"[..]),
        (br#"{"alg":"ES256","alg":"none"}"#, b"{}"),
        (b"{\"alg\":\"ES256\"} x", b"{}"),
        (alg, b"null"),
        (alg, b"\"text\""),
        (alg, br#"{"aud":"a","aud":"b"}"#),
        (alg, b"{'sub':1}"),
        (alg, b"{\"sub\":\"\xff\"}"),
        (alg, b""),
        (alg, br#"{"exp":"1"}"#),
    ] {
        let token = signed(&signer, header, payload);
        assert!(
            parse(&token).is_err(),
            "{} {}",
            header.escape_ascii(),
            payload.escape_ascii()
        );
    }
}
