//! The file `signals.redb`.
//!
//! | table | key | value |
//! |---|---|---|
//! | `accepted` | hash of issuer and `jti`, or of what an event may take back and one of its times | until when it is good, or 32 days after that time, in seconds |
//! | `signed` | number, rising | record of a genuine signal |
//! | `strangers` | number, rising | record of anything else |
//! | `streams` | name | what the transmitter of a stream calls it |
//! | `senders` | what a network is known for, and its first address | when something genuine last came from there, in seconds |
//!
//! A record is JSON, and a checksum over it and its number. Both tables share their numbers. Streams
//! are JSON too.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redb::{
    Database, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _, Table,
    TableDefinition, TableError, WriteTransaction,
};

use super::{Filter, Note, Page, Record, ReplayId};
use crate::authority::signals::configuration::RecordLimits;
use crate::authority::signals::upkeep::StreamRow;
use crate::authority::store::{
    StoreError, caught, check_room, checksum, discard, failed, open_beside, set_aside,
};
use crate::revocation::FilterKey;
use crate::time::UnixTime;

const FILE_NAME: &str = "signals.redb";

const ACCEPTED: TableDefinition<'_, ReplayId, u64> = TableDefinition::new("accepted");
const SIGNED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("signed");
const STRANGERS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("strangers");
const STREAMS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("streams");

/// Records of strangers that are kept: enough to see what is tried.
const MOST_STRANGERS: usize = 1_000;

/// Rows that one search looks at.
const MOST_LOOKED_AT: usize = 20_000;

/// Rows dropped in one commit.
const SWEEP_LENGTH: usize = 10_000;

/// Where a record stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shelf {
    /// Genuine signals: what was carried out, and what could not be for another reason than itself.
    Signed,
    /// Anything else.
    Strangers,
}

impl Shelf {
    /// Every shelf.
    pub(super) const ALL: [Self; 2] = [Self::Signed, Self::Strangers];

    const fn table(self) -> TableDefinition<'static, u64, &'static [u8]> {
        match self {
            Self::Signed => SIGNED,
            Self::Strangers => STRANGERS,
        }
    }
}

/// The file, opened when it is needed.
#[derive(Debug)]
pub(super) struct File {
    path: PathBuf,
    key: FilterKey,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    database: Option<Arc<Database>>,
    last_number: u64,
}

impl File {
    pub(super) fn new(directory: &Path, key: FilterKey) -> Self {
        Self {
            path: directory.join(FILE_NAME),
            key,
            state: Mutex::default(),
        }
    }

    /// Reads what was accepted. Gives the number of rows that cannot be read.
    pub(super) fn load(
        &self,
        mut accepted: impl FnMut(ReplayId, UnixTime),
    ) -> Result<usize, StoreError> {
        if !self.path.exists() {
            return Ok(0);
        }
        let database = self.opened()?;
        caught(|| {
            let reading = database.begin_read().map_err(failed)?;
            let mut damaged = 0;
            match reading.open_table(ACCEPTED) {
                Ok(table) => {
                    for row in table.iter().map_err(failed)? {
                        let (id, until) = row.map_err(failed)?;
                        match UnixTime::from_seconds(until.value()) {
                            Some(until) => accepted(id.value(), until),
                            None => damaged += 1,
                        }
                    }
                }
                Err(TableError::TableDoesNotExist(_)) => {}
                Err(error) => return Err(failed(error)),
            }
            let mut last_number = 0;
            for shelf in [SIGNED, STRANGERS] {
                match reading.open_table(shelf) {
                    Ok(table) => {
                        let last = table.last().map_err(failed)?;
                        let number = last.map_or(0, |(number, _)| number.value());
                        last_number = last_number.max(number);
                    }
                    Err(TableError::TableDoesNotExist(_)) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            self.lock().last_number = last_number;
            Ok(damaged)
        })
    }

    /// Writes notes in one commit, and drops the oldest records where there are too many.
    pub(super) fn write(
        &self,
        notes: &[Box<Note>],
        limits: &RecordLimits,
    ) -> Result<(), StoreError> {
        check_room(&self.path)?;
        let database = self.opened()?;
        caught(|| {
            let writing = database.begin_write().map_err(failed)?;
            self.add(&writing, notes, limits)?;
            writing.commit().map_err(failed)
        })
    }

    fn add(
        &self,
        writing: &WriteTransaction,
        notes: &[Box<Note>],
        limits: &RecordLimits,
    ) -> Result<(), StoreError> {
        let mut accepted = writing.open_table(ACCEPTED).map_err(failed)?;
        let mut signed = writing.open_table(SIGNED).map_err(failed)?;
        let mut strangers = writing.open_table(STRANGERS).map_err(failed)?;
        for note in notes {
            for (id, until) in note.known() {
                accepted.insert(id, until.seconds()).map_err(failed)?;
            }
            let Some((on, record)) = &note.record else {
                continue;
            };
            let number = self.next_number();
            let row = self.sealed(number, record);
            let table = match on {
                Shelf::Signed => &mut signed,
                Shelf::Strangers => &mut strangers,
            };
            table.insert(number, &*row).map_err(failed)?;
        }
        trim(&mut signed, limits.max_records)?;
        trim(&mut strangers, MOST_STRANGERS)?;
        Self::add_senders(writing, notes)
    }

    /// Writes what the transmitter of a stream calls it.
    pub(super) fn keep_stream(&self, stream: &StreamRow) -> Result<(), StoreError> {
        check_room(&self.path)?;
        let database = self.opened()?;
        caught(|| {
            let writing = database.begin_write().map_err(failed)?;
            let mut streams = writing.open_table(STREAMS).map_err(failed)?;
            // Texts and a flag can be written as JSON.
            let row = serde_json::to_vec(stream).unwrap_or_default();
            streams
                .insert(stream.name.as_str(), &*row)
                .map_err(failed)?;
            drop(streams);
            writing.commit().map_err(failed)
        })
    }

    /// What transmitters call streams. Rows that cannot be read are left out.
    pub(super) fn kept_streams(&self) -> Result<Vec<StreamRow>, StoreError> {
        if !self.path.exists() {
            return Ok(Vec::new());
        }
        let database = self.opened()?;
        caught(|| {
            let reading = database.begin_read().map_err(failed)?;
            let table = match reading.open_table(STREAMS) {
                Ok(table) => table,
                Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
                Err(error) => return Err(failed(error)),
            };
            let mut streams = Vec::new();
            for row in table.iter().map_err(failed)? {
                let (_, row) = row.map_err(failed)?;
                streams.extend(serde_json::from_slice::<StreamRow>(row.value()).ok());
            }
            Ok(streams)
        })
    }

    fn next_number(&self) -> u64 {
        let mut state = self.lock();
        state.last_number += 1;
        state.last_number
    }

    /// Drops what is not needed any more.
    pub(super) fn sweep(
        &self,
        ids: &[ReplayId],
        now: UnixTime,
        retention: Duration,
    ) -> Result<(), StoreError> {
        let is_open = self.lock().database.is_some();
        if !is_open && ids.is_empty() {
            return Ok(());
        }
        let database = self.opened()?;
        let oldest = now.seconds().saturating_sub(retention.as_secs()) * 1_000;
        caught(|| {
            let writing = database.begin_write().map_err(failed)?;
            let mut accepted = writing.open_table(ACCEPTED).map_err(failed)?;
            for id in ids {
                accepted.remove(id).map_err(failed)?;
            }
            drop(accepted);
            for shelf in [SIGNED, STRANGERS] {
                let mut table = writing.open_table(shelf).map_err(failed)?;
                for _ in 0..SWEEP_LENGTH {
                    let first = table.first().map_err(failed)?;
                    let is_old = first.is_some_and(|(number, row)| {
                        let record = self.unsealed(number.value(), row.value());
                        record.is_none_or(|record| record.received < oldest)
                    });
                    if !is_old {
                        break;
                    }
                    table.pop_first().map_err(failed)?;
                }
            }
            Self::sweep_senders(&writing, now)?;
            writing.commit().map_err(failed)
        })
    }

    /// Some records of these shelves, the newest first.
    pub(super) fn search(
        &self,
        shelves: &[Shelf],
        filter: &Filter,
        hashed: Option<&str>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        if !self.path.exists() {
            return Ok(Page::default());
        }
        let database = self.opened()?;
        caught(|| {
            let reading = database.begin_read().map_err(failed)?;
            let end = before.unwrap_or(u64::MAX);
            let mut searched = Vec::new();
            for shelf in shelves {
                match reading.open_table(shelf.table()) {
                    Ok(table) => {
                        let rows = table.range(..end).map_err(failed)?;
                        searched.push(rows.rev().peekable());
                    }
                    Err(TableError::TableDoesNotExist(_)) => {}
                    Err(error) => return Err(failed(error)),
                }
            }
            let mut page = Page::default();
            let mut looked_at = 0;
            loop {
                let mut newest: Option<(u64, usize)> = None;
                for (index, rows) in searched.iter_mut().enumerate() {
                    let number = match rows.peek() {
                        Some(Ok((number, _))) => number.value(),
                        Some(Err(_)) => u64::MAX,
                        None => continue,
                    };
                    newest = newest.max(Some((number, index)));
                }
                let row = newest.and_then(|(_, index)| searched.get_mut(index)?.next());
                let Some(row) = row else {
                    return Ok(page);
                };
                let (number, row) = row.map_err(failed)?;
                let number = number.value();
                let record = self.unsealed(number, row.value());
                if let Some(record) = record.filter(|record| filter.matches(record, hashed)) {
                    page.records.push((number, record));
                }
                looked_at += 1;
                if page.records.len() == limit || looked_at == MOST_LOOKED_AT {
                    page.next = Some(number);
                    return Ok(page);
                }
            }
        })
    }

    /// A record with a checksum over it and its number.
    fn sealed(&self, number: u64, record: &Record) -> Vec<u8> {
        // A record that cannot be written as JSON does not exist.
        let mut row = serde_json::to_vec(record).unwrap_or_default();
        let checksum = self.checksum(number, &row);
        row.extend(checksum);
        row
    }

    fn unsealed(&self, number: u64, row: &[u8]) -> Option<Record> {
        let (row, checksum) = row.split_last_chunk()?;
        let is_whole = *checksum == self.checksum(number, row);
        is_whole.then(|| serde_json::from_slice(row).ok()).flatten()
    }

    fn checksum(&self, number: u64, row: &[u8]) -> [u8; 8] {
        checksum(&self.key, &[&number.to_le_bytes(), row]).to_le_bytes()
    }

    /// Whether there is one.
    pub(super) fn exists(&self) -> bool {
        self.path.exists()
    }

    pub(super) fn opened(&self) -> Result<Arc<Database>, StoreError> {
        let mut state = self.lock();
        if let Some(database) = &state.database {
            return Ok(Arc::clone(database));
        }
        let database = Arc::new(open_beside(&self.path)?);
        state.database = Some(Arc::clone(&database));
        Ok(database)
    }

    /// Closes it. It is opened again when it is needed.
    pub(super) fn close(&self) {
        let database = self.lock().database.take();
        discard(database);
    }

    /// Keeps a file that cannot be read, in place of the last such, so that the reason can be found.
    pub(super) fn set_aside(&self) {
        self.close();
        if let Err(error) = set_aside(&self.path) {
            tracing::error!(%error, "could not set the ledger of signals aside");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops the oldest rows beyond so many.
fn trim(table: &mut Table<'_, u64, &[u8]>, most: usize) -> Result<(), StoreError> {
    let most = u64::try_from(most).unwrap_or(u64::MAX);
    let surplus = table.len().map_err(failed)?.saturating_sub(most);
    for _ in 0..surplus {
        table.pop_first().map_err(failed)?;
    }
    Ok(())
}
