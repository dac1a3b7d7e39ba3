//! What an edge is told that polls.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Publisher;
use crate::authority::clock;
use crate::authority::history::{Since, Stretch};
use crate::authority::store::Moment;
use crate::authority::writer::WriteError;
use crate::revocation::{Batch, Chain, Evidence, MAX_BATCH_CHANGES, Signable};

/// Changes in one batch: what an edge takes at once.
const BATCH_LENGTH: usize = MAX_BATCH_CHANGES as usize;

/// How long it may take to hear of what other authorities have committed: many times as long as it takes
/// while the database is well.
const HEARING_LIMIT: Duration = Duration::from_secs(2);

/// How long an answer waits for that which has something to tell in any case.
const SHORT_HEARING_LIMIT: Duration = Duration::from_millis(100);

/// What an edge polls for.
#[derive(Clone, Copy, Debug)]
pub(in crate::authority) struct Poll {
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

/// A poll for which this authority has caught up with what others may have told the edge:
/// [`Publisher::catch_up`] makes it of a [`Poll`].
#[derive(Clone, Copy, Debug)]
pub(in crate::authority) struct Heard(Poll);

/// The answer to a poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) enum PollAnswer {
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
pub(in crate::authority) enum PollError {
    /// It is not known what other authorities have committed since the edge has asked.
    #[error("the database cannot be reached")]
    Away,
    /// A new epoch should begin, and cannot be kept.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl Publisher {
    /// Waits for what another authority may have told the edge, and this one has not heard of yet.
    ///
    /// # Errors
    ///
    /// [`PollError::Away`] when it does not come.
    pub(in crate::authority) async fn catch_up(&self, poll: Poll) -> Result<Heard, PollError> {
        let store = &self.parts.store;
        if self.knows_other(poll) && !store.has_seen(poll.asked, HEARING_LIMIT).await {
            return Err(PollError::Away);
        }
        Ok(Heard(poll))
    }

    /// Waits for changes, and answers without any when none come in time or the authority is
    /// about to stop.
    ///
    /// # Errors
    ///
    /// [`PollError`].
    pub(in crate::authority) async fn poll(
        self: &Arc<Self>,
        Heard(poll): Heard,
        mut stopping: watch::Receiver<bool>,
    ) -> Result<PollAnswer, PollError> {
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
        let is_fresh = self.parts.store.has_seen(poll.asked, limit).await;
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
}
