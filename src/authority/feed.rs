//! What edges are told: generations, and what changed since.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{Mutex, Notify, watch};
use tokio::time::{Instant, MissedTickBehavior};

use super::clock;
use super::edges::Position;
use super::generation::{Generation, GenerationError, Plan};
use super::history::{History, Since, Stretch};
use super::index::Index;
use super::metrics::Metrics;
use super::signing::FeedSigner;
use super::store::{
    BeginEpoch, Epoch, GenerationNumber, LOG_LENGTH, Moment, Publish, Store, StoreError,
};
use super::text::chain_of;
use super::writer::{WriteError, Writer};
use crate::revocation::{Batch, Chain, Evidence, MAX_BATCH_CHANGES, Signable};

mod pace;

use pace::{Pace, Urgency};

/// Changes in one batch: what an edge takes at once.
const BATCH_LENGTH: usize = MAX_BATCH_CHANGES as usize;

/// In a filter with fewer entries, removing expired ones is not worth a new generation.
const SMALL: u64 = 1_000;

const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// After a generation that could not be built.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

/// The most often that edges, however confused, can make new epochs begin.
const EPOCH_PAUSE: Duration = Duration::from_mins(1);

/// How long it may take to hear of what other authorities have committed: many times as long as it takes
/// while the database is well.
const HEARING_LIMIT: Duration = Duration::from_secs(2);

/// How long an answer waits for that which has something to tell in any case.
const SHORT_HEARING_LIMIT: Duration = Duration::from_millis(100);

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

/// What an edge polls for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poll {
    /// The epoch that it knows.
    pub epoch: u64,
    /// The last change that it knows.
    pub after: u64,
    /// The chain up to that change, as it knows it.
    pub chain: Option<Chain>,
    /// Proof that this authority has told it so.
    pub evidence: Option<Evidence>,
    /// The newest generation that it knows of, if it wants to hear of a newer one at once.
    pub generation: Option<u64>,
    /// What makes the answer fresh.
    pub nonce: u64,
    /// When it has asked.
    pub asked: Moment,
    /// How long it waits.
    pub wait: Duration,
}

/// The answer to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PollAnswer {
    /// A signed batch.
    Batch {
        /// As it is sent.
        message: Vec<u8>,
        /// The last change that the edge has with it.
        through: u64,
    },
    /// It has to fetch the whole filter again.
    Gone,
}

/// Why a poll has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PollError {
    /// It is not known what other authorities have committed since the edge has asked.
    #[error("the database cannot be reached")]
    Away,
    /// A new epoch should begin, and cannot be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
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

    /// Loads the newest generation that another authority has published, if this one does not have it.
    /// Where that fails, edges go on with the one before.
    fn load_published(&self) {
        let wanted = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            state.wanted()
        };
        let Some(number) = wanted.filter(|_| self.parts.store.is_shared()) else {
            return;
        };
        let started = Instant::now();
        let loaded = self.parts.store.generation(number);
        let loaded = loaded.map_err(GenerationError::from).and_then(|kept| {
            let kept = kept.ok_or(StoreError::Row)?;
            Generation::of_kept(kept, &self.parts.history)
        });
        match loaded {
            Ok(generation) => {
                tracing::info!(
                    generation = number,
                    entries = generation.manifest.entries,
                    milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "loaded a generation that another authority has built"
                );
                self.is_load_failing.store(false, Ordering::Relaxed);
                self.put_in_use(generation);
            }
            Err(error) if !self.is_load_failing.swap(true, Ordering::Relaxed) => tracing::warn!(
                generation = number,
                error = %chain_of(&error),
                "could not load a generation that another authority has built; it is tried again"
            ),
            Err(_) => {}
        }
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

    /// Waits for changes, and answers without any when none come in time or the authority is
    /// about to stop.
    ///
    /// # Errors
    ///
    /// [`PollError`].
    pub(super) async fn poll(
        self: &Arc<Self>,
        poll: Poll,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<PollAnswer, PollError> {
        let store = &self.parts.store;
        if !self.catches_up(poll).await {
            return Err(PollError::Away);
        }
        if self.claims_more(poll) {
            if self.is_shown(poll) {
                // Runs to its end even when the edge hangs up, so that the epoch in the store is
                // the one in force.
                let begun = tokio::spawn(Arc::clone(self).begin_epoch(poll)).await;
                begun.unwrap_or(Err(WriteError::Unavailable))?;
            } else {
                self.note_unproven(poll).await;
            }
            return Ok(PollAnswer::Gone);
        }
        if poll.epoch != self.epoch() {
            return Ok(PollAnswer::Gone);
        }
        let mut announcements = self.parts.history.announcements();
        let mut published = self.published.subscribe();
        let known = poll.generation.unwrap_or(u64::MAX);
        let waiting = self.parts.history.wait(poll.after);
        let is_new = announcements.wait_for(|announced| *announced > poll.after);
        tokio::select! {
            _ = is_new => {}
            _ = published.wait_for(|published| *published > known) => {}
            () = tokio::time::sleep(poll.wait) => {}
            _ = stopping.wait_for(|is_stopping| *is_stopping) => {}
        }
        let has_news = self.parts.history.head().sequence > poll.after;
        let limit = if has_news {
            SHORT_HEARING_LIMIT
        } else {
            HEARING_LIMIT
        };
        // To an edge, a batch with the last change means that there was no other when it asked.
        let is_fresh = store.has_seen(poll.asked, limit).await;
        match self.parts.history.since(poll.after, BATCH_LENGTH) {
            Since::Changes(changes) if !is_fresh && changes.changes.is_empty() => {
                Err(PollError::Away)
            }
            Since::Changes(mut changes) => {
                let through = poll.after.saturating_add(changes.changes.len() as u64);
                if !is_fresh {
                    // As far as this authority can tell, there may be another one.
                    changes.head = changes.head.saturating_add(1);
                }
                waiting.answered(through);
                Ok(self.batch(poll, changes))
            }
            Since::Forgotten | Since::Ahead => Ok(PollAnswer::Gone),
        }
    }

    /// Waits for what another authority may have told the edge, and this one has not heard of yet. Says whether
    /// it has come.
    pub(super) async fn catches_up(&self, poll: Poll) -> bool {
        let store = &self.parts.store;
        !self.knows_other(poll) || store.has_seen(poll.asked, HEARING_LIMIT).await
    }

    /// Whether the edge is elsewhere than this authority knows anything of.
    fn knows_other(&self, poll: Poll) -> bool {
        poll.epoch != self.epoch() || self.claims_more(poll)
    }

    fn batch(&self, poll: Poll, found: Stretch) -> PollAnswer {
        let generation = self.current();
        let through = poll.after.saturating_add(found.changes.len() as u64);
        let statement = Evidence::statement(poll.epoch, through, found.chain_through);
        let signer = &self.parts.signer;
        let evidence = Evidence::of_signed(&signer.sign(Signable::Head, statement, clock::now()));
        let Some(evidence) = evidence else {
            // Cannot happen: a signed message is at least as long as a signature.
            return PollAnswer::Gone;
        };
        let batch = Batch {
            nonce: poll.nonce,
            time: clock::now_milliseconds(),
            epoch: poll.epoch,
            generation: generation.map_or(0, |generation| generation.manifest.generation),
            head: found.head,
            after: poll.after,
            chain: found.chain,
            changes: found.changes,
            evidence,
        };
        let message = signer.sign(Signable::Batch, batch.encode(), clock::now());
        PollAnswer::Batch { message, through }
    }

    /// Whether the edge says that it knows changes which this store does not: a later one, other
    /// ones under the same numbers, or a later epoch, which began after the backup that was
    /// restored.
    ///
    /// Then the store was put back to an earlier state. Sequence numbers are given out a second
    /// time for other changes, so a new epoch has to tell them apart.
    fn claims_more(&self, poll: Poll) -> bool {
        let epoch = self.epoch();
        let is_later_epoch = poll.epoch > epoch;
        let history = &self.parts.history;
        let is_later_change = poll.after > history.head().sequence;
        let is_other_history = poll
            .chain
            .zip(history.chain_at(poll.after))
            .is_some_and(|(known, own)| known != own);
        is_later_epoch || poll.epoch == epoch && (is_later_change || is_other_history)
    }

    /// Whether one of this authority's published keys, even one that no longer signs, has signed
    /// the position that the edge claims. Otherwise any holder of a credential could claim
    /// anything, and make every edge load the whole filter again.
    fn is_shown(&self, poll: Poll) -> bool {
        let keys = self.parts.signer.public_keys(clock::now());
        let shown = poll.evidence.zip(poll.chain);
        shown.is_some_and(|(evidence, chain)| evidence.holds(poll.epoch, poll.after, chain, &keys))
    }

    /// Logs now and then that an edge claims a position without proof. A store restored from a
    /// backup older than a key rotation does not know the key that would prove it.
    async fn note_unproven(&self, poll: Poll) {
        let mut last = self.unproven.lock().await;
        if last.is_some_and(|last| last.elapsed() < EPOCH_PAUSE) {
            return;
        }
        *last = Some(Instant::now());
        tracing::warn!(
            edge_epoch = poll.epoch,
            edge_sequence = poll.after,
            epoch = self.epoch(),
            sequence = self.parts.history.head().sequence,
            "an edge claims to know revocations that this store does not, and shows nothing that a \
             key of this store has signed; no epoch begins. If the store was restored from a backup \
             that is older than the key in use, Envoys have to be restarted to follow it"
        );
    }

    async fn begin_epoch(self: Arc<Self>, poll: Poll) -> Result<(), WriteError> {
        let mut last = self.beginning.lock().await;
        let is_recent = last.is_some_and(|last| last.elapsed() < EPOCH_PAUSE);
        if is_recent || !self.claims_more(poll) {
            return Ok(());
        }
        let next = Epoch(poll.epoch).after(clock::now_milliseconds());
        let known = Epoch(self.epoch());
        let begun = self.parts.writer.write(BeginEpoch { known, next }).await?;
        let Epoch(epoch) = begun;
        if begun != next {
            // Another authority was first.
            let mut state = self.state_mut();
            state.enter(epoch);
            return Ok(());
        }
        *last = Some(Instant::now());
        drop(last);
        tracing::error!(
            edge_sequence = poll.after,
            sequence = self.parts.history.head().sequence,
            old_epoch = poll.epoch,
            new_epoch = epoch,
            "an edge knows revocations that this store does not: it was restored from an older \
             backup, and what was revoked since has to be revoked again; a new epoch begins"
        );
        self.parts.metrics.epoch_began();
        let mut state = self.state_mut();
        state.enter(epoch);
        drop(state);
        self.due.notify_one();
        Ok(())
    }

    /// Builds generations when they are due, for ever.
    pub(super) async fn maintain(self: Arc<Self>) {
        let mut ticks = tokio::time::interval(CHECK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut pace = Pace::new(self.parts.interval);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = self.due.notified() => {}
            }
            let feed = Arc::clone(&self);
            let loaded = tokio::task::spawn_blocking(move || feed.load_published()).await;
            if loaded.is_err() || !self.parts.store.is_keeper() {
                continue;
            }
            if !pace.allows(self.urgency(), Instant::now()) {
                continue;
            }
            let started = Instant::now();
            let feed = Arc::clone(&self);
            let built = tokio::task::spawn_blocking(move || feed.build()).await;
            pace.built(Instant::now(), started.elapsed());
            let generation = match built {
                Ok(Ok(generation)) => generation,
                Ok(Err(error)) => {
                    self.parts.metrics.generation_failed();
                    tracing::error!(
                        error = %chain_of(&error),
                        "the new generation is not published; edges go on with the old one"
                    );
                    tokio::time::sleep(FAILURE_PAUSE).await;
                    continue;
                }
                Err(error) => {
                    tracing::error!(%error, "building a generation was aborted");
                    tokio::time::sleep(FAILURE_PAUSE).await;
                    continue;
                }
            };
            // In a store that no other authority has, this only keeps numbers increasing when the clock is
            // put back, and a full disk is no reason to withhold the generation from edges.
            let number = GenerationNumber(generation.manifest.generation);
            let told = self.parts.writer.write(Publish(number)).await;
            if told.is_err() && self.parts.store.is_shared() {
                tokio::time::sleep(FAILURE_PAUSE).await;
                continue;
            }
            self.publish(generation, started.elapsed());
        }
    }

    fn urgency(&self) -> Urgency {
        let Some(generation) = self.current() else {
            return Urgency::Now;
        };
        let manifest = &generation.manifest;
        if manifest.sequence < self.parts.history.start() {
            return Urgency::Overtaken;
        }
        let (head, tally) = self.parts.history.head_and_tally();
        let changes = head.sequence.saturating_sub(manifest.sequence);
        let inserted = generation.entries(tally);
        let in_force = self.parts.index.entry_count();
        let is_stale = inserted > SMALL && in_force < inserted / 4 * 3;
        if generation.is_crowded(tally) {
            Urgency::Crowded
        } else if generation.is_full(tally) || is_stale || changes > LOG_LENGTH as u64 / 2 {
            Urgency::Due
        } else {
            Urgency::None
        }
    }

    fn build(&self) -> Result<Generation, GenerationError> {
        let now_milliseconds = clock::now_milliseconds();
        let (epoch, last_number, published) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.epoch, state.last_number, state.published)
        };
        // Read before the index, which is told of every change before the history is.
        let (head, tally) = self.parts.history.head_and_tally();
        // Not simply one more than the last: after a restored backup that number was given out
        // before, and caches hold its segments for ever.
        let number = now_milliseconds.max(last_number.saturating_add(1));
        // Also where this one comes to nothing: something of it may have been written.
        self.state_mut().last_number = number;
        let plan = Plan {
            epoch,
            number,
            head,
            tally,
            bits: self.parts.bits,
            filter_key: self.parts.filter_key,
            now_milliseconds,
        };
        let generation = Generation::build(&self.parts.index, &plan)?;
        let body = generation.manifest.encode();
        let message = self
            .parts
            .signer
            .sign(Signable::Manifest, body, clock::now());
        let keys = self.parts.signer.public_keys(clock::now());
        let (index, history) = (&self.parts.index, &self.parts.history);
        generation.read_back(&message, &keys, index, history, clock::now())?;
        if self.parts.store.is_shared() {
            self.parts
                .store
                .put_generation(&generation.kept(published))?;
        }
        Ok(generation)
    }

    fn publish(&self, generation: Generation, took: Duration) {
        tracing::info!(
            generation = generation.manifest.generation,
            entries = generation.manifest.entries,
            pages = generation.manifest.page_count,
            segments = generation.segments.len(),
            sequence = generation.manifest.sequence,
            milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "published a generation"
        );
        self.parts.metrics.generation_published(took);
        self.put_in_use(generation);
    }

    fn put_in_use(&self, generation: Generation) {
        let number = generation.manifest.generation;
        let mut state = self.state_mut();
        state.last_number = number.max(state.last_number);
        state.published = number.max(state.published);
        if generation.manifest.epoch <= state.epoch {
            state.loaded = number.max(state.loaded);
        }
        // A generation of an epoch that has ended meanwhile is dropped.
        if state.epoch == generation.manifest.epoch {
            state.previous = state.current.take();
            state.current = Some(Arc::new(generation));
            drop(state);
            self.published.send_replace(number);
        }
    }
}
