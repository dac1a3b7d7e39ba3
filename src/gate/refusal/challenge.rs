//! Challenges, which tell a client how to authenticate (RFC 9110 section 11.3).

use std::borrow::Cow;

use super::{Asked, Needed, RefusalSettings};
use crate::gate::dpop::SCHEME;
use crate::gate::policy::text_of;
use crate::gate::reason::{ChallengeKind, Problem};

/// A challenge. Its values come from the configuration, which has checked that they need no escape
/// in a quoted string, and from [`Problem`], for which a test checks the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Challenge<'c> {
    scheme: Scheme,
    parameters: Vec<(&'static str, Cow<'c, str>)>,
}

/// An authentication scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// RFC 6750.
    Bearer,
    /// RFC 9449.
    Dpop,
}

impl<'c> Challenge<'c> {
    /// The challenges that go with a problem (RFC 6750 section 3, RFC 9449 section 7.1, RFC 9470 section 3), the
    /// first of which says what is wrong.
    pub(super) fn of(
        problem: &Problem,
        asked: Asked<'_>,
        settings: &'c RefusalSettings,
    ) -> impl Iterator<Item = Self> {
        let Asked { needed, proofs } = asked;
        let is_there = problem.challenge != ChallengeKind::Absent;
        let is_about_proof =
            problem.challenge.is_about_proof() || proofs.is_some_and(|asked| asked.is_required);
        let mut first = is_there.then(|| Self::first(problem, needed, settings));
        let mut also = None;
        if let (Some(first), Some(asked)) = (&mut first, proofs) {
            let algorithms = ("algs", Cow::Owned(asked.algorithms()));
            if is_about_proof {
                first.scheme = Scheme::Dpop;
                first.parameters.push(algorithms);
            } else {
                also = Some(Self {
                    scheme: Scheme::Dpop,
                    parameters: vec![("realm", Cow::Borrowed(&*settings.realm)), algorithms],
                });
            }
        }
        first.into_iter().chain(also)
    }

    fn first(problem: &Problem, needed: Option<Needed<'_>>, settings: &'c RefusalSettings) -> Self {
        let mut parameters = vec![("realm", Cow::Borrowed(&*settings.realm))];
        if let Some(code) = problem.challenge.error() {
            parameters.push(("error", code.into()));
            parameters.push(("error_description", problem.detail.into()));
        }
        match needed {
            Some(Needed::Scopes(scopes)) => parameters.push(("scope", scopes.needed().into())),
            Some(Needed::SignIn(sign_in)) => {
                let asked = sign_in.parameters();
                let asked = asked.map(|(name, value)| (name, text_of(&value).into_owned().into()));
                parameters.extend(asked);
            }
            None => {}
        }
        let metadata = settings.resource_metadata.as_deref();
        parameters.extend(metadata.map(|url| ("resource_metadata", url.into())));
        Self {
            scheme: Scheme::Bearer,
            parameters,
        }
    }

    /// The value of `WWW-Authenticate`.
    pub(super) fn header_value(&self) -> String {
        let mut value = self.scheme.name().to_owned();
        let mut separator = " ";
        for (name, parameter) in &self.parameters {
            value.extend([separator, name, "=\"", parameter, "\""]);
            separator = ", ";
        }
        value
    }
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => SCHEME,
        }
    }
}
