//! A host that has one request and ignores all other calls.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use portcullis::gate::Outcome;
use portcullis::host::{
    Expected, ForeignAnswer, HeaderBlock, Host, Response, SharedData, SharedValue, SignatureHost,
};

pub(crate) struct SilentHost {
    /// As the host lays them out.
    headers: RefCell<Vec<u8>>,
    /// Where the bytes are that [`SilentHost::renew_token`] changes.
    varying: usize,
    now_milliseconds: u64,
    signatures: ForeignAnswer,
    /// Shared data, if there are any.
    memory: Option<Rc<Memory>>,
    /// Status of the last answer to the client.
    answered: Cell<u16>,
}

/// What a process shares: values by their keys, each with its version.
#[derive(Debug, Default)]
pub(crate) struct Memory(RefCell<HashMap<String, SharedValue>>);

impl Memory {
    /// Bytes of all keys and values.
    pub(crate) fn size(&self) -> usize {
        let values = self.0.borrow();
        let sizes = values
            .iter()
            .map(|(key, value)| key.len() + value.bytes.len());
        sizes.sum()
    }
}

/// Letters of a signature that differ from token to token: far from its ends, where not every byte
/// is allowed.
const VARYING_LETTERS: usize = 8;

impl SilentHost {
    /// With the request of a mobile app for this path, with this token, on a host without
    /// `verify_signature`.
    pub(crate) fn asked_for(path: &str, token: Option<&str>, now_milliseconds: u64) -> Self {
        let bearer = token.map(|token| format!("Bearer {token}"));
        let lines = [
            (":authority", "api.example"),
            (":path", path),
            (":method", "GET"),
            (":scheme", "https"),
            ("user-agent", "MobileApp/7.1 (iPhone; iOS 19.2)"),
            ("accept", "application/json"),
            ("accept-encoding", "gzip, br"),
            ("accept-language", "en-GB"),
            ("x-request-id", "3f1e7f4c-8d2f-4b8e-9c7e-2b1e6f1a2b3c"),
        ];
        let bearer = bearer.as_deref().map(|bearer| ("authorization", bearer));
        let headers: HeaderBlock = lines.into_iter().chain(bearer).collect();
        let headers = headers.as_ref().to_vec();
        // The token is the last thing there.
        let dot = headers.iter().rposition(|byte| *byte == b'.');
        Self {
            varying: dot.map_or(headers.len(), |dot| dot + 20),
            headers: RefCell::new(headers),
            now_milliseconds,
            signatures: ForeignAnswer::Unavailable,
            memory: None,
            answered: Cell::new(0),
        }
    }

    /// With a `verify_signature` that always answers this.
    pub(crate) fn with_signatures(mut self, answer: ForeignAnswer) -> Self {
        self.signatures = answer;
        self
    }

    /// With this memory.
    pub(crate) fn in_process(mut self, memory: &Rc<Memory>) -> Self {
        self.memory = Some(Rc::clone(memory));
        self
    }

    /// With another header, which comes before all others.
    pub(crate) fn with_header(self, name: &str, value: &str) -> Self {
        let headers = HeaderBlock::from_host(self.headers.borrow().clone());
        let headers: HeaderBlock = [(name.as_bytes(), value.as_bytes())]
            .into_iter()
            .chain(headers.lines())
            .collect();
        self.headers.replace(headers.as_ref().to_vec());
        self
    }

    /// Gives the request another token from now on, which differs in its signature only.
    pub(crate) fn renew_token(&self) {
        let mut headers = self.headers.borrow_mut();
        let letters = headers.iter_mut().skip(self.varying);
        // Counts, the first letter fastest.
        for letter in letters.take(VARYING_LETTERS) {
            *letter = match *letter {
                b'A'..=b'Y' => *letter + 1,
                _ => b'A',
            };
            if *letter != b'A' {
                break;
            }
        }
    }

    /// The status that the client was answered with since this was asked last.
    pub(crate) fn take_answered(&self) -> Option<u16> {
        Some(self.answered.take()).filter(|status| *status != 0)
    }
}

impl SignatureHost for SilentHost {
    fn verify_signature(&self, _arguments: &[u8]) -> ForeignAnswer {
        self.signatures
    }
}

impl SharedData for SilentHost {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.memory.as_ref()?.0.borrow().get(key).cloned()
    }

    /// Whatever is expected: nothing else writes here.
    fn set_shared(&self, key: &str, value: &[u8], _expected: Expected) -> bool {
        let Some(memory) = &self.memory else {
            return false;
        };
        let value = SharedValue {
            bytes: value.to_vec(),
            version: 1,
        };
        memory.0.borrow_mut().insert(key.to_owned(), value);
        true
    }
}

impl Host for SilentHost {
    fn now_milliseconds(&self) -> u64 {
        self.now_milliseconds
    }

    fn random(&self) -> u64 {
        0
    }

    fn request_headers(&self) -> HeaderBlock {
        HeaderBlock::from_host(self.headers.borrow().clone())
    }

    fn remove_request_header(&self, _name: &str) {}

    fn set_request_header(&self, _name: &str, _value: &[u8]) {}

    fn property(&self, _path: &[&str]) -> Option<Vec<u8>> {
        None
    }

    fn set_filter_state(&self, _name: &str, _value: &[u8]) {}

    fn respond(&self, response: &Response) {
        self.answered.set(response.status);
    }

    fn count(&self, _outcome: Outcome, _provider: Option<usize>) {}

    fn debug(&self, _message: impl FnOnce() -> String) {}
}
