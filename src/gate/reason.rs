//! Why a request was let through or refused, and what follows from it: counter, status, challenge.

use super::text::TooLong;
use crate::token::{ClaimError, SignatureError, TokenError};

/// Why a request was refused. Each is a metric and stands in the log; what the *client* is told
/// is in [`Reason::problem`], and is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The rule asks for a token and the request has none.
    TokenMissing,
    /// Two different tokens, or a header with more than one in it.
    TokenAmbiguous,
    /// Longer than the provider permits, [`crate::token::MAX_TOKEN_BYTES`] unless it says so.
    TokenTooLarge,
    /// Not a well-formed JWT.
    TokenMalformed,
    /// `exp`, `nbf` or `iat` in milliseconds.
    TimeInMilliseconds,
    /// A `crit` header.
    CriticalHeader,
    /// `iss` is not the provider's issuer.
    IssuerMismatch,
    /// The provider has no key with this `kid`.
    KeyUnknown,
    /// `alg` is not the key's algorithm.
    AlgorithmMismatch,
    /// The signature is not the key's.
    SignatureInvalid,
    /// No `exp`, and the provider requires one.
    ExpirationMissing,
    /// `exp` has passed.
    TokenExpired,
    /// `nbf` is still to come.
    TokenNotYetValid,
    /// `iat` lies further ahead than clocks may differ, where revocation or the age of tokens goes
    /// by it.
    TokenIssuedAhead,
    /// None of the provider's audiences is in `aud`.
    AudienceMismatch,
    /// A claim that goes into a header has a value that no header can carry unchanged.
    ClaimNotForwardable,
    /// No rule matches the request.
    NoRule,
    /// The path can be read as one under another rule.
    PathAmbiguous,
    /// The provider's keys could not be had, or only ones that are too old.
    KeysUnavailable,
    /// The same, and `iss` is not the provider's issuer. The client is not told: while nothing can
    /// be verified, it could otherwise try out which issuers are configured.
    IssuerUndisclosed,
    /// The provider has no key with this `kid`, or none that fits the signature, and whether its
    /// server has one by now is not known.
    KeyUnconfirmed,
    /// The token is still good for longer than the provider allows.
    LifetimeTooLong,
    /// No `iat`, and the provider limits the age of tokens.
    IssueTimeMissing,
    /// Issued longer ago than the provider allows.
    TokenTooOld,
    /// `typ` says that the token is for something else.
    TokenTypeMismatch,
    /// `cnf` binds the token to a key, and no proof of possession is verified here.
    TokenBound,
    /// `sub` is not one of the provider's subjects.
    SubjectMismatch,
    /// A scope is missing that the rule asks for.
    ScopeMissing,
    /// A claim is not what the rule asks for.
    ClaimMismatch,
    /// The route's metadata names a requirement that is not configured; or a header that only the
    /// gate may set came with the request, and may have chosen the route.
    RequirementUnknown,
    /// The token, its session, device, subject, client or issuer was revoked.
    TokenRevoked,
    /// The token has none of the claims that a revocation could name, or one that none could.
    TokenUnnamed,
    /// No revocation feed has been loaded.
    RevocationUnavailable,
    /// The revocation feed has been silent for longer than `max_staleness`.
    RevocationStale,
    /// The filter says "perhaps revoked", and the authority does not answer.
    RevocationUnconfirmed,
    /// `access_token` in the query, which is none of the token's locations.
    TokenInQuery,
    /// The path, or a header or parameter that a rule looks at, is longer than what is compared
    /// with patterns, or all of them with all rules are.
    RequestTooLong,
    /// The host has not shown the request's headers, or not made a change to it.
    HostFault,
}

/// Why a request was let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Admission {
    /// A token was verified, and where revocation is configured, was not revoked.
    Verified,
    /// A token was verified; whether it was revoked is not known, and the posture lets it through.
    RevocationUnknown,
    /// The rule asks for nothing.
    NoRequirement,
    /// No rule matches, and `allow_unmatched` is on.
    Unmatched,
    /// The rule lets requests without a token through, and this is one.
    NoToken,
    /// The rule lets every token through, and this one is not good.
    TokenIgnored,
    /// A browser asks which requests it may send, and `bypass_cors_preflight` is on.
    CorsPreflight,
}

/// How a request ended; the unit of the request metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went on to the upstream.
    Allowed(Admission),
    /// It was answered by the gate.
    Refused(Reason),
}

/// What a mobile or web client should do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Get a new access token with the refresh token, and try again.
    Refresh,
    /// Let the user sign in.
    SignIn,
    /// Wait, or set the device's clock.
    Wait,
    /// Nothing the user does will help; the request itself is wrong or not permitted.
    None,
}

/// Whether a challenge goes with a refusal, and its error code (RFC 6750 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    /// No challenge: it is not about the token.
    Absent,
    /// A challenge without an error: no token was sent, so there is nothing to say about it.
    Bare,
    /// `error="invalid_request"`.
    InvalidRequest,
    /// `error="invalid_token"`.
    InvalidToken,
    /// `error="insufficient_scope"`, with the scopes that are needed.
    InsufficientScope,
}

/// Everything that the client is told of a refusal, as in a problem document (RFC 9457).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status.
    pub status: u16,
    /// Stable code for programs.
    pub code: &'static str,
    /// One sentence for people, in the characters that RFC 6750 section 3 allows.
    pub detail: &'static str,
    /// What kind of challenge goes with it.
    pub challenge: ChallengeKind,
    /// What the client should do.
    pub action: Action,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 38] = [
        Self::TokenMissing,
        Self::TokenAmbiguous,
        Self::TokenTooLarge,
        Self::TokenMalformed,
        Self::TimeInMilliseconds,
        Self::CriticalHeader,
        Self::IssuerMismatch,
        Self::KeyUnknown,
        Self::AlgorithmMismatch,
        Self::SignatureInvalid,
        Self::ExpirationMissing,
        Self::TokenExpired,
        Self::TokenNotYetValid,
        Self::TokenIssuedAhead,
        Self::AudienceMismatch,
        Self::ClaimNotForwardable,
        Self::NoRule,
        Self::PathAmbiguous,
        Self::KeysUnavailable,
        Self::IssuerUndisclosed,
        Self::KeyUnconfirmed,
        Self::LifetimeTooLong,
        Self::IssueTimeMissing,
        Self::TokenTooOld,
        Self::TokenTypeMismatch,
        Self::TokenBound,
        Self::SubjectMismatch,
        Self::ScopeMissing,
        Self::ClaimMismatch,
        Self::RequirementUnknown,
        Self::TokenRevoked,
        Self::TokenUnnamed,
        Self::RevocationUnavailable,
        Self::RevocationStale,
        Self::RevocationUnconfirmed,
        Self::TokenInQuery,
        Self::RequestTooLong,
        Self::HostFault,
    ];

    /// Label for metrics and logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::TokenMissing => "token_missing",
            Self::TokenAmbiguous => "token_ambiguous",
            Self::TokenTooLarge => "token_too_large",
            Self::TokenMalformed => "token_malformed",
            Self::TimeInMilliseconds => "time_in_milliseconds",
            Self::CriticalHeader => "critical_header",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::KeyUnknown => "key_unknown",
            Self::AlgorithmMismatch => "algorithm_mismatch",
            Self::SignatureInvalid => "signature_invalid",
            Self::ExpirationMissing => "expiration_missing",
            Self::TokenExpired => "token_expired",
            Self::TokenNotYetValid => "token_not_yet_valid",
            Self::TokenIssuedAhead => "token_issued_ahead",
            Self::AudienceMismatch => "audience_mismatch",
            Self::ClaimNotForwardable => "claim_not_forwardable",
            Self::NoRule => "no_rule",
            Self::PathAmbiguous => "path_ambiguous",
            Self::KeysUnavailable => "keys_unavailable",
            Self::IssuerUndisclosed => "issuer_undisclosed",
            Self::KeyUnconfirmed => "key_unconfirmed",
            Self::LifetimeTooLong => "lifetime_too_long",
            Self::IssueTimeMissing => "issue_time_missing",
            Self::TokenTooOld => "token_too_old",
            Self::TokenTypeMismatch => "token_type_mismatch",
            Self::TokenBound => "token_bound",
            Self::SubjectMismatch => "subject_mismatch",
            Self::ScopeMissing => "scope_missing",
            Self::ClaimMismatch => "claim_mismatch",
            Self::RequirementUnknown => "requirement_unknown",
            Self::TokenRevoked => "token_revoked",
            Self::TokenUnnamed => "token_unnamed",
            Self::RevocationUnavailable => "revocation_unavailable",
            Self::RevocationStale => "revocation_stale",
            Self::RevocationUnconfirmed => "revocation_unconfirmed",
            Self::TokenInQuery => "token_in_query",
            Self::RequestTooLong => "request_too_long",
            Self::HostFault => "host_fault",
        }
    }

    /// What the client is told.
    ///
    /// Reasons that are found before the signature is verified either depend on the request's own
    /// form alone, or are all told as `signature_invalid`: a client without a genuine token must
    /// not learn which issuers, keys and algorithms are configured here.
    #[must_use]
    pub const fn problem(self) -> Problem {
        use Action::{None, Refresh, SignIn, Wait};
        use ChallengeKind::{Absent, Bare, InsufficientScope, InvalidRequest, InvalidToken};
        #[rustfmt::skip] // one line for each problem
        let (status, code, challenge, action, detail) = match self {
            Self::TokenMissing => (401, "token_missing", Bare, SignIn, "a token is required"),
            Self::TokenAmbiguous => (400, "token_ambiguous", InvalidRequest, None, "the request has more than one token"),
            Self::TokenInQuery => (400, "token_in_query", InvalidRequest, None, "tokens belong into the Authorization header, or where else this API takes them, not into access_token in the query"),
            Self::TokenTooLarge => (401, "token_too_large", InvalidToken, None, "the token is too large"),
            Self::TokenMalformed | Self::CriticalHeader => (401, "token_malformed", InvalidToken, SignIn, "the token is not well formed"),
            Self::TimeInMilliseconds => (401, "time_in_milliseconds", InvalidToken, None, "a time in the token is in milliseconds, where seconds belong"),
            Self::IssuerMismatch
            | Self::KeyUnknown
            | Self::AlgorithmMismatch
            | Self::SignatureInvalid => (401, "signature_invalid", InvalidToken, SignIn, "the signature could not be verified"),
            Self::ExpirationMissing => (401, "expiration_missing", InvalidToken, SignIn, "the token has no expiration time"),
            Self::TokenExpired => (401, "token_expired", InvalidToken, Refresh, "the token has expired"),
            Self::TokenNotYetValid => (401, "token_not_yet_valid", InvalidToken, Wait, "the token is not valid yet"),
            Self::TokenIssuedAhead => (401, "token_not_yet_valid", InvalidToken, Wait, "the token was issued in the future"),
            Self::AudienceMismatch => (403, "audience_mismatch", InvalidToken, None, "the token is meant for another audience"),
            Self::ClaimNotForwardable => (403, "claim_not_forwardable", InvalidToken, None, "a claim of the token is too long, or has characters that cannot be passed on"),
            Self::LifetimeTooLong => (401, "lifetime_too_long", InvalidToken, SignIn, "the token is valid for longer than is permitted"),
            Self::IssueTimeMissing => (401, "issue_time_missing", InvalidToken, SignIn, "the token does not say when it was issued"),
            Self::TokenTooOld => (401, "token_too_old", InvalidToken, Refresh, "the token was issued too long ago"),
            Self::TokenTypeMismatch => (401, "token_type_mismatch", InvalidToken, SignIn, "the token is for another purpose"),
            Self::TokenBound => (401, "token_bound", InvalidToken, SignIn, "the token needs a proof of possession"),
            Self::SubjectMismatch => (403, "subject_mismatch", InvalidToken, None, "the subject of the token is not permitted here"),
            Self::ScopeMissing => (403, "insufficient_scope", InsufficientScope, None, "the token lacks a scope that is needed here"),
            Self::ClaimMismatch => (403, "claim_mismatch", InvalidToken, None, "the claims of the token do not permit this"),
            Self::NoRule | Self::RequirementUnknown => (403, "no_rule", Absent, None, "requests of this kind are not permitted"),
            Self::PathAmbiguous => (400, "path_ambiguous", Absent, None, "the path can be read in two ways"),
            Self::RequestTooLong => (400, "request_too_long", Absent, None, "the path, or a header or parameter that is looked at, is too long"),
            Self::KeysUnavailable | Self::IssuerUndisclosed | Self::KeyUnconfirmed => (503, "keys_unavailable", Absent, Wait, "tokens cannot be verified at the moment"),
            Self::TokenRevoked => (401, "token_revoked", InvalidToken, SignIn, "the session has ended"),
            Self::TokenUnnamed => (401, "token_unnamed", InvalidToken, SignIn, "the token lacks a claim by which it could be revoked"),
            Self::RevocationUnavailable | Self::RevocationStale | Self::RevocationUnconfirmed => (503, "revocation_unavailable", Absent, Wait, "whether the session has ended cannot be told at the moment"),
            Self::HostFault => (503, "host_fault", Absent, Wait, "the request cannot be handled at the moment"),
        };
        Problem {
            status,
            code,
            detail,
            challenge,
            action,
        }
    }
}

impl ChallengeKind {
    /// The error code of the challenge, if it has one.
    #[must_use]
    pub const fn error(self) -> Option<&'static str> {
        match self {
            Self::Absent | Self::Bare => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
        }
    }
}

impl From<&TokenError> for Reason {
    fn from(error: &TokenError) -> Self {
        match error {
            TokenError::TooLarge { .. } => Self::TokenTooLarge,
            TokenError::CriticalHeader => Self::CriticalHeader,
            TokenError::Claim(ClaimError::Milliseconds { .. }) => Self::TimeInMilliseconds,
            _ => Self::TokenMalformed,
        }
    }
}

impl From<TooLong> for Reason {
    fn from(_: TooLong) -> Self {
        Self::RequestTooLong
    }
}

impl From<SignatureError> for Reason {
    fn from(error: SignatureError) -> Self {
        match error {
            SignatureError::KeyUnknown => Self::KeyUnknown,
            SignatureError::AlgorithmMismatch => Self::AlgorithmMismatch,
            SignatureError::Invalid => Self::SignatureInvalid,
        }
    }
}

impl Admission {
    /// Every kind of admission.
    pub const ALL: [Self; 7] = [
        Self::Verified,
        Self::RevocationUnknown,
        Self::NoRequirement,
        Self::Unmatched,
        Self::NoToken,
        Self::TokenIgnored,
        Self::CorsPreflight,
    ];

    /// Label for metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Verified => "verified",
            Self::RevocationUnknown => "revocation_unknown",
            Self::NoRequirement => "no_requirement",
            Self::Unmatched => "unmatched",
            Self::NoToken => "no_token",
            Self::TokenIgnored => "token_ignored",
            Self::CorsPreflight => "cors_preflight",
        }
    }
}

impl Outcome {
    /// Every outcome, in the order of [`Outcome::index`].
    pub fn all() -> impl Iterator<Item = Self> {
        let allowed = Admission::ALL.into_iter().map(Self::Allowed);
        allowed.chain(Reason::ALL.into_iter().map(Self::Refused))
    }

    /// Name of the counter, `portcullis.requests.<verdict>.<reason>`. Envoy puts `wasmcustom.`
    /// before it.
    #[must_use]
    pub fn metric_name(self) -> String {
        match self {
            Self::Allowed(admission) => {
                format!("portcullis.requests.allowed.{}", admission.label())
            }
            Self::Refused(reason) => format!("portcullis.requests.refused.{}", reason.label()),
        }
    }

    /// Where [`Outcome::all`] has this outcome.
    #[must_use]
    pub const fn index(self) -> usize {
        // Both enums are listed in the order of their declaration, which a test holds them to.
        match self {
            Self::Allowed(admission) => admission as usize,
            Self::Refused(reason) => Admission::ALL.len() + reason as usize,
        }
    }
}

impl Action {
    /// The word in the problem document.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Refresh => "refresh",
            Self::SignIn => "sign_in",
            Self::Wait => "wait",
            Self::None => "none",
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn every_outcome_has_an_index_and_a_metric_of_its_own() {
        for (index, outcome) in Outcome::all().enumerate() {
            assert_eq!(outcome.index(), index, "{outcome:?}");
        }
        let names: std::collections::BTreeSet<_> =
            Outcome::all().map(Outcome::metric_name).collect();
        assert_eq!(names.len(), Outcome::all().count());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_problem_can_be_written_into_a_challenge() {
        for reason in Reason::ALL {
            let problem = reason.problem();
            // RFC 6750 section 3: %x20-21 / %x23-5B / %x5D-7E.
            let fits = |text: &str| {
                text.bytes()
                    .all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\')
            };
            assert!(fits(problem.detail), "{reason:?}");
            let status = match problem.challenge {
                ChallengeKind::Bare => 401..=401,
                ChallengeKind::InvalidToken => 401..=403,
                ChallengeKind::InvalidRequest => 400..=400,
                ChallengeKind::InsufficientScope => 403..=403,
                ChallengeKind::Absent => 400..=503,
            };
            assert!(status.contains(&problem.status), "{reason:?}");
            assert!(
                problem.status != 401 || problem.challenge != ChallengeKind::Absent,
                "{reason:?}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_found_before_the_signature_is_verified_sounds_all_the_same() {
        let problems = [
            Reason::IssuerMismatch,
            Reason::KeyUnknown,
            Reason::AlgorithmMismatch,
            Reason::SignatureInvalid,
        ]
        .map(Reason::problem);
        assert!(problems.iter().all(|problem| *problem == problems[0]));
        let problems = [Reason::KeysUnavailable, Reason::IssuerUndisclosed].map(Reason::problem);
        assert_eq!(problems[0], problems[1]);
    }
}
