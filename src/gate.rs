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
mod verification;

pub use configuration::{Configured, Fault, read as read_configuration};
pub use keys::{KeyRing, KeySource, Location, RemoteKeys, RemoteSource, Retries};
pub use policy::Policy;
pub use reason::{Action, Admission, Answer, Challenge, Outcome, Reason};
pub use revocation::{Confirmation, Posture, Question, RevocationSettings};

use std::rc::Rc;

use crate::host::{Call, Host};
use crate::revocation::{Fingerprint, View};
use crate::token::Backend;
use extraction::Found;
use policy::Requirement;
use request::Request;
use verification::{Failure, Objection, Verification};

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
        /// A hash of the key's id, so that ids that were asked for in vain can be told apart.
        key: u64,
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
    verification: Verification,
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
            verification: Verification::new(&policy, backend, secret),
            policy,
        }
    }

    /// The revocation feed as this gate reads it, and where it comes from, when there is one.
    #[must_use]
    pub fn feed(&self) -> Option<(&RevocationSettings, &Rc<View>)> {
        let revocations = self.verification.revocations.as_ref()?;
        Some((revocations.settings(), revocations.view()))
    }

    /// The call that a request waits for; `None` without revocation.
    #[must_use]
    pub fn confirmation_call(&self, question: &Question) -> Option<Call> {
        let revocations = self.verification.revocations.as_ref();
        revocations.map(|revocations| revocations.call(question))
    }

    /// Forgets the verified tokens that have one of these names; all of them for `None`.
    pub fn forget(&self, names: Option<&[Fingerprint]>) {
        match names {
            Some(names) => self.verification.cache.void(names),
            None => self.verification.cache.clear(),
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
        &self.verification.keys
    }

    /// Decides about one request, edits its headers or answers it, and counts what came out.
    pub fn on_request(&self, host: &impl Host, attempt: Attempt) -> Verdict {
        let request = Request::new(host.request_headers());
        for name in session::spoofed(&self.policy.injectable, &request) {
            host.remove_request_header(name);
        }
        match self.decide(host, &request, attempt) {
            Ok((admission, provider)) => {
                host.increment(Outcome::Allowed(admission).counter(), provider);
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
    ) -> Result<(Admission, Option<&str>), Halt<'_>> {
        let path = request.path().ok_or(Reason::NoRule)?;
        let requirement = self.policy.requirement(path)?;
        let place = match requirement {
            None if self.policy.allow_unmatched => return Ok((Admission::Unmatched, None)),
            None => return Err(Reason::NoRule.into()),
            Some(Requirement::Nothing) => return Ok((Admission::NoRequirement, None)),
            Some(Requirement::Provider(place)) => place,
        };
        // The configuration admits no other places than those of providers; if that were ever
        // wrong, nobody would pass.
        let provider = self.policy.providers.get(place).ok_or(Reason::NoRule)?;
        let refused = |reason| {
            Halt::Refused(Refusal {
                reason,
                provider: Some(&provider.name),
            })
        };
        let Found { token, headers } =
            extraction::find(&provider.locations, request).map_err(refused)?;
        let candidate = self.verification.candidate(host, place, provider, token);
        let candidate = candidate.map_err(|Failure { reason, key }| match (reason, key) {
            (Reason::KeyUnknown | Reason::KeysUnavailable, Some(key))
                if attempt == Attempt::First && matches!(provider.keys, KeySource::Remote(_)) =>
            {
                Halt::Wait(Wait::Keys {
                    provider: place,
                    key,
                })
            }
            _ => refused(reason),
        })?;
        provider
            .check_claims(candidate.claims(), host.now())
            .map_err(refused)?;
        let confirmation = match attempt {
            Attempt::Confirmed(confirmation) => Some(confirmation),
            Attempt::First | Attempt::Last => None,
        };
        let unrevoked = self.verification.unrevoked(host, candidate, confirmation);
        let (admission, admitted) = unrevoked.map_err(|objection| match objection {
            Objection::Refused(reason) => refused(reason),
            Objection::Ask(question) => Halt::Wait(Wait::Confirmation(question)),
        })?;
        let injections = session::injections(&self.policy, provider, &admitted.claims);
        let injections = injections.map_err(refused)?;
        if !provider.forward {
            for name in headers {
                host.remove_request_header(name);
            }
        }
        for (name, value) in injections {
            host.set_request_header(name, value.as_bytes());
        }
        Ok((admission, Some(&provider.name)))
    }

    fn refuse(&self, host: &impl Host, request: &Request, refusal: &Refusal<'_>) {
        let Refusal { reason, provider } = *refusal;
        host.increment(Outcome::Refused(reason).counter(), provider);
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
