//! The long poll: receiving changes, and applying them to the current state.

use std::time::Duration;

use super::calls::{Asked, Refusal};
use super::lead::Scope;
use super::loading::LoadJob;
use super::remarks::Work;
use crate::host::{BackgroundHost, CallId, CallOutcome, Expected};
use crate::revocation::{Batch, FeedState};
use crate::sync::announcement::Begun;
use crate::sync::line::Line;
use crate::sync::loader::LoadError;
use crate::sync::mark::{Mark, fresher};

/// The shortest time between empty answers, whatever the authority does.
const SHORTEST_POLL: Duration = Duration::from_millis(500);

/// Keeps a call open that changes arrive by.
#[derive(Debug, Default)]
pub(super) struct Poller {
    line: Line<Asked>,
    mark: Mark,
    /// Whether the authority has answered since this one began to lead.
    has_heard: bool,
}

/// The outcome of writing changes.
enum Written {
    Whole,
    /// Another leader has written the same meanwhile, or is about to.
    Overtaken,
}

impl Poller {
    /// For a new leader, of a feed that was last heard then.
    pub(super) fn begin(heard_at: u64) -> Self {
        Self {
            line: Line::well_at(heard_at),
            ..Self::default()
        }
    }

    /// Starts over with a generation that was just loaded.
    pub(super) fn begin_anew(&mut self) {
        self.line = Line::default();
        self.has_heard = true;
    }

    /// Gives up a call whose end the host has never reported.
    pub(super) fn give_up(&mut self, host: &impl BackgroundHost, after: Duration) -> bool {
        self.line.give_up(host, after)
    }

    /// The call with this id, if it is the one under way, which has ended.
    pub(super) fn take(&mut self, id: CallId) -> Option<Asked> {
        self.line.take(id)
    }

    /// Makes the next call when it is due.
    pub(super) fn advance(
        &mut self,
        scope: &mut Scope<'_, impl BackgroundHost>,
        newest: Option<u64>,
    ) {
        if !self.line.is_free(scope.now()) {
            return;
        }
        let Some((state, _)) = scope.state() else {
            return;
        };
        // A new leader polls without waiting for changes: its predecessors may each have died in
        // the middle of a poll, while the feed grew stale. The same after a failure.
        let wait = if self.has_heard && self.line.is_well() {
            scope.source.heartbeat
        } else {
            Duration::ZERO
        };
        let asked = Asked::now(scope.host, wait);
        let introduction = scope.introduction(Some(state.generation));
        let call = scope
            .source
            .changes_call(&state, newest, asked, &introduction);
        if let Err(reason) = self.line.start(scope.host, &call, asked) {
            scope.on_not_sent(Work::Poll, reason);
        }
    }

    pub(super) fn on_answer(
        &mut self,
        scope: &mut Scope<'_, impl BackgroundHost>,
        load: &mut LoadJob,
        asked: Asked,
        outcome: &CallOutcome,
    ) {
        match outcome {
            CallOutcome::Answered {
                status: 200, body, ..
            } => match self.apply(scope, load, asked, body) {
                Ok(changes) => {
                    self.line.succeed(scope.host);
                    self.has_heard = true;
                    scope.report.went_well();
                    scope.settle(Work::Poll);
                    if changes == 0 && asked.wait == scope.source.heartbeat {
                        self.line.rest(SHORTEST_POLL);
                    }
                }
                Err(refusal) => self.refuse(scope, load, &refusal),
            },
            // The changes after our sequence number are no longer kept, or the history is another
            // one.
            CallOutcome::Answered { status: 410, .. } => {
                load.request(scope.now(), Duration::ZERO);
                self.line.fail(scope.host);
            }
            _ => {
                scope.on_no_use(Work::Poll, outcome);
                self.line.fail(scope.host);
            }
        }
    }

    /// Applies a batch to the current state and returns the number of changes.
    fn apply(
        &mut self,
        scope: &mut Scope<'_, impl BackgroundHost>,
        load: &mut LoadJob,
        asked: Asked,
        body: &[u8],
    ) -> Result<usize, Refusal> {
        let (batch, signer) = scope.source.batch(asked, body)?;
        let Some((state, version)) = scope.state() else {
            return Ok(0);
        };
        if batch.epoch == state.epoch && batch.after < state.sequence {
            // Another leader was faster. What it has not applied either is polled for next.
            return Ok(0);
        }
        if (batch.epoch, batch.after, batch.chain) != (state.epoch, state.sequence, state.chain) {
            return Err(Refusal::Discontinuous);
        }
        let begun = Begun::read(scope.host, scope.filter(), &state);
        if begun.is_lost_by(&batch) {
            return Err(Refusal::Lost);
        }
        let mut next = FeedState {
            sequence: batch.through(),
            chain: batch.chain_through(),
            evidence: batch.evidence,
            batch_signer: signer,
            ..state.clone()
        };
        if batch.changes.is_empty() {
            scope.report.counts.heartbeats += 1;
        } else {
            // Wrapping, since the count comes from shared data; a count that decreases empties
            // caches.
            next.batches = next.batches.wrapping_add(1);
            let written = write(scope, (&state, version), &begun, &next, &batch)?;
            if matches!(written, Written::Overtaken) {
                return Ok(0);
            }
            scope.report.counts.batches += 1;
            scope.report.counts.changes += batch.changes.len() as u64;
        }
        load.on_news(scope, &state, &batch);
        let found = self.mark.reached(&batch, asked.sent);
        next.verified_at = fresher(state.verified_at, found, scope.now());
        // If another leader was at work at the same time, its state stays. The records written here
        // do not contradict it: it has those changes already, or will have them.
        let expected = Expected::Version(version);
        scope.filter().write_state(scope.host, &next, expected);
        // The view adopts it on the next tick, together with what is void in the cache.
        Ok(batch.changes.len())
    }

    fn refuse(
        &mut self,
        scope: &mut Scope<'_, impl BackgroundHost>,
        load: &mut LoadJob,
        refusal: &Refusal,
    ) {
        // A refusal that the pending load will cure does not count against the leader: its
        // successor would have to start the load again.
        let is_being_mended = load.is_requested() && refusal.is_mended_by_loading();
        if !is_being_mended {
            scope.report.trouble.refused(scope.now());
        }
        scope.on_refusal(Work::Poll, refusal);
        if matches!(refusal, Refusal::Discontinuous | Refusal::Lost) {
            load.request(scope.now(), Duration::ZERO);
        }
        self.line.fail(scope.host);
    }
}

/// Announces a batch and applies its changes to the records of the current state, given with its
/// version; `next` is the state after it.
fn write(
    scope: &Scope<'_, impl BackgroundHost>,
    held: (&FeedState, u32),
    begun: &Begun,
    next: &FeedState,
    batch: &Batch,
) -> Result<Written, Refusal> {
    let (filter, (state, version)) = (scope.filter(), held);
    if !begun.announce(scope.host, filter, next, batch) {
        return Ok(Written::Overtaken);
    }
    if scope.state().is_none_or(|(_, now)| now != version) {
        // Another leader has applied it, and once later batches are applied this announcement is no
        // longer read, so nothing may be applied under it.
        return Ok(Written::Overtaken);
    }
    if filter.apply(scope.host, state, batch.after, &batch.changes) {
        return Ok(Written::Whole);
    }
    if scope.state().is_some_and(|(_, now)| now != version) {
        // The state was replaced meanwhile, and its records with it.
        return Ok(Written::Overtaken);
    }
    filter.report_damage(scope.host, state);
    Err(LoadError::Gone.into())
}
