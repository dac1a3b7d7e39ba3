//! What is told of the use of sessions.

use std::time::Duration;

/// The `activity` part of a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) struct ActivityRules {
    /// How often a session in use is reported at most.
    pub(in crate::gate) interval: Duration,
    /// What is told of the client's address.
    pub(in crate::gate) network: Detail,
    /// What is told of the client's software.
    pub(in crate::gate) user_agent: Detail,
    /// Whether requests in progress count.
    pub(in crate::gate) streams: StreamUse,
}

/// Whether a session is in use while a request in progress is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum StreamUse {
    /// It is, for as long as the request goes on.
    Count,
    /// It is when the request begins.
    Ignore,
}

/// How much is told of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Detail {
    /// Of an address the network that it is in, /24 of IPv4 and /48 of IPv6; of software its kind.
    Coarse,
    /// All of it.
    Full,
    /// Nothing.
    None,
}
