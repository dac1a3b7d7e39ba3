//! An instant as it is typed: `2026-12-01T18:00:00Z`, `2026-12-01T19:00:00+01:00`, or the seconds
//! since 1970 that tokens and answers have.

use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::time::UnixTime;

/// A whole second between 1970 and 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant(UnixTime);

impl Instant {
    /// Seconds since 1970.
    #[must_use]
    pub const fn seconds(self) -> u64 {
        self.0.seconds()
    }
}

/// An instant in words (RFC 3339, UTC), from seconds since 1970. `None` past the year 9999.
#[must_use]
pub(super) fn shown(seconds: u64) -> Option<String> {
    let time = UnixTime::from_seconds(seconds)?;
    let time = UNIX_EPOCH + Duration::from_secs(time.seconds());
    Some(humantime::format_rfc3339_seconds(time).to_string())
}

/// A number of seconds in the two largest units: `31d 16m`.
#[must_use]
pub(super) fn lasting(seconds: u64) -> String {
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let parts = parts.iter().filter(|(count, _)| *count > 0).take(2);
    let parts: Vec<_> = parts
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() {
        "0s".to_owned()
    } else {
        parts.join(" ")
    }
}

impl FromStr for Instant {
    type Err = InstantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let seconds = if text.bytes().all(|digit| digit.is_ascii_digit()) {
            text.parse().ok()
        } else {
            rfc_3339(text)
        };
        let time = seconds.and_then(UnixTime::from_seconds);
        time.map(Self).ok_or(InstantError)
    }
}

/// RFC 3339 section 5.6, to the second. Without an offset from UTC it would be another instant in
/// each time zone, and is refused.
fn rfc_3339(text: &str) -> Option<u64> {
    let (local, offset) = if let Some(local) = text.strip_suffix(['Z', 'z']) {
        (local, 0)
    } else {
        let (local, offset) = text.split_at_checked(text.len().checked_sub(6)?)?;
        (local, offset_seconds(offset)?)
    };
    // Otherwise an offset or a fraction would be misread.
    let is_whole = local.len() == "2026-12-01T18:00:00".len();
    let mut local = local.to_ascii_uppercase();
    if !is_whole || local.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    local.push('Z');
    let time: SystemTime = humantime::parse_rfc3339(&local).ok()?;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    seconds.checked_add_signed(-offset)
}

/// The seconds that an offset like `+01:00` is ahead of UTC.
fn offset_seconds(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let number = |digits: &str, limit: i64| {
        let is_plain = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        let number = digits.parse().ok().filter(|number: &i64| *number <= limit);
        number.filter(|_| is_plain)
    };
    Some(sign * (number(hours, 23)? * 3600 + number(minutes, 59)? * 60))
}

/// The text is not an [`Instant`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected an instant such as `2026-12-01T18:00:00Z` or `2026-12-01T19:00:00+01:00`, or seconds \
     since 1970; what is counted from now goes into the option that ends in `-in`"
)]
pub struct InstantError;

#[cfg(test)]
mod tests {
    use super::*;

    // 2026-01-01T00:00:00Z
    const NOW: u64 = 1_767_225_600;

    fn seconds(text: &str) -> Option<u64> {
        text.parse().ok().map(Instant::seconds)
    }

    #[test]
    fn an_instant_is_the_same_in_every_spelling() {
        for text in [
            "2026-01-01T00:00:00Z",
            "2026-01-01t00:00:00z",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T05:30:00+05:30",
            "2025-12-31T19:00:00-05:00",
            "1767225600",
        ] {
            assert_eq!(seconds(text), Some(NOW), "{text}");
        }
        assert_eq!(shown(NOW).unwrap(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_time_is_told_by_its_two_largest_units() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (3_661, "1h 1m"),
            (31 * 86_400 + 961, "31d 16m"),
        ] {
            assert_eq!(lasting(seconds), text);
        }
    }

    #[test]
    fn what_is_an_instant_only_for_some_is_refused() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00.5Z",
            "2026-01-01T00:00:00+1:00",
            "2026-01-01T00:00:00+01:60",
            "2026-02-30T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "253402300800",
            "-1",
            "1h",
            "\u{661}\u{661}",
            "2026-01-01T00:00:0é",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
