//! The host of a [`KeyKeeper`](crate::keys::KeyKeeper) outside of Envoy: its shared data are one
//! thread's, its clusters are servers that are called directly.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use super::server::Server;
use super::{VerifierError, clock};
use crate::authority::configuration::IssuerKeys;
use crate::host::{
    BackgroundHost, Call, CallHost, CallId, CallOutcome, Expected, NotSent, SharedData, SharedValue,
};

/// Belongs to one thread; only the calls are made on others.
#[derive(Debug)]
pub(super) struct Background {
    servers: HashMap<String, Server>,
    shared: RefCell<HashMap<String, SharedValue>>,
    writes: Cell<u32>,
    calls: Cell<u32>,
    answers: (Sender<Answer>, Receiver<Answer>),
}

/// The end of a call.
type Answer = (CallId, CallOutcome);

impl Background {
    /// A host that can call the servers that have these keys.
    pub(super) fn new<'k>(
        keys: impl Iterator<Item = &'k IssuerKeys>,
    ) -> Result<Self, VerifierError> {
        let mut servers = HashMap::new();
        for server in keys.filter_map(IssuerKeys::server) {
            servers.insert(Server::name(server), Server::open(server)?);
        }
        Ok(Self {
            servers,
            shared: RefCell::default(),
            writes: Cell::new(0),
            calls: Cell::new(0),
            answers: channel(),
        })
    }

    /// A call that has ended.
    pub(super) fn take_answer(&self) -> Option<Answer> {
        self.answers.1.try_recv().ok()
    }
}

impl SharedData for Background {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.shared.borrow().get(key).cloned()
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        let mut shared = self.shared.borrow_mut();
        let present = shared.get(key).map(|value| value.version);
        let is_as_expected = match expected {
            Expected::Anything => true,
            Expected::Absent => present.is_none(),
            Expected::Version(version) => present == Some(version),
        };
        if is_as_expected {
            self.writes.set(self.writes.get().wrapping_add(1).max(1));
            let value = SharedValue {
                bytes: value.to_vec(),
                version: self.writes.get(),
            };
            shared.insert(key.to_owned(), value);
        }
        is_as_expected
    }
}

impl CallHost for Background {
    /// A source has one call at a time, so there are no more threads than sources, but for those
    /// whose call has taken too long.
    fn call(&self, call: &Call) -> Result<CallId, NotSent> {
        let server = self.servers.get(&call.cluster).ok_or(NotSent::NoCluster)?;
        self.calls.set(self.calls.get().wrapping_add(1));
        let id = CallId(self.calls.get());
        let (server, call) = (server.clone(), call.clone());
        let answers = self.answers.0.clone();
        let thread = thread::Builder::new().name("keys".to_owned());
        let made = thread.spawn(move || {
            // The verifier may have ended meanwhile.
            let _ = answers.send((id, server.answer(&call)));
        });
        made.map(|_| id).map_err(|_| NotSent::NoEndpoint)
    }
}

impl BackgroundHost for Background {
    fn now_milliseconds(&self) -> u64 {
        clock::now_milliseconds()
    }

    /// A system without randomness has not got this far; a pause would not be spread then.
    fn random(&self) -> u64 {
        getrandom::u64().unwrap_or_default()
    }

    fn warn(&self, message: &str) {
        tracing::warn!("{message}");
    }

    fn info(&self, message: &str) {
        tracing::info!("{message}");
    }
}
