//! The authority's clock, read here and nowhere else.

use std::time::SystemTime;

use crate::time::UnixTime;

/// Milliseconds since the epoch; 0 on a machine whose clock stands before it, where nothing would
/// ever expire.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that asks the clock"
)]
pub fn now_milliseconds() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

/// The same in seconds.
#[must_use]
pub fn now() -> UnixTime {
    UnixTime::from_seconds(now_milliseconds() / 1000).unwrap_or(UnixTime::MAX)
}
