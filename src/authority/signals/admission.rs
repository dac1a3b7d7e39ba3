//! Who may have a signature checked, and how many genuine signals of an issuer are taken.
//!
//! Anyone who reaches the listener can send a token that claims to be of a known issuer. Checking its
//! signature is what costs something, so that is what is rationed, by where the token comes from and
//! never by whom it claims to be of: a bucket for each claimed issuer would let a forger empty the
//! bucket of the genuine one.
//!
//! A good signature alone does not make a signal genuine: every user has tokens that the issuer has
//! signed. Genuine is a logout token for this receiver that was not carried out already. One that was
//! counts for nothing: it is known by its bytes without a check, and where it is not known so any more,
//! its place is given back. What comes with the secret of a stream is not rationed here.
//!
//! | bucket | at once | per second | what fills it |
//! |---|---|---|---|
//! | of a network that has sent nothing genuine lately | 100 | 1 | tokens that were not genuine |
//! | of one that has | 500 | 50 | the same |
//! | of all networks of the first kind together | 500 | 100 | the same |
//! | of an issuer | ten seconds' worth | `requests_per_second` | signals that *were* genuine |
//!
//! The first genuine one of a network makes it known, a millisecond after it came. Until then, its bucket
//! has to hold what a provider sends that has never sent anything, signs out all of its users at once, and
//! tries once.
//!
//! So a flood costs at most some hundred checks a second, whatever it consists of and wherever it
//! comes from, and a network from which genuine signals come is served all the while. What is not
//! checked is answered 429 at once.
//!
//! # What if the forger is in the provider's own network, as behind one load balancer?
//!
//! Then the two share the bucket of that network, and beyond fifty forged tokens a second genuine ones
//! are refused too. The load balancer has to let only the provider's addresses through, or to be one
//! that keeps the address of a connection.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::reason::{Code, Refusal};
use crate::authority::clocks::network;
use crate::authority::verifier::Standing;

/// Networks that are told apart; more than these share the bucket of all strangers only.
const MOST_NETWORKS: usize = 4_096;

/// How long a network counts as one that sends genuine signals.
pub(super) const REPUTATION: Duration = Duration::from_hours(24);

/// Of networks that have sent nothing genuine.
const STRANGER: Rate = Rate {
    burst: 100.0,
    per_second: 1.0,
};

/// Of those that have.
const KNOWN: Rate = Rate {
    burst: 500.0,
    per_second: 50.0,
};

/// Of all strangers together.
const STRANGERS: Rate = Rate {
    burst: 500.0,
    per_second: 100.0,
};

/// Records of what nothing is known of.
const NOTES: Rate = Rate {
    burst: 50.0,
    per_second: 5.0,
};

/// For how many seconds' worth of genuine signals there is room at once.
const SECONDS_AT_ONCE: f64 = 10.0;

#[derive(Clone, Copy, Debug)]
struct Rate {
    burst: f64,
    per_second: f64,
}

/// How much of something is left.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    level: f64,
    at: Instant,
}

impl Bucket {
    const fn full(rate: Rate, now: Instant) -> Self {
        Self {
            level: rate.burst,
            at: now,
        }
    }

    /// Takes one, if there is one.
    fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let is_enough = self.has_one(rate, now);
        if is_enough {
            self.level -= 1.0;
        }
        is_enough
    }

    /// Whether there is one by now.
    fn has_one(&mut self, rate: Rate, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * rate.per_second).min(rate.burst);
        self.at = self.at.max(now);
        self.level >= 1.0
    }

    /// Puts one back.
    fn give_back(&mut self, rate: Rate) {
        self.level = (self.level + 1.0).min(rate.burst);
    }
}

/// What is rationed.
#[derive(Debug)]
pub(super) struct Admission {
    genuine: Rate,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    networks: HashMap<IpAddr, Network>,
    /// The networks in the order in which they came, for making room.
    order: VecDeque<IpAddr>,
    strangers: Option<Bucket>,
    notes: Option<Bucket>,
    issuers: HashMap<String, Bucket>,
}

#[derive(Clone, Copy, Debug)]
struct Network {
    bucket: Bucket,
    genuine_at: Option<Instant>,
}

impl Network {
    fn rate(&self, now: Instant) -> Rate {
        if self.is_known(now) { KNOWN } else { STRANGER }
    }

    fn is_known(&self, now: Instant) -> bool {
        let is_recent = |at| now.saturating_duration_since(at) < REPUTATION;
        self.genuine_at.is_some_and(is_recent)
    }
}

impl Admission {
    /// With so many genuine signals of an issuer per second.
    pub(super) fn new(per_second: u32) -> Self {
        let per_second = f64::from(per_second);
        Self {
            genuine: Rate {
                burst: per_second * SECONDS_AT_ONCE,
                per_second,
            },
            state: Mutex::default(),
        }
    }

    /// Lets a signature be checked, on account: if the token is genuine, that has to be said. Tells what
    /// is known of the sender.
    ///
    /// # Errors
    ///
    /// [`Code::TooManyFailures`].
    pub(super) fn admit(&self, address: IpAddr, now: Instant) -> Result<Standing, Refusal> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let network = network(address);
        let (is_known, has_room) = match state.network(network, now) {
            None => (false, true),
            Some(sender) => {
                let rate = sender.rate(now);
                (sender.is_known(now), sender.bucket.has_one(rate, now))
            }
        };
        let is_admitted = has_room && (is_known || state.take_of_strangers(now));
        if is_admitted {
            // Not before all have one to give, so that a flood from elsewhere empties no bucket of
            // this network's.
            if let Some(sender) = state.network(network, now) {
                let rate = sender.rate(now);
                sender.bucket.take(rate, now);
            }
            return Ok(if is_known {
                Standing::Known
            } else {
                Standing::Stranger
            });
        }
        Err(Code::TooManyFailures.because(format!(
            "too many tokens from {network} were forged, not in order or repeated, or too many from \
             everywhere; their signatures are not checked for now"
        )))
    }

    /// A token from there was genuine, or its signature could not be checked.
    pub(super) fn give_back(&self, address: IpAddr, is_genuine: bool, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut is_known = false;
        if let Some(network) = state.network(network(address), now) {
            is_known = network.is_known(now);
            if is_genuine && !is_known {
                network.bucket = Bucket::full(KNOWN, now);
            } else {
                network.bucket.give_back(network.rate(now));
            }
            if is_genuine {
                network.genuine_at = Some(now);
            }
        }
        if let Some(strangers) = state.strangers.as_mut().filter(|_| !is_known) {
            strangers.give_back(STRANGERS);
        }
    }

    /// A network that something genuine came from before a restart.
    pub(super) fn know(&self, address: IpAddr, now: Instant) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(network) = state.network(network(address), now) {
            *network = Network {
                bucket: Bucket::full(KNOWN, now),
                genuine_at: Some(now),
            };
        }
    }

    /// Whether there is to be a record of something of which nothing is known.
    pub(super) fn may_note(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
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
}

impl State {
    /// A network with its bucket. None if there are too many, all of which are known.
    fn network(&mut self, address: IpAddr, now: Instant) -> Option<&mut Network> {
        if !self.networks.contains_key(&address) {
            self.make_room(now)?;
            self.order.push_back(address);
            self.networks.insert(
                address,
                Network {
                    bucket: Bucket::full(STRANGER, now),
                    genuine_at: None,
                },
            );
        }
        self.networks.get_mut(&address)
    }

    /// Makes room for one more network, in place of the oldest stranger.
    fn make_room(&mut self, now: Instant) -> Option<()> {
        if self.networks.len() < MOST_NETWORKS {
            return Some(());
        }
        for _ in 0..MOST_NETWORKS {
            let oldest = self.order.pop_front()?;
            let is_known = self
                .networks
                .get(&oldest)
                .is_some_and(|it| it.is_known(now));
            if !is_known {
                self.networks.remove(&oldest);
                return Some(());
            }
            self.order.push_back(oldest);
        }
        None
    }

    fn take_of_strangers(&mut self, now: Instant) -> bool {
        let bucket = Bucket::full(STRANGERS, now);
        self.strangers.get_or_insert(bucket).take(STRANGERS, now)
    }
}

#[cfg(test)]
mod tests;
