//! Why a call to a transmitter came to nothing.

use std::fmt;
use std::time::Duration;

/// A call that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Fault {
    /// For programs.
    pub(in crate::authority) reason: FaultReason,
    /// For the operator. Never anything of a credential.
    pub(in crate::authority) detail: String,
    /// How long the transmitter wants to be left alone.
    pub(in crate::authority) retry_after: Option<Duration>,
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $label:literal;)*) => {
        /// Why a call came to nothing.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub(in crate::authority) enum FaultReason { $($(#[$doc])* $name,)* }

        impl FaultReason {
            /// Every reason.
            pub(in crate::authority) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// In metrics, answers and the log.
            pub(in crate::authority) const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }
        }
    };
}

reasons! {
    /// No connection, or one that broke.
    Unreachable = "unreachable";
    /// No answer in time.
    TimedOut = "timed_out";
    /// A secret is not there, or the authorization server gave no token for it.
    CredentialRefused = "credential_refused";
    /// 401.
    Unauthorized = "unauthorized";
    /// 403.
    Forbidden = "forbidden";
    /// 404 or 410.
    NotFound = "not_found";
    /// 405 or 501.
    MethodUnknown = "method_unknown";
    /// 409.
    Conflict = "conflict";
    /// 429.
    TooMany = "too_many";
    /// Any other 4xx.
    Rejected = "rejected";
    /// 3xx, which is not followed.
    Redirected = "redirected";
    /// 5xx.
    Failing = "failing";
    /// A longer answer than is read.
    AnswerTooLarge = "answer_too_large";
    /// An answer that is not what its specification says.
    AnswerInvalid = "answer_invalid";
    /// Metadata of another issuer, or that names what may not be asked.
    MetadataInvalid = "metadata_invalid";
    /// The transmitter does not offer what is needed.
    Unsupported = "unsupported";
    /// What it gave could not be kept on the disk here.
    NotKept = "not_kept";
}

impl FaultReason {
    /// A fault for this, with what the operator should know.
    pub(in crate::authority) fn because(self, detail: impl Into<String>) -> Fault {
        Fault {
            reason: self,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// Whether the transmitter does not know what was asked, or answers something else.
    pub(in crate::authority::signals) const fn is_of_request(self) -> bool {
        matches!(
            self,
            Self::NotFound | Self::MethodUnknown | Self::Rejected | Self::AnswerInvalid
        )
    }

    /// What a status that is no success means.
    pub(super) const fn of_status(status: u16) -> Self {
        match status {
            300..=399 => Self::Redirected,
            401 => Self::Unauthorized,
            403 => Self::Forbidden,
            404 | 410 => Self::NotFound,
            405 | 501 => Self::MethodUnknown,
            409 => Self::Conflict,
            429 => Self::TooMany,
            400..=499 => Self::Rejected,
            _ => Self::Failing,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.detail)
    }
}
