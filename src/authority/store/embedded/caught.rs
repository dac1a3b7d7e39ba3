//! Turning panics of the database into errors.
//!
//! redb trusts its file: pages that something else has changed make it panic. The panic's message
//! does not help an operator, so it is not shown.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use super::StoreError;

/// Does the work, and gives [`StoreError::Broken`] when it panics.
///
/// The work may be half done then. That is sound here: a dropped transaction has no effect, and
/// after an error the file is reopened.
pub(in crate::authority) fn caught<T>(
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    keep_quiet();
    let before = IS_CAUGHT.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    IS_CAUGHT.set(before);
    done.unwrap_or(Err(StoreError::Broken(None)))
}

/// Drops something of the database, which may make it write, and panic.
pub(in crate::authority) fn discard<T>(database: T) {
    let _ = caught(|| {
        drop(database);
        Ok(())
    });
}

/// Silences panics that are caught. All others print as before.
fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panicked| {
            if !IS_CAUGHT.get() {
                usual(panicked);
            }
        }));
    });
}

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_and_what_is_done_comes_through() {
        let broken = caught(|| -> Result<(), _> { panic!("as the database does") });
        assert!(
            matches!(broken, Err(StoreError::Broken(None))),
            "{broken:?}"
        );
        assert!(!IS_CAUGHT.get());
        assert_eq!(caught(|| Ok(7)).unwrap(), 7);
    }
}
