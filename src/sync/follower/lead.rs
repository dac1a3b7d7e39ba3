//! The work of a leading virtual machine.

use super::FeedSource;
use super::attesting::Attester;
use super::calls::CALL_TIMEOUT;
use super::loading::{LoadJob, Switch};
use super::outage::Report;
use super::polling::Poller;
use super::remarks::Work;
use super::tidying::Tidier;
use crate::host::{BackgroundHost, CallId, CallOutcome};
use crate::revocation::wire::Introduction;
use crate::revocation::{FeedState, Fill, SharedFilter, View};

/// The parts of a leader's work.
#[derive(Debug)]
pub(super) struct Lead {
    poller: Poller,
    pub(super) load: LoadJob,
    pub(super) attester: Attester,
    tidier: Tidier,
}

/// What all of these parts work with.
pub(super) struct Scope<'s, H> {
    pub(super) host: &'s H,
    pub(super) source: &'s FeedSource,
    pub(super) view: &'s View,
    pub(super) report: &'s mut Report,
}

impl<'s, H: BackgroundHost> Scope<'s, H> {
    pub(super) fn now(&self) -> u64 {
        self.host.now_milliseconds()
    }

    /// What the authority is told of this edge, which uses this generation.
    pub(super) fn introduction(&self, generation: Option<u64>) -> Introduction {
        self.report.introduction(generation, self.now())
    }

    pub(super) fn filter(&self) -> &'s SharedFilter {
        self.view.filter()
    }

    /// The state in shared data, by whatever key it is signed. A virtual machine of ours has
    /// written it, and has verified it by its own keys. Not the state of the view, which is what
    /// the token cache has been told of.
    pub(super) fn state(&self) -> Option<(FeedState, u32)> {
        self.filter().state(self.host)
    }
}

impl Lead {
    /// Begins to lead.
    pub(super) fn begin(scope: &mut Scope<'_, impl BackgroundHost>) -> Self {
        let now = scope.now();
        // An outage does not start over with every leader.
        let verified_at = scope.state().map(|(state, _)| state.verified_at);
        let heard_at = scope
            .report
            .take_over(scope.host, scope.filter(), verified_at);
        Self {
            poller: Poller::begin(heard_at),
            load: LoadJob::begin(heard_at),
            attester: Attester::begin(heard_at),
            // The previous leader may have died before it had tidied up.
            tidier: Tidier::begin(now),
        }
    }

    pub(super) fn fill(&self) -> Option<Fill> {
        self.tidier.fill()
    }

    pub(super) fn tick(&mut self, scope: &mut Scope<'_, impl BackgroundHost>) {
        self.give_up_calls(scope);
        let held = scope.state();
        if held.is_none_or(|(state, _)| scope.filter().is_damaged(scope.host, &state)) {
            self.load.repair(scope.now());
        }
        let switch = self.load.advance(scope);
        self.on_switch(scope.now(), switch);
        if !self.load.is_requested() {
            self.attester.advance(scope);
        }
        self.poller.advance(scope, self.load.newest());
        self.tidier.advance(scope, self.load.is_under_way());
        scope
            .report
            .look_at_the_age(scope.host, scope.source, scope.view);
    }

    /// Fails calls whose end the host has never reported.
    fn give_up_calls(&mut self, scope: &mut Scope<'_, impl BackgroundHost>) {
        let patience = 2 * CALL_TIMEOUT;
        let longest_poll = scope.source.heartbeat + patience;
        let calls = [
            (Work::Poll, self.poller.give_up(scope.host, longest_poll)),
            (Work::Load, self.load.give_up(scope.host, patience)),
            (Work::Attest, self.attester.give_up(scope.host, patience)),
        ];
        for (work, is_given_up) in calls {
            if is_given_up {
                scope.on_no_use(work, &CallOutcome::Failed);
            }
        }
    }

    /// Handles the end of a call, if it is one of this leader's.
    pub(super) fn on_response(
        &mut self,
        scope: &mut Scope<'_, impl BackgroundHost>,
        id: CallId,
        outcome: &CallOutcome,
    ) {
        if let Some(asked) = self.poller.take(id) {
            self.poller.on_answer(scope, &mut self.load, asked, outcome);
            self.poller.advance(scope, self.load.newest());
        } else if let Some(step) = self.load.take(id) {
            let switch = self.load.on_answer(scope, &step, outcome);
            self.on_switch(scope.now(), switch);
        } else if self.attester.take(id).is_some() {
            self.attester.on_answer(scope, &mut self.load, outcome);
        }
    }

    /// Another generation is in force.
    fn on_switch(&mut self, now: u64, switch: Option<Switch>) {
        if switch == Some(Switch::Own) {
            self.poller.begin_anew();
        }
        if switch.is_some() {
            self.tidier.discard(now);
        }
    }
}
