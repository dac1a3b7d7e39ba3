//! Libraries side by side, each with its own key and the same token.

use std::hint::black_box;

use ed25519_dalek::Signature as DalekSignature;
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike as _, ES256PublicKey, Ed25519PublicKey, EdDSAPublicKeyLike as _,
    HS256Key, MACLike as _, RS256PublicKey, RSAPublicKeyLike as _,
};
use jwt_simple::claims::NoCustomClaims;
use p256::ecdsa::signature::Verifier as _;
use rsa::{BoxedUint, PublicKey as RsaKey};
use sha2::Sha256;
use superboring::hash::MessageDigest;
use superboring::pkey::{PKey, Public};
use superboring::rsa::Padding;
use superboring::sign::Verifier;

use crate::given::Given;
use crate::step::Step;

pub(crate) fn steps(given: &Given) -> Vec<Step> {
    let mut steps = Vec::from(ed25519(given));
    steps.extend(rs256(given));
    steps.extend(ps256(given));
    steps.push(p256(given));
    steps.extend(jwt_simple(given));
    steps
}

fn ed25519(given: &Given) -> [Step; 3] {
    let public = given.member("eddsa", "x");
    let key = ed25519_compact::PublicKey::from_slice(&public).expect("a key");
    let signed = given.signed("eddsa");
    let signature = ed25519_compact::Signature::from_slice(&signed.signature).expect("64 bytes");
    let compact = Step::new("library, Ed25519: ed25519-compact 2", move || {
        key.verify(black_box(&signed.text), &signature).is_ok()
    });
    let key = ed25519_dalek::VerifyingKey::try_from(public.as_slice()).expect("a key");
    let signed = given.signed("eddsa");
    let signature = DalekSignature::from_slice(&signed.signature).expect("64 bytes");
    let strict = Step::new("library, Ed25519: ed25519-dalek 3, strict", move || {
        key.verify_strict(black_box(&signed.text), &signature)
            .is_ok()
    });
    let signed = given.signed("eddsa");
    let lenient = Step::new("library, Ed25519: ed25519-dalek 3", move || {
        key.verify(black_box(&signed.text), &signature).is_ok()
    });
    [compact, strict, lenient]
}

fn rs256(given: &Given) -> [Step; 2] {
    let old = superboring(
        given,
        "rs256",
        "library, RSA-2048, PKCS#1 v1.5",
        Padding::PKCS1,
    );
    let key = rsa::pkcs1v15::VerifyingKey::<Sha256>::new(rsa_key(given, "rs256"));
    let signed = given.signed("rs256");
    let signature = rsa::pkcs1v15::Signature::try_from(signed.signature.as_slice());
    let signature = signature.expect("a signature");
    let new = Step::new("library, RSA-2048, PKCS#1 v1.5: rsa 0.10", move || {
        key.verify(black_box(&signed.text), &signature).is_ok()
    });
    [old, new]
}

fn ps256(given: &Given) -> [Step; 2] {
    let old = superboring(given, "ps256", "library, RSA-2048, PSS", Padding::PKCS1_PSS);
    let key = rsa::pss::VerifyingKey::<Sha256>::new(rsa_key(given, "ps256"));
    let signed = given.signed("ps256");
    let signature = rsa::pss::Signature::try_from(signed.signature.as_slice());
    let signature = signature.expect("a signature");
    let new = Step::new("library, RSA-2048, PSS: rsa 0.10", move || {
        key.verify(black_box(&signed.text), &signature).is_ok()
    });
    [old, new]
}

fn superboring(given: &Given, algorithm: &str, group: &str, padding: Padding) -> Step {
    let (modulus, exponent) = (given.member(algorithm, "n"), given.member(algorithm, "e"));
    let key = RS256PublicKey::from_components(&modulus, &exponent).expect("a key");
    let key: PKey<Public> = PKey::from_rsa(key.public_key().as_ref().clone()).expect("a key");
    let signed = given.signed(algorithm);
    let name = format!("{group}: superboring 0.1 (rsa 0.9)");
    Step::new(&name, move || {
        let mut verifier = Verifier::new(MessageDigest::sha256(), &key).expect("a verifier");
        verifier.set_rsa_padding(padding).expect("a padding");
        let answer = verifier.verify_oneshot(&signed.signature, black_box(&signed.text));
        answer.unwrap_or(false)
    })
}

fn rsa_key(given: &Given, algorithm: &str) -> RsaKey {
    let number = |name| BoxedUint::from_be_slice_vartime(&given.member(algorithm, name));
    RsaKey::new(number("n"), number("e")).expect("a key")
}

fn point(given: &Given) -> Vec<u8> {
    let (x, y) = (given.member("es256", "x"), given.member("es256", "y"));
    [&[4], x.as_slice(), &y].concat()
}

fn p256(given: &Given) -> Step {
    let key = p256::ecdsa::VerifyingKey::from_sec1_bytes(&point(given)).expect("a key");
    let signed = given.signed("es256");
    let signature = p256::ecdsa::Signature::from_slice(&signed.signature).expect("64 bytes");
    Step::new("library, P-256: p256 0.14", move || {
        key.verify(black_box(&signed.text), &signature).is_ok()
    })
}

/// Its own way of verifying a whole token, which reads it too.
fn jwt_simple(given: &Given) -> [Step; 4] {
    let token = |algorithm| given.token(algorithm).to_owned();
    let (modulus, exponent) = (given.member("rs256", "n"), given.member("rs256", "e"));
    let (rsa, rs256) = (
        RS256PublicKey::from_components(&modulus, &exponent).expect("a key"),
        token("rs256"),
    );
    let (curve, es256) = (
        ES256PublicKey::from_bytes(&point(given)).expect("a key"),
        token("es256"),
    );
    let (edwards, eddsa) = (
        Ed25519PublicKey::from_bytes(&given.member("eddsa", "x")).expect("a key"),
        token("eddsa"),
    );
    let (secret, hs256) = (
        HS256Key::from_bytes(&given.member("hs256", "k")),
        token("hs256"),
    );
    [
        Step::new("library, a whole token: jwt-simple, RS256", move || {
            rsa.verify_token::<NoCustomClaims>(black_box(&rs256), None)
                .is_ok()
        }),
        Step::new("library, a whole token: jwt-simple, ES256", move || {
            curve
                .verify_token::<NoCustomClaims>(black_box(&es256), None)
                .is_ok()
        }),
        Step::new("library, a whole token: jwt-simple, EdDSA", move || {
            edwards
                .verify_token::<NoCustomClaims>(black_box(&eddsa), None)
                .is_ok()
        }),
        Step::new("library, a whole token: jwt-simple, HS256", move || {
            secret
                .verify_token::<NoCustomClaims>(black_box(&hs256), None)
                .is_ok()
        }),
    ]
}
