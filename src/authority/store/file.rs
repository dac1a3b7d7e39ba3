//! The file: opening it, and what every one holds.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase as _, WriteTransaction};

use super::error::{StoreError, failed};
use super::{ENTRIES, ISSUERS, LOG, META, STAGED, SUBJECTS};
use crate::revocation::FilterKey;

/// Opens the file, making it when it is not there.
pub(super) fn open_database(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    let backend = FileBackend::new(open_file(path)?).map_err(failed)?;
    builder.create_with_backend(backend).map_err(failed)
}

/// Begins a transaction whose commit also writes down which parts of the file are free.
///
/// Else a process that follows on one that was killed reads the whole file twice to find out, while
/// edges wait for it: two seconds for ten million entries. A commit takes a second wait for the disk
/// for it, which whatever is in the commit shares, and some 100 KiB for each GiB of the file.
pub(super) fn begin_write(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// The file holds the feed's signing key, so it is for its owner only.
fn open_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::File {
            path: path.to_owned(),
            source,
        })
}

/// Makes what a new file lacks, and gives the filter's key.
pub(super) fn prepare(database: &Database) -> Result<FilterKey, StoreError> {
    let reading = database.begin_read().map_err(failed)?;
    match reading.open_table(META) {
        Ok(meta) => {
            let format = meta.get(FORMAT_NAME).map_err(failed)?;
            let format = format.and_then(|row| row.value().first().copied());
            if format != Some(FORMAT) {
                return Err(StoreError::Format(format.unwrap_or(0)));
            }
            let key = meta
                .get(FILTER_KEY)
                .map_err(failed)?
                .ok_or(StoreError::Row)?;
            let key = key.value().try_into().map_err(|_| StoreError::Row)?;
            Ok(FilterKey::new(key))
        }
        Err(redb::TableError::TableDoesNotExist(_)) => initialize(database),
        Err(error) => Err(failed(error)),
    }
}

fn initialize(database: &Database) -> Result<FilterKey, StoreError> {
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(StoreError::Random)?;
    let transaction = begin_write(database)?;
    {
        let mut meta = transaction.open_table(META).map_err(failed)?;
        meta.insert(FORMAT_NAME, [FORMAT].as_slice())
            .map_err(failed)?;
        meta.insert(FILTER_KEY, key.as_slice()).map_err(failed)?;
        transaction.open_table(ENTRIES).map_err(failed)?;
        transaction.open_table(SUBJECTS).map_err(failed)?;
        transaction.open_table(ISSUERS).map_err(failed)?;
        transaction.open_table(LOG).map_err(failed)?;
        transaction.open_table(STAGED).map_err(failed)?;
    }
    transaction.commit().map_err(failed)?;
    Ok(FilterKey::new(key))
}

pub(super) const FILE_NAME: &str = "authority.redb";
const FORMAT_NAME: &str = "format";
pub(super) const FORMAT: u8 = 2;
const FILTER_KEY: &str = "filter_key";
