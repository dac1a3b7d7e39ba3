//! Keys and JWK Sets (RFC 7517): what a provider signs with.
//!
//! `jwt-simple` reads RSA keys, where most can go wrong: it refuses moduli below 2048 or above 4096
//! bits, other exponents than 65537, and private members. Points and secrets, which are plain
//! bytes, are read here by the same rules; its own code for them brings along everything that it
//! can do with them, and the filter needs none of that.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey as Ed25519Key;
use jwt_simple::algorithms::{RS256PublicKey, RSAPublicKeyLike as _};
use p256::ecdsa::VerifyingKey as P256Key;
use serde_json::Value;
use superboring::pkey::{PKey, Public};

use super::algorithm::Family;
use super::large_curve::LargeCurveKey;
use super::{Algorithm, JsonError, parse_json};

/// Longest JWK Set that is read. Sets of large identity providers are below 16 KiB.
pub const MAX_JWK_SET_BYTES: usize = 256 * 1024;

/// Most keys of a JWK Set that are looked at. Those of large identity providers have a dozen.
pub const MAX_KEYS: usize = 64;

/// Most members of its list of keys, which is more than there is room for: what is no key is short.
const MAX_MEMBERS: usize = 4096;

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
    /// It stands behind the first [`MAX_KEYS`].
    #[error("only the first {MAX_KEYS} keys of a set are looked at")]
    Surplus,
    /// The key material or its metadata is unfit for verifying signatures: wrong lengths, a point
    /// off the curve, RSA below 2048 or above 4096 bits or with another exponent than 65537,
    /// private members, `use` other than `sig`, `key_ops` without `verify`.
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
    /// So many members in the list of keys that they cannot be keys.
    #[error("expected at most {MAX_MEMBERS} members of `keys`, found {0}")]
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
        let foreign: &[&str] = match algorithm.family() {
            Family::Rsa => &["d", "k", "x", "y"],
            Family::Ecdsa => &["d", "k", "n", "e"],
            Family::EdDsa => &["d", "k", "n", "e", "y"],
            Family::Hmac => &["d", "n", "e", "x", "y"],
        };
        if !is_for_verifying(jwk, foreign) {
            return None;
        }
        match algorithm {
            Algorithm::Es256 => Self::p256(jwk),
            Algorithm::Es384 | Algorithm::Es512 => Self::large_curve(jwk, algorithm),
            Algorithm::EdDsa => Self::ed25519(jwk),
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

    fn p256(jwk: &Value) -> Option<Self> {
        let point = uncompressed_point(jwk, 32)?;
        Some(Self {
            id: key_id(jwk),
            algorithm: Algorithm::Es256,
            subject_public_key_info: [P256_INFO_BEFORE_POINT, &point].concat(),
            material: Material::P256(P256Key::from_sec1_bytes(&point).ok()?),
        })
    }

    fn large_curve(jwk: &Value, algorithm: Algorithm) -> Option<Self> {
        let (key, subject_public_key_info) = LargeCurveKey::from_jwk(jwk, algorithm)?;
        Some(Self {
            id: key_id(jwk),
            algorithm,
            subject_public_key_info,
            material: Material::LargeCurve(key),
        })
    }

    fn ed25519(jwk: &Value) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(jwk.get("x")?.as_str()?).ok()?;
        Some(Self {
            id: key_id(jwk),
            algorithm: Algorithm::EdDsa,
            subject_public_key_info: Vec::new(),
            material: Material::Ed25519(Ed25519Key::try_from(bytes.as_slice()).ok()?),
        })
    }

    fn secret(jwk: &Value, algorithm: Algorithm) -> Option<Self> {
        let secret = URL_SAFE_NO_PAD.decode(jwk.get("k")?.as_str()?).ok()?;
        (secret.len() >= algorithm.digest().bytes()).then(|| Self {
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

/// `x` and `y` of a JWK (RFC 7518 section 6.2.1), each with its full length, as an uncompressed
/// point (SEC 1 section 2.3.3).
pub(super) fn uncompressed_point(jwk: &Value, coordinate_bytes: usize) -> Option<Vec<u8>> {
    let coordinate = |name: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(jwk.get(name)?.as_str()?).ok()?;
        (bytes.len() == coordinate_bytes).then_some(bytes)
    };
    Some([&[4][..], &coordinate("x")?, &coordinate("y")?].concat())
}

/// `SubjectPublicKeyInfo` for P-256 (RFC 5480 section 2) up to the point.
const P256_INFO_BEFORE_POINT: &[u8] = b"\
    \x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\
    \x03\x42\x00";

/// Whether a JWK says nothing against verifying with it (RFC 7517 sections 4.2 and 4.3), has no
/// private half, and none of the members that belong to other kinds of keys.
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyRules {
    /// The algorithms that keys may be bound to; every one when empty.
    pub algorithms: Vec<Algorithm>,
    /// Whether shared secrets (`kty` `oct`) may be used. Never for sets that come over a network.
    pub allow_symmetric: bool,
}

impl KeyRules {
    /// Whether keys of this algorithm may be used, as far as that is a matter of the algorithm.
    pub(crate) fn allows(&self, algorithm: Algorithm) -> bool {
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
        if members.len() > MAX_MEMBERS {
            return Err(KeySetError::TooManyKeys(members.len()));
        }
        let mut keys = Vec::new();
        let mut unusable = Vec::new();
        for (index, jwk) in members.iter().enumerate() {
            let key = if index < MAX_KEYS {
                Key::from_jwk(jwk, rules)
            } else {
                Err(KeyError::Surplus)
            };
            match key {
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

    /// Whether the token names a key and none has that name. One without a name may still be
    /// tried, but that it has not made the signature says nothing about the key that is missing.
    pub(super) fn lacks(&self, key_id: Option<&str>) -> bool {
        key_id.is_some() && !self.keys.iter().any(|key| key.id() == key_id)
    }

    /// The keys that may have signed a token with this `kid`: those of the same id, compared byte
    /// by byte, and those without one; all of them for a token that names no key.
    pub(super) fn named(&self, key_id: Option<&str>) -> impl Iterator<Item = &Key> {
        let keys = self.keys.iter();
        keys.filter(move |key| key_id.is_none() || key.id.is_none() || key.id() == key_id)
    }

    /// Those of them that have this algorithm; at most eight.
    pub(super) fn candidates(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Key> {
        let keys = self.named(key_id);
        keys.filter(move |key| key.algorithm() == algorithm)
            .take(MAX_CANDIDATES)
    }
}

#[cfg(test)]
mod tests;
