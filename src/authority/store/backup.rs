//! A copy of the whole store while it is in use.
//!
//! One transaction reads it, so that the copy is of one instant, between two commits. It lies beside
//! the store, for its owner only, since it holds the feed's signing key as the store does; nothing of
//! it goes over the network.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use redb::{
    Key, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition, Value,
    WriteTransaction,
};

use super::file::{begin_write, open_database};
use super::{ENTRIES, HEAD, Head, ISSUERS, LOG, META, STAGED, SUBJECTS, Store, StoreError, failed};

/// A copy of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// Number of the last change that is in it.
    pub sequence: u64,
}

impl Store {
    /// Copies the store into a file beside it, in the place of the last copy once it is whole and on
    /// the disk. Breaks off when the store has to be opened anew, or when `is_stopping`, which is
    /// asked before every row and before the end, says so.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the last copy is still there then.
    pub fn back_up(&self, is_stopping: &dyn Fn() -> bool) -> Result<Backup, StoreError> {
        let _turn = match self.backing_up.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(StoreError::BackingUp),
        };
        let path = self.path.with_file_name(BACKUP_NAME);
        let unfinished = unfinished(&self.path);
        remove(&unfinished)?;
        let copied = self.copy_to(&unfinished, is_stopping).and_then(|sequence| {
            put_in_place(&unfinished, &path).map_err(|source| StoreError::File {
                path: path.clone(),
                source,
            })?;
            Ok(sequence)
        });
        if copied.is_err() {
            // Its room may be what the store itself lacks.
            let _ = remove(&unfinished);
        }
        Ok(Backup {
            sequence: copied?,
            path,
        })
    }

    fn copy_to(&self, path: &Path, is_stopping: &dyn Fn() -> bool) -> Result<u64, StoreError> {
        // Under one lock, so that no opening comes between the two.
        let (reading, opening) = self.with(|database| {
            let reading = database.begin_read().map_err(failed)?;
            Ok((reading, self.openings.load(Ordering::Relaxed)))
        })?;
        let go_on = || {
            if is_stopping() || self.openings.load(Ordering::Relaxed) != opening {
                return Err(StoreError::BrokenOff);
            }
            Ok(())
        };
        let database = open_database(path, CACHE_BYTES)?;
        let transaction = begin_write(&database)?;
        let copy = Copy {
            reading,
            writing: &transaction,
            go_on: &go_on,
        };
        copy.table(META)?;
        copy.table(ENTRIES)?;
        copy.table(SUBJECTS)?;
        copy.table(ISSUERS)?;
        copy.table(LOG)?;
        copy.table(STAGED)?;
        let sequence = copy.sequence()?;
        // The commit takes as long as the disk likes. The pages that have been replaced meanwhile,
        // and the old handle where the file was opened anew, need not be kept for that.
        drop(copy);
        go_on()?;
        transaction.commit().map_err(failed)?;
        Ok(sequence)
    }
}

/// Removes what a process that was killed has left of a copy: it is as large as the store, and has
/// the signing key in it. Only whoever has the store open may do so.
pub(super) fn tidy_up(store: &Path) {
    let unfinished = unfinished(store);
    if let Err(error) = remove(&unfinished) {
        tracing::warn!(
            error = %super::super::chain_of(&error),
            "could not remove what is left of a backup"
        );
    }
}

struct Copy<'c> {
    reading: ReadTransaction,
    writing: &'c WriteTransaction,
    go_on: &'c dyn Fn() -> Result<(), StoreError>,
}

impl Copy<'_> {
    fn table<K: Key, V: Value>(&self, table: TableDefinition<'_, K, V>) -> Result<(), StoreError> {
        let from = self.reading.open_table(table).map_err(failed)?;
        let mut to = self.writing.open_table(table).map_err(failed)?;
        for row in from.iter().map_err(failed)? {
            (self.go_on)()?;
            let (key, value) = row.map_err(failed)?;
            to.insert(key.value(), value.value()).map_err(failed)?;
        }
        Ok(())
    }

    fn sequence(&self) -> Result<u64, StoreError> {
        let meta = self.reading.open_table(META).map_err(failed)?;
        let row = meta.get(HEAD).map_err(failed)?;
        let head = row.map_or(Ok(Head::EMPTY), |row| Head::decode(row.value()))?;
        Ok(head.sequence)
    }
}

fn unfinished(store: &Path) -> PathBuf {
    store
        .with_file_name(BACKUP_NAME)
        .with_extension("unfinished")
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(StoreError::File {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// The name has to be on the disk as well.
fn put_in_place(unfinished: &Path, path: &Path) -> std::io::Result<()> {
    fs::rename(unfinished, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

const BACKUP_NAME: &str = "backup.redb";

/// Rows come in order, so that hardly a page is needed twice.
const CACHE_BYTES: usize = 64 << 20;
