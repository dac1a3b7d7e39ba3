//! Why a signal is refused: what its sender is told, and what the operator is.

use axum::http::StatusCode;

use crate::authority::request::RequestError;
use crate::authority::verifier::Doubt;
use crate::authority::writer::WriteError;
use crate::gate::Reason;

/// What kind of signal something is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::authority) enum Receiver {
    /// OpenID Connect Back-Channel Logout 1.0.
    BackChannelLogout,
    /// Security events that a transmitter sends (RFC 8935).
    Push,
    /// Security events that a transmitter is asked for (RFC 8936).
    Poll,
    /// OAuth 2.0 Token Revocation (RFC 7009).
    OAuthRevoke,
    /// OAuth 2.0 Token Introspection (RFC 7662).
    OAuthIntrospect,
    /// Global Token Revocation.
    GlobalTokenRevocation,
}

impl Receiver {
    /// Every receiver.
    pub(in crate::authority) const ALL: [Self; 6] = [
        Self::BackChannelLogout,
        Self::Push,
        Self::Poll,
        Self::OAuthRevoke,
        Self::OAuthIntrospect,
        Self::GlobalTokenRevocation,
    ];

    /// In metrics, records and the log, and in the signals file.
    pub(in crate::authority) const fn name(self) -> &'static str {
        match self {
            Self::BackChannelLogout => "back_channel_logout",
            Self::Push => "push",
            Self::Poll => "poll",
            Self::OAuthRevoke => "oauth_revoke",
            Self::OAuthIntrospect => "oauth_introspect",
            Self::GlobalTokenRevocation => "global_token_revocation",
        }
    }
}

/// A signal that is not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) code: Code,
    /// For the operator: what was found, and what is expected. Never anything of a token but what its
    /// issuer has signed.
    pub(super) detail: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $label:literal, $status:literal, $description:literal;)*) => {
        /// Why a signal is not carried out.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(in crate::authority) enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub(in crate::authority) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// In metrics, records and the log.
            pub(in crate::authority) const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            const fn number(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// What the sender is told.
            pub(super) const fn description(self) -> &'static str {
                match self { $(Self::$name => $description,)* }
            }
        }
    };
}

codes! {
    /// The request has no body of the right type, or it is too long or breaks off.
    BodyInvalid = "body_invalid", 400,
        "expected a body of the right media type, not longer than allowed";
    /// The body did not arrive in time.
    BodyTimeout = "body_timeout", 408, "the body did not arrive in time";
    /// There is no `logout_token`.
    TokenMissing = "token_missing", 400, "logout_token is missing";
    /// There are several.
    TokenRepeated = "token_repeated", 400, "logout_token is there more than once";
    /// It is too long.
    TokenTooLarge = "token_too_large", 400, "the token is too long";
    /// It is no JWT, or an encrypted one.
    TokenMalformed = "token_malformed", 400, "expected a signed JWT in the compact form";
    /// It has extensions that have to be understood.
    CriticalHeader = "critical_header", 400, "the token has critical extensions";
    /// A time is in milliseconds.
    TimeInMilliseconds = "time_in_milliseconds", 400, "a time in the token is in milliseconds";
    /// `iss` is not in the signals file.
    IssuerUnknown = "issuer_unknown", 400, "the issuer of the token is not known here";
    /// The receiver is not on for this issuer.
    ReceiverOff = "receiver_off", 400, "this is not received from the issuer of the token";
    /// Too many from this network were not genuine.
    TooManyFailures = "too_many_failures", 429, "too many tokens from here were not in order";
    /// Too many of this issuer.
    TooManySignals = "too_many_signals", 429, "too many signals of this issuer";
    /// The issuer has no such key.
    KeyUnknown = "key_unknown", 400, "the issuer has no key by which the token could be verified";
    /// The key is for another algorithm.
    AlgorithmMismatch = "algorithm_mismatch", 400, "the key of the token is for another algorithm";
    /// The signature is not the key's.
    SignatureInvalid = "signature_invalid", 400, "the signature is not valid";
    /// `typ` is another.
    TypeMismatch = "type_mismatch", 400, "typ is that of another kind of token";
    /// `aud` has none of the client ids, or of the audiences of the stream.
    AudienceMismatch = "audience_mismatch", 400, "aud has none of the audiences of this receiver";
    /// No `iat`.
    IssueTimeMissing = "issue_time_missing", 400, "iat is missing";
    /// `iat` lies ahead.
    IssuedAhead = "issued_ahead", 400, "iat is in the future";
    /// A time lies ahead, by little enough that the clock here may be slow.
    AheadOfClock = "ahead_of_clock", 503, "a time in the token is ahead of the clock here";
    /// `iat` is too long ago.
    TooOld = "too_old", 400, "the token was issued too long ago";
    /// `exp` has passed.
    Expired = "expired", 400, "the token has expired";
    /// `nbf` lies ahead.
    NotYetValid = "not_yet_valid", 400, "the token is not valid yet";
    /// No `jti`.
    IdMissing = "jti_missing", 400, "jti is missing, empty or too long";
    /// `events` is not that of a logout token, or not one event.
    EventsInvalid = "events_invalid", 400,
        "events has to be an object with the event of such a token, an object";
    /// The event is not what its definition demands.
    EventInvalid = "event_invalid", 400, "the event is not as its definition demands";
    /// There is a `nonce`.
    NoncePresent = "nonce_present", 400, "nonce is not allowed in a logout token";
    /// There is an `exp`.
    ExpiryPresent = "exp_present", 400, "exp is not allowed in a security event token";
    /// There is a `sub`.
    SubPresent = "sub_present", 400, "sub is not allowed in a security event token";
    /// It says of nothing what it is about.
    SubjectMissing = "subject_missing", 400, "the subject is missing";
    /// The subject is no name, or not what its format demands.
    SubjectInvalid = "subject_invalid", 400,
        "the subject is not as its format demands, empty or too long";
    /// Access tokens are not told by what the subject is given as.
    SubjectFormatUnknown = "subject_format_unknown", 400,
        "the format of the subject is not one by which anything is known here";
    /// A critical member of the subject shapes nothing of what is revoked.
    SubjectCritical = "subject_critical", 400,
        "the subject has a critical member that cannot be taken into account here";
    /// It is not known which members of the subject are critical.
    CriticalUnknown = "critical_unknown", 503,
        "it is not known yet which members of subjects are critical";
    /// The subject is of another issuer.
    SubjectForeign = "subject_foreign", 400, "the subject is of an issuer that is not known here";
    /// There is nothing in it by which access tokens could be revoked.
    NothingToRevoke = "nothing_to_revoke", 400,
        "it names nothing by which access tokens can be told here";
    /// What a transmitter should show is something else.
    StateMismatch = "state_mismatch", 400, "state is not the one that was asked for";
    /// `Authorization` is not what was agreed on.
    AuthorizationInvalid = "authorization_invalid", 401, "the authorization is not valid";
    /// A parameter that is needed is not there.
    ParameterMissing = "parameter_missing", 400, "token is missing";
    /// One is there more than once.
    ParameterRepeated = "parameter_repeated", 400, "a parameter is there more than once";
    /// A client shows who it is in two ways.
    MethodsMixed = "methods_mixed", 400, "there is more than one client authentication";
    /// It does not show who it is.
    ClientMissing = "client_missing", 401, "client authentication is missing";
    /// It is not known, or what it shows is not its own.
    ClientRefused = "client_refused", 401, "client authentication failed";
    /// Its assertion was used before.
    AssertionRepeated = "assertion_repeated", 401, "the assertion was used before";
    /// It may not do this.
    ClientNotPermitted = "client_not_permitted", 400, "this client may not ask for this";
    /// It asks for too much.
    TooManyRequests = "too_many_requests", 429, "too many requests of this client";
    /// The token is not its own.
    TokenOfOther = "token_of_other", 400, "the token was issued to another client";
    /// The token has no name by which it could be revoked.
    TokenUnnamed = "token_unnamed", 400, "the token has no name by which it could be revoked";
    /// No receiver has this path.
    PathUnknown = "path_unknown", 404, "nothing is received at this path";
    /// There is no bearer credential.
    CredentialMissing = "credential_missing", 401, "expected a bearer credential";
    /// It is not the one that was agreed on.
    CredentialInvalid = "credential_invalid", 401, "the credential is not known";
    /// No `exp`.
    ExpiryMissing = "expiry_missing", 400, "exp is missing";
    /// The issuer has signed it for another caller.
    CallerUnknown = "caller_unknown", 403, "the caller is none of those that may ask for this";
    /// Nothing is known of the user.
    SubjectUnknown = "subject_unknown", 404, "nothing is known of the user";
    /// The user has no name in access tokens.
    SubjectUnusable = "subject_unusable", 422, "the user cannot be named in access tokens";
    /// The clock here is not to be trusted.
    ClocksDisagree = "clocks_disagree", 503, "the clock here is off, so that nothing can be cut off up to now";
    /// The keys of the issuer are not known at present.
    KeysUnavailable = "keys_unavailable", 503, "the keys of the issuer are not known at present";
    /// Too much is going on.
    Overloaded = "overloaded", 503, "too many signals are being worked on";
    /// The revocation could not be written, or what it needs not be read.
    StoreUnavailable = "store_unavailable", 503, "nothing can be read or written at present";
    /// It was revoked, and that it was could not be recorded.
    RecordsUnavailable = "records_unavailable", 503, "nothing can be recorded at present";
    /// It was not done in time. It may still be.
    TimedOut = "timed_out", 503, "it was not done in time";
}

impl Code {
    pub(super) fn status(self) -> StatusCode {
        StatusCode::from_u16(self.number()).unwrap_or(StatusCode::BAD_REQUEST)
    }

    /// `error` of the answer, as RFC 6749 section 5.2 and RFC 7009 section 2.2.1 have it.
    pub(super) const fn error(self) -> &'static str {
        match self {
            Self::ClientMissing | Self::ClientRefused | Self::AssertionRepeated => "invalid_client",
            Self::ClientNotPermitted => "unauthorized_client",
            Self::TokenOfOther => "invalid_grant",
            Self::TokenUnnamed => "unsupported_token_type",
            _ if self.is_temporary() => "temporarily_unavailable",
            _ => "invalid_request",
        }
    }

    /// Whether the sender may try again.
    pub(super) const fn is_temporary(self) -> bool {
        matches!(self.number(), 408 | 429 | 503)
    }

    /// Whether only genuine signals are refused for it: those that are in order and were not carried
    /// out before. Anyone can send the others, also users with tokens that the issuer has signed.
    pub(super) const fn is_of_genuine(self) -> bool {
        matches!(
            self,
            Self::TooManySignals
                | Self::NothingToRevoke
                | Self::SubjectFormatUnknown
                | Self::SubjectCritical
                | Self::CriticalUnknown
                | Self::SubjectForeign
                | Self::SubjectUnknown
                | Self::SubjectUnusable
                | Self::ClocksDisagree
                | Self::StoreUnavailable
                | Self::RecordsUnavailable
        )
    }

    /// By what a transmitter of security events is told (RFC 8935 section 2.4, and Shared Signals
    /// Framework 1.0 section 8.1.4.1); nothing where it may try again.
    pub(super) const fn of_event(self) -> Option<&'static str> {
        Some(match self {
            Self::KeyUnknown | Self::AlgorithmMismatch => "invalid_key",
            Self::IssuerUnknown => "invalid_issuer",
            Self::AudienceMismatch => "invalid_audience",
            Self::SignatureInvalid | Self::AuthorizationInvalid => "authentication_failed",
            Self::ReceiverOff => "access_denied",
            Self::StateMismatch => "invalid_state",
            code if code.is_temporary() => return None,
            _ => "invalid_request",
        })
    }

    /// A refusal for this, with what the operator should know.
    pub(super) fn because(self, detail: impl Into<String>) -> Refusal {
        Refusal {
            code: self,
            detail: detail.into(),
        }
    }
}

impl From<Code> for Refusal {
    fn from(code: Code) -> Self {
        code.because(code.description())
    }
}

impl From<Doubt> for Refusal {
    fn from(doubt: Doubt) -> Self {
        match doubt {
            Doubt::Refused(reason) => Code::from(reason).into(),
            Doubt::StrangeIssuer => Code::IssuerUnknown.into(),
            Doubt::Unknown(_) => Code::KeysUnavailable.because(
                "the keys of the issuer could not be fetched, or it is not known yet whether the \
                 token's key is a new one",
            ),
            Doubt::Overloaded => Code::Overloaded.into(),
        }
    }
}

/// Of what can be found without knowing what the statement says.
impl From<Reason> for Code {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::TokenTooLarge => Self::TokenTooLarge,
            Reason::CriticalHeader => Self::CriticalHeader,
            Reason::TimeInMilliseconds => Self::TimeInMilliseconds,
            Reason::KeyUnknown => Self::KeyUnknown,
            Reason::AlgorithmMismatch => Self::AlgorithmMismatch,
            Reason::SignatureInvalid => Self::SignatureInvalid,
            _ => Self::TokenMalformed,
        }
    }
}

impl From<RequestError> for Refusal {
    fn from(error: RequestError) -> Self {
        let code = match error {
            RequestError::Clocks(_) => Code::ClocksDisagree,
            _ => Code::SubjectInvalid,
        };
        code.because(error.to_string())
    }
}

impl From<WriteError> for Refusal {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Overloaded => Code::Overloaded.because(error.to_string()),
            WriteError::Unavailable => Code::StoreUnavailable.because(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_code_has_a_label_of_its_own_and_a_status_that_its_sender_understands() {
        let labels: HashSet<_> = Code::ALL.iter().map(|code| code.label()).collect();
        assert_eq!(labels.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(
                [400, 401, 403, 404, 408, 422, 429, 503].contains(&code.number()),
                "{}",
                code.label()
            );
            // RFC 6749 section 5.2 allows no others in `error_description`.
            let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
            assert!(code.description().bytes().all(is_plain));
        }
    }
}
