//! The private half of a key pair, and what can be made with it: signatures and tokens.
//!
//! # Why not `jwt_simple`'s own `sign`?
//!
//! It serialises a claims type of its own, so a token with `"exp": "soon"` or two audiences where
//! one is expected cannot be made with it, and those are the tokens a gate has to be tried with.
//! Its key pairs are used for reading, checking and writing keys; the signature is made over
//! whatever bytes the caller has.

mod p521_key;

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::{
    ECDSAP256KeyPairLike, ECDSAP384KeyPairLike, ES256KeyPair, ES384KeyPair, Ed25519KeyPair,
    EdDSAKeyPairLike, RS256KeyPair, RSAKeyPairLike,
};
use p256::ecdsa::signature::Signer as _;
use serde_json::Value;
use superboring::error::ErrorStack;
use superboring::hash::MessageDigest;
use superboring::pkey::PKey;
use superboring::rsa::Padding;

use crate::token::{Algorithm, required_members};
use p521_key::P521KeyPair;

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
            Algorithm::Es256 => {
                let pair = ES256KeyPair::generate();
                let thumbprint = pair.jwk_thumbprint();
                KeyPair::Es256(pair.with_key_id(key_id.unwrap_or(&thumbprint)))
            }
            Algorithm::Es384 => {
                let pair = ES384KeyPair::generate();
                let thumbprint = pair.jwk_thumbprint();
                KeyPair::Es384(pair.with_key_id(key_id.unwrap_or(&thumbprint)))
            }
            Algorithm::Es512 => KeyPair::Es512(P521KeyPair::generate(key_id)),
            Algorithm::EdDsa => {
                let pair = Ed25519KeyPair::generate();
                let thumbprint = pair.jwk_thumbprint();
                KeyPair::EdDsa(pair.with_key_id(key_id.unwrap_or(&thumbprint)))
            }
            _ if algorithm.is_symmetric() => return Err(KeyError::Symmetric),
            _ => {
                let pair = RS256KeyPair::generate(RSA_MODULUS_BITS)
                    .map_err(|source| KeyError::Invalid { algorithm, source })?;
                let thumbprint = pair.jwk_thumbprint();
                let pair = pair.with_key_id(key_id.unwrap_or(&thumbprint));
                KeyPair::Rsa(Box::new(pair), algorithm)
            }
        };
        Self::new(key_pair)
    }

    /// Reads a private JWK: RSA for any of its algorithms, EC on P-256, P-384 or P-521, or OKP on
    /// Ed25519. An RSA key without `alg` is for RS256.
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
            Algorithm::Es256 => ES256KeyPair::from_jwk(json).map(KeyPair::Es256),
            Algorithm::Es384 => ES384KeyPair::from_jwk(json).map(KeyPair::Es384),
            Algorithm::Es512 => P521KeyPair::from_jwk(&jwk).map(KeyPair::Es512),
            Algorithm::EdDsa => Ed25519KeyPair::from_jwk(json).map(KeyPair::EdDsa),
            // `jwt-simple` reads the keys of all RSA algorithms alike, but for `alg`.
            _ => RS256KeyPair::from_jwk(&with_algorithm(&jwk, Algorithm::Rs256).to_string())
                .map(|pair| KeyPair::Rsa(Box::new(pair), algorithm)),
        };
        Self::new(key_pair.map_err(|source| KeyError::Invalid { algorithm, source })?)
    }

    fn new(key_pair: KeyPair) -> Result<Self, KeyError> {
        let public_jwk = match &key_pair {
            KeyPair::Rsa(pair, algorithm) => {
                let jwk = serde_json::from_str(&pair.public_key().to_jwk())?;
                with_algorithm(&jwk, *algorithm)
            }
            KeyPair::Es256(pair) => serde_json::from_str(&pair.public_key().to_jwk())?,
            KeyPair::Es384(pair) => serde_json::from_str(&pair.public_key().to_jwk())?,
            KeyPair::Es512(pair) => pair.public_jwk(),
            KeyPair::EdDsa(pair) => serde_json::from_str(&pair.public_key().to_jwk())?,
        };
        Ok(Self {
            key_pair,
            public_jwk,
        })
    }

    /// The algorithm, which the key decides.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.key_pair {
            KeyPair::Rsa(_, algorithm) => algorithm,
            KeyPair::Es256(_) => Algorithm::Es256,
            KeyPair::Es384(_) => Algorithm::Es384,
            KeyPair::Es512(_) => Algorithm::Es512,
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
            KeyPair::Rsa(pair, _) => pair.key_id().as_deref(),
            KeyPair::Es256(pair) => pair.key_id().as_deref(),
            KeyPair::Es384(pair) => pair.key_id().as_deref(),
            KeyPair::Es512(pair) => pair.id.as_deref(),
            KeyPair::EdDsa(pair) => pair.key_id().as_deref(),
        }
    }

    /// The key pair as a JWK, private key included.
    #[must_use]
    pub fn to_jwk(&self) -> String {
        match &self.key_pair {
            KeyPair::Rsa(pair, algorithm) => {
                let jwk: Value = serde_json::from_str(&pair.to_jwk()).unwrap_or_default();
                with_algorithm(&jwk, *algorithm).to_string()
            }
            KeyPair::Es256(pair) => pair.to_jwk(),
            KeyPair::Es384(pair) => pair.to_jwk(),
            KeyPair::Es512(pair) => pair.to_jwk().to_string(),
            KeyPair::EdDsa(pair) => pair.to_jwk(),
        }
    }

    /// The public key as a JWK with `alg`, `use` and `kid`, as it is published.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        self.public_jwk.clone()
    }

    /// The public key as a JWK with the members that make it (RFC 7638 section 3.2) and no others,
    /// as a proof of possession holds it.
    #[must_use]
    pub fn plain_public_jwk(&self) -> Value {
        let mut jwk = self.public_jwk();
        let required = required_members(&jwk).unwrap_or_default();
        if let Some(members) = jwk.as_object_mut() {
            members.retain(|name, _| required.contains(&name.as_str()));
        }
        jwk
    }

    /// The JWS signature (RFC 7515) of `signing_input`; for ES256 this is r and s one after the
    /// other, 64 bytes (RFC 7518 section 3.4).
    ///
    /// # Errors
    ///
    /// [`SignError`] when the arithmetic failed, which no sound key brings about.
    pub fn sign(&self, signing_input: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.key_pair {
            KeyPair::Rsa(pair, algorithm) => {
                let key = PKey::from_rsa(pair.key_pair().as_ref().clone())?;
                let (digest, padding) = match algorithm {
                    Algorithm::Rs384 => (MessageDigest::sha384(), Padding::PKCS1),
                    Algorithm::Rs512 => (MessageDigest::sha512(), Padding::PKCS1),
                    Algorithm::Ps256 => (MessageDigest::sha256(), Padding::PKCS1_PSS),
                    Algorithm::Ps384 => (MessageDigest::sha384(), Padding::PKCS1_PSS),
                    Algorithm::Ps512 => (MessageDigest::sha512(), Padding::PKCS1_PSS),
                    _ => (MessageDigest::sha256(), Padding::PKCS1),
                };
                let mut signer = superboring::sign::Signer::new(digest, &key)?;
                signer.set_rsa_padding(padding)?;
                signer.update(signing_input)?;
                Ok(signer.sign_to_vec()?)
            }
            KeyPair::Es256(pair) => {
                let key: &p256::ecdsa::SigningKey = pair.key_pair().as_ref();
                let signature: p256::ecdsa::Signature = key.try_sign(signing_input)?;
                Ok(signature.to_bytes().to_vec())
            }
            KeyPair::Es384(pair) => {
                let key: &p384::ecdsa::SigningKey = pair.key_pair().as_ref();
                let signature: p384::ecdsa::Signature = key.try_sign(signing_input)?;
                Ok(signature.to_bytes().to_vec())
            }
            KeyPair::Es512(pair) => {
                let signature: p521::ecdsa::Signature = pair.key.try_sign(signing_input)?;
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
    Rsa(Box<RS256KeyPair>, Algorithm),
    Es256(ES256KeyPair),
    Es384(ES384KeyPair),
    Es512(P521KeyPair),
    EdDsa(Ed25519KeyPair),
}

fn with_algorithm(jwk: &Value, algorithm: Algorithm) -> Value {
    let mut jwk = jwk.clone();
    if let Some(members) = jwk.as_object_mut() {
        members.insert("alg".to_owned(), algorithm.name().into());
    }
    jwk
}

/// The algorithm that a JWK's type and curve stand for, and `alg` for RSA. Members are checked no
/// further.
fn algorithm_of(jwk: &Value) -> Result<Algorithm, KeyError> {
    let member = |name| jwk.get(name).and_then(Value::as_str);
    match (member("kty"), member("crv")) {
        (Some("RSA"), _) => match member("alg") {
            None => Ok(Algorithm::Rs256),
            Some(name @ ("RS256" | "RS384" | "RS512" | "PS256" | "PS384" | "PS512")) => {
                Algorithm::from_name(name).ok_or(KeyError::UnsupportedKeyType)
            }
            Some(_) => Err(KeyError::UnsupportedKeyType),
        },
        (Some("EC"), Some("P-256")) => Ok(Algorithm::Es256),
        (Some("EC"), Some("P-384")) => Ok(Algorithm::Es384),
        (Some("EC"), Some("P-521")) => Ok(Algorithm::Es512),
        (Some("OKP"), Some("Ed25519")) => Ok(Algorithm::EdDsa),
        (Some("oct"), _) => Err(KeyError::Symmetric),
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
        "expected a private JWK with `kty` `RSA`, `kty` `EC` and `crv` `P-256`, `P-384` or \
         `P-521`, or `kty` `OKP` and `crv` `Ed25519`"
    )]
    UnsupportedKeyType,
    /// The key is a shared secret.
    #[error(
        "expected a private JWK, found a shared secret (`kty` `oct`), which has no public part"
    )]
    Symmetric,
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
    #[error("could not sign with RSA")]
    Rsa(#[from] ErrorStack),
    /// The ECDSA operation failed.
    #[error("could not sign with ECDSA")]
    Ecdsa(#[from] p256::ecdsa::Error),
}

/// The least that NIST SP 800-57 allows and what issuers use; longer keys slow every request down.
const RSA_MODULUS_BITS: usize = 2048;

#[cfg(test)]
mod tests;
