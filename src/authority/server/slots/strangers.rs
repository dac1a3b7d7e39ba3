//! Connections without a valid credential so far, and which of them makes room for another.
//!
//! | if | it is |
//! |---|---|
//! | one network has more than its share | the oldest of that network without a request in progress, else its oldest |
//! | the network with most of those without a request in progress has more than half as many connections as the largest | the oldest of these |
//! | otherwise | that of the largest network, as above |
//!
//! A request in progress may be a user's only sign-out, while a connection without one has asked for nothing.
//! It is no shield, though: what can open connections can begin requests on them. So it counts for no
//! more than a share of one network, and not against one with few connections, which may be a provider that
//! has not sent its request yet.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use tokio::sync::Notify;

/// The connection of a stranger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stranger {
    /// Rising with time.
    pub(super) number: u64,
    /// As [`network`] gives it.
    pub(super) network: IpAddr,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    networks: HashMap<IpAddr, Connections>,
    /// The networks by how many connections they have, and by their oldest one.
    by_all: BTreeSet<Place>,
    /// The same of those without a request in progress.
    by_idle: BTreeSet<Place>,
}

/// The last one is the first to make room.
type Place = (usize, Reverse<u64>, IpAddr);

/// The connections of a network, the oldest first, each with the signal that closes it.
#[derive(Debug, Default)]
struct Connections {
    idle: BTreeMap<u64, Arc<Notify>>,
    /// Those with a request in progress.
    busy: BTreeMap<u64, Arc<Notify>>,
}

/// Whose connections are counted together: an IPv4 address, or what one subscriber of IPv6 can have.
pub(super) fn network(address: IpAddr) -> IpAddr {
    const SUBSCRIBER: u128 = u128::MAX << (u128::BITS - 48);
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & SUBSCRIBER)),
        address @ IpAddr::V4(_) => address,
    }
}

impl Strangers {
    pub(super) fn insert(&mut self, stranger: Stranger, is_busy: bool, send_away: Arc<Notify>) {
        self.change(stranger.network, |connections| {
            connections.of(is_busy).insert(stranger.number, send_away);
        });
    }

    pub(super) fn contains(&self, stranger: Stranger) -> bool {
        let connections = self.networks.get(&stranger.network);
        connections.is_some_and(|connections| {
            let number = &stranger.number;
            connections.idle.contains_key(number) || connections.busy.contains_key(number)
        })
    }

    pub(super) fn remove(&mut self, stranger: Stranger) -> Option<Arc<Notify>> {
        self.change(stranger.network, |connections| {
            connections.remove(stranger.number)
        })
    }

    /// A request begins on the connection, or is answered.
    pub(super) fn set_busy(&mut self, stranger: Stranger, is_busy: bool) {
        self.change(stranger.network, |connections| {
            if let Some(send_away) = connections.remove(stranger.number) {
                connections.of(is_busy).insert(stranger.number, send_away);
            }
        });
    }

    /// Takes out the one that makes room, where a network may have so many.
    pub(super) fn take_out(&mut self, share: usize) -> Option<Arc<Notify>> {
        let largest = self.by_all.last()?;
        let all_of = |network| self.networks.get(&network).map_or(0, Connections::count);
        let is_large = |network| all_of(network).saturating_mul(2) > largest.0;
        let idle = self.by_idle.last();
        let idle = idle.filter(|(_, _, network)| largest.0 <= share && is_large(*network));
        let (_, _, network) = *idle.unwrap_or(largest);
        let connections = self.networks.get(&network)?;
        let mut oldest = connections.idle.keys().chain(connections.busy.keys());
        let number = *oldest.next()?;
        self.remove(Stranger { number, network })
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.networks.is_empty() && self.by_all.is_empty() && self.by_idle.is_empty()
    }

    /// Changes the connections of a network, and its places.
    fn change<T>(&mut self, network: IpAddr, change: impl FnOnce(&mut Connections) -> T) -> T {
        let connections = self.networks.entry(network).or_default();
        let before = connections.places(network);
        let changed = change(connections);
        let after = connections.places(network);
        if after.0.is_none() {
            self.networks.remove(&network);
        }
        for (places, before, after) in [
            (&mut self.by_all, before.0, after.0),
            (&mut self.by_idle, before.1, after.1),
        ] {
            if let Some(before) = before {
                places.remove(&before);
            }
            places.extend(after);
        }
        changed
    }
}

impl Connections {
    const fn of(&mut self, is_busy: bool) -> &mut BTreeMap<u64, Arc<Notify>> {
        if is_busy {
            &mut self.busy
        } else {
            &mut self.idle
        }
    }

    fn count(&self) -> usize {
        self.idle.len() + self.busy.len()
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Notify>> {
        let idle = self.idle.remove(&number);
        idle.or_else(|| self.busy.remove(&number))
    }

    /// Among all networks: by all connections, and by those without a request in progress.
    fn places(&self, network: IpAddr) -> (Option<Place>, Option<Place>) {
        let place = |count: usize, oldest: Option<&u64>| {
            oldest.map(|oldest| (count, Reverse(*oldest), network))
        };
        let (idle, busy) = (self.idle.keys().next(), self.busy.keys().next());
        let oldest = idle.into_iter().chain(busy).min();
        (place(self.count(), oldest), place(self.idle.len(), idle))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the order of their numbers: the last part of each address, and whether a request is in
    /// progress.
    fn strangers(connections: &[(u8, bool)]) -> Strangers {
        let mut strangers = Strangers::default();
        for (number, (last, is_busy)) in (0..).zip(connections) {
            strangers.insert(stranger(number, *last), *is_busy, Arc::default());
        }
        strangers
    }

    fn stranger(number: u64, last: u8) -> Stranger {
        Stranger {
            number,
            network: IpAddr::from([192, 0, 2, last]),
        }
    }

    /// The numbers in the order in which they make room.
    fn order(mut strangers: Strangers, connections: &[(u8, bool)], share: usize) -> Vec<u64> {
        let mut left: Vec<_> = (0..)
            .zip(connections)
            .map(|(number, (last, _))| stranger(number, *last))
            .collect();
        let mut order = Vec::new();
        while strangers.take_out(share).is_some() {
            left.retain(|stranger| {
                let is_left = strangers.contains(*stranger);
                if !is_left {
                    order.push(stranger.number);
                }
                is_left
            });
        }
        assert!(strangers.is_empty(), "{strangers:?}");
        order
    }

    #[test]
    fn the_network_with_the_most_makes_room_and_of_it_what_is_not_in_use() {
        for (connections, share, expected) in [
            // The oldest, where they are of one network.
            (
                &[(1, false), (1, false), (1, false)][..],
                1,
                [0, 1, 2].to_vec(),
            ),
            // Before it, those of a network with more, in use or not.
            (
                &[(1, false), (2, true), (2, true), (2, false)],
                1,
                [3, 1, 0, 2].to_vec(),
            ),
            // Within its share, what is in use stays.
            (
                &[(2, true), (2, true), (1, false), (1, false)],
                2,
                [2, 0, 3, 1].to_vec(),
            ),
            // One that is small beside it does not make room for that.
            (
                &[(2, true), (2, true), (1, false), (3, false)],
                2,
                [0, 2, 3, 1].to_vec(),
            ),
        ] {
            let order = order(strangers(connections), connections, share);
            assert_eq!(order, expected, "{connections:?}");
        }
    }

    #[test]
    fn what_begins_and_ends_on_a_connection_counts() {
        let connections = [(1, false), (2, false)];
        let mut strangers = strangers(&connections);
        strangers.set_busy(stranger(0, 1), true);
        strangers.set_busy(stranger(1, 2), true);
        strangers.set_busy(stranger(1, 2), false);
        // One that is gone does not come back.
        strangers.set_busy(stranger(7, 7), true);
        assert_eq!(order(strangers, &connections, 1), [1, 0]);
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_network() {
        let address = |network, last| IpAddr::from([0x2001, 0xdb8, network, last, 0, 0, 0, last]);
        assert_eq!(network(address(1, 1)), network(address(1, 2)));
        assert_ne!(network(address(1, 1)), network(address(2, 1)));
    }
}
