use serde_json::Value;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock::MockHost;
use crate::time::UnixTime;
use crate::token::KeyRules;
use crate::token::fixtures::{eddsa, es256};

/// A host that knows only the one genuine signature that detection shows it.
struct Discerning;

impl SignatureHost for Discerning {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        if arguments.ends_with(known::TEXT) {
            ForeignAnswer::Genuine
        } else {
            ForeignAnswer::Forged
        }
    }
}

fn key(jwk: &Value) -> Key {
    Key::from_jwk(jwk, &KeyRules::default()).unwrap()
}

#[wasm_bindgen_test(unsupported = test)]
fn a_host_is_relied_on_only_when_it_tells_good_from_bad() {
    assert_eq!(Backend::detect(&Discerning), Backend::Host);
    for answer in [
        ForeignAnswer::Genuine,
        ForeignAnswer::Forged,
        ForeignAnswer::Unavailable,
    ] {
        let host = MockHost::get("/", UnixTime::MAX).with_foreign_answer(answer);
        assert_eq!(Backend::detect(&host), Backend::Module, "{answer:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_known_signature_is_the_one_of_rfc_7515() {
    use p256::pkcs8::DecodePublicKey as _;
    let public = p256::ecdsa::VerifyingKey::from_public_key_der(known::SUBJECT_PUBLIC_KEY_INFO);
    let signature = P256Signature::from_der(known::SIGNATURE).unwrap();
    assert!(public.unwrap().verify(known::TEXT, &signature).is_ok());
}

#[wasm_bindgen_test(unsupported = test)]
fn arguments_are_the_fields_of_the_message_in_order() {
    let message = arguments(Digest::Sha256, b"KEY", &[0x55; 200], b"");
    let mut expected = b"\x0a\x06sha256\x12\x03KEY\x1a\xc8\x01".to_vec();
    expected.extend([0x55; 200]);
    expected.extend(b"\x22\x00");
    assert_eq!(message, expected);
}

#[wasm_bindgen_test(unsupported = test)]
fn ecdsa_signatures_that_are_no_pair_of_scalars_never_reach_the_host() {
    let key = key(&es256().public_jwk());
    let host = MockHost::get("/", UnixTime::MAX).with_foreign_answer(ForeignAnswer::Genuine);
    let genuine = es256().sign(b"text").unwrap();
    assert!(verify(&key, Backend::Host, &host, b"text", &genuine));
    let der = P256Signature::from_slice(&genuine).unwrap().to_der();
    for signature in [
        &[][..],
        &[0; 64],
        &[0xff; 64],
        &genuine[..63],
        &[&genuine[..], &[0]].concat(),
        &[&genuine[..32], &[0; 32]].concat(),
        der.as_bytes(),
    ] {
        assert!(
            !verify(&key, Backend::Host, &host, b"text", signature),
            "{signature:02x?}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn ed25519_signatures_have_64_bytes_and_a_canonical_scalar() {
    let key = key(&eddsa().public_jwk());
    let host = MockHost::get("/", UnixTime::MAX);
    let genuine = eddsa().sign(b"text").unwrap();
    assert!(verify(&key, Backend::Module, &host, b"text", &genuine));
    let mut malleable = genuine.clone();
    malleable[63] |= 0xe0;
    for signature in [&genuine[..63], &malleable, &[0; 64], &[]] {
        assert!(!verify(&key, Backend::Module, &host, b"text", signature));
    }
}
