//! A host for tests that records what it is asked to do.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use super::*;
use crate::time::UnixTime;

/// Edits, answers and counts, in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// [`Host::remove_request_header`].
    Remove(String),
    /// [`Host::set_request_header`].
    Set(String, String),
    /// [`Host::set_filter_state`].
    FilterState(String, String),
}

/// What a host can fail at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostCall {
    /// [`Host::request_headers`].
    Headers,
    /// [`Host::remove_request_header`].
    Remove,
    /// [`Host::set_request_header`].
    Set,
    /// [`Host::property`].
    Property,
}

/// A host whose clock stands still and whose headers are given.
#[derive(Debug)]
pub struct MockHost {
    now: UnixTime,
    headers: Vec<HeaderLine>,
    foreign: ForeignAnswer,
    properties: Vec<(String, Vec<u8>)>,
    fails_at: Option<HostCall>,
    has_failed: Cell<bool>,
    /// How many signatures were verified.
    pub verifications: Cell<usize>,
    /// The process that it runs in.
    pub process: Rc<MockProcess>,
    /// What was done to the request's headers.
    pub edits: RefCell<Vec<Edit>>,
    /// What was answered.
    pub response: RefCell<Option<Response>>,
    /// The outcomes that were counted, and for which providers.
    pub counted: RefCell<Vec<(Outcome, Option<usize>)>>,
    /// What was logged.
    pub log: RefCell<Vec<String>>,
}

impl MockHost {
    /// A `GET` of `path` at `now`, on a host without `verify_signature`.
    #[must_use]
    pub fn get(path: &str, now: UnixTime) -> Self {
        Self {
            now,
            headers: vec![
                (":method".into(), b"GET".to_vec()),
                (":path".into(), path.as_bytes().to_vec()),
                (":authority".into(), b"api.example".to_vec()),
            ],
            foreign: ForeignAnswer::Unavailable,
            properties: Vec::new(),
            fails_at: None,
            has_failed: Cell::new(false),
            verifications: Cell::new(0),
            process: Rc::default(),
            edits: RefCell::default(),
            response: RefCell::default(),
            counted: RefCell::default(),
            log: RefCell::default(),
        }
    }

    /// In this process.
    #[must_use]
    pub fn in_process(mut self, process: &Rc<MockProcess>) -> Self {
        self.process = Rc::clone(process);
        self
    }

    /// With one more header line.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.into(), value.as_ref().to_vec()));
        self
    }

    /// Without the header lines of this name.
    #[must_use]
    pub fn without_header(mut self, name: &str) -> Self {
        self.headers.retain(|(line, _)| line != name);
        self
    }

    /// With a `verify_signature` that always gives the same answer.
    #[must_use]
    pub fn with_foreign_answer(mut self, answer: ForeignAnswer) -> Self {
        self.foreign = answer;
        self
    }

    /// With a property, its path written with `.` between the names.
    #[must_use]
    pub fn with_property(mut self, path: &str, value: impl AsRef<[u8]>) -> Self {
        self.properties.push((path.into(), value.as_ref().to_vec()));
        self
    }

    /// With a host that fails whenever it is asked for this.
    #[must_use]
    pub fn failing_at(mut self, call: HostCall) -> Self {
        self.fails_at = Some(call);
        self
    }

    /// Whether it does what it is asked for.
    fn does(&self, call: HostCall) -> bool {
        let fails = self.fails_at == Some(call);
        self.has_failed.set(self.has_failed.get() || fails);
        !fails
    }

    /// The headers as the upstream would see them after all edits.
    pub fn forwarded_headers(&self) -> Vec<(String, String)> {
        let mut lines: Vec<(String, String)> = self
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), String::from_utf8_lossy(value).into_owned()))
            .collect();
        for edit in self.edits.borrow().iter() {
            match edit {
                Edit::Remove(name) => lines.retain(|(line, _)| line != name),
                Edit::Set(name, value) => {
                    lines.retain(|(line, _)| line != name);
                    lines.push((name.clone(), value.clone()));
                }
                Edit::FilterState(..) => {}
            }
        }
        lines
    }

    /// The value of one header as the upstream would see it.
    pub fn forwarded(&self, name: &str) -> Option<String> {
        let lines = self.forwarded_headers();
        lines
            .into_iter()
            .find(|(line, _)| line == name)
            .map(|(_, value)| value)
    }
}

impl SharedData for MockHost {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.process.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        self.process.set_shared(key, value, expected)
    }
}

impl SignatureHost for MockHost {
    fn verify_signature(&self, _arguments: &[u8]) -> ForeignAnswer {
        self.foreign
    }
}

impl Host for MockHost {
    fn now_milliseconds(&self) -> u64 {
        self.now.seconds() * 1_000
    }

    fn random(&self) -> u64 {
        self.process.random()
    }

    fn has_failed(&self) -> bool {
        self.has_failed.get()
    }

    fn request_headers(&self) -> HeaderBlock {
        if !self.does(HostCall::Headers) {
            return HeaderBlock::default();
        }
        let lines = self.headers.iter();
        lines.map(|(name, value)| (name, value)).collect()
    }

    fn remove_request_header(&self, name: &str) {
        if self.does(HostCall::Remove) {
            self.edits.borrow_mut().push(Edit::Remove(name.into()));
        }
    }

    fn set_request_header(&self, name: &str, value: &[u8]) {
        let value = String::from_utf8_lossy(value).into_owned();
        if self.does(HostCall::Set) {
            self.edits.borrow_mut().push(Edit::Set(name.into(), value));
        }
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        if !self.does(HostCall::Property) {
            return None;
        }
        let path = path.join(".");
        let property = self.properties.iter().find(|(name, _)| *name == path);
        property.map(|(_, value)| value.clone())
    }

    fn set_filter_state(&self, name: &str, value: &[u8]) {
        let value = String::from_utf8_lossy(value).into_owned();
        let edit = Edit::FilterState(name.into(), value);
        self.edits.borrow_mut().push(edit);
    }

    fn respond(&self, response: &Response) {
        let earlier = self.response.replace(Some(response.clone()));
        assert_eq!(earlier, None, "a request is answered once");
    }

    fn count(&self, outcome: Outcome, provider: Option<usize>) {
        self.counted.borrow_mut().push((outcome, provider));
    }

    fn timed<T>(&self, verification: impl FnOnce() -> T) -> T {
        self.verifications.set(self.verifications.get() + 1);
        verification()
    }

    fn debug(&self, message: impl FnOnce() -> String) {
        self.log.borrow_mut().push(message());
    }
}

/// The memory that the virtual machines of one process share, and the network around it.
#[derive(Debug)]
pub struct MockProcess {
    values: RefCell<BTreeMap<String, SharedValue>>,
    /// Milliseconds since the epoch.
    pub now: Cell<u64>,
    /// Calls that have not been answered.
    pub calls: RefCell<Vec<(CallId, Call)>>,
    /// What was logged.
    pub log: RefCell<Vec<String>>,
    numbers: Cell<u64>,
    /// How many writes have succeeded.
    pub writes: Cell<u64>,
    /// Whether calls are refused at once.
    pub refuses_calls: Cell<bool>,
    /// Writes that still succeed; the rest is as if the writer had died before it.
    pub writes_left: Cell<Option<u64>>,
}

impl Default for MockProcess {
    fn default() -> Self {
        Self {
            values: RefCell::default(),
            // 2026-01-01T00:00:00Z.
            now: Cell::new(1_767_225_600_000),
            calls: RefCell::default(),
            log: RefCell::default(),
            numbers: Cell::new(0),
            writes: Cell::new(0),
            refuses_calls: Cell::new(false),
            writes_left: Cell::new(None),
        }
    }
}

impl MockProcess {
    fn number(&self) -> u64 {
        self.numbers.set(self.numbers.get() + 1);
        self.numbers.get()
    }

    /// Lets time pass.
    pub fn pass(&self, milliseconds: u64) {
        self.now.set(self.now.get() + milliseconds);
    }

    /// The keys of all values that are not empty.
    pub fn keys(&self) -> Vec<String> {
        let values = self.values.borrow();
        let full = values.iter().filter(|(_, value)| !value.bytes.is_empty());
        full.map(|(key, _)| key.clone()).collect()
    }
}

impl SharedData for MockProcess {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.values.borrow().get(key).cloned()
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        match self.writes_left.get() {
            Some(0) => return true,
            Some(left) => self.writes_left.set(Some(left - 1)),
            None => {}
        }
        let present = self.shared(key).map(|shared| shared.version);
        let is_expected = match (expected, present) {
            (Expected::Anything, _) | (Expected::Absent, None) => true,
            (Expected::Version(expected), Some(version)) => version == expected,
            _ => false,
        };
        if is_expected {
            self.writes.set(self.writes.get() + 1);
            let version = u32::try_from(self.number()).unwrap();
            let bytes = value.to_vec();
            let value = SharedValue { bytes, version };
            self.values.borrow_mut().insert(key.to_owned(), value);
        }
        is_expected
    }
}

impl CallHost for MockProcess {
    fn call(&self, call: &Call) -> Result<CallId, NotSent> {
        if self.refuses_calls.get() {
            return Err(NotSent::NoCluster);
        }
        let id = CallId(u32::try_from(self.number()).unwrap());
        self.calls.borrow_mut().push((id, call.clone()));
        Ok(id)
    }
}

impl BackgroundHost for MockProcess {
    fn now_milliseconds(&self) -> u64 {
        self.now.get()
    }

    fn random(&self) -> u64 {
        self.number()
    }

    fn instance(&self) -> Vec<u8> {
        b"edge 1".to_vec()
    }

    fn warn(&self, message: &str) {
        self.log.borrow_mut().push(message.to_owned());
    }

    fn info(&self, message: &str) {
        self.log.borrow_mut().push(message.to_owned());
    }
}
