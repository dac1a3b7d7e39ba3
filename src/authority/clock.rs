//! The authority's clock. Nothing else reads the time.

use std::fs;
use std::time::{Duration, Instant, SystemTime};

use crate::time::UnixTime;

/// NTP steps a clock by less.
const LARGEST_STEP: Duration = Duration::from_mins(5);

/// Long enough for an operator to notice.
const DISTRUST: Duration = Duration::from_hours(24);

/// Milliseconds since the epoch; 0 on a machine whose clock stands before it, where nothing would
/// ever expire.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the only function that asks the clock"
)]
pub(super) fn now_milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// The same in seconds.
#[must_use]
pub(super) fn now() -> UnixTime {
    UnixTime::from_seconds(now_milliseconds() / 1000).unwrap_or(UnixTime::MAX)
}

/// A monotonic clock that goes on while the machine sleeps, unlike that of [`Instant`]: for what others count on
/// to end. `None` where the system does not tell.
#[must_use]
pub(super) fn sleepless() -> Option<Duration> {
    use nix::time::{ClockId, clock_gettime};
    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::CLOCK_BOOTTIME;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC;
    clock_gettime(CLOCK).ok().map(Duration::from)
}

/// How long the machine has been running, sleep included: by this, unlike by the clock, a process can tell
/// how long ago another one of the same machine ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Uptime {
    /// Which start of the machine that was.
    pub boot: String,
    /// How long ago that was.
    pub passed: Duration,
}

/// The same at this moment; `None` where the system does not tell.
#[must_use]
pub(super) fn uptime() -> Option<Uptime> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let text = fs::read_to_string("/proc/uptime").ok()?;
    let passed = seconds(text.split_whitespace().next()?)?;
    Some(Uptime {
        boot: boot.trim().to_owned(),
        passed,
    })
}

/// A duration such as `350735.47`.
fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

/// Whether the clock can be relied on for what cannot be undone. A clock that is set ahead by
/// mistake makes everything look expired; checks are right again when it is put right, but what was
/// dropped is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Trust {
    milliseconds: u64,
    instant: Instant,
    /// When the clock was first found to be ahead.
    ahead_since: Option<Instant>,
}

impl Trust {
    /// Trusts the clock as it is now.
    #[must_use]
    pub(super) const fn new(milliseconds: u64, instant: Instant) -> Self {
        Self {
            milliseconds,
            instant,
            ahead_since: None,
        }
    }

    /// Whether the clock has advanced by about the time that has passed. A clock that stays ahead
    /// for a day is trusted: it was wrong before, or the machine was asleep.
    pub(super) fn is_kept(&mut self, milliseconds: u64, instant: Instant) -> bool {
        let passed = instant.saturating_duration_since(self.instant);
        let passed = u64::try_from((passed + LARGEST_STEP).as_millis()).unwrap_or(u64::MAX);
        if milliseconds <= self.milliseconds.saturating_add(passed) {
            self.ahead_since = None;
            return true;
        }
        let since = *self.ahead_since.get_or_insert_with(|| {
            tracing::error!("the clock was set ahead; expired entries are kept for a day");
            instant
        });
        let is_over = instant.saturating_duration_since(since) >= DISTRUST;
        if is_over {
            *self = Self::new(milliseconds, instant);
        }
        is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_since_the_start_of_the_machine_is_told_where_there_is_such_a_kernel() {
        if !cfg!(target_os = "linux") {
            return;
        }
        let before = uptime().unwrap();
        let after = uptime().unwrap();
        assert_eq!(before.boot, after.boot);
        assert!(before.passed <= after.passed && !before.passed.is_zero());
        assert_eq!(
            seconds("350735.47"),
            Some(Duration::from_millis(350_735_470))
        );
        for text in ["", "-1", "x", "inf", "NaN"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }

    #[test]
    fn a_clock_that_is_set_ahead_is_not_trusted_until_it_is_put_right_or_a_day_has_passed() {
        // 2026-01-01T00:00:00Z.
        let (start, begun) = (1_767_225_600_000, Instant::now());
        let mut trust = Trust::new(start, begun);
        let mut is_kept = |ahead: i64, passed: u64| {
            let wall = start + passed * 1000;
            let wall = wall.saturating_add_signed(ahead * 1000);
            trust.is_kept(wall, begun + Duration::from_secs(passed))
        };
        assert!(is_kept(0, 10));
        assert!(is_kept(299, 20), "a small step");
        assert!(is_kept(-100_000, 30), "set back");
        assert!(!is_kept(3_600, 40), "set ahead");
        assert!(!is_kept(3_600, 80_000));
        assert!(is_kept(0, 80_010), "put right");
        assert!(!is_kept(3_600, 80_020));
        assert!(!is_kept(3_600, 80_020 + 86_399));
        assert!(is_kept(3_600, 80_020 + 86_400), "a day later");
        assert!(is_kept(3_600, 80_020 + 86_410));
        assert!(!is_kept(7_200, 80_020 + 86_420), "once more");
    }
}
