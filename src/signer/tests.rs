use jwt_simple::prelude::*;
use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;

// RFC 8037 appendix A.
const ED25519_JWK: &str = r#"{"kty":"OKP","crv":"Ed25519",
    "d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

// RFC 6979 appendix A.2.5.
const P256_JWK: &str = r#"{"kty":"EC","crv":"P-256",
    "d":"ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE",
    "x":"YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y",
    "y":"eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk"}"#;

fn error_of(jwk: &str) -> KeyError {
    Signer::from_jwk(jwk).unwrap_err()
}

#[wasm_bindgen_test(unsupported = test)]
fn eddsa_signatures_are_those_of_rfc_8037() {
    let signature = Signer::from_jwk(ED25519_JWK)
        .unwrap()
        .sign(b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc")
        .unwrap();
    assert_eq!(
        URL_SAFE_NO_PAD.encode(signature),
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn es256_signatures_are_those_of_rfc_6979_as_r_and_s() {
    let signature = Signer::from_jwk(P256_JWK).unwrap().sign(b"sample").unwrap();
    assert_eq!(
        URL_SAFE_NO_PAD.encode(signature),
        "79SLKqy2qP0RQN2c1F6B1p0sh3tWqvmRw00OqE6vNxb3yxyULWV8QdQ2x6G24p9l8-kA27mv9AZNxKsvhDrNqA"
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_key_without_an_id_of_its_own_gets_its_thumbprint() {
    // RFC 8037 appendix A.3.
    let pair = Ed25519KeyPair::from_jwk(ED25519_JWK).unwrap();
    assert_eq!(
        pair.jwk_thumbprint(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );

    let signer = Signer::generate(Algorithm::EdDsa, None).unwrap();
    let pair = Ed25519KeyPair::from_jwk(&signer.to_jwk()).unwrap();
    assert_eq!(signer.key_id(), Some(pair.jwk_thumbprint().as_str()));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_generated_key_is_the_same_after_writing_and_reading() {
    for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
        let signer = Signer::generate(algorithm, Some("k1")).unwrap();
        let again = Signer::from_jwk(&signer.to_jwk()).unwrap();
        assert_eq!(again.algorithm(), algorithm);
        assert_eq!(again.key_id(), Some("k1"));
        assert_eq!(again.to_jwk(), signer.to_jwk());
        assert_eq!(again.public_jwk(), signer.public_jwk());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_public_jwk_and_the_debug_form_hold_no_private_member() {
    let signer = Signer::from_jwk(P256_JWK).unwrap();
    assert_eq!(
        signer.public_jwk(),
        json!({
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig",
            "x": "YP7UuiVanTHJYet0xjVtaMBJuJI7Yfps5mliLmDyn7Y",
            "y": "eQP-EAi4vJmkGunpVii8ZPLxsgwtfp9Rd6PClNRGIpk",
        })
    );
    assert!(!format!("{signer:?}").contains("ya-p2EW6dRZrXCFXZ7HWk05Qw9s26JsSe4piKxIPZyE"));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_carries_header_and_claims_as_they_were_given() {
    let signer = Signer::from_jwk(ED25519_JWK).unwrap();
    let token = signer
        .sign_token(&json!({"alg": "none"}), &json!(["no", "object"]))
        .unwrap();
    let mut parts = token
        .split('.')
        .map(|part| URL_SAFE_NO_PAD.decode(part).unwrap());
    assert_eq!(parts.next().unwrap(), br#"{"alg":"none"}"#);
    assert_eq!(parts.next().unwrap(), br#"["no","object"]"#);
    assert_eq!(parts.next().unwrap().len(), 64);
    assert!(parts.next().is_none());
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_no_private_key_is_refused_with_the_reason() {
    assert!(matches!(error_of("{"), KeyError::NotJson(_)));
    for jwk in [
        json!({"keys": []}),
        json!({"kty": "EC", "crv": "secp256k1", "d": ""}),
        json!({"kty": "OKP", "crv": "X25519", "d": ""}),
        json!("RSA"),
    ] {
        assert!(
            matches!(error_of(&jwk.to_string()), KeyError::UnsupportedKeyType),
            "{jwk}"
        );
    }
    let secret = json!({"kty": "oct", "k": "AAAA", "d": ""});
    assert!(matches!(error_of(&secret.to_string()), KeyError::Symmetric));
    let public = Signer::from_jwk(P256_JWK).unwrap().public_jwk();
    assert!(matches!(
        error_of(&public.to_string()),
        KeyError::PublicOnly
    ));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_private_key_must_belong_to_its_public_key_and_be_for_signing() {
    for (name, value) in [
        ("d", "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"),
        ("alg", "ES384"),
        ("use", "enc"),
    ] {
        let mut jwk: Value = serde_json::from_str(P256_JWK).unwrap();
        jwk[name] = value.into();
        let error = error_of(&jwk.to_string());
        assert!(
            matches!(
                error,
                KeyError::Invalid {
                    algorithm: Algorithm::Es256,
                    ..
                }
            ),
            "{name}: {error}"
        );
    }
}
