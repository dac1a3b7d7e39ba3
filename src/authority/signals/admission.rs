//! Who may have a signature checked, and how many genuine signals of an issuer are taken.
//!
//! Anyone who reaches the listener can send a token that claims to be of a known issuer. Checking its
//! signature is what costs something, so that is what is rationed, by where the token comes from. A secret
//! that is shown is compared first, which costs nothing: only wrong ones are counted, so that a
//! caller with the right one is never kept out by others who guess.
//!
//! A good signature alone does not make a signal genuine: every user has tokens that the issuer has
//! signed. Genuine is a logout token for this receiver that was not carried out already. One that was
//! counts for nothing: it is known by its bytes without a check, and where it is not known so any more,
//! its place is given back. What comes with the secret of a stream is not rationed here.
//!
//! | bucket | at once | per second | what fills it |
//! |---|---|---|---|
//! | of a network that has sent nothing genuine lately: an IPv4 address, or a /64 of IPv6 | 100 | 1 | tokens that were not genuine |
//! | of the /56 that such a /64 is in | 150 | 2 | the same |
//! | of the /48 that such a /64 is in | 200 | 5 | the same |
//! | of a network that has sent something genuine | 500 | 50 | the same |
//! | of all networks of the first kind together | 250 | 50 | the same |
//! | of those among them that claim one issuer, once the last one is empty | 250, divided by the number of issuers | 50, the same | the same |
//! | of an issuer | ten seconds' worth | `requests_per_second` | signals that *were* genuine |
//!
//! The first genuine one of a network makes it known, a millisecond after it came. Until then, its bucket
//! has to hold what a provider sends that has never sent anything, signs out all of its users at once, and
//! tries once.
//!
//! So a flood costs at most some hundred checks a second, whatever it consists of and wherever it
//! comes from, and a network from which genuine signals come is served all the while, also after a
//! restart: which ones these are is kept in the ledger. What is not checked is answered 429 at once.
//!
//! # Why are there wider networks of IPv6?
//!
//! A subscriber has a /56 or a /48: 256 networks, or 65,536. With a bucket for each /64 alone, one of them
//! could empty that of all strangers. A network that is known has its own bucket and no other, so that its
//! neighbours take nothing from it.
//!
//! # Why a share for each issuer, where anyone can claim any?
//!
//! It is room beside that of all, and nothing else is counted against the issuer that a token claims: what
//! is known is never asked whom it claims. A forger who claims one issuer empties the common bucket and the
//! share of that one, whose provider is no worse off than without shares; to those that were never heard
//! of before, of every other issuer, their shares stay. Without them, he would keep out all.
//!
//! # What if the forger is in the provider's own network, as behind one load balancer?
//!
//! Then the two share the bucket of that network, and beyond fifty forged tokens a second genuine ones
//! are refused too. The load balancer has to let only the provider's addresses through, or to be one
//! that keeps the address of a connection.

mod bucket;

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::reason::{Code, Refusal};
use crate::authority::clocks::network;
use crate::authority::verifier::Standing;
use bucket::{Bucket, Rate};

/// Networks that are told apart; more than these share the bucket of all strangers only.
const MOST_NETWORKS: usize = 8_192;

/// How long a network counts as one that sends genuine signals.
pub(super) const REPUTATION: Duration = Duration::from_hours(24);

/// How often it is written to the disk that a network is one, at most.
const KEPT_EVERY: Duration = Duration::from_hours(1);

/// Of networks that have sent nothing genuine.
const STRANGER: Rate = Rate {
    burst: 100.0,
    per_second: 1.0,
};

/// Of those around a /64 of IPv6 that has not, by their lengths: less than that of all strangers, so
/// that one subscriber cannot empty it.
const AROUND: [(u32, Rate); 2] = [
    (
        48,
        Rate {
            burst: 200.0,
            per_second: 5.0,
        },
    ),
    (
        56,
        Rate {
            burst: 150.0,
            per_second: 2.0,
        },
    ),
];

/// Of networks that have.
const KNOWN: Rate = Rate {
    burst: 500.0,
    per_second: 50.0,
};

/// Of all strangers together.
const STRANGERS: Rate = Rate {
    burst: 250.0,
    per_second: 50.0,
};

/// Of strangers beside that, a part of it for each issuer.
const SHARED: Rate = STRANGERS;

/// Records of what nothing is known of.
const NOTES: Rate = Rate {
    burst: 50.0,
    per_second: 5.0,
};

/// For how many seconds' worth of genuine signals there is room at once.
const SECONDS_AT_ONCE: f64 = 10.0;

/// What is rationed.
#[derive(Debug)]
pub(super) struct Admission {
    genuine: Rate,
    /// Whom a token can claim to be of.
    parties: HashSet<String>,
    /// What there is for those that claim one of these, beside what there is for all.
    share: Rate,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    networks: HashMap<Network, Sender>,
    /// The networks in the order in which they came, for making room.
    order: VecDeque<Network>,
    strangers: Option<Bucket>,
    /// What is left of the shares that were asked for.
    shares: HashMap<String, Bucket>,
    notes: Option<Bucket>,
    issuers: HashMap<String, Bucket>,
}

/// Addresses that count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    /// An IPv4 address or a /64 of IPv6.
    Own(IpAddr),
    /// A wider one of IPv6, with the number of bits that its addresses share.
    Around(Ipv6Addr, u32),
}

#[derive(Clone, Copy, Debug)]
struct Sender {
    bucket: Bucket,
    /// Until when it counts as known.
    known_until: Option<Instant>,
    /// Until when it would after a restart.
    kept_until: Option<Instant>,
}

impl Network {
    fn own(address: IpAddr) -> Self {
        Self::Own(network(address))
    }

    /// Those of a stranger, with what each has. The widest comes first.
    fn of_stranger(address: IpAddr) -> impl Iterator<Item = (Self, Rate)> {
        let address = network(address);
        let around = AROUND.into_iter().filter_map(move |(length, rate)| {
            let IpAddr::V6(address) = address else {
                return None;
            };
            let mask = u128::MAX << (u128::BITS - length);
            let first = Ipv6Addr::from_bits(address.to_bits() & mask);
            Some((Self::Around(first, length), rate))
        });
        around.chain([(Self::Own(address), STRANGER)])
    }
}

impl Sender {
    fn is_known(&self, now: Instant) -> bool {
        self.known_until.is_some_and(|until| now < until)
    }
}

impl Admission {
    /// With so many genuine signals of an issuer per second. `parties` are those that a token may claim to
    /// be of, each of which has a share of its own of what strangers have.
    pub(super) fn new<'a>(per_second: u32, parties: impl IntoIterator<Item = &'a str>) -> Self {
        let per_second = f64::from(per_second);
        let parties: HashSet<_> = parties.into_iter().map(str::to_owned).collect();
        Self {
            genuine: Rate {
                burst: per_second * SECONDS_AT_ONCE,
                per_second,
            },
            share: SHARED.part(parties.len()),
            parties,
            state: Mutex::default(),
        }
    }

    /// Lets a signature be checked, on account: if the token is genuine, that has to be said. `claimed` is
    /// of whom it claims to be. Tells what is known of the sender.
    ///
    /// # Errors
    ///
    /// [`Code::TooManyFailures`].
    pub(super) fn admit(
        &self,
        address: IpAddr,
        claimed: Option<&str>,
        now: Instant,
    ) -> Result<Standing, Refusal> {
        let mut state = self.lock();
        let own = Network::own(address);
        let (standing, is_admitted) = if let Some(sender) = state.known(own, now) {
            (Standing::Known, sender.bucket.take(KNOWN, now))
        } else {
            let is_admitted = self.admit_stranger(&mut state, address, claimed, now);
            (Standing::Stranger, is_admitted)
        };
        drop(state);
        if is_admitted {
            return Ok(standing);
        }
        Err(Code::TooManyFailures.because(format!(
            "too many tokens from {} or networks around it were forged, not in order or repeated, or too \
             many from everywhere; their signatures are not checked for now",
            network(address)
        )))
    }

    fn admit_stranger(
        &self,
        state: &mut State,
        address: IpAddr,
        claimed: Option<&str>,
        now: Instant,
    ) -> bool {
        // The widest first, so that one that has used up what it has takes no room in here for each
        // network of its own.
        for (network, rate) in Network::of_stranger(address) {
            let sender = state.network(network, rate, now);
            if sender.is_some_and(|sender| !sender.bucket.has_one(rate, now)) {
                return false;
            }
        }
        if !self.take_of_strangers(state, claimed, now) {
            return false;
        }
        // Not before all have one to give, so that a flood from elsewhere empties no bucket of this
        // network's.
        for (network, rate) in Network::of_stranger(address) {
            if let Some(sender) = state.network(network, rate, now) {
                sender.bucket.take(rate, now);
            }
        }
        true
    }

    /// Takes one of what all strangers have, or else of what those have that claim the same.
    fn take_of_strangers(&self, state: &mut State, claimed: Option<&str>, now: Instant) -> bool {
        state.strangers(now).take(STRANGERS, now)
            || self
                .share(state, claimed, now)
                .is_some_and(|share| share.take(self.share, now))
    }

    /// The share of a party, if it has one.
    fn share<'s>(
        &self,
        state: &'s mut State,
        claimed: Option<&str>,
        now: Instant,
    ) -> Option<&'s mut Bucket> {
        let claimed = claimed.filter(|claimed| self.parties.contains(*claimed))?;
        let full = Bucket::full(self.share, now);
        Some(state.shares.entry(claimed.to_owned()).or_insert(full))
    }

    /// A token from there was genuine, or its signature could not be checked: what was taken for it is put
    /// back.
    pub(super) fn give_back(&self, address: IpAddr, claimed: Option<&str>, now: Instant) {
        let mut state = self.lock();
        if let Some(sender) = state.known(Network::own(address), now) {
            sender.bucket.give_back(KNOWN, now);
            return;
        }
        for (network, rate) in Network::of_stranger(address) {
            if let Some(sender) = state.network(network, rate, now) {
                sender.bucket.give_back(rate, now);
            }
        }
        let share = self.share(&mut state, claimed, now);
        // It was taken of the share where that is not full.
        if !share.is_some_and(|share| share.give_back(self.share, now)) {
            state.strangers(now).give_back(STRANGERS, now);
        }
    }

    /// Something genuine came from there, so that it is served beside any flood from now on. Whether that
    /// is to be kept for after a restart, which it is rarely.
    pub(super) fn know(&self, address: IpAddr, now: Instant) -> bool {
        let mut state = self.lock();
        let Some(sender) = state.network(Network::own(address), STRANGER, now) else {
            return false;
        };
        if !sender.is_known(now) {
            sender.bucket = Bucket::full(KNOWN, now);
        }
        let until = now + REPUTATION;
        sender.known_until = Some(until);
        let is_due = sender
            .kept_until
            .is_none_or(|kept| kept + KEPT_EVERY <= until);
        if is_due {
            sender.kept_until = Some(until);
        }
        is_due
    }

    /// Something genuine came from there before a restart, so long ago.
    pub(super) fn remember(&self, address: IpAddr, ago: Duration, now: Instant) {
        let until = now + REPUTATION.saturating_sub(ago);
        let mut state = self.lock();
        if let Some(sender) = state.network(Network::own(address), STRANGER, now) {
            *sender = Sender {
                bucket: Bucket::full(KNOWN, now),
                known_until: Some(until),
                kept_until: Some(until),
            };
        }
    }

    /// Whether there is to be a record of something of which nothing is known.
    pub(super) fn may_note(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let full = Bucket::full(NOTES, now);
        state.notes.get_or_insert(full).take(NOTES, now)
    }

    /// Takes one genuine signal of an issuer, of which there are only as many as are configured.
    ///
    /// # Errors
    ///
    /// [`Code::TooManySignals`].
    pub(super) fn take_genuine(&self, issuer: &str, now: Instant) -> Result<(), Refusal> {
        let rate = self.genuine;
        let mut state = self.lock();
        if let Some(bucket) = state.issuers.get_mut(issuer) {
            if bucket.take(rate, now) {
                return Ok(());
            }
            return Err(Code::TooManySignals.because(format!(
                "more than `requests_per_second` ({}) of this issuer for ten seconds",
                rate.per_second
            )));
        }
        let mut bucket = Bucket::full(rate, now);
        bucket.take(rate, now);
        state.issuers.insert(issuer.to_owned(), bucket);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A network that something genuine came from.
    fn known(&mut self, network: Network, now: Instant) -> Option<&mut Sender> {
        let sender = self.networks.get_mut(&network);
        sender.filter(|sender| sender.is_known(now))
    }

    /// A network with its bucket, a full one where it is new. None if there are too many, all of which are
    /// known.
    fn network(&mut self, network: Network, rate: Rate, now: Instant) -> Option<&mut Sender> {
        if !self.networks.contains_key(&network) {
            self.make_room(now)?;
            self.order.push_back(network);
            self.networks.insert(
                network,
                Sender {
                    bucket: Bucket::full(rate, now),
                    known_until: None,
                    kept_until: None,
                },
            );
        }
        self.networks.get_mut(&network)
    }

    /// Makes room for one more network, in place of the oldest stranger.
    fn make_room(&mut self, now: Instant) -> Option<()> {
        if self.networks.len() < MOST_NETWORKS {
            return Some(());
        }
        for _ in 0..MOST_NETWORKS {
            let oldest = self.order.pop_front()?;
            if self.known(oldest, now).is_none() {
                self.networks.remove(&oldest);
                return Some(());
            }
            self.order.push_back(oldest);
        }
        None
    }

    fn strangers(&mut self, now: Instant) -> &mut Bucket {
        self.strangers.get_or_insert(Bucket::full(STRANGERS, now))
    }
}

#[cfg(test)]
mod tests;
