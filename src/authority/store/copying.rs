//! Copying a store from one engine into another: `portcullis copy`.
//!
//! What is copied is everything that edges and authorities rely on: the secret under which names are
//! hashed, the keys, the epoch, the head of the feed and its last changes, entries, and an import that is
//! not carried out yet. So edges go on with the copy as if nothing had happened.
//!
//! # Why not through [`Transaction`](super::engine::Transaction)?
//!
//! It decides nothing, but it looks up what it replaces, and numbers what it writes; and the secret for
//! names is not a thing that a transaction may change. A copy goes into a store that has nothing in it,
//! page after page in the order of the keys, and counts only at its end. So an engine has a second,
//! narrower contract here, of which `tests/copying.rs` tries every pair.
//!
//! # What if it is broken off?
//!
//! Then the target has no store, and says that a copy has begun: an authority that is started there would
//! otherwise begin with an empty store, and let everything pass that was revoked. The next copy begins
//! anew.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use super::{Head, StoreError};
use crate::authority::entry::Entry;
use crate::revocation::{Chain, Change, FilterKey, Fingerprint};

mod parts;
mod summary;

use parts::Parts;
use summary::{ALL, HEAD, KEY, SETTINGS, Summary};

/// Rows in a page of entries, owners or changes: few in tests, which have pages all the same.
pub(super) const PAGE: usize = if cfg!(test) { 300 } else { 5_000 };

/// Pages that are read ahead.
const AHEAD: usize = 2;

/// Some of what a store has.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Settings(Vec<(String, Vec<u8>)>),
    Issuers(Vec<String>),
    /// One part of an import, with its number.
    Staged(u64, Vec<u8>),
    /// Each with its number, and the chain after it.
    Changes(Vec<(u64, Change, Chain)>),
    Entries(Vec<(Fingerprint, Entry)>),
    /// Each owner with the name that belongs to it.
    Owners(Vec<(Fingerprint, Fingerprint)>),
    Head(Head),
}

/// Everything in a store, at one instant, in pages of at most [`PAGE`] rows in the order of their keys.
pub(super) trait Whole {
    /// The secret under which names are hashed, as it is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as all below.
    fn filter_key(&self) -> Result<FilterKey, StoreError>;

    /// The head of the feed.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn head(&self) -> Result<Head, StoreError>;

    /// All settings, without what belongs to the engine itself.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// All issuers.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn issuers(&self) -> Result<Vec<String>, StoreError>;

    /// The first staged part of an import, of those from `number` on.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError>;

    /// A page of changes, of those from `first` on.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn changes(&self, first: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError>;

    /// A page of entries, in the order of their last changes, of those from `first` on.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn entries(&self, first: u64) -> Result<Vec<(Fingerprint, Entry)>, StoreError>;

    /// A page of owners, of those after this one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn owners(
        &self,
        after: Option<(Fingerprint, Fingerprint)>,
    ) -> Result<Vec<(Fingerprint, Fingerprint)>, StoreError>;
}

/// Reads a whole store.
pub(super) type Reading<'w> = &'w mut dyn FnMut(&dyn Whole) -> Result<(), StoreError>;

/// What a store is copied from.
pub(super) trait Source: Sync {
    /// Lets `work` read everything, as it is at one instant.
    ///
    /// # Errors
    ///
    /// That of the work, or the engine's own.
    fn read(&self, work: Reading<'_>) -> Result<(), StoreError>;
}

/// Hands out one part after another, and `None` after the last.
pub(super) type Next<'n> = &'n mut dyn FnMut() -> Result<Option<Part>, StoreError>;

/// What a store is copied into. It had nothing in it, and has no store until [`keep`](Self::keep).
pub(super) trait Target: Source {
    /// Writes everything. Called once.
    ///
    /// # Errors
    ///
    /// That of `next`, or the engine's own.
    fn fill(&mut self, key: FilterKey, next: Next<'_>) -> Result<(), StoreError>;

    /// Makes a store of what was written, which survives a crash when this returns.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn keep(self: Box<Self>) -> Result<(), StoreError>;
}

/// What a copy has in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Entries.
    pub entries: u64,
    /// Owners of entries, by which they are found.
    pub owners: u64,
    /// Issuers.
    pub issuers: u64,
    /// Changes of the feed that are kept.
    pub changes: u64,
    /// Settings.
    pub settings: u64,
    /// Parts of an import.
    pub staged: u64,
    /// Number of the last change.
    pub sequence: u64,
}

/// How far a copy has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyProgress {
    /// So much is written.
    Written(Copied),
    /// So much is read back and compared.
    Compared(Copied),
}

/// Why there is no copy, or no store where one was begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// A copy does not replace anything.
    #[error("`{0}` has a store in it already")]
    NotEmpty(String),
    /// There is nothing to copy.
    #[error("`{0}` has no store in it")]
    Nothing(String),
    /// A copy was begun here, and there is no store yet.
    #[error("a copy into `{0}` has been broken off, so there is no store in it")]
    BrokenOff(String),
    /// It is not what was copied.
    #[error("what was read back is not what was copied: the {0} differ")]
    Differs(&'static str),
    /// What was copied is not what is in force any more.
    #[error("the store was written to while it was copied")]
    Changed,
}

/// Copies everything, reads it back, and compares it.
///
/// # Errors
///
/// [`StoreError`]; the target has no store then, unless its last step has failed.
pub(super) fn copy(
    source: &dyn Source,
    mut target: Box<dyn Target>,
    tell: &mut dyn FnMut(CopyProgress),
) -> Result<Copied, StoreError> {
    let read = fill(source, &mut *target, tell)?;
    let written = read_back(&*target, tell)?;
    if let Some(section) = read.difference(&written, &ALL) {
        return Err(CopyError::Differs(section).into());
    }
    expect_unchanged(source, &read)?;
    target.keep()?;
    Ok(read.copied)
}

/// Whether there is nothing in a store, as far as its engine can tell.
pub(super) fn is_empty(whole: &dyn Whole) -> Result<bool, StoreError> {
    let has_rows = whole.head()? != Head::EMPTY
        || !whole.settings()?.is_empty()
        || !whole.issuers()?.is_empty()
        || whole.staged(0)?.is_some()
        || !whole.changes(0)?.is_empty()
        || !whole.entries(0)?.is_empty()
        || !whole.owners(None)?.is_empty();
    Ok(!has_rows)
}

/// One thread reads while this one writes.
fn fill(
    source: &dyn Source,
    target: &mut dyn Target,
    tell: &mut dyn FnMut(CopyProgress),
) -> Result<Summary, StoreError> {
    let mut key = None;
    source.read(&mut |whole| {
        key = Some(whole.filter_key()?);
        Ok(())
    })?;
    let key = key.ok_or(StoreError::Closed)?;
    thread::scope(|scope| {
        let (sender, parts) = sync_channel(AHEAD);
        let reader = scope.spawn(move || send_all(source, &sender));
        let mut copied = Copied::default();
        let filled = target.fill(key, &mut || {
            let part = next_of(&parts)?;
            if let Some(part) = &part {
                copied.count(part);
                tell(CopyProgress::Written(copied));
            }
            Ok(part)
        });
        // Where the writer has failed, the reader must not wait for it.
        drop(parts);
        let read = reader.join().unwrap_or(Err(StoreError::Closed));
        match (read, filled) {
            (Ok(read), Ok(())) => Ok(read),
            // One breaks off when the other has failed.
            (Err(StoreError::BrokenOff) | Ok(_), Err(error)) | (Err(error), _) => Err(error),
        }
    })
}

fn send_all(source: &dyn Source, parts: &SyncSender<Option<Part>>) -> Result<Summary, StoreError> {
    let mut summary = Summary::default();
    source.read(&mut |whole| {
        summary = read_all(whole, &mut |_, part| {
            let sent = parts.send(Some(part));
            sent.map_err(|_| StoreError::BrokenOff)
        })?;
        parts.send(None).map_err(|_| StoreError::BrokenOff)
    })?;
    Ok(summary)
}

/// A reader that has failed must not look like one that is done.
fn next_of(parts: &Receiver<Option<Part>>) -> Result<Option<Part>, StoreError> {
    parts.recv().map_err(|_| StoreError::BrokenOff)
}

fn read_back(
    source: &dyn Source,
    tell: &mut dyn FnMut(CopyProgress),
) -> Result<Summary, StoreError> {
    let mut summary = Summary::default();
    source.read(&mut |whole| {
        summary = read_all(whole, &mut |copied, _| {
            tell(CopyProgress::Compared(copied));
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(summary)
}

/// Reads one part after another, each of which `take` gets, with what there is up to it.
fn read_all(
    whole: &dyn Whole,
    take: &mut dyn FnMut(Copied, Part) -> Result<(), StoreError>,
) -> Result<Summary, StoreError> {
    let mut summary = Summary::of(whole)?;
    let mut parts = Parts::of(whole);
    while let Some(part) = parts.next()? {
        summary.add(&part);
        take(summary.copied, part)?;
    }
    Ok(summary)
}

/// An authority that is at work on the source writes its settings at the latest when it starts.
fn expect_unchanged(source: &dyn Source, read: &Summary) -> Result<(), StoreError> {
    source.read(&mut |whole| {
        let mut now = Summary::of(whole)?;
        let mut settings = whole.settings()?;
        settings.sort();
        now.add(&Part::Settings(settings));
        now.add(&Part::Head(whole.head()?));
        match now.difference(read, &[KEY, SETTINGS, HEAD]) {
            Some(_) => Err(CopyError::Changed.into()),
            None => Ok(()),
        }
    })
}

impl Copied {
    /// All rows.
    #[must_use]
    pub const fn rows(&self) -> u64 {
        let rows = self.entries + self.owners + self.issuers + self.changes;
        rows + self.settings + self.staged
    }

    fn count(&mut self, part: &Part) {
        match part {
            Part::Settings(rows) => self.settings += rows.len() as u64,
            Part::Issuers(rows) => self.issuers += rows.len() as u64,
            Part::Staged(..) => self.staged += 1,
            Part::Changes(rows) => self.changes += rows.len() as u64,
            Part::Entries(rows) => self.entries += rows.len() as u64,
            Part::Owners(rows) => self.owners += rows.len() as u64,
            Part::Head(head) => self.sequence = head.sequence,
        }
    }
}
