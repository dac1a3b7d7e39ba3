//! Proofs that the sender of a request has the key that its token is bound to (DPoP, RFC 9449).
//!
//! Everything that costs little is compared first, and the signature is verified last (section 4.3 gives no
//! order). That a proof is used once is seen to when all the rest of the request has been decided, so that a
//! request that waits, and is decided again, does not use it twice.

#[cfg(all(any(test, fuzzing), not(target_family = "wasm")))]
pub(crate) mod fuzzing;
mod nonce;
mod secret;
mod seen;
mod target;

use std::time::Duration;

use super::extraction::Location;
use super::policy::{Dpop, bound_key};
use super::reason::Reason;
use super::request::Request;
use crate::host::{Host, SharedData};
use crate::namespace::{Namespace, RecordSecret};
use crate::time::UnixTime;
use crate::token::{Backend, Claims, UnverifiedProof};
use secret::Secret;
use target::Target;

/// The header with the proof.
pub(crate) const HEADER: &str = "dpop";

/// The scheme of `Authorization` for tokens that are bound to a key.
pub(crate) const SCHEME: &str = "DPoP";

/// Whether these credentials are of that scheme.
pub(super) fn is_under_scheme(credentials: &[u8]) -> bool {
    let parts = credentials.split_at_checked(SCHEME.len());
    parts.is_some_and(|(scheme, rest)| {
        scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) && rest.first() == Some(&b' ')
    })
}

/// What proofs are verified with, besides the settings of their provider.
#[derive(Debug)]
pub(super) struct Proofs {
    namespace: Namespace,
    secret: Secret,
}

/// A request with a token that is bound to a key, and where the token was.
pub(super) struct Presented<'p, H> {
    pub(super) host: &'p H,
    pub(super) request: &'p Request,
    /// SHA-256 of the token, in base64url.
    pub(super) hash: &'p str,
    pub(super) locations: &'p [&'p Location],
    pub(super) claims: &'p Claims,
    pub(super) now: UnixTime,
    /// By how much clocks may differ.
    pub(super) clock_skew: Duration,
    pub(super) backend: Backend,
}

/// A proof that was found good, and may have been used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Proof {
    /// A keyed hash of its key and `jti`.
    id: u128,
    issued_at: UnixTime,
}

/// The longest that the configuration may allow a proof to be old.
pub(super) const LONGEST_AGE: Duration = Duration::from_mins(2);

/// The most by which the clocks of clients may differ. What is allowed for tokens may be more.
const LONGEST_SKEW: Duration = Duration::from_mins(1);

/// From the earliest to the latest time at which a proof can be used.
const LONGEST_LIFE: Duration = LONGEST_AGE
    .saturating_add(LONGEST_SKEW)
    .saturating_add(LONGEST_SKEW);

impl Proofs {
    /// For plugins that share this secret.
    pub(super) fn new(secret: &RecordSecret) -> Self {
        Self {
            namespace: Namespace::new(secret, "proofs", &()),
            secret: Secret::default(),
        }
    }

    /// Checks the proof of a request (RFC 9449 section 4.3).
    ///
    /// # Errors
    ///
    /// The [`Reason`] for which it does not count, or cannot be looked at.
    pub(super) fn check<H: Host>(
        &self,
        dpop: &Dpop,
        presented: &Presented<'_, H>,
    ) -> Result<Proof, Reason> {
        let Presented { request, now, .. } = *presented;
        let mut lines = request.values(HEADER);
        let proof = lines.next().ok_or(Reason::ProofMissing)?;
        let proof = UnverifiedProof::parse(proof).filter(|_| lines.next().is_none());
        let proof = proof.ok_or(Reason::ProofMalformed)?;
        let allows = |algorithm| dpop.rules.allows(algorithm);
        if !proof.algorithm().is_some_and(allows) {
            return Err(Reason::ProofMalformed);
        }
        let claims = proof.unverified_claims();
        let named = (claims.string("jti").filter(|id| !id.is_empty())).zip(claims.issued_at());
        let (id, issued_at) = named.ok_or(Reason::ProofMalformed)?;
        let bound_to = bound_key(presented.claims).ok_or(Reason::ProofTokenMismatch)?;
        if proof.thumbprint().as_deref() != Some(bound_to) {
            return Err(Reason::ProofTokenMismatch);
        }
        if !presented.target(dpop).is_that_of(claims) {
            return Err(Reason::ProofTargetMismatch);
        }
        if claims.string("ath") != Some(presented.hash) {
            return Err(Reason::ProofTokenMismatch);
        }
        let skew = presented.clock_skew.min(LONGEST_SKEW);
        let oldest = dpop.max_age.saturating_add(skew);
        if issued_at > now.later_by(skew) || now >= issued_at.later_by(oldest) {
            return Err(Reason::ProofOutdated);
        }
        let secret = self.secret.of_process(presented.host, &self.namespace);
        let secret = secret.ok_or(Reason::ProofsUnavailable)?;
        let is_fresh = |nonce| nonce::is_fresh(&secret, nonce, now);
        if dpop.needs_nonce && !claims.string("nonce").is_some_and(is_fresh) {
            return Err(Reason::ProofNonceMissing);
        }
        let (backend, host) = (presented.backend, presented.host);
        if !host.timed(|| proof.is_genuine(&dpop.rules, backend, host)) {
            return Err(Reason::ProofForged);
        }
        Ok(Proof {
            id: secret.name_of(bound_to, id),
            issued_at,
        })
    }

    /// Notes that a proof is used.
    ///
    /// # Errors
    ///
    /// [`Reason::ProofReplayed`] and [`Reason::ProofsUnavailable`].
    pub(super) fn note(&self, host: &impl SharedData, proof: Proof) -> Result<(), Reason> {
        seen::note(host, &self.namespace, proof)
    }

    /// The nonce for the next proof.
    pub(super) fn nonce(&self, host: &impl Host, now: UnixTime) -> Option<String> {
        let secret = self.secret.of_process(host, &self.namespace)?;
        Some(nonce::at(&secret, now))
    }
}

impl<H: Host> Presented<'_, H> {
    /// Whether the token was sent as one that is bound to a key; `None` if it was not in `Authorization`.
    pub(super) fn is_under_dpop(&self) -> Option<bool> {
        let mut schemes = self
            .locations
            .iter()
            .filter_map(|location| location.scheme());
        schemes
            .next()
            .map(|scheme| scheme.eq_ignore_ascii_case(SCHEME))
    }

    fn target(&self, dpop: &Dpop) -> Target<'_> {
        let is_encrypted = if dpop.trusts_forwarded_proto {
            let mut values = self.request.values("x-forwarded-proto");
            let value = values.next().filter(|_| values.next().is_none());
            value.map(|value| value.eq_ignore_ascii_case(b"https"))
        } else {
            // No connection without TLS has a version of it.
            let version = self.host.property(&["connection", "tls_version"]);
            Some(version.is_some_and(|version| !version.is_empty()))
        };
        Target::of(self.request, is_encrypted)
    }
}
