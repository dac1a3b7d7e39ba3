//! What a bucket of cut-offs holds in shared data, behind the header that all records have:
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
//! A cut-off can be taken back, and set again, so it matters which change comes last. Two leaders
//! may be at work at once, and one of them may have been stopped with an old batch in its hands.
//! Each applies those of a batch that are in one bucket in their order, all by one
//! compare-and-swap, and no batch before all earlier ones are in. So a bucket that has come to a
//! number has everything of its own up to it, and a change that is not above that number has nothing
//! to add: a leader that is late does nothing, and the successor of one that was stopped half way
//! through a batch goes through all of it again.
//!
//! A number stands for one change as long as the records last. Their header names the epoch, and an
//! authority that was put back to a backup begins another one as soon as an edge knows more than it.
//! Where only records knew more, since a leader died over a batch before the state named it, the
//! batch's announcement tells, and the records are loaded again. Pages need nothing of the kind,
//! since their bits are only ever set.

use super::cut_off::{self, RECORD_BYTES};
use crate::revocation::cut_off::CutOff;
use crate::revocation::{Change, MAX_BATCH_CHANGES};

/// A bucket with these cut-offs and everything up to `through`.
pub(super) fn encode(through: u64, cut_offs: &[CutOff]) -> Vec<u8> {
    let mut bucket = through.to_le_bytes().to_vec();
    bucket.extend(cut_off::encode(cut_offs));
    bucket
}

/// How far a bucket has come, and its cut-offs; `None` for what is no bucket.
pub(super) fn decode(bucket: &[u8]) -> Option<(u64, &[u8])> {
    let (through, cut_offs) = bucket.split_first_chunk()?;
    let is_whole = cut_offs.len().is_multiple_of(RECORD_BYTES);
    is_whole.then_some((u64::from_le_bytes(*through), cut_offs))
}

/// What a change makes of a record.
#[derive(Debug)]
pub(super) enum Changed {
    /// A new body.
    To(Vec<u8>),
    /// Nothing new: the change is in.
    Nothing,
    /// Nothing at all: what is there was not written by one of ours.
    Foreign,
}

/// The bucket after those of its own changes, in order, that come after `after`.
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

/// A leader that applies a batch goes no further than that from the state, so this is how far a bucket
/// may be ahead while the state is what it was. A bucket that claims more would have changes passed
/// over for as long as it stands.
const FURTHEST_AHEAD: u64 = MAX_BATCH_CHANGES as u64;
