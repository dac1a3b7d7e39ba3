//! What may change a failure: newer keys, or the authority's answer.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Decision, Failure, Observer};
use crate::gate::keys::{KeySource, Lack, RemoteKeys};
use crate::gate::policy::Provider;
use crate::gate::reason::Reason;
use crate::gate::token_cache::Key as TokenId;
use crate::gate::verification::Objection;
use crate::gate::{Attempt, Wait};
use crate::host::Host;
use crate::token::{Algorithm, UnverifiedToken};

/// A token for which a key is looked for.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::gate) struct Sought {
    pub(super) token: TokenId,
    /// A hash of the id of its key, if newer keys may have it.
    pub(super) key: Option<u64>,
}

impl<'g, H: Host, O: Observer> Decision<'g, H, O> {
    /// What comes of an objection of the provider with this place, and what may change it.
    pub(super) fn failure(
        &self,
        place: usize,
        provider: &'g Provider,
        objection: Objection,
    ) -> Failure<'g> {
        let (reason, wait) = match objection {
            Objection::Ask(question) => {
                let wait = Wait::Confirmation(question);
                (Reason::RevocationUnconfirmed, Some(wait))
            }
            Objection::Refused(reason) => {
                let may_wait = self.attempt == Attempt::First
                    && matches!(provider.keys, KeySource::Remote(_))
                    && self.answer_of(self.sought.token).is_none()
                    && self.may_change(place, reason);
                let lack = Lack {
                    provider: place,
                    token: self.sought.token,
                    key: self.sought.key.unwrap_or_default(),
                    reason,
                };
                (reason, may_wait.then_some(Wait::Keys(lack)))
            }
        };
        Failure {
            provider: Some(provider),
            wait,
            ..reason.into()
        }
    }

    /// Whether newer keys of the provider may let a token in that was refused for this.
    fn may_change(&self, place: usize, reason: Reason) -> bool {
        let keys = &self.gate.verification.keys;
        match reason {
            Reason::KeysUnavailable | Reason::IssuerUndisclosed => true,
            Reason::KeyUnknown => self.sought.key.is_some(),
            Reason::SignatureInvalid | Reason::AlgorithmMismatch => {
                self.sought.key.is_some() && !keys.are_trusted(place, self.now_milliseconds())
            }
            _ => false,
        }
    }

    /// What has come of waiting for newer keys for this token.
    pub(super) fn answer_of(&self, token: TokenId) -> Option<Reason> {
        let mut answers = self.answers.keys.iter();
        let answer = answers.find(|answer| answer.token == token)?;
        Some(answer.reason)
    }
}

/// A hash of the id of the key that may have made the signature. No key of the provider has if the
/// algorithm is none of its own, or if everybody could fetch it with the set.
pub(super) fn key_of(remote: &RemoteKeys, token: &UnverifiedToken<'_>) -> Option<u64> {
    let algorithm = Algorithm::from_name(token.unverified_algorithm())?;
    let mut hasher = DefaultHasher::new();
    token.unverified_key_id().hash(&mut hasher);
    let is_possible = remote.rules.allows(algorithm) && !algorithm.is_symmetric();
    is_possible.then(|| hasher.finish())
}
