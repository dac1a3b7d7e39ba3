//! One call at a time, with growing pauses after failures.

use std::time::Duration;

use crate::backoff;
use crate::host::{BackgroundHost, Call, CallId, NotSent};
use crate::time::Interval;

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Longest pause in the first minute of an outage, which is most often a restart or a deployment.
/// Meanwhile the feed grows stale, and revocations are not received.
const LONGEST_PAUSE_AT_FIRST: Duration = Duration::from_secs(2);

/// How long an outage may last before pauses grow longer.
const AT_FIRST: Duration = Duration::from_mins(1);

/// The call in flight, and its purpose.
#[derive(Debug)]
pub(super) struct Line<T> {
    outstanding: Option<(CallId, T)>,
    started: u64,
    pause: Interval,
    failures: u32,
    /// When the last call succeeded, or the first one was sent.
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
    /// A line that was well at that time, for a new leader.
    pub(super) fn well_at(milliseconds: u64) -> Self {
        Self {
            well_at: Some(milliseconds),
            ..Self::default()
        }
    }

    /// Whether the next call may be made.
    pub(super) const fn is_free(&self, now_milliseconds: u64) -> bool {
        self.outstanding.is_none() && self.pause.is_over(now_milliseconds)
    }

    /// Whether the last call succeeded, as far as is known.
    pub(super) const fn is_well(&self) -> bool {
        self.failures == 0
    }

    /// The purpose of the call with this id, if it is the one in flight, which has ended.
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

    /// Gives up a call after this long, if the host has never reported its end, and counts it as
    /// failed.
    pub(super) fn give_up(&mut self, host: &impl BackgroundHost, after: Duration) -> bool {
        let patience = Interval::new(self.started, after);
        let is_lost = self.outstanding.is_some() && patience.is_over(host.now_milliseconds());
        if is_lost {
            self.outstanding = None;
            self.fail(host);
        }
        is_lost
    }

    /// The next call may be made at once, and failures are counted from zero.
    pub(super) fn succeed(&mut self, host: &impl BackgroundHost) {
        self.failures = 0;
        self.pause = Interval::default();
        self.well_at = Some(host.now_milliseconds());
    }

    /// The next call may be made at once; the count of failures stays.
    pub(super) fn go_on(&mut self) {
        self.pause = Interval::default();
    }

    /// The next call is made this long after the last one at the earliest.
    pub(super) fn rest(&mut self, shortest: Duration) {
        self.pause = Interval::new(self.started, shortest);
    }

    /// The next call is made after a pause that doubles with every failure, up to two seconds while
    /// the outage is new and ten seconds later.
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
