use serde_json::Value;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock::MockHost;
use crate::signer::Signer;
use crate::time::UnixTime;
use crate::token::KeyRules;
use crate::token::fixtures::{eddsa, es256, rs256, rsa, symmetric};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

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
    assert!(verify(
        &key,
        Algorithm::Es256,
        Backend::Host,
        &host,
        b"text",
        &genuine
    ));
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
            !verify(
                &key,
                Algorithm::Es256,
                Backend::Host,
                &host,
                b"text",
                signature
            ),
            "{signature:02x?}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn ed25519_signatures_have_64_bytes_and_a_canonical_scalar() {
    let key = key(&eddsa().public_jwk());
    let host = MockHost::get("/", UnixTime::MAX);
    let genuine = eddsa().sign(b"text").unwrap();
    assert!(verify(
        &key,
        Algorithm::EdDsa,
        Backend::Module,
        &host,
        b"text",
        &genuine
    ));
    let mut malleable = genuine.clone();
    malleable[63] |= 0xe0;
    for signature in [&genuine[..63], &malleable, &[0; 64], &[]] {
        assert!(!verify(
            &key,
            Algorithm::EdDsa,
            Backend::Module,
            &host,
            b"text",
            signature
        ));
    }
}

/// A host that offers the function and says no to everything, but remembers which hash it was
/// asked for.
#[derive(Default)]
struct Recording(std::cell::RefCell<Vec<Vec<u8>>>);

impl SignatureHost for Recording {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        self.0.borrow_mut().push(arguments[2..8].to_vec());
        ForeignAnswer::Forged
    }
}

fn signers() -> Vec<Signer> {
    let rsa = [
        Algorithm::Rs384,
        Algorithm::Rs512,
        Algorithm::Ps256,
        Algorithm::Ps384,
        Algorithm::Ps512,
    ];
    let rsa = rsa.map(rsa_signer);
    let curves = [Algorithm::Es384, Algorithm::Es512];
    let curves = curves.map(|algorithm| Signer::generate(algorithm, None).unwrap());
    rsa.into_iter()
        .chain(curves)
        .chain([rs256(), es256(), eddsa()])
        .collect()
}

fn rsa_signer(algorithm: Algorithm) -> Signer {
    rsa(algorithm)
}

#[wasm_bindgen_test(unsupported = test)]
fn every_algorithm_is_verified_inside_the_module_and_tells_good_from_bad() {
    let host = MockHost::get("/", UnixTime::MAX);
    for signer in signers() {
        let key = key(&signer.public_jwk());
        let signature = signer.sign(b"text").unwrap();
        let verify = |text: &[u8], signature: &[u8]| {
            verify(
                &key,
                signer.algorithm(),
                Backend::Module,
                &host,
                text,
                signature,
            )
        };
        let name = signer.algorithm_name();
        assert!(verify(b"text", &signature), "{name}");
        assert!(!verify(b"texts", &signature), "{name}");
        let mut flipped = signature.clone();
        flipped[10] ^= 1;
        assert!(!verify(b"text", &flipped), "{name}");
        assert!(!verify(b"text", &signature[1..]), "{name}");
        assert!(!verify(b"text", &[]), "{name}");
        assert!(!verify(b"text", &vec![0; signature.len()]), "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn algorithms_of_one_key_are_told_apart() {
    let host = MockHost::get("/", UnixTime::MAX);
    let algorithms = [
        Algorithm::Rs256,
        Algorithm::Rs384,
        Algorithm::Ps256,
        Algorithm::Ps384,
    ];
    for one in algorithms {
        let signature = rsa(one).sign(b"text").unwrap();
        for other in algorithms {
            let key = key(&rsa(other).public_jwk());
            let outcome = verify(&key, other, Backend::Module, &host, b"text", &signature);
            assert_eq!(outcome, one == other, "{one} {other}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_host_is_asked_for_what_it_knows_with_the_right_hash() {
    for signer in signers() {
        let host = Recording::default();
        let key = key(&signer.public_jwk());
        let signature = signer.sign(b"text").unwrap();
        let algorithm = signer.algorithm();
        let outcome = verify(&key, algorithm, Backend::Host, &host, b"text", &signature);
        let asked = host.0.take();
        let expected: &[&[u8]] = match signer.algorithm() {
            Algorithm::Rs256 | Algorithm::Es256 => &[b"sha256"],
            Algorithm::Rs384 | Algorithm::Es384 => &[b"sha384"],
            Algorithm::Rs512 | Algorithm::Es512 => &[b"sha512"],
            _ => &[],
        };
        assert_eq!(asked, expected, "{}", signer.algorithm());
        // The host's no is final.
        assert_eq!(outcome, expected.is_empty(), "{}", signer.algorithm());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn shared_secrets_verify_what_they_made() {
    let host = MockHost::get("/", UnixTime::MAX);
    let rules = KeyRules {
        allow_symmetric: true,
        ..KeyRules::default()
    };
    for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
        let (jwk, token) = symmetric(algorithm, &serde_json::json!({"sub": "alice"}));
        let key = Key::from_jwk(&jwk, &rules).unwrap();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let verify = |text: &str, signature: &[u8]| {
            verify(
                &key,
                algorithm,
                Backend::Module,
                &host,
                text.as_bytes(),
                signature,
            )
        };
        assert!(verify(input, &signature), "{algorithm}");
        assert!(!verify("text", &signature), "{algorithm}");
        assert!(!verify(input, &signature[1..]), "{algorithm}");
        assert!(!verify(input, &[]), "{algorithm}");
    }
}
