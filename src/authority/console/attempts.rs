//! How often signing in to the console may fail.
//!
//! A secret of 256 random bits is not guessed. This keeps the log readable and the diary from being filled by
//! one network, and tells a person who pastes the wrong line to stop.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::authority::clocks::network;

/// So many failures of one network ...
const MOST: u32 = 10;

/// ... within this time.
const WINDOW: Duration = Duration::from_mins(1);

/// An attacker has any number of addresses: beyond so many networks, those that are new share one count.
const MOST_NETWORKS: usize = 1_000;

const ALL_OTHERS: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// Failures, by network.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    since: Instant,
    count: u32,
}

impl Attempts {
    /// How long this address has to wait before it may try again, if it has to.
    pub(super) fn wait(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let all = self.lock();
        let failures = all.get(&Self::key(&all, address))?;
        let left = WINDOW.saturating_sub(now.saturating_duration_since(failures.since));
        (failures.count >= MOST && !left.is_zero()).then_some(left)
    }

    /// Counts a failure.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) {
        let mut all = self.lock();
        all.retain(|_, failures| now.saturating_duration_since(failures.since) < WINDOW);
        let key = Self::key(&all, address);
        let failures = all.entry(key).or_insert(Failures {
            since: now,
            count: 0,
        });
        failures.count = failures.count.saturating_add(1);
    }

    fn key(all: &HashMap<IpAddr, Failures>, address: IpAddr) -> IpAddr {
        let network = network(address);
        if all.contains_key(&network) || all.len() < MOST_NETWORKS {
            network
        } else {
            ALL_OTHERS
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0000 + number).into()
    }

    #[test]
    fn a_network_that_fails_too_often_waits_and_others_do_not() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        for _ in 0..MOST {
            assert_eq!(attempts.wait(address(1), start), None);
            attempts.failed(address(1), start);
        }
        assert_eq!(attempts.wait(address(1), start), Some(WINDOW));
        assert_eq!(attempts.wait(address(2), start), None);
        assert_eq!(attempts.wait(address(1), start + WINDOW), None);
        attempts.failed(address(1), start + WINDOW);
        assert_eq!(
            attempts.wait(address(1), start + WINDOW),
            None,
            "counted anew"
        );
    }

    #[test]
    fn any_number_of_networks_take_a_bounded_room() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let most = u32::try_from(MOST_NETWORKS).unwrap();
        for number in 0..2 * most {
            attempts.failed(address(number), start);
        }
        assert_eq!(attempts.lock().len(), MOST_NETWORKS + 1);
        assert!(
            attempts.wait(address(3 * most), start).is_some(),
            "among the others"
        );
        assert_eq!(
            attempts.wait(address(1), start),
            None,
            "has a count of its own"
        );
    }
}
