//! What is told when a requirement is not met.

use crate::gate::Wait;
use crate::gate::policy::{Provider, TokenRequirement};
use crate::gate::reason::Reason;

/// Why a requirement is not met.
#[derive(Clone, Debug)]
pub(in crate::gate) struct Failure<'g> {
    pub(in crate::gate) reason: Reason,
    /// Whose token it was about.
    pub(in crate::gate) provider: Option<&'g Provider>,
    /// What the token would have had to have, for the challenge.
    pub(in crate::gate) requirement: Option<&'g TokenRequirement>,
    /// What may change the outcome.
    pub(in crate::gate) wait: Option<Wait>,
}

impl From<Reason> for Failure<'_> {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            provider: None,
            requirement: None,
            wait: None,
        }
    }
}

impl Failure<'_> {
    /// How much a failure says among those of several alternatives. What can still change comes
    /// first; that a token is another issuer's, or not there, says least.
    ///
    /// A token that one provider has found forged could be another's, for all that its sender may
    /// know, as long as the other's keys are missing. So everything that is found before a
    /// signature says less than missing keys do, whether somebody waits for them or not, and
    /// whether `iss` is that of the provider or not. What is found behind a good signature says
    /// more: it is neither held up nor answered for the sake of another provider.
    const fn weight(&self) -> u8 {
        match (&self.wait, self.reason) {
            (Some(Wait::Keys(_)), _) => 6,
            (Some(Wait::Confirmation(_)), _) => 9,
            (None, reason) => Self::weight_of(reason),
        }
    }

    const fn weight_of(reason: Reason) -> u8 {
        match reason {
            Reason::TokenMissing => 0,
            // Said of the places of one provider, where another may have looked at the token.
            Reason::TokenInQuery => 1,
            Reason::IssuerMismatch => 2,
            Reason::KeyUnknown | Reason::AlgorithmMismatch | Reason::SignatureInvalid => 3,
            Reason::TokenAmbiguous
            | Reason::TokenTooLarge
            | Reason::TokenMalformed
            | Reason::TimeInMilliseconds
            | Reason::CriticalHeader => 4,
            Reason::KeysUnavailable | Reason::IssuerUndisclosed | Reason::KeyUnconfirmed => 5,
            Reason::RevocationUnavailable
            | Reason::RevocationStale
            | Reason::RevocationUnconfirmed => 8,
            _ => 7,
        }
    }

    /// The one of two failures that says more, the earlier one when they say the same, and the
    /// other one.
    pub(super) fn beside(self, earlier: Option<Self>) -> (Self, Option<Self>) {
        match earlier {
            Some(earlier) if earlier.weight() >= self.weight() => (earlier, Some(self)),
            earlier => (self, earlier),
        }
    }

    /// Whether it may turn out that nothing has failed.
    pub(super) const fn is_unknown(&self) -> bool {
        self.wait.is_some() || self.reason.answer().status == UNAVAILABLE
    }
}

/// The status that says that something is not known.
const UNAVAILABLE: u16 = 503;
