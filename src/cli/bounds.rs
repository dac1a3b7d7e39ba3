//! Arguments within bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

use humantime::format_duration;

/// A duration as it is typed, in whole seconds and within bounds.
pub(super) fn duration(
    text: &str,
    bounds: RangeInclusive<Duration>,
) -> Result<Duration, BoundError> {
    let duration = humantime::parse_duration(text)?;
    if duration.subsec_nanos() != 0 {
        return Err(BoundError::FractionOfSecond);
    }
    if bounds.contains(&duration) {
        Ok(duration)
    } else {
        let (least, most) = bounds.into_inner();
        Err(BoundError::Duration { least, most })
    }
}

/// Why an argument is refused.
///
/// The messages hold their cause, because the argument parser prints no chain of causes.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum BoundError {
    /// No number with a unit.
    #[error("expected a duration such as `30s` or `1h`: {0}")]
    Syntax(#[from] humantime::DurationError),
    /// Times in tokens are whole seconds.
    #[error("expected whole seconds")]
    FractionOfSecond,
    /// Too short or too long.
    #[error("expected {} to {}", format_duration(*least), format_duration(*most))]
    Duration {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_outside_its_bounds_is_refused_with_both_of_them() {
        let within = |text| duration(text, Duration::from_secs(1)..=Duration::from_mins(10));
        assert_eq!(within("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(within("10m"), Ok(Duration::from_mins(10)));
        for text in ["0s", "10m 1s", "900d"] {
            let told = within(text).unwrap_err().to_string();
            assert_eq!(told, "expected 1s to 10m", "{text}");
        }
        assert_eq!(within("1500ms"), Err(BoundError::FractionOfSecond));
        for text in ["60", "", "-1s", "nan", "1 fortnight"] {
            assert!(matches!(within(text), Err(BoundError::Syntax(_))), "{text}");
        }
    }
}
