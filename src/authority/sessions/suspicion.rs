//! What looks stolen: a session that is used as no single person uses it.
//!
//! Three things are looked for, all of them in what edges report anyway:
//!
//! | | |
//! |---|---|
//! | `networks` | two networks take turns, more often and faster than a device changes between them |
//! | `clients` | two kinds of client take turns on networks that they do not share |
//! | `rate` | far more requests than usual for the session, and than any person makes |
//!
//! # Why turns, and not distance?
//!
//! Distance needs a database of where addresses are, which is wrong about mobile networks by
//! hundreds of kilometres, and a thief rents a machine in the victim's city. What a thief cannot
//! avoid is that the victim goes on using the session. So the question is how often **one** device
//! would have had to change its network to explain what was seen: once or twice for a way from the
//! Wi-Fi to the street and back, or for a VPN that is switched on; every minute if there are two
//! devices. [`changes`] gives the least number, so that reports that are a minute coarse, late or
//! out of order never make a device change more often than it did.
//!
//! # What is ordinary
//!
//! - **IPv4 beside IPv6**: a device with both uses either for each connection. Networks of
//!   different versions are never compared.
//! - **Carrier NAT** that gives each connection another address: networks count as one by their
//!   first 16 bits (IPv6: 32).
//! - **A web view beside its HTTP library**, and a page beside its service worker: two clients that
//!   were seen on one network belong together from then on.
//!
//! # What is not seen
//!
//! A thief on the victim's network with the victim's kind of client; one that stops before the
//! victim comes back; one that acts as seldom as the victim rests.

use std::fmt;

mod network;
#[cfg(test)]
mod population;
mod response;
mod trace;
mod watch;

use super::Network;
use network::{contains, shortened};
pub(in crate::authority) use response::{EVENT, Kept, Parts, Responder};
pub(in crate::authority) use watch::Watch;

/// What kind of thing was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::authority) enum Kind {
    /// Two networks took turns.
    Networks,
    /// Two kinds of client took turns on different networks.
    Clients,
    /// Far too many requests.
    Rate,
}

impl Kind {
    pub(in crate::authority) const ALL: [Self; 3] = [Self::Networks, Self::Clients, Self::Rate];

    /// Its name in configurations, logs, metrics and events.
    #[must_use]
    pub(in crate::authority) const fn name(self) -> &'static str {
        match self {
            Self::Networks => "networks",
            Self::Clients => "clients",
            Self::Rate => "rate",
        }
    }
}

/// Something that no single person does, with what shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) enum Finding {
    /// One device would have changed between these networks at least this often.
    Networks(Turns),
    /// The same of two networks, each of which was used by a kind of client of its own.
    Clients(Turns),
    /// Requests a minute, each of the last minutes.
    Rate {
        /// In the least busy of these minutes.
        requests: u16,
        /// On average in the minutes before, in which there were any.
        usual: u16,
        /// How many minutes on end.
        minutes: u8,
    },
}

/// Two networks that took turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Turns {
    /// The networks, as coarse as they are compared.
    pub networks: [Network; 2],
    /// The least number of changes that explains what was seen.
    pub changes: u8,
    /// Within so many minutes.
    pub minutes: u8,
}

impl Finding {
    #[must_use]
    pub(in crate::authority) const fn kind(&self) -> Kind {
        match self {
            Self::Networks(_) => Kind::Networks,
            Self::Clients(_) => Kind::Clients,
            Self::Rate { .. } => Kind::Rate,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Networks(turns) => turns.fmt(formatter),
            Self::Clients(turns) => {
                write!(
                    formatter,
                    "two kinds of client, each on its own network: {turns}"
                )
            }
            Self::Rate {
                requests,
                usual,
                minutes,
            } => write!(
                formatter,
                "{requests} requests a minute for {minutes} minutes, where {usual} are usual"
            ),
        }
    }
}

impl fmt::Display for Turns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            networks: [first, second],
            changes,
            minutes,
        } = self;
        write!(
            formatter,
            "{first} and {second} took turns at least {changes} times in {minutes} minutes"
        )
    }
}

/// What is looked for, and what is done about it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::authority) struct Policy {
    /// From where on something is noticed.
    pub thresholds: Thresholds,
    /// What is done then.
    pub reactions: Reactions,
}

/// What is done about a session, for each kind of thing that was noticed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::authority) struct Reactions {
    /// For `networks`.
    pub networks: Reaction,
    /// For `clients`.
    pub clients: Reaction,
    /// For `rate`.
    pub rate: Reaction,
}

/// What is done about a session that looks stolen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::authority) enum Reaction {
    /// It is told.
    #[default]
    Report,
    /// It is ended as well.
    End,
}

impl Reactions {
    #[must_use]
    pub(in crate::authority) const fn to(self, kind: Kind) -> Reaction {
        match kind {
            Kind::Networks => self.networks,
            Kind::Clients => self.clients,
            Kind::Rate => self.rate,
        }
    }
}

/// From where on something is noticed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Thresholds {
    /// For `networks`; `None` when they are not looked at.
    pub networks: Option<Alternation>,
    /// For `clients`.
    pub clients: Option<Alternation>,
    /// For `rate`.
    pub rate: Option<Rate>,
    /// Bits of an IPv4 address by which two networks count as one; at most 32.
    pub ipv4_prefix: u8,
    /// The same of an IPv6 address; at most 32.
    pub ipv6_prefix: u8,
    /// Networks that say nothing: a company's VPN, a relay for privacy.
    pub ignored_networks: Vec<Network>,
    /// Kinds of client that say nothing.
    pub ignored_user_agents: Vec<String>,
}

/// How often networks may take turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Alternation {
    /// Changes from which on it is noticed.
    pub changes: u8,
    /// Within so many minutes, at most [`MAX_MINUTES`].
    pub minutes: u8,
}

/// How many requests there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Rate {
    /// In a minute, from which on it may be noticed.
    pub requests_per_minute: u16,
    /// And how many times what is usual for the session.
    pub times_usual: u16,
    /// For so many minutes on end, at most [`MAX_RATE_MINUTES`].
    pub minutes: u8,
}

/// Minutes that a session's past reaches back.
pub(in crate::authority) const MAX_MINUTES: u8 = 32;

/// Minutes whose requests are counted one by one.
pub(in crate::authority) const MAX_RATE_MINUTES: u8 = 3;

impl Default for Thresholds {
    /// The figures in `envoy/sessions.md` are those of these values, and a test holds both against
    /// the simulated population.
    fn default() -> Self {
        Self {
            networks: Some(Alternation {
                changes: 7,
                minutes: 15,
            }),
            clients: Some(Alternation {
                changes: 2,
                minutes: 30,
            }),
            rate: Some(Rate {
                requests_per_minute: 600,
                times_usual: 10,
                minutes: 3,
            }),
            ipv4_prefix: 16,
            ipv6_prefix: 32,
            ignored_networks: Vec::new(),
            ignored_user_agents: Vec::new(),
        }
    }
}

impl Thresholds {
    /// The network as it is compared with others, if it says anything.
    fn compared(&self, network: Network) -> Option<Network> {
        let is_ignored = |ignored: &Network| contains(*ignored, network);
        if self.ignored_networks.iter().any(is_ignored) {
            return None;
        }
        Some(shortened(network, self.prefix(network.address().is_ipv6())))
    }

    const fn prefix(&self, is_ipv6: bool) -> u8 {
        if is_ipv6 {
            self.ipv6_prefix
        } else {
            self.ipv4_prefix
        }
    }

    fn is_client_ignored(&self, name: &str) -> bool {
        self.ignored_user_agents
            .iter()
            .any(|ignored| ignored.eq_ignore_ascii_case(name))
    }
}

/// The least number of times that one device has changed between two networks, if it was on them in
/// these minutes; bit 0 is the newest. In a minute that has both, it has changed at least once.
#[must_use]
fn changes(first: u32, second: u32, minutes: u8) -> u8 {
    /// More than can be: the device cannot have been on this network at the end of the minute.
    const NEVER: u8 = 0x7F;
    // Least changes so far if the device was last on the first, and on the second.
    let (mut on_first, mut on_second) = (0, 0);
    for minute in (0..minutes.min(MAX_MINUTES)).rev() {
        let is_in = |bits: u32| bits >> minute & 1 == 1;
        let from_first = (on_first + 1).min(NEVER);
        let from_second = (on_second + 1).min(NEVER);
        (on_first, on_second) = match (is_in(first), is_in(second)) {
            (false, false) => continue,
            (true, false) => (on_first.min(from_second), NEVER),
            (false, true) => (NEVER, on_second.min(from_first)),
            (true, true) => (
                from_second.min(from_first + 1).min(NEVER),
                from_first.min(from_second + 1).min(NEVER),
            ),
        };
    }
    on_first.min(on_second)
}

/// The minute of an instant in milliseconds since the epoch.
fn minute_of(milliseconds: u64) -> u32 {
    u32::try_from(milliseconds / MINUTE_MILLISECONDS).unwrap_or(u32::MAX)
}

const MINUTE_MILLISECONDS: u64 = 60_000;

#[cfg(test)]
mod tests;
