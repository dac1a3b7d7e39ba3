//! Keys and JWK Sets (RFC 7517): what a provider signs with.
//!
//! `jwt-simple` reads the single JWK: it refuses private members in a public key, members of
//! another key type, `use` and `key_ops` that exclude verification, RSA below 2048 or above 4096
//! bits or with an exponent other than 65537, and points that are not on the curve.

use ed25519_dalek::VerifyingKey as Ed25519Key;
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike as _, ES256PublicKey, Ed25519PublicKey, RS256PublicKey,
    RSAPublicKeyLike as _,
};
use p256::ecdsa::VerifyingKey as P256Key;
use serde_json::Value;
use superboring::pkey::{PKey, Public};

use super::{Algorithm, JsonError, parse_json};

/// Longest JWK Set that is read. Sets of large identity providers are below 16 KiB.
pub const MAX_JWK_SET_BYTES: usize = 256 * 1024;

/// Most keys that a JWK Set may hold.
pub const MAX_KEYS: usize = 64;

/// Most keys that are tried for one token. A token that names no key is tried with several, and
/// every try costs a signature check, which a forger gets for nothing.
const MAX_CANDIDATES: usize = 8;

/// Why one JWK of a set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not an object, or without `kty`.
    #[error("expected an object with a string `kty`")]
    NotAKey,
    /// A type, curve or algorithm that is not supported, or that do not belong together.
    #[error("unsupported combination of `kty`, `crv` and `alg`")]
    Unsupported,
    /// The key material or its metadata is unfit for verifying signatures: wrong lengths, a point
    /// off the curve, RSA below 2048 bits, private members, `use` other than `sig`.
    #[error("not a usable {0} verification key")]
    Unusable(Algorithm),
}

/// Why a JWK Set cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Longer than [`MAX_JWK_SET_BYTES`].
    #[error("expected at most {MAX_JWK_SET_BYTES} bytes, found {0}")]
    TooLarge(usize),
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Not an object with a list `keys` (RFC 7517 section 5).
    #[error("expected an object with a list `keys`")]
    NotASet,
    /// More than [`MAX_KEYS`] keys.
    #[error("expected at most {MAX_KEYS} keys, found {0}")]
    TooManyKeys(usize),
    /// No key in it can be used; the first key's fault, if there is a key.
    #[error("no usable key{}", .0.as_ref().map_or(String::new(), |error| format!(": keys[0]: {error}")))]
    NoUsableKey(Option<KeyError>),
}

/// A public key, prepared once for every way in which it may be used.
#[derive(Debug)]
pub struct Key {
    id: Option<String>,
    material: Material,
    /// `SubjectPublicKeyInfo` in DER, which is what the host takes; empty for Ed25519, which it
    /// does not.
    subject_public_key_info: Vec<u8>,
}

/// The key as the module's own cryptography takes it. One variant for each [`Algorithm`].
pub(super) enum Material {
    Rs256(PKey<Public>),
    Es256(P256Key),
    EdDsa(Ed25519Key),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Rs256(_) => "Rs256",
            Self::Es256(_) => "Es256",
            Self::EdDsa(_) => "EdDsa",
        })
    }
}

impl Key {
    /// Reads one JWK. Without `alg`, an RSA key is bound to RS256, as OpenID Connect's default;
    /// the curve decides for the others.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_jwk(jwk: &Value) -> Result<Self, KeyError> {
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        let key_type = member("kty").ok_or(KeyError::NotAKey)?;
        // An `alg` that is there but no string must not count as "no algorithm".
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => Some(name.as_str().ok_or(KeyError::Unsupported)?),
        };
        let text = jwk.to_string();
        match (key_type, member("crv"), algorithm) {
            ("RSA", None, None | Some("RS256")) => Self::rs256(&text),
            ("EC", Some("P-256"), None | Some("ES256")) => Self::es256(&text),
            ("OKP", Some("Ed25519"), None | Some("EdDSA" | "Ed25519")) => Self::ed25519(&text),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn rs256(jwk: &str) -> Result<Self, KeyError> {
        let unusable = || KeyError::Unusable(Algorithm::Rs256);
        let key = RS256PublicKey::from_jwk(jwk).map_err(|_| unusable())?;
        let rsa = key.public_key().as_ref();
        Ok(Self {
            id: key.key_id().clone(),
            subject_public_key_info: rsa.public_key_to_der().map_err(|_| unusable())?,
            material: Material::Rs256(PKey::from_rsa(rsa.clone()).map_err(|_| unusable())?),
        })
    }

    fn es256(jwk: &str) -> Result<Self, KeyError> {
        let unusable = || KeyError::Unusable(Algorithm::Es256);
        let key = ES256PublicKey::from_jwk(jwk).map_err(|_| unusable())?;
        Ok(Self {
            id: key.key_id().clone(),
            subject_public_key_info: key.to_der().map_err(|_| unusable())?,
            material: Material::Es256(*key.public_key().as_ref()),
        })
    }

    fn ed25519(jwk: &str) -> Result<Self, KeyError> {
        use jwt_simple::algorithms::EdDSAPublicKeyLike as _;
        let unusable = || KeyError::Unusable(Algorithm::EdDsa);
        let key = Ed25519PublicKey::from_jwk(jwk).map_err(|_| unusable())?;
        let bytes = key.to_bytes();
        let material = Ed25519Key::try_from(bytes.as_slice()).map_err(|_| unusable())?;
        Ok(Self {
            id: key.key_id().clone(),
            subject_public_key_info: Vec::new(),
            material: Material::EdDsa(material),
        })
    }

    /// `kid`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The one algorithm that this key verifies.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.material {
            Material::Rs256(_) => Algorithm::Rs256,
            Material::Es256(_) => Algorithm::Es256,
            Material::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    pub(super) const fn material(&self) -> &Material {
        &self.material
    }

    pub(super) fn subject_public_key_info(&self) -> &[u8] {
        &self.subject_public_key_info
    }
}

/// Which keys of a JWK Set may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRules {
    /// The algorithms that keys may be bound to; every one when empty.
    pub algorithms: Vec<Algorithm>,
    /// Whether shared secrets (`kty` `oct`) may be used. Never for sets that come over a network.
    pub allow_symmetric: bool,
}

/// The usable keys of a JWK Set.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    unusable: Vec<(usize, KeyError)>,
}

impl KeySet {
    /// Reads a JWK Set. Keys that cannot be used are left out and listed in
    /// [`KeySet::unusable`]: identity providers publish encryption keys in the same set.
    ///
    /// # Errors
    ///
    /// [`KeySetError`] when the text is no JWK Set, too large, or has no usable key.
    pub fn parse(text: &[u8], _rules: &KeyRules) -> Result<Self, KeySetError> {
        if text.len() > MAX_JWK_SET_BYTES {
            return Err(KeySetError::TooLarge(text.len()));
        }
        let set = parse_json(text)?;
        let Some(Value::Array(members)) = set.get("keys") else {
            return Err(KeySetError::NotASet);
        };
        if members.len() > MAX_KEYS {
            return Err(KeySetError::TooManyKeys(members.len()));
        }
        let mut keys = Vec::new();
        let mut unusable = Vec::new();
        for (index, jwk) in members.iter().enumerate() {
            match Key::from_jwk(jwk) {
                Ok(key) => keys.push(key),
                Err(error) => unusable.push((index, error)),
            }
        }
        if keys.is_empty() {
            let first = unusable.into_iter().next().map(|(_, error)| error);
            return Err(KeySetError::NoUsableKey(first));
        }
        Ok(Self { keys, unusable })
    }

    /// The usable keys, in the order of the set.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// Index and fault of every key that was left out.
    #[must_use]
    pub fn unusable(&self) -> &[(usize, KeyError)] {
        &self.unusable
    }

    /// The keys that may have signed a token with this `kid`: those of the same id, compared byte
    /// by byte, and those without one; all of them for a token that names no key. At most eight.
    pub(super) fn candidates(&self, key_id: Option<&str>) -> impl Iterator<Item = &Key> {
        self.keys
            .iter()
            .filter(move |key| key_id.is_none() || key.id.is_none() || key.id() == key_id)
            .take(MAX_CANDIDATES)
    }
}

#[cfg(test)]
mod tests;
