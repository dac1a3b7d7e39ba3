//! How full the records are, estimated from a sample.
//!
//! Names are spread evenly over pages and buckets, so a few of them are representative. Reading
//! eight of each takes some fifty microseconds.

use super::{RecordKind, SharedFilter};
use crate::host::SharedData;
use crate::revocation::cut_off::{RECORD_BYTES, RECORDS_PER_BUCKET};
use crate::revocation::{FeedState, page};

/// How full the records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// False positives among a billion names that were never revoked; each costs a check.
    pub false_positives_per_billion: u64,
    /// Cut-offs in a bucket, on average.
    pub cut_offs_per_bucket: u64,
}

impl Fill {
    /// Whether checks are too frequent, or rewriting buckets is too expensive, to wait the usual
    /// time before a newer generation is loaded.
    #[must_use]
    pub const fn is_crowded(&self) -> bool {
        self.false_positives_per_billion > MOST_FALSE_POSITIVES
            || self.cut_offs_per_bucket > LONG_BUCKETS * RECORDS_PER_BUCKET
    }
}

impl SharedFilter {
    /// How full the records of a generation are; `None` when some of them are missing.
    pub(crate) fn fill(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        random: u64,
    ) -> Option<Fill> {
        let mean = |record, count, of_one: fn(&[u8]) -> u64| {
            let mut sum = 0;
            let mut read = 0;
            for index in sample(random, count) {
                sum += of_one(self.read(host, state, record, index)?.bytes());
                read += 1;
            }
            Some(sum / read.max(1))
        };
        Some(Fill {
            false_positives_per_billion: mean(
                RecordKind::Page,
                state.page_count,
                page::false_positives_per_billion,
            )?,
            cut_offs_per_bucket: mean(RecordKind::Bucket, state.bucket_count, |bucket| {
                (bucket.len() / RECORD_BYTES) as u64
            })?,
        })
    }
}

/// Some neighbouring records, or all of them if there are few.
fn sample(random: u64, count: u32) -> impl Iterator<Item = u32> {
    let count = count.max(1);
    let first = u32::try_from(random % u64::from(count)).unwrap_or(0);
    (0..count.min(SAMPLE)).map(move |step| first.wrapping_add(step) % count)
}

const SAMPLE: u32 = 8;

/// Ten times the default target of an authority.
const MOST_FALSE_POSITIVES: u64 = 300_000;

/// How much longer than intended buckets may be.
const LONG_BUCKETS: u64 = 4;
