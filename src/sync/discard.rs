//! Emptying what older generations have left in shared data.
//!
//! Envoy has no call that removes a value, so records are overwritten with nothing. Their keys
//! stay, some hundred bytes for each page, and the next generation in the same slot uses them
//! again.
//!
//! # May another virtual machine still read them?
//!
//! Not one that has ticked since the switch: it reads the new state's records. One that has not
//! ticked finds no record, looks for a newer state, and finds it. Records of a second leader's own
//! generation are safe, since only older ones are emptied, and each only if it is still the one
//! that was read.

use std::time::Duration;

use crate::host::SharedData;
use crate::revocation::{FeedState, RecordKind, SharedFilter};
use crate::time::Interval;

/// How long a virtual machine may take to notice a new generation before the old one is emptied.
const GRACE: Duration = Duration::from_secs(2);

/// Records emptied in one tick: half a millisecond's worth; those of ten million entries take five
/// seconds.
const RECORDS_PER_TICK: u32 = 150;

/// Empties the records that are no longer read, from the first to the last.
#[derive(Debug)]
pub(super) struct Discard {
    area: usize,
    next: u32,
    grace: Interval,
}

impl Discard {
    /// Everything but the state's own records, after the grace period.
    pub(super) fn begin(now_milliseconds: u64) -> Self {
        Self {
            area: 0,
            next: 0,
            grace: Interval::new(now_milliseconds, GRACE),
        }
    }

    /// Empties some more records. `true` when there is none left.
    pub(super) fn step(
        &mut self,
        host: &impl SharedData,
        filter: &SharedFilter,
        state: &FeedState,
        now_milliseconds: u64,
    ) -> bool {
        if self.grace.contains(now_milliseconds) {
            return false;
        }
        for _ in 0..RECORDS_PER_TICK {
            let Some((record, slot, first)) = leftover(state, self.area) else {
                return true;
            };
            let index = first.saturating_add(self.next);
            if filter.discard(host, state, record, slot, index) {
                self.next += 1;
            } else {
                self.area += 1;
                self.next = 0;
            }
        }
        false
    }
}

/// Where records may be left over: in the other slot, and in the state's slot beyond its own
/// records, where a larger generation may have left some.
const fn leftover(state: &FeedState, area: usize) -> Option<(RecordKind, u8, u32)> {
    let (own, other) = match state.slot {
        0 => (0, 1),
        _ => (1, 0),
    };
    match area {
        0 => Some((RecordKind::Page, other, 0)),
        1 => Some((RecordKind::Bucket, other, 0)),
        2 => Some((RecordKind::Page, own, state.page_count)),
        3 => Some((RecordKind::Bucket, own, state.bucket_count)),
        _ => None,
    }
}
