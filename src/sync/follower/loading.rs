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

/// Records that are found missing as soon as they are loaded are not loaded again sooner than this:
/// a plugin that writes over them all the time would have the whole filter fetched all the time.
/// Meanwhile the authority is asked about every token.
pub(super) const REPAIR_PAUSE: Duration = Duration::from_secs(3);

/// Most of the delay before a generation is loaded that replaces a crowded one.
const CROWDED_JITTER: Duration = Duration::from_secs(1);

/// Loads a generation when one is asked for.
#[derive(Debug)]
pub(super) struct LoadJob {
    line: Line<Step>,
    loader: Option<Loader>,
    /// Set when a generation has to be loaded, to what is waited for before that.
    pub(super) pause: Option<Interval>,
    /// The newest generation that the authority has told of.
    newest: Option<u64>,
    /// For how long records that are missing are not loaded again.
    repair_pause: Interval,
}

/// What the call that is under way is for.
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
    /// Another one, to which this load was left.
    Foreign,
}

impl LoadJob {
    /// One for a leader that begins, of a feed that was heard of then.
    pub(super) fn begin(heard_at: u64) -> Self {
        Self {
            line: Line::well_at(heard_at),
            loader: None,
            pause: None,
            newest: None,
            repair_pause: Interval::default(),
        }
    }

    /// The newest generation that the authority has told of.
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

    /// Has a generation loaded after so long, or sooner if that was asked for already.
    pub(super) fn request(&mut self, now: u64, delay: Duration) {
        let known = self.pause.map(|pause| pause.remaining(now));
        if known.is_none_or(|known| delay < known) {
            self.pause = Some(Interval::new(now, delay));
        }
    }

    /// Has the generation loaded again whose records are missing.
    pub(super) fn repair(&mut self, now: u64) {
        self.request(now, self.repair_pause.remaining(now));
    }

    /// Takes in which generation the authority has. A newer one can wait, so that a thousand edges
    /// do not all load it at once; it waits for less where the one that is held is crowded.
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

    /// Gives up a call that the host has never told the end of.
    pub(super) fn give_up(&mut self, host: &impl BackgroundHost, after: Duration) -> bool {
        let is_given_up = self.line.give_up(host, after);
        if is_given_up {
            self.loader = None;
        }
        is_given_up
    }

    /// What the call with this id was for, if it is the one under way, which has ended.
    pub(super) fn take(&mut self, id: CallId) -> Option<Step> {
        self.line.take(id)
    }

    /// Goes on with what is to be loaded, as far as that needs no answer.
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
                    let call = scope.source.changes_call(state, self.newest, asked);
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
        // A worker may have been stopped for long before it takes an answer in.
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
        // The pauses shrink only when a generation is whole: its manifest may be fine for ever.
        self.line.go_on();
        if self.pause.is_some() {
            return self.advance(scope);
        }
        switch
    }

    /// Whether another leader has published a generation since: a newer one, or one in the loader's
    /// slot, where whatever is written now is missing from what is read.
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
            // What is loaded is good, and goes on from here when the authority does.
            self.line.fail(scope.host);
        } else {
            self.abandon(scope.host);
        }
    }

    /// Gives up what is loaded since another leader has done it, which is no fault.
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
                // What is held has come further.
                if self.loader.is_some() && batch.changes.is_empty() {
                    return Err(Refusal::Lagging);
                }
                Ok(switch)
            }
        }
    }

    /// Makes the loaded generation the one that is read, by one write. What is held meanwhile may
    /// have come further; then a few more changes are fetched first.
    fn publish(&mut self, scope: &mut Scope<'_, impl BackgroundHost>) -> Option<Switch> {
        let loader = self.loader.take()?;
        let mut next = loader.state().clone();
        let (found, expected) = scope.filter().found_state(scope.host);
        if let Some(found) = &found
            && supersedes(scope, found, &next)
        {
            return Some(self.leave_to_others(scope));
        }
        // How far what is there has come counts only where our keys vouch for it.
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

/// Begins to load the generation with this manifest, in the slot that is not read.
fn begin(scope: &Scope<'_, impl BackgroundHost>, body: &[u8]) -> Result<Loader, Refusal> {
    let (manifest, signer) = Manifest::decode_signed(body, &scope.source.keys)?;
    let held = scope.state().map(|(held, _)| held);
    let is_older =
        |held: &FeedState| (manifest.epoch, manifest.generation) < (held.epoch, held.generation);
    if scope.source.trusted(held.as_ref()).is_some_and(is_older) {
        return Err(Refusal::Replayed);
    }
    let slot = held.map_or(0, |held| 1 - held.slot.min(1));
    // Two that claim it at once both try again later.
    let claim = Claim::take(scope.host, scope.filter().space(), &manifest.digest(), slot);
    let claim = claim.map_err(LoadError::from)?;
    Ok(Loader::new(manifest, slot, claim).signed_by(signer))
}

/// Whether what is held leaves no place for a generation that is being loaded.
fn supersedes(scope: &Scope<'_, impl BackgroundHost>, held: &FeedState, next: &FeedState) -> bool {
    let is_newer = |held: &FeedState| next.is_older_than(held.epoch, held.generation);
    held.slot == next.slot || scope.source.trusted(Some(held)).is_some_and(is_newer)
}

/// The count of batches of a generation that replaces what was found. Other virtual machines go by
/// the count that was found, under whatever key; `held` is the same where our keys vouch for it.
///
/// Caches are emptied, unless nothing is new but the slot. Records of the old one may have been
/// missing; then nothing was taken from them either. They may have had changes that come later, or
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
