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
//! | `known` | what is in memory: the index, and what changed lately |
//! | `engine` | the contract with what keeps the rows |
//! | `embedded` | the engine for one authority: a redb file |
//! | `postgres` | the engine for several authorities: a PostgreSQL database |
//!
//! A commit returns when it is on the disk, in the [`Index`] and in the [`History`]. Many pieces of
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
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use super::clock;
use super::history::History;
use super::index::Index;
use super::sessions::Mark;
use super::text::chain_of;
use crate::revocation::{Chain, Change, FilterKey};

mod copying;
mod decide;
mod embedded;
mod engine;
mod error;
mod known;
mod nudge;
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
pub(super) use engine::{Backup, KeptGeneration, OtherEdges};
pub use error::{Damage, DatabaseError, Encryption, Holder, StoreError, Taken};
pub use postgres::{
    Database, DatabaseAddress, DatabaseAddressError, Encrypted, End, MAX_LEASE, Migrated, Replica,
    SecretKey, SecretKeyError,
};
pub(crate) use reading::to_hex;
pub(super) use reading::{Filter, KnownIssuer, from_hex};
pub(super) use seal::checksum;
pub(super) use setting::{AreaHolder, Claim, CompleteImport, Epoch, GenerationNumber, Setting};
pub(super) use work::{
    Announce, ApplyStaged, BeginEpoch, ClaimArea, DropExpired, DropStaged, InArea, Keep, KeepArea,
    Nothing, Publish, Rank, Replace, Room, Stage, Work,
};
pub(super) use writing::{LOG_LENGTH, Restored, Revoked, Writing};

use decide::Now;
use embedded::Embedded;
use engine::{Commit, Engine, Fate, Opened, Snapshot};
use known::Known;
pub(super) use nudge::Nudge;
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

/// A moment, by a clock that goes on while the machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment(Option<Duration>);

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
    known: Arc<Known>,
    filter_key: FilterKey,
    /// Held for a commit and what follows from it, since each has to be told its own changes.
    committing: Mutex<()>,
    /// The effects of a transaction that has not been acknowledged yet.
    unsure: Mutex<Option<Told>>,
    /// The result of the last [`Store::check`].
    is_taken: AtomicBool,
    /// Whether writing was found to be impossible since the last commit.
    awaits_commit: AtomicBool,
    /// For the thread that follows other processes, where there are any.
    nudge: Arc<Nudge>,
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

    /// Opens the store in a database, and reads all of it. The directory is for what each authority
    /// keeps by itself.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn on(
        database: &Database,
        lease: Duration,
        directory: &Path,
    ) -> Result<(Self, Replica), StoreError> {
        embedded::make_directory(directory)?;
        let (opened, replica) = Postgres::open(database, lease)?;
        Ok((Self::over(opened), replica))
    }

    fn over(opened: Opened) -> Self {
        Self {
            engine: opened.engine,
            known: opened.known,
            filter_key: opened.filter_key,
            committing: Mutex::default(),
            unsure: Mutex::new(None),
            is_taken: AtomicBool::new(false),
            awaits_commit: AtomicBool::new(false),
            nudge: Arc::default(),
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
    pub(super) fn index(&self) -> &Arc<Index> {
        self.known.index()
    }

    /// What changed lately, likewise.
    #[must_use]
    pub(super) fn history(&self) -> &Arc<History> {
        self.known.history()
    }

    /// From now on, the registry of sessions is told what was revoked.
    pub(super) fn tell(&self, registry: mpsc::Sender<Vec<Mark>>) {
        self.known.tell(registry);
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
        let commit = self.engine.write(&mut |transaction| {
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
            changes: self.settle(commit),
        })
    }

    /// Brings what is in memory in step with the last transaction, and returns its changes.
    fn settle(&self, commit: Commit) -> Vec<(Change, Chain)> {
        let told = self.unsure().take().unwrap_or_default();
        let changes = self.known.take(commit, told);
        self.engine.settled();
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
            Fate::Committed(commit) => Ok(self.settle(commit)),
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

    /// Whether what this process has in memory is recent enough to answer from.
    ///
    /// # Errors
    ///
    /// [`StoreError`], where other processes write, and what they have written was not heard of for too
    /// long.
    pub(super) fn check_recent(&self) -> Result<(), StoreError> {
        self.engine.check_recent()
    }

    /// Whether other processes write to this store as well.
    #[must_use]
    pub(super) fn is_shared(&self) -> bool {
        self.engine.seen().is_some()
    }

    /// Waits until everything is in memory that was committed before `since`, which [`moment`](Self::moment)
    /// has told, but for no longer than `limit`. Says whether it is.
    pub(super) async fn has_seen(&self, since: Moment, limit: Duration) -> bool {
        let Some(mut seen) = self.engine.seen() else {
            return true;
        };
        let Moment(Some(since)) = since else {
            return false;
        };
        if *seen.borrow() >= since {
            return true;
        }
        // Not with its next look, which may be a while off.
        self.nudge.give();
        let is_seen = seen.wait_for(|seen| *seen >= since);
        matches!(tokio::time::timeout(limit, is_seen).await, Ok(Ok(_)))
    }

    /// This moment, for [`has_seen`](Self::has_seen).
    #[must_use]
    pub(super) fn moment() -> Moment {
        Moment(clock::sleepless())
    }

    /// How long ago what is in memory was what is in force. Zero where no other process writes.
    #[must_use]
    pub(super) fn age(&self) -> Duration {
        let Some(seen) = self.engine.seen() else {
            return Duration::ZERO;
        };
        let seen = *seen.borrow();
        clock::sleepless().map_or(Duration::MAX, |now| now.saturating_sub(seen))
    }

    /// What the thread that [follows](Self::follow) waits for between two times. It outlives the store.
    pub(super) fn nudge(&self) -> Arc<Nudge> {
        Arc::clone(&self.nudge)
    }

    /// Brings what is in memory in step with what other processes have committed. `taken` is told before
    /// anything else can rely on it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn follow(
        &self,
        taken: &mut dyn FnMut() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.engine.follow(taken)
    }

    /// How often a setting was changed that this process has heard of, by itself or another one.
    #[must_use]
    pub(super) fn changed_settings(&self) -> u64 {
        self.known.settings()
    }

    /// Whether this process has to do what only one should do.
    #[must_use]
    pub(super) fn is_keeper(&self) -> bool {
        self.engine.is_keeper()
    }

    /// Writes a generation for other processes. They load it when its number is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn put_generation(&self, generation: &KeptGeneration) -> Result<(), StoreError> {
        self.engine.put_generation(generation)
    }

    /// A generation that any process has written, if it is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn generation(&self, number: u64) -> Result<Option<KeptGeneration>, StoreError> {
        self.engine.generation(number)
    }

    /// Says which edges this process sees, if there is anything to say, and returns what the others have
    /// said last.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn exchange_edges(
        &self,
        own: Option<Vec<u8>>,
    ) -> Result<Vec<OtherEdges>, StoreError> {
        self.engine.exchange_edges(own)
    }

    /// Whether the last [`Store::check`] found that the file is not what it was.
    #[must_use]
    pub(super) fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Relaxed)
    }

    /// Notes that a commit has failed. A file that fails does so when a caller asks for something, and is
    /// opened again by the next one; of a database, which comes back by itself, it is to be known when it has.
    pub(super) fn note_failure(&self) {
        if self.is_shared() {
            self.awaits_commit.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a commit has yet to show that writing works again: since the last one, the file was taken
    /// away, whichever [`Store::check`] found that, and whichever found it back, or a database has failed.
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

    #[cfg(test)]
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

    /// Two settings as they were at one instant.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn kept_together<S: Setting, T: Setting>(
        &self,
    ) -> Result<(Option<S>, Option<T>), StoreError> {
        let (first, second) = self.read(|snapshot| {
            let first = snapshot.setting(S::NAME)?;
            Ok((first, snapshot.setting(T::NAME)?))
        })?;
        let first = first.as_deref().map(S::read).transpose()?;
        Ok((first, second.as_deref().map(T::read).transpose()?))
    }

    #[cfg(test)]
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
