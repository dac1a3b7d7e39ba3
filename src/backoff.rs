//! How long to wait before the next attempt.

use std::time::Duration;

use crate::time::milliseconds;

/// The wait after `failures` failures in a row: `first`, doubled with every further failure, up to
/// `longest` or `first`, whichever is longer. Of that, between a half and all, by `random`: edges
/// that have failed together should not retry together.
pub(crate) fn wait(first: Duration, longest: Duration, failures: u32, random: u64) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let whole = milliseconds(first)
        .saturating_mul(1 << doublings)
        .clamp(1, milliseconds(longest.max(first)).max(1));
    let half = whole / 2;
    Duration::from_millis(half + random % (whole - half + 1))
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    const LONGEST: Duration = Duration::from_mins(5);

    fn milliseconds_of(first: Duration, failures: u32, random: u64) -> u64 {
        milliseconds(wait(first, LONGEST, failures, random))
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn waits_double_up_to_the_longest_and_are_spread_over_half_of_that() {
        let first = Duration::from_secs(1);
        for (failures, longest) in [(1, 1_000), (2, 2_000), (5, 16_000), (9, 256_000)] {
            assert_eq!(milliseconds_of(first, failures, 0), longest / 2);
            assert_eq!(milliseconds_of(first, failures, longest / 2), longest);
        }
        for failures in [10, 64, u32::MAX] {
            let wait = milliseconds_of(first, failures, u64::MAX);
            assert!((150_000..=300_000).contains(&wait), "{failures}: {wait}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn no_first_wait_makes_it_overflow_or_spin() {
        for first in [Duration::ZERO, Duration::from_hours(1), Duration::MAX] {
            for longest in [Duration::ZERO, LONGEST, Duration::MAX] {
                for failures in [0, 1, u32::MAX] {
                    wait(first, longest, failures, u64::MAX);
                }
            }
        }
        assert_eq!(milliseconds_of(Duration::from_hours(1), 3, 0), 1_800_000);
    }
}
