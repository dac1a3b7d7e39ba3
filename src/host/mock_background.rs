//! Several virtual machines of one process for tests: a space that they share, and for each of
//! them a host with a clock, random numbers and calls that the test answers.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::{BackgroundHost, Call, CallHost, CallId, Expected, NotSent, SharedData, SharedValue};

/// The shared data of a process, and its clock.
#[derive(Debug, Default)]
pub struct MockSpace {
    values: RefCell<BTreeMap<String, SharedValue>>,
    writes: Cell<u32>,
}

impl MockSpace {
    /// How many writes have succeeded.
    pub fn writes(&self) -> u32 {
        self.writes.get()
    }

    /// Every key that was written.
    pub fn keys(&self) -> Vec<String> {
        self.values.borrow().keys().cloned().collect()
    }
}

impl SharedData for MockSpace {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.values.borrow().get(key).cloned()
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        let mut values = self.values.borrow_mut();
        let present = values.get(key).map(|shared| shared.version);
        let is_as_expected = match expected {
            Expected::Anything => true,
            Expected::Absent => present.is_none(),
            Expected::Version(version) => present.is_none_or(|present| present == version),
        };
        if is_as_expected {
            self.writes.set(self.writes.get() + 1);
            let shared = SharedValue {
                bytes: value.to_vec(),
                version: self.writes.get(),
            };
            values.insert(key.to_owned(), shared);
        }
        is_as_expected
    }
}

/// One virtual machine.
#[derive(Debug)]
pub struct MockBackground {
    /// Shared with the others.
    pub space: Rc<MockSpace>,
    /// Milliseconds since the epoch.
    pub now: Rc<Cell<u64>>,
    /// What [`BackgroundHost::random`] gives.
    pub random: Cell<u64>,
    /// Whether calls are refused at once.
    pub refuses_calls: Cell<bool>,
    /// Calls that were sent, with their ids.
    pub calls: RefCell<Vec<(CallId, Call)>>,
    /// What was logged, warnings with `warning: ` before them.
    pub log: RefCell<Vec<String>>,
}

impl MockBackground {
    /// A virtual machine in this space, with this clock.
    pub fn new(space: &Rc<MockSpace>, now: &Rc<Cell<u64>>) -> Self {
        Self {
            space: Rc::clone(space),
            now: Rc::clone(now),
            random: Cell::new(0),
            refuses_calls: Cell::new(false),
            calls: RefCell::default(),
            log: RefCell::default(),
        }
    }

    /// The calls since this was last asked.
    pub fn take_calls(&self) -> Vec<(CallId, Call)> {
        self.calls.take()
    }

    /// The log since this was last asked.
    pub fn take_log(&self) -> Vec<String> {
        self.log.take()
    }
}

impl SharedData for MockBackground {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.space.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        self.space.set_shared(key, value, expected)
    }
}

impl CallHost for MockBackground {
    fn call(&self, call: &Call) -> Result<CallId, NotSent> {
        thread_local! {
            static LAST: Cell<u32> = const { Cell::new(0) };
        }
        if self.refuses_calls.get() {
            return Err(NotSent::NoCluster);
        }
        LAST.set(LAST.get() + 1);
        let id = CallId(LAST.get());
        self.calls.borrow_mut().push((id, call.clone()));
        Ok(id)
    }
}

impl BackgroundHost for MockBackground {
    fn now_milliseconds(&self) -> u64 {
        self.now.get()
    }

    fn random(&self) -> u64 {
        self.random.get()
    }

    fn warn(&self, message: &str) {
        self.log.borrow_mut().push(format!("warning: {message}"));
    }

    fn info(&self, message: &str) {
        self.log.borrow_mut().push(message.to_owned());
    }
}
