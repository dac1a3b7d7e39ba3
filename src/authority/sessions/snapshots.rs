//! What survives a restart: the sessions in a redb file of their own, `sessions.redb`.
//!
//! Every half a minute, what has changed is written: new sessions, ends, and sessions whose last
//! request is ten minutes later than the file says. What is lost is freshness, of which nothing
//! follows: after a start no session counts as idle before everything was heard of for that long, unless
//! the last snapshot had every session as it was last seen ([`super::coverage`]). A file that is damaged, or lost, ends no session and keeps no authority from starting. It is set
//! aside, that is logged and counted, and the sessions are new when they are reported next.
//!
//! # Why a file of their own?
//!
//! redb has one writer at a time. A snapshot in the store's file would stand in the way of
//! revocations: a commit of 4,096 sessions takes some tens of milliseconds, in which nothing could be
//! revoked. Two files share only the disk, and commits have pauses between them. A damaged file of
//! sessions also says nothing about the store's, where damage is a reason not to start.
//!
//! # Why are rows in the order in which they were written?
//!
//! Names are random, and a tree sorted by them rewrites a page for every single row. Rows with rising
//! numbers are appended to full pages, and those that they replace were written at about the same
//! time, so that they are neighbours as well.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::codec;
use super::memory::Memory;
use super::metrics::SessionMetrics;
use super::session::Session;
use crate::authority::store::{
    StoreError, caught, check_room, checksum, discard, failed, open_beside, set_aside,
};
use crate::authority::text::chain_of;
use crate::revocation::FilterKey;

/// At most so often.
const INTERVAL: Duration = Duration::from_secs(30);

/// Rows in a commit.
const COMMIT_LENGTH: usize = 4_096;

/// Between commits, in which the store has the disk to itself.
const PAUSE: Duration = Duration::from_millis(50);

/// How long the last snapshot may take when the authority stops: half a million sessions.
const LAST_LIMIT: Duration = Duration::from_secs(5);

const FILE_NAME: &str = "sessions.redb";

const TABLE: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("sessions");

/// What a snapshot is to write.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// New rows.
    pub(super) rows: Vec<(u64, Session)>,
    /// Numbers of rows that are not needed any more.
    pub(super) dropped: Vec<u64>,
}

/// The thread that writes snapshots, which ends when this is dropped.
#[derive(Debug)]
pub(super) struct Snapshots(Sender<Last>);

/// The last snapshot, and who waits for it.
#[derive(Debug)]
struct Last {
    /// Whether it has to have every session as it was last seen.
    is_exact: bool,
    /// Is told whether it does.
    done: Sender<bool>,
}

impl Snapshots {
    /// Loads what is in the directory, in the background, and writes what changes from then on.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub(super) fn start(
        memory: Arc<Memory>,
        key: FilterKey,
        directory: &Path,
        metrics: SessionMetrics,
    ) -> io::Result<Self> {
        let mut keeper = Keeper {
            memory,
            key,
            path: directory.join(FILE_NAME),
            metrics,
            database: None,
            has_failed: false,
        };
        if keeper.path.exists() {
            keeper.memory.begin_loading();
        }
        let (sender, stops) = mpsc::channel();
        thread::Builder::new()
            .name("snapshots".to_owned())
            .spawn(move || {
                keeper.load();
                keeper.keep(&stops);
            })?;
        Ok(Self(sender))
    }

    /// Writes the last snapshot. Returns whether the file has everything, which it only has if that is
    /// asked for: of sessions that go on, they are otherwise as they were some minutes ago.
    pub(super) fn finish(&self, is_exact: bool) -> bool {
        let (done, is_done) = mpsc::channel();
        let last = Last { is_exact, done };
        self.0.send(last).is_ok() && is_done.recv_timeout(LAST_LIMIT * 2).unwrap_or_default()
    }
}

/// What the thread works on.
struct Keeper {
    memory: Arc<Memory>,
    key: FilterKey,
    path: PathBuf,
    metrics: SessionMetrics,
    database: Option<Database>,
    /// Whether something could not be written since the start.
    has_failed: bool,
}

impl Keeper {
    fn keep(&mut self, stops: &Receiver<Last>) {
        loop {
            match stops.recv_timeout(INTERVAL) {
                Err(RecvTimeoutError::Timeout) => {
                    self.snapshot(None);
                }
                Ok(Last { is_exact, done }) => {
                    if is_exact {
                        self.memory.note_all();
                    }
                    let is_whole = self.snapshot(Some(Instant::now() + LAST_LIMIT));
                    self.close();
                    let _ = done.send(is_exact && is_whole);
                    return;
                }
                Err(RecvTimeoutError::Disconnected) => return self.close(),
            }
        }
    }

    /// Reads the file, if there is one.
    fn load(&mut self) {
        if self.path.exists() {
            let loaded = self.open().and_then(|()| self.read());
            match loaded {
                Ok(count) => tracing::info!(count, "loaded the registry of sessions"),
                Err(error) => {
                    self.failed(&error, "could not load the registry of sessions");
                    self.set_aside();
                }
            }
        }
        self.memory.end_loading();
    }

    fn read(&self) -> Result<usize, StoreError> {
        let Some(database) = &self.database else {
            return Ok(0);
        };
        caught(|| {
            let reading = database.begin_read().map_err(failed)?;
            let table = reading.open_table(TABLE).map_err(failed)?;
            let (mut count, mut damaged) = (0, 0_u64);
            for row in table.iter().map_err(failed)? {
                let (number, row) = row.map_err(failed)?;
                let number = number.value();
                if let Some(session) = self.opened(number, row.value()) {
                    self.memory.load(number, &session);
                    count += 1;
                } else {
                    self.memory.drop_row(number);
                    damaged += 1;
                }
            }
            if damaged > 0 {
                tracing::error!(damaged, "rows of the registry of sessions cannot be read");
                self.metrics.snapshot_failed();
            }
            Ok(count)
        })
    }

    /// Writes what has changed, until an instant. Returns whether the file has everything that had to be
    /// written since the start.
    fn snapshot(&mut self, end: Option<Instant>) -> bool {
        loop {
            let changes = self.memory.take_changes(COMMIT_LENGTH);
            let count = changes.rows.len() + changes.dropped.len();
            if count == 0 {
                return !self.has_failed;
            }
            if let Err(error) = self.write(&changes) {
                // Sessions that go on are written again in ten minutes.
                self.failed(&error, "could not write the registry of sessions");
                self.has_failed = true;
                self.close();
                return false;
            }
            if count < COMMIT_LENGTH {
                return !self.has_failed;
            }
            if end.is_some_and(|end| Instant::now() >= end) {
                return false;
            }
            if end.is_none() {
                thread::sleep(PAUSE);
            }
        }
    }

    fn write(&mut self, changes: &Changes) -> Result<(), StoreError> {
        check_room(&self.path)?;
        if self.database.is_none() {
            self.open()?;
        }
        let Some(database) = &self.database else {
            return Ok(());
        };
        caught(|| {
            let writing = database.begin_write().map_err(failed)?;
            let mut table = writing.open_table(TABLE).map_err(failed)?;
            for number in &changes.dropped {
                table.remove(number).map_err(failed)?;
            }
            for (number, session) in &changes.rows {
                let row = self.sealed(*number, session);
                table.insert(number, &*row).map_err(failed)?;
            }
            drop(table);
            writing.commit().map_err(failed)
        })
    }

    /// A session with a checksum over it and its number: a flipped bit is no other user's session.
    fn sealed(&self, number: u64, session: &Session) -> Vec<u8> {
        let mut row = codec::encode(session);
        let checksum = self.checksum(number, &row);
        row.extend(checksum);
        row
    }

    fn opened(&self, number: u64, row: &[u8]) -> Option<Session> {
        let (row, checksum) = row.split_last_chunk()?;
        let session = codec::decode(row)?;
        (*checksum == self.checksum(number, row)).then_some(session)
    }

    fn checksum(&self, number: u64, row: &[u8]) -> [u8; 8] {
        checksum(&self.key, &[&number.to_le_bytes(), row]).to_le_bytes()
    }

    fn open(&mut self) -> Result<(), StoreError> {
        self.database = Some(open_beside(&self.path)?);
        Ok(())
    }

    fn close(&mut self) {
        discard(self.database.take());
    }

    /// Keeps a file that cannot be read, in place of the last such, so that the reason can be found.
    fn set_aside(&mut self) {
        self.close();
        if let Err(error) = set_aside(&self.path) {
            tracing::error!(%error, "could not set the registry of sessions aside");
        }
    }

    fn failed(&self, error: &StoreError, what: &str) {
        tracing::error!(error = %chain_of(error), "{what}; it goes on in memory");
        self.metrics.snapshot_failed();
    }
}

#[cfg(test)]
mod tests;
