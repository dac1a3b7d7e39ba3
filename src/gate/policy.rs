//! The configuration, ready to use. Made by [`super::configuration`] only, so whatever is in here
//! has been checked.

mod activity;
mod bound_claim;
mod conditions;
mod headers;
mod possession;
mod provider;
mod requirement;
mod sign_in;
mod streams;

use std::cell::OnceCell;
use std::rc::Rc;

pub(super) use activity::{ActivityRules, Detail, StreamUse};
pub(super) use bound_claim::{BoundClaim, BoundTo};
pub(super) use conditions::{ClaimCondition, ClaimTest, Words};
pub(super) use headers::{ClaimHeader, Form, PayloadHeader, SessionHeaders, Unfit};
pub(super) use possession::{
    Binding, Dpop, Forwarders, Nonces, Possession, Property, Verified, bound_key,
};
pub(super) use provider::{FilterStateClaim, IssuedAhead, Provider, comparable_audience};
pub(super) use requirement::{Alternatives, Otherwise, Requirement, TokenRequirement};
pub(super) use sign_in::{SIGN_IN_PARAMETERS, SignIn, text_of};
pub use streams::{StreamRule, StreamRules};

use super::matching::Matcher;
use super::own_headers::OwnHeaders;
use super::path;
use super::reason::Reason;
use super::refusal::RefusalSettings;
use super::request::Request;
use super::revocation::{Posture, RevocationSettings};
use super::session_routes::SessionRoutes;
use super::text::{MAX_PATTERN_TEXT_BYTES, TooLong};
use crate::host::Host;
use crate::keys::KeySource;
use crate::namespace::RecordSecret;

/// Everything that the operator decided.
#[derive(Debug)]
pub struct Policy {
    pub(super) providers: Vec<Provider>,
    pub(super) rules: Vec<Rule>,
    pub(super) routes: Routes,
    pub(super) filter_state_rules: Option<FilterStateRules>,
    pub(super) allow_unmatched: bool,
    pub(super) bypass_cors_preflight: bool,
    pub(super) session_headers: Option<SessionHeaders>,
    pub(super) revocation: Option<RevocationSettings>,
    pub(super) streams: StreamRules,
    pub(super) session_routes: Option<SessionRoutes>,
    pub(super) activity: Option<ActivityRules>,
    pub(super) record_secret: RecordSecret,
    pub(super) refusals: RefusalSettings,
    /// The headers that only the gate may set, on any path.
    pub(super) own_headers: OwnHeaders,
}

/// One rule. The first that matches decides.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) matcher: Matcher,
    pub(super) requirement: Rc<Requirement>,
}

/// Requirements that the route chooses, before any rule is looked at: what `PerRouteConfig` is
/// for `jwt_authn`.
#[derive(Debug, Default)]
pub(super) struct Routes {
    /// `requirement_map`.
    pub(super) requirements: Vec<(String, Rc<Requirement>)>,
    /// By the name of the route.
    pub(super) by_name: Vec<(String, Rc<Requirement>)>,
    /// Whether the route's metadata may name a requirement.
    pub(super) by_metadata: bool,
}

/// `filter_state_rules`: what an earlier filter has put into the filter state chooses the
/// requirement of a request that no rule matches.
#[derive(Debug)]
pub(super) struct FilterStateRules {
    /// The name of the object there.
    pub(super) name: String,
    /// By its text.
    pub(super) requirements: Vec<(String, Rc<Requirement>)>,
}

impl FilterStateRules {
    fn requirement(&self, host: &impl Host) -> Option<&Rc<Requirement>> {
        let found = host.property(&["filter_state", &self.name]);
        let found = found.filter(|text| !text.is_empty())?;
        let mut requirements = self.requirements.iter();
        let chosen = requirements.find(|(value, _)| *value.as_bytes() == *found);
        chosen.map(|(_, requirement)| requirement)
    }
}

/// Which part of the configuration decides about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The rule with this index.
    Rule(usize),
    /// The route.
    Route,
    /// The filter state.
    FilterState,
    /// Nothing does.
    Nothing,
}

/// Where the metadata of a route names its requirement.
const METADATA: [&str; 5] = [
    "xds",
    "route_metadata",
    "filter_metadata",
    "portcullis",
    "requirement_name",
];

/// The metadata of a route that are meant for the gate.
const METADATA_OF_THE_GATE: [&str; 4] = ["xds", "route_metadata", "filter_metadata", "portcullis"];

impl Routes {
    /// Whether a route may choose the requirement.
    pub(super) const fn choose(&self) -> bool {
        self.by_metadata || !self.by_name.is_empty()
    }

    /// The requirement that the route chooses.
    ///
    /// # Errors
    ///
    /// [`Reason::RequirementUnknown`] when it names one that is not configured, or has metadata for
    /// the gate that name none: `null`, which a template leaves where its value is missing, or
    /// another key.
    fn requirement(&self, host: &impl Host) -> Result<Option<&Rc<Requirement>>, Reason> {
        let named = |list: &'_ [(String, Rc<Requirement>)], name: &[u8]| {
            let mut list = list.iter();
            list.position(|(known, _)| !name.is_empty() && known.as_bytes() == name)
        };
        let in_metadata = || {
            let name = host.property(&METADATA);
            name.or_else(|| host.property(&METADATA_OF_THE_GATE).map(|_| Vec::new()))
        };
        if self.by_metadata
            && let Some(name) = in_metadata()
        {
            let index = named(&self.requirements, &name).ok_or(Reason::RequirementUnknown)?;
            return Ok(self.requirements.get(index).map(|(_, chosen)| chosen));
        }
        if !self.by_name.is_empty()
            && let Some(name) = host.property(&["xds", "route_name"])
            && let Some(index) = named(&self.by_name, &name)
        {
            return Ok(self.by_name.get(index).map(|(_, chosen)| chosen));
        }
        Ok(None)
    }
}

impl Policy {
    /// The policy without its revocation feed, to see what it decides without one; says whether
    /// there was one.
    #[must_use]
    pub fn without_feed(mut self) -> (Self, bool) {
        let revocation = self.revocation.as_mut();
        let has_revocation = revocation
            .map(|revocation| revocation.on_missing_feed = Posture::Allow)
            .is_some();
        self.activity = None;
        (self, has_revocation)
    }

    /// The policy with which any nonce of a proof counts, to see what it decides where those of the edge are not
    /// known.
    #[must_use]
    pub fn without_nonces(mut self) -> Self {
        for provider in &mut self.providers {
            provider.possession.forget_nonces();
        }
        self
    }

    /// Whether it matters for some requests how their users have signed in.
    pub(super) fn asks_for_sign_in(&self) -> bool {
        let by_rule = self.rules.iter().map(|rule| &rule.requirement);
        let by_filter_state = self.filter_state_rules.iter();
        let by_filter_state = by_filter_state.flat_map(|rules| &rules.requirements);
        let routes = &self.routes;
        let named = routes.requirements.iter().chain(&routes.by_name);
        let named = named
            .chain(by_filter_state)
            .map(|(_, requirement)| requirement);
        let mut all = by_rule.chain(named);
        all.any(|requirement| requirement.asks_for_sign_in(false))
    }

    /// Whether there is a revocation feed.
    #[must_use]
    pub const fn has_feed(&self) -> bool {
        self.revocation.is_some()
    }

    /// Where a browser is sent that has signed its user out by a form.
    pub(super) fn end_session_redirect(&self) -> Option<&str> {
        let sign_out = self.session_routes.as_ref()?.sign_out.as_ref()?;
        sign_out.end_session_redirect.as_deref()
    }

    /// What becomes of requests in progress whose token ends.
    #[must_use]
    pub const fn streams(&self) -> StreamRules {
        self.streams
    }

    /// Whether the authority is told which sessions are in use.
    #[must_use]
    pub const fn reports_activity(&self) -> bool {
        self.activity.is_some()
    }

    /// The secret that seals records in shared data.
    #[must_use]
    pub const fn record_secret(&self) -> &RecordSecret {
        &self.record_secret
    }

    /// Name and key source of every provider, in the order of their indices.
    pub fn key_sources(&self) -> impl Iterator<Item = (&str, &KeySource)> {
        let providers = self.providers.iter();
        providers.map(|provider| (provider.name.as_str(), &provider.keys))
    }

    /// What is required of a request, and what says so; `None` when nothing does.
    ///
    /// # Errors
    ///
    /// [`Reason::PathAmbiguous`] when the path can be read as one that falls under another rule, as
    /// another session route, or as one with `..` where a route decides; [`Reason::RequestTooLong`] when a text that has to
    /// be compared with a pattern is too long for it, or all of them together are;
    /// [`Reason::RequirementUnknown`] when the route names a requirement that is not configured.
    pub(super) fn requirement(
        &self,
        host: &impl Host,
        request: &Request,
    ) -> Result<(Chosen, Option<&Requirement>), Reason> {
        let by_route = self.routes.requirement(host)?;
        let sent = request.path();
        let is_plain = sent.is_none_or(path::is_normal);
        if is_plain && let Some(requirement) = by_route {
            return Ok((Chosen::Route, Some(requirement)));
        }
        let index = if is_plain {
            self.rule(sent, request, |_, rule| {
                rule.matcher.matches_beside_the_path(request)
            })?
        } else {
            self.only_rule(sent.unwrap_or_default(), request, by_route.is_some())?
        };
        if let Some(requirement) = by_route {
            return Ok((Chosen::Route, Some(requirement)));
        }
        let chosen = index.and_then(|index| Some((index, self.rules.get(index)?)));
        if let Some((index, rule)) = chosen {
            return Ok((Chosen::Rule(index), Some(&rule.requirement)));
        }
        let by_filter_state = self.filter_state_rules.as_ref();
        Ok(
            match by_filter_state.and_then(|rules| rules.requirement(host)) {
                Some(requirement) => (Chosen::FilterState, Some(requirement)),
                None => (Chosen::Nothing, None),
            },
        )
    }

    /// The index of the first rule for a request, read with this path. `beside` says whether
    /// everything except the path matches the rule.
    fn rule(
        &self,
        path: Option<&[u8]>,
        request: &Request,
        beside: impl Fn(usize, &Rule) -> Result<bool, TooLong>,
    ) -> Result<Option<usize>, TooLong> {
        for (index, rule) in self.rules.iter().enumerate() {
            if rule.matcher.path.matches(path, request)? && beside(index, rule)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// The same where the path can be read in several ways, all of which have to fall under the
    /// same rule, and have to be the same session route or none. What the routes match is not known here, so where one of them decides, no reading
    /// may climb out of its path.
    ///
    /// Patterns are expensive: no header is compared with one again for every reading, and all
    /// readings together may be as long as one path may.
    fn only_rule(
        &self,
        sent: &[u8],
        request: &Request,
        is_by_route: bool,
    ) -> Result<Option<usize>, Reason> {
        let known: Vec<OnceCell<Result<bool, TooLong>>> =
            self.rules.iter().map(|_| OnceCell::new()).collect();
        let beside = |index: usize, rule: &Rule| {
            let matches = || rule.matcher.matches_beside_the_path(request);
            known
                .get(index)
                .map_or_else(matches, |known| *known.get_or_init(matches))
        };
        let index = self.rule(Some(sent), request, beside)?;
        let has_patterns = self.rules.iter().any(|rule| rule.matcher.path.is_pattern());
        let max_bytes = if has_patterns {
            MAX_PATTERN_TEXT_BYTES
        } else {
            path::readings::MAX_BYTES
        };
        let mut objection = Reason::PathAmbiguous;
        let is_same = |reading: &[u8]| {
            let is_known = reading == sent
                || match self.rule(Some(reading), request, beside) {
                    Ok(other) => other == index,
                    Err(too_long) => {
                        objection = too_long.into();
                        false
                    }
                };
            let routes = self.session_routes.as_ref();
            is_known
                && !(is_by_route && path::climbs(reading))
                && routes.is_none_or(|routes| routes.are_alike(sent, reading))
        };
        if path::readings::all_within(max_bytes, sent, is_same) {
            Ok(index)
        } else {
            Err(objection)
        }
    }
}
