//! What was counted in the last hour, for the charts: one sample every ten seconds, in memory.
//!
//! # How is propagation measured?
//!
//! From when a change is announced until every edge that was seen in the last minute has polled for what
//! comes after it, and its other workers have had the time to look: what a revocation with `wait` waits for.
//! One change is followed at a time, so of a thousand in a second, a few are measured.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Console;
use crate::authority::edges::{COMES_BACK, Position};
use crate::authority::sessions::Sessions;
use crate::authority::{Authority, clock};
use crate::time::milliseconds;

/// How far apart samples are.
const INTERVAL: Duration = Duration::from_secs(10);

/// An hour of them.
pub(super) const MOST: usize = 360;

/// How long a change is followed. An edge that is still behind then shows in the list of edges.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two changes that are followed: each has the edges looked at some ten times.
const PAUSE: Duration = Duration::from_secs(1);

/// The latest samples, oldest first.
#[derive(Debug, Default)]
pub(super) struct Samples {
    kept: Mutex<VecDeque<Sample>>,
    /// The slowest change since the last sample.
    slowest: Mutex<Option<Duration>>,
}

/// What was counted at one moment, or since the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sample {
    /// Sessions that were used in the last five minutes; `None` while the registry is away.
    pub(super) active_sessions: Option<f64>,
    /// Checks that found a token revoked, for each minute.
    pub(super) refusals: Option<f64>,
    /// Changes in the feed, for each minute.
    pub(super) changes: Option<f64>,
    /// How long the slowest change took to reach every edge, in milliseconds.
    pub(super) propagation: Option<f64>,
}

/// Counters of which the difference is of interest.
#[derive(Clone, Copy, Debug)]
struct Counters {
    at: Instant,
    refusals: u64,
    sequence: u64,
}

impl Samples {
    /// All of them, oldest first.
    pub(super) fn all(&self) -> Vec<Sample> {
        lock(&self.kept).iter().copied().collect()
    }

    fn keep(&self, sample: Sample) {
        let mut kept = lock(&self.kept);
        if kept.len() >= MOST {
            kept.pop_front();
        }
        kept.push_back(sample);
    }

    fn reached(&self, took: Duration) {
        let mut slowest = lock(&self.slowest);
        *slowest = (*slowest).max(Some(took));
    }
}

impl Sample {
    fn between(before: Counters, now: Counters) -> Self {
        let minutes = now.at.saturating_duration_since(before.at).as_secs_f64() / 60.0;
        let each_minute = |before: u64, now: u64| {
            // A sequence begins anew with an epoch.
            let more = u32::try_from(now.checked_sub(before)?).unwrap_or(u32::MAX);
            (minutes > 0.0).then(|| f64::from(more) / minutes)
        };
        Self {
            refusals: each_minute(before.refusals, now.refusals),
            changes: each_minute(before.sequence, now.sequence),
            ..Self::default()
        }
    }
}

/// Takes samples, and follows changes, for as long as the authority is there.
pub(super) fn begin(console: &Arc<Console>, authority: &Arc<Authority>) {
    tokio::spawn(take(Arc::clone(console), Arc::clone(authority)));
    tokio::spawn(follow(Arc::clone(console), Arc::clone(authority)));
}

async fn take(console: Arc<Console>, authority: Arc<Authority>) {
    let mut before = counters(&authority);
    loop {
        let sessions = Sessions::counts(&authority.sessions, clock::now()).await;
        let active = sessions.map(|counts| counts.active_sessions[0]);
        let now = counters(&authority);
        console.samples.keep(Sample {
            active_sessions: active
                .map(|count| f64::from(u32::try_from(count).unwrap_or(u32::MAX))),
            propagation: lock(&console.samples.slowest)
                .take()
                .map(|took| f64::from(u32::try_from(milliseconds(took)).unwrap_or(u32::MAX))),
            ..Sample::between(before, now)
        });
        before = now;
        tokio::time::sleep(INTERVAL).await;
    }
}

async fn follow(console: Arc<Console>, authority: Arc<Authority>) {
    // Until then, no change counts as having reached every edge.
    tokio::time::sleep(COMES_BACK).await;
    let mut announced = authority.history.announcements();
    while announced.changed().await.is_ok() {
        let target = Position {
            sequence: *announced.borrow_and_update(),
            ..authority.feed.position()
        };
        let stopping = authority.stopping.clone();
        let (reach, took) = authority.edges.reached(target, PATIENCE, stopping).await;
        if reach.edges > 0 {
            console.samples.reached(took);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn counters(authority: &Authority) -> Counters {
    Counters {
        at: Instant::now(),
        refusals: authority.metrics.revoked_checks(),
        sequence: authority.history.head().sequence,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_kept() {
        let samples = Samples::default();
        for number in 0..400 {
            samples.keep(Sample {
                changes: Some(f64::from(number)),
                ..Sample::default()
            });
        }
        let kept = samples.all();
        assert_eq!(kept.len(), MOST);
        assert_eq!(
            (kept[0].changes, kept[MOST - 1].changes),
            (Some(40.0), Some(399.0))
        );
    }

    #[test]
    fn counters_become_numbers_for_each_minute() {
        let start = Instant::now();
        let at = |seconds, refusals, sequence| Counters {
            at: start + Duration::from_secs(seconds),
            refusals,
            sequence,
        };
        let sample = Sample::between(at(0, 1, 100), at(10, 4, 100));
        assert_eq!((sample.refusals, sample.changes), (Some(18.0), Some(0.0)));
        let other_epoch = Sample::between(at(0, 1, 100), at(30, 1, 2));
        assert_eq!(
            (other_epoch.refusals, other_epoch.changes),
            (Some(0.0), None)
        );
        assert_eq!(Sample::between(at(0, 1, 1), at(0, 1, 1)).changes, None);
    }

    #[test]
    fn the_slowest_change_counts() {
        let samples = Samples::default();
        for took in [5, 90, 20] {
            samples.reached(Duration::from_millis(took));
        }
        assert_eq!(
            lock(&samples.slowest).take(),
            Some(Duration::from_millis(90))
        );
    }
}
