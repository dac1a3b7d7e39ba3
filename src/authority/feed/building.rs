//! Building generations, and loading those that another authority has built.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use super::Publisher;
use super::pace::{Pace, Urgency};
use crate::authority::clock;
use crate::authority::generation::{Generation, GenerationError, Plan};
use crate::authority::store::{GenerationNumber, LOG_LENGTH, Publish, StoreError};
use crate::authority::text::chain_of;
use crate::revocation::Signable;

/// In a filter with fewer entries, removing expired ones is not worth a new generation.
const SMALL: u64 = 1_000;

const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// After a generation that could not be built.
const FAILURE_PAUSE: Duration = Duration::from_secs(5);

impl Publisher {
    /// Loads the newest generation that another authority has published, if this one does not have it.
    /// Where that fails, edges go on with the one before.
    pub(super) fn load_published(&self) {
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

    /// Builds generations when they are due, for ever.
    pub(in crate::authority) async fn maintain(self: Arc<Self>) {
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
