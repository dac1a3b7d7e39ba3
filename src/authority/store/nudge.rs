//! Waking a thread that looks now and then, because something waits for what it finds.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whether another look is wanted. One that is under way does not count: what is waited for may have come
/// after it began.
#[derive(Debug, Default)]
pub(in crate::authority) struct Nudge {
    is_wanted: Mutex<bool>,
    wanted: Condvar,
}

impl Nudge {
    /// Has the next look begin at once, or as soon as the one that is under way has ended.
    pub(super) fn give(&self) {
        *self.is_wanted() = true;
        self.wanted.notify_one();
    }

    /// Waits until a look is wanted since the last time, but for no longer than `limit`.
    pub(in crate::authority) fn wait(&self, limit: Duration) {
        let waited = self
            .wanted
            .wait_timeout_while(self.is_wanted(), limit, |is_wanted| !*is_wanted);
        let (mut is_wanted, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *is_wanted = false;
    }

    fn is_wanted(&self) -> MutexGuard<'_, bool> {
        self.is_wanted
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    #[test]
    fn what_is_wanted_during_a_look_is_had_at_once_after_it_and_only_once() {
        let nudge = Nudge::default();
        nudge.give();
        nudge.give();
        let began = Instant::now();
        nudge.wait(LONG);
        assert!(began.elapsed() < LONG);
        // Nothing is wanted any more.
        nudge.wait(Duration::from_millis(20));
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    #[test]
    fn what_is_wanted_meanwhile_ends_the_wait() {
        let nudge = Arc::new(Nudge::default());
        let giving = Arc::clone(&nudge);
        let thread = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            giving.give();
        });
        let began = Instant::now();
        nudge.wait(LONG);
        assert!(began.elapsed() < LONG);
        thread.join().unwrap();
    }
}
