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

use std::cell::OnceCell;
use std::time::Duration;

use super::extraction::Location;
use super::policy::{Dpop, Nonces, bound_key};
use super::reason::Reason;
use super::request::Request;
use crate::host::{Host, SharedData};
use crate::namespace::{Namespace, RecordSecret};
use crate::time::UnixTime;
use crate::token::{Backend, Claims, KnownProver, UnverifiedProof, heap, token_hash};
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

/// Whether the token in these locations was sent as one that is bound to a key; `None` if it was not in
/// `Authorization`.
pub(super) fn is_sent_as_bound(locations: &[&Location]) -> Option<bool> {
    let mut schemes = locations.iter().filter_map(|location| location.scheme());
    let scheme = schemes.next()?;
    Some(scheme.eq_ignore_ascii_case(SCHEME))
}

/// What proofs are verified with, besides the settings of their provider.
#[derive(Debug)]
pub(super) struct Proofs {
    namespace: Namespace,
    secret: Secret,
}

/// What is known of a token that is bound to a key, and of the holder of the key: found out once for all requests
/// with the token.
#[derive(Debug)]
pub(super) struct Holder {
    /// `ath` of a proof for the token.
    hash: String,
    /// Whose proof was found good.
    prover: OnceCell<KnownProver>,
}

impl Holder {
    /// That of the token with these bytes.
    pub(super) fn of(token: &[u8]) -> Self {
        Self {
            hash: token_hash(token),
            prover: OnceCell::new(),
        }
    }

    /// Keeps whose proof was found good: the holder's, since its key is the one that the token is bound to.
    pub(super) fn keep(&self, prover: KnownProver) {
        // The first one does.
        let _ = self.prover.set(prover);
    }

    /// Bytes of memory that it holds, with the two counters of an `Rc`.
    pub(super) fn heap_bytes(&self) -> usize {
        let own = heap::block(size_of::<Self>() + 2 * size_of::<usize>());
        let prover = self.prover.get().map_or(0, KnownProver::heap_bytes);
        own + heap::block(self.hash.capacity()) + prover
    }
}

/// A request with a token that is bound to a key.
pub(super) struct Presented<'p, H> {
    pub(super) host: &'p H,
    pub(super) request: &'p Request,
    pub(super) holder: &'p Holder,
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
        let Presented {
            request,
            now,
            holder,
            ..
        } = *presented;
        let mut lines = request.values(HEADER);
        let proof = lines.next().ok_or(Reason::ProofMissing)?;
        let proof =
            UnverifiedProof::parse(proof, holder.prover.get()).filter(|_| lines.next().is_none());
        let proof = proof.ok_or(Reason::ProofMalformed)?;
        let allows = |algorithm| dpop.rules.allows(algorithm);
        if !proof.algorithm().is_some_and(allows) {
            return Err(Reason::ProofMalformed);
        }
        let claims = proof.unverified_claims();
        let named = (claims.string("jti").filter(|id| !id.is_empty())).zip(claims.issued_at());
        let (id, issued_at) = named.ok_or(Reason::ProofMalformed)?;
        let bound_to = bound_key(presented.claims).ok_or(Reason::ProofTokenMismatch)?;
        if proof.thumbprint() != Some(bound_to) {
            return Err(Reason::ProofTokenMismatch);
        }
        if !presented.target(dpop).is_that_of(claims) {
            return Err(Reason::ProofTargetMismatch);
        }
        if claims.string("ath") != Some(&holder.hash) {
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
        let nonce = claims.string("nonce");
        let has_nonce = match dpop.nonces {
            Nonces::Optional => true,
            Nonces::Own => nonce.is_some_and(is_fresh),
            Nonces::Unknown => nonce.is_some(),
        };
        if !has_nonce {
            return Err(Reason::ProofNonceMissing);
        }
        let id = secret.name_of(bound_to, id);
        let (backend, host) = (presented.backend, presented.host);
        let keep = |prover| holder.keep(prover);
        if !host.timed(|| proof.is_genuine(&dpop.rules, backend, host, keep)) {
            return Err(Reason::ProofForged);
        }
        Ok(Proof { id, issued_at })
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
