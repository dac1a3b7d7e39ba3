//! The body of a bucket of cut-offs in shared data, after the header that all records have:
//!
//! ```text
//! struct Bucket {            // little-endian
//!     through: u64,          // sequence number of the last change that is in
//!     cut_offs: [CutOff],    // as in `cut_off`, one for a key
//! }
//! ```
//!
//! # Why does a bucket know how far it has come?
//!
//! A cut-off can be restored, and set again, so it matters which change comes last. Two leaders may
//! be at work at once, and one of them may have been paused with an old batch. Each applies a
//! batch's changes to a bucket in order, by one compare-and-swap, and no batch before all earlier
//! ones are applied. So a bucket at a sequence number has all of its own changes up to it, and a
//! change that is not above that number has nothing to add: a late leader changes nothing, and the
//! successor of one that was stopped half way through a batch applies all of it again.
//!
//! A number stands for one change as long as the records last. Their header has the epoch, and an
//! authority that was restored from a backup begins another one as soon as an edge knows more than
//! it. If only the records know more, since a leader died in the middle of a batch before the state
//! had it, the batch's announcement shows that, and the records are loaded again. Pages need none
//! of this, since their bits are only ever set.

use super::cut_off::{self, RECORD_BYTES};
use crate::revocation::cut_off::CutOff;
use crate::revocation::{Change, MAX_BATCH_CHANGES};

/// A bucket with these cut-offs and everything up to `through`.
pub(super) fn encode(through: u64, cut_offs: &[CutOff]) -> Vec<u8> {
    let mut bucket = through.to_le_bytes().to_vec();
    bucket.extend(cut_off::encode(cut_offs));
    bucket
}

/// A bucket's sequence number and its cut-offs; `None` if it is malformed.
pub(super) fn decode(bucket: &[u8]) -> Option<(u64, &[u8])> {
    let (through, cut_offs) = bucket.split_first_chunk()?;
    let is_whole = cut_offs.len().is_multiple_of(RECORD_BYTES);
    is_whole.then_some((u64::from_le_bytes(*through), cut_offs))
}

/// The effect of changes on a record.
#[derive(Debug)]
pub(super) enum Changed {
    /// A new body.
    To(Vec<u8>),
    /// None: they are applied already.
    Nothing,
    /// None possible: what is there was not written by an edge of this feed.
    Foreign,
}

/// The bucket after its own changes, in order, which come after `after`.
pub(super) fn changed<'c>(
    bucket: &[u8],
    after: u64,
    own: impl Iterator<Item = (u64, &'c Change)>,
) -> Changed {
    let Some((through, cut_offs)) = decode(bucket) else {
        return Changed::Foreign;
    };
    if through.saturating_sub(after) > FURTHEST_AHEAD {
        return Changed::Foreign;
    }
    let mut new = own.skip_while(|(sequence, _)| *sequence <= through);
    let Some((mut last, mut change)) = new.next() else {
        return Changed::Nothing;
    };
    let mut cut_offs = cut_offs.to_vec();
    loop {
        match change {
            Change::SetCutOff(cut_off) => cut_off::set(&mut cut_offs, cut_off),
            change => cut_off::clear(&mut cut_offs, change.fingerprint()),
        }
        let Some(next) = new.next() else {
            return Changed::To([&last.to_le_bytes(), &cut_offs[..]].concat());
        };
        (last, change) = next;
    }
}

/// How far a bucket may be ahead of the state: a leader applies one batch before it updates the
/// state. A bucket that claims more would make leaders skip changes for as long as it exists.
const FURTHEST_AHEAD: u64 = MAX_BATCH_CHANGES as u64;
