//! Time as the rest of the crate sees it: an argument, never a clock.

use std::time::Duration;

/// Seconds since 1970-01-01T00:00:00Z, ignoring leap seconds (RFC 7519 section 2, `NumericDate`).
///
/// Always between the epoch and the end of the year 9999, so that sums with any [`Duration`] of
/// this crate cannot overflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
}
