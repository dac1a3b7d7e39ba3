//! One request: from its headers to a verdict.
//!
//! [`Gate::on_request`] is the whole path, in its order: strip what only the gate may set, choose
//! the requirement by route or rule, and let a `Decision` see whether the request meets it: find
//! the token, parse it, check its issuer, verify its signature, check its claims, tell the upstream
//! who is calling. Everything happens over [`Host`]; nothing here knows that it runs in Envoy.

mod activity;
mod admitted;
mod alias;
#[cfg(all(test, not(target_family = "wasm")))]
mod allocator;
mod checks;
mod configuration;
mod decision;
mod dpop;
mod extraction;
#[cfg(all(any(test, fuzzing), not(target_family = "wasm")))]
pub(crate) mod fuzzing;
mod lack;
mod matching;
mod own_headers;
mod path;
mod policy;
mod reason;
mod refusal;
mod request;
mod revocation;
mod session;
mod session_routes;
mod text;
mod token_cache;
#[cfg(not(target_family = "wasm"))]
mod token_check;
mod verification;
mod xfcc;

pub use activity::{Activity, ActivityCounts, Bundle, Delivery};
pub use admitted::{Admitted, ChangedNames, Validity};
pub use configuration::{Configured, read as read_configuration};
#[cfg(not(target_family = "wasm"))]
pub use configuration::{Inspection, inspect as inspect_configuration};
#[cfg(not(target_family = "wasm"))]
pub(crate) use configuration::{cut_off_by, listed_claims};
pub use decision::{Observer, Step};
#[cfg(not(any(target_family = "wasm", fuzzing)))]
pub(crate) use dpop::{HEADER as PROOF_HEADER, SCHEME as PROOF_SCHEME};
pub use lack::{KeyAnswer, Lack};
pub use policy::{Chosen, Policy, StreamRule, StreamRules};
pub use reason::{Action, Admission, ChallengeKind, Outcome, Problem, Reason, Service};
pub use revocation::{Check, CheckOutcome, ClaimSource, NamingRules, Posture, RevocationSettings};
#[cfg(not(target_family = "wasm"))]
pub use revocation::{check_request_of, is_wholly_named};
pub use session_routes::SessionCall;
pub use token_cache::CacheCounts;
#[cfg(not(target_family = "wasm"))]
pub use token_check::{SignatureCheck, TokenCheck, TokenFault};

use std::rc::Rc;
use std::time::Duration;

use crate::host::{Call, CallOutcome, HeaderBlock, Host};
use crate::keys::{KeyKeeper, KeyRing};
use crate::revocation::wire::activity::ACTIVITY_PATH;
use crate::revocation::{FeedKeys, Fingerprint, View};
use crate::time::UnixTime;
use crate::token::Backend;
use decision::{Decision, Refusal, Setback};
use policy::{Nonces, Provider};
use refusal::{AskedProof, Refusals};
use request::Request;
use verification::Verification;

/// What the caller has to do with the request.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Send it on; its headers are as the upstream should see them.
    Forward,
    /// Stop; the client has been answered.
    Stop,
    /// Hold the request until what it waits for has come or has taken too long, then decide again.
    /// Nothing was counted or answered.
    Wait(Wait),
}

/// What a request waits for.
#[derive(Clone, Debug, PartialEq)]
pub enum Wait {
    /// Newer keys of a provider: those in force do not let the token in. If the request waits no
    /// longer, its [`KeyAnswer`] says why the token is refused.
    Keys(Lack),
    /// The authority's answer to [`Gate::check_call`]; then [`Gate::on_answers`].
    Check(Check),
    /// The authority's answer to [`Gate::session_call`]; then [`Gate::serve`].
    Session(Rc<SessionCall>),
}

/// What the waits of a request have ended with so far.
#[derive(Clone, Debug, Default)]
pub struct Answers {
    /// For each provider whose newer keys it has waited for.
    pub keys: Vec<KeyAnswer>,
    /// For each of its tokens that the authority was asked about.
    pub checks: Vec<CheckOutcome>,
}

/// Whether a request may be told to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It may.
    First,
    /// It may not wait for keys: those in force count as all that there are. It may still be told
    /// to wait for the authority.
    Last,
}

/// How long the authority may take for reports of sessions in use. No request waits for that.
const ACTIVITY_TIMEOUT: Duration = Duration::from_secs(5);

/// A policy at work.
#[derive(Debug)]
pub struct Gate {
    policy: Policy,
    verification: Verification,
    refusals: Refusals,
    activity: Option<Activity>,
}

impl Gate {
    /// A gate that checks signatures where `backend` says. `secret` is random, and keys the hash by
    /// which cached tokens are found.
    #[must_use]
    pub fn new(policy: Policy, backend: Backend, secret: [u8; 16]) -> Self {
        let device_claim = policy.revocation.as_ref();
        let device_claim = device_claim.and_then(|settings| settings.device_claim.clone());
        let activity = policy.activity;
        Self {
            activity: activity.map(|rules| Activity::new(rules, device_claim, secret)),
            verification: Verification::new(&policy, backend, secret),
            refusals: Refusals::new(policy.refusals.clone()),
            policy,
        }
    }

    /// The revocation feed as this gate reads it, with its settings, if there is one.
    #[must_use]
    pub fn feed(&self) -> Option<(&RevocationSettings, &Rc<View>)> {
        let revocations = self.verification.revocations.as_ref()?;
        Some((revocations.settings(), revocations.view()))
    }

    /// The call that makes a check; `None` without revocation.
    #[must_use]
    pub fn check_call(&self, check: &Check) -> Option<Call> {
        let revocations = self.verification.revocations.as_ref();
        revocations.map(|revocations| revocations.call(check))
    }

    /// Reads the end of a check's call. An answer counts only if a key of the feed has signed it.
    #[must_use]
    pub fn check_outcome(&self, check: &Check, outcome: &CallOutcome) -> CheckOutcome {
        let keys = self.feed().map(|(settings, _)| &settings.keys);
        CheckOutcome::read(check, outcome, keys.unwrap_or(&FeedKeys::default()))
    }

    /// The call that a request for a session route waits for; `None` without revocation.
    #[must_use]
    pub fn session_call(&self, call: &SessionCall) -> Option<Call> {
        let revocations = self.verification.revocations.as_ref()?;
        let (path, body, timeout) = call.parts();
        Some(revocations.post(path, body, timeout))
    }

    /// Answers a request for a session route with what its call has brought, and counts the outcome.
    /// Here, the token is refused from now on if it was revoked: the feed brings that a moment later.
    pub fn serve(&self, host: &impl Host, call: &SessionCall, outcome: &CallOutcome) {
        let no_keys = FeedKeys::default();
        let keys = self.feed().map_or(&no_keys, |(settings, _)| &settings.keys);
        // Whatever the host fails to show now, what the authority has done is done.
        let request = Request::new(host.request_headers());
        match call.read(outcome, keys) {
            Ok(done) => {
                if done.ended_own_session {
                    self.verification.note_revoked(&call.token);
                }
                host.count(Outcome::Served(call.service), Some(call.provider));
                let redirect = self.policy.end_session_redirect();
                host.respond(&call.response(&request, done, redirect));
            }
            Err(reason) => {
                let refusal = Refusal {
                    reason,
                    provider: Some(call.provider),
                    requirement: None,
                    signed_in_by: None,
                };
                self.refuse(host, &request, refusal);
            }
        }
    }

    /// What is collected of sessions in use, where that is reported.
    #[must_use]
    pub const fn activity(&self) -> Option<&Activity> {
        self.activity.as_ref()
    }

    /// The call that reports it; `None` without revocation.
    #[must_use]
    pub fn activity_call(&self, body: Vec<u8>) -> Option<Call> {
        let revocations = self.verification.revocations.as_ref()?;
        Some(revocations.post(ACTIVITY_PATH, body, ACTIVITY_TIMEOUT))
    }

    /// What the token cache has counted since this was last called.
    #[must_use]
    pub fn take_cache_counts(&self) -> CacheCounts {
        self.verification.cache.take_counts()
    }

    /// Voids the cached tokens that have one of these names.
    pub fn void(&self, names: &[Fingerprint]) {
        self.verification.cache.void(names);
    }

    /// Voids every cached token.
    pub fn void_all(&self) {
        self.verification.cache.void_all();
    }

    /// What the operator decided.
    #[must_use]
    pub const fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The keys in force.
    #[must_use]
    pub const fn keys(&self) -> &Rc<KeyRing> {
        &self.verification.keys
    }

    /// A keeper of these keys. `holder` is a random number that no other virtual machine has.
    #[must_use]
    pub fn key_keeper(&self, holder: u64) -> KeyKeeper {
        let policy = &self.policy;
        let secret = policy.record_secret();
        KeyKeeper::new(policy.key_sources(), secret, Rc::clone(self.keys()), holder)
    }

    /// Whether all keys and the feed are there, so that a request is refused only for a fault of
    /// its own.
    #[must_use]
    pub fn has_what_it_needs(&self) -> bool {
        let has_feed = self.feed().is_none_or(|(_, view)| view.state().is_some());
        has_feed && self.verification.keys.is_complete()
    }

    /// Decides about one request, edits its headers or answers it, and counts the outcome.
    pub fn on_request(&self, host: &impl Host, attempt: Attempt) -> Verdict {
        self.decide_request(host, attempt, &Answers::default(), (), drop)
    }

    /// Decides again, with what is known now. The verdict may be to wait for other keys, or for a
    /// check of another token, but never for what has an answer here, even if that says that none
    /// came. `admit` takes what lets the request in, if it has to be watched from then on.
    pub fn on_answers(
        &self,
        host: &impl Host,
        answers: &Answers,
        admit: impl FnOnce(Admitted),
    ) -> Verdict {
        self.decide_request(host, Attempt::First, answers, (), admit)
    }

    /// Removes what only the gate may set from the request's trailers as well, and tokens, which
    /// are not verified there: servers that merge trailers into the headers (RFC 9110 section
    /// 6.5.1) would believe both. If the host fails to show the trailers or to change them, the
    /// request is refused, however far it has come.
    pub fn strip_trailers(
        &self,
        host: &impl Host,
        trailers: HeaderBlock,
        remove: impl Fn(&str),
    ) -> Verdict {
        let trailers = Request::new(trailers);
        self.policy.own_headers.take_off_trailers(&trailers, remove);
        if host.has_failed() {
            self.refuse(host, &trailers, Reason::HostFault.into());
            return Verdict::Stop;
        }
        Verdict::Forward
    }

    /// As [`Gate::on_request`], and tells how the decision came about.
    pub fn explain_request(
        &self,
        host: &impl Host,
        attempt: Attempt,
        observer: impl Observer,
    ) -> Verdict {
        self.decide_request(host, attempt, &Answers::default(), observer, drop)
    }

    fn decide_request(
        &self,
        host: &impl Host,
        attempt: Attempt,
        answers: &Answers,
        observer: impl Observer,
        admit: impl FnOnce(Admitted),
    ) -> Verdict {
        let request = Request::new(host.request_headers());
        let (request, spoofing) = self.policy.own_headers.take_off(host, request);
        let mut decision = Decision::new(self, host, &request, attempt, answers, observer);
        let outcome = decision.decide(spoofing);
        // What the host could not show is missing here, and what it could not change is as it came.
        if host.has_failed() || request.is_empty() {
            self.refuse(host, &request, Reason::HostFault.into());
            return Verdict::Stop;
        }
        match outcome {
            Ok(admission) => {
                host.count(Outcome::Allowed(admission), decision.provider());
                if let Some(activity) = &self.activity {
                    decision.note(activity);
                }
                if let Some(admitted) = decision.admitted() {
                    admit(admitted);
                }
                Verdict::Forward
            }
            Err(Setback::Waits { on, .. }) => Verdict::Wait(on),
            Err(Setback::Refused(refusal)) => {
                self.refuse(host, &request, refusal);
                Verdict::Stop
            }
        }
    }

    fn refuse(&self, host: &impl Host, request: &Request, refusal: Refusal<'_>) {
        let reason = refusal.reason;
        let providers = &self.policy.providers;
        let own = refusal.provider.and_then(|index| providers.get(index));
        let provider = own.map(|provider| &*provider.name);
        host.count(Outcome::Refused(reason), refusal.provider);
        host.debug(|| {
            format!(
                "refused request_id={} reason={} provider={}",
                request.id(),
                reason.label(),
                provider.unwrap_or("-")
            )
        });
        let locations = providers.iter().flat_map(|provider| &provider.locations);
        let allow = if refusal.reason == Reason::MethodNotAllowed {
            let routes = self.policy.session_routes.as_ref();
            routes.and_then(|routes| routes.allowed(request))
        } else {
            None
        };
        let now = || UnixTime::from_milliseconds(host.now_milliseconds());
        let proofs =
            own.and_then(|provider| self.asked_proof(host, request, provider, reason, &now));
        let proofs = proofs.as_ref();
        let refusals = &self.refusals;
        host.respond(&refusals.response(refusal, request, locations, allow, proofs, &now));
    }

    /// What a client is told of proofs of keys, where its token could have been refused for one.
    fn asked_proof<'p>(
        &self,
        host: &impl Host,
        request: &Request,
        provider: &'p Provider,
        reason: Reason,
        now: &dyn Fn() -> UnixTime,
    ) -> Option<AskedProof<'p>> {
        let dpop = provider.possession.dpop()?;
        if reason.problem().challenge == ChallengeKind::Absent {
            return None;
        }
        let nonce = || self.verification.proofs.as_ref()?.nonce(host, now());
        Some(AskedProof {
            dpop,
            is_key_required: provider.possession.requires_key(),
            is_under_dpop: request.values("authorization").any(dpop::is_under_scheme),
            nonce: match dpop.nonces {
                Nonces::Own => nonce(),
                Nonces::Optional | Nonces::Unknown => None,
            },
        })
    }
}

#[cfg(test)]
mod tests;
