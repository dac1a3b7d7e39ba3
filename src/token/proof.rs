//! A proof that the sender of a request has a key (DPoP, RFC 9449 section 4.2): a JWT with the public key in
//! its header.

use std::fmt;

use serde_json::Value;

use super::{Algorithm, Backend, Claims, Key, KeyRules, UnverifiedToken, is_type, jwk, thumbprint};
use crate::host::SignatureHost;

/// Longest proof that is looked at. One with an RSA key of 4096 bits has some 2 KiB.
pub const MAX_PROOF_BYTES: usize = 4 * 1024;

/// `typ` of a proof.
pub const PROOF_TYPE: &str = "dpop+jwt";

/// A proof of good form, whose signature is still to be checked.
pub struct UnverifiedProof<'p> {
    token: UnverifiedToken<'p>,
    key: Value,
}

/// Without claims and signature.
impl fmt::Debug for UnverifiedProof<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("UnverifiedProof")
            .field(&self.token)
            .finish()
    }
}

impl<'p> UnverifiedProof<'p> {
    /// Takes a proof apart, as strictly as a token, and checks `typ` and that `jwk` has no private part
    /// (RFC 9449 section 4.3, points 2, 4, 7). `None` if it is no such proof.
    #[must_use]
    pub fn parse(proof: &'p [u8]) -> Option<Self> {
        let parsed = UnverifiedToken::parse_with_key(MAX_PROOF_BYTES, proof);
        let (token, key) = parsed.ok()?;
        let key = key.filter(|key| key.is_object() && !jwk::is_private(key))?;
        let is_proof = token
            .unverified_type()
            .is_some_and(|name| is_type(name, PROOF_TYPE));
        is_proof.then_some(Self { token, key })
    }

    /// The algorithm that it names, if that is one that is known here.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_name(self.token.unverified_algorithm())
    }

    /// The thumbprint of the key in it.
    #[must_use]
    pub fn thumbprint(&self) -> Option<String> {
        thumbprint(&self.key)
    }

    /// What it says.
    #[must_use]
    pub const fn unverified_claims(&self) -> &Claims {
        self.token.unverified_claims()
    }

    /// Whether the key in it has made the signature, by an algorithm that these rules allow.
    pub fn is_genuine(
        &self,
        rules: &KeyRules,
        backend: Backend,
        host: &impl SignatureHost,
    ) -> bool {
        let key = Key::from_jwk(&self.key, rules);
        key.is_ok_and(|key| self.token.is_signed_by(&key, backend, host))
    }
}
