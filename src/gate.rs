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
mod session;

pub use configuration::{Configured, Fault, read as read_configuration};
pub use keys::{KeyRing, KeySource, Location, RemoteKeys, RemoteSource, Retries};
pub use policy::Policy;
pub use reason::{Action, Admission, Answer, Challenge, Outcome, Reason};

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::rc::Rc;

use crate::host::Host;
use crate::token::{Backend, UnverifiedToken};
use extraction::Found;
use policy::{Provider, Requirement};
use request::Request;

/// What the caller has to do with the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send it on; its headers are as the upstream should see them.
    Forward,
    /// Stop; the client has been answered.
    Stop,
    /// Hold the request until what it waits for has come or has taken too long, then decide again
    /// with [`Attempt::Last`]. Nothing has been counted or answered.
    Wait(Wait),
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Newer keys of the provider with this place: the token names one that is not there.
    Keys {
        /// The place, as in [`Policy::key_sources`].
        provider: usize,
        /// A hash of the key's id, so that ids that were asked for in vain can be told apart.
        key: u64,
    },
}

/// Whether a request may be told to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may.
    First,
    /// It has waited, or it cannot: the verdict is `Forward` or `Stop`.
    Last,
}

/// A policy at work.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    keys: Rc<KeyRing>,
    backend: Backend,
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

/// Why a provider does not accept a request, and the hash of the id of the key that was looked for.
struct Failure {
    reason: Reason,
    key: Option<u64>,
}

impl From<Reason> for Failure {
    fn from(reason: Reason) -> Self {
        Self { reason, key: None }
    }
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
    /// A gate that checks signatures where `backend` says.
    #[must_use]
    pub fn new(policy: Policy, backend: Backend) -> Self {
        Self {
            keys: Rc::new(KeyRing::new(&policy)),
            policy,
            backend,
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
        let outcome = self.authenticate(host, request, place, provider);
        outcome.map_err(|Failure { reason, key }| match (reason, key) {
            (Reason::KeyUnknown | Reason::KeysUnavailable, Some(key))
                if attempt == Attempt::First && matches!(provider.keys, KeySource::Remote(_)) =>
            {
                Halt::Wait(Wait::Keys {
                    provider: place,
                    key,
                })
            }
            _ => Halt::Refused(Refusal {
                reason,
                provider: Some(&provider.name),
            }),
        })?;
        Ok((Admission::Verified, Some(&provider.name)))
    }

    fn authenticate(
        &self,
        host: &impl Host,
        request: &Request,
        place: usize,
        provider: &Provider,
    ) -> Result<(), Failure> {
        let Found { token, headers } = extraction::find(&provider.locations, request)?;
        let token = UnverifiedToken::parse(token).map_err(|error| Reason::from(&error))?;
        provider.check_issuer(token.unverified_claims())?;
        let key = Some(hash(token.unverified_key_id()));
        let keys = self.keys.get(place).ok_or(Failure {
            reason: Reason::KeysUnavailable,
            key,
        })?;
        let verified = host.timed(|| token.verify(&keys, self.backend, host));
        let verified = verified.map_err(|error| Failure {
            reason: error.into(),
            key,
        })?;
        let claims = verified.claims();
        provider.check_claims(claims, host.now())?;
        let injections = session::injections(&self.policy, provider, claims)?;
        if !provider.forward {
            for name in headers {
                host.remove_request_header(name);
            }
        }
        for (name, value) in injections {
            host.set_request_header(name, value.as_bytes());
        }
        Ok(())
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

fn hash(key_id: Option<&str>) -> u64 {
    let mut hasher = DefaultHasher::new();
    key_id.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests;
