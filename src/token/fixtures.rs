//! Tokens for tests, made with the keys of `tests/vectors/keys`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::signer::Signer;

macro_rules! key {
    ($name:literal) => {
        Signer::from_jwk(include_str!(concat!(
            "../../tests/vectors/keys/",
            $name,
            ".private.jwk.json"
        )))
        .unwrap()
    };
}

pub(crate) fn rs256() -> Signer {
    key!("rs256")
}

pub(crate) fn es256() -> Signer {
    key!("es256")
}

pub(crate) fn es256_other() -> Signer {
    key!("es256-other")
}

pub(crate) fn eddsa() -> Signer {
    key!("eddsa")
}

/// The JWK Set with the public halves.
pub(crate) fn jwk_set(signers: &[&Signer]) -> String {
    let keys: Vec<_> = signers.iter().map(|signer| signer.public_jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// A token with any header and any payload.
pub(crate) fn signed(signer: &Signer, header: &[u8], payload: &[u8]) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signing_input = format!("{}.{}", encode(header), encode(payload));
    let signature = signer.sign(signing_input.as_bytes()).unwrap();
    format!("{signing_input}.{}", encode(&signature))
}

/// A token with these claims and an ordinary header.
pub(crate) fn token(signer: &Signer, claims: &Value) -> String {
    let header = json!({"alg": signer.algorithm().name(), "kid": signer.key_id()});
    signed(
        signer,
        header.to_string().as_bytes(),
        claims.to_string().as_bytes(),
    )
}
