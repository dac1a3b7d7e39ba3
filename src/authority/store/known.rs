//! What a process has in memory of its store: what is in force, and what changed lately.
//!
//! Two threads bring it in step: the one that has committed something, and, where other processes
//! commit too, the one that follows them. Each knows from which commit to which one its news lead, and
//! either may be the first to tell of the same commit. So they take turns, and what was told is not told
//! again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};

use super::Head;
use super::engine::Commit;
use super::writing::Told;
use crate::authority::history::History;
use crate::authority::index::Index;
use crate::authority::sessions::Mark;
use crate::revocation::{Chain, Change};

/// What is in memory.
#[derive(Debug)]
pub(super) struct Known {
    index: Arc<Index>,
    history: Arc<History>,
    /// Is told what was revoked.
    registry: OnceLock<mpsc::Sender<Vec<Mark>>>,
    /// The commit as of which all of it is.
    commit: Mutex<Commit>,
    /// How often a commit has changed a setting.
    settings: AtomicU64,
}

impl Known {
    pub(super) fn new(index: Arc<Index>, history: History, commit: Commit) -> Self {
        Self {
            index,
            history: Arc::new(history),
            registry: OnceLock::new(),
            commit: Mutex::new(commit),
            settings: AtomicU64::new(0),
        }
    }

    pub(super) const fn index(&self) -> &Arc<Index> {
        &self.index
    }

    pub(super) const fn history(&self) -> &Arc<History> {
        &self.history
    }

    /// The commit as of which it is, and the head of the feed after that.
    pub(super) fn position(&self) -> (Commit, Head) {
        let commit = self.lock();
        (*commit, self.history.head())
    }

    /// How often a commit has changed a setting, that this process has heard of.
    pub(super) fn settings(&self) -> u64 {
        self.settings.load(Ordering::Acquire)
    }

    pub(super) fn tell(&self, registry: mpsc::Sender<Vec<Mark>>) {
        let _ = self.registry.set(registry);
    }

    /// Takes everything up to a commit, unless it is known already, and gives the changes back. Nothing
    /// must be missing between what is known and what is told.
    pub(super) fn take(&self, through: Commit, told: Told) -> Vec<(Change, Chain)> {
        let mut commit = self.lock();
        if through.number <= commit.number {
            return told.changes;
        }
        // The index first: a client that hears of a change and asks is told the same.
        for effect in told.effects {
            self.index.apply(effect);
        }
        self.history.extend(told.after, &told.changes);
        if told.has_settings {
            self.settings.fetch_add(1, Ordering::Release);
        }
        *commit = through;
        drop(commit);
        if let Some(registry) = self.registry.get()
            && !told.marks.is_empty()
        {
            // It outlives the store, except at the end of the process.
            let _ = registry.send(told.marks);
        }
        told.changes
    }

    fn lock(&self) -> MutexGuard<'_, Commit> {
        self.commit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
