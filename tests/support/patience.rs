//! How long tests wait for what has to happen but has no deadline.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes, even on a machine that compiles at the same time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until a condition holds; if it never does, fails and says `what` is the case.
#[track_caller]
pub(crate) fn until(what: impl Fn() -> String, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            Instant::now() < deadline,
            "does not come to hold: {}",
            what()
        );
        thread::sleep(Duration::from_millis(10));
    }
}
