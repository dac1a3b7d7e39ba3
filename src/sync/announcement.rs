//! What the last batches named, for the caches of the other virtual machines.
//!
//! ```text
//! struct Announcement {      // little-endian
//!     magic: [u8; 4],        // "PCAN"
//!     reserved: [u8; 4],     // 0
//!     epoch: u64,
//!     number: u64,           // of the batch, as the state counts them
//!     after: u64,
//!     through: u64,
//!     fingerprints: [[u8; 16]; through - after],
//!     checksum: u64,         // SipHash-1-3 of all before, under the filter key
//! }
//! ```

use crate::host::{Expected, SharedData};
use crate::revocation::{Batch, FeedState, Fingerprint, SharedFilter};

/// Announcements that are kept: some seconds' worth, and a tick is a tenth of one.
const KEPT: u64 = 256;

const MAGIC: &[u8; 8] = b"PCAN\0\0\0\0";

/// How far the count of batches goes on when caches have to be emptied: nobody can account for so
/// many, even with announcements of a leader that was stopped half way.
pub(super) const UNACCOUNTED: u64 = KEPT + 1;

/// What a virtual machine has to drop from its cache of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Purge {
    /// Tokens that have one of these names.
    Named(Vec<Fingerprint>),
    /// All tokens: what was missed is not known.
    Everything,
}

/// Announces a batch that has been applied, before the state says so.
pub(super) fn announce(
    host: &impl SharedData,
    filter: &SharedFilter,
    state: &FeedState,
    batch: &Batch,
) {
    let mut bytes = MAGIC.to_vec();
    for number in [state.epoch, state.batches, batch.after, batch.through()] {
        bytes.extend(number.to_le_bytes());
    }
    for change in &batch.changes {
        bytes.extend(change.fingerprint().0);
    }
    let checksum = state.filter_key.checksum(&[&bytes]);
    bytes.extend(checksum.to_le_bytes());
    let key = filter.announcement_key(state.batches % KEPT);
    host.set_shared(&key, &bytes, Expected::Anything);
}

/// What to drop when the state went from `old` to `new`.
pub(super) fn purge(
    host: &impl SharedData,
    filter: &SharedFilter,
    old: Option<&FeedState>,
    new: &FeedState,
) -> Purge {
    let named = old.and_then(|old| missed(host, filter, old, new));
    named.map_or(Purge::Everything, Purge::Named)
}

fn missed(
    host: &impl SharedData,
    filter: &SharedFilter,
    old: &FeedState,
    new: &FeedState,
) -> Option<Vec<Fingerprint>> {
    let is_same_history = old.epoch == new.epoch && old.filter_key == new.filter_key;
    let missed = new.batches.checked_sub(old.batches)?;
    if !is_same_history || missed > KEPT {
        return None;
    }
    let mut names = Vec::new();
    let mut sequence = old.sequence;
    for number in old.batches..new.batches {
        let record = host.shared(&filter.announcement_key((number + 1) % KEPT))?;
        let (body, checksum) = record.bytes.split_last_chunk::<8>()?;
        if new.filter_key.checksum(&[body]) != u64::from_le_bytes(*checksum) {
            return None;
        }
        let (header, fingerprints) = body.split_at_checked(MAGIC.len() + 4 * 8)?;
        let expected = [new.epoch, number + 1, sequence]
            .map(u64::to_le_bytes)
            .concat();
        let rest = header
            .strip_prefix(MAGIC)?
            .strip_prefix(expected.as_slice())?;
        sequence = rest.try_into().map(u64::from_le_bytes).ok()?;
        let (chunks, []) = fingerprints.as_chunks::<16>() else {
            return None;
        };
        names.extend(chunks.iter().copied().map(Fingerprint));
    }
    (sequence == new.sequence).then_some(names)
}
