//! The private half of a key pair, and what can be made with it: signatures and tokens.
//!
//! # Why not `jwt_simple`'s own `sign`?
//!
//! It serialises a claims type of its own, so a token with `"exp": "soon"` or two audiences where
//! one is expected cannot be made with it, and those are the tokens a gate has to be tried with.
//! Its key pairs are used for reading, checking and writing keys; the signature is made over
//! whatever bytes the caller has.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{
    ECDSAP256KeyPairLike, ES256KeyPair, Ed25519KeyPair, EdDSAKeyPairLike, RS256KeyPair,
    RSAKeyPairLike,
};
use p256::ecdsa::signature::Signer as _;
use serde_json::Value;
use superboring::error::ErrorStack;
use superboring::hash::MessageDigest;
use superboring::pkey::PKey;
use superboring::rsa::Padding;

use crate::token::Algorithm;

/// A private key that signs tokens. Its `Debug` form shows the algorithm and the public key only.
pub struct Signer {
    key_pair: KeyPair,
    public_jwk: Value,
}

impl Signer {
    /// Makes a new key pair. Without a `key_id` it gets its RFC 7638 thumbprint.
    ///
    /// # Errors
    ///
    /// [`KeyError::Invalid`] when the system has no randomness for an RSA key.
    pub fn generate(algorithm: Algorithm, key_id: Option<&str>) -> Result<Self, KeyError> {
        let key_pair = match algorithm {
            Algorithm::Rs256 => {
                let pair = RS256KeyPair::generate(RSA_MODULUS_BITS)
                    .map_err(|source| KeyError::Invalid { algorithm, source })?;
                let thumbprint = pair.jwk_thumbprint();
                KeyPair::Rs256(Box::new(pair.with_key_id(key_id.unwrap_or(&thumbprint))))
            }
            Algorithm::Es256 => {
                let pair = ES256KeyPair::generate();
                let thumbprint = pair.jwk_thumbprint();
                KeyPair::Es256(pair.with_key_id(key_id.unwrap_or(&thumbprint)))
            }
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate();
                let thumbprint = pair.jwk_thumbprint();
                KeyPair::EdDsa(pair.with_key_id(key_id.unwrap_or(&thumbprint)))
            }
        };
        Self::new(key_pair)
    }

    /// Reads a private JWK: RSA, EC on P-256, or OKP on Ed25519.
    ///
    /// The private key must belong to the public one, and `alg`, `use` and `key_ops`, where they
    /// are present, must allow signing.
    ///
    /// # Errors
    ///
    /// Every variant of [`KeyError`].
    pub fn from_jwk(json: &str) -> Result<Self, KeyError> {
        let jwk: Value = serde_json::from_str(json)?;
        let algorithm = algorithm_of(&jwk)?;
        if jwk.get("d").is_none() {
            return Err(KeyError::PublicOnly);
        }
        let key_pair = match algorithm {
            Algorithm::Rs256 => {
                RS256KeyPair::from_jwk(json).map(|pair| KeyPair::Rs256(Box::new(pair)))
            }
            Algorithm::Es256 => ES256KeyPair::from_jwk(json).map(KeyPair::Es256),
            Algorithm::EdDsa => Ed25519KeyPair::from_jwk(json).map(KeyPair::EdDsa),
        };
        Self::new(key_pair.map_err(|source| KeyError::Invalid { algorithm, source })?)
    }

    fn new(key_pair: KeyPair) -> Result<Self, KeyError> {
        let public_jwk = serde_json::from_str(&match &key_pair {
            KeyPair::Rs256(pair) => pair.public_key().to_jwk(),
            KeyPair::Es256(pair) => pair.public_key().to_jwk(),
            KeyPair::EdDsa(pair) => pair.public_key().to_jwk(),
        })?;
        Ok(Self {
            key_pair,
            public_jwk,
        })
    }

    /// The algorithm, which the key decides.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.key_pair {
            KeyPair::Rs256(_) => Algorithm::Rs256,
            KeyPair::Es256(_) => Algorithm::Es256,
            KeyPair::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// The value of `alg` in the header of this key's tokens.
    #[must_use]
    pub const fn algorithm_name(&self) -> &'static str {
        self.algorithm().name()
    }

    /// The key's `kid`.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        match &self.key_pair {
            KeyPair::Rs256(pair) => pair.key_id().as_deref(),
            KeyPair::Es256(pair) => pair.key_id().as_deref(),
            KeyPair::EdDsa(pair) => pair.key_id().as_deref(),
        }
    }

    /// The key pair as a JWK, private key included.
    #[must_use]
    pub fn to_jwk(&self) -> String {
        match &self.key_pair {
            KeyPair::Rs256(pair) => pair.to_jwk(),
            KeyPair::Es256(pair) => pair.to_jwk(),
            KeyPair::EdDsa(pair) => pair.to_jwk(),
        }
    }

    /// The public key as a JWK with `alg`, `use` and `kid`, to be shown to everybody.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.public_jwk.clone()
    }

    /// The JWS signature (RFC 7515) of `signing_input`; for ES256 this is r and s one after the
    /// other, 64 bytes (RFC 7518 section 3.4).
    ///
    /// # Errors
    ///
    /// [`SignError`] when the arithmetic failed, which no sound key brings about.
    pub fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.key_pair {
            KeyPair::Rs256(pair) => {
                let key = PKey::from_rsa(pair.key_pair().as_ref().clone())?;
                let mut signer = superboring::sign::Signer::new(MessageDigest::sha256(), &key)?;
                signer.set_rsa_padding(Padding::PKCS1)?;
                signer.update(signing_input)?;
                Ok(signer.sign_to_vec()?)
            }
            KeyPair::Es256(pair) => {
                let key: &p256::ecdsa::SigningKey = pair.key_pair().as_ref();
                let signature: p256::ecdsa::Signature = key.try_sign(signing_input)?;
                Ok(signature.to_bytes().to_vec())
            }
            KeyPair::EdDsa(pair) => {
                // Without added noise, as RFC 8032 has it: equal input gives an equal signature.
                Ok(pair
                    .key_pair()
                    .as_ref()
                    .sk
                    .sign(signing_input, None)
                    .to_vec())
            }
        }
    }

    /// A token in compact form with this header and these claims, exactly as given: neither needs
    /// to be true, complete or even an object.
    ///
    /// # Errors
    ///
    /// As [`Signer::sign`].
    pub fn sign_token(&self, header: &Value, claims: &Value) -> Result<String, SignError> {
        let mut token = URL_SAFE_NO_PAD.encode(header.to_string());
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims.to_string(), &mut token);
        let signature = self.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Signer")
            .field("algorithm", &self.algorithm())
            .field("public_jwk", &self.public_jwk)
            .finish_non_exhaustive()
    }
}

enum KeyPair {
    Rs256(Box<RS256KeyPair>),
    Es256(ES256KeyPair),
    EdDsa(Ed25519KeyPair),
}

/// The algorithm that a JWK's type and curve stand for. Members are checked no further.
fn algorithm_of(jwk: &Value) -> Result<Algorithm, KeyError> {
    let member = |name| jwk.get(name).and_then(Value::as_str);
    match (member("kty"), member("crv")) {
        (Some("RSA"), _) => Ok(Algorithm::Rs256),
        (Some("EC"), Some("P-256")) => Ok(Algorithm::Es256),
        (Some("OKP"), Some("Ed25519")) => Ok(Algorithm::EdDsa),
        _ => Err(KeyError::UnsupportedKeyType),
    }
}

/// Why a JWK is no key that tokens can be signed with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The text is not JSON.
    #[error("expected a private JWK")]
    NotJson(#[from] serde_json::Error),
    /// Type and curve are none of those that are supported; a JWK Set has neither.
    #[error(
        "expected a private JWK with `kty` `RSA`, `kty` `EC` and `crv` `P-256`, \
         or `kty` `OKP` and `crv` `Ed25519`"
    )]
    UnsupportedKeyType,
    /// There is no private key in the JWK.
    #[error("expected a private JWK, found a public one")]
    PublicOnly,
    /// The members contradict one another, are missing, too short, or not for signing.
    #[error("expected a private JWK for {}", algorithm.name())]
    Invalid {
        /// The algorithm that type and curve stand for.
        algorithm: Algorithm,
        /// What the cryptographic library said.
        source: jwt_simple::Error,
    },
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignError {
    /// The RSA operation failed.
    #[error("could not sign with RS256")]
    Rs256(#[from] ErrorStack),
    /// The ECDSA operation failed.
    #[error("could not sign with ES256")]
    Es256(#[from] p256::ecdsa::Error),
}

/// The least that NIST SP 800-57 allows and what issuers use; longer keys slow every request down.
const RSA_MODULUS_BITS: usize = 2048;

#[cfg(test)]
mod tests;
