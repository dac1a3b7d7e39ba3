//! An issuer of tokens as it is configured, and what each of its tokens has to be.

use std::time::Duration;

use super::bound_claim::BoundClaim;
use super::headers::{ClaimHeader, PayloadHeader};
use super::possession::Possession;
use crate::gate::extraction::Location;
use crate::gate::reason::Reason;
use crate::gate::text::TextMatcher;
use crate::keys::KeySource;
use crate::revocation::CutOffBy;
use crate::time::UnixTime;
use crate::token::Claims;

/// An issuer of tokens as it is configured.
#[derive(Debug)]
pub(in crate::gate) struct Provider {
    pub(in crate::gate) name: String,
    pub(in crate::gate) issuer: Option<String>,
    /// What `iss` has to match, if several issuers share their keys.
    pub(in crate::gate) issuer_pattern: Option<TextMatcher>,
    /// As [`comparable_audience`] gives them; empty when the audience is not checked.
    pub(in crate::gate) audiences: Vec<String>,
    pub(in crate::gate) subjects: Option<TextMatcher>,
    pub(in crate::gate) keys: KeySource,
    pub(in crate::gate) locations: Vec<Location>,
    /// Longest token that is looked at.
    pub(in crate::gate) max_token_bytes: usize,
    pub(in crate::gate) forward: bool,
    pub(in crate::gate) claim_headers: Vec<ClaimHeader>,
    pub(in crate::gate) payload_header: Option<PayloadHeader>,
    pub(in crate::gate) filter_state: Vec<FilterStateClaim>,
    pub(in crate::gate) clock_skew: Duration,
    pub(in crate::gate) require_expiration: bool,
    /// Maximum time until a token expires.
    pub(in crate::gate) max_lifetime: Option<Duration>,
    /// Maximum token age.
    pub(in crate::gate) max_token_age: Option<Duration>,
    pub(in crate::gate) possession: Possession,
    /// Claims that have to be what the request or its connection says.
    pub(in crate::gate) bound_claims: Vec<BoundClaim>,
    pub(in crate::gate) issued_ahead: IssuedAhead,
    pub(in crate::gate) cut_off_by: CutOffBy,
    /// Whether the status lists that tokens refer to count.
    pub(in crate::gate) honours_status: bool,
}

/// What becomes of a token whose `iat` lies further ahead than clocks may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum IssuedAhead {
    /// Nothing depends on its `iat`.
    Accepted,
    /// Its age is limited, or tokens can be revoked: no cut-off reaches that far ahead.
    Refused,
}

/// A claim that access logs may show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) struct FilterStateClaim {
    /// Its name there.
    pub(in crate::gate) name: String,
    /// Names of the members that lead to the value, outermost first.
    pub(in crate::gate) path: Vec<String>,
}

/// Longest `iss` that is compared with `issuer_pattern`: comparing costs a forger nothing. An
/// issuer is a URL (OpenID Connect Core section 2), for which no shorter limit is known.
const MAX_ISSUER_BYTES: usize = 1024;

impl Provider {
    /// Whether the token can be this provider's at all. Checked before the signature, since it may
    /// save the verification.
    pub(in crate::gate) fn check_issuer(&self, unverified: &Claims) -> Result<(), Reason> {
        let found = unverified.issuer();
        let is_expected = match (&self.issuer, &self.issuer_pattern) {
            (None, None) => true,
            (Some(issuer), _) if found == Some(issuer) => true,
            (_, Some(pattern)) => found.is_some_and(|found| {
                let is_short = found.len() <= MAX_ISSUER_BYTES;
                is_short && pattern.matches(found.as_bytes()) == Ok(true)
            }),
            _ => false,
        };
        if is_expected {
            Ok(())
        } else {
            Err(Reason::IssuerMismatch)
        }
    }

    /// Times (RFC 7519 sections 4.1.4 to 4.1.6) of a token whose signature is good.
    pub(in crate::gate) fn check_times(
        &self,
        claims: &Claims,
        now: UnixTime,
    ) -> Result<(), Reason> {
        let latest = now.later_by(self.clock_skew);
        match claims.expires_at() {
            None if self.require_expiration || self.max_lifetime.is_some() => {
                return Err(Reason::ExpirationMissing);
            }
            Some(expiry) if now >= expiry.later_by(self.clock_skew) => {
                return Err(Reason::TokenExpired);
            }
            _ => {}
        }
        if claims.not_before().is_some_and(|start| start > latest) {
            return Err(Reason::TokenNotYetValid);
        }
        let expiry = claims.expires_at();
        if let (Some(longest), Some(expiry)) = (self.max_lifetime, expiry)
            && expiry >= now.later_by(longest)
        {
            return Err(Reason::LifetimeTooLong);
        }
        self.check_issue_time(claims, now)
    }

    /// `iat`, if anything depends on it. A token without it is revoked by every cut-off that names
    /// it, so only a limit of the age requires it.
    fn check_issue_time(&self, claims: &Claims, now: UnixTime) -> Result<(), Reason> {
        let latest = now.later_by(self.clock_skew);
        match (claims.issued_at(), self.max_token_age) {
            (None, Some(_)) => Err(Reason::IssueTimeMissing),
            (Some(issued), _) if issued > latest && self.issued_ahead == IssuedAhead::Refused => {
                Err(Reason::TokenIssuedAhead)
            }
            (Some(issued), Some(longest))
                if now >= issued.later_by(longest.saturating_add(self.clock_skew)) =>
            {
                Err(Reason::TokenTooOld)
            }
            _ => Ok(()),
        }
    }

    /// Whether `aud` (RFC 7519 section 4.1.3) has one of `audiences`, or of the provider's own.
    pub(in crate::gate) fn check_audience(
        &self,
        claims: &Claims,
        audiences: Option<&[String]>,
    ) -> Result<(), Reason> {
        let audiences = audiences.unwrap_or(&self.audiences);
        let is_expected = |audience: &str| {
            let audience = comparable_audience(audience);
            audiences.iter().any(|expected| expected == audience)
        };
        if audiences.is_empty() || claims.audiences().any(is_expected) {
            Ok(())
        } else {
            Err(Reason::AudienceMismatch)
        }
    }

    /// Whether `sub` (RFC 7519 section 4.1.2) is one of those that are let in.
    pub(in crate::gate) fn check_subject(&self, claims: &Claims) -> Result<(), Reason> {
        let Some(subjects) = &self.subjects else {
            return Ok(());
        };
        match claims.string("sub") {
            Some(subject) if subjects.matches(subject.as_bytes()) == Ok(true) => Ok(()),
            _ => Err(Reason::SubjectMismatch),
        }
    }
}

/// An audience as `jwt_authn` compares it: without `http://` or `https://` before it and without
/// one `/` at its end. Kept, since configurations rely on it, and harmless, since the issuer writes
/// audiences.
pub(in crate::gate) fn comparable_audience(audience: &str) -> &str {
    let bare = audience
        .strip_prefix("https://")
        .or_else(|| audience.strip_prefix("http://"))
        .unwrap_or(audience);
    bare.strip_suffix('/').unwrap_or(bare)
}
