//! One request: from its headers to a verdict.
//!
//! [`Gate::on_request`] is the whole path, in its order: strip what nobody but the gate may say,
//! match the rule, find the token, parse it, check its issuer, verify its signature, check its
//! claims, tell the upstream who is calling. Everything happens over [`Host`]; nothing here knows
//! that it runs in Envoy.

mod configuration;
mod extraction;
mod keys;
mod path;
mod policy;
mod reason;
mod refusal;
mod request;
mod revocation;
mod session;
mod token_cache;

pub use configuration::{Configured, Fault, read as read_configuration};
pub use keys::{KeyRing, KeySource, Location, RemoteKeys, RemoteSource, Retries};
pub use policy::Policy;
pub use reason::{Action, Admission, Answer, Challenge, Outcome, Reason};
pub use revocation::{Confirmation, Posture, Question, RevocationSettings};

use std::rc::Rc;

use crate::host::{Call, Host};
use crate::revocation::{Fingerprint, Names, Standing, View};
use crate::token::{Backend, KeySet, UnverifiedToken};
use extraction::Found;
use policy::{Provider, Requirement};
use request::Request;
use revocation::{Finding, Revocations};
use token_cache::{Admitted, Key, TokenCache};

/// What the caller has to do with the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Send it on; its headers are as the upstream should see them.
    Forward,
    /// Stop; the client has been answered.
    Stop,
    /// Hold the request until what it waits for has come or has taken too long, then decide again.
    /// Nothing has been counted or answered.
    Wait(Wait),
}

/// What a request waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// Newer keys of the provider with this place: the token names one that is not there.
    Keys {
        /// The place, as in [`Policy::key_sources`].
        provider: usize,
    },
    /// The authority's answer to [`Gate::confirmation_call`]; then [`Attempt::Confirmed`].
    Confirmation(Question),
}

/// Whether a request may be told to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may.
    First,
    /// It has waited for keys, or it cannot; it may still be told to wait for the authority.
    Last,
    /// It has waited for the authority: the verdict is `Forward` or `Stop`.
    Confirmed(Confirmation),
}

/// A policy at work.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    keys: Rc<KeyRing>,
    backend: Backend,
    cache: TokenCache,
    revocations: Option<Revocations>,
}

/// A token with a good signature on its way to be let through.
struct Candidate {
    key: Key,
    admitted: Rc<Admitted>,
    keys: Rc<KeySet>,
    /// Whether it came from the cache.
    is_known: bool,
}

/// Why a request does not go on.
enum Halt<'g> {
    Refused(Refusal<'g>),
    Wait(Wait),
}

/// A refusal with what the log should know beyond the reason.
struct Refusal<'g> {
    reason: Reason,
    provider: Option<&'g str>,
}

impl From<Reason> for Halt<'_> {
    fn from(reason: Reason) -> Self {
        Self::Refused(Refusal {
            reason,
            provider: None,
        })
    }
}

impl Gate {
    /// A gate that checks signatures where `backend` says. `secret` is random, and keys the hash
    /// by which verified tokens are found again.
    #[must_use]
    pub fn new(policy: Policy, backend: Backend, secret: [u8; 16]) -> Self {
        Self {
            keys: Rc::new(KeyRing::new(&policy)),
            cache: TokenCache::new(secret),
            revocations: policy.revocation.clone().map(Revocations::new),
            policy,
            backend,
        }
    }

    /// The revocation feed as this gate reads it, and where it comes from, when there is one.
    #[must_use]
    pub fn feed(&self) -> Option<(&RevocationSettings, &Rc<View>)> {
        let revocations = self.revocations.as_ref()?;
        Some((revocations.settings(), revocations.view()))
    }

    /// The call that a request waits for; `None` without revocation.
    #[must_use]
    pub fn confirmation_call(&self, question: &Question) -> Option<Call> {
        self.revocations
            .as_ref()
            .map(|revocations| revocations.call(question))
    }

    /// Forgets the verified tokens that have one of these names; all of them for `None`.
    pub fn forget(&self, names: Option<&[Fingerprint]>) {
        match names {
            Some(names) => self.cache.void(names),
            None => self.cache.clear(),
        }
    }

    /// What the operator decided.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The keys in force, for whoever fetches newer ones.
    #[must_use]
    pub const fn keys(&self) -> &Rc<KeyRing> {
        &self.keys
    }

    /// Decides about one request, edits its headers or answers it, and counts what came out.
    pub fn on_request(&self, host: &impl Host, attempt: Attempt) -> Verdict {
        let request = Request::new(host.request_headers());
        for name in session::spoofed(&self.policy.injectable, &request) {
            host.remove_request_header(name);
        }
        match self.decide(host, &request, attempt) {
            Ok(admission) => {
                host.increment(Outcome::Allowed(admission).counter());
                Verdict::Forward
            }
            Err(Halt::Refused(refusal)) => {
                self.refuse(host, &request, &refusal);
                Verdict::Stop
            }
            Err(Halt::Wait(wait)) => Verdict::Wait(wait),
        }
    }

    fn decide(
        &self,
        host: &impl Host,
        request: &Request,
        attempt: Attempt,
    ) -> Result<Admission, Halt<'_>> {
        let path = request.path().ok_or(Reason::NoRule)?;
        let requirement = self.policy.requirement(path)?;
        let place = match requirement {
            None if self.policy.allow_unmatched => return Ok(Admission::Unmatched),
            None => return Err(Reason::NoRule.into()),
            Some(Requirement::Nothing) => return Ok(Admission::NoRequirement),
            Some(Requirement::Provider(place)) => place,
        };
        // The configuration admits no other places than those of providers; if that were ever
        // wrong, nobody would pass.
        let provider = self.policy.providers.get(place).ok_or(Reason::NoRule)?;
        self.authenticate(host, request, place, provider, attempt)
            .map_err(|halt| match halt {
                Halt::Refused(refusal) => Halt::Refused(Refusal {
                    provider: Some(&provider.name),
                    ..refusal
                }),
                wait => wait,
            })
    }

    fn authenticate(
        &self,
        host: &impl Host,
        request: &Request,
        place: usize,
        provider: &Provider,
        attempt: Attempt,
    ) -> Result<Admission, Halt<'_>> {
        let Found { token, headers } = extraction::find(&provider.locations, request)?;
        let candidate = self.candidate(host, place, provider, token, attempt)?;
        provider.check_claims(&candidate.admitted.claims, host.now())?;
        let (admission, admitted) = self.check_revocation(host, candidate, attempt)?;
        let injections = session::injections(&self.policy, provider, &admitted.claims)?;
        if !provider.forward {
            for name in headers {
                host.remove_request_header(name);
            }
        }
        for (name, value) in injections {
            host.set_request_header(name, value.as_bytes());
        }
        Ok(admission)
    }

    /// The token with a good signature: from the cache, or verified now.
    fn candidate(
        &self,
        host: &impl Host,
        place: usize,
        provider: &Provider,
        token: &[u8],
        attempt: Attempt,
    ) -> Result<Candidate, Halt<'_>> {
        let may_wait = attempt == Attempt::First && matches!(provider.keys, KeySource::Remote(_));
        let halt = |reason| match reason {
            Reason::KeyUnknown | Reason::KeysUnavailable if may_wait => {
                Halt::Wait(Wait::Keys { provider: place })
            }
            reason => Halt::from(reason),
        };
        let keys = self
            .keys
            .get(place)
            .ok_or_else(|| halt(Reason::KeysUnavailable))?;
        let key = self.cache.key(place, token);
        if let Some(admitted) = self.cache.get(key, &keys) {
            return Ok(Candidate {
                key,
                admitted,
                keys,
                is_known: true,
            });
        }
        let token = UnverifiedToken::parse(token).map_err(|error| Reason::from(&error))?;
        provider.check_issuer(token.unverified_claims())?;
        let verified = token.verify(&keys, self.backend, host);
        let verified = verified.map_err(|error| halt(error.into()))?;
        Ok(Candidate {
            key,
            admitted: Rc::new(Admitted::new(
                verified.into_claims(),
                Rc::clone(&keys),
                false,
            )),
            keys,
            is_known: false,
        })
    }

    /// Lets the token through unless it was revoked, and remembers it. What is in the cache has
    /// not been named by any change since, so it needs no look-up while the feed is current.
    fn check_revocation(
        &self,
        host: &impl Host,
        candidate: Candidate,
        attempt: Attempt,
    ) -> Result<(Admission, Rc<Admitted>), Halt<'_>> {
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
        let confirmation = match attempt {
            Attempt::Confirmed(confirmation) => Some(confirmation),
            Attempt::First | Attempt::Last => None,
        };
        match revocations.find(host, &candidate.admitted.claims, now, confirmation)? {
            Finding::NotRevoked(names) => {
                Ok((Admission::Verified, self.remember(candidate, false, &names)))
            }
            Finding::Unknown => Ok((Admission::RevocationUnknown, candidate.admitted)),
            Finding::Once => Ok((Admission::Verified, candidate.admitted)),
            Finding::Revoked(names) => {
                self.remember(candidate, true, &names);
                Err(Reason::TokenRevoked.into())
            }
            Finding::CutOff => Err(Reason::TokenRevoked.into()),
            Finding::Ask(question) => Err(Halt::Wait(Wait::Confirmation(question))),
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

    fn refuse(&self, host: &impl Host, request: &Request, refusal: &Refusal<'_>) {
        let Refusal { reason, provider } = *refusal;
        host.increment(Outcome::Refused(reason).counter());
        host.debug(|| {
            format!(
                "refused request_id={} reason={} provider={}",
                request.id(),
                reason.label(),
                provider.unwrap_or("-")
            )
        });
        host.respond(&refusal::response(
            reason,
            &self.policy.realm,
            request.is_grpc(),
        ));
    }
}

#[cfg(test)]
mod tests;
