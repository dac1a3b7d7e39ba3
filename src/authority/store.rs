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
//!
//! Where the row of a fingerprint is, the [`Index`] knows, which is brought up to date with every
//! commit.
//!
//! # What happens when the disk is full, or turns read-only?
//!
//! The commit fails, whoever asked is told so, and the file is opened anew before the next
//! attempt, since redb does not go on after a failed write. What had been acknowledged is on the
//! disk and stays in memory, so checks and the feed go on.

use std::fmt;
use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{Database, ReadableDatabase as _, TableDefinition};

use super::entry::{self, Record};
use super::index::{Effect, Index, Place};
use crate::revocation::{Chain, Change, FilterKey, Fingerprint};

mod backup;
mod error;
mod file;
mod loading;
mod reading;
mod transaction;

pub use backup::Backup;
pub use error::StoreError;
use error::failed;
use file::{FILE_NAME, begin_write, open_database, prepare};
pub use reading::{Filter, Page, from_hex, to_hex};
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
    database: RwLock<Option<Database>>,
    /// Held while a copy is made.
    backing_up: Mutex<()>,
    /// How many times the file was to be opened anew, after which a copy that had been begun is not
    /// finished. Changed under the lock of `database` only.
    openings: AtomicU64,
}

impl Store {
    /// Opens the store in `directory`, making both when they are not there, and reads all of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn open(directory: &Path, cache_bytes: usize) -> Result<Self, StoreError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(directory)
            .map_err(|source| StoreError::Directory {
                path: directory.to_owned(),
                source,
            })?;
        let path = directory.join(FILE_NAME);
        let database = open_database(&path, cache_bytes)?;
        let filter_key = prepare(&database)?;
        let store = Self {
            path,
            cache_bytes,
            filter_key,
            index: Arc::default(),
            database: RwLock::new(Some(database)),
            backing_up: Mutex::new(()),
            openings: AtomicU64::new(0),
        };
        backup::tidy_up(&store.path);
        store.load()?;
        Ok(store)
    }

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

    /// Does all the work in one transaction that is on the disk, and in the index, when this
    /// returns. After an error
    /// none of it is done, and the next attempt opens the file anew.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn commit(&self, works: &[Work], now_milliseconds: u64) -> Result<Committed, StoreError> {
        self.with(|database| {
            let transaction = begin_write(database)?;
            let (committed, effects) = {
                let mut open = Transaction::new(&transaction, self, now_milliseconds)?;
                let outcomes = works
                    .iter()
                    .map(|work| open.perform(work))
                    .collect::<Result<_, _>>()?;
                open.finish(outcomes)?
            };
            transaction.commit().map_err(failed)?;
            for effect in effects {
                self.index.apply(effect);
            }
            Ok(committed)
        })
    }

    /// Opens the file anew after an error.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the store stays closed then.
    pub fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        self.openings.fetch_add(1, Ordering::Relaxed);
        // The old handle holds the lock on the file.
        *database = None;
        let opened = open_database(&self.path, self.cache_bytes)?;
        prepare(&opened)?;
        *database = Some(opened);
        Ok(())
    }

    /// Where the feed stands.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn head(&self) -> Result<Head, StoreError> {
        self.with(|database| {
            let reading = database.begin_read().map_err(failed)?;
            let meta = reading.open_table(META).map_err(failed)?;
            let row = meta.get(HEAD).map_err(failed)?;
            row.map_or(Ok(Head::EMPTY), |row| Head::decode(row.value()))
        })
    }

    /// The bytes kept under a name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn kept(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(|database| {
            let reading = database.begin_read().map_err(failed)?;
            let meta = reading.open_table(META).map_err(failed)?;
            let row = meta.get(name).map_err(failed)?;
            Ok(row.map(|row| row.value().to_vec()))
        })
    }

    /// Brings the index to where the disk is, when a commit after `sequence` was reported as
    /// failed and is on the disk all the same. Gives the changes that it made.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn catch_up(&self, after: u64) -> Result<Vec<(Change, Chain)>, StoreError> {
        let log = self.log(after)?;
        self.with(|database| {
            let reading = database.begin_read().map_err(failed)?;
            let entries = reading.open_table(ENTRIES).map_err(failed)?;
            for (sequence, ..) in &log {
                // There is no row for a change that another one followed in the same commit.
                if let Some(row) = entries.get(sequence).map_err(failed)? {
                    self.index.apply(self.effect(*sequence, row.value())?);
                }
            }
            Ok(())
        })?;
        Ok(log
            .into_iter()
            .map(|(_, change, chain)| (change, chain))
            .collect())
    }

    /// The changes after `sequence` that are still kept, each with its number and the chain after
    /// it, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn log(&self, after: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        self.with(|database| {
            let reading = database.begin_read().map_err(failed)?;
            let log = reading.open_table(LOG).map_err(failed)?;
            let rows = log.range(after.saturating_add(1)..).map_err(failed)?;
            rows.map(|row| {
                let (sequence, row) = row.map_err(failed)?;
                let (change, chain) = transaction::decode_log(row.value())?;
                Ok((sequence.value(), change, chain))
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
        self.with(|database| {
            let reading = database.begin_read().map_err(failed)?;
            let staged = reading.open_table(STAGED).map_err(failed)?;
            let first = staged.range(number..).map_err(failed)?.next();
            let Some(row) = first else {
                return Ok(None);
            };
            let (number, piece) = row.map_err(failed)?;
            Ok(Some((number.value(), piece.value().to_vec())))
        })
    }

    fn effect(&self, sequence: u64, row: &[u8]) -> Result<Effect, StoreError> {
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
        Ok(Effect::CutOff(record.cut_off(&self.filter_key), place))
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        work(database.as_ref().ok_or(StoreError::Closed)?)
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

const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const SUBJECTS: TableDefinition<'_, &[u8; 32], ()> = TableDefinition::new("subjects");
const ISSUERS: TableDefinition<'_, &str, ()> = TableDefinition::new("issuers");
const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
const STAGED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("staged");

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
