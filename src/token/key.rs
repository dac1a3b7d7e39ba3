//! Keys and JWK Sets (RFC 7517): what a provider signs with.
//!
//! `jwt-simple` reads the single JWK: it refuses private members in a public key, members of
//! another key type, `use` and `key_ops` that exclude verification, RSA below 2048 or above 4096
//! bits or with an exponent other than 65537, and points that are not on the curve. What it does
//! not know, and what the filter has no arithmetic for, is read here by the same rules.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey as Ed25519Key;
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike as _, ES256PublicKey, Ed25519PublicKey, RS256PublicKey,
    RSAPublicKeyLike as _,
};
use p256::ecdsa::VerifyingKey as P256Key;
use serde_json::Value;
use superboring::pkey::{PKey, Public};

use super::algorithm::Family;
use super::large_curve::LargeCurveKey;
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
    /// A shared secret, which has to be allowed explicitly.
    #[error("a shared secret; hint: `allow_symmetric_keys` lets local sets have them")]
    SymmetricNotAllowed,
    /// An algorithm that the provider does not list.
    #[error("{0} is not one of the provider's `algorithms`")]
    NotAllowed(Algorithm),
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

/// A key, prepared once for every way in which it may be used.
#[derive(Debug)]
pub struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    material: Material,
    /// `SubjectPublicKeyInfo` in DER, which is what the host takes; empty where it does not do
    /// the algorithm.
    subject_public_key_info: Vec<u8>,
}

/// The key as the module's own cryptography takes it.
pub(super) enum Material {
    Rsa(PKey<Public>),
    P256(P256Key),
    LargeCurve(LargeCurveKey),
    Ed25519(Ed25519Key),
    Secret(Vec<u8>),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Rsa(_) => "Rsa",
            Self::P256(_) => "P256",
            Self::LargeCurve(_) => "LargeCurve",
            Self::Ed25519(_) => "Ed25519",
            Self::Secret(_) => "Secret",
        })
    }
}

impl Key {
    /// Reads one JWK. Without `alg`, the curve decides; an RSA key is bound to the first RSA
    /// algorithm that `rules` lists, or to RS256, as OpenID Connect's default; a secret likewise,
    /// or to HS256.
    ///
    /// `x5c` and whatever else leads to keys is not looked at: the set itself is what is trusted.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_jwk(jwk: &Value, rules: &KeyRules) -> Result<Self, KeyError> {
        let member = |name: &str| jwk.get(name).and_then(Value::as_str);
        let key_type = member("kty").ok_or(KeyError::NotAKey)?;
        // An `alg` that is there but no string must not count as "no algorithm".
        let named = match jwk.get("alg") {
            None => None,
            Some(name) => {
                let algorithm = name.as_str().and_then(Algorithm::from_name);
                Some(algorithm.ok_or(KeyError::Unsupported)?)
            }
        };
        let (family, default) = match (key_type, member("crv")) {
            ("RSA", None) => (Family::Rsa, rules.first(Family::Rsa, Algorithm::Rs256)),
            ("oct", None) => (Family::Hmac, rules.first(Family::Hmac, Algorithm::Hs256)),
            ("EC", Some("P-256")) => (Family::Ecdsa, Algorithm::Es256),
            ("EC", Some("P-384")) => (Family::Ecdsa, Algorithm::Es384),
            ("EC", Some("P-521")) => (Family::Ecdsa, Algorithm::Es512),
            ("OKP", Some("Ed25519")) => (Family::EdDsa, Algorithm::EdDsa),
            _ => return Err(KeyError::Unsupported),
        };
        let algorithm = named.unwrap_or(default);
        let is_bound_to_curve = family == Family::Ecdsa && algorithm != default;
        if algorithm.family() != family || is_bound_to_curve {
            return Err(KeyError::Unsupported);
        }
        if family == Family::Hmac && !rules.allow_symmetric {
            return Err(KeyError::SymmetricNotAllowed);
        }
        if !rules.allows(algorithm) {
            return Err(KeyError::NotAllowed(algorithm));
        }
        Self::read(jwk, algorithm).ok_or(KeyError::Unusable(algorithm))
    }

    fn read(jwk: &Value, algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::Es256 => Self::p256(&jwk.to_string()),
            Algorithm::Es384 | Algorithm::Es512 => Self::large_curve(jwk, algorithm),
            Algorithm::EdDsa => Self::ed25519(&jwk.to_string()),
            _ if algorithm.is_symmetric() => Self::secret(jwk, algorithm),
            _ => Self::rsa(jwk, algorithm),
        }
    }

    /// `jwt-simple` has a type for every RSA algorithm, all of which read the key alike. One is
    /// enough, once `alg`, which was looked at above, does not stand in its way.
    fn rsa(jwk: &Value, algorithm: Algorithm) -> Option<Self> {
        let mut members = jwk.as_object()?.clone();
        members.remove("alg");
        let key = RS256PublicKey::from_jwk(&Value::Object(members).to_string()).ok()?;
        let rsa = key.public_key().as_ref();
        Some(Self {
            id: key.key_id().clone(),
            algorithm,
            subject_public_key_info: rsa.public_key_to_der().ok()?,
            material: Material::Rsa(PKey::from_rsa(rsa.clone()).ok()?),
        })
    }

    fn p256(jwk: &str) -> Option<Self> {
        let key = ES256PublicKey::from_jwk(jwk).ok()?;
        Some(Self {
            id: key.key_id().clone(),
            algorithm: Algorithm::Es256,
            subject_public_key_info: key.to_der().ok()?,
            material: Material::P256(*key.public_key().as_ref()),
        })
    }

    fn large_curve(jwk: &Value, algorithm: Algorithm) -> Option<Self> {
        if !is_for_verifying(jwk, &["d", "k", "n", "e"]) {
            return None;
        }
        let (key, subject_public_key_info) = LargeCurveKey::from_jwk(jwk, algorithm)?;
        Some(Self {
            id: key_id(jwk),
            algorithm,
            subject_public_key_info,
            material: Material::LargeCurve(key),
        })
    }

    fn ed25519(jwk: &str) -> Option<Self> {
        use jwt_simple::algorithms::EdDSAPublicKeyLike as _;
        let key = Ed25519PublicKey::from_jwk(jwk).ok()?;
        let material = Ed25519Key::try_from(key.to_bytes().as_slice()).ok()?;
        Some(Self {
            id: key.key_id().clone(),
            algorithm: Algorithm::EdDsa,
            subject_public_key_info: Vec::new(),
            material: Material::Ed25519(material),
        })
    }

    fn secret(jwk: &Value, algorithm: Algorithm) -> Option<Self> {
        let secret = URL_SAFE_NO_PAD.decode(jwk.get("k")?.as_str()?).ok()?;
        let is_sound = is_for_verifying(jwk, &["d", "n", "e", "x", "y"])
            && secret.len() >= algorithm.digest().bytes();
        is_sound.then(|| Self {
            id: key_id(jwk),
            algorithm,
            subject_public_key_info: Vec::new(),
            material: Material::Secret(secret),
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
        self.algorithm
    }

    pub(super) const fn material(&self) -> &Material {
        &self.material
    }

    pub(super) fn subject_public_key_info(&self) -> &[u8] {
        &self.subject_public_key_info
    }
}

/// Whether a JWK says nothing against verifying with it, and has none of the members that belong
/// to other keys. For the kinds of keys that `jwt-simple` does not read.
fn is_for_verifying(jwk: &Value, foreign: &[&str]) -> bool {
    let verifies = |operations: &Value| {
        let operations = operations.as_array();
        operations.is_some_and(|list| list.iter().any(|operation| operation == "verify"))
    };
    jwk.get("use").is_none_or(|usage| usage == "sig")
        && jwk.get("key_ops").is_none_or(verifies)
        && jwk.get("kid").is_none_or(Value::is_string)
        && foreign.iter().all(|name| jwk.get(name).is_none())
}

fn key_id(jwk: &Value) -> Option<String> {
    jwk.get("kid").and_then(Value::as_str).map(str::to_owned)
}

/// Which keys of a JWK Set may be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRules {
    /// The algorithms that keys may be bound to; every one when empty.
    pub algorithms: Vec<Algorithm>,
    /// Whether shared secrets (`kty` `oct`) may be used. Never for sets that come over a network.
    pub allow_symmetric: bool,
}

impl KeyRules {
    fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.is_empty() || self.algorithms.contains(&algorithm)
    }

    fn first(&self, family: Family, default: Algorithm) -> Algorithm {
        let mut algorithms = self.algorithms.iter().copied();
        algorithms
            .find(|algorithm| algorithm.family() == family)
            .unwrap_or(default)
    }
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
    pub fn parse(text: &[u8], rules: &KeyRules) -> Result<Self, KeySetError> {
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
            match Key::from_jwk(jwk, rules) {
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
