//! One call at a time, with growing pauses after failures.

use std::time::Duration;

use crate::backoff;
use crate::host::{BackgroundHost, Call, CallId, NotSent};
use crate::time::Interval;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Longest pause in the first minute of an outage: a restart, a deployment. What is held grows
/// stale meanwhile, and what is revoked is not heard of.
const LONGEST_PAUSE_AT_FIRST: Duration = Duration::from_secs(2);

/// How long an outage may last until it is left more time.
const AT_FIRST: Duration = Duration::from_mins(1);

/// The call that is under way, and what it is for.
#[derive(Debug)]
pub(super) struct Line<T> {
    outstanding: Option<(CallId, T)>,
    started: u64,
    pause: Interval,
    failures: u32,
    /// When the last call was in order, or the first one went out.
    well_at: Option<u64>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            outstanding: None,
            started: 0,
            pause: Interval::default(),
            failures: 0,
            well_at: None,
        }
    }
}

impl<T> Line<T> {
    /// One on which all was well at that time, for another leader.
    pub(super) fn well_at(milliseconds: u64) -> Self {
        Self {
            well_at: Some(milliseconds),
            ..Self::default()
        }
    }

    /// Whether the next call may go out.
    pub(super) const fn is_free(&self, now_milliseconds: u64) -> bool {
        self.outstanding.is_none() && self.pause.is_over(now_milliseconds)
    }

    /// Whether the last call was in order, as far as is known.
    pub(super) const fn is_well(&self) -> bool {
        self.failures == 0
    }

    /// The purpose of the call with this id, if it is the one under way, which has ended.
    pub(super) fn take(&mut self, id: CallId) -> Option<T> {
        let is_it = |(outstanding, _): &mut (CallId, T)| *outstanding == id;
        self.outstanding.take_if(is_it).map(|(_, purpose)| purpose)
    }

    /// Makes a call, unless the host refuses it at once.
    pub(super) fn start(
        &mut self,
        host: &impl BackgroundHost,
        call: &Call,
        purpose: T,
    ) -> Result<(), NotSent> {
        self.started = host.now_milliseconds();
        self.well_at.get_or_insert(self.started);
        match host.call(call) {
            Ok(id) => {
                self.outstanding = Some((id, purpose));
                Ok(())
            }
            Err(reason) => {
                self.fail(host);
                Err(reason)
            }
        }
    }

    /// Gives up a call after so long, whose end the host has never told, and takes it for failed.
    pub(super) fn give_up(&mut self, host: &impl BackgroundHost, after: Duration) -> bool {
        let patience = Interval::new(self.started, after);
        let is_lost = self.outstanding.is_some() && patience.is_over(host.now_milliseconds());
        if is_lost {
            self.outstanding = None;
            self.fail(host);
        }
        is_lost
    }

    /// The next call may go out at once, and failures count from the beginning.
    pub(super) fn succeed(&mut self, host: &impl BackgroundHost) {
        self.failures = 0;
        self.pause = Interval::default();
        self.well_at = Some(host.now_milliseconds());
    }

    /// The next call may go out at once; failures go on counting.
    pub(super) fn go_on(&mut self) {
        self.pause = Interval::default();
    }

    /// The next call goes out no sooner than so long after the last one has.
    pub(super) fn rest(&mut self, shortest: Duration) {
        self.pause = Interval::new(self.started, shortest);
    }

    /// The next call goes out after a pause that doubles with every failure, up to two seconds while
    /// the outage is new and to ten seconds later.
    pub(super) fn fail(&mut self, host: &impl BackgroundHost) {
        let now = host.now_milliseconds();
        let is_new = Interval::new(self.well_at.unwrap_or(now), AT_FIRST).contains(now);
        let longest = if is_new {
            LONGEST_PAUSE_AT_FIRST
        } else {
            LONGEST_PAUSE
        };
        self.failures = self.failures.saturating_add(1);
        let pause = backoff::wait(FIRST_PAUSE, longest, self.failures, host.random());
        self.pause = Interval::new(now, pause);
    }
}
