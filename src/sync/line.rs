//! One call at a time, with growing pauses after failures.

use std::time::Duration;

use crate::host::{BackgroundHost, Call, CallId};

const FIRST_PAUSE_MILLISECONDS: u64 = 500;
const LONGEST_PAUSE_MILLISECONDS: u64 = 10_000;

/// Longest pause in the first minute of an outage: a restart, a deployment. What is held grows
/// stale meanwhile, and what is revoked is not heard of.
const LONGEST_PAUSE_AT_FIRST_MILLISECONDS: u64 = 2_000;

/// How long an outage may last until it is left more time.
const AT_FIRST_MILLISECONDS: u64 = 60_000;

/// The call that is under way, and what it is for.
#[derive(Debug)]
pub(super) struct Line<T> {
    outstanding: Option<(CallId, T)>,
    started: u64,
    not_before: u64,
    failures: u32,
    /// When the last call was in order, or the first one went out.
    well_at: Option<u64>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self {
            outstanding: None,
            started: 0,
            not_before: 0,
            failures: 0,
            well_at: None,
        }
    }
}

impl<T> Line<T> {
    /// Whether the next call may go out. A pause that ends later than any can was begun before the
    /// clock was set back, and would last for as long as it was set back by.
    pub(super) const fn is_free(&self, now_milliseconds: u64) -> bool {
        let latest = now_milliseconds.saturating_add(LONGEST_PAUSE_MILLISECONDS);
        let is_over = self.not_before <= now_milliseconds || self.not_before > latest;
        self.outstanding.is_none() && is_over
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

    /// Makes a call; `false` when the host refuses it at once.
    #[must_use]
    pub(super) fn start(&mut self, host: &impl BackgroundHost, call: &Call, purpose: T) -> bool {
        self.started = host.now_milliseconds();
        self.well_at.get_or_insert(self.started);
        match host.call(call) {
            Some(id) => self.outstanding = Some((id, purpose)),
            None => self.fail(host),
        }
        self.outstanding.is_some()
    }

    /// Takes a call for failed that the host has never told the end of.
    pub(super) fn give_up(&mut self, host: &impl BackgroundHost, after: Duration) -> bool {
        let age = host.now_milliseconds().saturating_sub(self.started);
        let is_lost = self.outstanding.is_some() && u128::from(age) > after.as_millis();
        if is_lost {
            self.outstanding = None;
            self.fail(host);
        }
        is_lost
    }

    /// The next call may go out at once, and failures count from the beginning.
    pub(super) fn succeed(&mut self, host: &impl BackgroundHost) {
        self.failures = 0;
        self.not_before = 0;
        self.well_at = Some(host.now_milliseconds());
    }

    /// The next call may go out at once; failures go on counting.
    pub(super) const fn go_on(&mut self) {
        self.not_before = 0;
    }

    /// The next call goes out no sooner than so long after the last one has.
    pub(super) const fn rest(&mut self, milliseconds: u64) {
        self.not_before = self.started.saturating_add(milliseconds);
    }

    /// Doubles the pause, up to two seconds while the outage is new and to ten seconds later, and
    /// takes a random half of it off: edges that have failed together do not come back together.
    pub(super) fn fail(&mut self, host: &impl BackgroundHost) {
        let now = host.now_milliseconds();
        let outage = now.abs_diff(self.well_at.unwrap_or(now));
        let longest = if outage < AT_FIRST_MILLISECONDS {
            LONGEST_PAUSE_AT_FIRST_MILLISECONDS
        } else {
            LONGEST_PAUSE_MILLISECONDS
        };
        let pause = (FIRST_PAUSE_MILLISECONDS << self.failures.min(7)).min(longest);
        let jitter = host.random() % (pause / 2);
        self.not_before = now + pause - jitter;
        self.failures = self.failures.saturating_add(1);
    }
}
