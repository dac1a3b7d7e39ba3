//! What keeps the rows: the contract that the store relies on.
//!
//! # What must an engine promise?
//!
//! - **One order.** [`Engine::write`] runs one transaction after the other, also those of
//!   other processes on the same database. A database with transactions locks the row of the
//!   head first, and so reads in the transaction what the last one has left.
//! - **All or nothing.** What a transaction has written is there as a whole once it is committed, and
//!   not at all when its work fails.
//! - **Written is on the disk.** `Ok` says that what was written survives a crash of the process and
//!   of the machine. An error says nothing; [`Engine::recover`] says what became of it.
//! - **A read is of one instant.** [`Engine::read`] sees the whole of a transaction or none of it.
//! - **A row is what was written.** A row that the engine has lost, or can see to have changed, is
//!   [`StoreError::Row`], never an empty answer.
//!
//! `tests/conformance.rs` holds every engine to that.
//!
//! # Why closures, and not a transaction object?
//!
//! The embedded engine's tables borrow from its transaction, and its database can be closed by a
//! failure at any time; both end with the closure. One over a network needs neither, and loses
//! nothing.

use std::any::Any;
use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::watch;

use super::known::Known;
use super::{Head, StoreError};
use crate::authority::entry::Entry;
use crate::revocation::{Chain, Change, FilterKey, Fingerprint};

/// An open engine, and what it has read while opening.
#[derive(Debug)]
pub(super) struct Opened {
    /// The engine.
    pub(super) engine: Box<dyn Engine>,
    /// Everything in the store at the moment of opening.
    pub(super) known: Arc<Known>,
    /// The secret under which this installation hashes names.
    pub(super) filter_key: FilterKey,
}

/// Keeps the rows.
pub(super) trait Engine: Any + Debug + Send + Sync {
    /// Lets `work` read what is committed.
    ///
    /// # Errors
    ///
    /// That of the work, or the engine's own.
    fn read(&self, work: Look<'_>) -> Result<(), StoreError>;

    /// Runs `work` in a transaction, alone, and commits what it has written unless it fails. Returns the
    /// commit. Called by one thread at a time.
    ///
    /// # Errors
    ///
    /// That of the work, none of which is kept then; or the engine's own, after which nothing can
    /// be done until [`recover`](Self::recover) has succeeded.
    fn write(&self, work: Task<'_>) -> Result<Commit, StoreError>;

    /// Makes the engine usable after an error, and returns the fate of the transaction that failed
    /// last: its commit may have succeeded although its answer was lost.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; then this has to be called again.
    fn recover(&self) -> Result<Fate, StoreError>;

    /// Checks that writes would last: that the engine still has its file, or is connected.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn check(&self) -> Result<(), StoreError>;

    /// Checks that what this process has in memory is recent enough to answer from, where other
    /// processes write as well.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn check_recent(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// As of when what this process has in memory is what is in force, by [`clock::sleepless`]; `None`
    /// where no other process writes, so that it always is.
    ///
    /// [`clock::sleepless`]: crate::authority::clock::sleepless
    fn seen(&self) -> Option<watch::Receiver<Duration>> {
        None
    }

    /// Brings what is in memory in step with what other processes have committed, and calls `taken` before
    /// [`seen`](Self::seen) says so. Called by one thread at a time.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn follow(&self, _taken: Taken<'_>) -> Result<(), StoreError> {
        Ok(())
    }

    /// What the last [`write`](Self::write) has committed is in memory now.
    fn settled(&self) {}

    /// Whether this process has to do what only one should do.
    fn is_keeper(&self) -> bool {
        true
    }

    /// Writes a generation for other processes, without telling them.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn put_generation(&self, _: &KeptGeneration) -> Result<(), StoreError> {
        Ok(())
    }

    /// A generation that any process has written, if it is kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn generation(&self, _number: u64) -> Result<Option<KeptGeneration>, StoreError> {
        Ok(None)
    }

    /// Says which edges this process sees, if there is anything to say, and returns what the others have
    /// said last.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn exchange_edges(&self, _own: Option<Vec<u8>>) -> Result<Vec<OtherEdges>, StoreError> {
        Ok(Vec::new())
    }

    /// Checks that there is room for an import, which must leave some for single revocations.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`].
    fn check_room(&self) -> Result<(), StoreError>;

    /// Copies everything, as it is at one instant. Stops when `is_stopping` says so.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the last copy is still there then.
    fn back_up(&self, is_stopping: &dyn Fn() -> bool) -> Result<Backup, StoreError>;

    /// Notes the address that this process listens on, for a process that finds the store in use.
    fn say_where(&self, url: &str);
}

/// Reads what is committed.
pub(super) type Look<'w> = &'w mut dyn FnMut(&dyn Snapshot) -> Result<(), StoreError>;

/// Is called when news are in memory.
pub(super) type Taken<'w> = &'w mut dyn FnMut() -> Result<(), StoreError>;

/// Reads and writes within one transaction.
pub(super) type Task<'w> = &'w mut dyn FnMut(&mut dyn Transaction) -> Result<(), StoreError>;

/// A commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Commit {
    /// Its number.
    pub(super) number: u64,
    /// Where several processes commit, a random number that no other commit has.
    pub(super) mark: [u8; 16],
}

/// A generation, as processes keep it for each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct KeptGeneration {
    /// Its number.
    pub number: u64,
    /// Number of the one that was published last, which is kept beside it.
    pub published: u64,
    /// What is not in the segments.
    pub description: Vec<u8>,
    /// The segments.
    pub segments: Vec<Bytes>,
}

/// What another process has said of its edges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct OtherEdges {
    /// How long ago.
    pub age: Duration,
    /// What it has said.
    pub content: Vec<u8>,
}

/// The fate of the last transaction that was written and not acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It was committed, as this commit.
    Committed(Commit),
    /// It was not committed, or there was none.
    Lost,
}

/// A copy of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Backup {
    /// Where it is.
    pub path: PathBuf,
    /// Number of the last change that is in it.
    pub sequence: u64,
}

/// Everything that is committed, at one instant.
pub(super) trait Snapshot {
    /// The head of the feed.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as all below.
    fn head(&self) -> Result<Head, StoreError>;

    /// The bytes of a setting.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The changes after `sequence` that are still kept, each with its number and the chain after
    /// it, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn log(&self, after: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError>;

    /// The first staged part of an import, of those from `number` on.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError>;

    /// The entry of this name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn entry(&self, name: Fingerprint) -> Result<Option<Entry>, StoreError>;

    /// Hands entries to `visit`, the last changed first, of those whose last change has a number
    /// below `before`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn newest(
        &self,
        before: u64,
        visit: &mut dyn FnMut(Fingerprint, Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Hands the names of what belongs to `owner` to `visit`, in their order, from `first` on.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn owned(
        &self,
        owner: Fingerprint,
        first: Fingerprint,
        visit: &mut dyn FnMut(Fingerprint) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError>;

    /// Whether anything of an issuer was ever put here.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn has_issuer(&self, issuer: &str) -> Result<bool, StoreError>;

    /// Issuers of which anything was ever put here, at most `limit` of them.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn issuers(&self, limit: usize) -> Result<Vec<String>, StoreError>;
}

/// A transaction that is open. It sees what it has written itself.
pub(super) trait Transaction {
    /// The head of the feed.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as all below.
    fn head(&self) -> Result<Head, StoreError>;

    /// Prepares for these entries to be asked for, one by one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn expect(&mut self, _: &[Fingerprint]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The entry of this name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn entry(&self, name: Fingerprint) -> Result<Option<Entry>, StoreError>;

    /// Puts the entry of a name, replacing the one that is there, so that it is also found by its
    /// owner if it has one, and by its issuer.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn put_entry(
        &mut self,
        name: Fingerprint,
        owner: Option<Fingerprint>,
        entry: &Entry,
    ) -> Result<(), StoreError>;

    /// Removes the entry of a name, which has to be there.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn remove_entry(
        &mut self,
        name: Fingerprint,
        owner: Option<Fingerprint>,
    ) -> Result<(), StoreError>;

    /// Appends a change to the log, after which the head of the feed is `head`.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn append(&mut self, head: Head, change: &Change) -> Result<(), StoreError>;

    /// Removes the changes up to this one from the log.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn trim_log(&mut self, through: u64) -> Result<(), StoreError>;

    /// The bytes of a setting.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Expects this process to be the keeper, until the transaction has ended.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn expect_keeper(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Expects a generation to be kept that other processes are to be told of.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn expect_generation(&self, _number: u64) -> Result<(), StoreError> {
        Ok(())
    }

    /// Keeps the bytes of a setting.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn put_setting(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError>;

    /// Stages a part of an import.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn stage(&mut self, number: u64, part: Vec<u8>) -> Result<(), StoreError>;

    /// Removes a part of an import, if it is there.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn unstage(&mut self, number: u64) -> Result<(), StoreError>;

    /// Removes every part of an import.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    fn unstage_all(&mut self) -> Result<(), StoreError>;
}
