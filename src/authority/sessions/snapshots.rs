//! What survives a restart: the sessions in a redb file of their own, `sessions.redb`.
//!
//! Every half a minute, what has changed is written: new sessions, ends, and sessions whose last
//! request is ten minutes later than the file says. What is lost is freshness, of which nothing
//! follows: after a start no session counts as idle before everything was heard of for that long. A
//! file that is damaged, or lost, ends no session and keeps no authority from starting. It is set
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

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::codec;
use super::memory::Memory;
use super::metrics::SessionMetrics;
use super::session::Session;
use crate::authority::store::{StoreError, caught, check_room, checksum, discard, failed};
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

/// How much memory redb may use for pages of the file.
const CACHE_BYTES: usize = 16 << 20;

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
pub(super) struct Snapshots(Sender<Sender<()>>);

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

    /// Writes the last snapshot.
    pub(super) fn finish(&self) {
        let (sender, done) = mpsc::channel();
        if self.0.send(sender).is_ok() {
            let _ = done.recv_timeout(LAST_LIMIT * 2);
        }
    }
}

/// What the thread works on.
struct Keeper {
    memory: Arc<Memory>,
    key: FilterKey,
    path: PathBuf,
    metrics: SessionMetrics,
    database: Option<Database>,
}

impl Keeper {
    fn keep(&mut self, stops: &Receiver<Sender<()>>) {
        loop {
            match stops.recv_timeout(INTERVAL) {
                Err(RecvTimeoutError::Timeout) => self.snapshot(None),
                Ok(done) => {
                    self.snapshot(Some(Instant::now() + LAST_LIMIT));
                    self.close();
                    let _ = done.send(());
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

    /// Writes what has changed, until an instant.
    fn snapshot(&mut self, end: Option<Instant>) {
        loop {
            let changes = self.memory.take_changes(COMMIT_LENGTH);
            let count = changes.rows.len() + changes.dropped.len();
            if count == 0 {
                return;
            }
            if let Err(error) = self.write(&changes) {
                // Sessions that go on are written again in ten minutes.
                self.failed(&error, "could not write the registry of sessions");
                self.close();
                return;
            }
            if count < COMMIT_LENGTH || end.is_some_and(|end| Instant::now() >= end) {
                return;
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
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&self.path)
            .map_err(|source| StoreError::File {
                path: self.path.clone(),
                source,
            })?;
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let database = caught(|| {
            let backend = FileBackend::new(file).map_err(failed)?;
            builder.create_with_backend(backend).map_err(failed)
        });
        self.database = Some(database?);
        Ok(())
    }

    fn close(&mut self) {
        discard(self.database.take());
    }

    /// Keeps a file that cannot be read, in place of the last such, so that the reason can be found.
    fn set_aside(&mut self) {
        self.close();
        let damaged = self.path.with_extension("redb.damaged");
        if let Err(error) = fs::rename(&self.path, damaged) {
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
