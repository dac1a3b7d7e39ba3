//! Logging of callers that are refused: an edge with the wrong credential would not be noticed
//! otherwise.
//!
//! Each network has a line of its own for each reason, at once and then at most every ten seconds,
//! so that a client that tries credentials at random does not hide an edge that is refused. An
//! attacker may have any number of addresses: beyond a number of networks at a time they share a
//! line.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::super::clocks::network;
use super::super::server::Seldom;

/// At most one line a second is written.
const MOST_LINES: usize = 10;

/// The lines about callers that were refused.
#[derive(Debug, Default)]
pub(in crate::authority) struct Refusals(Mutex<HashMap<Reason, Arc<Seldom>>>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Reason {
    code: String,
    /// None for all that have no line of their own.
    network: Option<IpAddr>,
}

impl Refusals {
    /// Counts a caller refused with this code; returns how many there were since the last line, if
    /// another is due.
    pub(in crate::authority) fn take(
        &self,
        code: &str,
        address: Option<IpAddr>,
        now: Instant,
    ) -> Option<u64> {
        let mut reason = Reason {
            code: code.to_owned(),
            network: address.map(network),
        };
        let seldom = {
            let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            lines.retain(|_, line| !line.is_over(now));
            if lines.len() >= MOST_LINES && !lines.contains_key(&reason) {
                reason.network = None;
            }
            Arc::clone(lines.entry(reason).or_default())
        };
        seldom.take(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn every_network_and_every_reason_has_a_line_and_a_flood_has_few() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        assert_eq!(refusals.take("a", Some(address(1)), start), Some(1));
        assert_eq!(refusals.take("a", Some(address(1)), start), None);
        assert_eq!(refusals.take("b", Some(address(1)), start), Some(1));
        assert_eq!(refusals.take("a", Some(address(2)), start), Some(1));
        let lines =
            (0..=255).filter(|last| refusals.take("a", Some(address(*last)), start).is_some());
        assert_eq!(lines.count(), 8);
        // An address that has stopped calling makes room.
        let later = start + Duration::from_secs(20);
        assert_eq!(refusals.take("a", Some(address(1)), later), Some(1));
        assert_eq!(refusals.take("a", Some(address(77)), later), Some(1));
    }

    #[test]
    fn an_ipv6_network_has_one_line() {
        let (refusals, start) = (Refusals::default(), Instant::now());
        let address = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        assert_eq!(refusals.take("a", Some(address(1)), start), Some(1));
        assert_eq!(refusals.take("a", Some(address(2)), start), None);
    }
}
