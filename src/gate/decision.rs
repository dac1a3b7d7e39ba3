//! Whether a request has what is asked of it.
//!
//! One [`Decision`] walks one requirement. It keeps the tokens that were found good, and tells an
//! [`Observer`] about every check: nobody while the gate is at work, the command line when it
//! explains.

mod choice;
mod failure;
mod observer;
mod waiting;

use std::cell::OnceCell;
use std::rc::Rc;

pub(super) use failure::Failure;
pub use observer::{Check, Observer};
pub(super) use waiting::Sought;

use super::extraction::{self, Found, Stripped};
use super::keys::KeySource;
use super::policy::{Alternatives, Otherwise, Provider, Requirement, TokenRequirement};
use super::reason::{Admission, Reason};
use super::request::Request;
use super::session;
use super::token_cache::Admitted;
use super::verification::{Candidate, Objection};
use super::{Answers, Attempt, Gate};
use crate::host::Host;
use crate::time::UnixTime;
use crate::token::{Claims, UnverifiedToken};
use waiting::key_of;

/// A token that was found good.
pub(super) struct Pass<'g> {
    pub(super) provider: &'g Provider,
    pub(super) found: Found<'g>,
    pub(super) token: Rc<Admitted>,
    admission: Admission,
}

impl Pass<'_> {
    /// What is taken out of the request: the token, or where that goes on, the other cookies of its
    /// name, of which the upstream might read one.
    fn stripped(&self) -> impl Iterator<Item = Stripped<'_>> {
        let kept = self.provider.forward.then_some(&*self.found.token);
        let has_any = kept.is_none() || self.found.is_choice();
        let places = self.found.places.iter().filter(move |_| has_any);
        places.map(move |place| (*place, kept))
    }
}

/// Tries the alternative with this place.
type Meet<'m, 'g, D> = dyn Fn(&mut D, usize) -> Result<Admission, Failure<'g>> + 'm;

/// One request on its way through one requirement.
pub(super) struct Decision<'g, H, O> {
    pub(super) gate: &'g Gate,
    pub(super) host: &'g H,
    pub(super) request: &'g Request,
    pub(super) attempt: Attempt,
    /// One look at the clock, for everything that is decided about the request.
    pub(super) now_milliseconds: OnceCell<u64>,
    /// What has come of all waiting so far.
    pub(super) answers: &'g Answers,
    pub(super) observer: O,
    pub(super) passes: Vec<Pass<'g>>,
    /// The token for which a key was looked for last.
    pub(super) sought: Sought,
}

impl<'g, H: Host, O: Observer> Decision<'g, H, O> {
    /// Whether the request meets the requirement, and how. What was found good is in `passes`.
    pub(super) fn meet(&mut self, requirement: &'g Requirement) -> Result<Admission, Failure<'g>> {
        match requirement {
            Requirement::Nothing => Ok(Admission::NoRequirement),
            Requirement::Token(token) => self.authenticate(token),
            Requirement::Any(alternatives) => self.any(alternatives),
            Requirement::All(requirements) => {
                let mut admission = Admission::NoRequirement;
                for requirement in requirements {
                    let next = self.meet(requirement)?;
                    admission = together(admission, next);
                }
                Ok(admission)
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
                    Err(failure) if failure.wait.is_none() => Ok(Admission::TokenIgnored),
                    outcome => outcome,
                }
            }
        }
    }

    fn any(&mut self, alternatives: &'g Alternatives) -> Result<Admission, Failure<'g>> {
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
        let failure = match outcome {
            Err(failure) => failure,
            admitted => return admitted,
        };
        if otherwise == Otherwise::Refuse || failure.wait.is_some() {
            return Err(failure);
        }
        match self.token_of(&alternatives.providers) {
            Err(Reason::TokenMissing) => Ok(Admission::NoToken),
            _ if otherwise == Otherwise::AllowMissingOrFailed => Ok(Admission::TokenIgnored),
            _ => Err(failure),
        }
    }

    /// Whether there is one token in all the places of these providers.
    fn token_of(&self, providers: &[usize]) -> Result<(), Reason> {
        let all = &self.gate.policy.providers;
        let providers = providers.iter().filter_map(|place| all.get(*place));
        let places = providers.flat_map(|provider| &provider.locations);
        extraction::find(places, self.request).map(|_| ())
    }

    /// Whether one of these providers calls the token good.
    fn first_of(&mut self, providers: &'g [usize]) -> Result<Admission, Failure<'g>> {
        self.first_met(providers, providers.len(), &|decision, alternative| {
            let place = providers.get(alternative).ok_or(Reason::NoRule)?;
            decision.verify(*place, &PLAIN)
        })
    }

    /// The first of several alternatives that is met; or else why none is, by the failure that says
    /// most. What one of them says of its token is no answer to another token, of which nobody
    /// knows yet whether it is good. These are the providers of all alternatives.
    fn first_met(
        &mut self,
        providers: &[usize],
        alternatives: usize,
        meet: &Meet<'_, 'g, Self>,
    ) -> Result<Admission, Failure<'g>> {
        let mut failure: Option<Failure<'_>> = None;
        let mut unknown: Option<Failure<'_>> = None;
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
            let (more, less) = next.beside(failure);
            unknown = unknown.or(less.filter(Failure::is_unknown));
            failure = Some(more);
        }
        // The configuration admits no empty lists; if that were ever wrong, nobody would pass.
        let failure = failure.unwrap_or(Reason::NoRule.into());
        let unknown = unknown
            .filter(|unknown| !failure.is_unknown() && self.are_of_two_tokens(&failure, unknown));
        Err(unknown.unwrap_or(failure))
    }

    /// Whether the request has different tokens where these providers look for theirs.
    fn are_of_two_tokens(&self, one: &Failure<'g>, other: &Failure<'g>) -> bool {
        let providers = [one, other]
            .into_iter()
            .filter_map(|failure| failure.provider);
        let places = providers.flat_map(|provider| &provider.locations);
        let found = extraction::find(places, self.request);
        matches!(found, Err(Reason::TokenAmbiguous))
    }

    fn authenticate(
        &mut self,
        requirement: &'g TokenRequirement,
    ) -> Result<Admission, Failure<'g>> {
        self.verify(requirement.provider, requirement)
    }

    fn verify(
        &mut self,
        place: usize,
        requirement: &'g TokenRequirement,
    ) -> Result<Admission, Failure<'g>> {
        // The configuration admits no other places than those of providers; if that were ever
        // wrong, nobody would pass.
        let providers = &self.gate.policy.providers;
        let provider = providers.get(place).ok_or(Reason::NoRule)?;
        self.observer.provider(&provider.name);
        match self.check(place, provider, requirement) {
            Ok(pass) => {
                let admission = pass.admission;
                self.passes.push(pass);
                Ok(admission)
            }
            Err(objection) => Err(Failure {
                requirement: Some(requirement),
                ..self.failure(place, provider, objection)
            }),
        }
    }

    /// Every check of one token, in the order of [`Check`].
    fn check(
        &mut self,
        place: usize,
        provider: &'g Provider,
        requirement: &TokenRequirement,
    ) -> Result<Pass<'g>, Objection> {
        let found = extraction::find(&provider.locations, self.request);
        let mut found = self.told(Check::Location, found)?;
        let candidate = if found.is_choice() {
            self.choose(place, provider, &mut found)?
        } else {
            self.candidate(place, provider, &found.token)?
        };
        let token = candidate.token();
        let claims = token.claims();
        let now = self.now_milliseconds();
        // What does not depend on the time is as it was when the token last came this way.
        let is_known_to_meet = candidate.admitted.meets(requirement);
        if !is_known_to_meet {
            self.told(Check::Type, requirement.check_type(token))?;
        }
        let times = provider.check_times(claims, UnixTime::from_milliseconds(now));
        self.told(Check::Times, times)?;
        if !is_known_to_meet {
            self.check_claims(provider, requirement, claims)?;
            candidate.admitted.found_to_meet(requirement);
        }
        let verification = &self.gate.verification;
        let outcome =
            verification.unrevoked(self.host, candidate, now, &self.answers.confirmations);
        let (admission, token) = match outcome {
            Err(Objection::Refused(reason)) => self.told(Check::Revocation, Err(reason))?,
            outcome => outcome?,
        };
        if verification.revocations.is_some() {
            self.told(Check::Revocation, Ok(()))?;
        }
        Ok(Pass {
            provider,
            found,
            token,
            admission,
        })
    }

    /// The token with a good signature: verified earlier, or now.
    fn candidate(
        &mut self,
        place: usize,
        provider: &Provider,
        token: &[u8],
    ) -> Result<Candidate, Reason> {
        let (verification, host) = (&self.gate.verification, self.host);
        let id = verification.cache.key(place, token);
        if let Some(known) = verification.known(place, id) {
            return Ok(known);
        }
        self.sought = Sought {
            token: id,
            key: None,
        };
        // It was decided a moment ago what the keys say, and would come out the same.
        if let Some(reason) = self.answer_of(id) {
            self.told(Check::Keys, Err(reason))?;
        }
        let parsed = UnverifiedToken::parse_up_to(provider.max_token_bytes, token);
        let parsed = parsed.map_err(|error| Reason::from(&error));
        let parsed = self.told(Check::Form, parsed)?;
        if let KeySource::Remote(remote) = &provider.keys {
            self.sought.key = key_of(remote, &parsed);
        }
        let keys = verification.keys.get(place);
        let issuer = provider.check_issuer(parsed.unverified_claims());
        let issuer = issuer.map_err(|mismatch| match keys {
            Some(_) => mismatch,
            None => Reason::IssuerUndisclosed,
        });
        self.told(Check::Issuer, issuer)?;
        let keys = self.told(Check::Keys, keys.ok_or(Reason::KeysUnavailable))?;
        let verified = host.timed(|| parsed.verify(&keys, verification.backend, host));
        let verified = self.told(Check::Signature, verified.map_err(Reason::from))?;
        Ok(Candidate::verified(id, verified, keys))
    }

    /// The checks of claims that come out the same whenever they are made.
    fn check_claims(
        &mut self,
        provider: &Provider,
        requirement: &TokenRequirement,
        claims: &Claims,
    ) -> Result<(), Reason> {
        let audience = provider.check_audience(claims, requirement.audiences.as_deref());
        self.told(Check::Audience, audience)?;
        self.told(Check::Subject, provider.check_subject(claims))?;
        self.told(Check::Binding, provider.check_binding(claims))?;
        self.told(Check::Scopes, requirement.check_scopes(claims))?;
        self.told(Check::Claims, requirement.check_conditions(claims))
    }

    fn now_milliseconds(&self) -> u64 {
        *self
            .now_milliseconds
            .get_or_init(|| self.host.now_milliseconds())
    }

    fn told<T>(&mut self, check: Check, outcome: Result<T, Reason>) -> Result<T, Reason> {
        self.observer
            .checked(check, outcome.as_ref().err().copied());
        outcome
    }

    /// Tells the upstream who is calling, and takes the tokens out of the request.
    pub(super) fn admit(&mut self) -> Result<(), Failure<'g>> {
        // All of them can be made before the first one is set: a request is refused as it came.
        for (place, pass) in self.passes.iter().enumerate() {
            let made = self.headers(place, pass).map(|_| ());
            self.gate.verification.cache.weigh(&pass.token);
            self.observer.checked(Check::Headers, made.err());
            made.map_err(|reason| Failure {
                provider: Some(pass.provider),
                ..Failure::from(reason)
            })?;
        }
        extraction::strip(
            self.host,
            self.request,
            self.passes.iter().flat_map(Pass::stripped),
        );
        for (place, pass) in self.passes.iter().enumerate() {
            for (name, value) in self.headers(place, pass).into_iter().flatten() {
                self.host.set_request_header(name, value.as_bytes());
            }
        }
        for pass in &self.passes {
            for entry in &pass.provider.filter_state {
                if let Some(value) = pass.token.claims().at(&entry.path) {
                    let value = session::loggable(value);
                    self.host.set_filter_state(&entry.name, value.as_bytes());
                }
            }
        }
        Ok(())
    }

    /// The headers that one of the passes puts into the request. The first token is the one of
    /// the session.
    fn headers<'p>(
        &self,
        place: usize,
        pass: &'p Pass<'g>,
    ) -> Result<impl Iterator<Item = (&'p str, &'p str)>, Reason>
    where
        'g: 'p,
    {
        let Pass {
            provider,
            found,
            token,
            ..
        } = pass;
        let claims = token.claims();
        let of_provider = token
            .injections
            .of_provider(provider, &found.token, claims)?;
        let session = self.gate.policy.session_headers.as_ref();
        let session = session.filter(|_| place == 0);
        let of_session =
            session.map(|session| token.injections.of_session(session, provider, claims));
        Ok(of_provider.chain(of_session.transpose()?.into_iter().flatten()))
    }
}

/// Nothing but what the provider asks for itself.
static PLAIN: TokenRequirement = TokenRequirement {
    provider: 0,
    audiences: None,
    scopes: super::policy::Scopes {
        all_of: Vec::new(),
        any_of: Vec::new(),
    },
    claims: Vec::new(),
    types: Vec::new(),
};

/// What two requirements that are both met come to: what is known of the weakest token counts,
/// and a token counts more than none.
fn together(earlier: Admission, next: Admission) -> Admission {
    match (earlier, next) {
        (Admission::RevocationUnknown, _) | (_, Admission::RevocationUnknown) => {
            Admission::RevocationUnknown
        }
        (Admission::Verified, _) | (_, Admission::Verified) => Admission::Verified,
        (_, next) => next,
    }
}
