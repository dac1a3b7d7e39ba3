//! From the bytes of a token to claims that may be acted upon: signature, then revocation.
//!
//! Both are remembered together. What is found in the cache was verified with keys that are still
//! in force, and no change of the revocation feed has named it since; so it needs neither
//! cryptography nor a look at shared data.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;

use super::keys::KeyRing;
use super::policy::{Policy, Provider};
use super::reason::{Admission, Reason};
use super::revocation::{Confirmation, Finding, Question, Revocations};
use super::token_cache::{Admitted, Key, TokenCache};
use crate::host::Host;
use crate::revocation::{Names, Standing};
use crate::token::{Backend, Claims, KeySet, UnverifiedToken};

/// What is needed to verify tokens, and those that were.
#[derive(Debug)]
pub(super) struct Verification {
    pub(super) keys: Rc<KeyRing>,
    pub(super) cache: TokenCache,
    pub(super) revocations: Option<Revocations>,
    backend: Backend,
}

/// A token with a good signature. Issuer and signature have been checked; the other claims and
/// revocation have not.
#[derive(Debug)]
pub(super) struct Candidate {
    key: Key,
    admitted: Rc<Admitted>,
    keys: Rc<KeySet>,
    /// Whether it came from the cache.
    is_known: bool,
}

impl Candidate {
    pub(super) fn claims(&self) -> &Claims {
        &self.admitted.claims
    }
}

/// Why there is no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) reason: Reason,
    /// A hash of the key's id, where newer keys might help.
    pub(super) key: Option<u64>,
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self { reason, key: None }
    }
}

/// Why a candidate does not go on.
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
            cache: TokenCache::new(secret),
            revocations: policy.revocation.clone().map(Revocations::new),
            backend,
        }
    }

    /// The token, verified now or earlier.
    pub(super) fn candidate(
        &self,
        host: &impl Host,
        place: usize,
        provider: &Provider,
        token: &[u8],
    ) -> Result<Candidate, Failure> {
        let key = self.cache.key(place, token);
        let keys = self.keys.get(place);
        if let Some(keys) = &keys
            && let Some(admitted) = self.cache.get(key, keys)
        {
            return Ok(Candidate {
                key,
                admitted,
                keys: Rc::clone(keys),
                is_known: true,
            });
        }
        let token = UnverifiedToken::parse(token).map_err(|error| Reason::from(&error))?;
        provider.check_issuer(token.unverified_claims())?;
        let key_id = Some(hash(token.unverified_key_id()));
        let keys = keys.ok_or(Failure {
            reason: Reason::KeysUnavailable,
            key: key_id,
        })?;
        let verified = host.timed(|| token.verify(&keys, self.backend, host));
        let verified = verified.map_err(|error| Failure {
            reason: error.into(),
            key: key_id,
        })?;
        let admitted = Admitted::new(verified.into_claims(), Rc::clone(&keys), false);
        Ok(Candidate {
            key,
            admitted: Rc::new(admitted),
            keys,
            is_known: false,
        })
    }

    /// Lets a candidate through unless it was revoked, and remembers it.
    pub(super) fn unrevoked(
        &self,
        host: &impl Host,
        candidate: Candidate,
        confirmation: Option<Confirmation>,
    ) -> Result<(Admission, Rc<Admitted>), Objection> {
        let Some(revocations) = &self.revocations else {
            let admitted = self.remember(candidate, false, &Names::default());
            return Ok((Admission::Verified, admitted));
        };
        let now = host.now().seconds().saturating_mul(1_000);
        if candidate.is_known && revocations.standing(now) == Standing::Current {
            return if candidate.admitted.is_revoked {
                Err(Reason::TokenRevoked.into())
            } else {
                Ok((Admission::Verified, candidate.admitted))
            };
        }
        match revocations.find(host, candidate.claims(), now, confirmation)? {
            Finding::NotRevoked(names) => {
                Ok((Admission::Verified, self.remember(candidate, false, &names)))
            }
            Finding::Once => Ok((Admission::Verified, candidate.admitted)),
            Finding::Unknown => Ok((Admission::RevocationUnknown, candidate.admitted)),
            Finding::Revoked(names) => {
                self.remember(candidate, true, &names);
                Err(Reason::TokenRevoked.into())
            }
            Finding::CutOff => Err(Reason::TokenRevoked.into()),
            Finding::Ask(question) => Err(Objection::Ask(question)),
        }
    }

    fn remember(&self, candidate: Candidate, is_revoked: bool, names: &Names) -> Rc<Admitted> {
        if candidate.is_known && candidate.admitted.is_revoked == is_revoked {
            return candidate.admitted;
        }
        let claims = match Rc::try_unwrap(candidate.admitted) {
            Ok(admitted) => admitted.claims,
            Err(shared) => shared.claims.clone(),
        };
        let admitted = Admitted::new(claims, candidate.keys, is_revoked);
        self.cache.admit(candidate.key, admitted, names)
    }
}

fn hash(key_id: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    key_id.hash(&mut hasher);
    hasher.finish()
}
