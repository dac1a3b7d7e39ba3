//! Loading a generation: manifest, segments, cut-offs, and then what has changed since.
//!
//! Everything goes into the slot that is not read, a segment at a time, so that no callback takes
//! longer than a segment. Nothing of it can be seen until the follower writes the new state. The
//! table of cut-offs comes in the order of its buckets, so that of it, too, no more is held than a
//! segment: a virtual machine's memory never shrinks.

use super::claim::Claim;
use crate::host::SharedData;
use crate::revocation::page::PAGE_BYTES;
use crate::revocation::{
    Batch, Evidence, FeedState, Manifest, SEGMENT_BYTES, Segment, SharedFilter, Signer, cut_off,
};

/// A generation has none: it is read only when changes were asked for, with which some comes.
const NO_EVIDENCE: Evidence = Evidence([0; 72]);

/// Segments that are looked for in one go, one record each.
const SEGMENTS_PER_STEP: usize = 100;

/// Empty buckets that are written in one go, about half a millisecond's worth.
const BUCKETS_PER_STEP: u32 = 500;

/// What the loader needs next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// The segment with this number.
    Segment(usize),
    /// Another step, without anything from outside.
    Step,
    /// The changes after the state.
    Changes,
}

/// Why a generation cannot be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LoadError {
    /// The segment's bytes are not those that the manifest names.
    #[error("segment {0} does not match the manifest")]
    Segment(usize),
    /// A segment of cut-offs is malformed or not in order although its hash is right.
    #[error("segment {0} is malformed")]
    Malformed(usize),
    /// Changes that do not follow.
    #[error("changes do not continue the manifest's history")]
    Discontinuous,
    /// Shared data does not hold what was written.
    #[error("the records are gone")]
    Gone,
}

/// A generation on its way in.
#[derive(Debug)]
pub(super) struct Loader {
    manifest: Manifest,
    claim: Claim,
    /// What the state will be.
    state: FeedState,
    /// Whether somebody else may have brought more segments in.
    is_looking: bool,
    /// Segments that are in.
    loaded: usize,
    /// Cut-offs of the bucket that is next to be written, so far.
    bucket: Vec<cut_off::CutOff>,
    buckets_written: u32,
    /// What has to be in before the generation may be read: where the feed stood when it was asked
    /// for the first changes, and when that was.
    target: Option<(u64, u64)>,
}

impl Loader {
    /// Begins with a manifest, in a slot that nobody reads, or goes on with what another leader has
    /// brought in under the same claim.
    pub(super) fn new(manifest: Manifest, slot: u8, claim: Claim) -> Self {
        let state = FeedState {
            epoch: manifest.epoch,
            generation: manifest.generation,
            slot,
            sequence: manifest.sequence,
            chain: manifest.chain,
            evidence: NO_EVIDENCE,
            load: claim.load,
            batches: 0,
            verified_at: 0,
            filter_key: manifest.filter_key,
            page_count: manifest.page_count,
            bucket_count: manifest.bucket_count,
            manifest: manifest.digest(),
            manifest_signer: Signer::default(),
            batch_signer: Signer::default(),
        };
        Self {
            manifest,
            is_looking: claim.is_continued,
            claim,
            state,
            loaded: 0,
            bucket: Vec::new(),
            buckets_written: 0,
            target: None,
        }
    }

    /// With who has signed the manifest.
    pub(super) const fn signed_by(mut self, signer: Signer) -> Self {
        self.state.manifest_signer = signer;
        self
    }

    /// Notes who has signed the last changes.
    pub(super) const fn note_signer(&mut self, signer: Signer) {
        self.state.batch_signer = signer;
    }

    pub(super) const fn state(&self) -> &FeedState {
        &self.state
    }

    /// Has nobody go on with this load from here on, so that changes may be applied. `false` when
    /// another leader does so already.
    #[must_use]
    pub(super) fn keep_from_others(
        &mut self,
        host: &impl SharedData,
        filter: &SharedFilter,
    ) -> bool {
        self.claim.end(host, filter.space())
    }

    pub(super) fn need(&self) -> Need {
        if self.is_looking {
            Need::Step
        } else if self.loaded < self.segment_count() {
            Need::Segment(self.loaded)
        } else if self.buckets_written < self.state.bucket_count {
            Need::Step
        } else {
            Need::Changes
        }
    }

    fn segment_count(&self) -> usize {
        self.manifest.filter_segments.len() + self.manifest.cut_off_segments.len()
    }

    fn segment(&self, index: usize) -> Option<&Segment> {
        let segments = self.manifest.filter_segments.iter();
        segments.chain(&self.manifest.cut_off_segments).nth(index)
    }

    /// Takes the next segment in.
    pub(super) fn on_segment(
        &mut self,
        host: &impl SharedData,
        filter: &SharedFilter,
        bytes: &[u8],
    ) -> Result<(), LoadError> {
        let index = self.loaded;
        if !self
            .segment(index)
            .is_some_and(|segment| segment.matches(bytes))
        {
            return Err(LoadError::Segment(index));
        }
        if index < self.manifest.filter_segments.len() {
            self.write_pages(host, filter, index, bytes);
        } else {
            let records = cut_off::decode(bytes).map_err(|_| LoadError::Malformed(index))?;
            for record in records {
                let bucket = cut_off::bucket_of(record.key, self.state.bucket_count);
                if bucket < self.buckets_written {
                    return Err(LoadError::Malformed(index));
                }
                self.write_buckets(host, filter, bucket);
                self.bucket.push(record);
            }
        }
        self.loaded += 1;
        Ok(())
    }

    fn write_pages(
        &self,
        host: &impl SharedData,
        filter: &SharedFilter,
        segment: usize,
        bytes: &[u8],
    ) {
        let first = segment * (SEGMENT_BYTES / PAGE_BYTES);
        for (index, page) in (first..).zip(bytes.chunks_exact(PAGE_BYTES)) {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            filter.write_page(host, &self.state, index, page);
        }
    }

    /// Looks for some segments of another leader, or writes some of the buckets that are left when
    /// all records are there.
    pub(super) fn step(&mut self, host: &impl SharedData, filter: &SharedFilter) {
        if self.is_looking {
            return self.look(host, filter);
        }
        let end = self.buckets_written.saturating_add(BUCKETS_PER_STEP);
        self.write_buckets(host, filter, end.min(self.state.bucket_count));
    }

    /// Passes over the pages that are there. Those of a segment are written in their order, so that
    /// its last one stands for all of them. Buckets say nothing of how many segments they came in.
    fn look(&mut self, host: &impl SharedData, filter: &SharedFilter) {
        let segment_count = self.manifest.filter_segments.len();
        let end = segment_count.min(self.loaded + SEGMENTS_PER_STEP);
        while self.loaded < end {
            let pages = (self.loaded + 1) * (SEGMENT_BYTES / PAGE_BYTES);
            let last = u32::try_from(pages).map_or(self.state.page_count, |pages| {
                pages.min(self.state.page_count)
            });
            if !filter.has_page(host, &self.state, last.saturating_sub(1)) {
                self.is_looking = false;
                return;
            }
            self.loaded += 1;
        }
        self.is_looking = self.loaded < segment_count;
    }

    /// Writes the buckets before `end`. Empty ones are written too: a bucket that is missing means
    /// that nothing is known.
    fn write_buckets(&mut self, host: &impl SharedData, filter: &SharedFilter, end: u32) {
        while self.buckets_written < end {
            filter.write_bucket(host, &self.state, self.buckets_written, &self.bucket);
            self.bucket.clear();
            self.buckets_written += 1;
        }
    }

    /// Applies changes that came after the manifest. The caller has checked that they answer the
    /// right question, which was sent at `sent`.
    pub(super) fn on_changes(
        &mut self,
        host: &impl SharedData,
        filter: &SharedFilter,
        batch: &Batch,
        sent: u64,
    ) -> Result<(), LoadError> {
        let state = &self.state;
        if (batch.epoch, batch.after, batch.chain) != (state.epoch, state.sequence, state.chain) {
            return Err(LoadError::Discontinuous);
        }
        if !filter.apply(host, state, batch.after, &batch.changes) {
            return Err(LoadError::Gone);
        }
        self.state.sequence = batch.through();
        self.state.chain = batch.chain_through();
        self.state.evidence = batch.evidence;
        let (head, asked) = *self.target.get_or_insert((batch.head, sent));
        if batch.is_last() {
            self.state.verified_at = sent;
        } else if batch.through() >= head {
            self.state.verified_at = self.state.verified_at.max(asked);
        }
        Ok(())
    }

    /// Whether everything is in that had been revoked when the changes were first asked for. It is
    /// not waited for the last change: they may be made faster than they are fetched.
    pub(super) fn is_whole(&self) -> bool {
        self.target
            .is_some_and(|(head, _)| self.state.sequence >= head)
    }
}
