//! The file: opening it, and what every file contains.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;

use redb::{Builder, Database, ReadTransaction, WriteTransaction};

use super::backend::Backend;
use super::failure::failed;
use super::guard::{Guard, Header};
use super::mark::StoreNumber;
use super::tables::{META, Tables, kept_in};
use super::{Head, StoreError};
use crate::authority::store::rows::{FILTER_KEY, HEAD};
use crate::revocation::FilterKey;

/// Of redb's header (its `docs/design.md`): the byte with the bit, and the numbers of the commits.
const LAST_SLOT_OFFSET: usize = 9;
const SLOT_NUMBERS: usize = 64 + 104;
const SLOT_BYTES: usize = 128;

pub(in crate::authority) const FILE_NAME: &str = "authority.redb";
pub(super) const FORMAT_NAME: &str = "format";
pub(super) const STORE_NUMBER: &str = "store";

/// 2 had neither seals nor a ledger.
pub(super) const FORMAT: u8 = 3;

/// How much of the file is checked while it is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// What redb needs. Only this process has had the file, or it is read with care afterwards.
    Given,
    /// All of it, against redb's own checksums, and the record of free pages is rebuilt.
    Withheld,
}

/// Creates a file that does not exist yet, with a database without tables.
pub(super) fn make_database(path: &Path, cache_bytes: usize) -> Result<Database, StoreError> {
    let file = open_file(OpenOptions::new().create_new(true), path)?;
    let guard = guard(path)?;
    let backend = Backend::new(file, guard)?;
    builder(cache_bytes, Trust::Given)
        .create_with_backend(backend)
        .map_err(failed)
}

/// Opens a file that this process had open before.
pub(super) fn reopen_database(
    path: &Path,
    cache_bytes: usize,
    guard: &Arc<Guard>,
) -> Result<Database, StoreError> {
    let file = open_guarded(path, guard)?;
    let backend = Backend::new(file, Arc::clone(guard))?;
    builder(cache_bytes, Trust::Given)
        .create_with_backend(backend)
        .map_err(failed)
}

/// Opens a file on trial, so that it is left as it is until it is acquitted.
pub(super) fn try_database(
    path: &Path,
    cache_bytes: usize,
    guard: &Arc<Guard>,
    trust: Trust,
) -> Result<(Database, Backend), StoreError> {
    let file = open_guarded(path, guard)?;
    let backend = Backend::on_trial(file, Arc::clone(guard))?;
    let database = builder(cache_bytes, trust)
        .create_with_backend(backend.clone())
        .map_err(failed)?;
    Ok((database, backend))
}

/// Begins a transaction whose commit also records which parts of the file are free.
///
/// Otherwise the process that starts after one was killed reads the whole file twice to find out,
/// while edges wait for it: two seconds for ten million entries. A commit pays for it with a second
/// sync of the disk, which all work in the commit shares, and some 100 KiB for each GiB of the
/// file.
pub(super) fn begin_write(database: &Database) -> Result<WriteTransaction, StoreError> {
    let mut transaction = database.begin_write().map_err(failed)?;
    transaction.set_quick_repair(true);
    Ok(transaction)
}

/// Guards a file.
pub(super) fn guard(path: &Path) -> Result<Arc<Guard>, StoreError> {
    let guard = Guard::of(path).map_err(|source| StoreError::File {
        path: path.to_owned(),
        source,
    })?;
    Ok(Arc::new(guard))
}

/// Whether the header names a commit other than its latest one as the last.
///
/// redb writes commits into two slots in turns, and one bit says which is the last. A process that
/// is killed between the two writes leaves a commit after the one the bit names, which was never
/// acknowledged. If it was acknowledged, the bit has changed by itself.
pub(super) fn names_earlier_commit(header: &Header) -> bool {
    let number = |slot: usize| {
        let number = header.get(SLOT_NUMBERS + slot * SLOT_BYTES..);
        let number = number.and_then(|bytes| bytes.first_chunk());
        number.map_or(0, |number| u64::from_le_bytes(*number))
    };
    let last = usize::from(
        header
            .get(LAST_SLOT_OFFSET)
            .is_some_and(|flags| flags & 1 == 1),
    );
    number(1 - last) > number(last)
}

/// Creates the tables of a new store, and returns the filter's key.
pub(super) fn initialize(database: &Database) -> Result<FilterKey, StoreError> {
    let key = FilterKey::new(random()?);
    let transaction = begin_write(database)?;
    let mut tables = Tables::make(&transaction, key)?;
    put_beginnings(&mut tables, key)?;
    tables.put_meta(HEAD, Head::EMPTY.encode().to_vec())?;
    tables.finish()?;
    transaction.commit().map_err(failed)?;
    Ok(key)
}

/// What every store begins with: its format, its own number, and the filter's key.
pub(super) fn put_beginnings(tables: &mut Tables<'_>, key: FilterKey) -> Result<(), StoreError> {
    tables.put_meta(FORMAT_NAME, vec![FORMAT])?;
    tables.put_meta(STORE_NUMBER, random::<16>()?.to_vec())?;
    tables.put_meta(FILTER_KEY, key.bytes().to_vec())
}

/// The filter's key, if the store has this format.
pub(super) fn filter_key(reading: &ReadTransaction) -> Result<FilterKey, StoreError> {
    match kept_in(reading, FORMAT_NAME) {
        Ok(Some(format)) if format == [FORMAT] => {}
        Ok(format) => {
            let format = format.and_then(|format| format.first().copied());
            return Err(other_format(format.unwrap_or(0)));
        }
        // Formats before the third had no checksum.
        Err(StoreError::Row) => {
            return Err(old_format(reading)?.map_or(StoreError::Row, other_format));
        }
        Err(error) => return Err(error),
    }
    let key = kept_in(reading, FILTER_KEY)?.ok_or(StoreError::Row)?;
    Ok(FilterKey::new(key.try_into().map_err(|_| StoreError::Row)?))
}

const fn other_format(found: u8) -> StoreError {
    StoreError::Format {
        expected: FORMAT,
        found,
    }
}

fn old_format(reading: &ReadTransaction) -> Result<Option<u8>, StoreError> {
    let meta = reading.open_table(META).map_err(failed)?;
    let row = meta.get(FORMAT_NAME).map_err(failed)?;
    Ok(row.and_then(|row| match row.value() {
        [format] => Some(*format),
        _ => None,
    }))
}

/// The store's number.
pub(super) fn store_number(reading: &ReadTransaction) -> Result<StoreNumber, StoreError> {
    let number = kept_in(reading, STORE_NUMBER)?.ok_or(StoreError::Row)?;
    number.try_into().map_err(|_| StoreError::Row)
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(StoreError::Random)?;
    Ok(bytes)
}

fn builder(cache_bytes: usize, trust: Trust) -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes);
    builder.set_check_integrity_on_open(trust == Trust::Withheld);
    builder
}

/// Opens the file that the guard knows, and no other.
fn open_guarded(path: &Path, guard: &Guard) -> Result<File, StoreError> {
    guard.check()?;
    let file = open_file(&mut OpenOptions::new(), path)?;
    guard.expect(&file)?;
    Ok(file)
}

/// The file holds the feed's signing key, so only its owner may read it.
fn open_file(options: &mut OpenOptions, path: &Path) -> Result<File, StoreError> {
    options
        .read(true)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::File {
            path: path.to_owned(),
            source,
        })
}
