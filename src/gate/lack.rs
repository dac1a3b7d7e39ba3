//! What a request lacks while the keys in force do not let its token in.

use std::time::Duration;

use super::reason::Reason;
use super::token_cache::TokenId;
use crate::keys::{MissingKey, TRUSTED_AGE};

/// What the keys in force say against a token, while newer ones may say something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Index of the provider, as in [`super::Policy::key_sources`].
    pub provider: usize,
    pub(super) token: TokenId,
    /// A hash of the id of the key that is needed.
    pub(super) key: u64,
    /// What the token is refused for if newer keys do not let it in.
    pub(super) reason: Reason,
}

/// How a wait for newer keys of a provider has ended: why a token is refused after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAnswer {
    pub(super) token: TokenId,
    pub(super) reason: Reason,
}

impl KeyAnswer {
    /// Why the token is refused.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub const fn reason(self) -> Reason {
        self.reason
    }
}

impl Lack {
    /// The key that is needed. An older fetch can settle that a signature is bad, but not that
    /// there is no key of this name: issuers begin to use keys that they have only just published.
    #[must_use]
    pub const fn missing_key(&self) -> MissingKey {
        MissingKey {
            provider: self.provider,
            key: self.key,
            tolerance: match self.reason {
                Reason::SignatureInvalid | Reason::AlgorithmMismatch => TRUSTED_AGE,
                _ => Duration::ZERO,
            },
        }
    }

    /// The answer when such a fetch has brought no better keys.
    #[must_use]
    pub const fn settled(self) -> KeyAnswer {
        KeyAnswer {
            token: self.token,
            reason: self.reason,
        }
    }

    /// The answer when there was no such fetch, or none in time.
    #[must_use]
    pub const fn unsettled(self) -> KeyAnswer {
        KeyAnswer {
            token: self.token,
            reason: match self.reason {
                reason @ (Reason::KeysUnavailable | Reason::IssuerUndisclosed) => reason,
                _ => Reason::KeyUnconfirmed,
            },
        }
    }
}
