//! The filter and the cut-offs in shared data: one copy for all virtual machines of a process.
//!
//! Every page and every bucket is a value of its own:
//!
//! ```text
//! struct Record {            // little-endian
//!     magic: [u8; 4],        // "PCPG" for a page, "PCCO" for a bucket of cut-offs
//!     index: u32,
//!     epoch: u64,
//!     generation: u64,
//!     load: u64,             // random, as in the state
//!     checksum: u64,         // SipHash-1-3 of all the rest, under the namespace's key
//!     body: [u8],            // 4 KiB of bits, or a `bucket`
//! }
//! ```
//!
//! A record of another generation, with another index or of another plugin counts as missing: the
//! answer is then "no data", never "not revoked".

mod bucket;
mod checked;
mod fill;
mod names;
mod recent;

use std::collections::BinaryHeap;
use std::rc::Rc;

use bucket::Changed;
use checked::Checked;
pub use fill::Fill;
pub use names::Names;
use recent::Recent;

use super::cut_off::CutOff;
use super::page::{PAGE_BYTES, insert, may_contain, page_of};
use super::{Change, FeedState, cut_off};
use crate::host::{Expected, SharedData, SharedValue};
use crate::little_endian::LittleEndian;
use crate::namespace::Namespace;

/// The name of the record with the [`FeedState`].
const STATE: &str = "state";

/// The name of the record that says what is to be loaded again.
const DAMAGED: &str = "damaged";

/// How often a write is retried when another writer was faster.
const WRITE_ATTEMPTS: usize = 16;

/// What the shared filter says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Certainly not revoked.
    NotRevoked,
    /// Certainly revoked, by a cut-off.
    CutOff,
    /// Maybe: it can be a false positive. Ask the authority.
    PossiblyRevoked,
    /// The filter cannot say.
    NoData,
}

/// The kind of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RecordKind {
    Page,
    Bucket,
}

/// The records of one feed in shared data.
#[derive(Clone, Debug)]
pub struct SharedFilter {
    space: Namespace,
    checked: Checked,
    recent: Recent,
}

impl SharedFilter {
    /// The filter whose records are in this namespace.
    #[must_use]
    pub fn new(space: Namespace) -> Self {
        Self {
            space,
            checked: Checked::default(),
            recent: Recent::default(),
        }
    }

    /// The state in shared data, and its version.
    pub(crate) fn state(&self, host: &impl SharedData) -> Option<(FeedState, u32)> {
        let shared = host.shared(&self.space.key_of(STATE))?;
        Some((self.opened(&shared)?, shared.version))
    }

    /// The state in shared data, if there is a valid one, and what must still be there when another
    /// one overwrites what was found.
    pub(crate) fn found_state(&self, host: &impl SharedData) -> (Option<FeedState>, Expected) {
        match host.shared(&self.space.key_of(STATE)) {
            Some(shared) => (self.opened(&shared), Expected::Version(shared.version)),
            None => (None, Expected::Absent),
        }
    }

    fn opened(&self, shared: &SharedValue) -> Option<FeedState> {
        FeedState::decode(self.space.open(STATE, &shared.bytes)?)
    }

    /// Writes the state, if what is there is still `expected`.
    pub(crate) fn write_state(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        expected: Expected,
    ) -> bool {
        let record = self.space.seal(STATE, &state.encode());
        host.set_shared(&self.space.key_of(STATE), &record, expected)
    }

    /// The namespace of all records of this feed.
    pub(crate) const fn space(&self) -> &Namespace {
        &self.space
    }

    /// Reports that records of this generation are missing, so that the leader loads it again.
    pub(crate) fn report_damage(&self, host: &impl SharedData, state: &FeedState) {
        let record = self.space.seal(DAMAGED, &generation_id(state));
        host.set_shared(&self.space.key_of(DAMAGED), &record, Expected::Anything);
    }

    /// Whether a virtual machine has found records of this generation missing.
    pub(crate) fn is_damaged(&self, host: &impl SharedData, state: &FeedState) -> bool {
        let damaged = host.shared(&self.space.key_of(DAMAGED));
        damaged.is_some_and(|damaged| {
            let damaged = self.space.open(DAMAGED, &damaged.bytes);
            damaged.is_some_and(|damaged| damaged == generation_id(state))
        })
    }

    /// Made several times for every new token, so without the machinery of `format!`.
    fn record_key(&self, record: RecordKind, slot: u8, index: u32) -> String {
        const LONGEST_END: usize = "bucket/255/4294967295".len();
        let kind = match record {
            RecordKind::Page => "page/",
            RecordKind::Bucket => "bucket/",
        };
        let prefix = self.space.prefix();
        let mut key = String::with_capacity(prefix.len() + LONGEST_END);
        key.push_str(prefix);
        key.push_str(kind);
        push_decimal(&mut key, slot.into());
        key.push('/');
        push_decimal(&mut key, index);
        key
    }

    /// What the filter says of a token with these names.
    #[must_use]
    pub fn status(&self, host: &impl SharedData, state: &FeedState, names: &Names) -> Status {
        for name in &names.cut_offs {
            let index = cut_off::bucket_of(*name, state.bucket_count);
            let Some(bucket) = self.recent_bucket(host, state, index) else {
                return Status::NoData;
            };
            let found = cut_off::find(bucket.cut_offs(), *name);
            if found.is_some_and(|found| found.revokes(names.issued(*name), names.session)) {
                return Status::CutOff;
            }
        }
        let mut status = Status::NotRevoked;
        // Small filters have all of a token's names in one page, which is read once.
        let mut held: Option<(u32, Body)> = None;
        for name in &names.entries {
            let index = page_of(*name, state.page_count);
            if held.as_ref().is_none_or(|(held, _)| *held != index) {
                held = self
                    .read(host, state, RecordKind::Page, index)
                    .map(|page| (index, page));
            }
            match &held {
                None => return Status::NoData,
                Some((_, page)) if may_contain(page.bytes(), *name) => {
                    status = Status::PossiblyRevoked;
                }
                Some(_) => {}
            }
        }
        status
    }

    /// A bucket as it was at the state's sequence number, or later.
    fn recent_bucket(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        index: u32,
    ) -> Option<Rc<Body>> {
        self.recent.get(state, index).or_else(|| {
            let bucket = Rc::new(self.read(host, state, RecordKind::Bucket, index)?);
            self.recent.add(state, index, Rc::clone(&bucket));
            Some(bucket)
        })
    }

    /// Applies changes to the records of a generation, which have all changes up to the sequence
    /// number `after`, and may have these and later ones. `false` when the records are gone, when
    /// they are ahead of the batch after `after`, so that the state must have changed, or when
    /// other writers are always faster.
    ///
    /// Every record is read and written once, however many of the changes are in it: what a batch
    /// costs is bounded by its length, and by the length of the buckets.
    #[must_use]
    pub(crate) fn apply(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        after: u64,
        changes: &[Change],
    ) -> bool {
        let located: BinaryHeap<_> = changes
            .iter()
            .enumerate()
            .filter_map(|(position, change)| Some((record_of(change, state)?, position)))
            .collect();
        // Within each record, changes stay in their order. A heap takes less code than a slice's sorting.
        let located = located.into_sorted_vec();
        located.chunk_by(|a, b| a.0 == b.0).all(|own| {
            let Some(((record, index), _)) = own.first() else {
                return true;
            };
            let own = own.iter().filter_map(|(_, position)| {
                let sequence = (1 + *position as u64).saturating_add(after);
                Some((sequence, changes.get(*position)?))
            });
            self.update(host, state, *record, *index, |body| match record {
                RecordKind::Page => page_changed(body, own.clone()),
                RecordKind::Bucket => bucket::changed(body, after, own.clone()),
            })
        })
    }

    /// Writes a record's body after changes, unless it stays the same.
    fn update(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        record: RecordKind,
        index: u32,
        change: impl Fn(&[u8]) -> Changed,
    ) -> bool {
        for _ in 0..WRITE_ATTEMPTS {
            let Some(body) = self.read(host, state, record, index) else {
                return false;
            };
            let expected = Expected::Version(body.version());
            let body = match change(body.bytes()) {
                Changed::To(body) => body,
                Changed::Nothing => return true,
                Changed::Foreign => return false,
            };
            if self.write(host, state, record, index, &body, expected) {
                return true;
            }
        }
        false
    }

    /// Writes a page of a generation that is being loaded, unless it is there. `false` when the load
    /// is not open any more.
    #[must_use]
    pub(crate) fn write_page(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        index: u32,
        page: &[u8],
        is_open: impl FnOnce() -> bool,
    ) -> bool {
        self.write_first(host, state, RecordKind::Page, index, page, is_open)
    }

    /// Writes a bucket of a generation that is being loaded, as it is at the state's sequence
    /// number, unless it is there. `false` when the load is not open any more.
    #[must_use]
    pub(crate) fn write_bucket(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        index: u32,
        cut_offs: &[CutOff],
        is_open: impl FnOnce() -> bool,
    ) -> bool {
        let bucket = bucket::encode(state.sequence, cut_offs);
        self.write_first(host, state, RecordKind::Bucket, index, &bucket, is_open)
    }

    /// Writes a record of a generation, unless this load has written it already, and only while the
    /// load is open. `is_open` is called after reading what is there: another leader may have taken
    /// over the load, and may have applied changes already.
    fn write_first(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        record: RecordKind,
        index: u32,
        body: &[u8],
        is_open: impl FnOnce() -> bool,
    ) -> bool {
        let found = host.shared(&self.record_key(record, state.slot, index));
        let expected = match found {
            None => Expected::Absent,
            Some(found) => {
                let expected = Expected::Version(found.version);
                if self.whole(state, record, index, found).is_some() {
                    return true;
                }
                expected
            }
        };
        if !is_open() {
            return false;
        }
        // Fails when another writer was faster. A leader with this load has written the same. A
        // leader that was stopped in a load that has been replaced since, or another plugin, has
        // not: then the record counts as missing, and the generation is loaded again when the
        // record is looked up.
        self.write(host, state, record, index, body, expected);
        true
    }

    fn write(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        record: RecordKind,
        index: u32,
        body: &[u8],
        expected: Expected,
    ) -> bool {
        let header = header(state, record, index);
        let checksum = self.space.checksum(&[&header, body]);
        let bytes = [&header, &checksum.to_le_bytes()[..], body].concat();
        host.set_shared(
            &self.record_key(record, state.slot, index),
            &bytes,
            expected,
        )
    }

    fn read(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        record: RecordKind,
        index: u32,
    ) -> Option<Body> {
        let shared = host.shared(&self.record_key(record, state.slot, index))?;
        self.whole(state, record, index, shared)
    }

    /// What was found under a record's key, if it is that record of this load, and intact.
    fn whole(
        &self,
        state: &FeedState,
        record: RecordKind,
        index: u32,
        shared: SharedValue,
    ) -> Option<Body> {
        let header = header(state, record, index);
        let body = shared.bytes.strip_prefix(&header)?;
        let (checksum, body) = body.split_first_chunk::<8>()?;
        let is_whole = match record {
            RecordKind::Page => body.len() == PAGE_BYTES,
            RecordKind::Bucket => bucket::decode(body).is_some(),
        };
        if !is_whole {
            return None;
        }
        if !self.checked.holds(state, record, index, shared.version) {
            let expected = self.space.checksum(&[&header, body]);
            if u64::from_le_bytes(*checksum) != expected {
                return None;
            }
            self.checked.add(state, record, index, shared.version);
        }
        Some(Body(shared))
    }

    /// Empties a record that belongs to an older generation than `state`'s. `false` when there has
    /// never been a record under this key.
    pub(crate) fn discard(
        &self,
        host: &impl SharedData,
        state: &FeedState,
        record: RecordKind,
        slot: u8,
        index: u32,
    ) -> bool {
        let key = self.record_key(record, slot, index);
        let Some(shared) = host.shared(&key) else {
            return false;
        };
        let own = generation_of(&shared.bytes);
        if own.is_some_and(|own| own < (state.epoch, state.generation)) {
            host.set_shared(&key, &[], Expected::Version(shared.version));
        }
        true
    }
}

/// A record that was found intact.
#[derive(Debug)]
struct Body(SharedValue);

impl Body {
    fn bytes(&self) -> &[u8] {
        self.0.bytes.get(HEADER_BYTES + 8..).unwrap_or_default()
    }

    /// Those of a bucket.
    fn cut_offs(&self) -> &[u8] {
        bucket::decode(self.bytes()).map_or(&[], |(_, cut_offs)| cut_offs)
    }

    const fn version(&self) -> u32 {
        self.0.version
    }
}

const HEADER_BYTES: usize = 32;

fn header(state: &FeedState, record: RecordKind, index: u32) -> [u8; HEADER_BYTES] {
    let magic = match record {
        RecordKind::Page => *b"PCPG",
        RecordKind::Bucket => *b"PCCO",
    };
    let kind_and_index = u64::from(u32::from_le_bytes(magic)) | u64::from(index) << 32;
    let mut header = [0; HEADER_BYTES];
    let fields = [kind_and_index, state.epoch, state.generation, state.load];
    for (to, from) in header.chunks_exact_mut(8).zip(fields) {
        to.copy_from_slice(&from.to_le_bytes());
    }
    header
}

/// The record that a change applies to; `None` for a change that applies to none. A bit may belong
/// to several names, so none is ever cleared: the filter goes on saying "maybe", and the authority
/// says "no".
fn record_of(change: &Change, state: &FeedState) -> Option<(RecordKind, u32)> {
    let name = change.fingerprint();
    match change {
        Change::Add(_) => Some((RecordKind::Page, page_of(name, state.page_count))),
        Change::Restore(_) => None,
        Change::SetCutOff(_) | Change::ClearCutOff(_) => {
            let index = cut_off::bucket_of(name, state.bucket_count);
            Some((RecordKind::Bucket, index))
        }
    }
}

/// The page with these names added.
fn page_changed<'c>(page: &[u8], own: impl Iterator<Item = (u64, &'c Change)>) -> Changed {
    let mut body = page.to_vec();
    for (_, change) in own {
        insert(&mut body, change.fingerprint());
    }
    if body == page {
        Changed::Nothing
    } else {
        Changed::To(body)
    }
}

/// Appends a number in decimal digits.
fn push_decimal(text: &mut String, number: u32) {
    let digits = number.checked_ilog10().unwrap_or(0);
    for exponent in (0..=digits).rev() {
        let digit = char::from_digit(number / 10_u32.pow(exponent) % 10, 10);
        text.push(digit.unwrap_or_default());
    }
}

/// Identifies one load of a generation.
fn generation_id(state: &FeedState) -> Vec<u8> {
    let numbers = [state.epoch, state.generation, state.load];
    numbers.map(u64::to_le_bytes).concat()
}

/// Epoch and generation of a record, intact or not.
fn generation_of(record: &[u8]) -> Option<(u64, u64)> {
    let mut numbers = LittleEndian(record.get(8..)?);
    Some((numbers.u64()?, numbers.u64()?))
}

#[cfg(test)]
mod tests;
