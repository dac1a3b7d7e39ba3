//! Building a generation: everything in force, as a filter and a table of cut-offs.
//!
//! # How large is it?
//!
//! Bits for each entry follow from the false-positive rate that the operator wants, by the measured
//! rates of [`page`]. There is room for a thirty-second part more entries than there are, and for
//! a thousand besides; when that is used up, the next generation is due. At 24 bits and ten million
//! entries this makes 3.15 bytes for each in every process of Envoy.

use std::collections::HashSet;
use std::time::Duration;

use super::history::{History, Since};
use super::index::Index;
use super::store::Head;
use crate::revocation::cut_off::{self, CutOff, RECORD_BYTES};
use crate::revocation::page::{self, MAX_PAGES, PAGE_BYTES};
use crate::revocation::{
    Change, FeedKeys, FilterKey, Fingerprint, Manifest, ManifestError, SEGMENT_BYTES, Segment,
};
use crate::time::UnixTime;

/// A generation that can be served.
#[derive(Debug)]
pub struct Generation {
    /// What is signed.
    pub manifest: Manifest,
    /// The segments, those of the filter first.
    pub segments: Vec<axum::body::Bytes>,
    /// Entries that it has room for at the wanted rate.
    pub capacity: u64,
}

/// What a generation is made for.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The line of history.
    pub epoch: u64,
    /// Its number.
    pub number: u64,
    /// Where the feed stands. Read before the index is.
    pub head: Head,
    /// Bits for each entry.
    pub bits: u32,
    /// The secret.
    pub filter_key: FilterKey,
    /// The clock.
    pub now_milliseconds: u64,
}

/// Why a generation is not published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerationError {
    /// More entries than a filter can hold.
    #[error("expected at most {MAX_PAGES} pages, found {0}")]
    TooLarge(u64),
    /// Its manifest is not read back.
    #[error("the manifest is not read back")]
    Manifest(#[from] ManifestError),
    /// It does not say what it was made to say.
    #[error("the {0} read back differ from those that were written")]
    Different(&'static str),
    /// Entries in force are not in it.
    #[error("{0} entries in force are not found in it")]
    Missing(usize),
}

impl Generation {
    /// Builds a generation from what is in force. Entries that come meanwhile may be in it; they
    /// follow as changes all the same.
    ///
    /// # Errors
    ///
    /// [`GenerationError::TooLarge`].
    pub fn build(index: &Index, plan: &Plan) -> Result<Self, GenerationError> {
        let now = plan.now();
        let expected = index.entry_count();
        let capacity = expected + expected / 32 + ROOM;
        let page_count = page_count(capacity, plan.bits)?;
        let mut pages = vec![0; page_count as usize * PAGE_BYTES];
        let mut entries = 0;
        index.for_each_entry(now, |name| {
            let start = page::page_of(name, page_count) as usize * PAGE_BYTES;
            if let Some(page) = pages.get_mut(start..start + PAGE_BYTES) {
                page::insert(page, name);
            }
            entries += 1;
        });
        let mut cut_offs = index.cut_offs(now);
        cut_off::sort(&mut cut_offs);
        let table = cut_off::encode(&cut_offs);
        let filter = segments(pages, SEGMENT_BYTES);
        let table = segments(table, SEGMENT_BYTES / RECORD_BYTES * RECORD_BYTES);
        let describe = |segments: &[axum::body::Bytes]| {
            segments
                .iter()
                .filter_map(|bytes| Segment::of(bytes))
                .collect()
        };
        let manifest = Manifest {
            created: plan.now_milliseconds,
            epoch: plan.epoch,
            generation: plan.number,
            sequence: plan.head.sequence,
            chain: plan.head.chain,
            filter_key: plan.filter_key,
            entries,
            page_count,
            bucket_count: cut_off::bucket_count(cut_offs.len()),
            filter_segments: describe(&filter),
            cut_off_segments: describe(&table),
        };
        Ok(Self {
            manifest,
            segments: [filter, table].concat(),
            capacity,
        })
    }

    /// Reads the generation with the filter's own code, from the bytes that edges are sent, and
    /// looks for everything in force in it.
    ///
    /// # Errors
    ///
    /// [`GenerationError`]; the generation must not be published then.
    pub fn read_back(
        &self,
        message: &[u8],
        keys: &FeedKeys,
        index: &Index,
        history: &History,
        now: UnixTime,
    ) -> Result<(), GenerationError> {
        let manifest = Manifest::decode(message, keys)?;
        if manifest != self.manifest {
            return Err(GenerationError::Different("manifests"));
        }
        let described = manifest
            .filter_segments
            .iter()
            .chain(&manifest.cut_off_segments);
        let is_whole = described.clone().count() == self.segments.len()
            && described
                .zip(&self.segments)
                .all(|(segment, bytes)| segment.matches(bytes));
        if !is_whole {
            return Err(GenerationError::Different("segments"));
        }
        let mut missing = Vec::new();
        index.for_each_entry(now, |name| {
            if !self.may_contain(name) {
                missing.push(name);
            }
        });
        let table = self.cut_offs();
        let cut_offs = index.cut_offs(now);
        let other = cut_offs
            .iter()
            .filter(|cut_off| cut_off::find_sorted(&table, cut_off.key) != Some(cut_off));
        missing.extend(other.map(|cut_off| cut_off.key));
        self.excuse_later(&mut missing, history)
    }

    /// What came after the generation's sequence number is not in it and need not be. The index
    /// is told of a change somewhat earlier than the history, so this may take a moment.
    fn excuse_later(
        &self,
        missing: &mut Vec<Fingerprint>,
        history: &History,
    ) -> Result<(), GenerationError> {
        for _ in 0..ATTEMPTS {
            if missing.is_empty() {
                return Ok(());
            }
            let Since::Changes(later) = history.since(self.manifest.sequence, usize::MAX) else {
                return Err(GenerationError::Different("histories"));
            };
            let later: HashSet<Fingerprint> =
                later.changes.iter().map(Change::fingerprint).collect();
            missing.retain(|name| !later.contains(name));
            if !missing.is_empty() {
                std::thread::sleep(ATTEMPT_PAUSE);
            }
        }
        match missing.len() {
            0 => Ok(()),
            missing => Err(GenerationError::Missing(missing)),
        }
    }

    fn may_contain(&self, name: Fingerprint) -> bool {
        let place = page::page_of(name, self.manifest.page_count) as usize * PAGE_BYTES;
        let segment = self.segments.get(place / SEGMENT_BYTES);
        let start = place % SEGMENT_BYTES;
        let page = segment.and_then(|segment| segment.get(start..start + PAGE_BYTES));
        // A page that is not there contains nothing, though the filter would take it for a maybe.
        page.is_some_and(|page| page::may_contain(page, name))
    }

    fn cut_offs(&self) -> Vec<CutOff> {
        let segments = self
            .segments
            .iter()
            .skip(self.manifest.filter_segments.len());
        segments
            .flat_map(|segment| cut_off::decode(segment).unwrap_or_default())
            .collect()
    }
}

impl Plan {
    fn now(&self) -> UnixTime {
        UnixTime::from_seconds(self.now_milliseconds / 1000).unwrap_or(UnixTime::MAX)
    }
}

/// The bits for each entry that give this false-positive rate, of those that were measured; the
/// most of them for a rate that is lower still.
#[must_use]
pub fn bits_for(false_positive_rate: f64) -> u32 {
    let enough = MEASURED
        .iter()
        .find(|(_, rate)| *rate <= false_positive_rate);
    enough.or(MEASURED.last()).map_or(32, |(bits, _)| *bits)
}

fn page_count(capacity: u64, bits: u32) -> Result<u32, GenerationError> {
    let pages = capacity
        .saturating_mul(u64::from(bits))
        .div_ceil(PAGE_BYTES as u64 * 8)
        .max(1);
    match u32::try_from(pages) {
        Ok(pages) if pages <= MAX_PAGES => Ok(pages),
        _ => Err(GenerationError::TooLarge(pages)),
    }
}

fn segments(bytes: Vec<u8>, length: usize) -> Vec<axum::body::Bytes> {
    let bytes = axum::body::Bytes::from(bytes);
    (0..bytes.len())
        .step_by(length)
        .map(|start| bytes.slice(start..bytes.len().min(start + length)))
        .collect()
}

/// Bits for each entry and the rate of false positives, measured.
const MEASURED: [(u32, f64); 3] = [(24, 2.9e-5), (28, 6e-6), (32, 1.7e-6)];

/// Entries that there is room for however few there are, so that a new installation does not build
/// a generation for every handful of them.
const ROOM: u64 = 10_000;

/// Together two seconds, in which the writer surely gets from the index to the history.
const ATTEMPTS: usize = 20;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);
