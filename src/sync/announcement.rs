//! The names in the last batches, for the token caches of the other virtual machines.
//!
//! ```text
//! struct Announcement {      // little-endian; sealed, see `crate::namespace`
//!     epoch: u64,
//!     number: u64,           // of the batch, as the state counts them
//!     after: u64,
//!     through: u64,
//!     chain: [u8; 32],       // the chain at `through`
//!     fingerprints: [[u8; 16]; through - after],
//! }
//! ```
//!
//! # Why is a batch announced before it is applied?
//!
//! The leader may die half way through it. Then the records have changes that the state does not
//! have, which is fine as long as the authority has them too: the next leader applies them again.
//! But an authority that was restored from a backup may have lost just those, and by the state
//! alone nothing has happened: no edge knows more than the authority, and no epoch begins. The
//! announcement after the last one that the state counts names those changes, so that the next
//! leader can see that the history is another one.
//!
//! The last one that the state counts does so too, if it reaches further than the state: a leader
//! with more to apply announced it over that of another leader, which then wrote the state.

use crate::host::{Expected, SharedData, SharedValue};
use crate::little_endian::LittleEndian;
use crate::revocation::{Batch, Chain, FeedState, Fingerprint, SharedFilter};

/// Announcements that are kept: some seconds' worth, and a tick is a tenth of one.
const KEPT: u64 = 256;

/// How far the count of batches jumps when caches have to be emptied: more than announcements can
/// cover, even with those of a leader that was stopped half way.
pub(super) const UNACCOUNTED: u64 = KEPT + 1;

/// Which tokens in the cache of a virtual machine are void.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoidTokens {
    /// Tokens that have one of these names.
    Named(Vec<Fingerprint>),
    /// All tokens: some changes were missed.
    All,
}

/// The name of the record of a batch with this number.
fn name(number: u64) -> String {
    format!("announcement/{}", number % KEPT)
}

/// The announced changes after a state.
#[derive(Debug)]
pub(super) struct Begun {
    /// What was found under the next one's key, so that another leader's is not overwritten.
    found: Expected,
    /// Where the last batch and the next one end, and the chain up to there.
    ends: [Option<(u64, Chain)>; 2],
}

impl Begun {
    /// Looks whether a leader has begun to apply a batch that the state does not have.
    pub(super) fn read(host: &impl SharedData, filter: &SharedFilter, state: &FeedState) -> Self {
        let next = state.batches.wrapping_add(1);
        let mut found = Expected::Absent;
        let ends = [state.batches, next].map(|number| {
            found = Expected::Absent;
            let shared = host.shared(&filter.space().key_of(&name(number)))?;
            found = Expected::Version(shared.version);
            let announcement = Announcement::read(&shared, filter, state, number)?;
            let is_after = if number == next {
                announcement.after == state.sequence
            } else {
                announcement.through > state.sequence
            };
            is_after.then_some((announcement.through, announcement.chain))
        });
        Self { found, ends }
    }

    /// Whether the records may have changes after the state.
    pub(super) fn is_any(&self) -> bool {
        self.ends.iter().any(Option::is_some)
    }

    /// Whether the records may have changes that are not in the batch after the state: the
    /// authority does not know them any more, or has given their numbers to others.
    pub(super) fn is_lost_by(&self, batch: &Batch) -> bool {
        let mut ends = self.ends.iter().flatten();
        ends.any(|(through, chain)| batch.chain_at(*through) != Some(*chain))
    }

    /// Announces a batch, before any of it is applied. `state` is the one after it. `false` when
    /// another leader has announced one meanwhile.
    #[must_use]
    pub(super) fn announce(
        &self,
        host: &impl SharedData,
        filter: &SharedFilter,
        state: &FeedState,
        batch: &Batch,
    ) -> bool {
        let mut bytes = Vec::new();
        for number in [state.epoch, state.batches, batch.after, batch.through()] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(state.chain.0);
        for change in &batch.changes {
            bytes.extend(change.fingerprint().0);
        }
        let name = name(state.batches);
        let record = filter.space().seal(&name, &bytes);
        host.set_shared(&filter.space().key_of(&name), &record, self.found)
    }
}

/// An announcement that was found intact.
struct Announcement<'b> {
    after: u64,
    through: u64,
    chain: Chain,
    fingerprints: &'b [[u8; 16]],
}

impl<'b> Announcement<'b> {
    /// The announcement of this batch, if it is one, of the state's feed and epoch.
    fn read(
        shared: &'b SharedValue,
        filter: &SharedFilter,
        state: &FeedState,
        number: u64,
    ) -> Option<Self> {
        let payload = filter.space().open(&name(number), &shared.bytes)?;
        let expected = [state.epoch, number].map(u64::to_le_bytes).concat();
        let mut fields = LittleEndian(payload.strip_prefix(expected.as_slice())?);
        let (after, through) = (fields.u64()?, fields.u64()?);
        let chain = Chain(fields.array()?);
        let (fingerprints, []) = fields.rest().as_chunks() else {
            return None;
        };
        Some(Self {
            after,
            through,
            chain,
            fingerprints,
        })
    }
}

/// Which tokens became void when the state changed from `old` to `new`.
pub(super) fn void_tokens(
    host: &impl SharedData,
    filter: &SharedFilter,
    old: Option<&FeedState>,
    new: &FeedState,
) -> VoidTokens {
    let named = old.and_then(|old| missed(host, filter, old, new));
    named.map_or(VoidTokens::All, VoidTokens::Named)
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
        let shared = host.shared(&filter.space().key_of(&name(number + 1)))?;
        let announcement = Announcement::read(&shared, filter, new, number + 1)?;
        if announcement.after != sequence {
            return None;
        }
        sequence = announcement.through;
        names.extend(announcement.fingerprints.iter().copied().map(Fingerprint));
    }
    (sequence == new.sequence).then_some(names)
}
