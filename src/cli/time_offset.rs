//! A distance from now, as it is typed: `15m`, `1h`, `-1h`.

use std::str::FromStr;
use std::time::Duration;

use super::instant::Instant;
use crate::time::UnixTime;

/// A number of seconds, later than now or, when negative, earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeOffset {
    seconds: i64,
}

impl TimeOffset {
    /// The instant this far from `now`, in seconds since the epoch; before the epoch it is
    /// negative, which no verifier should accept and a test may want to mint.
    #[must_use]
    pub fn counted_from(self, now: UnixTime) -> i64 {
        self.seconds.saturating_add_unsigned(now.seconds())
    }
}

impl FromStr for TimeOffset {
    type Err = TimeOffsetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (sign, magnitude) = match text.strip_prefix('-') {
            Some(magnitude) => (-1, magnitude),
            None => (1, text),
        };
        if Instant::from_str(text).is_ok() && text.contains('-') {
            return Err(TimeOffsetError::Instant);
        }
        let duration: Duration = humantime::parse_duration(magnitude)?;
        if duration.subsec_nanos() != 0 {
            return Err(TimeOffsetError::FractionOfSecond);
        }
        let seconds = i64::try_from(duration.as_secs()).map_err(|_| TimeOffsetError::TooLong)?;
        Ok(Self {
            seconds: sign * seconds,
        })
    }
}

/// Why a text is not a [`TimeOffset`].
///
/// The messages hold their cause, because the argument parser prints no chain of causes.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TimeOffsetError {
    /// Not a number with a unit.
    #[error("expected a duration such as `15m`, `1h` or `-1h`: {0}")]
    Syntax(#[from] humantime::DurationError),
    /// An instant, which does not count from now.
    #[error(
        "expected a duration such as `15m`, `1h` or `-1h`, found an instant: that goes into \
         `--expires-at` or `--not-before`, where they are"
    )]
    Instant,
    /// Times in tokens are written in whole seconds here.
    #[error("expected whole seconds")]
    FractionOfSecond,
    /// More seconds than fit into 63 bits.
    #[error("duration is too long")]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    // 2026-01-01T00:00:00Z
    const NOW: i64 = 1_767_225_600;

    fn at(text: &str) -> Result<i64, TimeOffsetError> {
        let now = UnixTime::from_seconds(NOW.unsigned_abs()).unwrap();
        text.parse::<TimeOffset>()
            .map(|offset| offset.counted_from(now))
    }

    #[test]
    fn units_and_sign_are_understood() {
        assert_eq!(at("15m"), Ok(NOW + 900));
        assert_eq!(at("1h"), Ok(NOW + 3600));
        assert_eq!(at("-1h"), Ok(NOW - 3600));
        assert_eq!(at("1h 30m"), Ok(NOW + 5400));
        assert_eq!(at("0s"), Ok(NOW));
    }

    #[test]
    fn a_duration_needs_a_unit() {
        for text in ["15", "", "-", "m", "--1h", "+1h", "1 fortnight"] {
            assert!(
                matches!(at(text), Err(TimeOffsetError::Syntax(_))),
                "{text}"
            );
        }
    }

    #[test]
    fn an_instant_is_told_where_it_belongs() {
        let error = at("2026-12-01T18:00:00Z").unwrap_err();
        assert_eq!(error, TimeOffsetError::Instant);
    }

    #[test]
    fn what_a_token_cannot_hold_is_refused() {
        assert_eq!(at("1500ms"), Err(TimeOffsetError::FractionOfSecond));
        assert_eq!(at("18446744073709551615s"), Err(TimeOffsetError::TooLong));
    }

    #[test]
    fn the_farthest_instants_do_not_overflow() {
        assert_eq!(at("9223372036854775807s"), Ok(i64::MAX));
        assert_eq!(at("-9223372036854775807s"), Ok(NOW - i64::MAX));
    }
}
