//! What survives a crash: revocations, the order in which they came, the feed's recent changes and
//! the secrets.
//!
//! | | |
//! |---|---|
//! | `decide` | entry and work → what is to be written; reads and writes nothing |
//! | `writing` | work inside one transaction: looks entries up, decides, writes, numbers changes |
//! | `work`, `setting` | what can be done, and what is kept under a name, with their types |
//! | `reading` | searching entries, for people |
//! | `rows`, `seal` | what rows are made of, and their checksums |
//! | `copying` | a whole store, from one engine into another |
//! | `engine` | the contract with what keeps the rows |
//! | `embedded` | the engine for one authority: a redb file |
//! | `postgres` | the engine for authorities that stand in for each other: a PostgreSQL database |
//!
//! A commit returns when it is on the disk, and the [`Index`] has been told of it. Many pieces of
//! work share a commit, because commits are what is expensive: see [`super::writer`].
//!
//! # What happens when the disk is full, or turns read-only?
//!
//! The commit fails, its callers are told so, and the engine recovers before the next attempt.
//! Acknowledged work is on the disk and stays in memory, so checks and the feed go on.
//!
//! # And when it changes, or loses, what was written?
//!
//! Then the next start reports it and fails (`embedded/opening`). If the file is taken away, or
//! written to by another program, while it is in use, that is noticed before anything else is
//! acknowledged (`embedded/guard`).

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};

use super::index::Index;
use super::sessions::Mark;
use super::text::chain_of;
use crate::revocation::{Chain, Change, FilterKey};

mod copying;
mod decide;
mod embedded;
mod engine;
mod error;
mod postgres;
mod reading;
mod rows;
mod seal;
mod setting;
mod work;
mod writing;

pub use copying::{Copied, CopyError, CopyProgress};
pub(super) use decide::Restoration;
pub use embedded::Loss;
pub(super) use embedded::{
    CHECKED_BYTES, FILE_NAME, Opening, caught, check_room, discard, failed, open_beside, set_aside,
};
pub(super) use engine::Backup;
pub use error::{Damage, DatabaseError, Encryption, Holder, StoreError, Taken};
pub use postgres::{
    Database, DatabaseAddress, DatabaseAddressError, Encrypted, End, Lease, Migrated, SecretKey,
    SecretKeyError, Standby,
};
pub(super) use reading::{Filter, KnownIssuer, from_hex, to_hex};
pub(super) use seal::checksum;
pub(super) use setting::{CompleteImport, Epoch, GenerationNumber, Setting};
pub(super) use work::{
    Announce, ApplyStaged, DropExpired, DropStaged, Keep, Nothing, Rank, Room, Stage, Work,
};
pub(super) use writing::{LOG_LENGTH, Restored, Revoked, Writing};

use decide::Now;
use embedded::Embedded;
use engine::{Engine, Fate, Opened, Snapshot};
use postgres::Postgres;
use writing::Told;

/// Where a store is, or is to be.
#[derive(Clone, Debug)]
pub enum StorePlace {
    /// In a file in this directory.
    Directory(PathBuf),
    /// In a database.
    Database(Box<DatabaseAddress>),
}

/// Copies a store that no authority is at work on to where there is none, reads the copy back, and
/// compares it.
///
/// # Errors
///
/// [`StoreError`]; there is no store in the new place then, unless its last step has failed.
pub fn copy_store(
    from: &StorePlace,
    to: &StorePlace,
    tell: &mut dyn FnMut(CopyProgress),
) -> Result<Copied, StoreError> {
    let source: Box<dyn copying::Source> = match from {
        StorePlace::Directory(directory) => Box::new(embedded::Original::open(directory)?),
        StorePlace::Database(address) => Box::new(postgres::Original::open((**address).clone())?),
    };
    let target: Box<dyn copying::Target> = match to {
        StorePlace::Directory(directory) => Box::new(embedded::Fresh::open(directory)?),
        StorePlace::Database(address) => Box::new(postgres::Fresh::open((**address).clone())?),
    };
    copying::copy(&*source, target, tell)
}

/// The head of the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// Number of the last change.
    pub sequence: u64,
    /// Chain over all changes so far.
    pub chain: Chain,
}

/// What a commit did.
#[derive(Debug)]
pub(super) struct Committed<T> {
    /// The result of the work.
    pub outcome: T,
    /// Changes for the feed, each with the chain after it.
    pub changes: Vec<(Change, Chain)>,
}

/// The store: an engine, and in memory what is in force.
#[derive(Debug)]
pub(super) struct Store {
    engine: Box<dyn Engine>,
    index: Arc<Index>,
    filter_key: FilterKey,
    /// Is told what was revoked, once it is on the disk.
    registry: OnceLock<mpsc::Sender<Vec<Mark>>>,
    /// Held for a commit and what follows from it, since each has to be told its own changes.
    committing: Mutex<()>,
    /// The effects of a transaction that has not been acknowledged yet.
    unsure: Mutex<Option<Told>>,
    /// The result of the last [`Store::check`].
    is_taken: AtomicBool,
    /// Whether the file was found taken since the last commit.
    awaits_commit: AtomicBool,
}

impl Head {
    /// Before the first change.
    pub(super) const EMPTY: Self = Self {
        sequence: 0,
        chain: Chain::EMPTY,
    };
}

impl Store {
    /// Opens the store in `directory`, creating both if neither ever existed, and reads all of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; of these [`StoreError::Damaged`] when something is missing.
    pub(super) fn open(directory: &Path, opening: Opening) -> Result<Self, StoreError> {
        Embedded::open(directory, opening).map(Self::over)
    }

    /// Opens the store that a lease is for, and reads all of it. The directory is for what each
    /// authority keeps by itself.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn on(lease: &Lease, directory: &Path) -> Result<Self, StoreError> {
        embedded::make_directory(directory)?;
        Postgres::open(lease).map(Self::over)
    }

    fn over(opened: Opened) -> Self {
        Self {
            engine: opened.engine,
            index: opened.index,
            filter_key: opened.filter_key,
            registry: OnceLock::new(),
            committing: Mutex::default(),
            unsure: Mutex::new(None),
            is_taken: AtomicBool::new(false),
            awaits_commit: AtomicBool::new(false),
        }
    }

    /// Refuses a directory that another process has, without taking it.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`].
    pub(super) fn expect_free(directory: &Path) -> Result<(), StoreError> {
        Embedded::expect_free(directory)
    }

    /// Everything in force, in step with what is on the disk.
    #[must_use]
    pub(super) const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// From now on, the registry of sessions is told what was revoked.
    pub(super) fn tell(&self, registry: mpsc::Sender<Vec<Mark>>) {
        let _ = self.registry.set(registry);
    }

    /// The secret under which this installation hashes names.
    #[must_use]
    pub(super) const fn filter_key(&self) -> FilterKey {
        self.filter_key
    }

    /// Notes the address that this process listens on, for a process that finds the store in use.
    pub(super) fn say_where(&self, url: &str) {
        self.engine.say_where(url);
    }

    /// Does all the work in one transaction that is on the disk, and in the index, when this
    /// returns. After an error none of it is done, unless the next [`Store::recover`] finds that it
    /// is on the disk all the same.
    ///
    /// # Errors
    ///
    /// That of the work, or [`StoreError`].
    pub(super) fn commit<T>(
        &self,
        now_milliseconds: u64,
        work: impl FnOnce(&mut Writing<'_>) -> Result<T, StoreError>,
    ) -> Result<Committed<T>, StoreError> {
        self.check()?;
        let _turn = self.turn();
        let now = Now {
            milliseconds: now_milliseconds,
        };
        let (mut work, mut outcome) = (Some(work), None);
        self.engine.write(&mut |transaction| {
            let mut writing = Writing::new(transaction, self.filter_key, now)?;
            if let Some(work) = work.take() {
                outcome = Some(work(&mut writing)?);
            }
            *self.unsure() = Some(writing.finish()?);
            Ok(())
        })?;
        self.awaits_commit.store(false, Ordering::Relaxed);
        Ok(Committed {
            // An engine that says it has committed has run the work.
            outcome: outcome.ok_or(StoreError::Closed)?,
            changes: self.settle(),
        })
    }

    /// Tells the index of the last transaction, and returns its changes.
    fn settle(&self) -> Vec<(Change, Chain)> {
        let Told {
            effects,
            changes,
            marks,
        } = self.unsure().take().unwrap_or_default();
        for effect in effects {
            self.index.apply(effect);
        }
        if let Some(registry) = self.registry.get()
            && !marks.is_empty()
        {
            // It outlives the store, except at the end of the process.
            let _ = registry.send(marks);
        }
        changes
    }

    /// Makes the engine usable after an error. A commit that was reported as failed may be on the
    /// disk after all; then its changes are returned.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the store stays closed then, or as it was when its file was taken away.
    pub(super) fn recover(&self) -> Result<Vec<(Change, Chain)>, StoreError> {
        self.check()?;
        let _turn = self.turn();
        match self.engine.recover()? {
            Fate::Committed => Ok(self.settle()),
            Fate::Lost => {
                *self.unsure() = None;
                Ok(Vec::new())
            }
        }
    }

    /// Whether the engine still has its file.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let checked = self.engine.check();
        let was_taken = self.is_taken.swap(checked.is_err(), Ordering::Relaxed);
        if checked.is_err() {
            self.awaits_commit.store(true, Ordering::Relaxed);
        }
        match &checked {
            Err(error) if !was_taken => tracing::error!(
                error = %chain_of(error),
                "nothing is written until it is back, or the authority is restarted"
            ),
            Ok(()) if was_taken => tracing::warn!("the store is back"),
            _ => {}
        }
        checked
    }

    /// Whether what this process has in memory may be what is in force, so that it may answer from it.
    ///
    /// # Errors
    ///
    /// [`StoreError`], where another process may have written meanwhile.
    pub(super) fn check_sole(&self) -> Result<(), StoreError> {
        self.engine.check_sole()
    }

    /// Whether the last [`Store::check`] found that the file is not what it was.
    #[must_use]
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Relaxed)
    }

    /// Whether a commit has yet to show that writing works again: the file was taken away since the
    /// last one, whichever [`Store::check`] found that, and whichever found it back.
    #[must_use]
    pub(super) fn awaits_commit(&self) -> bool {
        self.awaits_commit.load(Ordering::Relaxed)
    }

    /// Whether there is room for an import, which must leave some for single revocations.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`].
    pub(super) fn check_room(&self) -> Result<(), StoreError> {
        self.engine.check_room()
    }

    /// Copies the store; the copy replaces the last one once it is whole and on the disk. Stops
    /// when the engine has to recover, or when `is_stopping`, which is called before every row and
    /// before the end, says so.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the last copy is still there then.
    pub(super) fn back_up(&self, is_stopping: &dyn Fn() -> bool) -> Result<Backup, StoreError> {
        self.engine.back_up(is_stopping)
    }

    /// The head of the feed.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn head(&self) -> Result<Head, StoreError> {
        self.read(|snapshot| snapshot.head())
    }

    /// A setting, if it was ever kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn kept<S: Setting>(&self) -> Result<Option<S>, StoreError> {
        let bytes = self.read(|snapshot| snapshot.setting(S::NAME))?;
        bytes.as_deref().map(S::read).transpose()
    }

    /// The changes after `sequence` that are still kept, each with its number and the chain after
    /// it, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn log(&self, after: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        self.read(|snapshot| snapshot.log(after))
    }

    /// The first staged part of an import, of those from `number` on.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.read(|snapshot| snapshot.staged(number))
    }

    fn read<T>(
        &self,
        work: impl Fn(&dyn Snapshot) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut read = None;
        self.engine.read(&mut |snapshot| {
            read = Some(work(snapshot)?);
            Ok(())
        })?;
        // An engine that says it has read has run the work.
        read.ok_or(StoreError::Closed)
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.committing
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn unsure(&self) -> MutexGuard<'_, Option<Told>> {
        self.unsure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
