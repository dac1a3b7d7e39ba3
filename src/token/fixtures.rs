//! Tokens for tests, made with the keys of `tests/vectors/keys`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Algorithm;
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

/// The key of [`rs256`] for another of the RSA algorithms.
pub(crate) fn rsa(algorithm: Algorithm) -> Signer {
    let mut jwk: Value = serde_json::from_str(&rs256().to_jwk()).unwrap();
    jwk["alg"] = algorithm.name().into();
    Signer::from_jwk(&jwk.to_string()).unwrap()
}

/// The JWK of a shared secret, and a token that was made with it. None of the other keys can do
/// that: [`Signer`] is for keys with a public half.
pub(crate) fn symmetric(algorithm: Algorithm, claims: &Value) -> (Value, String) {
    let secret = [b'k'; 64];
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({
        "kty": "oct", "k": encode(&secret), "alg": algorithm.name(), "kid": "shared",
    });
    let header = json!({"alg": algorithm.name(), "kid": "shared"}).to_string();
    let claims = claims.to_string();
    let input = format!(
        "{}.{}",
        encode(header.as_bytes()),
        encode(claims.as_bytes())
    );
    let signature = match algorithm {
        Algorithm::Hs256 => hmac_sha256::HMAC::mac(&input, secret).to_vec(),
        Algorithm::Hs384 => hmac_sha512::sha384::HMAC::mac(&input, secret).to_vec(),
        Algorithm::Hs512 => hmac_sha512::HMAC::mac(&input, secret).to_vec(),
        other => panic!("{other} is not symmetric"),
    };
    (jwk, format!("{input}.{}", encode(&signature)))
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
