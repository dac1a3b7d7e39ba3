//! A copy of the whole store while it is in use.
//!
//! One transaction reads it, so the copy is of one instant, between two commits. It is written
//! beside the store, readable by its owner only, since it holds the feed's signing key as the store
//! does; none of it goes over the network.
//!
//! What is copied has to be what the ledger says, else there is no copy: a backup of a damaged
//! store would replace the last good one. A copy has a store number of its own, so that it is not
//! confused with the store, nor with a store that has lost something.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::TryLockError;
use std::sync::atomic::Ordering;

use redb::{
    Database, Key, ReadTransaction, ReadableDatabase as _, ReadableTable as _, TableDefinition,
};

use super::caught::{caught, discard};
use super::failure::failed;
use super::file::{FORMAT_NAME, STORE_NUMBER, begin_write, make_database, put_beginnings};
use super::ledger::{Ledger, Rows};
use super::salvage::install;
use super::tables::{ENTRIES, ISSUERS, LOG, META, STAGED, SUBJECTS, Tables, head_in, ledger_in};
use super::{Backup, Embedded, StoreError, chain_of};
use crate::authority::store::rows::FILTER_KEY;
use crate::authority::store::seal::{Seal, Section};
use crate::revocation::FilterKey;

const BACKUP_NAME: &str = "backup.redb";

/// Rows are read in order, so hardly any page is needed twice.
const CACHE_BYTES: usize = 64 << 20;

impl Embedded {
    /// Copies the store into a file beside it, which replaces the last copy once it is whole and on
    /// the disk. Stops when the store has to be reopened, or when `is_stopping`, which is called
    /// before every row and before the end, says so.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the last copy is still there then.
    pub(super) fn copy(&self, is_stopping: &dyn Fn() -> bool) -> Result<Backup, StoreError> {
        let _turn = match self.backing_up.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(StoreError::BackingUp),
        };
        let path = self.path.with_file_name(BACKUP_NAME);
        let unfinished = unfinished(&self.path);
        remove(&unfinished)?;
        let copied = self.copy_to(&unfinished, is_stopping).and_then(|sequence| {
            install(&unfinished, &path)?;
            Ok(sequence)
        });
        if copied.is_err() {
            // The store itself may need the space.
            let _ = remove(&unfinished);
        }
        Ok(Backup {
            sequence: copied?,
            path,
        })
    }

    fn copy_to(&self, path: &Path, is_stopping: &dyn Fn() -> bool) -> Result<u64, StoreError> {
        // Under one lock, so that the file is not reopened between the two.
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
        let database = caught(|| make_database(path, CACHE_BYTES))?;
        let copied = caught(|| copy(reading, &database, self.filter_key, &go_on));
        discard(database);
        copied
    }
}

/// Copies what `reading` sees, and gives the number of its last change.
fn copy(
    reading: ReadTransaction,
    database: &Database,
    key: FilterKey,
    go_on: &dyn Fn() -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let transaction = begin_write(database)?;
    let mut tables = Tables::make(&transaction, key)?;
    let seal = |section| Seal::of(section, key);
    let ledger = &mut tables.ledger;
    let copying = Copying { reading, go_on };
    copying.meta(&mut tables.meta, ledger)?;
    copying.table(ENTRIES, seal(Section::Entries), &mut tables.entries, ledger)?;
    copying.table(
        SUBJECTS,
        seal(Section::Subjects),
        &mut tables.subjects,
        ledger,
    )?;
    copying.table(ISSUERS, seal(Section::Issuers), &mut tables.issuers, ledger)?;
    copying.table(LOG, seal(Section::Log), &mut tables.log, ledger)?;
    copying.table(STAGED, seal(Section::Staged), &mut tables.staged, ledger)?;
    if !ledger_in(&copying.reading)?.is_of_beside_meta(ledger) {
        return Err(StoreError::Row);
    }
    put_beginnings(&mut tables, key)?;
    let head = head_in(&copying.reading)?;
    tables.finish()?;
    // The commit may take long. Until then, pages that have been replaced meanwhile, and the old
    // handle if the file was reopened, need not be kept.
    drop(copying);
    go_on()?;
    transaction.commit().map_err(failed)?;
    Ok(head.sequence)
}

/// Removes what a killed process has left of a copy: it is as large as the store, and has the
/// signing key in it. Only the process that has the store open may do so.
pub(super) fn tidy_up(store: &Path) {
    let unfinished = unfinished(store);
    if let Err(error) = remove(&unfinished) {
        tracing::warn!(
            error = %chain_of(&error),
            "could not remove what is left of a backup"
        );
    }
}

struct Copying<'c> {
    reading: ReadTransaction,
    go_on: &'c dyn Fn() -> Result<(), StoreError>,
}

impl Copying<'_> {
    /// Copies a table, checking the seal of each row.
    fn table<K: Key>(
        &self,
        table: TableDefinition<'_, K, &'static [u8]>,
        seal: Seal,
        to: &mut Rows<'_, K>,
        ledger: &mut Ledger,
    ) -> Result<(), StoreError> {
        let from = self.reading.open_table(table).map_err(failed)?;
        for row in from.iter().map_err(failed)? {
            (self.go_on)()?;
            let (key, row) = row.map_err(failed)?;
            let row = seal.opened(K::as_bytes(&key.value()).as_ref(), row.value())?;
            to.insert(ledger, &key.value(), row.to_vec())?;
        }
        Ok(())
    }

    /// Copies the settings, apart from those that are particular to each store.
    fn meta(&self, to: &mut Rows<'_, &'static str>, ledger: &mut Ledger) -> Result<(), StoreError> {
        let from = self.reading.open_table(META).map_err(failed)?;
        for row in from.iter().map_err(failed)? {
            (self.go_on)()?;
            let (name, row) = row.map_err(failed)?;
            let row = Seal::of_meta().opened(name.value().as_bytes(), row.value())?;
            if ![FORMAT_NAME, STORE_NUMBER, FILTER_KEY].contains(&name.value()) {
                to.insert(ledger, &name.value(), row.to_vec())?;
            }
        }
        Ok(())
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
