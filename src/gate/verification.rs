//! Signature and revocation of a token, remembered together.
//!
//! What is found in the cache was verified with keys that are still in force, and no change of the
//! revocation feed has named it since; so it needs neither cryptography nor a look at shared data.

use std::rc::Rc;

use super::keys::KeyRing;
use super::policy::Policy;
use super::reason::{Admission, Reason};
use super::revocation::{Confirmation, Finding, Posture, Question, Revocations};
use super::token_cache::{Admitted, Key, TokenCache};
use crate::host::Host;
use crate::revocation::Names;
use crate::token::{Backend, KeySet, VerifiedToken};

/// What is needed to verify tokens, and those that were.
#[derive(Debug)]
pub(super) struct Verification {
    pub(super) keys: Rc<KeyRing>,
    pub(super) backend: Backend,
    pub(super) cache: TokenCache,
    pub(super) revocations: Option<Revocations>,
}

/// A token of the provider's with a good signature. Its claims are still to be checked, and
/// whether it was revoked.
#[derive(Debug)]
pub(super) struct Candidate {
    key: Key,
    pub(super) admitted: Rc<Admitted>,
    keys: Rc<KeySet>,
    /// Whether it came from the cache.
    is_known: bool,
}

impl Candidate {
    /// A token that was verified now with these keys, and what it is to be found by.
    pub(super) fn verified(key: Key, token: VerifiedToken, keys: Rc<KeySet>) -> Self {
        Self {
            key,
            admitted: Rc::new(Admitted::new(token, &keys, false)),
            keys,
            is_known: false,
        }
    }

    pub(super) fn token(&self) -> &VerifiedToken {
        &self.admitted.token
    }
}

/// Why a token is not let through.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Objection {
    Refused(Reason),
    /// The authority has to be asked.
    Ask(Question),
}

impl From<Reason> for Objection {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl Verification {
    pub(super) fn new(policy: &Policy, backend: Backend, secret: [u8; 16]) -> Self {
        Self {
            keys: Rc::new(KeyRing::new(policy)),
            backend,
            cache: TokenCache::new(secret),
            revocations: policy.revocation.clone().map(Revocations::new),
        }
    }

    /// The token, if it was verified earlier with the keys that are in force.
    pub(super) fn known(&self, place: usize, key: Key) -> Option<Candidate> {
        let keys = self.keys.get(place)?;
        let admitted = self.cache.get(key, &keys)?;
        Some(Candidate {
            key,
            admitted,
            keys,
            is_known: true,
        })
    }

    /// Lets a candidate through unless it was revoked, and remembers it.
    pub(super) fn unrevoked(
        &self,
        host: &impl Host,
        candidate: Candidate,
        now_milliseconds: u64,
        confirmations: &[Confirmation],
    ) -> Result<(Admission, Rc<Admitted>), Objection> {
        let Some(revocations) = &self.revocations else {
            let admitted = self.remember(candidate, false, &Names::default());
            return Ok((Admission::Verified, admitted));
        };
        let standing = revocations.standing(host, now_milliseconds);
        if candidate.is_known {
            // What is known to be revoked is not let through because nothing else is known.
            match revocations.posture(standing) {
                None | Some(Posture::Allow) if candidate.admitted.is_revoked => {
                    return Err(Reason::TokenRevoked.into());
                }
                None => return Ok((Admission::Verified, candidate.admitted)),
                Some(_) => {}
            }
        }
        let claims = candidate.token().claims();
        match revocations.find(host, claims, standing, confirmations)? {
            Finding::NotRevoked(names) => {
                Ok((Admission::Verified, self.remember(candidate, false, &names)))
            }
            Finding::Once => Ok((Admission::Verified, candidate.admitted)),
            Finding::Unknown => Ok((Admission::RevocationUnknown, candidate.admitted)),
            Finding::Revoked(names) => {
                self.remember(candidate, true, &names);
                Err(Reason::TokenRevoked.into())
            }
            Finding::RevokedThen => Err(Reason::TokenRevoked.into()),
            Finding::Ask(question) => Err(Objection::Ask(question)),
        }
    }

    fn remember(&self, candidate: Candidate, is_revoked: bool, names: &Names) -> Rc<Admitted> {
        if candidate.is_known && candidate.admitted.is_revoked == is_revoked {
            return candidate.admitted;
        }
        let admitted = match Rc::try_unwrap(candidate.admitted) {
            Ok(mut admitted) => {
                admitted.is_revoked = is_revoked;
                admitted
            }
            Err(shared) => Admitted::new(shared.token.clone(), &candidate.keys, is_revoked),
        };
        self.cache.admit(candidate.key, admitted, names)
    }
}
