//! Pieces of work for the writer, each with the type of its outcome.

use super::StoreError;
use super::decide::Restoration;
use super::setting::Setting;
use super::writing::{Applied, Dropped, Restored, Revoked, Writing};
use crate::authority::entry::Revocation;
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

/// Keep a setting.
#[derive(Clone, Debug)]
pub(crate) struct Keep<S>(pub S);

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
}

impl Work for Restoration {
    type Outcome = Restored;
    const RANK: Rank = Rank::Request;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<Restored, StoreError> {
        writing.restore(self)
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

impl<S: Setting> Work for Keep<S> {
    type Outcome = ();
    const RANK: Rank = Rank::Request;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<(), StoreError> {
        writing.keep(&self.0)
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
