//! Challenges, which tell a client how to authenticate (RFC 9110 section 11.3).

use std::borrow::Cow;

use super::{Needed, RefusalSettings};
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
}

impl<'c> Challenge<'c> {
    /// The challenge that goes with a problem (RFC 6750 section 3, RFC 9470 section 3), if one does.
    /// `needed` is what the token lacks, as far as the client is told.
    pub(super) fn of(
        problem: &Problem,
        needed: Option<Needed<'_>>,
        settings: &'c RefusalSettings,
    ) -> Option<Self> {
        if problem.challenge == ChallengeKind::Absent {
            return None;
        }
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
        Some(Self {
            scheme: Scheme::Bearer,
            parameters,
        })
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
        }
    }
}
