//! The tokens of the tests, without the Envoy that they are for.

#[path = "../../support/keys.rs"]
mod keys;
#[path = "../../support/token.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod token;

pub(crate) use keys::jwks;
pub(crate) use token::{AUDIENCE, ISSUER, Token, encode_part};
