//! Time as the rest of the crate sees it: an argument, never a clock.

use std::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z, ignoring leap seconds (RFC 7519 section 2, `NumericDate`).
///
/// Always between the epoch and the end of the year 9999, so that sums with any [`Duration`] of
/// this crate cannot overflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(u64);

impl UnixTime {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// 9999-12-31T23:59:59Z, the last instant that RFC 3339 can write.
    pub const MAX: Self = Self(253_402_300_799);

    /// The instant `seconds` after the epoch; `None` past [`UnixTime::MAX`].
    #[must_use]
    pub const fn from_seconds(seconds: u64) -> Option<Self> {
        if seconds <= Self::MAX.0 {
            Some(Self(seconds))
        } else {
            None
        }
    }

    /// The second that lies `milliseconds` after the epoch; [`UnixTime::MAX`] past that.
    #[must_use]
    pub const fn from_milliseconds(milliseconds: u64) -> Self {
        match Self::from_seconds(milliseconds / 1_000) {
            Some(time) => time,
            None => Self::MAX,
        }
    }

    /// The same as [`UnixTime::from_seconds`], for a number that may have a fraction, which is dropped.
    ///
    /// `None` for numbers before the epoch, past [`UnixTime::MAX`], infinite or not a number: a
    /// time that cannot be held is an error of the token, never "no time at all".
    #[must_use]
    pub fn from_fractional_seconds(seconds: f64) -> Option<Self> {
        #[expect(
            clippy::cast_precision_loss,
            reason = "MAX is far below 2^53 and converts exactly"
        )]
        let limit = Self::MAX.0 as f64;
        if !(0.0..=limit).contains(&seconds) {
            return None;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked, and dropping the fraction is meant"
        )]
        let whole = seconds as u64;
        Self::from_seconds(whole)
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// This instant moved later by `duration`, at most to [`UnixTime::MAX`].
    #[must_use]
    pub fn later_by(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration.as_secs())).min(Self::MAX)
    }
}

/// A stretch of time by a clock that may be set back, in milliseconds since the epoch: a pause, a
/// lease, the time for which something that was seen still counts.
///
/// A stretch has its beginning with it, so that an instant further ahead than possible can be told
/// from one to come. On a clock that was set to before the beginning the stretch is over: how much of
/// it has passed cannot be known, and waiting for the clock to catch up would take as long as
/// it was set back by. So there is no comparison of a bare instant with such a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    start: u64,
    length: u64,
}

impl Interval {
    /// The stretch that begins at `start`, milliseconds since the epoch.
    #[must_use]
    pub fn new(start: u64, length: Duration) -> Self {
        let length = milliseconds(length);
        Self { start, length }
    }

    /// The stretch from one instant to another, in milliseconds since the epoch; over at once when
    /// the end is not after the start.
    #[must_use]
    pub const fn between(start: u64, end: u64) -> Self {
        Self {
            start,
            length: end.saturating_sub(start),
        }
    }

    /// When it began, in milliseconds since the epoch.
    #[must_use]
    pub const fn start(self) -> u64 {
        self.start
    }

    /// Whether `now` lies in it: not before its start, and before its end.
    #[must_use]
    pub const fn contains(self, now: u64) -> bool {
        match now.checked_sub(self.start) {
            Some(elapsed) => elapsed < self.length,
            None => false,
        }
    }

    /// Whether it has ended, or the clock was set back to before it began.
    #[must_use]
    pub const fn is_over(self, now: u64) -> bool {
        !self.contains(now)
    }

    /// The same, begun at `now` if the clock was set back to that since: for what is better waited for
    /// once more than given up.
    #[must_use]
    pub const fn begun_by(self, now: u64) -> Self {
        let start = if self.start > now { now } else { self.start };
        Self { start, ..self }
    }

    /// What is left of it; nothing when it is over.
    #[must_use]
    pub const fn remaining(self, now: u64) -> Duration {
        match now.checked_sub(self.start) {
            Some(elapsed) => Duration::from_millis(self.length.saturating_sub(elapsed)),
            None => Duration::ZERO,
        }
    }
}

/// A duration in milliseconds, the unit of every instant in shared data.
#[must_use]
pub fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn fractions_are_dropped_and_impossible_times_are_refused() {
        assert_eq!(
            UnixTime::from_fractional_seconds(1.9),
            UnixTime::from_seconds(1)
        );
        assert_eq!(
            UnixTime::from_fractional_seconds(0.0),
            UnixTime::from_seconds(0)
        );
        for impossible in [-1.0, -0.5, 253_402_300_800.0, 1e19, f64::INFINITY, f64::NAN] {
            assert_eq!(
                UnixTime::from_fractional_seconds(impossible),
                None,
                "{impossible}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn later_by_stops_at_the_last_instant() {
        let start = UnixTime::from_seconds(10).unwrap();
        assert_eq!(start.later_by(Duration::from_secs(5)).seconds(), 15);
        assert_eq!(start.later_by(Duration::MAX), UnixTime::MAX);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_interval_is_over_at_its_end_and_on_a_clock_that_was_set_to_before_its_start() {
        let interval = Interval::new(1_000, Duration::from_millis(500));
        for (now, left) in [(1_000, 500), (1_499, 1), (1_500, 0), (999, 0), (0, 0)] {
            assert_eq!(interval.contains(now), left > 0, "{now}");
            assert_eq!(interval.is_over(now), left == 0, "{now}");
            let remaining = interval.remaining(now);
            assert_eq!(remaining, Duration::from_millis(left), "{now}");
        }
        assert_eq!(Interval::between(1_000, 1_500), interval);
        assert_eq!(interval.begun_by(1_400), interval);
        assert_eq!(interval.begun_by(10), Interval::between(10, 510));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_interval_that_is_empty_or_without_end_overflows_nowhere() {
        for now in [0, 1, u64::MAX] {
            assert!(Interval::default().is_over(now));
            assert!(Interval::between(5, 4).is_over(now));
            assert!(Interval::new(0, Duration::MAX).contains(now) || now == u64::MAX);
        }
    }
}
