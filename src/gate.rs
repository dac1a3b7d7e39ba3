//! One request: from its headers to a verdict.
//!
//! [`Gate::on_request`] is the whole path, in its order: strip what nobody but the gate may say,
//! match the rule, find the token, parse it, check its issuer, verify its signature, check its
//! claims, tell the upstream who is calling. Everything happens over [`Host`]; nothing here knows
//! that it runs in Envoy.

mod configuration;
mod extraction;
mod path;
mod policy;
mod reason;
mod refusal;
mod request;
mod session;

pub use configuration::{Configured, Fault, read as read_configuration};
pub use policy::Policy;
pub use reason::{Action, Admission, Answer, Challenge, Outcome, Reason};

use crate::host::Host;
use crate::token::{Backend, UnverifiedToken, VerifiedToken};
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
}

/// A policy at work.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    backend: Backend,
}

/// A refusal with what the log should know beyond the reason.
struct Refusal<'g> {
    reason: Reason,
    provider: Option<&'g str>,
}

impl From<Reason> for Refusal<'_> {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            provider: None,
        }
    }
}

impl Gate {
    /// A gate that checks signatures where `backend` says.
    #[must_use]
    pub const fn new(policy: Policy, backend: Backend) -> Self {
        Self { policy, backend }
    }

    /// Decides about one request, edits its headers or answers it, and counts what came out.
    pub fn on_request(&self, host: &impl Host) -> Verdict {
        let request = Request::new(host.request_headers());
        for name in session::spoofed(&self.policy.injectable, &request) {
            host.remove_request_header(name);
        }
        match self.decide(host, &request) {
            Ok(admission) => {
                host.increment(Outcome::Allowed(admission).counter());
                Verdict::Forward
            }
            Err(refusal) => {
                self.refuse(host, &request, &refusal);
                Verdict::Stop
            }
        }
    }

    fn decide(&self, host: &impl Host, request: &Request) -> Result<Admission, Refusal<'_>> {
        let path = request.path().ok_or(Reason::NoRule)?;
        let requirement = self.policy.requirement(path)?;
        let provider = match requirement {
            None if self.policy.allow_unmatched => return Ok(Admission::Unmatched),
            None => return Err(Reason::NoRule.into()),
            Some(Requirement::Nothing) => return Ok(Admission::NoRequirement),
            Some(Requirement::Provider(place)) => self.policy.providers.get(place),
        };
        // The configuration admits no other places than those of providers; if that were ever
        // wrong, nobody would pass.
        let provider = provider.ok_or(Reason::NoRule)?;
        self.authenticate(host, request, provider)
            .map_err(|reason| Refusal {
                reason,
                provider: Some(&provider.name),
            })
    }

    fn authenticate(
        &self,
        host: &impl Host,
        request: &Request,
        provider: &Provider,
    ) -> Result<Admission, Reason> {
        let Found { token, headers } = extraction::find(&provider.locations, request)?;
        let verified = self.verify(host, provider, token)?;
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
        Ok(Admission::Verified)
    }

    fn verify(
        &self,
        host: &impl Host,
        provider: &Provider,
        token: &[u8],
    ) -> Result<VerifiedToken, Reason> {
        let token = UnverifiedToken::parse(token).map_err(|error| Reason::from(&error))?;
        provider.check_issuer(token.unverified_claims())?;
        let verified = token.verify(&provider.keys, self.backend, host);
        verified.map_err(Reason::from)
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
