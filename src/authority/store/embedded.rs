//! The engine for one authority: everything in one redb file beside it.
//!
//! | table | key → value | for |
//! |---|---|---|
//! | `entries` | number of the last change → fingerprint ‖ [`Entry`] | the exact answer, and its history |
//! | `subjects` | fingerprint of the subject ‖ fingerprint → nothing | searching by subject |
//! | `log` | sequence → chain ‖ change | deltas for edges, across a restart |
//! | `issuers` | issuer → nothing | searching without naming one |
//! | `staged` | number → revocations | an import that is not applied yet |
//! | `meta` | name → bytes | head of the feed, settings |
//! | `ledger` | nothing → counts and sums | noticing what is missing |
//!
//! Every value ends in a checksum (`super::seal`).
//!
//! # Why are entries not in the order of their fingerprints?
//!
//! Fingerprints are random, and a tree that is sorted by them rewrites a page for every single
//! entry; rows that are written in key order share their pages, and a million of them are imported
//! six times as fast. So the key of a row is the number of its entry's last change.
//!
//! # Why does the engine ask the index where a row is?
//!
//! Some table has to lead from a name to that number. The [`Index`] is one: it holds every name, and
//! is told the number with every change. Three alternatives were rejected:
//!
//! - A table of the engine's own in memory. It would hold every name a second time: 16 bytes, and 8
//!   for the number, which the index would then not need. With what a hash table leaves free, that
//!   is 19 to 39 bytes more for each entry, beside 33 to 66 now: 190 to 390 MB for ten million.
//! - A table on the disk. Sorted by fingerprint, it has the cost that the numbers avoid.
//! - The number as an argument of the transaction. The work that decides about an entry reads it
//!   first, but that read, `Transaction::entry`, needs the number already. So the work would have to
//!   ask the index in the engine's place, remember the numbers that its own transaction has changed,
//!   and pass every engine something that only this one uses.
//!
//! The question stays inside this engine, which fills the index when it opens; other engines do
//! without. The index hears of a row after the commit, and until then `OpenTransaction` remembers it.
//!
//! [`Entry`]: crate::authority::entry::Entry

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadableDatabase as _};

use super::Head;
use super::engine::{Backup, Commit, Engine, Fate, Look, Opened, Task};
use super::error::{Damage, Holder, StoreError, Taken};
use super::setting::{CompleteImport, Epoch, Setting};
use crate::authority::index::Index;
use crate::authority::signing::KeptKeys;
use crate::authority::text::chain_of;
use crate::revocation::FilterKey;

mod backend;
mod backup;
mod beside;
mod caught;
mod copying;
mod failure;
mod file;
mod guard;
mod ledger;
mod loading;
mod mark;
mod opening;
mod room;
mod salvage;
mod snapshot;
mod tables;
mod transaction;

// What the file of sessions is kept with, too.
pub(in crate::authority) use beside::{open_beside, set_aside};
pub(in crate::authority) use caught::{caught, discard};
pub(super) use copying::{Fresh, Original};
pub(in crate::authority) use failure::failed;
pub(in crate::authority) use file::FILE_NAME;
pub use opening::Loss;
pub(super) use opening::make_directory;
pub(crate) use opening::{CHECKED_BYTES, Opening};
pub(in crate::authority) use room::check as check_room;

use file::{begin_write, reopen_database};
use guard::Guard;
use mark::{Mark, Standing};
use snapshot::OpenSnapshot;
use tables::ledger_in;
use transaction::OpenTransaction;

/// The engine, open or waiting to be opened again.
pub(super) struct Embedded {
    path: PathBuf,
    cache_bytes: usize,
    filter_key: FilterKey,
    /// Has the key of each name's row.
    index: Arc<Index>,
    /// Whether the file is still there.
    guard: Arc<Guard>,
    /// Which process has the directory, and how far the store has come.
    mark: Mark,
    progress: Mutex<Progress>,
    database: RwLock<Option<Database>>,
    /// Held while a copy is made.
    backing_up: Mutex<()>,
    /// How often the file was reopened. A copy that was begun before is not finished. Changed only
    /// under the lock of `database`.
    openings: AtomicU64,
}

/// How far this process has come.
#[derive(Debug)]
struct Progress {
    standing: Standing,
    /// Including a commit that may or may not be on the disk.
    unsure: Option<Standing>,
}

impl Embedded {
    /// Refuses a directory that another process has, without taking it.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`].
    pub(super) fn expect_free(directory: &Path) -> Result<(), StoreError> {
        Mark::expect_free(directory)
    }

    fn write_in(&self, database: &Database, work: Task<'_>) -> Result<(), StoreError> {
        let transaction = begin_write(database)?;
        let mut open = OpenTransaction::new(&transaction, self)?;
        work(&mut open)?;
        let (commits, head) = open.finish()?;
        let mut progress = self.progress();
        progress.unsure = Some(Standing {
            commits,
            sequence: head.sequence,
            ..progress.standing
        });
        drop(progress);
        transaction.commit().map_err(failed)
    }

    /// Brings the mark in step with the disk.
    fn settle(&self) {
        let mut progress = self.progress();
        let Some(standing) = progress.unsure.take() else {
            return;
        };
        progress.standing = standing;
        drop(progress);
        self.mark.say(standing);
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let database = database.as_ref().ok_or(StoreError::Closed)?;
        caught(|| work(database))
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Embedded {
    fn read(&self, work: Look<'_>) -> Result<(), StoreError> {
        self.with(|database| work(&OpenSnapshot::new(self, database)?))
    }

    fn write(&self, work: Task<'_>) -> Result<Commit, StoreError> {
        self.with(|database| self.write_in(database, work))?;
        // What is written to a file that has lost its name is gone when the process ends.
        self.check()?;
        self.settle();
        Ok(commit(self.progress().standing.commits))
    }

    /// Reopens the file. A commit is on the disk after all if only its last step failed.
    fn recover(&self) -> Result<Fate, StoreError> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.openings.fetch_add(1, Ordering::Relaxed);
        // The old handle holds the lock on the file.
        let old = database.take();
        discard(old);
        let opened = caught(|| reopen_database(&self.path, self.cache_bytes, &self.guard))?;
        let commits = caught(|| {
            let reading = opened.begin_read().map_err(failed)?;
            Ok(ledger_in(&reading)?.commits)
        })?;
        let mut progress = self.progress();
        let is_there = progress
            .unsure
            .is_some_and(|unsure| unsure.commits == commits);
        if commits != progress.standing.commits && !is_there {
            return Err(StoreError::Row);
        }
        if !is_there {
            progress.unsure = None;
        }
        drop(progress);
        self.guard.learn().map_err(|source| StoreError::File {
            path: self.path.clone(),
            source,
        })?;
        *database = Some(opened);
        self.settle();
        Ok(if is_there {
            Fate::Committed(commit(commits))
        } else {
            Fate::Lost
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        self.guard.check().and_then(|()| self.mark.check())
    }

    fn check_room(&self) -> Result<(), StoreError> {
        room::check(&self.path)
    }

    fn back_up(&self, is_stopping: &dyn Fn() -> bool) -> Result<Backup, StoreError> {
        self.copy(is_stopping)
    }

    fn say_where(&self, url: &str) {
        if let Some(directory) = self.path.parent() {
            mark::say_who(directory, url);
        }
    }
}

/// A commit of this number. No other process commits.
const fn commit(number: u64) -> Commit {
    Commit {
        number,
        mark: [0; 16],
    }
}

impl Progress {
    const fn at(standing: Standing) -> Self {
        Self {
            standing,
            unsure: None,
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        let database = self
            .database
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let database = database.take();
        discard(database);
    }
}

impl fmt::Debug for Embedded {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Embedded")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(super) mod tests;
