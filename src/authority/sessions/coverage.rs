//! For which time it is known whether sessions were used, so that silence is not taken for idleness.
//!
//! # When is a session idle?
//!
//! Not when it was last seen long ago: an edge that cannot reach the authority, an authority that was
//! down, or a clock that was set makes every session look so. A session is idle when edges have
//! reported all the while and it was not in their reports. So time counts only while reports come in,
//! which edges send once per interval even when there is nothing to report:
//!
//! - Every credential with which activity was reported has to go on reporting. While one is silent, for
//!   longer than three of its intervals, time does not count for any session: a user may be at an edge
//!   that nothing is heard of. Edges that can be cut off by themselves, those of another region, say,
//!   should have a credential of their own: of several with one credential, one that reports speaks for
//!   all. A credential that has been silent for a day is taken for one that was given up.
//! - What was used a moment ago is reported up to two intervals later, so that time counts only up to
//!   then.
//! - An edge that has seen more than it can tell says so, and time begins anew.
//! - Time by the clock is compared with time that has passed. Where the clock was set, time stops
//!   counting and begins anew.
//!
//! # Is the time before a gap lost?
//!
//! A session may have been used in the gap, at its very end even. If the gap is long beside the timeout,
//! every session counts as used when it ended. A timeout of months would never be over then, since
//! every longer restart of the authority is a gap: gaps that together take less than a hundredth of the
//! timeout are left out, and what was before them still counts.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

mod kept;

pub(in crate::authority) use kept::{Heard, leave, take};

/// A source that has sent nothing for so many intervals is silent.
const SILENT_AFTER: u32 = 3;

/// What was used is reported after so many intervals at the latest: one for which the edge collects,
/// and one more if a request is lost.
const REPORTED_AFTER: u32 = 2;

/// A longer interval counts as this one.
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

/// A source that has been silent for so long was given up.
const GIVEN_UP_AFTER: Duration = Duration::from_hours(24);

/// How many milliseconds the clock may be off by in an hour.
const LARGEST_STEP: u64 = 2_000;

/// After so long, clock and passed time are compared anew.
const COMPARED_FOR: Duration = Duration::from_hours(1);

/// The gaps that are left out may take this share of a timeout.
const GAPS_SHARE: u64 = 100;

/// Stretches that are remembered. Of more, the oldest are forgotten, as if nothing had been heard then.
const MOST_STRETCHES: usize = 1_000;

/// A moment by the clock, which may be set, and by the time that has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::authority) struct Moment {
    /// Milliseconds since the epoch.
    pub clock: u64,
    /// Since some beginning.
    pub passed: Duration,
}

/// For which time it is known whether sessions were used.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(in crate::authority) struct Coverage {
    /// By credential.
    sources: BTreeMap<String, Source>,
    /// Oldest first, without overlaps, by the clock.
    stretches: VecDeque<Stretch>,
    /// Whether the last stretch goes on.
    is_open: bool,
    /// Since when clock and passed time are compared.
    compared_since: Option<Moment>,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
struct Source {
    heard: Duration,
    interval: Duration,
    /// When it last said that its interval is that long. Edges with one credential may differ.
    interval_heard: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
struct Stretch {
    from: u64,
    until: u64,
}

impl Source {
    fn is_silent(&self, passed: Duration) -> bool {
        passed.saturating_sub(self.heard) > self.interval * SILENT_AFTER
    }

    fn was_given_up(&self, passed: Duration) -> bool {
        passed.saturating_sub(self.heard) > GIVEN_UP_AFTER
    }

    fn hear(&mut self, interval: Duration, passed: Duration) {
        let is_over = passed.saturating_sub(self.interval_heard) > self.interval * SILENT_AFTER;
        if interval >= self.interval || is_over {
            (self.interval, self.interval_heard) = (interval, passed);
        }
        self.heard = self.heard.max(passed);
    }
}

impl Coverage {
    /// Notes that an edge with this credential has reported, and will again within the interval.
    pub(in crate::authority) fn hear(&mut self, source: &str, interval: Duration, now: Moment) {
        self.hear_of(source, interval, Duration::ZERO, now);
    }

    /// The same, where another authority was told, so long ago.
    pub(in crate::authority) fn hear_of(
        &mut self,
        source: &str,
        interval: Duration,
        ago: Duration,
        now: Moment,
    ) {
        self.pass(now);
        let heard = now.passed.saturating_sub(ago);
        let interval = interval.min(LONGEST_INTERVAL);
        if let Some(known) = self.sources.get_mut(source) {
            known.hear(interval, heard);
        } else {
            let new = Source {
                heard,
                interval,
                interval_heard: heard,
            };
            self.sources.insert(source.to_owned(), new);
        }
        self.open(now);
    }

    /// No longer waits for this source, since it has taken its leave.
    pub(in crate::authority) fn forget(&mut self, source: &str, now: Moment) {
        self.pass(now);
        self.sources.remove(source);
        // Nothing is known while there is none.
        self.is_open &= !self.sources.is_empty();
        self.open(now);
    }

    /// Notes that an edge does not tell of everything that it has seen: whatever was used may have
    /// been used until now.
    pub(in crate::authority) fn lose(&mut self, now: Moment) {
        self.pass(now);
        self.is_open = false;
        self.open(now);
    }

    /// Notes that time has passed.
    pub(in crate::authority) fn pass(&mut self, now: Moment) {
        self.check_clock(now);
        if self.is_open {
            self.extend(now);
        }
        if self.is_any_silent(now) {
            self.is_open = false;
            self.sources
                .retain(|_, source| !source.was_given_up(now.passed));
            self.open(now);
        }
    }

    /// The instant of which holds that a session that was not seen since has been idle for the timeout;
    /// `None` where no session is known to have been.
    #[must_use]
    pub(in crate::authority) fn idle_since(&self, timeout: Duration) -> Option<u64> {
        let timeout = milliseconds(timeout);
        let (mut left, mut gaps) = (timeout, 0);
        let mut later: Option<Stretch> = None;
        for stretch in self.stretches.iter().rev() {
            gaps += later.map_or(0, |later| later.from.saturating_sub(stretch.until));
            if gaps > timeout / GAPS_SHARE {
                return None;
            }
            let length = stretch.until - stretch.from;
            if left <= length {
                return Some(stretch.until - left);
            }
            left -= length;
            later = Some(*stretch);
        }
        None
    }

    /// How many credentials are silent, so that time does not count.
    #[must_use]
    pub(in crate::authority) fn silent(&self, now: Moment) -> usize {
        let sources = self.sources.values();
        sources
            .filter(|source| source.is_silent(now.passed))
            .count()
    }

    /// Ends the stretch where the clock was set.
    fn check_clock(&mut self, now: Moment) {
        let since = *self.compared_since.get_or_insert(now);
        let passed = now.passed.saturating_sub(since.passed);
        let is_set = now.clock.abs_diff(since.clock + milliseconds(passed)) > LARGEST_STEP;
        if is_set || passed > COMPARED_FOR {
            self.compared_since = Some(now);
        }
        if !is_set {
            return;
        }
        self.is_open = false;
        // What was seen by the clock as it was may have an instant that is still to come.
        self.stretches.retain(|stretch| stretch.from < now.clock);
        if let Some(last) = self.stretches.back_mut() {
            last.until = last.until.min(now.clock);
        }
        self.open(now);
    }

    fn is_any_silent(&self, now: Moment) -> bool {
        let mut sources = self.sources.values();
        sources.any(|source| source.is_silent(now.passed))
    }

    fn open(&mut self, now: Moment) {
        if self.is_open || self.sources.is_empty() || self.is_any_silent(now) {
            return;
        }
        self.is_open = true;
        if self.stretches.back().is_some_and(Stretch::is_empty) {
            self.stretches.pop_back();
        }
        if self.stretches.len() >= MOST_STRETCHES {
            self.stretches.pop_front();
        }
        self.stretches.push_back(Stretch {
            from: now.clock,
            until: now.clock,
        });
    }

    /// Lets the last stretch go on to where everything has been reported.
    fn extend(&mut self, now: Moment) {
        let ages = self.sources.values().map(|source| {
            let silence = now.passed.saturating_sub(source.heard);
            silence + source.interval * REPORTED_AFTER
        });
        let age = ages.max().unwrap_or(Duration::MAX);
        let until = now.clock.saturating_sub(milliseconds(age));
        if let Some(last) = self.stretches.back_mut() {
            last.until = last.until.max(until);
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Stretch {
    const fn is_empty(&self) -> bool {
        self.until <= self.from
    }
}

#[cfg(test)]
mod tests;
