//! Challenges, which tell a client how to authenticate (RFC 9110 section 11.3).

use std::borrow::Cow;

use super::{Asked, AskedProof, Needed, RefusalSettings};
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
    ) -> Vec<Self> {
        let kind = problem.challenge;
        if kind == ChallengeKind::Absent {
            return Vec::new();
        }
        let first = Self::first(problem, asked.needed, settings);
        let Some(proofs) = asked.proofs else {
            return vec![first];
        };
        // A token that is bound to no key came under `DPoP`: it is good under the other scheme.
        let is_good_as_bearer = kind == ChallengeKind::InvalidTokenOfProof && proofs.is_under_dpop;
        if proofs.is_key_required || (kind.is_about_proof() && !is_good_as_bearer) {
            return vec![first.for_proofs(proofs)];
        }
        let plain = Self {
            scheme: Scheme::Bearer,
            parameters: std::iter::once(settings.realm())
                .chain(settings.metadata())
                .collect(),
        };
        if proofs.is_under_dpop {
            vec![first.for_proofs(proofs), plain]
        } else {
            vec![first, plain.for_proofs(proofs)]
        }
    }

    /// The same for a token that is bound to a key.
    fn for_proofs(mut self, proofs: &AskedProof<'_>) -> Self {
        self.scheme = Scheme::Dpop;
        self.parameters.push(("algs", proofs.algorithms().into()));
        self
    }

    fn first(problem: &Problem, needed: Option<Needed<'_>>, settings: &'c RefusalSettings) -> Self {
        let mut parameters = vec![settings.realm()];
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
        parameters.extend(settings.metadata());
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

impl RefusalSettings {
    fn realm(&self) -> (&'static str, Cow<'_, str>) {
        ("realm", Cow::Borrowed(&*self.realm))
    }

    fn metadata(&self) -> Option<(&'static str, Cow<'_, str>)> {
        let url = self.resource_metadata.as_deref()?;
        Some(("resource_metadata", url.into()))
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
