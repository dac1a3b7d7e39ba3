//! The edges that poll this authority, and waiting for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::{Counts, Edges, Key, Position, Reach, Sight, View};
use crate::sync::TICK;

/// How soon it is looked again whether the edges have a change: at first, most of them have it after some
/// milliseconds. Looking at 10,000 edges takes a millisecond.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What is known of the edges, with the clock.
#[derive(Debug)]
pub(in crate::authority) struct EdgeWatch {
    edges: Mutex<Edges>,
    /// Requests that wait for edges.
    waiting: AtomicUsize,
}

/// Counts as a request that waits until dropped.
struct Waiting<'w>(&'w AtomicUsize);

/// A poll that has not been answered. One that is dropped was given up.
#[derive(Debug)]
pub(in crate::authority) struct Asking<'w> {
    watch: &'w EdgeWatch,
    key: Key,
    through: Option<Position>,
}

impl EdgeWatch {
    /// None yet.
    pub(in crate::authority) fn new() -> Self {
        Self {
            edges: Mutex::new(Edges::new(Instant::now())),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Whether any request waits for edges.
    pub(in crate::authority) fn is_awaited(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    /// The edges that this authority sees, for others.
    pub(in crate::authority) fn said(&self) -> Vec<u8> {
        self.lock().said(Instant::now())
    }

    /// Notes which edges other authorities see: how long ago each has said so, and what.
    pub(in crate::authority) fn hear(&self, others: Vec<(Duration, Vec<u8>)>) {
        self.lock().hear(others, Instant::now());
    }

    /// An edge polls, while the history has come to `head`.
    pub(in crate::authority) fn ask(&self, sight: Sight, head: Position) -> Asking<'_> {
        Asking {
            watch: self,
            key: self.lock().ask(sight, head, Instant::now()),
            through: None,
        }
    }

    /// All that are remembered, those that lack most first.
    pub(in crate::authority) fn views(&self, head: Position) -> Vec<View> {
        self.lock().views(head, Instant::now())
    }

    /// The figures of those that were seen lately.
    pub(in crate::authority) fn counts(&self, head: Position) -> Counts {
        self.lock().counts(head, Instant::now())
    }

    /// Waits until every edge that was seen lately has come to a point of the history, in all of its
    /// workers, but for no longer than `wait`, or until the authority is about to stop. Also says how long
    /// that took.
    ///
    /// A poll shows what the leader of an edge has published. The other workers look for that on every
    /// [`TICK`], so the last edge is given one more.
    pub(in crate::authority) async fn reached(
        &self,
        target: Position,
        wait: Duration,
        mut stopping: watch::Receiver<bool>,
    ) -> (Reach, Duration) {
        let begun = Instant::now();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        let mut pause = FIRST_PAUSE;
        loop {
            let reach = self.lock().reach(target, begun, Instant::now());
            if reach.is_whole() {
                if reach.edges > 0 {
                    tokio::time::sleep(TICK).await;
                }
                return (reach, begun.elapsed());
            }
            let left = wait.saturating_sub(begun.elapsed());
            if left.is_zero() || *stopping.borrow() {
                return (reach, begun.elapsed());
            }
            tokio::select! {
                () = tokio::time::sleep(pause.min(left)) => {}
                _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Edges> {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Asking<'_> {
    /// It is answered with everything up to there.
    pub(in crate::authority) fn answered(mut self, through: Position) {
        self.through = Some(through);
    }
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut edges = self.watch.lock();
        edges.answered(&self.key, self.through, Instant::now());
    }
}
