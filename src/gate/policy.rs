//! The configuration, ready to use. Made by [`super::configuration`] only, so whatever is in here
//! has been checked.

use std::time::Duration;

use super::extraction::HeaderLocation;
use super::keys::KeySource;
use super::path;
use super::reason::Reason;
use super::revocation::RevocationSettings;
use super::session::{ClaimHeader, SessionHeaders};
use crate::time::UnixTime;
use crate::token::Claims;

/// Everything that the operator decided.
#[derive(Debug)]
pub struct Policy {
    pub(super) providers: Vec<Provider>,
    pub(super) rules: Vec<Rule>,
    pub(super) allow_unmatched: bool,
    pub(super) session_headers: Option<SessionHeaders>,
    pub(super) revocation: Option<RevocationSettings>,
    pub(super) realm: String,
    /// Names, in lower case with `-`, of every header that may be injected on any path.
    pub(super) injectable: Vec<String>,
}

/// Somebody who issues tokens.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) issuer: Option<String>,
    /// As [`comparable_audience`] gives them; empty when the audience is not checked.
    pub(super) audiences: Vec<String>,
    pub(super) keys: KeySource,
    pub(super) locations: Vec<HeaderLocation>,
    pub(super) forward: bool,
    pub(super) claim_headers: Vec<ClaimHeader>,
    pub(super) clock_skew: Duration,
    pub(super) require_expiration: bool,
}

/// Which requests a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Matcher {
    /// The path begins with these bytes, whether or not a segment ends there.
    Prefix(String),
    /// The path, without its query, is this.
    Path(String),
}

/// What a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Requirement {
    /// Nothing: the request goes through as it is.
    Nothing,
    /// A token of the provider with this place in [`Policy::providers`].
    Provider(usize),
}

/// One rule. The first that matches decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    pub(super) matcher: Matcher,
    pub(super) requirement: Requirement,
}

impl Matcher {
    fn matches(&self, path: &[u8]) -> bool {
        match self {
            Self::Prefix(prefix) => path.starts_with(prefix.as_bytes()),
            Self::Path(exact) => path == exact.as_bytes(),
        }
    }
}

impl Policy {
    /// Name and key source of every provider, in the order of their places.
    pub fn key_sources(&self) -> impl Iterator<Item = (&str, &KeySource)> {
        let providers = self.providers.iter();
        providers.map(|provider| (provider.name.as_str(), &provider.keys))
    }

    /// What is asked of a request for `path`, which is without its query; `None` when no rule
    /// matches.
    ///
    /// # Errors
    ///
    /// [`Reason::PathAmbiguous`] when the path and its normal form fall under different rules.
    pub(super) fn requirement(&self, path: &[u8]) -> Result<Option<Requirement>, Reason> {
        let rule = |path: &[u8]| {
            self.rules
                .iter()
                .position(|rule| rule.matcher.matches(path))
        };
        let normal = path::normal_form(path);
        let place = rule(&normal);
        if normal != path && rule(path) != place {
            return Err(Reason::PathAmbiguous);
        }
        Ok(place
            .and_then(|place| self.rules.get(place))
            .map(|rule| rule.requirement))
    }
}

impl Provider {
    /// Whether the token can be this provider's at all. Looked at before the signature is
    /// verified, since it saves the verification.
    pub(super) fn check_issuer(&self, unverified: &Claims) -> Result<(), Reason> {
        match &self.issuer {
            Some(issuer) if unverified.issuer() != Some(issuer) => Err(Reason::IssuerMismatch),
            _ => Ok(()),
        }
    }

    /// Times (RFC 7519 sections 4.1.4 and 4.1.5) and audience (section 4.1.3) of a token whose
    /// signature is good.
    pub(super) fn check_claims(&self, claims: &Claims, now: UnixTime) -> Result<(), Reason> {
        match claims.expires_at() {
            None if self.require_expiration => return Err(Reason::ExpirationMissing),
            Some(expiry) if now >= expiry.later_by(self.clock_skew) => {
                return Err(Reason::TokenExpired);
            }
            _ => {}
        }
        if claims
            .not_before()
            .is_some_and(|start| start > now.later_by(self.clock_skew))
        {
            return Err(Reason::TokenNotYetValid);
        }
        let is_expected = |audience: &str| {
            let audience = comparable_audience(audience);
            self.audiences.iter().any(|expected| expected == audience)
        };
        if !self.audiences.is_empty() && !claims.audiences().any(is_expected) {
            return Err(Reason::AudienceMismatch);
        }
        Ok(())
    }
}

/// An audience as `jwt_authn` compares it: without `http://` or `https://` before it and without
/// one `/` at its end. Kept, since configurations rely on it, and harmless, since it is the
/// issuer who writes audiences.
pub(super) fn comparable_audience(audience: &str) -> &str {
    let bare = audience
        .strip_prefix("https://")
        .or_else(|| audience.strip_prefix("http://"))
        .unwrap_or(audience);
    bare.strip_suffix('/').unwrap_or(bare)
}
