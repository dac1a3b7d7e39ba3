//! An edge in a virtual machine whose requests, calls and time a test controls.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::Value;

use super::{ContextId, Edge, EdgeHost, End, Metric, Progress, RequestHost, State, StreamCounts};
use crate::gate::{ActivityCounts, CacheCounts, Outcome, read_configuration};
use crate::host::mock::{MockHost, MockProcess};
use crate::host::{
    BackgroundHost, Call, CallHost, CallId, CallOutcome, Expected, ForeignAnswer, HeaderBlock,
    Host, NotSent, Response, SharedData, SharedValue, SignatureHost,
};
use crate::namespace::Namespace;
use crate::revocation::View;

/// The plugin's own context.
const ROOT: ContextId = ContextId(1);

/// An edge in a virtual machine of this process.
pub struct VirtualMachine<P> {
    /// The edge.
    pub edge: Edge<MockEdgeHost<P>>,
    /// Its host.
    pub host: MockEdgeHost<P>,
}

impl<P: Deref<Target = MockProcess> + Clone> VirtualMachine<P> {
    /// With this configuration, which has no faults.
    pub fn new(process: P, configuration: &Value) -> Self {
        let configuration = configuration.to_string();
        let configured = read_configuration(configuration.as_bytes(), &|_| None);
        let host = MockEdgeHost::new(process);
        Self {
            edge: Edge::new(configured.unwrap(), host.clone(), ROOT, [1; 16]),
            host,
        }
    }

    /// Where the records of its feed are.
    pub fn feed_space(&self) -> Namespace {
        let (settings, _) = self.edge.gate.feed().expect("a feed");
        settings.space()
    }

    /// The feed as it holds it.
    pub fn view(&self) -> &View {
        let (_, view) = self.edge.gate.feed().expect("a feed");
        view
    }

    /// The host's tick.
    pub fn tick(&self) {
        self.host.call_into(ROOT);
        self.edge.on_tick();
    }

    /// A new request comes, with these headers. Time and shared data are those of the process.
    pub fn send(&self, request: MockHost) -> ContextId {
        let context = self.host.add(request);
        self.host.call_into(context);
        let progress = self.host.of(context).progress;
        self.edge.on_request(context, &progress);
        context
    }

    /// The trailers of a request come: its header lines once more. The host may fail to show them.
    pub fn send_trailers(&self, context: ContextId, fails: bool) {
        self.host.call_into(context);
        self.host.0.trailers_fail.set(fails);
        let progress = self.host.of(context).progress;
        self.edge.on_trailers(context, &progress);
    }

    /// The client goes, and with it the request, to which the ends of its calls would be reported.
    pub fn leave(&self, context: ContextId) {
        self.host.call_into(context);
        self.edge.on_gone(context, &self.host.of(context).progress);
        self.host.0.requests.borrow_mut().remove(&context);
        let mut calls = self.host.0.calls.borrow_mut();
        calls.retain(|call| call.context != context);
    }

    /// What has been decided about a request.
    pub fn state(&self, context: ContextId) -> State {
        self.host.of(context).progress.state()
    }

    /// What was counted for a request; `None` for one that is held.
    pub fn outcome(&self, context: ContextId) -> Option<Outcome> {
        let request = self.host.of(context);
        let counted = request.host.counted.borrow();
        counted.first().map(|(outcome, _)| *outcome)
    }

    /// What a request was answered; `None` for one that was not.
    pub fn response(&self, context: ContextId) -> Option<Response> {
        self.host.of(context).host.response.borrow().clone()
    }

    /// Ends every call for which there is an answer, and those that are made meanwhile.
    pub fn answer(&self, answer: impl Fn(&Call) -> Option<CallOutcome>) {
        for _ in 0..100 {
            if !self.answer_round(&answer) {
                return;
            }
        }
        panic!("the edge never comes to rest");
    }

    /// Ends every call for which there is an answer. `false` when there was none.
    pub fn answer_round(&self, answer: impl Fn(&Call) -> Option<CallOutcome>) -> bool {
        let mut has_any = false;
        for call in self.host.calls() {
            if let Some(outcome) = answer(&call.call) {
                has_any = true;
                self.end_call(&call, &outcome);
            }
        }
        has_any
    }

    /// Ends a call, unless that can no longer be reported.
    pub fn end_call(&self, call: &OpenCall, outcome: &CallOutcome) {
        let is_open = {
            let mut calls = self.host.0.calls.borrow_mut();
            let before = calls.len();
            calls.retain(|open| open.id != call.id);
            calls.len() < before
        };
        if is_open {
            self.host.call_into(call.context);
            self.edge.on_call_ended(call.context, call.id, outcome);
        }
    }
}

/// A call that has not ended, and the context whose callback made it.
#[derive(Clone, Debug)]
pub struct OpenCall {
    /// The context.
    pub context: ContextId,
    /// Its number.
    pub id: CallId,
    /// What was sent.
    pub call: Call,
}

/// The host of one virtual machine. A clone is the same one.
#[derive(Debug)]
pub struct MockEdgeHost<P>(Rc<Inner<P>>);

#[derive(Debug)]
struct Inner<P> {
    process: P,
    /// The context whose callback runs.
    called: Cell<ContextId>,
    in_effect: Cell<ContextId>,
    last: Cell<u32>,
    requests: RefCell<BTreeMap<ContextId, MockRequest>>,
    calls: RefCell<Vec<OpenCall>>,
    /// Requests that were held and sent on.
    resumed: RefCell<Vec<ContextId>>,
    checks: Cell<u32>,
    verifications: Cell<u32>,
    cache: Cell<CacheCounts>,
    closed: RefCell<Vec<(ContextId, End)>>,
    streams: Cell<StreamCounts>,
    activity: Cell<ActivityCounts>,
    trailers_fail: Cell<bool>,
}

#[derive(Clone, Debug)]
struct MockRequest {
    host: Rc<MockHost>,
    progress: Rc<Progress>,
}

impl<P> Clone for MockEdgeHost<P> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<P> MockEdgeHost<P> {
    fn new(process: P) -> Self {
        Self(Rc::new(Inner {
            process,
            called: Cell::new(ROOT),
            in_effect: Cell::new(ROOT),
            last: Cell::new(ROOT.0),
            requests: RefCell::default(),
            calls: RefCell::default(),
            resumed: RefCell::default(),
            checks: Cell::new(0),
            verifications: Cell::new(0),
            cache: Cell::default(),
            closed: RefCell::default(),
            streams: Cell::default(),
            activity: Cell::default(),
            trailers_fail: Cell::new(false),
        }))
    }

    /// The calls that have not ended, in the order in which they were made.
    #[must_use]
    pub fn calls(&self) -> Vec<OpenCall> {
        self.0.calls.borrow().clone()
    }

    /// The requests that were sent on since this was last asked.
    #[must_use]
    pub fn take_resumed(&self) -> Vec<ContextId> {
        self.0.resumed.take()
    }

    /// For how many requests a check has ended.
    #[must_use]
    pub fn checks(&self) -> u32 {
        self.0.checks.get()
    }

    /// How many signatures were verified since this was last asked.
    #[must_use]
    pub fn take_verifications(&self) -> u32 {
        self.0.verifications.take()
    }

    /// What was reported of the token cache since this was last asked.
    #[must_use]
    pub fn take_cache_counts(&self) -> CacheCounts {
        self.0.cache.take()
    }

    /// The requests that were ended since this was last asked, and why.
    #[must_use]
    pub fn take_closed(&self) -> Vec<(ContextId, End)> {
        self.0.closed.take()
    }

    /// What was last told of requests in progress.
    #[must_use]
    pub fn streams(&self) -> StreamCounts {
        self.0.streams.get()
    }

    /// What was reported of sessions in use since this was last asked, and how many there are.
    #[must_use]
    pub fn take_activity(&self) -> ActivityCounts {
        let counts = self.0.activity.take();
        self.0.activity.set(ActivityCounts {
            sessions: counts.sessions,
            ..ActivityCounts::default()
        });
        counts
    }

    fn call_into(&self, context: ContextId) {
        self.0.called.set(context);
        self.0.in_effect.set(context);
    }

    fn add(&self, request: MockHost) -> ContextId {
        let context = ContextId(self.0.last.get() + 1);
        self.0.last.set(context.0);
        let request = MockRequest {
            host: Rc::new(request),
            progress: Rc::default(),
        };
        self.0.requests.borrow_mut().insert(context, request);
        context
    }

    fn of(&self, context: ContextId) -> MockRequest {
        let requests = self.0.requests.borrow();
        requests.get(&context).cloned().expect("a live request")
    }
}

impl<P: Deref<Target = MockProcess>> SharedData for MockEdgeHost<P> {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.0.process.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        self.0.process.set_shared(key, value, expected)
    }
}

impl<P: Deref<Target = MockProcess>> CallHost for MockEdgeHost<P> {
    fn call(&self, call: &Call) -> Result<CallId, NotSent> {
        let context = self.0.called.get();
        let id = self.0.process.call(call)?;
        let (_, call) = self.0.process.calls.borrow_mut().pop().expect("a call");
        let call = OpenCall { context, id, call };
        self.0.calls.borrow_mut().push(call);
        Ok(id)
    }
}

impl<P: Deref<Target = MockProcess>> BackgroundHost for MockEdgeHost<P> {
    fn now_milliseconds(&self) -> u64 {
        self.0.process.now.get()
    }

    fn random(&self) -> u64 {
        self.0.process.random()
    }

    fn warn(&self, message: &str) {
        self.0.process.warn(message);
    }

    fn info(&self, message: &str) {
        self.0.process.info(message);
    }
}

impl<P> SignatureHost for MockEdgeHost<P> {
    fn verify_signature(&self, _arguments: &[u8]) -> ForeignAnswer {
        ForeignAnswer::Unavailable
    }
}

impl<P: Deref<Target = MockProcess>> EdgeHost for MockEdgeHost<P> {
    type Request<'h>
        = MockEdgeRequest<P>
    where
        P: 'h;

    fn request(&self) -> MockEdgeRequest<P> {
        MockEdgeRequest {
            host: self.of(self.0.in_effect.get()).host,
            machine: self.clone(),
            has_failed: Cell::new(false),
        }
    }

    fn enter(&self, context: ContextId) -> bool {
        let is_there = context == ROOT || self.0.requests.borrow().contains_key(&context);
        if is_there {
            self.0.in_effect.set(context);
        }
        is_there
    }

    fn resume(&self) {
        let context = self.0.in_effect.get();
        let request = self.of(context);
        assert_eq!(request.progress.state(), State::Forwarded);
        assert_eq!(*request.host.response.borrow(), None);
        self.0.resumed.borrow_mut().push(context);
    }

    fn close(&self, end: End) -> bool {
        let context = self.0.in_effect.get();
        let request = self.of(context);
        assert_eq!(request.progress.state(), State::Forwarded);
        self.0.closed.borrow_mut().push((context, end));
        true
    }

    fn measure(&self, metric: Metric<'_>) {
        match metric {
            Metric::Streams(counts) => self.0.streams.set(counts),
            Metric::Activity(counts) => {
                let before = self.0.activity.get();
                self.0.activity.set(ActivityCounts {
                    reported: before.reported + counts.reported,
                    dropped: before.dropped + counts.dropped,
                    sessions: counts.sessions,
                });
            }
            Metric::Check(_) => self.0.checks.set(self.0.checks.get() + 1),
            Metric::Cache(counts) => {
                let before = self.0.cache.get();
                self.0.cache.set(CacheCounts {
                    hits: before.hits + counts.hits,
                    misses: before.misses + counts.misses,
                    void: before.void + counts.void,
                    entries: counts.entries,
                });
            }
            _ => {}
        }
    }
}

/// One request, whose time and shared data are those of the process.
#[derive(Debug)]
pub struct MockEdgeRequest<P> {
    machine: MockEdgeHost<P>,
    host: Rc<MockHost>,
    has_failed: Cell<bool>,
}

impl<P: Deref<Target = MockProcess>> SharedData for MockEdgeRequest<P> {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.machine.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        self.machine.set_shared(key, value, expected)
    }
}

impl<P> SignatureHost for MockEdgeRequest<P> {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        self.host.verify_signature(arguments)
    }
}

impl<P: Deref<Target = MockProcess>> Host for MockEdgeRequest<P> {
    fn now_milliseconds(&self) -> u64 {
        self.machine.now_milliseconds()
    }

    fn random(&self) -> u64 {
        BackgroundHost::random(&self.machine)
    }

    fn has_failed(&self) -> bool {
        self.has_failed.get() || self.host.has_failed()
    }

    fn request_headers(&self) -> HeaderBlock {
        self.host.request_headers()
    }

    fn remove_request_header(&self, name: &str) {
        self.host.remove_request_header(name);
    }

    fn set_request_header(&self, name: &str, value: &[u8]) {
        self.host.set_request_header(name, value);
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.host.property(path)
    }

    fn set_filter_state(&self, name: &str, value: &[u8]) {
        self.host.set_filter_state(name, value);
    }

    fn respond(&self, response: &Response) {
        self.host.respond(response);
    }

    fn count(&self, outcome: Outcome, provider: Option<usize>) {
        self.host.count(outcome, provider);
    }

    fn timed<T>(&self, verification: impl FnOnce() -> T) -> T {
        let verifications = &self.machine.0.verifications;
        verifications.set(verifications.get() + 1);
        verification()
    }

    fn debug(&self, message: impl FnOnce() -> String) {
        self.host.debug(message);
    }
}

impl<P: Deref<Target = MockProcess>> RequestHost for MockEdgeRequest<P> {
    fn trailers(&self) -> HeaderBlock {
        self.has_failed.set(self.machine.0.trailers_fail.get());
        self.host.request_headers()
    }

    fn remove_trailer(&self, name: &str) {
        self.host.remove_request_header(name);
    }
}
