//! Requests that wait for newer keys.

/// Most requests that wait in one virtual machine. Each holds a stream of Envoy; the ones beyond
/// are decided at once.
pub const MAX_WAITING: usize = 1024;

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
    until: u64,
}

impl Waiting {
    /// Lets the request of this context wait for the fetch after the one that ended at `seen`, at
    /// most until `until`, in milliseconds since the epoch. `false` when too many wait.
    pub fn add(&mut self, context: u32, provider: usize, seen: u64, until: u64) -> bool {
        if self.requests.len() >= MAX_WAITING {
            return false;
        }
        self.requests.push(Request {
            context,
            provider,
            seen,
            until,
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
    /// `finished_at` of their provider is no longer what it was.
    pub fn take_ready(
        &mut self,
        now_milliseconds: u64,
        finished_at: impl Fn(usize) -> u64,
    ) -> Vec<Ready> {
        let is_ready = |request: &mut Request| {
            now_milliseconds >= request.until || finished_at(request.provider) != request.seen
        };
        let ready = self.requests.extract_if(.., is_ready);
        let ready = ready.map(|Request { context, until, .. }| Ready {
            context,
            until: (now_milliseconds < until).then_some(until),
        });
        ready.collect()
    }
}

/// A request to decide about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// Its context.
    pub context: u32,
    /// Until when it may go on waiting, should the fetch not have been the one that it needs.
    pub until: Option<u64>,
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn contexts(ready: &[Ready]) -> Vec<u32> {
        ready.iter().map(|ready| ready.context).collect()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_is_ready_when_its_own_fetch_has_ended_or_its_time_is_up() {
        let mut waiting = Waiting::default();
        assert!(waiting.add(10, 0, 5, 3_000));
        assert!(waiting.add(11, 1, 7, 3_500));
        let unchanged = |provider| [5, 7][provider];
        assert!(waiting.take_ready(1_600, unchanged).is_empty());
        let ready = Ready {
            context: 11,
            until: Some(3_500),
        };
        assert_eq!(
            waiting.take_ready(1_700, |provider| [5, 8][provider]),
            [ready]
        );
        assert!(waiting.take_ready(2_999, unchanged).is_empty());
        let ready = Ready {
            context: 10,
            until: None,
        };
        assert_eq!(waiting.take_ready(3_000, unchanged), [ready]);
        assert!(waiting.is_empty());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_that_has_gone_is_not_woken() {
        let mut waiting = Waiting::default();
        waiting.add(10, 0, 0, 2_000);
        waiting.add(11, 0, 0, 2_000);
        waiting.remove(10);
        waiting.remove(12);
        assert_eq!(contexts(&waiting.take_ready(10_000, |_| 0)), [11]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn no_more_wait_than_may() {
        let mut waiting = Waiting::default();
        let added = (0..2_000).filter(|context| waiting.add(*context, 0, 0, 2_000));
        assert_eq!(added.count(), MAX_WAITING);
    }
}
