//! Signature and revocation of a token, cached together.
//!
//! A token from the cache was verified with keys that are still in force. If it is settled whether
//! the token was revoked, no change of the revocation feed has named it since, so a warm request
//! needs neither cryptography nor a look at shared data. If it is not, because the authority has to
//! be asked first or because nothing is known, the revocation is looked up for each request; the
//! signature is not verified again.

use std::ops::Deref;
use std::rc::Rc;

use super::Wait;
use super::decision::Setback;
use super::dpop::Proofs;
use super::policy::Policy;
use super::reason::{Admission, Reason};
use super::revocation::{CheckOutcome, Finding, Posture, Revocations};
use super::token_cache::{KnownToken, TokenCache, TokenId};
use crate::host::Host;
use crate::keys::KeyRing;
use crate::revocation::{Cause, Names, Settled};
use crate::token::Backend;

/// What is needed to verify tokens, and those that were.
#[derive(Debug)]
pub(super) struct Verification {
    pub(super) keys: Rc<KeyRing>,
    pub(super) backend: Backend,
    pub(super) cache: TokenCache,
    pub(super) revocations: Option<Revocations>,
    /// Where a provider has proofs of keys verified.
    pub(super) proofs: Option<Proofs>,
}

/// A token with a good signature. Its claims are still to be checked, and whether it was revoked.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "short-lived, and not large where pointers have 32 bits"
)]
pub(super) enum Candidate {
    /// It came from the cache.
    Known(Rc<KnownToken>),
    /// It was verified now.
    New(KnownToken),
}

impl Deref for Candidate {
    type Target = KnownToken;

    fn deref(&self) -> &KnownToken {
        match self {
            Self::Known(token) => token,
            Self::New(token) => token,
        }
    }
}

impl Verification {
    pub(super) fn new(policy: &Policy, backend: Backend, secret: [u8; 16]) -> Self {
        Self {
            keys: Rc::new(KeyRing::new(policy.key_sources().map(|(_, source)| source))),
            backend,
            cache: TokenCache::new(secret),
            revocations: policy.revocation.clone().map(Revocations::new),
            proofs: policy
                .providers
                .iter()
                .any(|provider| provider.possession.dpop().is_some())
                .then(|| Proofs::new(&policy.record_secret)),
        }
    }

    /// The token, if it was verified earlier with the keys of this provider that are in force.
    pub(super) fn known(&self, provider: usize, id: TokenId) -> Option<Rc<KnownToken>> {
        let keys = self.keys.get(provider)?;
        self.cache.get(id, &keys)
    }

    /// Lets a token of this provider whose claims are good through unless it was revoked. In any
    /// case the token is kept, with what is settled about its revocation.
    pub(super) fn check_revocation(
        &self,
        host: &impl Host,
        provider: usize,
        candidate: Candidate,
        now_milliseconds: u64,
        checks: &[CheckOutcome],
    ) -> Result<(Admission, Rc<KnownToken>), Setback<'static>> {
        let Some(revocations) = &self.revocations else {
            return Ok((Admission::Verified, self.keep(candidate)));
        };
        let standing = revocations.standing(host, now_milliseconds);
        match (candidate.settled(), revocations.posture(standing)) {
            // A token that is known to be revoked is not let through just because the feed is
            // stale.
            (Some(Settled::Revoked(cause)), None | Some(Posture::Allow)) => {
                return Err(Reason::from(cause).into());
            }
            (Some(Settled::NotRevoked), None) => {
                return Ok((Admission::Verified, self.keep(candidate)));
            }
            _ => {}
        }
        match revocations.find(host, &candidate, standing, checks) {
            Ok(Finding::Settled(settled, names)) => {
                let token = self.settle(candidate, settled, &names);
                match settled {
                    Settled::NotRevoked => Ok((Admission::Verified, token)),
                    Settled::Revoked(cause) => Err(Reason::from(cause).into()),
                }
            }
            Ok(Finding::Unsettled(admission)) => Ok((admission, self.keep(candidate))),
            Ok(Finding::Ask(check)) => {
                self.keep(candidate);
                Err(Setback::Waits {
                    on: Wait::Check(check),
                    provider,
                })
            }
            Err(reason) => {
                self.keep(candidate);
                Err(reason.into())
            }
        }
    }

    /// Keeps that a token was revoked, as the authority says before the feed does.
    pub(super) fn note_revoked(&self, token: &Rc<KnownToken>) {
        if let Some(revocations) = &self.revocations {
            let names = revocations.names(token);
            self.settle(Candidate::Known(Rc::clone(token)), SIGNED_OUT, &names);
        }
    }

    /// Keeps a token. If it is new, nothing is settled about its revocation.
    pub(super) fn keep(&self, candidate: Candidate) -> Rc<KnownToken> {
        match candidate {
            Candidate::Known(token) => token,
            Candidate::New(token) => self.cache.admit(token, None, &Names::default()),
        }
    }

    /// Keeps a token, and whether it was revoked until a change concerns one of its names.
    fn settle(&self, candidate: Candidate, settled: Settled, names: &Names) -> Rc<KnownToken> {
        let token = match candidate {
            Candidate::Known(token) if token.settled() == Some(settled) => return token,
            Candidate::Known(token) => token.again(),
            Candidate::New(token) => token,
        };
        self.cache.admit(token, Some(settled), names)
    }
}

/// What is known of a token whose user has signed out.
const SIGNED_OUT: Settled = Settled::Revoked(Cause::Plain);
