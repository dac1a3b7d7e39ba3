//! The limits of keys and sets, and why keys are left out, in words that the operator can act on.

use std::fmt;
use std::ops::RangeInclusive;

use super::{Algorithm, JsonError};

/// Lengths that an RSA modulus may have. RFC 7518 section 3.3 has the least; the longer it is, the
/// more every forged token costs.
pub(super) const MODULUS_BITS: RangeInclusive<usize> = 2048..=4096;

/// Longest JWK Set that is read. Sets of large identity providers are below 16 KiB.
pub const MAX_JWK_SET_BYTES: usize = 256 * 1024;

/// Most keys of a set that are looked at. Large identity providers have a dozen; a set that a
/// hundred tenants share has some more. How many are tried for a token is another limit.
pub const MAX_KEYS: usize = 256;

/// Most members of its list of keys. More can only fit in if they are not keys.
pub(super) const MAX_MEMBERS: usize = 4096;

/// Most left-out keys that a message names; it says how many more there are.
const MOST_TOLD: usize = 16;

/// Characters of a member's value that a message shows.
const MOST_SHOWN: usize = 64;

/// Why one key of a set cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not an object, or without `kty`.
    #[error("expected an object with a string `kty`")]
    NotAKey,
    /// A private key, or the private half of one.
    #[error(
        "a private key, and every program that has read it can sign; \
         hint: replace it, and publish only the public half of the next one"
    )]
    Private,
    /// A member's value, or the label of a PEM block, is nothing that verifies signatures here, or
    /// does not fit the rest.
    #[error("`{name}` is `{value}`")]
    Member {
        /// The member's name.
        name: &'static str,
        /// The beginning of its value, in printable characters.
        value: String,
    },
    /// A member of the key's type is missing, or is not text.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A character that base64url does not have.
    #[error("`{member}` has `{}`, which the alphabet of base64url lacks", found.escape_default())]
    Alphabet {
        /// The member's name.
        member: &'static str,
        /// The first such character.
        found: char,
    },
    /// Cut off, or with bits that nothing is made of.
    #[error("`{0}` is not whole base64url")]
    Base64(&'static str),
    /// A shared secret, which has to be allowed explicitly.
    #[error("a shared secret; hint: `allow_symmetric_keys` lets local sets have them")]
    SymmetricNotAllowed,
    /// An algorithm that the provider does not list.
    #[error("{0} is not one of the provider's `algorithms`")]
    NotAllowed(Algorithm),
    /// It comes after the first [`MAX_KEYS`].
    #[error("only the first {MAX_KEYS} keys of a set are looked at")]
    Surplus,
    /// An RSA modulus that is too weak, or so long that every check is expensive.
    #[error("{bits} bits, expected at {}", nearest_length(*bits))]
    Modulus {
        /// Its length.
        bits: usize,
    },
    /// An RSA exponent that is not 65537, as a number.
    #[error("exponent {0}, expected 65537")]
    Exponent(String),
    /// Numbers that no RSA key has.
    #[error("not the public half of an RSA key")]
    NotRsa,
    /// Coordinates or an Ed25519 key of another length.
    #[error("{found} bytes, expected {expected}")]
    Length {
        /// Its length.
        found: usize,
        /// That of its curve.
        expected: usize,
    },
    /// Coordinates that are not a point of the curve, or a form of point that is not in use.
    #[error("not an uncompressed point of its curve")]
    NotOnCurve,
    /// A secret that is shorter than the hash (RFC 7518 section 3.2).
    #[error("{found} bytes, expected at least {expected}")]
    ShortSecret {
        /// Its length.
        found: usize,
        /// The least.
        expected: usize,
    },
    /// A PEM block with something else in it than its label says, or with a key of another kind.
    #[error("expected a public key for RSA, ECDSA or Ed25519 in DER")]
    NotAPublicKey,
    /// A certificate after the first one of a text.
    #[error(
        "behind the first certificate, whose issuer it may be; hint: a document of certificates"
    )]
    Chain,
}

impl KeyError {
    pub(super) fn member(name: &'static str, value: &str) -> Self {
        Self::Member {
            name,
            value: shown(value),
        }
    }
}

/// A key that was left out: which one, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its position from 0: in the list, among the members of a document of certificates in the
    /// order of their names, or among the blocks of a PEM text.
    pub position: usize,
    /// Its `kid`, where it has one.
    pub key_id: Option<String>,
    /// Why.
    pub error: KeyError,
}

impl fmt::Display for LeftOut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "keys[{}]", self.position)?;
        if let Some(key_id) = &self.key_id {
            write!(formatter, " (`kid` {})", shown(key_id))?;
        }
        write!(formatter, " is left out: {}", self.error)
    }
}

/// Why a text cannot be used as a set of keys at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Longer than [`MAX_JWK_SET_BYTES`].
    #[error("expected at most {MAX_JWK_SET_BYTES} bytes, found {0}")]
    TooLarge(usize),
    /// Not strict JSON.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// Neither an object with a list `keys` (RFC 7517 section 5), nor one of certificates, nor PEM.
    #[error("expected an object with a list `keys`, or with certificates in PEM")]
    NotASet,
    /// So many members in the list of keys that they cannot be keys.
    #[error("expected at most {MAX_MEMBERS} members of `keys`, found {0}")]
    TooManyKeys(usize),
    /// No key in it can be used.
    #[error("no usable key{}", told(.0))]
    NoUsableKey(Vec<LeftOut>),
}

/// The end of the range that the length of this RSA modulus is beyond.
fn nearest_length(bits: usize) -> &'static str {
    if bits < *MODULUS_BITS.start() {
        "least 2048"
    } else {
        "most 4096"
    }
}

/// Keys that were left out, on one line.
fn told(left_out: &[LeftOut]) -> String {
    let mut text = String::new();
    for key in left_out.iter().take(MOST_TOLD) {
        let separator = if text.is_empty() { ": " } else { "; " };
        text = format!("{text}{separator}{key}");
    }
    match left_out.len().saturating_sub(MOST_TOLD) {
        0 => text,
        more => format!("{text}; and {more} more"),
    }
}

/// The beginning of a text that may come over a network, in printable characters.
fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars().take(MOST_SHOWN) {
        match character {
            ' '..='~' => shown.push(character),
            _ => shown.extend(character.escape_default()),
        }
    }
    shown
}
