//! What edges are told: generations, and what changed since.

use std::sync::{Arc, PoisonError, RwLock};
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
use super::store::{Epoch, GenerationNumber, Keep, LOG_LENGTH, Store, StoreError};
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
}

/// What the feed is made from.
#[derive(Debug)]
pub(super) struct Parts {
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
    current: Option<Arc<Generation>>,
    /// Still served to edges that have begun to fetch it.
    previous: Option<Arc<Generation>>,
}

/// What an edge polls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl Publisher {
    /// Goes on with the epoch in the store, or begins the first one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn open(store: &Store, parts: Parts) -> Result<Self, StoreError> {
        let now = clock::now_milliseconds();
        let epoch = if let Some(epoch) = store.kept::<Epoch>()? {
            epoch
        } else {
            let first = Epoch(now);
            let committed = store.commit(now, |writing| {
                writing.keep(&first)?;
                Ok(first)
            });
            committed?.outcome
        };
        let last = store.kept::<GenerationNumber>()?;
        let state = State {
            epoch: epoch.0,
            last_number: last.map_or(0, |last| last.0),
            current: None,
            previous: None,
        };
        Ok(Self {
            parts,
            state: RwLock::new(state),
            beginning: Mutex::new(None),
            due: Notify::new(),
            published: watch::Sender::new(0),
            unproven: Mutex::new(None),
        })
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
    /// [`WriteError`] when a new epoch should begin and cannot be kept.
    pub(super) async fn poll(
        self: &Arc<Self>,
        poll: Poll,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<PollAnswer, WriteError> {
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
        match self.parts.history.since(poll.after, BATCH_LENGTH) {
            Since::Changes(changes) => {
                let through = poll.after.saturating_add(changes.changes.len() as u64);
                waiting.answered(through);
                Ok(self.batch(poll, changes))
            }
            Since::Forgotten | Since::Ahead => Ok(PollAnswer::Gone),
        }
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
        let epoch = Epoch(poll.epoch).after(clock::now_milliseconds());
        self.parts.writer.write(Keep(epoch)).await?;
        let Epoch(epoch) = epoch;
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
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.epoch = epoch;
        state.current = None;
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
            if !pace.allows(self.urgency(), Instant::now()) {
                continue;
            }
            let started = Instant::now();
            let feed = Arc::clone(&self);
            let built = tokio::task::spawn_blocking(move || feed.build()).await;
            pace.built(Instant::now(), started.elapsed());
            let number = match built {
                Ok(Ok(number)) => number,
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
            // Only keeps numbers increasing when the clock is put back. A full disk is no reason to
            // withhold the generation from edges.
            let _ = self
                .parts
                .writer
                .write(Keep(GenerationNumber(number)))
                .await;
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

    fn build(&self) -> Result<u64, GenerationError> {
        let started = Instant::now();
        let now_milliseconds = clock::now_milliseconds();
        let (epoch, last_number) = {
            let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
            (state.epoch, state.last_number)
        };
        // Read before the index, which is told of every change before the history is.
        let (head, tally) = self.parts.history.head_and_tally();
        let plan = Plan {
            epoch,
            // Not simply one more than the last: after a restored backup that number was given out
            // before, and caches hold its segments for ever.
            number: now_milliseconds.max(last_number.saturating_add(1)),
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
        self.publish(generation, started.elapsed());
        Ok(plan.number)
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
        let number = generation.manifest.generation;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.last_number = number;
        // A generation of an epoch that has ended meanwhile is dropped.
        if state.epoch == generation.manifest.epoch {
            state.previous = state.current.take();
            state.current = Some(Arc::new(generation));
            drop(state);
            self.published.send_replace(number);
        }
    }
}
