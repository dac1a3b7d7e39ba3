//! Edges that know more than the store, which was put back to an earlier state then.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Poll, Publisher};
use crate::authority::clock;
use crate::authority::store::{BeginEpoch, Epoch};
use crate::authority::writer::WriteError;

/// The most often that edges, however confused, can make new epochs begin.
const EPOCH_PAUSE: Duration = Duration::from_mins(1);

impl Publisher {
    /// Whether the edge says that it knows changes which this store does not: a later one, other
    /// ones under the same numbers, or a later epoch, which began after the backup that was
    /// restored.
    ///
    /// Then the store was put back to an earlier state. Sequence numbers are given out a second
    /// time for other changes, so a new epoch has to tell them apart.
    pub(super) fn claims_more(&self, poll: Poll) -> bool {
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
    pub(super) fn is_shown(&self, poll: Poll) -> bool {
        let keys = self.parts.signer.public_keys(clock::now());
        let shown = poll.evidence.zip(poll.chain);
        shown.is_some_and(|(evidence, chain)| evidence.holds(poll.epoch, poll.after, chain, &keys))
    }

    /// Logs now and then that an edge claims a position without proof. A store restored from a
    /// backup older than a key rotation does not know the key that would prove it.
    pub(super) async fn note_unproven(&self, poll: Poll) {
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

    /// Begins a new epoch, unless another one has begun meanwhile.
    ///
    /// # Errors
    ///
    /// [`WriteError`] when it cannot be kept.
    pub(super) async fn begin_epoch(self: Arc<Self>, poll: Poll) -> Result<(), WriteError> {
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
}
