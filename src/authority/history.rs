//! The feed's recent changes in memory, and the edges that wait for the next one.
//!
//! # Why are changes not announced at once?
//!
//! The first one after a pause is. But every announcement makes every waiting edge poll again, and
//! a thousand polls cost a tenth of a second of processor time. So the next announcement waits in
//! proportion to the number of edges; what is committed meanwhile goes out together.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::store::{Head, LOG_LENGTH};
use crate::revocation::{Chain, Change};

mod followers;

use followers::Followers;

/// Processor time that one answer takes, connection and signature included.
const COST_OF_AN_EDGE: Duration = Duration::from_micros(100);

/// How often an import that waits looks how far the edges are.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// A revocation is announced within this time, however many edges there are.
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The recent changes.
#[derive(Debug)]
pub(super) struct History {
    recent: RwLock<Recent>,
    announced: watch::Sender<u64>,
    changed: Notify,
    waiting: AtomicUsize,
    followers: Mutex<Followers>,
}

#[derive(Debug)]
struct Recent {
    /// The head before the oldest of `changes`.
    start: Head,
    changes: VecDeque<(Change, Chain)>,
    tally: Tally,
}

/// Changes of each kind that add to what edges hold, of those that this process knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Tokens, sessions and devices.
    pub entries: u64,
    /// Cut-offs.
    pub cut_offs: u64,
}

/// The changes after a sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// These, possibly none.
    Changes(Stretch),
    /// They are not kept any more.
    Forgotten,
    /// There is no such sequence number yet.
    Ahead,
}

/// Changes that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// The history before them.
    pub chain: Chain,
    /// The changes.
    pub changes: Vec<Change>,
    /// The history with them.
    pub chain_through: Chain,
    /// The feed's head when they were looked up.
    pub head: u64,
}

/// Counts as a waiting edge until dropped.
#[derive(Debug)]
pub(super) struct Waiting<'h> {
    history: &'h History,
    after: u64,
    through: u64,
}

impl History {
    /// What a store has kept up to `head`.
    #[must_use]
    pub(super) fn new(head: Head, log: Vec<(u64, Change, Chain)>) -> Self {
        let mut recent = Recent {
            start: head,
            changes: VecDeque::with_capacity(log.len()),
            tally: Tally::default(),
        };
        // The oldest row only gives the chain that the others start from: the chain before its own
        // change is not kept. A log that begins with the very first change has nothing before it.
        let mut rows = log.into_iter().peekable();
        match rows.peek() {
            Some((1, ..)) => recent.start = Head::EMPTY,
            Some((sequence, _, chain)) => {
                recent.start = Head {
                    sequence: *sequence,
                    chain: *chain,
                };
                rows.next();
            }
            None => {}
        }
        for (_, change, chain) in rows {
            recent.tally.count(&change);
            recent.changes.push_back((change, chain));
        }
        Self {
            recent: RwLock::new(recent),
            announced: watch::Sender::new(head.sequence),
            changed: Notify::new(),
            waiting: AtomicUsize::new(0),
            followers: Mutex::default(),
        }
    }

    /// Adds what was committed after a sequence number, without what is there already.
    pub(super) fn extend(&self, after: u64, changes: &[(Change, Chain)]) {
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        let known = recent.head().sequence.saturating_sub(after);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let changes = changes.get(known..).unwrap_or_default();
        if changes.is_empty() {
            return;
        }
        recent.changes.extend(changes);
        for (change, _) in changes {
            recent.tally.count(change);
        }
        while recent.changes.len() > LOG_LENGTH {
            if let Some((_, chain)) = recent.changes.pop_front() {
                recent.start = Head {
                    sequence: recent.start.sequence.saturating_add(1),
                    chain,
                };
            }
        }
        drop(recent);
        self.changed.notify_one();
    }

    /// The head of the feed.
    #[must_use]
    pub(super) fn head(&self) -> Head {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        recent.head()
    }

    /// The head of the feed, and how much has been added by then.
    #[must_use]
    pub(super) fn head_and_tally(&self) -> (Head, Tally) {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        (recent.head(), recent.tally)
    }

    /// How much had been added at a sequence number, if that is not forgotten. Nothing, as far as it is.
    #[must_use]
    pub(super) fn tally_at(&self, sequence: u64) -> Tally {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let skipped = sequence.saturating_sub(recent.start.sequence);
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        let mut since = Tally::default();
        for (change, _) in recent.changes.iter().skip(skipped) {
            since.count(change);
        }
        Tally {
            entries: recent.tally.entries.saturating_sub(since.entries),
            cut_offs: recent.tally.cut_offs.saturating_sub(since.cut_offs),
        }
    }

    /// The oldest sequence number that changes can be given after.
    #[must_use]
    pub(super) fn start(&self) -> u64 {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        recent.start.sequence
    }

    /// The chain at a sequence number, unless it is forgotten or not there yet.
    #[must_use]
    pub(super) fn chain_at(&self, sequence: u64) -> Option<Chain> {
        match self.since(sequence, 0) {
            Since::Changes(changes) => Some(changes.chain),
            Since::Forgotten | Since::Ahead => None,
        }
    }

    /// At most `limit` changes after a sequence number.
    #[must_use]
    pub(super) fn since(&self, after: u64, limit: usize) -> Since {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        let Some(skipped) = after.checked_sub(recent.start.sequence) else {
            return Since::Forgotten;
        };
        let skipped = usize::try_from(skipped).unwrap_or(usize::MAX);
        if skipped > recent.changes.len() {
            return Since::Ahead;
        }
        let changes = recent.changes.range(skipped..);
        let changes: Vec<_> = changes.take(limit).map(|(change, _)| *change).collect();
        Since::Changes(Stretch {
            chain: recent.chain_after(skipped),
            chain_through: recent.chain_after(skipped + changes.len()),
            head: recent.head().sequence,
            changes,
        })
    }

    /// Tells of every sequence number that is announced.
    #[must_use]
    pub(super) fn announcements(&self) -> watch::Receiver<u64> {
        self.announced.subscribe()
    }

    /// Counts an edge that waits for what comes after a sequence number.
    #[must_use]
    pub(super) fn wait(&self, after: u64) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.followers().ask(after);
        Waiting {
            history: self,
            after,
            through: after,
        }
    }

    /// Edges that wait.
    #[must_use]
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn followers(&self) -> MutexGuard<'_, Followers> {
        let followers = self.followers.lock();
        followers.unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the edges that follow are near the head of the feed. Not for long, or the holder
    /// of an edge's credential could make all others wait.
    pub(super) async fn wait_for_edges(&self) {
        let since = Instant::now();
        loop {
            let head = self.head().sequence;
            if self.followers().let_go_on(head, since, Instant::now()) {
                return;
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Announces changes as they come, for ever.
    pub(super) async fn announce(self: Arc<Self>) {
        let mut earliest = Instant::now();
        loop {
            self.changed.notified().await;
            tokio::time::sleep_until(earliest).await;
            let edges = u32::try_from(self.waiting()).unwrap_or(u32::MAX);
            self.announced.send_replace(self.head().sequence);
            let pause = COST_OF_AN_EDGE.saturating_mul(edges).min(LONGEST_PAUSE);
            earliest = Instant::now() + pause;
        }
    }
}

impl Tally {
    const fn count(&mut self, change: &Change) {
        match change {
            Change::Add(_) => self.entries += 1,
            Change::SetCutOff(_) => self.cut_offs += 1,
            Change::Restore(_) | Change::ClearCutOff(_) => {}
        }
    }
}

impl Recent {
    fn head(&self) -> Head {
        let length = self.changes.len();
        Head {
            sequence: self.start.sequence.saturating_add(length as u64),
            chain: self.chain_after(length),
        }
    }

    /// The chain after so many of the changes.
    fn chain_after(&self, count: usize) -> Chain {
        let last = count.checked_sub(1).and_then(|last| self.changes.get(last));
        last.map_or(self.start.chain, |(_, chain)| *chain)
    }
}

impl Waiting<'_> {
    /// The edge is answered with everything up to a sequence number.
    pub(super) fn answered(mut self, through: u64) {
        self.through = through;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.history.waiting.fetch_sub(1, Ordering::Relaxed);
        // An edge that hangs up has not moved, and may be back in a moment.
        let mut followers = self.history.followers();
        followers.answer(self.after, self.through, Instant::now());
    }
}
