//! Keys: what a provider signs with, made of numbers, points and secrets that are checked here.
//!
//! Whatever a key stands in, a JWK (RFC 7517), a certificate or a public key in DER, it ends up as
//! the same few bytes, by the same rules: RSA moduli have 2048 to 4096 bits and the exponent 65537,
//! points are on their curve, secrets are as long as the hash, and nothing private is used.
//! Libraries have readers for all of that too; they bring along everything else that can be done
//! with a key, which the filter does not need.

use ed25519_dalek::VerifyingKey as Ed25519Key;
use p256::ecdsa::VerifyingKey as P256Key;
use p256::elliptic_curve::point::AffineCoordinates as _;
use serde_json::Value;
use superboring::bn::BigNum;
use superboring::pkey::{PKey, Public};
use superboring::rsa::Rsa;

use super::algorithm::{Algorithms, Family};
use super::der::without_zeros;
use super::key_error::MODULUS_BITS;
use super::large_curve::LargeCurveKey;
use super::{Algorithm, Backend, KeyError, der, heap, jwk};

/// The number 65537. Signatures under small exponents have been forged, and large exponents cost as
/// much as long moduli.
const EXPONENT: [u8; 3] = [1, 0, 1];

/// Keys that are tried for one token unless the provider says otherwise. A token that names no key
/// is tried with several, and every try costs a signature check, which is free for a forger.
pub const DEFAULT_MAX_CANDIDATES: usize = 8;

/// Which keys of a set may be used.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRules {
    /// The algorithms that keys may be bound to; every one when empty.
    pub algorithms: Vec<Algorithm>,
    /// Whether shared secrets (`kty` `oct`) may be used. Never for sets that come over a network.
    pub allow_symmetric: bool,
    /// Most keys that are tried for one token.
    pub max_candidates: usize,
}

impl Default for KeyRules {
    fn default() -> Self {
        Self {
            algorithms: Vec::new(),
            allow_symmetric: false,
            max_candidates: DEFAULT_MAX_CANDIDATES,
        }
    }
}

impl KeyRules {
    /// The rules for keys that are not secret.
    #[must_use]
    pub fn asymmetric() -> Self {
        let all = Algorithm::ALL.into_iter();
        Self {
            algorithms: all.filter(|algorithm| !algorithm.is_symmetric()).collect(),
            ..Self::default()
        }
    }

    /// Whether keys of this algorithm may be used, as far as the algorithm decides that.
    pub(crate) fn allows(&self, algorithm: Algorithm) -> bool {
        self.algorithms.is_empty() || self.algorithms.contains(&algorithm)
    }

    /// The algorithms of a key of this kind: the one that it names, or else all that are listed and
    /// possible for such a key, or else the usual one.
    fn algorithms_of(
        &self,
        kind: Algorithm,
        named: Option<Algorithm>,
    ) -> Result<Algorithms, KeyError> {
        let listed = &self.algorithms;
        let algorithms: Algorithms = match named {
            Some(named) if self.allows(named) => named.into(),
            Some(_) => Algorithms::default(),
            None if listed.is_empty() => kind.into(),
            None => {
                let suitable = listed.iter().copied();
                suitable.filter(|name| name.has_keys_of(kind)).collect()
            }
        };
        if algorithms.is_empty() {
            return Err(KeyError::NotAllowed(named.unwrap_or(kind)));
        }
        Ok(algorithms)
    }
}

/// A key, prepared once for every way in which it may be used.
#[derive(Debug)]
pub struct Key {
    id: Option<String>,
    algorithms: Algorithms,
    material: Material,
    /// `SubjectPublicKeyInfo` in DER, which is what the host takes; empty for secrets.
    subject_public_key_info: Vec<u8>,
}

/// The key as the module's own cryptography takes it.
pub(super) enum Material {
    Rsa(PKey<Public>),
    P256(P256Key),
    LargeCurve(LargeCurveKey),
    /// A point of which only the host knows whether it is on its curve, with this many bytes in a coordinate.
    HostPoint(usize),
    Ed25519(Ed25519Key),
    Secret(Vec<u8>),
}

/// Where it is checked whether a point is on its curve.
#[derive(Clone, Copy)]
enum Points {
    /// Here, when the key is read.
    Checked,
    /// Where the signature is checked, in the host.
    LeftToHost,
}

impl std::fmt::Debug for Material {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Rsa(_) => "Rsa",
            Self::P256(_) => "P256",
            Self::LargeCurve(_) => "LargeCurve",
            Self::HostPoint(_) => "HostPoint",
            Self::Ed25519(_) => "Ed25519",
            Self::Secret(_) => "Secret",
        })
    }
}

impl Key {
    /// Reads one JWK. It is bound to its `alg`, or without one to its curve's algorithm; an RSA key
    /// and a secret without one to all algorithms of their kind that `rules` list, or if they list
    /// none to RS256, as OpenID Connect's default, or HS256.
    ///
    /// `x5c` and everything else that leads to keys is ignored, as are members that belong to keys
    /// of other types: the set itself is what is trusted.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn from_jwk(jwk: &Value, rules: &KeyRules) -> Result<Self, KeyError> {
        Self::read(jwk, rules, Points::Checked)
    }

    /// The same for a single signature that this backend is to check: where that is the host, it checks as well
    /// whether a point is on its curve, which takes the module longer than all the rest.
    pub(super) fn for_one_signature(
        jwk: &Value,
        rules: &KeyRules,
        backend: Backend,
    ) -> Result<Self, KeyError> {
        let points = match backend {
            Backend::Host => Points::LeftToHost,
            Backend::Module => Points::Checked,
        };
        Self::read(jwk, rules, points)
    }

    /// Bytes of memory that a public key holds. An RSA key has its two numbers, and what is worked out from them.
    pub(super) fn heap_bytes(&self) -> usize {
        let info = heap::block(self.subject_public_key_info.capacity());
        match self.material {
            Material::Rsa(_) => info * 4,
            _ => info,
        }
    }

    fn read(jwk: &Value, rules: &KeyRules, points: Points) -> Result<Self, KeyError> {
        let (kind, named) = jwk::purpose(jwk)?;
        let family = kind.family();
        if family == Family::Hmac && !rules.allow_symmetric {
            return Err(KeyError::SymmetricNotAllowed);
        }
        let mut algorithms = rules.algorithms_of(kind, named)?;
        let (material, info) = match family {
            Family::Rsa => rsa(&jwk::bytes(jwk, "n")?, &jwk::bytes(jwk, "e")?)?,
            Family::Ecdsa => {
                let found = jwk::point(jwk, kind.coordinate_bytes())?;
                match points {
                    Points::Checked => point(kind, &found)?,
                    Points::LeftToHost => {
                        let material = Material::HostPoint(kind.coordinate_bytes());
                        (material, der::key_info(kind, &found))
                    }
                }
            }
            Family::EdDsa => ed25519(&jwk::bytes(jwk, "x")?)?,
            Family::Hmac => {
                let secret = jwk::bytes(jwk, "k")?;
                algorithms = secret_algorithms(algorithms, secret.len())?;
                (Material::Secret(secret), Vec::new())
            }
        };
        Ok(Self {
            id: jwk::key_id(jwk),
            algorithms,
            material,
            subject_public_key_info: info,
        })
    }

    /// Reads one block of a PEM text: `PUBLIC KEY`, `RSA PUBLIC KEY` or `CERTIFICATE`. The key is
    /// bound to algorithms as a JWK without `alg` is.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub(super) fn from_pem(
        label: &str,
        body: &str,
        id: Option<String>,
        rules: &KeyRules,
    ) -> Result<Self, KeyError> {
        if label.ends_with("PRIVATE KEY") {
            return Err(KeyError::Private);
        }
        let bytes = der::block_bytes(body).ok_or(KeyError::NotAPublicKey)?;
        let key = match label {
            "PUBLIC KEY" => der::key_in(&bytes),
            "RSA PUBLIC KEY" => Some((Algorithm::Rs256, &*bytes)),
            "CERTIFICATE" => der::certificate_key(&bytes).and_then(der::key_in),
            _ => return Err(KeyError::member("label", label)),
        };
        let (kind, bits) = key.ok_or(KeyError::NotAPublicKey)?;
        let algorithms = rules.algorithms_of(kind, None)?;
        let (material, info) = match kind.family() {
            Family::Rsa => {
                let (n, e) = der::rsa_numbers(bits).ok_or(KeyError::NotAPublicKey)?;
                rsa(n, e)?
            }
            Family::EdDsa => ed25519(bits)?,
            _ => point(kind, bits)?,
        };
        Ok(Self {
            id,
            algorithms,
            material,
            subject_public_key_info: info,
        })
    }

    /// `kid`.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The algorithms that this key verifies: one, unless it names none and is of a kind that has
    /// several.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        self.algorithms.iter()
    }

    /// The key as a JWK (RFC 7517) for other programs, with `alg` where it has one algorithm; `None`
    /// for a secret.
    #[must_use]
    pub fn public_jwk(&self) -> Option<Value> {
        let (kind, bits) = der::key_in(&self.subject_public_key_info)?;
        let mut jwk = jwk::public(kind, bits)?;
        let members = jwk.as_object_mut()?;
        if let Some(id) = &self.id {
            members.insert("kid".to_owned(), id.as_str().into());
        }
        let mut algorithms = self.algorithms();
        if let (Some(algorithm), None) = (algorithms.next(), algorithms.next()) {
            members.insert("alg".to_owned(), algorithm.name().into());
        }
        Some(jwk)
    }

    pub(super) const fn verifies(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(algorithm)
    }

    pub(super) const fn material(&self) -> &Material {
        &self.material
    }

    pub(super) fn subject_public_key_info(&self) -> &[u8] {
        &self.subject_public_key_info
    }
}

/// What a key is made of, with its `SubjectPublicKeyInfo`.
type Prepared = (Material, Vec<u8>);

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<Prepared, KeyError> {
    let (n, e) = (without_zeros(modulus), without_zeros(exponent));
    let unused = n.first().map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = n.len() * 8 - unused;
    if !MODULUS_BITS.contains(&bits) {
        return Err(KeyError::Modulus { bits });
    }
    if e != EXPONENT {
        return Err(KeyError::Exponent(number(e)));
    }
    let number = |bytes| BigNum::from_slice(bytes).map_err(|_| KeyError::NotRsa);
    let key = Rsa::from_public_components(number(n)?, number(e)?);
    let key = key.and_then(PKey::from_rsa);
    match (key, n.last()) {
        // Both primes are odd.
        (Ok(key), Some(last)) if last & 1 == 1 => {
            let info = der::key_info(Algorithm::Rs256, &der::pair(n, e));
            Ok((Material::Rsa(key), info))
        }
        _ => Err(KeyError::NotRsa),
    }
}

/// From an uncompressed point (SEC 1 section 2.3.3).
fn point(kind: Algorithm, point: &[u8]) -> Result<Prepared, KeyError> {
    let is_uncompressed =
        point.len() == 1 + 2 * kind.coordinate_bytes() && point.first() == Some(&4);
    let material = if !is_uncompressed {
        None
    } else if kind == Algorithm::Es256 {
        p256_key(point).map(Material::P256)
    } else {
        LargeCurveKey::new(kind, point).map(Material::LargeCurve)
    };
    let material = material.ok_or(KeyError::NotOnCurve)?;
    Ok((material, der::key_info(kind, point)))
}

/// A key by its uncompressed point. The library's reader takes compressed ones as well, which JWKs do not have,
/// and the arithmetic for those is five kilobytes of the filter.
fn p256_key(point: &[u8]) -> Option<P256Key> {
    let (x, y) = point.get(1..)?.split_at_checked(P256_COORDINATE_BYTES)?;
    let (x, y) = (x.try_into().ok()?, y.try_into().ok()?);
    let point = p256::AffinePoint::from_coordinates(&x, &y).into_option()?;
    P256Key::from_affine(point).ok()
}

/// Bytes of each coordinate of a point on P-256.
pub(super) const P256_COORDINATE_BYTES: usize = 32;

fn ed25519(bytes: &[u8]) -> Result<Prepared, KeyError> {
    let array = bytes.try_into().map_err(|_| KeyError::Length {
        found: bytes.len(),
        expected: 32,
    })?;
    let key = Ed25519Key::from_bytes(array).map_err(|_| KeyError::NotOnCurve)?;
    Ok((
        Material::Ed25519(key),
        der::key_info(Algorithm::EdDsa, bytes),
    ))
}

/// Those of the algorithms that a secret of this length is long enough for.
fn secret_algorithms(algorithms: Algorithms, length: usize) -> Result<Algorithms, KeyError> {
    let needed = |algorithm: Algorithm| algorithm.digest().bytes();
    let fitting: Algorithms = algorithms
        .iter()
        .filter(|name| needed(*name) <= length)
        .collect();
    if fitting.is_empty() {
        return Err(KeyError::ShortSecret {
            found: length,
            expected: algorithms.iter().map(needed).min().unwrap_or(length),
        });
    }
    Ok(fitting)
}

/// A number in decimal, or its length.
fn number(digits: &[u8]) -> String {
    if digits.len() > 8 {
        return format!("of {} bytes", digits.len());
    }
    let value = digits
        .iter()
        .fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    value.to_string()
}

#[cfg(test)]
mod tests;
