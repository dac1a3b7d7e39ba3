//! Why a request was let through or refused, and what follows from it for the client.

mod problem;

pub use problem::{Action, ChallengeKind, Problem};

pub use crate::outcome::{Admission, Outcome, Reason, Service};

use super::text::TooLong;
use crate::revocation::Cause;
use crate::token::{ClaimError, SignatureError, TokenError};

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

impl Reason {
    /// Whether another sign-in of the same user would do.
    pub(super) const fn is_about_sign_in(self) -> bool {
        matches!(
            self,
            Self::AuthenticationTooWeak | Self::AuthenticationTooOld
        )
    }

    /// Whether another proof of the token's key would do.
    pub(super) const fn is_mended_by_proof(self) -> bool {
        matches!(
            self,
            Self::ProofMissing
                | Self::ProofOutdated
                | Self::ProofNonceMissing
                | Self::ProofReplayed
        )
    }

    /// Whether the token was revoked, and it is known that it was.
    #[must_use]
    pub(super) const fn is_revocation(self) -> bool {
        matches!(
            self,
            Self::TokenRevoked
                | Self::SessionIdle
                | Self::SessionTooOld
                | Self::SessionDisplaced
                | Self::TokenSuspended
        )
    }
}

/// Why a revoked token is refused. That a session ended by itself may be told to the client, which has a
/// genuine token of it; that it looked stolen may not.
impl From<Cause> for Reason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Plain | Cause::Rotated | Cause::Suspicious => Self::TokenRevoked,
            Cause::Idle => Self::SessionIdle,
            Cause::TooOld => Self::SessionTooOld,
            Cause::Displaced => Self::SessionDisplaced,
            Cause::Suspended => Self::TokenSuspended,
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
