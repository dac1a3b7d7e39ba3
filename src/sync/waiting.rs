//! Requests that wait for newer keys.

use crate::time::Interval;

/// Most requests that wait in one virtual machine. Each holds a stream of Envoy; the ones beyond
/// are decided at once.
pub const MAX_WAITING: usize = 1024;

/// Most of them that go on at once. Each may have its signature checked under several keys, and the
/// worker does nothing else meanwhile; the others go on with the next tick.
const MAX_READY: usize = 256;

/// The requests of one virtual machine that wait, oldest first.
#[derive(Debug, Default)]
pub struct Waiting {
    requests: Vec<Request>,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    context: u32,
    provider: usize,
    /// The last fetch that had ended when it began to wait.
    seen: u64,
    patience: Interval,
}

impl Waiting {
    /// Lets the request of this context wait for the fetch after the one that ended at `seen`, as
    /// long as `patience` lasts. `false` when too many wait.
    pub fn add(&mut self, context: u32, provider: usize, seen: u64, patience: Interval) -> bool {
        if self.requests.len() >= MAX_WAITING {
            return false;
        }
        self.requests.push(Request {
            context,
            provider,
            seen,
            patience,
        });
        true
    }

    /// Forgets a request, which has gone.
    pub fn remove(&mut self, context: u32) {
        self.requests.retain(|request| request.context != context);
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Takes out the requests whose time is up, and those whose fetch has ended: for which
    /// `finished_at` of their provider is no longer what it was. Gives the contexts of the first 256.
    pub fn take_ready(
        &mut self,
        now_milliseconds: u64,
        finished_at: impl Fn(usize) -> u64,
    ) -> Vec<u32> {
        let is_ready = |request: &mut Request| {
            let has_changed = finished_at(request.provider) != request.seen;
            has_changed || request.patience.is_over(now_milliseconds)
        };
        let ready = self.requests.extract_if(.., is_ready);
        ready
            .take(MAX_READY)
            .map(|request| request.context)
            .collect()
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
            assert!(waiting.add(context, 0, 5, PATIENCE));
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
        assert!(waiting.add(10, 0, 5, PATIENCE));
        assert!(waiting.add(11, 1, 7, PATIENCE));
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
        waiting.add(10, 0, 0, PATIENCE);
        assert_eq!(waiting.take_ready(999, |_| 0), [10]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_that_has_gone_is_not_woken() {
        let mut waiting = Waiting::default();
        waiting.add(10, 0, 0, PATIENCE);
        waiting.add(11, 0, 0, PATIENCE);
        waiting.remove(10);
        waiting.remove(12);
        assert_eq!(waiting.take_ready(10_000, |_| 0), [11]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn no_more_wait_than_may() {
        let mut waiting = Waiting::default();
        let added = (0..2_000).filter(|context| waiting.add(*context, 0, 0, PATIENCE));
        assert_eq!(added.count(), MAX_WAITING);
    }
}
