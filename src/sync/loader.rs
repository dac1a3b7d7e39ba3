//! Loading a generation: manifest, segments, cut-offs, and then what has changed since.
//!
//! Everything goes into the slot that is not in use, a segment at a time, so that no callback takes
//! longer than a segment. None of it is visible until the follower writes the new state. The table
//! of cut-offs is in the order of its buckets, so that no more than a segment of it is in memory: a
//! virtual machine's memory never shrinks.

use super::claim::{self, Claim, Contended, Progress};
use crate::host::SharedData;
use crate::revocation::page::PAGE_BYTES;
use crate::revocation::{
    Batch, Evidence, FeedState, Manifest, SEGMENT_BYTES, Segment, SharedFilter, Signer, cut_off,
};

/// A manifest has none, but a generation is only used after a poll, and the batch has evidence.
const NO_EVIDENCE: Evidence = Evidence([0; 72]);

/// Empty buckets that are written in one step, about half a millisecond's worth.
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
    /// The segment's bytes are not those in the manifest.
    #[error("segment {0} does not match the manifest")]
    Segment(usize),
    /// A segment of cut-offs is malformed or not in order although its hash is right.
    #[error("segment {0} is malformed")]
    Malformed(usize),
    /// Changes that do not continue the history.
    #[error("changes do not continue the manifest's history")]
    Discontinuous,
    /// Shared data does not contain what was written.
    #[error("the records are gone")]
    Gone,
    /// Another leader has the claim, or it was overwritten.
    #[error("another leader loads a generation")]
    Contended,
}

impl From<Contended> for LoadError {
    fn from(_: Contended) -> Self {
        Self::Contended
    }
}

/// A generation being loaded.
#[derive(Debug)]
pub(super) struct Loader {
    manifest: Manifest,
    /// Until it is given up.
    claim: Option<Claim>,
    /// The future state.
    state: FeedState,
    /// Where this load was begun or resumed.
    from: Progress,
    /// Segments that are loaded.
    loaded: usize,
    /// The cut-offs so far of the next bucket to be written.
    bucket: Vec<cut_off::CutOff>,
    buckets_written: u32,
    /// What has to be applied before the generation may be used: the head of the feed when changes
    /// were first polled for, and when that was.
    target: Option<(u64, u64)>,
}

impl Loader {
    /// Begins with a manifest, in the slot that is not in use, or resumes what another leader has
    /// loaded under the same claim.
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
        let from = claim.progress;
        Self {
            manifest,
            claim: Some(claim),
            state,
            from,
            loaded: from.segment as usize,
            bucket: Vec::new(),
            buckets_written: from.bucket,
            target: None,
        }
    }

    /// Notes the signer of the manifest.
    pub(super) const fn signed_by(mut self, signer: Signer) -> Self {
        self.state.manifest_signer = signer;
        self
    }

    /// Notes the signer of the last changes.
    pub(super) const fn note_signer(&mut self, signer: Signer) {
        self.state.batch_signer = signer;
    }

    pub(super) const fn state(&self) -> &FeedState {
        &self.state
    }

    pub(super) fn need(&self) -> Need {
        if self.loaded < self.segment_count() {
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

    /// Loads the next segment, and records that for a leader that may resume.
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
        let progress = if index < self.manifest.filter_segments.len() {
            self.write_pages(host, filter, index, bytes)?
        } else {
            self.write_table(host, filter, index, bytes)?
        };
        self.loaded += 1;
        if let (Some(progress), Some(claim)) = (progress, &mut self.claim) {
            claim.note(host, filter.space(), &self.state, progress)?;
        }
        Ok(())
    }

    /// Writes a segment of pages. Returns how far the load has come.
    fn write_pages(
        &self,
        host: &impl SharedData,
        filter: &SharedFilter,
        segment: usize,
        bytes: &[u8],
    ) -> Result<Option<Progress>, LoadError> {
        let is_open = || claim::is_open(host, filter.space(), &self.state);
        let first = segment * (SEGMENT_BYTES / PAGE_BYTES);
        for (index, page) in (first..).zip(bytes.chunks_exact(PAGE_BYTES)) {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if !filter.write_page(host, &self.state, index, page, is_open) {
                return Err(LoadError::Contended);
            }
        }
        Ok(u32::try_from(segment + 1)
            .ok()
            .map(|segment| Progress { segment, bucket: 0 }))
    }

    /// Writes those buckets of a segment of cut-offs that end in it. Returns how far the load has
    /// come: a leader that resumes needs all of the next bucket, and so the segment in which that
    /// begins.
    fn write_table(
        &mut self,
        host: &impl SharedData,
        filter: &SharedFilter,
        segment: usize,
        bytes: &[u8],
    ) -> Result<Option<Progress>, LoadError> {
        let records = cut_off::decode(bytes).map_err(|_| LoadError::Malformed(segment))?;
        let (before, is_first) = (self.buckets_written, segment == self.from.segment as usize);
        for record in records {
            let bucket = cut_off::bucket_of(record.key, self.state.bucket_count);
            if is_first && bucket < self.from.bucket {
                continue;
            }
            if bucket < self.buckets_written {
                return Err(LoadError::Malformed(segment));
            }
            self.write_buckets(host, filter, bucket)?;
            self.bucket.push(record);
        }
        let bucket = self.buckets_written;
        let segment = u32::try_from(segment).ok().filter(|_| bucket > before);
        Ok(segment.map(|segment| Progress { segment, bucket }))
    }

    /// Writes some of the remaining buckets when all records are loaded.
    ///
    /// # Errors
    ///
    /// [`LoadError::Contended`].
    pub(super) fn step(
        &mut self,
        host: &impl SharedData,
        filter: &SharedFilter,
    ) -> Result<(), LoadError> {
        let end = self.buckets_written.saturating_add(BUCKETS_PER_STEP);
        self.write_buckets(host, filter, end.min(self.state.bucket_count))
    }

    /// Writes the buckets before `end`. Empty ones are written too: a missing bucket means that
    /// nothing is known.
    fn write_buckets(
        &mut self,
        host: &impl SharedData,
        filter: &SharedFilter,
        end: u32,
    ) -> Result<(), LoadError> {
        while self.buckets_written < end {
            let is_open = || claim::is_open(host, filter.space(), &self.state);
            let index = self.buckets_written;
            if !filter.write_bucket(host, &self.state, index, &self.bucket, is_open) {
                return Err(LoadError::Contended);
            }
            self.bucket.clear();
            self.buckets_written += 1;
        }
        Ok(())
    }

    /// Applies changes that came after the manifest; from then on no other leader can resume this
    /// load. The caller has checked that they answer the right poll, which was sent at `sent`.
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
        if let Some(claim) = self.claim.take() {
            claim.end(host, filter.space())?;
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

    /// Whether everything is loaded that was revoked when changes were first polled for. It need
    /// not be the last change: changes may be made faster than they are fetched.
    pub(super) fn is_whole(&self) -> bool {
        self.target
            .is_some_and(|(head, _)| self.state.sequence >= head)
    }
}
