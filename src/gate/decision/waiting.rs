//! When newer keys may let in a token that those in force do not.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::{Decision, Observer, Setback};
use crate::gate::lack::Lack;
use crate::gate::policy::Provider;
use crate::gate::reason::Reason;
use crate::gate::token_cache::TokenId;
use crate::gate::{Attempt, Wait};
use crate::host::Host;
use crate::keys::{KeyRing, KeySource, RemoteKeys};
use crate::token::{Algorithm, UnverifiedToken};

/// A token whose key is sought.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sought {
    pub(super) token: TokenId,
    /// A hash of the id of its key, if newer keys may have it.
    pub(super) key: Option<u64>,
}

impl<'g, H: Host, O: Observer> Decision<'g, H, O> {
    /// What follows if the keys in force of this provider do not let the token in: a refusal, or a
    /// wait.
    pub(super) fn lacking(
        &self,
        index: usize,
        provider: &Provider,
        sought: Sought,
        reason: Reason,
    ) -> Setback<'g> {
        let may_wait = self.attempt == Attempt::First
            && matches!(provider.keys, KeySource::Remote(_))
            && self.answer_of(sought.token).is_none()
            && {
                let keys = &self.gate.verification.keys;
                let now = || self.now_milliseconds();
                may_change(keys, index, sought.key, now, reason)
            };
        if !may_wait {
            return reason.into();
        }
        Setback::Waits {
            on: Wait::Keys(Lack {
                provider: index,
                token: sought.token,
                key: sought.key.unwrap_or_default(),
                reason,
            }),
            provider: index,
        }
    }

    /// The answer that the wait for newer keys for this token has ended with, if it has.
    pub(super) fn answer_of(&self, token: TokenId) -> Option<Reason> {
        let mut answers = self.answers.keys.iter();
        let answer = answers.find(|answer| answer.token == token)?;
        Some(answer.reason)
    }
}

/// Whether newer keys of the provider may let in a token that was refused for this reason, and whose
/// key has this hash.
pub(in crate::gate) fn may_change(
    keys: &KeyRing,
    provider: usize,
    key: Option<u64>,
    now_milliseconds: impl FnOnce() -> u64,
    reason: Reason,
) -> bool {
    match reason {
        Reason::KeysUnavailable | Reason::IssuerUndisclosed => true,
        Reason::KeyUnknown => key.is_some(),
        Reason::SignatureInvalid | Reason::AlgorithmMismatch => {
            key.is_some() && !keys.are_trusted(provider, now_milliseconds())
        }
        _ => false,
    }
}

/// A hash of the id of the key that may have made the signature. `None` if newer keys cannot help:
/// the provider does not use the algorithm, or it is symmetric, and a fetched secret is not secret.
pub(in crate::gate) fn key_of(remote: &RemoteKeys, token: &UnverifiedToken<'_>) -> Option<u64> {
    let algorithm = Algorithm::from_name(token.unverified_algorithm())?;
    let mut hasher = DefaultHasher::new();
    token.unverified_key_id().hash(&mut hasher);
    let is_possible = remote.rules.allows(algorithm) && !algorithm.is_symmetric();
    is_possible.then(|| hasher.finish())
}
