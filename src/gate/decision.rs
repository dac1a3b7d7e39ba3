//! Whether a request meets its requirement.
//!
//! One [`Decision`] walks one requirement. It keeps the tokens that were found good, and tells an
//! [`Observer`] about every step: the gate at work has none, the command line has one when it
//! explains.

mod choice;
mod forwarding;
mod observer;
mod serving;
mod setback;
mod waiting;

use std::cell::OnceCell;
use std::rc::Rc;
use std::time::Duration;

pub use observer::{Observer, Step};
pub(super) use setback::{Refusal, Setback};

use super::activity::Activity;
use super::admitted::Admitted;
use super::checks::{ByRequest, ByToken};
use super::dpop::{self, Presented, Proof};
use super::extraction::{self, Found};
use super::own_headers::Spoofing;
use super::policy::{
    Alternatives, Dpop, Otherwise, Provider, Requirement, SignIn, TokenRequirement,
};
use super::reason::{Admission, Reason};
use super::request::Request;
use super::token_cache::KnownToken;
use super::verification::Candidate;
use super::{Answers, Attempt, Gate};
use crate::host::Host;
use crate::keys::KeySource;
use crate::time::UnixTime;
use crate::token::{Claims, UnverifiedToken};
use waiting::Sought;
pub(super) use waiting::key_of;
#[cfg(not(target_family = "wasm"))]
pub(super) use waiting::may_change;

/// A token that was found good.
pub(super) struct Pass<'g> {
    provider: &'g Provider,
    /// Index of the provider.
    index: usize,
    found: Found<'g>,
    pub(super) token: Rc<KnownToken>,
    /// What has come with it, if it is bound to a key.
    proof: Option<Proof>,
    admission: Admission,
}

impl Pass<'_> {
    /// When the token has expired for its provider.
    pub(super) fn expires_at(&self) -> Option<UnixTime> {
        let expiry = self.token.claims().expires_at()?;
        Some(expiry.later_by(self.provider.clock_skew))
    }
}

/// Tries the alternative with this number.
type Meet<'m, 'g, D> = dyn Fn(&mut D, usize) -> Result<Admission, Setback<'g>> + 'm;

/// One request on its way through one requirement.
pub(super) struct Decision<'g, H, O> {
    gate: &'g Gate,
    host: &'g H,
    request: &'g Request,
    attempt: Attempt,
    /// What the waits of the request have ended with so far.
    answers: &'g Answers,
    observer: O,
    /// The time, read once for everything that is decided about the request.
    now_milliseconds: OnceCell<u64>,
    passes: Vec<Pass<'g>>,
}

impl<'g, H: Host, O: Observer> Decision<'g, H, O> {
    pub(super) const fn new(
        gate: &'g Gate,
        host: &'g H,
        request: &'g Request,
        attempt: Attempt,
        answers: &'g Answers,
        observer: O,
    ) -> Self {
        Self {
            gate,
            host,
            request,
            attempt,
            answers,
            observer,
            now_milliseconds: OnceCell::new(),
            passes: Vec::new(),
        }
    }

    /// Whether the request is let through, and why. If it is, its headers are as the upstream
    /// should see them. `spoofing` says whether it came with headers that only the gate may set.
    pub(super) fn decide(&mut self, spoofing: Spoofing) -> Result<Admission, Setback<'g>> {
        let admission = self.choose_requirement_and_meet_it(spoofing)?;
        self.use_proofs()?;
        if let Some(routes) = &self.gate.policy.session_routes
            && let Some(route) = self.request.target().and_then(|target| routes.of(target))
            && admission != Admission::CorsPreflight
        {
            return Err(self.serve(route));
        }
        self.forward()?;
        Ok(admission)
    }

    /// What the request was admitted with, as far as that is to be watched.
    pub(super) fn admitted(&self) -> Option<Admitted> {
        Admitted::of(&self.gate.policy, &self.passes)
    }

    /// Has it noted which sessions the request was admitted for.
    pub(super) fn note(&self, activity: &Activity) {
        let tokens = self.passes.iter().map(|pass| &*pass.token);
        activity.note(self.host, self.request, tokens);
    }

    /// Index of the provider whose token decided, if one did.
    pub(super) fn provider(&self) -> Option<usize> {
        self.passes.first().map(|pass| pass.index)
    }

    fn choose_requirement_and_meet_it(
        &mut self,
        spoofing: Spoofing,
    ) -> Result<Admission, Setback<'g>> {
        let policy = &self.gate.policy;
        if policy.bypass_cors_preflight && self.request.is_cors_preflight() {
            return Ok(Admission::CorsPreflight);
        }
        // Envoy reports the route that it chose before anything was removed, and chooses again when
        // it sends the request on. A spoofed header must not influence the first choice.
        if spoofing == Spoofing::TakenOff && policy.routes.choose() {
            return Err(Reason::RequirementUnknown.into());
        }
        let (chosen, requirement) = policy.requirement(self.host, self.request)?;
        self.observer.chosen(chosen);
        match requirement {
            Some(requirement) => self.meet(requirement),
            None if policy.allow_unmatched => Ok(Admission::Unmatched),
            None => Err(Reason::NoRule.into()),
        }
    }

    /// Whether the request meets the requirement, and how. What was found good is in `passes`.
    fn meet(&mut self, requirement: &'g Requirement) -> Result<Admission, Setback<'g>> {
        match requirement {
            Requirement::Nothing => Ok(Admission::NoRequirement),
            Requirement::Token { provider, needs } => self.verify(*provider, needs),
            Requirement::Any(alternatives) => self.any(alternatives),
            Requirement::All(requirements) => {
                let mut admission = Admission::NoRequirement;
                let mut too_weak = None;
                for requirement in requirements {
                    match self.meet(requirement) {
                        Ok(next) => admission = together(admission, next),
                        // Of no use where something else is lacking that no sign-in mends.
                        Err(setback) if setback.is_about_sign_in() => {
                            too_weak = too_weak.or(Some(setback));
                        }
                        Err(setback) if too_weak.is_some() && setback.is_mended_by_sign_in() => {}
                        Err(setback) => return Err(setback),
                    }
                }
                too_weak.map_or(Ok(admission), Err)
            }
            Requirement::AllowMissing(providers) => match self.token_of(providers) {
                Err(Reason::TokenMissing) => Ok(Admission::NoToken),
                Err(reason) => Err(reason.into()),
                Ok(()) => self.first_of(providers),
            },
            Requirement::AllowMissingOrFailed(providers) => {
                let outcome = match self.token_of(providers) {
                    Err(Reason::TokenMissing) => return Ok(Admission::NoToken),
                    Err(reason) => Err(reason.into()),
                    Ok(()) => self.first_of(providers),
                };
                match outcome {
                    Err(Setback::Refused(_)) => Ok(Admission::TokenIgnored),
                    outcome => outcome,
                }
            }
        }
    }

    fn any(&mut self, alternatives: &'g Alternatives) -> Result<Admission, Setback<'g>> {
        let otherwise = alternatives.otherwise;
        // Which of two tokens an upstream would believe is not known here.
        if otherwise != Otherwise::AllowMissingOrFailed
            && let Err(Reason::TokenAmbiguous) = self.token_of(&alternatives.together)
        {
            return Err(Reason::TokenAmbiguous.into());
        }
        let requirements = &alternatives.requirements;
        let providers = &alternatives.providers;
        let outcome = self.first_met(providers, requirements.len(), &|decision, alternative| {
            let requirement = requirements.get(alternative).ok_or(Reason::NoRule)?;
            decision.meet(requirement)
        });
        let refusal = match outcome {
            Err(Setback::Refused(refusal)) if otherwise != Otherwise::Refuse => refusal,
            outcome => return outcome,
        };
        match self.token_of(providers) {
            Err(Reason::TokenMissing) => Ok(Admission::NoToken),
            _ if otherwise == Otherwise::AllowMissingOrFailed => Ok(Admission::TokenIgnored),
            _ => Err(Setback::Refused(refusal)),
        }
    }

    /// Whether there is one token in all the locations of these providers.
    fn token_of(&self, providers: &[usize]) -> Result<(), Reason> {
        let all = &self.gate.policy.providers;
        let providers = providers.iter().filter_map(|index| all.get(*index));
        let locations = providers.flat_map(|provider| &provider.locations);
        extraction::find(locations, self.request).map(|_| ())
    }

    /// Whether one of these providers accepts the token.
    fn first_of(&mut self, providers: &'g [usize]) -> Result<Admission, Setback<'g>> {
        self.first_met(providers, providers.len(), &|decision, alternative| {
            let index = providers.get(alternative).ok_or(Reason::NoRule)?;
            decision.verify(*index, &PLAIN)
        })
    }

    /// The first of several alternatives that is met; otherwise the setback that says most about
    /// why none is. What one alternative says of its token is no answer to another token that may
    /// still be good. `providers` are those of all alternatives.
    fn first_met(
        &mut self,
        providers: &[usize],
        alternatives: usize,
        meet: &Meet<'_, 'g, Self>,
    ) -> Result<Admission, Setback<'g>> {
        let mut setback: Option<Setback<'_>> = None;
        let mut unknown: Option<Setback<'_>> = None;
        for alternative in 0..alternatives {
            let passes = self.passes.len();
            let next = match meet(self, alternative) {
                Ok(admission) => {
                    let mut latest = self.passes.iter().skip(passes);
                    if latest.any(|pass| pass.found.is_choice()) {
                        self.check_choices(passes, providers)?;
                    }
                    return Ok(admission);
                }
                Err(next) => next,
            };
            self.passes.truncate(passes);
            let (more, less) = next.beside(setback);
            unknown = unknown.or(less.filter(Setback::is_unknown));
            setback = Some(more);
        }
        // The configuration admits no empty lists; an empty one would refuse every request.
        let setback = setback.unwrap_or(Reason::NoRule.into());
        let unknown = unknown
            .filter(|unknown| !setback.is_unknown() && self.are_of_two_tokens(&setback, unknown));
        Err(unknown.unwrap_or(setback))
    }

    /// Whether the request has different tokens where the providers of these setbacks look for
    /// theirs.
    fn are_of_two_tokens(&self, one: &Setback<'g>, other: &Setback<'g>) -> bool {
        let all = &self.gate.policy.providers;
        let providers = [one, other]
            .into_iter()
            .filter_map(|setback| all.get(setback.provider()?));
        let locations = providers.flat_map(|provider| &provider.locations);
        let found = extraction::find(locations, self.request);
        matches!(found, Err(Reason::TokenAmbiguous))
    }

    fn verify(
        &mut self,
        index: usize,
        requirement: &'g TokenRequirement,
    ) -> Result<Admission, Setback<'g>> {
        // The configuration admits only indices of providers; any other would refuse every request.
        let providers = &self.gate.policy.providers;
        let provider = providers.get(index).ok_or(Reason::NoRule)?;
        self.observer.provider(&provider.name);
        match self.check(index, provider, requirement) {
            Ok(pass) => {
                let admission = pass.admission;
                self.passes.push(pass);
                Ok(admission)
            }
            Err(setback) => Err(setback.about(index, Some(requirement))),
        }
    }

    /// Every step of the decision about one token, in the order of [`Step`].
    fn check(
        &mut self,
        index: usize,
        provider: &'g Provider,
        requirement: &TokenRequirement,
    ) -> Result<Pass<'g>, Setback<'g>> {
        let found = extraction::find(&provider.locations, self.request);
        let mut found = self.told(Step::Location, found)?;
        let candidate = if found.is_choice() {
            self.choose(index, provider, &mut found)?
        } else {
            self.candidate(index, provider, &found.token)?
        };
        let now = self.now_milliseconds();
        let by_request = ByRequest {
            provider,
            now: UnixTime::from_milliseconds(now),
        };
        let by_token = ByToken::open(&candidate, provider, requirement);
        if let Some(by_token) = &by_token {
            self.told(Step::Type, by_token.check_type())?;
        }
        let times = by_request.check_times(candidate.claims());
        self.told(Step::Times, times)?;
        if let Some(by_token) = by_token {
            candidate.keep(by_token.check_claims(&mut self.observer)?);
        }
        let proof = match self.check_possession(&by_request, &candidate, &found) {
            Ok(proof) => proof,
            Err(reason) => {
                // Verified once, however often it is sent by one who has stolen it.
                self.gate.verification.keep(candidate);
                return Err(reason.into());
            }
        };
        let (admission, token) = self.check_revocation(index, candidate, now)?;
        if let Some(sign_in) = &requirement.sign_in {
            // Last, since a new sign-in helps nothing of the rest.
            let (now, skew) = (UnixTime::from_milliseconds(now), provider.clock_skew);
            let checked = self.check_sign_in(sign_in, token.claims(), now, skew);
            checked.map_err(|reason| {
                let latest = token.claims().auth_time().map(|time| time.later_by(skew));
                Setback::of_sign_in(reason, latest)
            })?;
        }
        Ok(Pass {
            provider,
            index,
            found,
            token,
            proof,
            admission,
        })
    }

    /// Whether the request may use the token, by what it is bound to; its proof, if it has to have one.
    fn check_possession(
        &mut self,
        by_request: &ByRequest<'_>,
        candidate: &Candidate,
        found: &Found<'g>,
    ) -> Result<Option<Proof>, Reason> {
        let (host, provider) = (self.host, by_request.provider);
        let property = |path: &[&str]| host.property(path);
        let binding = by_request.check_binding(candidate, self.request, &property);
        let needs_proof = self.told(Step::Binding, binding)?;
        let Some(dpop) = provider.possession.dpop() else {
            return Ok(None);
        };
        let proof = self.check_proof(provider, dpop, needs_proof, candidate, found);
        self.told(Step::Proof, proof)
    }

    /// Whether the sender has shown that it has the key of the token, and has sent the token as one that is
    /// bound to a key if it is (RFC 9449 sections 4.3 and 7.1).
    fn check_proof(
        &self,
        provider: &Provider,
        dpop: &Dpop,
        is_needed: bool,
        candidate: &Candidate,
        found: &Found<'g>,
    ) -> Result<Option<Proof>, Reason> {
        if dpop::is_sent_as_bound(&found.locations) == Some(!is_needed) {
            return Err(Reason::SchemeMismatch);
        }
        if !is_needed {
            return Ok(None);
        }
        let verification = &self.gate.verification;
        let proofs = verification.proofs.as_ref();
        let proofs = proofs.ok_or(Reason::ProofsUnavailable)?;
        let presented = Presented {
            host: self.host,
            request: self.request,
            holder: candidate.holder(&found.token),
            claims: candidate.claims(),
            now: UnixTime::from_milliseconds(self.now_milliseconds()),
            clock_skew: provider.clock_skew,
            backend: verification.backend,
        };
        proofs.check(dpop, &presented).map(Some)
    }

    /// Uses the proofs of the tokens that were found good. A request is decided again after it has waited, so
    /// this comes when nothing can make it wait.
    fn use_proofs(&self) -> Result<(), Setback<'g>> {
        let Some(proofs) = &self.gate.verification.proofs else {
            return Ok(());
        };
        for (number, pass) in self.passes.iter().enumerate() {
            // One that two providers have looked at is used once.
            let mut before = self.passes.iter().take(number);
            if let Some(proof) = pass.proof
                && !before.any(|earlier| earlier.proof == pass.proof)
            {
                let noted = proofs.note(self.host, proof);
                noted.map_err(|reason| Setback::from(reason).about(pass.index, None))?;
            }
        }
        Ok(())
    }

    /// How, and how long ago, the user has signed in, as far as it is asked for.
    fn check_sign_in(
        &mut self,
        sign_in: &SignIn,
        claims: &Claims,
        now: UnixTime,
        skew: Duration,
    ) -> Result<(), Reason> {
        if sign_in.asks_for_strength() {
            self.told(Step::Strength, sign_in.check_strength(claims))?;
        }
        if sign_in.max_age.is_some() {
            self.told(Step::SignInAge, sign_in.check_age(claims, now, skew))?;
        }
        Ok(())
    }

    /// Checks whether the token was revoked, and gives it as it is kept from now on.
    fn check_revocation(
        &mut self,
        index: usize,
        candidate: Candidate,
        now: u64,
    ) -> Result<(Admission, Rc<KnownToken>), Setback<'g>> {
        let verification = &self.gate.verification;
        let checks = &self.answers.checks;
        let outcome = verification.check_revocation(self.host, index, candidate, now, checks);
        let is_checked = verification.revocations.is_some();
        match &outcome {
            Ok(_) if is_checked => self.observer.checked(Step::Revocation, None),
            Err(Setback::Refused(refusal)) => {
                let fault = Some(refusal.reason);
                self.observer.checked(Step::Revocation, fault);
            }
            Ok(_) | Err(Setback::Waits { .. }) => {}
        }
        outcome
    }

    /// The token with a good signature, verified earlier or now.
    fn candidate(
        &mut self,
        index: usize,
        provider: &Provider,
        token: &[u8],
    ) -> Result<Candidate, Setback<'g>> {
        let verification = &self.gate.verification;
        let id = verification.cache.id(index, token);
        if let Some(known) = verification.known(index, id) {
            return Ok(Candidate::Known(known));
        }
        let mut sought = Sought {
            token: id,
            key: None,
        };
        let verified = self.verified(index, provider, token, &mut sought);
        verified
            .map(Candidate::New)
            .map_err(|reason| self.lacking(index, provider, sought, reason))
    }

    /// The token, if a key that is in force has made its signature.
    fn verified(
        &mut self,
        index: usize,
        provider: &Provider,
        token: &[u8],
        sought: &mut Sought,
    ) -> Result<KnownToken, Reason> {
        let (verification, host) = (&self.gate.verification, self.host);
        // What the keys say was decided a moment ago, and would be the same now.
        if let Some(reason) = self.answer_of(sought.token) {
            self.told(Step::Keys, Err(reason))?;
        }
        let parsed = UnverifiedToken::parse_up_to(provider.max_token_bytes, token);
        let parsed = parsed.map_err(|error| Reason::from(&error));
        let parsed = self.told(Step::Form, parsed)?;
        if let KeySource::Remote(remote) = &provider.keys {
            sought.key = key_of(remote, &parsed);
        }
        let keys = verification.keys.get(index);
        let issuer = provider.check_issuer(parsed.unverified_claims());
        let issuer = issuer.map_err(|mismatch| match keys {
            Some(_) => mismatch,
            None => Reason::IssuerUndisclosed,
        });
        self.told(Step::Issuer, issuer)?;
        let keys = self.told(Step::Keys, keys.ok_or(Reason::KeysUnavailable))?;
        let verified = host.timed(|| parsed.verify(&keys, verification.backend, host));
        let verified = self.told(Step::Signature, verified.map_err(Reason::from))?;
        let token = KnownToken::new(sought.token, verified, &keys);
        Ok(token.named_by(provider.cut_off_by, provider.honours_status))
    }

    fn now_milliseconds(&self) -> u64 {
        *self
            .now_milliseconds
            .get_or_init(|| self.host.now_milliseconds())
    }

    fn told<T>(&mut self, step: Step, outcome: Result<T, Reason>) -> Result<T, Reason> {
        self.observer.checked(step, outcome.as_ref().err().copied());
        outcome
    }
}

/// The admission by two requirements that are both met: what is known of the weakest token counts,
/// and any token counts more than none.
fn together(earlier: Admission, next: Admission) -> Admission {
    match (earlier, next) {
        (Admission::RevocationUnknown, _) | (_, Admission::RevocationUnknown) => {
            Admission::RevocationUnknown
        }
        (Admission::Verified, _) | (_, Admission::Verified) => Admission::Verified,
        (_, next) => next,
    }
}

/// A static, since a token remembers the requirement that it has met by its address.
static PLAIN: TokenRequirement = TokenRequirement::PLAIN;
