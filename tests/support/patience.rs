//! How long is waited for what has to come, and is promised by nobody to come sooner.

use std::thread;
use std::time::{Duration, Instant};

/// Longer than anything takes on a machine that compiles at the same time.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Waits until something holds; when it never does, fails and says `what` is the case.
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
