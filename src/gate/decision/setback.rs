//! How a decision ends for a request that is not let through.

use crate::gate::Wait;
use crate::gate::policy::{SignIn, TokenRequirement};
use crate::gate::reason::{Action, Reason};
use crate::time::UnixTime;

/// Why a request is not let through, so far.
#[derive(Clone, Debug)]
pub(in crate::gate) enum Setback<'g> {
    /// It is refused.
    Refused(Refusal<'g>),
    /// Something that may still change the outcome has to come first.
    Waits {
        /// What has to come.
        on: Wait,
        /// Index of the provider whose token waits.
        provider: usize,
    },
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug)]
pub(in crate::gate) struct Refusal<'g> {
    pub(in crate::gate) reason: Reason,
    /// Index of the provider whose token is refused.
    pub(in crate::gate) provider: Option<usize>,
    /// What the token would have to meet, for the challenge.
    pub(in crate::gate) requirement: Option<&'g TokenRequirement>,
    /// If it is about the user's sign-in: when that was at the latest, by the clock here.
    pub(in crate::gate) signed_in_by: Option<UnixTime>,
}

impl<'g> Refusal<'g> {
    /// What the rule asks of how the user has signed in.
    pub(in crate::gate) fn sign_in(self) -> Option<&'g SignIn> {
        self.requirement?.sign_in.as_deref()
    }
}

impl From<Reason> for Refusal<'_> {
    fn from(reason: Reason) -> Self {
        Self {
            reason,
            provider: None,
            requirement: None,
            signed_in_by: None,
        }
    }
}

impl From<Reason> for Setback<'_> {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason.into())
    }
}

impl<'g> Setback<'g> {
    /// The same setback, with the provider whose token it is about, and with what the token would
    /// have to meet if that is known.
    pub(super) fn about(self, provider: usize, requirement: Option<&'g TokenRequirement>) -> Self {
        match self {
            Self::Refused(refusal) => Self::Refused(Refusal {
                provider: Some(provider),
                requirement,
                ..refusal
            }),
            waits @ Self::Waits { .. } => waits,
        }
    }

    /// For a sign-in that was this late at the latest.
    pub(super) const fn of_sign_in(reason: Reason, signed_in_by: Option<UnixTime>) -> Self {
        Self::Refused(Refusal {
            reason,
            provider: None,
            requirement: None,
            signed_in_by,
        })
    }

    /// Whether another sign-in of the same user would do.
    pub(super) const fn is_about_sign_in(&self) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.reason.is_about_sign_in())
    }

    /// Whether any new token of the same session or user would do.
    pub(super) fn is_mended_by_sign_in(&self) -> bool {
        match self {
            Self::Refused(Refusal { reason, .. }) => {
                let action = reason.problem().action;
                matches!(action, Action::SignIn | Action::Refresh) && !reason.is_revocation()
            }
            Self::Waits { .. } => false,
        }
    }

    /// Whether the token would have to be of a certain sign-in.
    fn asks_for_sign_in(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.sign_in().is_some(),
            Self::Waits { .. } => false,
        }
    }

    /// Index of the provider whose token it is about.
    pub(super) const fn provider(&self) -> Option<usize> {
        match self {
            Self::Refused(refusal) => refusal.provider,
            Self::Waits { provider, .. } => Some(*provider),
        }
    }

    /// How much a setback says, compared with those of other alternatives. What can still change
    /// comes first; that a token is absent, or another issuer's, says least.
    ///
    /// A token that is forged for one provider could be genuine for another whose keys are missing.
    /// So everything that is found before a signature is verified says less than missing keys do,
    /// whether or not the request may wait for them, and whether or not `iss` is the provider's.
    /// What is found after a good signature says more: another provider neither delays it nor
    /// answers for it. Of these, that another sign-in or another proof would do says more than what
    /// nothing mends, that the session has ended more than that, and most what is not known.
    const fn weight(&self) -> u8 {
        match self {
            Self::Waits {
                on: Wait::Keys(_), ..
            } => 6,
            Self::Waits {
                on: Wait::Check(_) | Wait::Session(_),
                ..
            } => 11,
            Self::Refused(refusal) => weight_of(refusal.reason),
        }
    }

    /// The one of two setbacks that says more; if they say the same, one of which no certain sign-in is asked, or
    /// else the earlier one; and the other one.
    pub(super) fn beside(self, earlier: Option<Self>) -> (Self, Option<Self>) {
        let rank = |setback: &Self| (setback.weight(), !setback.asks_for_sign_in());
        match earlier {
            Some(earlier) if rank(&earlier) >= rank(&self) => (earlier, Some(self)),
            earlier => (self, earlier),
        }
    }

    /// Whether it may turn out that the token is good.
    pub(super) const fn is_unknown(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.reason.problem().status == UNAVAILABLE,
            Self::Waits { .. } => true,
        }
    }
}

const fn weight_of(reason: Reason) -> u8 {
    match reason {
        Reason::TokenMissing => 0,
        // About the locations of one provider; another may have looked at the token.
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
        | Reason::RevocationUnconfirmed
        | Reason::ProofsUnavailable => 10,
        reason if reason.is_revocation() => 9,
        reason if reason.is_about_sign_in() || reason.is_mended_by_proof() => 8,
        _ => 7,
    }
}

/// The status for what is not known.
const UNAVAILABLE: u16 = 503;
