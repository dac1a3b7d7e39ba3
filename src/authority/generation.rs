//! Building a generation: everything in force, as a filter and a table of cut-offs.
//!
//! # How large is it?
//!
//! Bits for each entry follow from the false-positive rate that the operator wants, by the measured
//! rates of [`page`]. There is room for a thirty-second part more entries than there are, and for
//! ten thousand besides, and for as many more cut-offs; when that is used up, the next generation is
//! due. At 24 bits and ten million entries this makes 3.15 bytes for each in every process of Envoy.
//!
//! # What becomes of a generation that is overfull?
//!
//! Edges go on adding to it. Its pages then report more and more false positives, each of which
//! costs a check, and its buckets of cut-offs grow, one of which every change rewrites. Far past
//! its capacity it keeps neither the promised rate nor the promised cost, and the next generation
//! cannot wait: it is [crowded](Generation::is_crowded).

use std::collections::HashSet;
use std::time::Duration;

use super::history::{History, Since, Tally};
use super::index::Index;
use super::store::{Head, KeptGeneration, StoreError};
use crate::revocation::cut_off::{self, CutOff, RECORD_BYTES};
use crate::revocation::page::{self, MAX_PAGES, PAGE_BYTES};
use crate::revocation::{
    Change, FeedKeys, FilterKey, Fingerprint, Manifest, ManifestError, SEGMENT_BYTES, Segment,
};
use crate::time::UnixTime;

/// Bits for each entry and the rate of false positives, measured.
const MEASURED: [(u32, f64); 3] = [(24, 2.9e-5), (28, 6e-6), (32, 1.7e-6)];

/// How many times the target false-positive rate may be exceeded before the next generation has to
/// come at once.
const CROWDED: f64 = 10.0;

/// How much longer than intended buckets may be.
const LONG_BUCKETS: u64 = 4;

/// Names in a block past which it is as good as full.
const FULL: f64 = 300.0;

/// No block has more names than this unless all are full.
const LONGEST_SUM: u32 = 1_000;

/// The least number of entries, and of cut-offs, to leave room for, so that a new installation does
/// not build a generation for every handful of them.
const ROOM: u64 = 10_000;

/// Two seconds together, more than the writer takes from the index to the history.
const ATTEMPTS: usize = 20;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);

/// A generation that can be served.
#[derive(Debug)]
pub(super) struct Generation {
    /// What is signed.
    pub manifest: Manifest,
    /// The segments, those of the filter first.
    pub segments: Vec<axum::body::Bytes>,
    /// Entries that it has room for at the target rate.
    pub capacity: u64,
    room: Room,
    /// What had been added to the feed before it was made.
    before: Tally,
    /// Cut-offs in its table.
    cut_offs: u64,
}

/// Capacities of a generation other than for entries.
#[derive(Clone, Copy, Debug)]
struct Room {
    /// Cut-offs, at the wanted length of buckets.
    cut_offs: u64,
    /// The highest false-positive rate that is accepted for a while.
    rate: f64,
}

/// What a generation is made for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// The line of history.
    pub epoch: u64,
    /// Its number.
    pub number: u64,
    /// The head of the feed. Read before the index.
    pub head: Head,
    /// What had been added by then.
    pub tally: Tally,
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
pub(super) enum GenerationError {
    /// More entries than a filter can hold.
    #[error("expected at most {MAX_PAGES} pages, found {0}")]
    TooLarge(u64),
    /// Its manifest could not be read back.
    #[error("the manifest is not read back")]
    Manifest(#[from] ManifestError),
    /// What was read back differs from what was written.
    #[error("the {0} read back differ from those that were written")]
    Different(&'static str),
    /// Entries in force are not in it.
    #[error("{0} entries in force are not found in it")]
    Missing(usize),
    /// Other authorities cannot be given it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Generation {
    /// Builds a generation from what is in force. Entries that come meanwhile may be in it; they
    /// follow as changes all the same.
    ///
    /// # Errors
    ///
    /// [`GenerationError::TooLarge`].
    pub(super) fn build(index: &Index, plan: &Plan) -> Result<Self, GenerationError> {
        let now = plan.now();
        let capacity = with_room(index.entry_count());
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
        let cut_off_capacity = with_room(cut_offs.len() as u64);
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
            bucket_count: cut_off::bucket_count(cut_off_capacity),
            filter_segments: describe(&filter),
            cut_off_segments: describe(&table),
        };
        Ok(Self {
            manifest,
            segments: [filter, table].concat(),
            capacity,
            room: Room {
                cut_offs: cut_off_capacity,
                rate: rate_of(plan.bits) * CROWDED,
            },
            before: plan.tally,
            cut_offs: cut_offs.len() as u64,
        })
    }

    /// In the form in which authorities keep it for each other.
    #[must_use]
    pub(super) fn kept(&self, published: u64) -> KeptGeneration {
        let numbers = [
            self.capacity,
            self.room.cut_offs,
            self.room.rate.to_bits(),
            self.cut_offs,
        ];
        let mut description: Vec<u8> = numbers.into_iter().flat_map(u64::to_le_bytes).collect();
        description.extend(self.manifest.encode());
        KeptGeneration {
            number: self.manifest.generation,
            published,
            description,
            segments: self.segments.clone(),
        }
    }

    /// The generation that an authority has kept, of which every segment is what its manifest says.
    ///
    /// # Errors
    ///
    /// [`GenerationError`].
    pub(super) fn of_kept(
        kept: KeptGeneration,
        history: &History,
    ) -> Result<Self, GenerationError> {
        let (numbers, manifest) = kept
            .description
            .split_first_chunk::<32>()
            .ok_or(StoreError::Row)?;
        let (numbers, _) = numbers.as_chunks::<8>();
        let &[capacity, room, rate, cut_offs] = numbers else {
            return Err(StoreError::Row.into());
        };
        let manifest = Manifest::read(manifest).map_err(ManifestError::from)?;
        let generation = Self {
            segments: kept.segments,
            capacity: u64::from_le_bytes(capacity),
            room: Room {
                cut_offs: u64::from_le_bytes(room),
                rate: f64::from_bits(u64::from_le_bytes(rate)),
            },
            before: history.tally_at(manifest.sequence),
            cut_offs: u64::from_le_bytes(cut_offs),
            manifest,
        };
        if generation.manifest.generation != kept.number {
            return Err(GenerationError::Different("numbers"));
        }
        generation.expect_whole(&generation.manifest)?;
        Ok(generation)
    }

    /// Expects the segments to be those that the manifest describes.
    fn expect_whole(&self, manifest: &Manifest) -> Result<(), GenerationError> {
        let described = manifest
            .filter_segments
            .iter()
            .chain(&manifest.cut_off_segments);
        let is_whole = described.clone().count() == self.segments.len()
            && described
                .zip(&self.segments)
                .all(|(segment, bytes)| segment.matches(bytes));
        if is_whole {
            Ok(())
        } else {
            Err(GenerationError::Different("segments"))
        }
    }

    /// The most entries in it at an edge that has applied every change. None ever leaves it,
    /// whether restored or expired.
    #[must_use]
    pub(super) const fn entries(&self, now: Tally) -> u64 {
        let added = now.entries.saturating_sub(self.before.entries);
        self.manifest.entries.saturating_add(added)
    }

    const fn cut_offs_at(&self, now: Tally) -> u64 {
        let added = now.cut_offs.saturating_sub(self.before.cut_offs);
        self.cut_offs.saturating_add(added)
    }

    /// Whether more has been added than it has room for.
    #[must_use]
    pub(super) const fn is_full(&self, now: Tally) -> bool {
        self.entries(now) > self.capacity || self.cut_offs_at(now) > self.room.cut_offs
    }

    /// Whether so much has been added that the false-positive rate is ten times the target, or that
    /// buckets are four times as long as intended.
    #[must_use]
    pub(super) fn is_crowded(&self, now: Tally) -> bool {
        self.false_positive_rate(now) > self.room.rate
            || self.cut_offs_at(now) / LONG_BUCKETS > self.room.cut_offs
    }

    /// The false-positive rate at an edge that has applied every change.
    #[must_use]
    pub(super) fn false_positive_rate(&self, now: Tally) -> f64 {
        false_positive_rate(self.entries(now), self.manifest.page_count)
    }

    /// Reads the generation with the edge's own code, from the bytes that edges are sent, and looks
    /// up everything in force in it.
    ///
    /// # Errors
    ///
    /// [`GenerationError`]; the generation must not be published then.
    pub(super) fn read_back(
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
        self.expect_whole(&manifest)?;
        let mut missing = Vec::new();
        index.for_each_entry(now, |name| {
            if !self.may_contain(name) {
                missing.push(name);
            }
        });
        let table = self.table();
        let cut_offs = index.cut_offs(now);
        let other = cut_offs
            .iter()
            .filter(|cut_off| cut_off::find_sorted(&table, cut_off.key) != Some(cut_off));
        missing.extend(other.map(|cut_off| cut_off.key));
        self.excuse_later(&mut missing, history)
    }

    /// Changes after the generation's sequence number need not be in it. The index is told of a
    /// change somewhat earlier than the history, so this may take a moment.
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
        let offset = page::page_of(name, self.manifest.page_count) as usize * PAGE_BYTES;
        let segment = self.segments.get(offset / SEGMENT_BYTES);
        let start = offset % SEGMENT_BYTES;
        let page = segment.and_then(|segment| segment.get(start..start + PAGE_BYTES));
        // A missing page contains nothing, although the filter would answer "maybe".
        page.is_some_and(|page| page::may_contain(page, name))
    }

    fn table(&self) -> Vec<CutOff> {
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

/// The measured number of bits for each entry that gives this false-positive rate; the largest one
/// for a rate that is lower still.
#[must_use]
pub(super) fn bits_for(false_positive_rate: f64) -> u32 {
    let enough = MEASURED
        .iter()
        .find(|(_, rate)| *rate <= false_positive_rate);
    enough.or(MEASURED.last()).map_or(32, |(bits, _)| *bits)
}

/// The rate that was measured for these bits.
fn rate_of(bits: u32) -> f64 {
    let measured = MEASURED.iter().find(|(known, _)| *known == bits);
    measured.or(MEASURED.first()).map_or(1.0, |(_, rate)| *rate)
}

/// This count, and room for those that may come until the next generation.
const fn with_room(count: u64) -> u64 {
    count + count / 32 + ROOM
}

/// The share of other names that a filter with so many entries reports as its own.
///
/// The names in a block are Poisson distributed, two blocks for each name; each name sets one bit
/// in each of the eight words of a block, and a false positive needs all eight bits of both of its
/// blocks set.
#[must_use]
pub(super) fn false_positive_rate(entries: u64, page_count: u32) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let in_a_block = 2.0 * entries as f64 / (f64::from(page_count.max(1)) * page::BLOCKS as f64);
    if in_a_block > FULL {
        return 1.0;
    }
    let mut rate = 0.0;
    let mut probability = (-in_a_block).exp();
    let mut is_unset: f64 = 1.0;
    for names in 1..=LONGEST_SUM {
        rate += probability * (1.0 - is_unset).powi(8);
        probability *= in_a_block / f64::from(names);
        is_unset *= 31.0 / 32.0;
    }
    rate * rate
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_that_is_estimated_is_the_one_that_was_measured() {
        for (bits, measured) in MEASURED {
            let entries = PAGE_BYTES as u64 * 8 * 1_000 / u64::from(bits);
            let estimated = false_positive_rate(entries, 1_000);
            let ratio = estimated / measured;
            assert!((0.9..1.15).contains(&ratio), "{bits}: {estimated}");
        }
        assert!(false_positive_rate(0, 1) <= 0.0);
        assert!(false_positive_rate(u64::MAX, 1) >= 1.0);
        assert!(false_positive_rate(10_000_000, 1_000) > 0.5);
    }

    #[test]
    fn what_was_added_decides_whether_a_generation_is_full_or_crowded() {
        let plan = Plan {
            epoch: 1,
            number: 1,
            head: Head::EMPTY,
            tally: Tally {
                entries: 7,
                cut_offs: 7,
            },
            bits: 24,
            filter_key: FilterKey::new([1; 16]),
            now_milliseconds: 1,
        };
        let generation = Generation::build(&Index::new(), &plan).unwrap();
        let added = |entries: u64, cut_offs: u64| Tally {
            entries: entries + 7,
            cut_offs: cut_offs + 7,
        };
        for (now, is_full, is_crowded) in [
            (added(0, 0), false, false),
            (added(10_000, 10_000), false, false),
            (added(10_001, 0), true, false),
            (added(0, 10_001), true, false),
            (added(20_000, 0), true, true),
            (added(0, 20_000), true, false),
            (added(0, 50_000), true, true),
        ] {
            assert_eq!(generation.is_full(now), is_full, "{now:?}");
            assert_eq!(generation.is_crowded(now), is_crowded, "{now:?}");
        }
        assert!(generation.false_positive_rate(added(10_000, 0)) < 3.2e-5);
        assert!(generation.false_positive_rate(added(20_000, 0)) > 3e-4);
    }
}
