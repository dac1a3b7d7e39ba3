//! Requests that wait for newer keys.

use crate::time::Interval;

/// Most requests of one virtual machine that wait for keys. Each holds a stream of Envoy; further
/// ones are decided at once.
pub(super) const MAX_WAITING: usize = 1024;

/// Most of them that are resumed at once. Each may have its signature checked under several keys,
/// and the worker does nothing else meanwhile; the others are resumed with the next tick.
const MAX_READY: usize = 256;

/// The requests, `W`, of one virtual machine that wait for keys, oldest first.
#[derive(Debug)]
pub(super) struct Waiting<W> {
    entries: Vec<Entry<W>>,
}

#[derive(Debug)]
struct Entry<W> {
    waiter: W,
    /// The index of the provider whose keys it waits for.
    provider: usize,
    /// The last fetch that had ended when it began to wait.
    seen: u64,
    patience: Interval,
}

impl<W> Default for Waiting<W> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
        }
    }
}

impl<W> Waiting<W> {
    /// Lets a request wait for the fetch after the one that ended at `seen`, as long as `patience`
    /// lasts.
    ///
    /// # Errors
    ///
    /// The request, when too many wait.
    pub(super) fn add(
        &mut self,
        waiter: W,
        provider: usize,
        seen: u64,
        patience: Interval,
    ) -> Result<(), W> {
        if self.entries.len() >= MAX_WAITING {
            return Err(waiter);
        }
        self.entries.push(Entry {
            waiter,
            provider,
            seen,
            patience,
        });
        Ok(())
    }

    /// Drops the requests that have gone.
    pub(super) fn leave(&mut self, has_gone: impl Fn(&W) -> bool) {
        self.entries.retain(|entry| !has_gone(&entry.waiter));
    }

    /// Whether no request waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes the requests whose time is up, and those whose fetch has ended: `finished_at` of
    /// their provider has changed. Takes the first [`MAX_READY`] of them.
    pub(super) fn take_ready(
        &mut self,
        now_milliseconds: u64,
        finished_at: impl Fn(usize) -> u64,
    ) -> Vec<W> {
        let is_ready = |entry: &mut Entry<W>| {
            let has_changed = finished_at(entry.provider) != entry.seen;
            has_changed || entry.patience.is_over(now_milliseconds)
        };
        let ready = self.entries.extract_if(.., is_ready);
        ready.take(MAX_READY).map(|entry| entry.waiter).collect()
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    const PATIENCE: Interval = Interval::between(1_000, 3_000);

    #[wasm_bindgen_test(unsupported = test)]
    fn of_many_that_are_ready_the_oldest_go_on_first_and_none_is_lost() {
        let mut waiting = Waiting::default();
        for context in 0..600 {
            assert_eq!(waiting.add(context, 0, 5, PATIENCE), Ok(()));
        }
        let rounds: Vec<_> = (0..4).map(|_| waiting.take_ready(1_500, |_| 6)).collect();
        assert_eq!(
            rounds.iter().map(Vec::len).collect::<Vec<_>>(),
            [256, 256, 88, 0]
        );
        assert!(rounds.concat().into_iter().eq(0..600));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_is_ready_when_its_own_fetch_has_ended_or_its_time_is_up() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.add(10, 0, 5, PATIENCE), Ok(()));
        assert_eq!(waiting.add(11, 1, 7, PATIENCE), Ok(()));
        let unchanged = |provider| [5, 7][provider];
        assert!(waiting.take_ready(1_600, unchanged).is_empty());
        let ready = waiting.take_ready(1_700, |provider| [5, 8][provider]);
        assert_eq!(ready, [11]);
        assert!(waiting.take_ready(2_999, unchanged).is_empty());
        assert_eq!(waiting.take_ready(3_000, unchanged), [10]);
        assert!(waiting.is_empty());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_clock_that_is_set_back_does_not_make_a_request_wait_longer() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.add(10, 0, 0, PATIENCE), Ok(()));
        assert_eq!(waiting.take_ready(999, |_| 0), [10]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_that_has_gone_is_not_woken() {
        let mut waiting = Waiting::default();
        for context in [10, 11] {
            assert_eq!(waiting.add(context, 0, 0, PATIENCE), Ok(()));
        }
        waiting.leave(|context| [10, 12].contains(context));
        assert_eq!(waiting.take_ready(10_000, |_| 0), [11]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn no_more_wait_than_may() {
        let mut waiting = Waiting::default();
        let added = (0..2_000).filter(|context| waiting.add(*context, 0, 0, PATIENCE).is_ok());
        assert_eq!(added.count(), MAX_WAITING);
    }
}
