//! A virtual machine of a simulated Envoy: the filter's own edge, and a host for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::rc::Rc;

use portcullis::edge::{ContextId, Edge, EdgeHost, End, Metric, Progress, RequestHost, State};
use portcullis::gate::{Outcome, read_configuration};
use portcullis::host::{
    BackgroundHost, Call, CallHost, CallId, CallOutcome, Expected, ForeignAnswer, HeaderBlock,
    Host, NotSent, Response, SharedData, SharedValue, SignatureHost,
};
use serde_json::Value;

use super::memory::Memory;

const ROOT: ContextId = ContextId(1);

/// One virtual machine.
pub(crate) struct Machine {
    edge: Edge<MachineHost>,
    pub(crate) host: MachineHost,
    last: Cell<u32>,
}

impl Machine {
    pub(crate) fn new(memory: &Rc<Memory>, configuration: &Value) -> Self {
        let configuration = configuration.to_string();
        let configured = read_configuration(configuration.as_bytes(), &|_| None);
        let host = MachineHost(Rc::new(Inner {
            memory: Rc::clone(memory),
            in_effect: Cell::new(ROOT),
            requests: RefCell::default(),
            calls: RefCell::default(),
            closed: RefCell::default(),
            position: Cell::new(None),
            counted: Cell::default(),
        }));
        let configured = configured.expect("a configuration without faults");
        Self {
            edge: Edge::new(configured, host.clone(), ROOT, [1; 16]),
            host,
            last: Cell::new(ROOT.0),
        }
    }

    pub(crate) fn tick(&self) {
        self.host.0.in_effect.set(ROOT);
        self.edge.on_tick();
    }

    /// Answers the calls that it has made so far. Returns whether there were any.
    pub(crate) fn answer_calls(&self, answer: impl Fn(&Call) -> CallOutcome) -> bool {
        self.end_calls(&self.take_calls(), answer)
    }

    /// The calls that it has made since this was asked last.
    pub(crate) fn take_calls(&self) -> Vec<OpenCall> {
        self.host.0.calls.take()
    }

    /// Reports the end of a call to it.
    pub(crate) fn end_call(&self, call: &OpenCall, outcome: &CallOutcome) {
        self.host.0.in_effect.set(call.context);
        self.edge.on_call_ended(call.context, call.id, outcome);
    }

    /// The outcome of a request with this token. `answer` answers its checks.
    pub(crate) fn send(&self, token: &str, answer: impl Fn(&Call) -> CallOutcome) -> Outcome {
        let (outcome, stream) = self.open(token, answer);
        self.leave(&stream);
        outcome
    }

    /// The same, for a request that stays in progress.
    pub(crate) fn open(
        &self,
        token: &str,
        answer: impl Fn(&Call) -> CallOutcome,
    ) -> (Outcome, Stream) {
        self.open_at(("GET", "/"), token, answer)
    }

    /// The outcome of a request for a session route, with this method and target.
    pub(crate) fn send_to(
        &self,
        target: (&str, &str),
        token: &str,
        answer: impl Fn(&Call) -> CallOutcome,
    ) -> Outcome {
        let (outcome, stream) = self.open_at(target, token, answer);
        self.leave(&stream);
        outcome
    }

    fn open_at(
        &self,
        target: (&str, &str),
        token: &str,
        answer: impl Fn(&Call) -> CallOutcome,
    ) -> (Outcome, Stream) {
        let context = ContextId(self.last.get() + 1);
        self.last.set(context.0);
        let request = Rc::new(Request::new(target, token));
        let mut requests = self.host.0.requests.borrow_mut();
        requests.insert(context, Rc::clone(&request));
        drop(requests);
        let progress = Progress::default();
        self.host.0.in_effect.set(context);
        self.edge.on_request(context, &progress);
        while progress.state() == State::Held {
            assert!(self.answer_checks(context, &answer), "a call to wait for");
        }
        let outcome = request.outcome.get().expect("a verdict");
        let is_allowed = matches!(outcome, Outcome::Allowed(_));
        let is_forwarded = progress.state() == State::Forwarded;
        assert_eq!(is_allowed, is_forwarded, "{outcome:?}");
        (outcome, Stream { context, progress })
    }

    /// The client of a request goes.
    pub(crate) fn leave(&self, stream: &Stream) {
        self.edge.on_gone(stream.context, &stream.progress);
        self.host.0.requests.borrow_mut().remove(&stream.context);
        self.host.0.closed.borrow_mut().remove(&stream.context);
    }

    /// Whether the edge has ended a request in progress, since it was revoked.
    pub(crate) fn has_closed(&self, stream: &Stream) -> bool {
        let closed = self.host.0.closed.borrow();
        let end = closed.get(&stream.context);
        assert!(matches!(end, None | Some(End::Revoked)), "{end:?}");
        end.is_some()
    }

    fn answer_checks(&self, context: ContextId, answer: impl Fn(&Call) -> CallOutcome) -> bool {
        let calls = self.take_calls().into_iter();
        let (own, others): (Vec<_>, Vec<_>) = calls.partition(|call| call.context == context);
        self.host.0.calls.replace(others);
        self.end_calls(&own, answer)
    }

    fn end_calls(&self, calls: &[OpenCall], answer: impl Fn(&Call) -> CallOutcome) -> bool {
        for call in calls {
            self.end_call(call, &answer(&call.call));
        }
        !calls.is_empty()
    }
}

/// A request in progress.
pub(crate) struct Stream {
    context: ContextId,
    progress: Progress,
}

/// A call that has not ended, and the context in which it was made.
pub(crate) struct OpenCall {
    context: ContextId,
    id: CallId,
    pub(crate) call: Call,
}

/// The host of a virtual machine. A clone is the same one.
#[derive(Clone)]
pub(crate) struct MachineHost(Rc<Inner>);

struct Inner {
    memory: Rc<Memory>,
    in_effect: Cell<ContextId>,
    requests: RefCell<BTreeMap<ContextId, Rc<Request>>>,
    calls: RefCell<Vec<OpenCall>>,
    /// The requests in progress that were ended, and why.
    closed: RefCell<BTreeMap<ContextId, End>>,
    /// Where the feed was when the leader last reported it.
    position: Cell<Option<Position>>,
    counted: Cell<Counted>,
}

/// Epoch and sequence number.
pub(crate) type Position = (u64, u64);

/// How often tokens were found in a cache.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    /// Found valid.
    pub(crate) remembered: usize,
    /// Found void.
    pub(crate) void: usize,
}

impl AddAssign for Counted {
    fn add_assign(&mut self, other: Self) {
        self.remembered += other.remembered;
        self.void += other.void;
    }
}

impl MachineHost {
    pub(crate) fn position(&self) -> Option<Position> {
        self.0.position.get()
    }

    pub(crate) fn counted(&self) -> Counted {
        self.0.counted.get()
    }
}

impl SharedData for MachineHost {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.0.memory.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        self.0.memory.set_shared(key, value, expected)
    }
}

impl CallHost for MachineHost {
    fn call(&self, call: &Call) -> Result<CallId, NotSent> {
        let id = CallId(self.0.memory.number());
        self.0.calls.borrow_mut().push(OpenCall {
            context: self.0.in_effect.get(),
            id,
            call: call.clone(),
        });
        Ok(id)
    }
}

impl BackgroundHost for MachineHost {
    fn now_milliseconds(&self) -> u64 {
        self.0.memory.now.get()
    }

    fn random(&self) -> u64 {
        self.0.memory.random()
    }

    fn warn(&self, message: &str) {
        self.0.memory.warn(message);
    }

    fn info(&self, _message: &str) {}
}

impl SignatureHost for MachineHost {
    fn verify_signature(&self, _arguments: &[u8]) -> ForeignAnswer {
        ForeignAnswer::Unavailable
    }
}

impl EdgeHost for MachineHost {
    type Request<'h> = MachineRequest;

    fn request(&self) -> MachineRequest {
        let context = self.0.in_effect.get();
        let request = self.0.requests.borrow().get(&context).cloned();
        MachineRequest {
            host: self.clone(),
            request: request.expect("a request that is there"),
        }
    }

    fn enter(&self, context: ContextId) -> bool {
        let is_there = context == ROOT || self.0.requests.borrow().contains_key(&context);
        if is_there {
            self.0.in_effect.set(context);
        }
        is_there
    }

    fn resume(&self) {}

    fn close(&self, end: End) -> bool {
        let context = self.0.in_effect.get();
        self.0.closed.borrow_mut().insert(context, end);
        true
    }

    fn measure(&self, metric: Metric<'_>) {
        match metric {
            Metric::Feed { state, .. } => {
                let position = state.map(|state| (state.epoch, state.sequence));
                self.0.position.set(position);
            }
            Metric::Cache(counts) => {
                let mut counted = self.0.counted.get();
                counted += Counted {
                    remembered: counts.hits as usize,
                    void: counts.void as usize,
                };
                self.0.counted.set(counted);
            }
            _ => {}
        }
    }
}

/// A request with a token, and its outcome.
struct Request {
    headers: HeaderBlock,
    outcome: Cell<Option<Outcome>>,
}

impl Request {
    fn new((method, path): (&str, &str), token: &str) -> Self {
        let lines = [
            (":method", method),
            (":path", path),
            (":authority", "api.example"),
            ("authorization", &format!("Bearer {token}")),
        ];
        Self {
            headers: lines.into_iter().collect(),
            outcome: Cell::new(None),
        }
    }
}

pub(crate) struct MachineRequest {
    host: MachineHost,
    request: Rc<Request>,
}

impl SharedData for MachineRequest {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.host.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        self.host.set_shared(key, value, expected)
    }
}

impl SignatureHost for MachineRequest {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        self.host.verify_signature(arguments)
    }
}

impl Host for MachineRequest {
    fn now_milliseconds(&self) -> u64 {
        self.host.now_milliseconds()
    }

    fn random(&self) -> u64 {
        BackgroundHost::random(&self.host)
    }

    fn request_headers(&self) -> HeaderBlock {
        self.request.headers.clone()
    }

    fn remove_request_header(&self, _name: &str) {}

    fn set_request_header(&self, _name: &str, _value: &[u8]) {}

    fn property(&self, _path: &[&str]) -> Option<Vec<u8>> {
        None
    }

    fn set_filter_state(&self, _name: &str, _value: &[u8]) {}

    fn respond(&self, _response: &Response) {}

    fn count(&self, outcome: Outcome, _provider: Option<usize>) {
        let earlier = self.request.outcome.replace(Some(outcome));
        assert_eq!(earlier, None, "a request has one outcome");
    }

    fn debug(&self, _message: impl FnOnce() -> String) {}
}

impl RequestHost for MachineRequest {
    fn trailers(&self) -> HeaderBlock {
        HeaderBlock::default()
    }

    fn remove_trailer(&self, _name: &str) {}
}
