//! Arguments within bounds.

use std::ops::RangeInclusive;
use std::time::Duration;

/// A duration as it is typed, in whole seconds and within bounds.
pub(super) fn duration(
    text: &str,
    bounds: RangeInclusive<Duration>,
) -> Result<Duration, BoundError> {
    let duration = short_duration(text, bounds)?;
    if duration.subsec_nanos() == 0 {
        Ok(duration)
    } else {
        Err(BoundError::FractionOfSecond)
    }
}

/// A duration as it is typed, within bounds.
pub(super) fn short_duration(
    text: &str,
    bounds: RangeInclusive<Duration>,
) -> Result<Duration, BoundError> {
    let duration = humantime::parse_duration(text)?;
    if bounds.contains(&duration) {
        Ok(duration)
    } else {
        let (least, most) = bounds.into_inner();
        Err(BoundError::Duration { least, most })
    }
}

/// A number as it is typed, within bounds; `nan` is never within bounds.
pub(super) fn number(text: &str, bounds: RangeInclusive<f64>) -> Result<f64, BoundError> {
    let number: f64 = text.parse()?;
    if bounds.contains(&number) {
        Ok(number)
    } else {
        let (least, most) = bounds.into_inner();
        Err(BoundError::Number { least, most })
    }
}

/// Why an argument is refused.
///
/// The messages hold their cause, because the argument parser prints no chain of causes.
#[derive(Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum BoundError {
    /// Not a number with a unit.
    #[error("expected a duration such as `30s` or `1h`: {0}")]
    Syntax(#[from] humantime::DurationError),
    /// Times in tokens are whole seconds.
    #[error("expected whole seconds")]
    FractionOfSecond,
    /// No number.
    #[error("expected a number: {0}")]
    NumberSyntax(#[from] std::num::ParseFloatError),
    /// Too small or too large.
    #[error("expected {least:e} to {most:e}")]
    Number {
        /// The smallest.
        least: f64,
        /// The largest.
        most: f64,
    },
    /// Too short or too long.
    #[error("expected {} to {}", shown(*least), shown(*most))]
    Duration {
        /// The shortest.
        least: Duration,
        /// The longest.
        most: Duration,
    },
}

/// In the largest unit that it is a whole number of, as it would be typed.
fn shown(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if duration.subsec_millis() != 0 {
        return format!("{}ms", duration.as_millis());
    }
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units
        .into_iter()
        .find(|(unit, _)| seconds > 0 && seconds.is_multiple_of(*unit));
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_outside_its_bounds_is_refused_with_both_of_them() {
        let within = |text| duration(text, Duration::from_secs(1)..=Duration::from_mins(10));
        assert_eq!(within("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(within("10m"), Ok(Duration::from_mins(10)));
        for text in ["0s", "10m 1s", "900d"] {
            let told = within(text).unwrap_err().to_string();
            assert_eq!(told, "expected 1s to 10m", "{text}");
        }
        let soon = |text| short_duration(text, Duration::from_millis(1)..=Duration::from_secs(10));
        assert_eq!(soon("1500ms"), Ok(Duration::from_millis(1_500)));
        assert_eq!(soon("11s").unwrap_err().to_string(), "expected 1ms to 10s");
        for (seconds, text) in [
            (0, "0s"),
            (90, "90s"),
            (7_200, "2h"),
            (732 * 86_400, "732d"),
        ] {
            assert_eq!(shown(Duration::from_secs(seconds)), text);
        }
        assert_eq!(within("1500ms"), Err(BoundError::FractionOfSecond));
        let share = |text| number(text, 1e-6..=1e-3);
        assert_eq!(share("1e-3"), Ok(1e-3));
        assert_eq!(share("0.000001"), Ok(1e-6));
        for text in ["nan", "0", "1", "5", "inf", "-1e-4", "1.1e-3"] {
            let told = share(text).unwrap_err().to_string();
            assert_eq!(told, "expected 1e-6 to 1e-3", "{text}");
        }
        assert!(matches!(share("many"), Err(BoundError::NumberSyntax(_))));
        for text in ["60", "", "-1s", "nan", "1 fortnight"] {
            assert!(matches!(within(text), Err(BoundError::Syntax(_))), "{text}");
        }
    }
}
