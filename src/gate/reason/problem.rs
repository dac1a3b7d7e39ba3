//! What the client is told of a refusal: less than the log is.

use super::Reason;

/// What a mobile or web client should do about a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Get a new access token with the refresh token, and try again.
    Refresh,
    /// Let the user sign in.
    SignIn,
    /// Let the user sign in again, in the way that the challenge asks for (RFC 9470); the session goes on
    /// meanwhile.
    StepUp,
    /// Send the request again with a new proof, once, and with the nonce of the answer if it has one.
    Retry,
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
    /// `error="insufficient_user_authentication"` (RFC 9470 section 3), with what is needed.
    InsufficientUserAuthentication,
    /// `error="invalid_dpop_proof"` (RFC 9449 section 7.1), always of the scheme `DPoP`.
    InvalidProof,
    /// `error="use_dpop_nonce"` (RFC 9449 section 9), of the same scheme.
    UseNonce,
    /// `error="invalid_token"`, of the same scheme.
    InvalidTokenOfProof,
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
    /// What the client is told.
    ///
    /// Reasons that are found before the signature is verified either depend on the request's own
    /// form alone, or are all told as `signature_invalid`: a client without a genuine token must
    /// not learn which issuers, keys and algorithms are configured here.
    #[must_use]
    pub const fn problem(self) -> Problem {
        use Action::{None, Refresh, Retry, SignIn, StepUp, Wait};
        use ChallengeKind::{
            Absent, Bare, InsufficientScope, InsufficientUserAuthentication, InvalidProof,
            InvalidRequest, InvalidToken, InvalidTokenOfProof, UseNonce,
        };
        #[rustfmt::skip] // one line for each problem
        let (status, code, challenge, action, detail) = match self {
            Self::TokenMissing => (401, "token_missing", Bare, SignIn, "a token is required"),
            Self::TokenAmbiguous => (400, "token_ambiguous", InvalidRequest, None, "the request has more than one token"),
            Self::TokenInQuery => (400, "token_in_query", InvalidRequest, None, "tokens belong in the Authorization header, or where else this API takes them, not in access_token in the query"),
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
            Self::CertificateMismatch | Self::CertificateUntrusted => (401, "certificate_mismatch", InvalidToken, None, "the token is bound to a client certificate that is not the one of this connection"),
            Self::TokenUnbound => (401, "token_unbound", InvalidToken, None, "the token is bound to no key or certificate, as tokens have to be here"),
            Self::BoundClaimMismatch => (401, "bound_claim_mismatch", InvalidToken, None, "the token belongs to another device or client"),
            Self::ProofMissing => (401, "proof_missing", InvalidProof, Retry, "the token needs a proof that its sender has its key"),
            Self::ProofMalformed
            | Self::ProofTokenMismatch
            | Self::ProofTargetMismatch
            | Self::ProofForged => (401, "proof_invalid", InvalidProof, None, "the proof is not one for this token and request"),
            Self::ProofOutdated => (401, "proof_outdated", InvalidProof, Retry, "the proof was made too long ago, or by a clock that is ahead"),
            Self::ProofNonceMissing => (401, "proof_nonce_missing", UseNonce, Retry, "the proof needs the nonce of this answer"),
            Self::ProofReplayed => (401, "proof_replayed", InvalidProof, Retry, "the proof was used before"),
            Self::ProofsUnavailable => (503, "proofs_unavailable", Absent, Wait, "proofs cannot be verified at the moment"),
            Self::SchemeMismatch => (401, "scheme_mismatch", InvalidTokenOfProof, None, "a token that is bound to a key has to be sent as DPoP, and any other as Bearer"),
            Self::SubjectMismatch => (403, "subject_mismatch", InvalidToken, None, "the subject of the token is not permitted here"),
            Self::ScopeMissing => (403, "insufficient_scope", InsufficientScope, None, "the token lacks a scope that is needed here"),
            Self::ClaimMismatch => (403, "claim_mismatch", InvalidToken, None, "the claims of the token do not permit this"),
            Self::AuthenticationTooWeak | Self::AuthenticationTooOld => (401, "authentication_insufficient", InsufficientUserAuthentication, StepUp, "the user has to sign in again, or in a stronger way"),
            Self::NoRule | Self::RequirementUnknown => (403, "no_rule", Absent, None, "requests of this kind are not permitted"),
            Self::PathAmbiguous => (400, "path_ambiguous", Absent, None, "the path can be read in two ways"),
            Self::RequestTooLong => (400, "request_too_long", Absent, None, "the path, or a header or parameter that is looked at, is too long"),
            Self::KeysUnavailable | Self::IssuerUndisclosed | Self::KeyUnconfirmed => (503, "keys_unavailable", Absent, Wait, "tokens cannot be verified at the moment"),
            Self::TokenRevoked => (401, "token_revoked", InvalidToken, SignIn, "the session has ended"),
            Self::SessionIdle => (401, "session_idle", InvalidToken, SignIn, "the session has ended, since it was not used for too long"),
            Self::SessionTooOld => (401, "session_too_old", InvalidToken, SignIn, "the session has ended, since it has lasted for as long as it may"),
            Self::SessionDisplaced => (401, "session_displaced", InvalidToken, SignIn, "the session has ended, since there are newer ones"),
            Self::TokenSuspended => (401, "token_suspended", InvalidToken, Wait, "the issuer of the token has suspended it"),
            Self::StatusMalformed => (401, "status_malformed", InvalidToken, SignIn, "the status of the token is no reference to a status list"),
            Self::TokenUnnamed => (401, "token_unnamed", InvalidToken, SignIn, "the token lacks a claim by which it could be revoked"),
            Self::RevocationUnavailable | Self::RevocationStale | Self::RevocationUnconfirmed => (503, "revocation_unavailable", Absent, Wait, "whether the session has ended cannot be told at the moment"),
            Self::HostFault => (503, "host_fault", Absent, Wait, "the request cannot be handled at the moment"),
            Self::CrossSite => (403, "cross_site", Absent, None, "the request may come from another site: neither Sec-Fetch-Site nor Origin says that it comes from this one"),
            Self::MethodNotAllowed => (405, "method_not_allowed", Absent, None, "the method is not one that this path takes"),
            Self::ParameterInvalid => (400, "parameter_invalid", Absent, None, "a parameter of the query is not one that this path takes, or its value is not"),
            Self::SessionNotFound => (404, "session_not_found", Absent, None, "the user has no such session"),
            Self::SignOutFailed => (503, "sign_out_failed", Absent, Wait, "signing out could not be confirmed, and may not have happened"),
            Self::SessionsUnavailable => (503, "sessions_unavailable", Absent, Wait, "the sessions cannot be listed at the moment"),
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
    /// Whether the challenge is always one of the scheme `DPoP`.
    #[must_use]
    pub const fn is_about_proof(self) -> bool {
        matches!(
            self,
            Self::InvalidProof | Self::UseNonce | Self::InvalidTokenOfProof
        )
    }

    /// The error code of the challenge, if it has one.
    #[must_use]
    pub const fn error(self) -> Option<&'static str> {
        match self {
            Self::Absent | Self::Bare => None,
            Self::InvalidRequest => Some("invalid_request"),
            Self::InvalidToken | Self::InvalidTokenOfProof => Some("invalid_token"),
            Self::InsufficientScope => Some("insufficient_scope"),
            Self::InsufficientUserAuthentication => Some("insufficient_user_authentication"),
            Self::InvalidProof => Some("invalid_dpop_proof"),
            Self::UseNonce => Some("use_dpop_nonce"),
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
            Self::StepUp => "step_up",
            Self::Retry => "retry",
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
                ChallengeKind::Bare
                | ChallengeKind::InsufficientUserAuthentication
                | ChallengeKind::InvalidProof
                | ChallengeKind::UseNonce
                | ChallengeKind::InvalidTokenOfProof => 401..=401,
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
