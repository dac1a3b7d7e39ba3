//! How full the records are, by a few of them.
//!
//! Names are spread evenly over pages and buckets, so that a few of them tell of all. Reading eight of
//! each takes some fifty microseconds.

use super::{RecordKind, SharedFilter};
use crate::host::SharedData;
use crate::revocation::cut_off::{RECORD_BYTES, RECORDS_PER_BUCKET};
use crate::revocation::{FeedState, page};

/// How full the records are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Of a billion names that were never revoked, so many are taken for revoked ones, about which
    /// the authority is asked.
    pub false_positives_per_billion: u64,
    /// Cut-offs in a bucket, on average.
    pub cut_offs_per_bucket: u64,
}

impl Fill {
    /// Whether more is asked about, or rewritten with every change, than can be put up with until a
    /// newer generation is loaded at leisure.
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

/// Some neighbouring records, all of them where there are few.
fn sample(random: u64, count: u32) -> impl Iterator<Item = u32> {
    let count = count.max(1);
    let first = u32::try_from(random % u64::from(count)).unwrap_or(0);
    (0..count.min(SAMPLE)).map(move |step| first.wrapping_add(step) % count)
}

const SAMPLE: u32 = 8;

/// Ten times as many as an authority promises by default.
const MOST_FALSE_POSITIVES: u64 = 300_000;

/// How much longer than intended buckets may be.
const LONG_BUCKETS: u64 = 4;
