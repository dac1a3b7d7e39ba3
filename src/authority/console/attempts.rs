//! How often signing in to the console may fail.
//!
//! A secret of 256 random bits is not guessed. This keeps the log readable and the diary from being filled by
//! one network, and tells a person who pastes the wrong line to stop. Only failures count, and a credential
//! that is known is taken whatever has failed before: people who share an address with an attacker, behind one
//! proxy, sign in all the same.

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
    /// Counts a failure. Counted and judged in one step, so that any number of them at a time are so many.
    ///
    /// # Errors
    ///
    /// Where there were too many: how long until the next one is looked at.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut all = self.lock();
        all.retain(|_, failures| now.saturating_duration_since(failures.since) < WINDOW);
        let key = Self::key(&all, address);
        let failures = all.entry(key).or_insert(Failures {
            since: now,
            count: 0,
        });
        if failures.count >= MOST {
            return Err(WINDOW.saturating_sub(now.saturating_duration_since(failures.since)));
        }
        failures.count += 1;
        Ok(())
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
            assert_eq!(attempts.failed(address(1), start), Ok(()));
        }
        assert_eq!(attempts.failed(address(1), start), Err(WINDOW));
        let (second, later) = (Duration::from_secs(1), start + Duration::from_secs(1));
        assert_eq!(
            attempts.failed(address(1), later),
            Err(WINDOW.saturating_sub(second))
        );
        assert_eq!(attempts.failed(address(2), later), Ok(()));
        for _ in 0..MOST {
            let counted = attempts.failed(address(1), start + WINDOW);
            assert_eq!(counted, Ok(()), "counted anew");
        }
        assert_eq!(attempts.failed(address(1), start + WINDOW), Err(WINDOW));
    }

    #[test]
    fn failures_at_the_same_time_are_counted_as_one_after_the_other() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let fail = || (0..MOST).filter(|_| attempts.failed(address(1), start).is_ok());
        let looked_at = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| fail().count())).collect();
            let counts = threads.into_iter().map(|thread| thread.join().unwrap());
            counts.sum::<usize>()
        });
        assert_eq!(looked_at, MOST as usize);
    }

    #[test]
    fn any_number_of_networks_take_a_bounded_room() {
        let (attempts, start) = (Attempts::default(), Instant::now());
        let most = u32::try_from(MOST_NETWORKS).unwrap();
        for number in 0..2 * most {
            let _ = attempts.failed(address(number), start);
        }
        assert_eq!(attempts.lock().len(), MOST_NETWORKS + 1);
        assert!(
            attempts.failed(address(3 * most), start).is_err(),
            "among the others"
        );
        assert!(
            attempts.failed(address(1), start).is_ok(),
            "has a count of its own"
        );
    }
}
