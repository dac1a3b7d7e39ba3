//! A host that is nothing but the request that was typed, and remembers what the gate did to it.

use std::cell::RefCell;

use crate::gate::Verdict;
use crate::host::{
    Counter, Expected, ForeignAnswer, HeaderBlock, HeaderLine, Host, Response, Shared, SharedData,
    SignatureHost,
};
use crate::time::UnixTime;

/// The request and what becomes of it.
pub(super) struct ExplainingHost {
    now: UnixTime,
    headers: Vec<HeaderLine>,
    properties: Vec<(String, String)>,
    edits: RefCell<Vec<String>>,
    response: RefCell<Option<Response>>,
}

impl ExplainingHost {
    pub(super) fn new(now: UnixTime, method: &str, path: &str) -> Self {
        let mut host = Self {
            now,
            headers: Vec::new(),
            properties: Vec::new(),
            edits: RefCell::default(),
            response: RefCell::default(),
        };
        host.add_header(":method", method);
        host.add_header(":path", path);
        host
    }

    pub(super) fn add_header(&mut self, name: &str, value: &str) {
        self.headers
            .push((name.to_owned(), value.as_bytes().to_vec()));
    }

    pub(super) fn add_property(&mut self, path: &str, value: &str) {
        self.properties.push((path.to_owned(), value.to_owned()));
    }

    pub(super) const fn now_of_the_request(&self) -> UnixTime {
        self.now
    }

    /// The verdict in words, and what the upstream or the client sees of it.
    pub(super) fn outcome(&self, verdict: &Verdict) -> Vec<String> {
        let mut lines = Vec::new();
        match (verdict, &*self.response.borrow()) {
            (Verdict::Forward, _) => {
                lines.push("verdict    goes on to the upstream".to_owned());
                let edits = self.edits.borrow();
                lines.extend(edits.iter().map(|edit| format!("           {edit}")));
            }
            (_, Some(response)) => {
                lines.push(format!("verdict    refused with {}", response.status));
                for (name, value) in &response.headers {
                    lines.push(format!("           {name}: {value}"));
                }
                let body = String::from_utf8_lossy(&response.body);
                lines.extend(body.lines().map(|line| format!("           {line}")));
            }
            (_, None) => lines.push("verdict    waits for keys".to_owned()),
        }
        lines
    }
}

impl SignatureHost for ExplainingHost {
    fn verify_signature(&self, _arguments: &[u8]) -> ForeignAnswer {
        ForeignAnswer::Unavailable
    }
}

/// Nothing is shared with anybody.
impl SharedData for ExplainingHost {
    fn shared(&self, _key: &str) -> Option<Shared> {
        None
    }

    fn set_shared(&self, _key: &str, _value: &[u8], _expected: Expected) -> bool {
        false
    }
}

impl Host for ExplainingHost {
    fn now_milliseconds(&self) -> u64 {
        self.now.seconds() * 1_000
    }

    fn request_headers(&self) -> HeaderBlock {
        let lines = self.headers.iter();
        lines.map(|(name, value)| (name, value)).collect()
    }

    fn remove_request_header(&self, name: &str) {
        self.edits.borrow_mut().push(format!("- {name}"));
    }

    fn set_request_header(&self, name: &str, value: &[u8]) {
        let value = String::from_utf8_lossy(value);
        self.edits.borrow_mut().push(format!("+ {name}: {value}"));
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        let path = path.join(".");
        let mut properties = self.properties.iter();
        let property = properties.find(|(name, _)| *name == path);
        property.map(|(_, value)| value.clone().into_bytes())
    }

    fn set_filter_state(&self, name: &str, value: &[u8]) {
        let value = String::from_utf8_lossy(value);
        let edit = format!("+ filter state wasm.{name}: {value}");
        self.edits.borrow_mut().push(edit);
    }

    fn respond(&self, response: &Response) {
        self.response.replace(Some(response.clone()));
    }

    fn increment(&self, _counter: Counter, _provider: Option<&str>) {}

    fn debug(&self, _message: impl FnOnce() -> String) {}
}
