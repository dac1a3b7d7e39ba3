//! What the virtual machines of a simulated process of Envoy share.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::time::SystemTime;

use portcullis::host::{Expected, SharedData, SharedValue};

use super::support::Random;

/// One process: its shared data, its clock and its log.
pub(crate) struct Memory {
    /// Milliseconds since the epoch.
    pub(crate) now: Cell<u64>,
    values: RefCell<HashMap<String, SharedValue>>,
    random: RefCell<Random>,
    last: Cell<u32>,
    warnings: RefCell<Vec<String>>,
}

impl Memory {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self {
            now: Cell::new(clock()),
            values: RefCell::default(),
            random: RefCell::new(Random::seeded(seed)),
            last: Cell::new(0),
            warnings: RefCell::default(),
        }
    }

    /// Sets its clock by the machine's.
    pub(crate) fn look_at_the_clock(&self) {
        self.now.set(clock());
    }

    /// What was logged since this was asked last.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    pub(crate) fn warn(&self, message: &str) {
        self.warnings.borrow_mut().push(message.to_owned());
    }

    pub(crate) fn random(&self) -> u64 {
        self.random.borrow_mut().next()
    }

    /// A number that nothing else in this process has.
    pub(crate) fn number(&self) -> u32 {
        self.last.set(self.last.get() + 1);
        self.last.get()
    }
}

impl SharedData for Memory {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.values.borrow().get(key).cloned()
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        let mut values = self.values.borrow_mut();
        let present = values.get(key).map(|shared| shared.version);
        let is_expected = match expected {
            Expected::Anything => true,
            Expected::Absent => present.is_none(),
            Expected::Version(version) => present == Some(version),
        };
        if is_expected {
            let version = self.number();
            let bytes = value.to_vec();
            values.insert(key.to_owned(), SharedValue { bytes, version });
        }
        is_expected
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an edge compares its own clock with nobody else's"
)]
fn clock() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since_epoch.expect("a clock past 1970").as_millis();
    u64::try_from(milliseconds).expect("a clock before the year 584 million")
}
