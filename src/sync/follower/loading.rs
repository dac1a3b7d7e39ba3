//! Loading a generation: which call comes next, and the switch at the end.

use std::time::Duration;

use super::calls::{Asked, Refusal};
use super::lead::Scope;
use super::remarks::Work;
use crate::host::{BackgroundHost, Call, CallId, CallOutcome};
use crate::revocation::{Batch, FeedState, Manifest};
use crate::sync::announcement::{Begun, UNACCOUNTED};
use crate::sync::claim::Claim;
use crate::sync::line::Line;
use crate::sync::loader::{LoadError, Loader, Need};
use crate::sync::mark::fresher;
use crate::time::{Interval, milliseconds};

/// If records are missing again right after a load, the next load waits this long: otherwise a
/// plugin that keeps overwriting them would make the leader fetch the whole filter over and over.
/// Meanwhile the authority is asked about every token.
pub(super) const REPAIR_PAUSE: Duration = Duration::from_secs(3);

/// The longest random delay before a generation that replaces a crowded one is loaded.
const CROWDED_JITTER: Duration = Duration::from_secs(1);

/// Loads a generation when one is asked for.
#[derive(Debug)]
pub(super) struct LoadJob {
    line: Line<Step>,
    loader: Option<Loader>,
    /// Set when a generation has to be loaded, to the pause before that.
    pub(super) pause: Option<Interval>,
    /// The newest generation that the authority has announced.
    newest: Option<u64>,
    /// How long missing records are not loaded again.
    repair_pause: Interval,
}

/// The purpose of the call in flight.
#[derive(Debug)]
pub(super) enum Step {
    Manifest,
    Segment,
    Changes(Asked),
}

/// Which leader has put another generation in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Switch {
    /// This leader.
    Own,
    /// Another one, which has taken over this load.
    Foreign,
}

impl LoadJob {
    /// For a new leader, of a feed that was last heard then.
    pub(super) fn begin(heard_at: u64) -> Self {
        Self {
            line: Line::well_at(heard_at),
            loader: None,
            pause: None,
            newest: None,
            repair_pause: Interval::default(),
        }
    }

    /// The newest generation that the authority has announced.
    pub(super) const fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Whether a generation has to be loaded, now or after a pause.
    pub(super) const fn is_requested(&self) -> bool {
        self.pause.is_some()
    }

    /// Whether a generation is being loaded.
    pub(super) const fn is_under_way(&self) -> bool {
        self.loader.is_some()
    }

    /// Requests a load after this delay, or sooner if one was requested already.
    pub(super) fn request(&mut self, now: u64, delay: Duration) {
        let known = self.pause.map(|pause| pause.remaining(now));
        if known.is_none_or(|known| delay < known) {
            self.pause = Some(Interval::new(now, delay));
        }
    }

    /// Requests that the generation is loaded again because records are missing.
    pub(super) fn repair(&mut self, now: u64) {
        self.request(now, self.repair_pause.remaining(now));
    }

    /// Notes which generation the authority has. Loading a newer one can wait, so that a thousand
    /// edges do not all load it at once; it waits for less if the current one is crowded.
    pub(super) fn on_news(
        &mut self,
        scope: &Scope<'_, impl BackgroundHost>,
        held: &FeedState,
        batch: &Batch,
    ) {
        self.newest = Some(batch.generation);
        if !held.is_older_than(batch.epoch, batch.generation) {
            return;
        }
        let (host, now) = (scope.host, scope.now());
        let jitter =
            |longest: Duration| Duration::from_millis(host.random() % milliseconds(longest).max(1));
        let longest = scope.source.reload_jitter;
        let known = self.pause.map(|pause| pause.remaining(now));
        if known.is_none() {
            self.request(now, jitter(longest));
        }
        let is_late = known.is_none_or(|known| known > CROWDED_JITTER);
        if is_late
            && let Some(fill) = scope.filter().fill(host, held, host.random())
            && fill.is_crowded()
        {
            self.request(now, jitter(longest.min(CROWDED_JITTER)));
        }
    }

    /// Gives up a call whose end the host has never reported.
    pub(super) fn give_up(&mut self, host: &impl BackgroundHost, after: Duration) -> bool {
        let is_given_up = self.line.give_up(host, after);
        if is_given_up {
            self.loader = None;
        }
        is_given_up
    }

    /// The purpose of the call with this id, if it is the one in flight, which has ended.
    pub(super) fn take(&mut self, id: CallId) -> Option<Step> {
        self.line.take(id)
    }

    /// Continues the load, as far as that needs no answer.
    pub(super) fn advance(&mut self, scope: &mut Scope<'_, impl BackgroundHost>) -> Option<Switch> {
        if !self.line.is_free(scope.now()) {
            return None;
        }
        if self.loader.is_none() {
            if self.pause.is_some_and(|pause| pause.is_over(scope.now())) {
                let call = scope.source.manifest_call();
                self.start(scope, &call, Step::Manifest);
            }
            return None;
        }
        if self.is_superseded(scope) {
            return Some(self.leave_to_others(scope));
        }
        while let Some(loader) = &mut self.loader {
            match loader.need() {
                Need::Step => {
                    let step = loader.step(scope.host, scope.filter());
                    if let Err(error) = step {
                        self.refuse(scope, &error.into());
                        return None;
                    }
                    if loader.need() == Need::Step {
                        // The rest on the next tick.
                        return None;
                    }
                }
                Need::Segment(index) => {
                    let generation = loader.state().generation;
                    let call = scope.source.segment_call(generation, index);
                    self.start(scope, &call, Step::Segment);
                    return None;
                }
                Need::Changes => {
                    let asked = Asked::now(scope.host, Duration::ZERO);
                    let state = loader.state();
                    // What is asked for is not in use yet.
                    let introduction = scope.introduction(None);
                    let call = scope
                        .source
                        .changes_call(state, self.newest, asked, &introduction);
                    self.start(scope, &call, Step::Changes(asked));
                    return None;
                }
            }
        }
        None
    }

    fn start(&mut self, scope: &mut Scope<'_, impl BackgroundHost>, call: &Call, step: Step) {
        if let Err(reason) = self.line.start(scope.host, call, step) {
            scope.on_not_sent(Work::Load, reason);
        }
    }

    pub(super) fn on_answer(
        &mut self,
        scope: &mut Scope<'_, impl BackgroundHost>,
        step: &Step,
        outcome: &CallOutcome,
    ) -> Option<Switch> {
        let CallOutcome::Answered {
            status: 200, body, ..
        } = outcome
        else {
            scope.on_no_use(Work::Load, outcome);
            self.abandon(scope.host);
            return None;
        };
        // A worker may have been paused for long before it handles an answer.
        if self.is_superseded(scope) {
            return Some(self.leave_to_others(scope));
        }
        let switch = match self.take_in(scope, step, body) {
            Ok(switch) => switch,
            Err(refusal) => {
                self.refuse(scope, &refusal);
                return None;
            }
        };
        if matches!(step, Step::Manifest | Step::Segment) {
            scope.report.trouble.went_on();
        }
        // The pauses shrink only when a generation is complete: a good manifest alone proves
        // nothing.
        self.line.go_on();
        if self.pause.is_some() {
            return self.advance(scope);
        }
        switch
    }

    /// Whether another leader has published a generation since: a newer one, or one in the loader's
    /// slot, whose records further writes would damage.
    fn is_superseded(&self, scope: &Scope<'_, impl BackgroundHost>) -> bool {
        self.loader.as_ref().is_some_and(|loader| {
            let held = scope.state();
            held.is_some_and(|(held, _)| supersedes(scope, &held, loader.state()))
        })
    }

    fn refuse(&mut self, scope: &mut Scope<'_, impl BackgroundHost>, refusal: &Refusal) {
        scope.report.trouble.refused(scope.now());
        scope.on_refusal(Work::Load, refusal);
        if matches!(refusal, Refusal::Lagging) {
            // What is loaded is good, and the load continues when the authority has caught up.
            self.line.fail(scope.host);
        } else {
            self.abandon(scope.host);
        }
    }

    /// Gives up the load because another leader has done it, which is not a fault.
    fn leave_to_others(&mut self, scope: &mut Scope<'_, impl BackgroundHost>) -> Switch {
        self.loader = None;
        self.line.succeed(scope.host);
        scope.settle(Work::Load);
        self.pause = None;
        Switch::Foreign
    }

    fn abandon(&mut self, host: &impl BackgroundHost) {
        self.loader = None;
        self.line.fail(host);
    }

    fn take_in(
        &mut self,
        scope: &mut Scope<'_, impl BackgroundHost>,
        step: &Step,
        body: &[u8],
    ) -> Result<Option<Switch>, Refusal> {
        match step {
            Step::Manifest => {
                self.loader = Some(begin(scope, body)?);
                Ok(None)
            }
            Step::Segment => {
                if let Some(loader) = &mut self.loader {
                    loader.on_segment(scope.host, scope.filter(), body)?;
                }
                Ok(None)
            }
            Step::Changes(asked) => {
                let (batch, signer) = scope.source.batch(*asked, body)?;
                let Some(loader) = &mut self.loader else {
                    return Ok(None);
                };
                loader.on_changes(scope.host, scope.filter(), &batch, asked.sent)?;
                loader.note_signer(signer);
                let switch = loader.is_whole().then(|| self.publish(scope)).flatten();
                // The current state is ahead.
                if self.loader.is_some() && batch.changes.is_empty() {
                    return Err(Refusal::Lagging);
                }
                Ok(switch)
            }
        }
    }

    /// Switches to the loaded generation, by one write. The current state may be ahead of it by
    /// now; then a few more changes are fetched first.
    fn publish(&mut self, scope: &mut Scope<'_, impl BackgroundHost>) -> Option<Switch> {
        let loader = self.loader.take()?;
        let mut next = loader.state().clone();
        let (found, expected) = scope.filter().found_state(scope.host);
        if let Some(found) = &found
            && supersedes(scope, found, &next)
        {
            return Some(self.leave_to_others(scope));
        }
        // The position of the state that is there counts only if our keys vouch for it.
        let held = scope.source.trusted(found.as_ref());
        let is_behind =
            |held: &FeedState| held.epoch == next.epoch && held.sequence > next.sequence;
        if held.is_some_and(is_behind) {
            self.loader = Some(loader);
            return None;
        }
        let known = held.filter(|held| held.epoch == next.epoch);
        let known = known.map_or(0, |held| held.verified_at);
        next.verified_at = fresher(known, Some(next.verified_at), scope.now());
        next.batches = batches_after(scope, found.as_ref(), held, &next);
        self.line.succeed(scope.host);
        if !scope.filter().write_state(scope.host, &next, expected) {
            return None;
        }
        scope.report.counts.generations += 1;
        self.repair_pause = Interval::new(scope.now(), REPAIR_PAUSE);
        self.pause = None;
        scope.report.went_well();
        scope.settle(Work::Load);
        scope.host.info(&format!(
            "revocation feed: generation {} of epoch {} is in force, sequence {}",
            next.generation, next.epoch, next.sequence
        ));
        Some(Switch::Own)
    }
}

/// Begins to load the generation with this manifest, in the slot that is not in use.
fn begin(scope: &Scope<'_, impl BackgroundHost>, body: &[u8]) -> Result<Loader, Refusal> {
    let (manifest, signer) = Manifest::decode_signed(body, &scope.source.keys)?;
    let held = scope.state().map(|(held, _)| held);
    let is_older =
        |held: &FeedState| (manifest.epoch, manifest.generation) < (held.epoch, held.generation);
    if scope.source.trusted(held.as_ref()).is_some_and(is_older) {
        return Err(Refusal::Replayed);
    }
    let slot = held.map_or(0, |held| 1 - held.slot.min(1));
    // If two leaders claim it at once, both try again later.
    let claim = Claim::take(scope.host, scope.filter().space(), &manifest.digest(), slot);
    let claim = claim.map_err(LoadError::from)?;
    Ok(Loader::new(manifest, slot, claim).signed_by(signer))
}

/// Whether the current state uses the slot of a generation that is being loaded.
fn supersedes(scope: &Scope<'_, impl BackgroundHost>, held: &FeedState, next: &FeedState) -> bool {
    let is_newer = |held: &FeedState| next.is_older_than(held.epoch, held.generation);
    held.slot == next.slot || scope.source.trusted(Some(held)).is_some_and(is_newer)
}

/// The count of batches for a generation that replaces the state that was found. Other virtual
/// machines compare it with the count that was found, under whatever key; `held` is that state if
/// our keys vouch for it.
///
/// Caches are emptied, unless only the slot is new. Records of the old generation may have been
/// missing; then no answers came from them either. They may have had changes that come later, or
/// never.
fn batches_after(
    scope: &Scope<'_, impl BackgroundHost>,
    found: Option<&FeedState>,
    held: Option<&FeedState>,
    next: &FeedState,
) -> u64 {
    let is_same = held.is_some_and(|held| {
        (held.epoch, held.sequence, held.chain, held.filter_key)
            == (next.epoch, next.sequence, next.chain, next.filter_key)
            && !Begun::read(scope.host, scope.filter(), held).is_any()
    });
    let batches = found.map_or(0, |found| found.batches);
    if is_same {
        batches
    } else {
        batches.wrapping_add(UNACCOUNTED)
    }
}
