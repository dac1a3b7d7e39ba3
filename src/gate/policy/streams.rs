//! What becomes of a request in progress whose token ends.

use std::time::Duration;

/// The `streams` part of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamRules {
    /// When a token that let it in is revoked.
    pub on_revocation: StreamRule,
    /// When a token that let it in expires.
    pub on_expiry: StreamRule,
    /// How long it may go on after that.
    pub expiry_grace: Duration,
}

/// What becomes of a request in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamRule {
    /// It is ended.
    Close,
    /// It goes on.
    Keep,
}

impl Default for StreamRules {
    fn default() -> Self {
        Self {
            on_revocation: StreamRule::Close,
            on_expiry: StreamRule::Keep,
            expiry_grace: Duration::ZERO,
        }
    }
}
