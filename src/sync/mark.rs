//! The staleness of the feed.
//!
//! The edge has everything that was revoked up to some moment, and that moment is
//! [`verified_at`](crate::revocation::FeedState::verified_at). An answer contains the head of the
//! feed when it was made, which is not before the call was sent. So once the edge has reached that
//! sequence number, it has everything from before the call. The time at which the answer *arrived*
//! proves nothing, nor does an answer while there is more to fetch.
//!
//! # Why is a sequence number remembered?
//!
//! When changes come all the time, hardly any batch is the last one. The edge is only a little
//! behind then: by the time that it took to reach the last head that it was told.

use crate::revocation::Batch;

/// The sequence number to be reached, and the moment that it proves.
#[derive(Debug, Default)]
pub(super) struct Mark(Option<Target>);

#[derive(Debug)]
struct Target {
    epoch: u64,
    head: u64,
    sent: u64,
}

impl Mark {
    /// Notes that everything up to the end of a batch is applied, which was polled for at `sent`.
    /// Returns the new `verified_at`, if it has changed.
    pub(super) fn reached(&mut self, batch: &Batch, sent: u64) -> Option<u64> {
        if batch.is_last() {
            self.0 = None;
            return Some(sent);
        }
        let found = match &self.0 {
            Some(target) if target.epoch == batch.epoch => {
                if batch.through() < target.head {
                    return None;
                }
                Some(target.sent)
            }
            _ => None,
        };
        self.0 = Some(Target {
            epoch: batch.epoch,
            head: batch.head,
            sent,
        });
        found
    }
}

/// The fresher of the known and the found moment, at `now`. A moment in the future dates from
/// before the clock was set back, and does not count.
pub(super) fn fresher(known: u64, found: Option<u64>, now: u64) -> u64 {
    match found.map(|found| found.min(now)) {
        Some(found) if known > now => found,
        Some(found) => known.max(found),
        None => known,
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::revocation::{Chain, Change, Evidence, Fingerprint};

    fn batch(epoch: u64, after: u64, count: usize, head: u64) -> Batch {
        Batch {
            nonce: 0,
            time: 0,
            epoch,
            generation: 1,
            head,
            after,
            chain: Chain::EMPTY,
            changes: vec![Change::Add(Fingerprint([0; 16])); count],
            evidence: Evidence([0; 72]),
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_held_is_as_old_as_the_last_call_that_it_leaves_nothing_open_of() {
        let mut mark = Mark::default();
        assert_eq!(mark.reached(&batch(1, 0, 0, 0), 10), Some(10));
        // A backlog.
        assert_eq!(mark.reached(&batch(1, 0, 5, 12), 20), None);
        assert_eq!(mark.reached(&batch(1, 5, 5, 30), 30), None);
        // Everything is in that there was at 20.
        assert_eq!(mark.reached(&batch(1, 10, 5, 30), 40), Some(20));
        assert_eq!(mark.reached(&batch(1, 15, 5, 31), 50), None);
        // What was to be reached in one epoch means nothing in the next.
        assert_eq!(mark.reached(&batch(2, 40, 5, 60), 60), None);
        assert_eq!(mark.reached(&batch(2, 45, 5, 50), 70), Some(70));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn only_a_clock_that_was_set_back_makes_it_older() {
        assert_eq!(fresher(10, Some(20), 30), 20);
        assert_eq!(fresher(20, Some(10), 30), 20);
        assert_eq!(fresher(20, None, 30), 20);
        assert_eq!(fresher(40, Some(20), 30), 20);
        assert_eq!(fresher(40, None, 30), 40);
        assert_eq!(fresher(10, Some(40), 30), 30);
    }
}
