//! The compact serialisation (RFC 7515 section 7.1), read strictly.
//!
//! A token has exactly one spelling here. Padding, white space, the other base64 alphabet, unused
//! bits that are not zero and extra dots are refused: each would let two different byte strings be
//! the same token, and so evade a list of tokens that is kept by their bytes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{
    Algorithm, Backend, ClaimError, Claims, JsonError, Key, KeySet, Members, SignatureError, heap,
    is_type, parse_object, signature,
};
use crate::host::SignatureHost;

/// Longest token that is looked at, in bytes, by default. Real tokens with hundreds of group claims
/// reach 12 KiB.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// The highest limit that can be configured. Envoy's own limit for all headers together is 60 KiB,
/// and every byte of a token is parsed before anything is known about its sender.
pub const LARGEST_MAX_TOKEN_BYTES: usize = 32 * 1024;

/// Longest JOSE header, in base64url characters. It holds an algorithm, a type and a key id.
const MAX_HEADER_CHARACTERS: usize = 4 * 1024;

/// One of the three parts of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The JOSE header.
    Header,
    /// The claims set.
    Claims,
    /// The signature.
    Signature,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// Why bytes are not a token that could be verified. Says nothing about its sender, and depends on
/// the token alone, so telling the client is no oracle.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Longer than is permitted, or with a header longer than 4 KiB.
    #[error("expected at most {limit} bytes, found {length}")]
    TooLarge {
        /// Length found.
        length: usize,
        /// Length allowed.
        limit: usize,
    },
    /// Not three parts with two dots between them; JWE has five (RFC 7516).
    #[error("expected three parts with dots between them, found {found}")]
    Parts {
        /// How many parts there are, counted up to six.
        found: usize,
    },
    /// A part is not canonical base64url without padding (RFC 7515 section 2).
    #[error("the {part} is not canonical base64url without padding")]
    Base64 {
        /// The part.
        part: Part,
    },
    /// A part is not strict JSON.
    #[error("the {part}: {error}")]
    Json {
        /// The part.
        part: Part,
        /// What is wrong with it.
        error: JsonError,
    },
    /// A part is JSON, but not an object.
    #[error("the {part} is not an object")]
    NotAnObject {
        /// The part.
        part: Part,
    },
    /// A header parameter does not have its registered type (RFC 7515 section 4.1).
    #[error("header `{name}`: expected a string")]
    HeaderParameter {
        /// Name of the parameter.
        name: &'static str,
    },
    /// The header has `crit`. No extension is understood, so none may be ignored (RFC 7515
    /// section 4.1.11).
    #[error("header `crit` names extensions that are not understood")]
    CriticalHeader,
    /// A registered claim has the wrong type.
    #[error(transparent)]
    Claim(#[from] ClaimError),
}

/// A well-formed token that is not verified yet.
pub struct UnverifiedToken<'t> {
    signing_input: &'t [u8],
    header: Header,
    claims: Claims,
    signature: Vec<u8>,
}

/// What a JOSE header says of its token.
pub(super) struct Header {
    algorithm: String,
    key_id: Option<String>,
    token_type: Option<String>,
}

/// The parts of a token, in base64url.
#[derive(Clone, Copy)]
pub(super) struct Parts<'t> {
    signing_input: &'t [u8],
    pub(super) header: &'t [u8],
    claims: &'t [u8],
    signature: &'t [u8],
}

/// Without the bytes that are signed and the signature: together they are the token.
impl fmt::Debug for UnverifiedToken<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("UnverifiedToken");
        shown
            .field("algorithm", &self.header.algorithm)
            .field("key_id", &self.header.key_id)
            .finish_non_exhaustive()
    }
}

impl<'t> UnverifiedToken<'t> {
    /// Takes a token of at most [`MAX_TOKEN_BYTES`] apart.
    ///
    /// # Errors
    ///
    /// As [`UnverifiedToken::parse_up_to`].
    pub fn parse(token: &'t [u8]) -> Result<Self, TokenError> {
        Self::parse_up_to(MAX_TOKEN_BYTES, token)
    }

    /// Takes a token of at most `max_bytes` apart and checks its form: sizes, three parts,
    /// canonical base64url, strict JSON, registered types, no `crit`.
    ///
    /// Header parameters that name or carry keys (`jwk`, `jku`, `x5u`, `x5c`) are ignored and never
    /// fetched (RFC 8725 section 3.10).
    ///
    /// # Errors
    ///
    /// [`TokenError`] with the first fault.
    pub fn parse_up_to(max_bytes: usize, token: &'t [u8]) -> Result<Self, TokenError> {
        let parts = Parts::of(max_bytes, token)?;
        let (header, _) = Header::read(parts.header)?;
        Self::with_header(parts, header)
    }

    /// A token whose header is known to say this.
    pub(super) fn with_header(parts: Parts<'t>, header: Header) -> Result<Self, TokenError> {
        Ok(Self {
            signing_input: parts.signing_input,
            header,
            claims: Claims::new(object(Part::Claims, parts.claims)?)?,
            signature: decode(Part::Signature, parts.signature)?,
        })
    }

    /// Whether this key, which has to be for the token's algorithm, has made the signature.
    pub(super) fn is_signed_by(
        &self,
        key: &Key,
        backend: Backend,
        host: &impl SignatureHost,
    ) -> bool {
        let algorithm = Algorithm::from_name(&self.header.algorithm);
        algorithm.is_some_and(|algorithm| {
            let (text, signature) = (self.signing_input, &self.signature);
            key.verifies(algorithm)
                && signature::verify(key, algorithm, backend, host, text, signature)
        })
    }

    /// Claims as the sender wrote them. Good for choosing what to check next, never for a
    /// decision in the sender's favour.
    #[must_use]
    pub const fn unverified_claims(&self) -> &Claims {
        &self.claims
    }

    /// `kid` as the sender wrote it; there need not be a key of this name anywhere.
    #[must_use]
    pub fn unverified_key_id(&self) -> Option<&str> {
        self.header.key_id.as_deref()
    }

    /// `alg` as the sender wrote it, for people to read.
    #[must_use]
    pub fn unverified_algorithm(&self) -> &str {
        &self.header.algorithm
    }

    /// `typ` as the sender wrote it.
    #[must_use]
    pub fn unverified_type(&self) -> Option<&str> {
        self.header.token_type.as_deref()
    }

    /// Checks the signature with the key that `kid` names in `keys`, by an algorithm of that key.
    ///
    /// # Errors
    ///
    /// [`SignatureError`]: no such key, a key of another algorithm, or a signature that is not
    /// that key's.
    pub fn verify(
        self,
        keys: &KeySet,
        backend: Backend,
        host: &impl SignatureHost,
    ) -> Result<VerifiedToken, SignatureError> {
        let key_id = self.header.key_id.as_deref();
        let algorithm = Algorithm::from_name(&self.header.algorithm);
        let candidates = algorithm.map(|algorithm| {
            let keys = keys.candidates(key_id, algorithm);
            keys.map(move |key| (key, algorithm))
        });
        let mut fault = match keys.named(key_id).next() {
            None => SignatureError::KeyUnknown,
            Some(_) => SignatureError::AlgorithmMismatch,
        };
        for (key, algorithm) in candidates.into_iter().flatten() {
            let (text, signature) = (self.signing_input, &self.signature);
            if signature::verify(key, algorithm, backend, host, text, signature) {
                return Ok(VerifiedToken {
                    token_type: self.header.token_type,
                    claims: self.claims,
                });
            }
            fault = SignatureError::Invalid;
        }
        // A key without an id was tried instead of the named one, which is not there (yet).
        if keys.lacks(key_id) {
            fault = SignatureError::KeyUnknown;
        }
        Err(fault)
    }
}

/// A token whose signature was made by one of the provider's keys. Its issuer, audience and times
/// are still unchecked.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    token_type: Option<String>,
    claims: Claims,
}

impl VerifiedToken {
    /// `typ`, which the key's owner signed with the rest.
    #[must_use]
    pub fn token_type(&self) -> Option<&str> {
        self.token_type.as_deref()
    }

    /// A token that is taken for verified, for targets that are about what it says.
    #[cfg(all(any(test, fuzzing), not(target_family = "wasm")))]
    pub(crate) fn assumed(token: UnverifiedToken<'_>) -> Self {
        Self {
            token_type: token.header.token_type,
            claims: token.claims,
        }
    }

    /// The claims that the key's owner signed.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Bytes of memory that the token holds.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let token_type = self.token_type.as_ref().map_or(0, String::capacity);
        heap::block(token_type) + self.claims.heap_bytes()
    }

    /// The claims, to keep.
    #[must_use]
    pub fn into_claims(self) -> Claims {
        self.claims
    }
}

impl Header {
    /// One that names an algorithm alone.
    pub(super) fn naming(algorithm: Algorithm) -> Self {
        Self {
            algorithm: algorithm.name().to_owned(),
            key_id: None,
            token_type: None,
        }
    }

    /// Whether it says that its token is of this type.
    pub(super) fn has_type(&self, name: &str) -> bool {
        let own = self.token_type.as_deref();
        own.is_some_and(|own| is_type(own, name))
    }

    /// Reads a header, and takes the `jwk` that its sender has put into it.
    pub(super) fn read(encoded: &[u8]) -> Result<(Self, Option<Value>), TokenError> {
        limit(encoded, MAX_HEADER_CHARACTERS)?;
        let mut members = object(Part::Header, encoded)?;
        if members.get("crit").is_some() {
            return Err(TokenError::CriticalHeader);
        }
        let header = Self {
            algorithm: parameter(&mut members, "alg")?
                .ok_or(TokenError::HeaderParameter { name: "alg" })?,
            key_id: parameter(&mut members, "kid")?,
            token_type: parameter(&mut members, "typ")?,
        };
        Ok((header, members.take("jwk")))
    }
}

impl<'t> Parts<'t> {
    /// Those of a token of at most so many bytes.
    pub(super) fn of(max_bytes: usize, token: &'t [u8]) -> Result<Self, TokenError> {
        limit(token, max_bytes)?;
        split(token)
    }
}

/// Counts no further than six parts, so a text of dots costs nothing (CVE-2025-30204).
fn split(token: &[u8]) -> Result<Parts<'_>, TokenError> {
    let mut dots = memchr::memchr_iter(b'.', token);
    let (first, second) = (dots.next(), dots.next());
    let surplus = dots.take(3).count();
    if let (Some(first), Some(second), 0) = (first, second, surplus)
        && let Some((signing_input, signature)) = token.split_at_checked(second)
        && let Some((header, claims)) = signing_input.split_at_checked(first)
        && let ([_, claims @ ..], [_, signature @ ..]) = (claims, signature)
    {
        return Ok(Parts {
            signing_input,
            header,
            claims,
            signature,
        });
    }
    Err(TokenError::Parts {
        found: 1 + usize::from(first.is_some()) + usize::from(second.is_some()) + surplus,
    })
}

fn limit(bytes: &[u8], limit: usize) -> Result<(), TokenError> {
    if bytes.len() > limit {
        return Err(TokenError::TooLarge {
            length: bytes.len(),
            limit,
        });
    }
    Ok(())
}

fn decode(part: Part, encoded: &[u8]) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(encoded)
        .map_err(|_| TokenError::Base64 { part })
}

fn object(part: Part, encoded: &[u8]) -> Result<Members, TokenError> {
    match parse_object(&decode(part, encoded)?) {
        Ok(Some(members)) => Ok(members),
        Ok(None) => Err(TokenError::NotAnObject { part }),
        Err(error) => Err(TokenError::Json { part, error }),
    }
}

fn parameter(header: &mut Members, name: &'static str) -> Result<Option<String>, TokenError> {
    match header.take(name) {
        None => Ok(None),
        Some(Value::String(value)) => Ok(Some(value)),
        Some(_) => Err(TokenError::HeaderParameter { name }),
    }
}

#[cfg(test)]
mod tests;
