//! What edges are told: generations, and what changed since.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::Instant;

use super::clock;
use super::edges::Position;
use super::generation::Generation;
use super::history::History;
use super::index::Index;
use super::metrics::Metrics;
use super::signing::FeedSigner;
use super::store::{Epoch, GenerationNumber, Store, StoreError};
use super::writer::Writer;
use crate::revocation::Signable;

mod building;
mod epochs;
mod pace;
mod polling;

pub(super) use polling::{Poll, PollAnswer, PollError};

/// Builds generations and answers polls.
#[derive(Debug)]
pub(super) struct Publisher {
    parts: Parts,
    state: RwLock<State>,
    /// Held while an epoch begins, so that a thousand edges that are ahead begin one.
    beginning: Mutex<Option<Instant>>,
    due: Notify,
    /// Number of the newest generation, for polls that wait.
    published: watch::Sender<u64>,
    unproven: Mutex<Option<Instant>>,
    is_load_failing: AtomicBool,
}

/// What the feed is made from.
#[derive(Debug)]
pub(super) struct Parts {
    /// Where epoch and generations are kept.
    pub store: Arc<Store>,
    /// What is in force.
    pub index: Arc<Index>,
    /// The changes.
    pub history: Arc<History>,
    /// Signs manifests and batches.
    pub signer: Arc<FeedSigner>,
    /// Keeps epoch and generation in the store.
    pub writer: Writer,
    /// Counts for the operator.
    pub metrics: Arc<Metrics>,
    /// The secret under which names are hashed.
    pub filter_key: crate::revocation::FilterKey,
    /// Bits for each entry of the filter.
    pub bits: u32,
    /// Shortest time between two generations.
    pub interval: Duration,
}

#[derive(Debug)]
struct State {
    epoch: u64,
    last_number: u64,
    /// The last generation that any authority has published.
    published: u64,
    /// The last of them that was loaded, or built, here.
    loaded: u64,
    current: Option<Arc<Generation>>,
    /// Still served to edges that have begun to fetch it.
    previous: Option<Arc<Generation>>,
}

impl State {
    /// Goes over to a later epoch, in which what was built before is of no use.
    fn enter(&mut self, epoch: u64) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.current = None;
        }
    }

    /// The generation that was published and is not here.
    fn wanted(&self) -> Option<u64> {
        (self.published > self.loaded).then_some(self.published)
    }
}

impl Publisher {
    /// Goes on with the epoch in the store, or begins the first one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn open(parts: Parts) -> Result<Self, StoreError> {
        let store = &parts.store;
        let now = clock::now_milliseconds();
        let epoch = if let Some(epoch) = store.kept::<Epoch>()? {
            epoch
        } else {
            let committed = store.commit(now, |writing| {
                // Another authority may start at the same time.
                if let Some(kept) = writing.kept()? {
                    return Ok(kept);
                }
                let first = Epoch(now);
                writing.keep(&first)?;
                Ok(first)
            });
            committed?.outcome
        };
        let last = store.kept::<GenerationNumber>()?;
        let last = last.map_or(0, |last| last.0);
        let state = State {
            epoch: epoch.0,
            last_number: last,
            published: last,
            loaded: 0,
            current: None,
            previous: None,
        };
        let feed = Self {
            parts,
            state: RwLock::new(state),
            beginning: Mutex::new(None),
            due: Notify::new(),
            published: watch::Sender::new(0),
            unproven: Mutex::new(None),
            is_load_failing: AtomicBool::new(false),
        };
        feed.load_published();
        Ok(feed)
    }

    /// Takes what authorities have kept for each other, as far as it has changed: the epoch, the keys, and
    /// which generation is the newest.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing must be answered as if it were known then.
    pub(super) fn take_settings(&self) -> Result<(), StoreError> {
        let store = &self.parts.store;
        if let Some(keys) = store.kept()? {
            self.parts.signer.take(keys);
        }
        // At one instant, since a generation is of an epoch.
        let (epoch, published) = store.kept_together::<Epoch, GenerationNumber>()?;
        let mut state = self.state_mut();
        if let Some(Epoch(epoch)) = epoch {
            state.enter(epoch);
        }
        if let Some(GenerationNumber(number)) = published {
            state.published = number.max(state.published);
        }
        drop(state);
        self.due.notify_one();
        Ok(())
    }

    /// The signed manifest of the newest generation, and its number.
    #[must_use]
    pub(super) fn manifest(&self) -> Option<(u64, Vec<u8>)> {
        let generation = self.current()?;
        let body = generation.manifest.encode();
        let message = self
            .parts
            .signer
            .sign(Signable::Manifest, body, clock::now());
        Some((generation.manifest.generation, message))
    }

    /// A segment of the newest generation or the one before it.
    #[must_use]
    pub(super) fn segment(&self, number: u64, index: usize) -> Option<Bytes> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        [&state.current, &state.previous]
            .into_iter()
            .flatten()
            .find(|generation| generation.manifest.generation == number)
            .and_then(|generation| generation.segments.get(index).cloned())
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest generation.
    #[must_use]
    pub(super) fn current(&self) -> Option<Arc<Generation>> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.current.clone()
    }

    /// The false-positive rate of the filter at edges with the newest generation.
    #[must_use]
    pub(super) fn false_positive_rate(&self) -> f64 {
        let (_, tally) = self.parts.history.head_and_tally();
        let generation = self.current();
        generation.map_or(0.0, |generation| generation.false_positive_rate(tally))
    }

    /// How far the history has come.
    #[must_use]
    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch(),
            sequence: self.parts.history.head().sequence,
        }
    }

    /// The current epoch.
    #[must_use]
    pub(super) fn epoch(&self) -> u64 {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        state.epoch
    }
}
