//! Loading a generation: which call comes next, and the switch at the end.

use std::time::Duration;

use super::remarks::Work;
use super::{Asked, CALL_TIMEOUT, Follower, Refusal, Step};
use crate::host::{BackgroundHost, Call, CallOutcome, Expected};
use crate::revocation::{FeedState, Manifest};
use crate::sync::announcement::{Begun, UNACCOUNTED};
use crate::sync::claim::Claim;
use crate::sync::discard::Discard;
use crate::sync::line::Line;
use crate::sync::loader::{LoadError, Loader, Need};
use crate::sync::mark::fresher;
use crate::sync::trouble::Trouble;

impl Follower {
    /// Goes on with what is to be loaded, as far as that needs no answer.
    pub(super) fn continue_loading(&mut self, host: &impl BackgroundHost, now: u64) {
        if self.loader.is_none() {
            if self.load_after.is_some_and(|pause| pause.is_over(now)) {
                let call = self.get("/v1/feed/manifest".to_owned(), CALL_TIMEOUT);
                self.start_load(host, &call, Step::Manifest);
            }
            return;
        }
        if self.is_superseded(host) {
            return self.leave_to_others(host);
        }
        while let Some(loader) = &mut self.loader {
            match loader.need() {
                Need::Step => {
                    let step = loader.step(host, &self.filter);
                    if let Err(error) = step {
                        return self.refuse_load(host, &error.into());
                    }
                    if loader.need() == Need::Step {
                        // The rest on the next tick.
                        return;
                    }
                }
                Need::Segment(index) => {
                    let generation = loader.state().generation;
                    let path = format!("/v1/feed/segments/{generation}/{index}");
                    let call = self.get(path, CALL_TIMEOUT);
                    return self.start_load(host, &call, Step::Segment);
                }
                Need::Changes => {
                    let state = loader.state().clone();
                    let asked = Asked::now(host, Duration::ZERO);
                    let call = self.changes_call(&state, asked);
                    return self.start_load(host, &call, Step::Changes(asked));
                }
            }
        }
    }

    /// Has what is held vouched for by the key that signs now, when that is another one than the
    /// manifest was signed with. Nobody needs the old key any more then.
    pub(super) fn continue_attesting(&mut self, host: &impl BackgroundHost) {
        let Some((state, _)) = self.read_state(host) else {
            return;
        };
        let is_signed_by_one =
            state.manifest_signer == state.batch_signer && state.is_trusted_by(&self.source.keys);
        if self.load_after.is_none() && !is_signed_by_one {
            let call = self.get("/v1/feed/manifest".to_owned(), CALL_TIMEOUT);
            if let Err(reason) = self.attest.start(host, &call, ()) {
                self.on_not_sent(host, Work::Attest, reason);
            }
        }
    }

    pub(super) fn on_attest(&mut self, host: &impl BackgroundHost, outcome: &CallOutcome) {
        let CallOutcome::Answered {
            status: 200, body, ..
        } = outcome
        else {
            self.on_no_use(host, Work::Attest, outcome);
            return self.attest.fail(host);
        };
        if let Err(refusal) = self.attest(host, body) {
            self.trouble.refused(host.now_milliseconds());
            self.on_refusal(host, Work::Attest, &refusal);
            self.attest.fail(host);
        }
    }

    fn attest(&mut self, host: &impl BackgroundHost, body: &[u8]) -> Result<(), Refusal> {
        let (manifest, signer) = Manifest::decode_signed(body, &self.source.keys)?;
        let Some((held, version)) = self.read_state(host) else {
            return Ok(());
        };
        if manifest.digest() == held.manifest {
            if signer == held.manifest_signer {
                // Not signed anew yet. It is asked again after a pause.
                self.attest.fail(host);
                return Ok(());
            }
            self.attest.succeed(host);
            self.settle(host, Work::Attest);
            let next = FeedState {
                manifest_signer: signer,
                ..held
            };
            let expected = Expected::Version(version);
            self.filter.write_state(host, &next, expected);
        } else {
            // There is another generation by now, or what is held is somebody else's.
            self.load_within(host.now_milliseconds(), Duration::ZERO);
        }
        Ok(())
    }

    fn start_load(&mut self, host: &impl BackgroundHost, call: &Call, step: Step) {
        if let Err(reason) = self.load.start(host, call, step) {
            self.on_not_sent(host, Work::Load, reason);
        }
    }

    pub(super) fn on_load(
        &mut self,
        host: &impl BackgroundHost,
        step: &Step,
        outcome: &CallOutcome,
    ) {
        let CallOutcome::Answered {
            status: 200, body, ..
        } = outcome
        else {
            self.on_no_use(host, Work::Load, outcome);
            self.abandon_load(host);
            return;
        };
        // A worker may have been stopped for long before it takes an answer in.
        if self.is_superseded(host) {
            return self.leave_to_others(host);
        }
        if let Err(refusal) = self.take_in(host, step, body) {
            return self.refuse_load(host, &refusal);
        }
        if matches!(step, Step::Manifest | Step::Segment) {
            self.trouble.went_on();
        }
        // The pauses shrink only when a generation is whole: its manifest may be fine for ever.
        self.load.go_on();
        if self.load_after.is_some() {
            self.continue_loading(host, host.now_milliseconds());
        }
    }

    /// Whether another leader has published a generation since: a newer one, or one in the loader's
    /// slot, where whatever is written now is missing from what everybody reads.
    fn is_superseded(&self, host: &impl BackgroundHost) -> bool {
        self.loader.as_ref().is_some_and(|loader| {
            let held = self.read_state(host);
            held.is_some_and(|(held, _)| self.supersedes(&held, loader.state()))
        })
    }

    fn supersedes(&self, held: &FeedState, next: &FeedState) -> bool {
        let is_newer = |held: &FeedState| next.is_older_than(held.epoch, held.generation);
        held.slot == next.slot || self.trusted(Some(held)).is_some_and(is_newer)
    }

    fn refuse_load(&mut self, host: &impl BackgroundHost, refusal: &Refusal) {
        self.trouble.refused(host.now_milliseconds());
        self.on_refusal(host, Work::Load, refusal);
        if matches!(refusal, Refusal::Lagging) {
            // What is loaded is good, and goes on from here when the authority does.
            self.load.fail(host);
        } else {
            self.abandon_load(host);
        }
    }

    /// Gives up what is loaded since another leader has done it, with no blame on anybody.
    fn leave_to_others(&mut self, host: &impl BackgroundHost) {
        self.loader = None;
        self.load.succeed(host);
        self.settle(host, Work::Load);
        self.load_after = None;
        self.discard = Some(Discard::begin(host.now_milliseconds()));
    }

    fn abandon_load(&mut self, host: &impl BackgroundHost) {
        self.loader = None;
        self.load.fail(host);
    }

    fn take_in(
        &mut self,
        host: &impl BackgroundHost,
        step: &Step,
        body: &[u8],
    ) -> Result<(), Refusal> {
        match step {
            Step::Manifest => {
                let (manifest, signer) = Manifest::decode_signed(body, &self.source.keys)?;
                let held = self.read_state(host).map(|(held, _)| held);
                let is_older = |held: &FeedState| {
                    (manifest.epoch, manifest.generation) < (held.epoch, held.generation)
                };
                if self.trusted(held.as_ref()).is_some_and(is_older) {
                    return Err(Refusal::Replayed);
                }
                let slot = held.map_or(0, |held| 1 - held.slot.min(1));
                let space = self.filter.space();
                // Two that claim it at once both try again later.
                let claim = Claim::take(host, space, &manifest.digest(), slot);
                let claim = claim.ok_or(LoadError::Contended)?;
                self.loader = Some(Loader::new(manifest, slot, claim).signed_by(signer));
                Ok(())
            }
            Step::Segment => match &mut self.loader {
                Some(loader) => Ok(loader.on_segment(host, &self.filter, body)?),
                None => Ok(()),
            },
            Step::Changes(asked) => {
                let (batch, signer) = self.fresh_batch(*asked, body)?;
                if let Some(loader) = &mut self.loader {
                    loader.on_changes(host, &self.filter, &batch, asked.sent)?;
                    loader.note_signer(signer);
                    if loader.is_whole() {
                        self.publish(host);
                    }
                    // What is held has come further.
                    if self.loader.is_some() && batch.changes.is_empty() {
                        return Err(Refusal::Lagging);
                    }
                }
                Ok(())
            }
        }
    }

    /// What is held, as far as our keys vouch for it.
    fn trusted<'s>(&self, held: Option<&'s FeedState>) -> Option<&'s FeedState> {
        held.filter(|held| held.is_trusted_by(&self.source.keys))
    }

    /// Makes the loaded generation the one that is read, by one write. What is held meanwhile may
    /// have come further; then a few more changes are fetched first.
    fn publish(&mut self, host: &impl BackgroundHost) {
        let Some(loader) = self.loader.take() else {
            return;
        };
        let mut next = loader.state().clone();
        let (found, expected) = self.filter.found_state(host);
        // What others are told of goes on from whatever is there; how far it has come counts only
        // where our keys vouch for it.
        let held = self.trusted(found.as_ref());
        let is_superseded = found
            .as_ref()
            .is_some_and(|found| self.supersedes(found, &next));
        if is_superseded {
            return self.leave_to_others(host);
        }
        let is_behind =
            |held: &FeedState| held.epoch == next.epoch && held.sequence > next.sequence;
        if held.is_some_and(is_behind) {
            self.loader = Some(loader);
            return;
        }
        // Caches are emptied, unless nothing is new but the place. Records of the old one may have
        // been missing; then nothing was taken from them either. They may have had changes that
        // come later, or never.
        let is_same = held.is_some_and(|held| {
            (held.epoch, held.sequence, held.chain, held.filter_key)
                == (next.epoch, next.sequence, next.chain, next.filter_key)
                && !Begun::read(host, &self.filter, held).is_any()
        });
        let known = held
            .filter(|held| held.epoch == next.epoch)
            .map_or(0, |held| held.verified_at);
        next.verified_at = fresher(known, Some(next.verified_at), host.now_milliseconds());
        let batches = found.as_ref().map_or(0, |found| found.batches);
        next.batches = if is_same {
            batches
        } else {
            batches.wrapping_add(UNACCOUNTED)
        };
        self.load.succeed(host);
        if self.filter.write_state(host, &next, expected) {
            self.counts.generations += 1;
            self.loaded_at = host.now_milliseconds();
            self.load_after = None;
            self.poll = Line::default();
            self.has_heard = true;
            self.trouble = Trouble::default();
            self.settle(host, Work::Load);
            host.info(&format!(
                "revocation feed: generation {} of epoch {} is in force, sequence {}",
                next.generation, next.epoch, next.sequence
            ));
            self.discard = Some(Discard::begin(host.now_milliseconds()));
        }
    }
}
