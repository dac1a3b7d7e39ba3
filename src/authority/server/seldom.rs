//! Rate-limited logging.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_secs(10);

/// Lets a line into the log at once, and then at most every [`PAUSE`], with the number of
/// occurrences in between.
#[derive(Debug, Default)]
pub(in crate::authority) struct Seldom(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    times: u64,
}

impl Seldom {
    /// Counts an occurrence; returns how many there were since the last line, if another is due.
    pub(in crate::authority) fn take(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.times += 1;
        if state
            .last
            .is_some_and(|last| now.saturating_duration_since(last) < PAUSE)
        {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.times))
    }

    /// Whether it has been quiet for so long that it may be dropped.
    pub(in crate::authority) fn is_over(&self, now: Instant) -> bool {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_old = |last| now.saturating_duration_since(last) >= 2 * PAUSE;
        state.last.is_some_and(is_old)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_all_the_time_is_said_at_once_and_then_once_in_a_while() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert_eq!(seldom.take(start), Some(1));
        for _ in 0..99 {
            assert_eq!(seldom.take(start + PAUSE / 2), None);
        }
        assert_eq!(seldom.take(start + PAUSE), Some(100));
        assert_eq!(seldom.take(start + PAUSE), None);
    }

    #[test]
    fn what_no_line_was_due_of_for_long_is_over() {
        let (seldom, start) = (Seldom::default(), Instant::now());
        assert!(!seldom.is_over(start));
        for times in 0..2 {
            seldom.take(start + PAUSE * times);
        }
        assert!(!seldom.is_over(start + 2 * PAUSE));
        assert!(seldom.is_over(start + 3 * PAUSE));
    }
}
