//! An engine in memory: the contract and nothing else.
//!
//! It stands for a database with transactions that several processes share. The lock stands for
//! that of the head's row, a clone for the transaction, and replacing the rows with it for the
//! commit.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use super::super::engine::{Engine, Fate, Look, Opened, Snapshot, Task, Transaction};
use super::super::writing::effect_of;
use super::*;
use crate::authority::entry::Entry;

/// The rows, which every engine that is opened on them shares.
#[derive(Clone, Debug)]
pub(super) struct Database(Arc<Mutex<Rows>>);

#[derive(Clone, Debug)]
struct Rows {
    commits: u64,
    head: Head,
    entries: BTreeMap<Fingerprint, Entry>,
    owned: BTreeSet<(Fingerprint, Fingerprint)>,
    issuers: BTreeSet<String>,
    log: BTreeMap<u64, (Change, Chain)>,
    staged: BTreeMap<u64, Vec<u8>>,
    settings: BTreeMap<String, Vec<u8>>,
}

/// What goes wrong with the next commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not done.
    Before,
    /// It is done, and its answer is lost.
    After,
}

#[derive(Debug)]
pub(super) struct Memory {
    database: Database,
    trouble: Mutex<Option<Trouble>>,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// Until it has recovered.
    Failed(Fate),
}

fn commit(number: u64) -> Commit {
    Commit {
        number,
        mark: [0; 16],
    }
}

const KEY: FilterKey = FilterKey::new([3; 16]);

impl Database {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Rows {
            commits: 0,
            head: Head::EMPTY,
            entries: BTreeMap::new(),
            owned: BTreeSet::new(),
            issuers: BTreeSet::new(),
            log: BTreeMap::new(),
            staged: BTreeMap::new(),
            settings: BTreeMap::new(),
        })))
    }

    pub(super) fn open(&self) -> Store {
        let index = Index::new();
        let rows = self.0.lock().unwrap();
        for (name, entry) in &rows.entries {
            index.apply(effect_of(*name, entry, &KEY));
        }
        let log = Snapshot::log(&*rows, 0).unwrap();
        let history = History::new(rows.head, log);
        let known = Known::new(Arc::new(index), history, commit(rows.commits));
        Store::over(Opened {
            engine: Box::new(Memory {
                database: self.clone(),
                trouble: Mutex::new(None),
                state: Mutex::new(State::Open),
            }),
            known: Arc::new(known),
            filter_key: KEY,
        })
    }
}

impl Memory {
    pub(super) fn fail_next(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = Some(trouble);
    }

    fn expect_open(&self) -> Result<(), StoreError> {
        match *self.state.lock().unwrap() {
            State::Open => Ok(()),
            State::Failed(_) => Err(StoreError::Closed),
        }
    }

    fn failed(&self, fate: Fate) -> StoreError {
        *self.state.lock().unwrap() = State::Failed(fate);
        StoreError::Failed("the connection is gone".into())
    }
}

impl Engine for Memory {
    fn read(&self, work: Look<'_>) -> Result<(), StoreError> {
        self.expect_open()?;
        let rows = self.database.0.lock().unwrap().clone();
        work(&rows)
    }

    fn write(&self, work: Task<'_>) -> Result<Commit, StoreError> {
        self.expect_open()?;
        let mut committed = self.database.0.lock().unwrap();
        let mut rows = committed.clone();
        work(&mut rows).inspect_err(|_| {
            self.failed(Fate::Lost);
        })?;
        let trouble = self.trouble.lock().unwrap().take();
        if trouble == Some(Trouble::Before) {
            return Err(self.failed(Fate::Lost));
        }
        rows.commits += 1;
        let commit = commit(rows.commits);
        *committed = rows;
        match trouble {
            Some(_) => Err(self.failed(Fate::Committed(commit))),
            None => Ok(commit),
        }
    }

    fn recover(&self) -> Result<Fate, StoreError> {
        Ok(
            match mem::replace(&mut *self.state.lock().unwrap(), State::Open) {
                State::Open => Fate::Lost,
                State::Failed(fate) => fate,
            },
        )
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn check_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn back_up(&self, is_stopping: &dyn Fn() -> bool) -> Result<Backup, StoreError> {
        if is_stopping() {
            return Err(StoreError::BrokenOff);
        }
        Ok(Backup {
            path: PathBuf::new(),
            sequence: self.database.0.lock().unwrap().head.sequence,
        })
    }

    fn say_where(&self, _: &str) {}
}

impl Snapshot for Rows {
    fn head(&self) -> Result<Head, StoreError> {
        Ok(self.head)
    }

    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.settings.get(name).cloned())
    }

    fn log(&self, after: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        let rows = self.log.range(after + 1..);
        Ok(rows
            .map(|(sequence, (change, chain))| (*sequence, *change, *chain))
            .collect())
    }

    fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let first = self.staged.range(number..).next();
        Ok(first.map(|(number, part)| (*number, part.clone())))
    }

    fn entry(&self, name: Fingerprint) -> Result<Option<Entry>, StoreError> {
        Ok(self.entries.get(&name).cloned())
    }

    fn newest(
        &self,
        before: u64,
        visit: &mut dyn FnMut(Fingerprint, Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let entries = self.entries.iter();
        let mut entries: Vec<_> = entries
            .filter(|(_, entry)| entry.sequence < before)
            .collect();
        entries.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.sequence));
        let _ = entries
            .into_iter()
            .try_for_each(|(name, entry)| visit(*name, entry.clone()));
        Ok(())
    }

    fn owned(
        &self,
        owner: Fingerprint,
        first: Fingerprint,
        visit: &mut dyn FnMut(Fingerprint) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let last = Fingerprint([u8::MAX; 16]);
        for (_, name) in self.owned.range((owner, first)..=(owner, last)) {
            if visit(*name)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn has_issuer(&self, issuer: &str) -> Result<bool, StoreError> {
        Ok(self.issuers.contains(issuer))
    }

    fn issuers(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        Ok(self.issuers.iter().take(limit).cloned().collect())
    }
}

impl Transaction for Rows {
    fn head(&self) -> Result<Head, StoreError> {
        Ok(self.head)
    }

    fn entry(&self, name: Fingerprint) -> Result<Option<Entry>, StoreError> {
        Ok(self.entries.get(&name).cloned())
    }

    fn put_entry(
        &mut self,
        name: Fingerprint,
        owner: Option<Fingerprint>,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        self.entries.insert(name, entry.clone());
        self.owned.extend(owner.map(|owner| (owner, name)));
        self.issuers.insert(entry.target.issuer.clone());
        Ok(())
    }

    fn remove_entry(
        &mut self,
        name: Fingerprint,
        owner: Option<Fingerprint>,
    ) -> Result<(), StoreError> {
        self.entries.remove(&name).ok_or(StoreError::Row)?;
        if let Some(owner) = owner {
            self.owned.remove(&(owner, name));
        }
        Ok(())
    }

    fn append(&mut self, head: Head, change: &Change) -> Result<(), StoreError> {
        self.log.insert(head.sequence, (*change, head.chain));
        self.head = head;
        Ok(())
    }

    fn trim_log(&mut self, through: u64) -> Result<(), StoreError> {
        self.log = self.log.split_off(&(through + 1));
        Ok(())
    }

    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.settings.get(name).cloned())
    }

    fn put_setting(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.settings.insert(name.to_owned(), bytes);
        Ok(())
    }

    fn stage(&mut self, number: u64, part: Vec<u8>) -> Result<(), StoreError> {
        self.staged.insert(number, part);
        Ok(())
    }

    fn unstage(&mut self, number: u64) -> Result<(), StoreError> {
        self.staged.remove(&number);
        Ok(())
    }

    fn unstage_all(&mut self) -> Result<(), StoreError> {
        self.staged.clear();
        Ok(())
    }
}
