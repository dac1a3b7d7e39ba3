//! Pieces of work for the writer, each with the type of its outcome.

use super::StoreError;
use super::decide::Restoration;
use super::setting::{AreaHolder, Claim, Epoch, GenerationNumber, Setting};
use super::writing::{Applied, Dropped, Restored, Revoked, Writing};
use crate::authority::entry::{Revocation, Target};
use crate::revocation::Fingerprint;

/// Something to be done in a transaction, together with others or alone.
pub(crate) trait Work: Send + 'static {
    /// Its outcome.
    type Outcome: Send + 'static;

    /// Its rank in a commit.
    const RANK: Rank;

    /// Does it. May be called again when the transaction has failed because of other work.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<Self::Outcome, StoreError>;

    /// The name whose entry it reads, so that those of a whole commit are asked for at once.
    fn target(&self) -> Option<&Target> {
        None
    }
}

/// How a piece of work ranks with others in its commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rank {
    /// A request waits for it.
    Request,
    /// It can wait, and is given up before a request is refused because of it.
    Background,
    /// It can wait, and as part of an import takes as much space as thousands of others.
    Import(Room),
}

/// What happens to space on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It is taken.
    Taken,
    /// It is freed.
    Freed,
}

/// An empty commit, which opens a store that was closed by a failure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nothing;

/// Have edges look again at tokens with these names, although no entry has changed.
#[derive(Clone, Debug)]
pub(crate) struct Announce(pub Vec<Fingerprint>);

/// Drop what has expired; what has not stays.
#[derive(Clone, Debug)]
pub(crate) struct DropExpired(pub Vec<Fingerprint>);

/// Tell other processes of a generation that was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publish(pub GenerationNumber);

/// Begin an epoch in place of `known`, unless another process has begun one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BeginEpoch {
    /// The epoch that is to end.
    pub known: Epoch,
    /// The one that is to begin.
    pub next: Epoch,
}

/// Keep a setting in place of `known`, unless another process has put something else there.
#[derive(Clone, Debug)]
pub(crate) struct Replace<S> {
    /// What is there as far as this process knows.
    pub known: S,
    /// What is to be there.
    pub next: S,
}

/// Keep a setting.
#[derive(Clone, Debug)]
pub(crate) struct Keep<S>(pub S);

/// Claim the area for an import, which has to be free, or claimed as `from` says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimArea {
    /// The claim whose process has fallen silent.
    pub from: Option<Claim>,
    /// The number of the claim that takes its place.
    pub number: u64,
}

/// Show that the process is alive that has claimed the area under this number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepArea(pub u64);

/// Something that only the process may do that has claimed the area under this number; without a number,
/// no other process writes.
#[derive(Clone, Debug)]
pub(crate) struct InArea<W> {
    /// The number of the claim.
    pub claim: Option<u64>,
    /// What it is.
    pub work: W,
}

/// Stage a part of an import.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    /// Its number, from 0.
    pub number: u64,
    /// Its revocations.
    pub part: Vec<u8>,
}

/// Revoke what a part of an import names, and remove the part.
#[derive(Clone, Debug)]
pub(crate) struct ApplyStaged {
    /// Its number.
    pub number: u64,
    /// Its revocations.
    pub revocations: Vec<Revocation>,
}

/// Remove every part of an import, which then no longer counts as complete.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropStaged;

impl Work for Revocation {
    type Outcome = Revoked;
    const RANK: Rank = Rank::Request;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<Revoked, StoreError> {
        writing.revoke(self)
    }

    fn target(&self) -> Option<&Target> {
        Some(&self.target)
    }
}

impl Work for Restoration {
    type Outcome = Restored;
    const RANK: Rank = Rank::Request;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<Restored, StoreError> {
        writing.restore(self)
    }

    fn target(&self) -> Option<&Target> {
        Some(&self.target)
    }
}

impl Work for Nothing {
    type Outcome = ();
    const RANK: Rank = Rank::Background;

    fn carry_out(&self, _: &mut Writing<'_>) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Work for Announce {
    type Outcome = ();
    const RANK: Rank = Rank::Background;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        self.0.iter().try_for_each(|name| writing.announce(*name))
    }
}

impl Work for DropExpired {
    type Outcome = Dropped;
    const RANK: Rank = Rank::Background;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<Dropped, StoreError> {
        writing.drop_expired(&self.0)
    }
}

impl Work for Publish {
    type Outcome = ();
    const RANK: Rank = Rank::Background;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        writing.publish(self.0)
    }
}

impl Work for BeginEpoch {
    /// The epoch that is in force now.
    type Outcome = Epoch;
    const RANK: Rank = Rank::Request;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<Epoch, StoreError> {
        match writing.kept::<Epoch>()? {
            Some(kept) if kept != self.known => Ok(kept),
            _ => {
                writing.keep(&self.next)?;
                Ok(self.next)
            }
        }
    }
}

impl<S: Setting> Work for Replace<S> {
    /// Whether it is there now.
    type Outcome = bool;
    const RANK: Rank = Rank::Request;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<bool, StoreError> {
        let kept = writing.kept::<S>()?.map(|kept| kept.encode());
        if kept.is_some_and(|kept| kept != self.known.encode()) {
            return Ok(false);
        }
        writing.keep(&self.next)?;
        Ok(true)
    }
}

impl<S: Setting> Work for Keep<S> {
    type Outcome = ();
    const RANK: Rank = Rank::Request;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        writing.keep(&self.0)
    }
}

impl Work for ClaimArea {
    /// Whether it is claimed under this number now.
    type Outcome = bool;
    const RANK: Rank = Rank::Request;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<bool, StoreError> {
        let held = writing.kept::<AreaHolder>()?.and_then(|holder| holder.0);
        if held != self.from {
            return Ok(false);
        }
        let claim = Claim {
            number: self.number,
            beat: 0,
        };
        writing.keep(&AreaHolder(Some(claim)))?;
        Ok(true)
    }
}

impl Work for KeepArea {
    /// Whether it still has the area.
    type Outcome = bool;
    const RANK: Rank = Rank::Request;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<bool, StoreError> {
        let held = writing.kept::<AreaHolder>()?.and_then(|holder| holder.0);
        let Some(claim) = held.filter(|claim| claim.number == self.0) else {
            return Ok(false);
        };
        let beat = claim.beat.wrapping_add(1);
        writing.keep(&AreaHolder(Some(Claim { beat, ..claim })))?;
        Ok(true)
    }
}

impl<W: Work> Work for InArea<W> {
    /// `None` where another process has the area.
    type Outcome = Option<W::Outcome>;
    const RANK: Rank = W::RANK;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<Self::Outcome, StoreError> {
        if let Some(number) = self.claim {
            let held = writing.kept::<AreaHolder>()?.and_then(|holder| holder.0);
            if held.is_none_or(|claim| claim.number != number) {
                return Ok(None);
            }
        }
        self.work.carry_out(writing).map(Some)
    }
}

impl Work for Stage {
    type Outcome = ();
    const RANK: Rank = Rank::Import(Room::Taken);

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        writing.stage(self.number, &self.part)
    }
}

impl Work for ApplyStaged {
    type Outcome = Applied;
    const RANK: Rank = Rank::Import(Room::Taken);

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<Applied, StoreError> {
        writing.apply_staged(self.number, &self.revocations)
    }
}

impl Work for DropStaged {
    type Outcome = ();
    const RANK: Rank = Rank::Import(Room::Freed);

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        writing.drop_staged()
    }
}
