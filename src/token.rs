//! From bytes to a token that may be believed.
//!
//! [`UnverifiedToken::parse`] takes the compact form apart (RFC 7515, RFC 7519, RFC 8725) and
//! checks everything that can be checked without a key. [`UnverifiedToken::verify`] finds the key
//! in a [`KeySet`], lets the key decide the algorithm, checks the signature and gives a
//! [`VerifiedToken`], which cannot be had in another way. Neither looks at issuer, audience or
//! times: those depend on the provider, and are the gate's to check.

mod algorithm;
mod claims;
mod compact;
mod der;
mod json;
mod jwk;
mod key;
mod key_error;
mod key_set;
mod large_curve;
mod media_type;
mod proof;
mod signature;
#[cfg(test)]
mod vectors;

#[cfg(any(test, fuzzing))]
#[cfg_attr(not(test), allow(dead_code, reason = "the tests need more of it"))]
pub(crate) mod fixtures;
#[cfg(all(any(test, fuzzing), not(target_family = "wasm")))]
pub(crate) mod fuzzing;

pub use algorithm::Algorithm;
pub use claims::{ClaimError, Claims};
pub use compact::{
    LARGEST_MAX_TOKEN_BYTES, MAX_TOKEN_BYTES, Part, TokenError, UnverifiedToken, VerifiedToken,
};
pub(crate) use json::heap;
pub use json::{JsonError, MAX_JSON_DEPTH, Members, parse as parse_json, parse_object};
#[cfg(any(test, not(target_family = "wasm")))]
pub(crate) use jwk::required_members;
pub use jwk::thumbprint;
pub use key::{DEFAULT_MAX_CANDIDATES, Key, KeyRules};
pub use key_error::{KeyError, KeySetError, LeftOut, MAX_JWK_SET_BYTES, MAX_KEYS};
pub use key_set::KeySet;
pub use media_type::is_type;
pub use proof::{KnownProver, MAX_PROOF_BYTES, PROOF_TYPE, UnverifiedProof, token_hash};
pub use signature::{Backend, SignatureError};
