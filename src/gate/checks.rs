//! The checks of a verified token, of two kinds.
//!
//! [`ByToken`] checks what depends on the token and the requirement alone. It comes out the same
//! for every request, so its outcome, a [`Met`], may be kept with the token. [`ByRequest`] checks
//! what depends on the request or on the time, and is made for every request.
//!
//! # What stops a check by request from being kept with the token?
//!
//! A token keeps a [`Met`] and nothing else. Only [`ByToken::check_claims`] makes one, and a
//! [`ByToken`] has neither the request nor the time at hand.

use super::decision::{Observer, Step};
use super::policy::{Property, Provider, TokenRequirement};
use super::reason::Reason;
use super::request::Request;
use super::token_cache::KnownToken;
use crate::time::UnixTime;
use crate::token::{Claims, VerifiedToken};

/// The checks whose outcome depends on the token and the requirement alone.
pub(super) struct ByToken<'c> {
    token: &'c VerifiedToken,
    provider: &'c Provider,
    requirement: &'c TokenRequirement,
}

/// Proof that a token has passed the checks by token of one requirement, which is identified by its
/// address: that does not change while the gate exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Met(*const TokenRequirement);

/// The checks that are made for every request.
pub(super) struct ByRequest<'c> {
    pub(super) provider: &'c Provider,
    pub(super) now: UnixTime,
}

impl<'c> ByToken<'c> {
    /// The checks of this requirement; `None` if the token is known to have passed them.
    pub(super) fn open(
        token: &'c KnownToken,
        provider: &'c Provider,
        requirement: &'c TokenRequirement,
    ) -> Option<Self> {
        let is_open = token.met() != Some(Met(requirement));
        is_open.then_some(Self {
            token: token.token(),
            provider,
            requirement,
        })
    }

    /// `typ`.
    pub(super) fn check_type(&self) -> Result<(), Reason> {
        self.requirement.check_type(self.token)
    }

    /// The remaining ones, after which the token may keep that it has passed.
    pub(super) fn check_claims(self, observer: &mut impl Observer) -> Result<Met, Reason> {
        let claims = self.token.claims();
        let mut told = |step, outcome: Result<(), Reason>| {
            observer.checked(step, outcome.err());
            outcome
        };
        let audiences = self.requirement.audiences.as_deref();
        let audience = self.provider.check_audience(claims, audiences);
        told(Step::Audience, audience)?;
        told(Step::Subject, self.provider.check_subject(claims))?;
        told(Step::Scopes, self.requirement.check_scopes(claims))?;
        told(Step::Claims, self.requirement.check_conditions(claims))?;
        Ok(Met(self.requirement))
    }
}

impl ByRequest<'_> {
    /// `exp`, `nbf` and `iat` against the clock.
    pub(super) fn check_times(&self, claims: &Claims) -> Result<(), Reason> {
        self.provider.check_times(claims, self.now)
    }

    /// Whether the request may use the token, by what it is bound to. Whether a proof of its key has to come
    /// with it.
    pub(super) fn check_binding(
        &self,
        token: &KnownToken,
        request: &Request,
        property: Property<'_>,
    ) -> Result<bool, Reason> {
        let (claims, possession) = (token.claims(), &self.provider.possession);
        let needs_proof = possession.check(token.binding(), claims, request, property)?;
        let mut bound = self.provider.bound_claims.iter();
        if bound.all(|claim| claim.holds(claims, request, property)) {
            Ok(needs_proof)
        } else {
            Err(Reason::BoundClaimMismatch)
        }
    }
}
