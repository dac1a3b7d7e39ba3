//! How a request ended, and why: what the gate decides and a host counts.

/// Why a request was refused. Each is a metric and is in the log; what the *client* is told is the
/// gate's `Problem`, and is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The rule asks for a token and the request has none.
    TokenMissing,
    /// Two different tokens, or a header with more than one in it.
    TokenAmbiguous,
    /// Longer than the provider permits.
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
    /// `iat` lies further ahead than clocks may differ, and revocation or the age of tokens depends
    /// on it.
    TokenIssuedAhead,
    /// None of the provider's audiences is in `aud`.
    AudienceMismatch,
    /// A claim that goes into a header has a value that no header can carry unchanged.
    ClaimNotForwardable,
    /// No rule matches the request.
    NoRule,
    /// The path can be read as one under another rule.
    PathAmbiguous,
    /// The provider's keys could not be fetched, or are too old.
    KeysUnavailable,
    /// The same, and `iss` is not the provider's issuer. The client is not told: otherwise it could
    /// find out which issuers are configured while nothing can be verified.
    IssuerUndisclosed,
    /// The provider has no key with this `kid`, or none that fits the signature, and it is not
    /// known whether its server has one by now.
    KeyUnconfirmed,
    /// The token expires later than the provider allows.
    LifetimeTooLong,
    /// No `iat`, and the provider limits the age of tokens.
    IssueTimeMissing,
    /// Issued longer ago than the provider allows.
    TokenTooOld,
    /// `typ` says that the token is for something else.
    TokenTypeMismatch,
    /// `cnf` binds the token to a key, of which no proof is verified here.
    TokenBound,
    /// `cnf` binds the token to another client certificate than that of the connection, if it has any.
    CertificateMismatch,
    /// The same, and `x-forwarded-client-cert` names the right one, from a client that is not believed.
    CertificateUntrusted,
    /// The token is bound to nothing, and the provider's have to be.
    TokenUnbound,
    /// A claim is not what the request or its connection says, to which the provider's tokens are bound.
    BoundClaimMismatch,
    /// The token is bound to a key, and there is no proof (`DPoP`) that the sender has it.
    ProofMissing,
    /// The proof is not a well-formed one: two headers, no JWT of its type, too long, another algorithm, no key, no
    /// `jti` or `iat`.
    ProofMalformed,
    /// The proof is of another key than the token's, or for another token (`ath`).
    ProofTokenMismatch,
    /// The proof is for another method (`htm`) or URI (`htu`).
    ProofTargetMismatch,
    /// The proof was made too long ago, or ahead of the clock here.
    ProofOutdated,
    /// The proof has no nonce of this edge, or an old one.
    ProofNonceMissing,
    /// The key in the proof has not made its signature.
    ProofForged,
    /// The proof was used before.
    ProofReplayed,
    /// Whether the proof was used before cannot be told: there are too many, or the memory for it is disturbed.
    ProofsUnavailable,
    /// A token that is bound to a key was sent as `Bearer`, or one that is not as `DPoP`.
    SchemeMismatch,
    /// `sub` is not one of the provider's subjects.
    SubjectMismatch,
    /// A scope is missing that the rule asks for.
    ScopeMissing,
    /// A claim is not what the rule asks for.
    ClaimMismatch,
    /// `acr` or `amr` is not what the rule asks for, or absent.
    AuthenticationTooWeak,
    /// `auth_time` lies longer ago than the rule asks for, or ahead, or is absent.
    AuthenticationTooOld,
    /// The route's metadata names a requirement that is not configured; or a header that only the
    /// gate may set came with the request, and may have chosen the route.
    RequirementUnknown,
    /// The token, its session, device, subject, client or issuer was revoked.
    TokenRevoked,
    /// The session was ended because it was not used for too long.
    SessionIdle,
    /// The session was ended because it has lasted for as long as is permitted.
    SessionTooOld,
    /// The session was ended to make room for another one of the same subject.
    SessionDisplaced,
    /// Its issuer has suspended the token in a status list.
    TokenSuspended,
    /// `status` is no reference to a status list, and the provider's are honoured.
    StatusMalformed,
    /// The token has no claim by which it could be revoked, or one that no revocation could name.
    TokenUnnamed,
    /// No revocation feed has been loaded.
    RevocationUnavailable,
    /// The revocation feed has been silent for longer than `max_staleness`.
    RevocationStale,
    /// The filter says "perhaps revoked", and the authority does not answer.
    RevocationUnconfirmed,
    /// `access_token` in the query, which is not one of the token's locations.
    TokenInQuery,
    /// The path, or a header or parameter that a rule looks at, is too long to be compared with
    /// patterns, or all of them together are.
    RequestTooLong,
    /// The host did not show the request's headers, or did not make a change to it.
    HostFault,
    /// A request for a session route whose token came in cookies alone, and that may come from
    /// another site.
    CrossSite,
    /// A method that a session route does not take.
    MethodNotAllowed,
    /// A parameter that a session route does not take, or a value that it does not take.
    ParameterInvalid,
    /// The user has no such session.
    SessionNotFound,
    /// The authority has not confirmed that the user is signed out.
    SignOutFailed,
    /// The authority has not said which sessions the user has.
    SessionsUnavailable,
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

/// What the gate did for a user itself, on a session route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// It ended the session of the token.
    SignOut,
    /// It ended all other sessions.
    SignOutOthers,
    /// It ended all sessions.
    SignOutEverywhere,
    /// It listed the sessions.
    ListSessions,
    /// It ended one of them.
    EndSession,
}

/// How a request ended; the unit of the request metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It went on to the upstream.
    Allowed(Admission),
    /// It was refused by the gate.
    Refused(Reason),
    /// It was served by the gate.
    Served(Service),
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 65] = [
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
        Self::CertificateMismatch,
        Self::CertificateUntrusted,
        Self::TokenUnbound,
        Self::BoundClaimMismatch,
        Self::ProofMissing,
        Self::ProofMalformed,
        Self::ProofTokenMismatch,
        Self::ProofTargetMismatch,
        Self::ProofOutdated,
        Self::ProofNonceMissing,
        Self::ProofForged,
        Self::ProofReplayed,
        Self::ProofsUnavailable,
        Self::SchemeMismatch,
        Self::SubjectMismatch,
        Self::ScopeMissing,
        Self::ClaimMismatch,
        Self::AuthenticationTooWeak,
        Self::AuthenticationTooOld,
        Self::RequirementUnknown,
        Self::TokenRevoked,
        Self::SessionIdle,
        Self::SessionTooOld,
        Self::SessionDisplaced,
        Self::TokenSuspended,
        Self::StatusMalformed,
        Self::TokenUnnamed,
        Self::RevocationUnavailable,
        Self::RevocationStale,
        Self::RevocationUnconfirmed,
        Self::TokenInQuery,
        Self::RequestTooLong,
        Self::HostFault,
        Self::CrossSite,
        Self::MethodNotAllowed,
        Self::ParameterInvalid,
        Self::SessionNotFound,
        Self::SignOutFailed,
        Self::SessionsUnavailable,
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
            Self::CertificateMismatch => "certificate_mismatch",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::TokenUnbound => "token_unbound",
            Self::BoundClaimMismatch => "bound_claim_mismatch",
            Self::ProofMissing => "proof_missing",
            Self::ProofMalformed => "proof_malformed",
            Self::ProofTokenMismatch => "proof_token_mismatch",
            Self::ProofTargetMismatch => "proof_target_mismatch",
            Self::ProofOutdated => "proof_outdated",
            Self::ProofNonceMissing => "proof_nonce_missing",
            Self::ProofForged => "proof_forged",
            Self::ProofReplayed => "proof_replayed",
            Self::ProofsUnavailable => "proofs_unavailable",
            Self::SchemeMismatch => "scheme_mismatch",
            Self::SubjectMismatch => "subject_mismatch",
            Self::ScopeMissing => "scope_missing",
            Self::ClaimMismatch => "claim_mismatch",
            Self::AuthenticationTooWeak => "authentication_too_weak",
            Self::AuthenticationTooOld => "authentication_too_old",
            Self::RequirementUnknown => "requirement_unknown",
            Self::TokenRevoked => "token_revoked",
            Self::SessionIdle => "session_idle",
            Self::SessionTooOld => "session_too_old",
            Self::SessionDisplaced => "session_displaced",
            Self::TokenSuspended => "token_suspended",
            Self::StatusMalformed => "status_malformed",
            Self::TokenUnnamed => "token_unnamed",
            Self::RevocationUnavailable => "revocation_unavailable",
            Self::RevocationStale => "revocation_stale",
            Self::RevocationUnconfirmed => "revocation_unconfirmed",
            Self::TokenInQuery => "token_in_query",
            Self::RequestTooLong => "request_too_long",
            Self::HostFault => "host_fault",
            Self::CrossSite => "cross_site",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::ParameterInvalid => "parameter_invalid",
            Self::SessionNotFound => "session_not_found",
            Self::SignOutFailed => "sign_out_failed",
            Self::SessionsUnavailable => "sessions_unavailable",
        }
    }
}

impl Service {
    /// Every kind of service.
    pub const ALL: [Self; 5] = [
        Self::SignOut,
        Self::SignOutOthers,
        Self::SignOutEverywhere,
        Self::ListSessions,
        Self::EndSession,
    ];

    /// Label for metrics and access logs.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::SignOut => "sign_out_session",
            Self::SignOutOthers => "sign_out_others",
            Self::SignOutEverywhere => "sign_out_everywhere",
            Self::ListSessions => "list_sessions",
            Self::EndSession => "end_session",
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
        let refused = Reason::ALL.into_iter().map(Self::Refused);
        let served = Service::ALL.into_iter().map(Self::Served);
        allowed.chain(refused).chain(served)
    }

    /// Name of the counter, `portcullis.requests.<verdict>.<reason or service>`. Envoy puts `wasmcustom.`
    /// before it.
    #[must_use]
    pub fn metric_name(self) -> String {
        let (verdict, label) = match self {
            Self::Allowed(admission) => ("allowed", admission.label()),
            Self::Refused(reason) => ("refused", reason.label()),
            Self::Served(service) => ("served", service.label()),
        };
        format!("portcullis.requests.{verdict}.{label}")
    }

    /// The index of this outcome in [`Outcome::all`].
    #[must_use]
    pub const fn index(self) -> usize {
        // All are listed in the order of their declaration, which a test checks.
        match self {
            Self::Allowed(admission) => admission as usize,
            Self::Refused(reason) => Admission::ALL.len() + reason as usize,
            Self::Served(service) => Admission::ALL.len() + Reason::ALL.len() + service as usize,
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
}
