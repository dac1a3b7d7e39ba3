//! A host that consists of the request that was typed, and records what the gate did to it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::BTreeMap;

use super::Arguments;
use crate::gate::{Outcome, PROOF_HEADER, Verdict, Wait};
use crate::host::{
    Expected, ForeignAnswer, HeaderBlock, HeaderLine, Host, Response, SharedData, SharedValue,
    SignatureHost,
};
use crate::time::UnixTime;
use crate::token::{LARGEST_MAX_TOKEN_BYTES, UnverifiedToken};

/// Parts of tokens have this length at least: `{"alg":"none"}` has more. Shorter text with dots in
/// it is the name of a host, say.
const SHORTEST_PART: usize = 16;

/// What may surround a token in a header, the path or a cookie.
const SEPARATORS: &str = " \t,;&?=/\"#";

/// The request and what becomes of it.
pub(super) struct ExplainingHost {
    now: UnixTime,
    headers: Vec<HeaderLine>,
    /// Parts of tokens, which must not be shown; the longest first.
    secrets: Vec<String>,
    properties: Vec<(String, String)>,
    edits: RefCell<Vec<String>>,
    response: RefCell<Option<Response>>,
    shared: RefCell<BTreeMap<String, Vec<u8>>>,
}

impl ExplainingHost {
    /// With what Envoy knows of every request: method, path, scheme, and the host it is for.
    pub(super) fn new(now: UnixTime, arguments: &Arguments) -> Self {
        let mut host = Self {
            now,
            headers: Vec::new(),
            secrets: Vec::new(),
            properties: Vec::new(),
            edits: RefCell::default(),
            response: RefCell::default(),
            shared: RefCell::default(),
        };
        let typed = |name: &str| {
            let mut headers = arguments.headers.iter();
            headers.find(|header| HeaderBlock::kept_name(&header.name) == name)
        };
        let scheme = typed(":scheme").map_or(&*arguments.scheme, |header| &*header.value);
        for (name, value) in [
            (":method", &*arguments.method),
            (":path", &*arguments.path),
            (":scheme", scheme),
            (":authority", "localhost"),
            // As Envoy sets it for who connects to it.
            ("x-forwarded-proto", scheme),
        ] {
            if typed(name).is_none() {
                host.add_header(name, value);
            }
        }
        host
    }

    /// A header; a token may stand in any of them.
    pub(super) fn add_header(&mut self, name: &str, value: &str) {
        for text in value.split(|letter| SEPARATORS.contains(letter)) {
            if text.matches('.').count() >= 2 {
                self.hide(text, SHORTEST_PART);
            }
        }
        self.headers
            .push((name.to_owned(), value.as_bytes().to_vec()));
    }

    /// Whether the request came over an encrypted connection.
    pub(super) fn is_encrypted(&self) -> bool {
        let mut lines = self.headers.iter();
        lines.any(|(name, value)| name == ":scheme" && value.eq_ignore_ascii_case(b"https"))
    }

    /// The token that stands somewhere in the request, if there is one and no other.
    pub(super) fn only_token(&self) -> Option<String> {
        // A proof is a JWT as well, and no token.
        let others = self.headers.iter().filter(|(name, _)| name != PROOF_HEADER);
        let values = others.filter_map(|(_, value)| {
            let text = std::str::from_utf8(value).ok()?;
            let parts = text.split(|letter| SEPARATORS.contains(letter));
            Some(parts.filter(|part| is_token(part)))
        });
        let mut tokens: Vec<&str> = values.flatten().collect();
        tokens.sort_unstable();
        tokens.dedup();
        match tokens.as_slice() {
            [one] => Some((*one).to_owned()),
            _ => None,
        }
    }

    /// Keeps the parts of this token that are long enough from being shown.
    pub(super) fn hide(&mut self, token: &str, shortest: usize) {
        let parts = token.split('.').filter(|part| part.len() >= shortest);
        self.secrets.extend(parts.map(str::to_owned));
        self.secrets
            .sort_by_key(|part| std::cmp::Reverse(part.len()));
    }

    /// The line with every part of a token replaced.
    pub(super) fn redacted(&self, line: &str) -> String {
        let mut shown = Cow::Borrowed(line);
        for secret in &self.secrets {
            if shown.contains(secret) {
                shown = Cow::Owned(shown.replace(secret, "<part of a token>"));
            }
        }
        shown.into_owned()
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
                for (name, value) in response.headers.lines() {
                    let [name, value] = [name, value].map(String::from_utf8_lossy);
                    lines.push(format!("           {name}: {value}"));
                }
                let body = String::from_utf8_lossy(&response.body);
                lines.extend(body.lines().map(|line| format!("           {line}")));
            }
            (Verdict::Wait(Wait::Session(call)), None) => {
                let service = call.service().label();
                lines.push(format!(
                    "verdict    served by the gate, with the authority: {service}"
                ));
            }
            (_, None) => lines.push("verdict    waits for keys".to_owned()),
        }
        lines
    }
}

/// Whether the configuration permits tokens this long is for the gate to decide.
fn is_token(text: &str) -> bool {
    UnverifiedToken::parse_up_to(LARGEST_MAX_TOKEN_BYTES, text.as_bytes()).is_ok()
}

impl SignatureHost for ExplainingHost {
    fn verify_signature(&self, _arguments: &[u8]) -> ForeignAnswer {
        ForeignAnswer::Unavailable
    }
}

/// What the one request writes itself, and nothing else.
impl SharedData for ExplainingHost {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        let bytes = self.shared.borrow().get(key)?.clone();
        Some(SharedValue { bytes, version: 1 })
    }

    fn set_shared(&self, key: &str, value: &[u8], _expected: Expected) -> bool {
        let mut shared = self.shared.borrow_mut();
        shared.insert(key.to_owned(), value.to_vec());
        true
    }
}

impl Host for ExplainingHost {
    fn now_milliseconds(&self) -> u64 {
        self.now.seconds() * 1_000
    }

    /// No calls are made, so nothing has to be unpredictable.
    fn random(&self) -> u64 {
        0
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

    fn count(&self, _outcome: Outcome, _provider: Option<usize>) {}

    fn debug(&self, _message: impl FnOnce() -> String) {}
}
