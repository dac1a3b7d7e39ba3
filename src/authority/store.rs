//! What outlives a crash: revocations, the order in which they came, the feed's recent changes and
//! the secrets, in one redb file.
//!
//! A commit returns when its bytes are on the disk. Many pieces of work share one commit, because
//! that is what costs: see [`super::writer`].
//!
//! | table | key → value | for |
//! |---|---|---|
//! | `entries` | sequence of the last change → fingerprint ‖ [`Record`] | the exact answer, and its history |
//! | `subjects` | fingerprint of the subject ‖ fingerprint → nothing | searching by whose it is |
//! | `log` | sequence → chain ‖ change | deltas for edges, across a restart |
//! | `issuers` | issuer → nothing | searching without naming one |
//! | `staged` | number → revocations | an import that is not applied yet |
//! | `meta` | name → bytes | head of the feed, epoch, generation, keys |
//! | `ledger` | nothing → counts and sums | noticing what is missing |
//!
//! Every value ends in a checksum (`seal`). Where the row of a fingerprint is, the [`Index`] knows,
//! which is brought up to date with every commit.
//!
//! # What happens when the disk is full, or turns read-only?
//!
//! The commit fails, whoever asked is told so, and the file is opened anew before the next
//! attempt, since redb does not go on after a failed write. What had been acknowledged is on the
//! disk and stays in memory, so checks and the feed go on.
//!
//! # And when it changes, or loses, what was written?
//!
//! Then the next start says so and is refused (`opening`). A file that is taken away, or written to
//! by another program, while it is in use is noticed before anything else is acknowledged
//! (`guard`).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use redb::{Database, ReadTransaction, ReadableDatabase as _};

use super::entry::{self, Record};
use super::index::{Effect, Index, Place};
use crate::revocation::{Chain, Change, FilterKey, Fingerprint};

mod backend;
mod backup;
mod caught;
mod error;
mod file;
mod guard;
mod loading;
mod mark;
mod opening;
mod reading;
mod room;
mod salvage;
mod seal;
mod tables;
mod transaction;

pub use backup::Backup;
use caught::{caught, discard};
use error::failed;
pub use error::{Damage, Holder, StoreError, Taken};
use file::{begin_write, reopen_database};
use guard::Guard;
use mark::{Mark, Standing};
pub use opening::{CHECKED_BYTES, Loss, Opening};
pub use reading::{Filter, KnownIssuer, Page, from_hex, to_hex};
use seal::{Seal, Section};
use tables::{LOG, STAGED, kept_in, ledger_in};
use transaction::Transaction;
pub use transaction::{LOG_LENGTH, Outcome, Restoration, Work};

/// Where the feed stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of the last change.
    pub sequence: u64,
    /// Chain over all changes so far.
    pub chain: Chain,
}

/// What a commit did.
#[derive(Debug)]
pub struct Committed {
    /// One for each piece of work, in order.
    pub outcomes: Vec<Outcome>,
    /// Changes for the feed, each with the chain after it.
    pub changes: Vec<(Change, Chain)>,
}

/// The store, open or waiting to be opened again.
pub struct Store {
    path: PathBuf,
    cache_bytes: usize,
    filter_key: FilterKey,
    index: Arc<Index>,
    /// Whether the file is still there.
    guard: Arc<Guard>,
    /// Who has the directory, and how far the store has come.
    mark: Mark,
    progress: Mutex<Progress>,
    database: RwLock<Option<Database>>,
    /// Held while a copy is made.
    backing_up: Mutex<()>,
    /// How many times the file was to be opened anew, after which a copy that had been begun is not
    /// finished. Changed under the lock of `database` only.
    openings: AtomicU64,
    /// What the last look at the file has said.
    is_taken: AtomicBool,
}

/// How far this process has come.
#[derive(Debug)]
struct Progress {
    standing: Standing,
    /// A commit of which nobody knows yet whether it is on the disk.
    unsure: Option<Unsure>,
}

/// What follows from a commit once it is known to be on the disk.
#[derive(Debug)]
struct Unsure {
    standing: Standing,
    effects: Vec<Effect>,
    changes: Vec<(Change, Chain)>,
}

impl Store {
    /// Everything in force, in step with what is on the disk.
    #[must_use]
    pub const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    /// The secret under which this installation hashes names.
    #[must_use]
    pub const fn filter_key(&self) -> FilterKey {
        self.filter_key
    }

    /// Refuses a directory that another process has, without taking it.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`].
    pub fn expect_free(directory: &Path) -> Result<(), StoreError> {
        Mark::expect_free(directory)
    }

    /// Says where the process listens that has the directory, for whoever finds it in use.
    pub fn say_where(&self, url: &str) {
        if let Some(directory) = self.path.parent() {
            mark::say_who(directory, url);
        }
    }

    /// Does all the work in one transaction that is on the disk, and in the index, when this
    /// returns. After an error none of it is done, unless the next [`Store::reopen`] finds that it
    /// is on the disk all the same.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn commit(&self, works: &[Work], now_milliseconds: u64) -> Result<Committed, StoreError> {
        self.check()?;
        if works.iter().any(Work::takes_room) {
            room::check(&self.path)?;
        }
        let outcomes = self.with(|database| self.write(database, works, now_milliseconds))?;
        // What was written to a file that has lost its name is gone when the process ends.
        self.check()?;
        Ok(Committed {
            outcomes,
            changes: self.settle(),
        })
    }

    fn write(
        &self,
        database: &Database,
        works: &[Work],
        now_milliseconds: u64,
    ) -> Result<Vec<Outcome>, StoreError> {
        let transaction = begin_write(database)?;
        let mut open = Transaction::new(&transaction, self, now_milliseconds)?;
        let outcomes = works
            .iter()
            .map(|work| open.perform(work))
            .collect::<Result<_, _>>()?;
        let finished = open.finish()?;
        let mut progress = self.progress();
        let standing = Standing {
            commits: finished.commits,
            sequence: finished.sequence,
            ..progress.standing
        };
        progress.unsure = Some(Unsure {
            standing,
            effects: finished.effects,
            changes: finished.changes,
        });
        drop(progress);
        transaction.commit().map_err(failed)?;
        Ok(outcomes)
    }

    /// Brings memory and the mark to where the disk is, and gives the changes of the last commit.
    fn settle(&self) -> Vec<(Change, Chain)> {
        let mut progress = self.progress();
        let Some(unsure) = progress.unsure.take() else {
            return Vec::new();
        };
        progress.standing = unsure.standing;
        drop(progress);
        for effect in unsure.effects {
            self.index.apply(effect);
        }
        self.mark.say(unsure.standing);
        unsure.changes
    }

    /// Whether the store's file is where it was, and as it was left.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`].
    pub fn check(&self) -> Result<(), StoreError> {
        let checked = self.guard.check().and_then(|()| self.mark.check());
        let was_taken = self.is_taken.swap(checked.is_err(), Ordering::Relaxed);
        match &checked {
            Err(error) if !was_taken => tracing::error!(
                error = %super::chain_of(error),
                "nothing is written until it is back, or the authority is started anew"
            ),
            Ok(()) if was_taken => tracing::warn!("the store's file is back"),
            _ => {}
        }
        checked
    }

    /// Whether the last [`Store::check`] found that the file is not what it was.
    #[must_use]
    pub fn is_taken(&self) -> bool {
        self.is_taken.load(Ordering::Relaxed)
    }

    /// Opens the file anew after an error. A commit that was reported as failed may be on the disk
    /// after all, when only the last step of it failed; its changes are given then.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the store stays closed then, or as it was when its file was taken away.
    pub fn reopen(&self) -> Result<Vec<(Change, Chain)>, StoreError> {
        self.check()?;
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
        let known = progress.standing.commits;
        let unsure = progress.unsure.as_ref();
        let is_there = unsure.is_some_and(|unsure| unsure.standing.commits == commits);
        if commits != known && !is_there {
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
        Ok(self.settle())
    }

    /// Where the feed stands.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn head(&self) -> Result<Head, StoreError> {
        let head = self.kept(HEAD)?.ok_or(StoreError::Row)?;
        Head::decode(&head)
    }

    /// The bytes kept under a name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.reading(|reading| kept_in(reading, name))
    }

    /// The changes after `sequence` that are still kept, each with its number and the chain after
    /// it, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn log(&self, after: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        let seal = Seal::of(Section::Log, self.filter_key);
        self.reading(|reading| {
            let log = reading.open_table(LOG).map_err(failed)?;
            let rows = log.range(after.saturating_add(1)..).map_err(failed)?;
            rows.map(|row| {
                let (sequence, row) = row.map_err(failed)?;
                let sequence = sequence.value();
                let row = seal.opened(&sequence.to_le_bytes(), row.value())?;
                let (change, chain) = transaction::decode_log(row)?;
                Ok((sequence, change, chain))
            })
            .collect()
        })
    }

    /// The first part of an import that was put aside, of those from `number` on.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let seal = Seal::of(Section::Staged, self.filter_key);
        self.reading(|reading| {
            let staged = reading.open_table(STAGED).map_err(failed)?;
            let first = staged.range(number..).map_err(failed)?.next();
            let Some(row) = first else {
                return Ok(None);
            };
            let (number, piece) = row.map_err(failed)?;
            let number = number.value();
            let piece = seal.opened(&number.to_le_bytes(), piece.value())?;
            Ok(Some((number, piece.to_vec())))
        })
    }

    fn reading<T>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|database| work(&database.begin_read().map_err(failed)?))
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

impl Progress {
    const fn at(standing: Standing) -> Self {
        Self {
            standing,
            unsure: None,
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let database = self
            .database
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let database = database.take();
        discard(database);
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Store")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Head {
    /// Before the first change.
    pub const EMPTY: Self = Self {
        sequence: 0,
        chain: Chain::EMPTY,
    };

    fn encode(self) -> [u8; 40] {
        let mut bytes = [0; 40];
        let (sequence, chain) = bytes.split_at_mut(8);
        sequence.copy_from_slice(&self.sequence.to_le_bytes());
        chain.copy_from_slice(&self.chain.0);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (sequence, chain) = bytes.split_first_chunk().ok_or(StoreError::Row)?;
        Ok(Self {
            sequence: u64::from_le_bytes(*sequence),
            chain: Chain(chain.try_into().map_err(|_| StoreError::Row)?),
        })
    }
}

/// A row of `entries`: whose it is, and the record.
fn split_row(row: &[u8]) -> Result<(Fingerprint, &[u8]), StoreError> {
    let (name, record) = row.split_first_chunk().ok_or(StoreError::Row)?;
    Ok((Fingerprint(*name), record))
}

/// What the index has to know of a row of `entries`.
fn effect_of(sequence: u64, row: &[u8], key: &FilterKey) -> Result<Effect, StoreError> {
    let (name, row) = split_row(row)?;
    let (kind, in_force, expires_at) = entry::summary(row).ok_or(StoreError::Row)?;
    let place = Place {
        expires_at,
        sequence,
    };
    if !in_force {
        return Ok(Effect::Restored(name, kind, place));
    }
    if !kind.is_cut_off() {
        return Ok(Effect::Entry(name, place));
    }
    let record = Record::decode(row).ok_or(StoreError::Row)?;
    Ok(Effect::CutOff(record.cut_off(key), place))
}

const HEAD: &str = "head";

/// Under this name, the feed's line of history.
pub(super) const EPOCH: &str = "epoch";

/// Under this name, the keys that the feed is signed with.
pub(super) const FEED_KEYS: &str = "feed_keys";

/// Under this name, the number of its parts while an import is complete and not carried out, else
/// nothing. It goes together with the last of them, so that it never speaks of another import's.
pub(super) const COMPLETE: &str = "import_complete";

#[cfg(test)]
mod tests;
