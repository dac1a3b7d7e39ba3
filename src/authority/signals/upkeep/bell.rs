//! Waiting that ends when something has to be done.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a thread waits at.
#[derive(Debug, Default)]
pub(super) struct Bell {
    state: Mutex<Rung>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    is_stopped: bool,
    is_rung: bool,
}

/// Why a wait has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Its time was over.
    Late,
    /// Someone has rung.
    Rung,
    /// The thread has to end.
    Stopped,
}

impl Bell {
    /// Ends the wait that is, or the next one.
    pub(super) fn ring(&self) {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_rung = true;
        self.changed.notify_all();
    }

    /// Ends every wait.
    pub(super) fn stop(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_stopped = true;
        self.changed.notify_all();
    }

    pub(super) fn is_stopped(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_stopped
    }

    /// Whether someone has rung since the last wait.
    pub(super) fn is_rung(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_rung
    }

    /// Waits for so long at most.
    pub(super) fn wait(&self, limit: Duration) -> Woken {
        let deadline = Instant::now() + limit;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if state.is_stopped {
                return Woken::Stopped;
            }
            if std::mem::take(&mut state.is_rung) {
                return Woken::Rung;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Woken::Late;
            }
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::thread;

    use super::*;

    #[test]
    fn a_wait_ends_with_its_time_a_ring_or_the_end() {
        let bell = Arc::new(Bell::default());
        assert_eq!(bell.wait(Duration::ZERO), Woken::Late);
        bell.ring();
        assert!(bell.is_rung());
        assert_eq!(bell.wait(Duration::from_hours(1)), Woken::Rung);
        assert!(!bell.is_rung());
        let ringer = Arc::clone(&bell);
        let thread = thread::spawn(move || ringer.stop());
        assert_eq!(bell.wait(Duration::from_hours(1)), Woken::Stopped);
        assert_eq!(bell.wait(Duration::from_hours(1)), Woken::Stopped);
        thread.join().unwrap();
    }
}
