//! The proxy-wasm glue: contexts of Envoy on one side, the traits of [`crate::host`] on the other.
//! Decides nothing.

mod background;
mod feed;
mod metrics;
mod raw;
mod request_host;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, LogLevel};

use crate::gate::{
    Attempt, Configured, Confirmation, Gate, KeySource, Question, Verdict, Wait, read_configuration,
};
use crate::host::{BackgroundHost as _, CallHost as _, CallId, CallOutcome};
use crate::sync::{Asked, KeyKeeper, TICK, Waiting};
use crate::token::Backend;
use background::Background;
use feed::Feed;
use metrics::Metrics;
use request_host::{EnvoySignatures, RequestHost};

/// How long a request waits for keys at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Gauges are written once in so many ticks.
const TICKS_PER_SIGHT: u32 = 10;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|context| Box::new(Root::new(context)));
}}

/// One per plugin and virtual machine: holds what all its requests share.
struct Root {
    context: u32,
    configuration: Vec<u8>,
    shared: Option<Rc<Shared>>,
}

struct Shared {
    gate: Gate,
    metrics: Metrics,
    keeper: RefCell<KeyKeeper>,
    feed: Option<RefCell<Feed>>,
    waiting: RefCell<Waiting>,
    /// The state of every request that waits, by its context.
    held: RefCell<BTreeMap<u32, Rc<Cell<State>>>>,
    ticks: Cell<u32>,
}

impl Root {
    const fn new(context: u32) -> Self {
        Self {
            context,
            configuration: Vec::new(),
            shared: None,
        }
    }

    /// Decides about the requests that have waited long enough.
    fn wake(&self, shared: &Shared) {
        for context in shared.take_ready() {
            let held = shared.held.borrow_mut().remove(&context);
            // An error means that the request has gone.
            if let (Some(state), Ok(())) = (held, hostcalls::set_effective_context(context)) {
                state.set(shared.decide_at_last());
                if state.get() == State::Forwarded {
                    let _ = hostcalls::resume_http_request();
                }
            }
        }
        let _ = hostcalls::set_effective_context(self.context);
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, _headers: usize, body: usize, _trailers: usize) {
        if let Some(shared) = &self.shared {
            let outcome = background::call_outcome(body);
            let mut keeper = shared.keeper.borrow_mut();
            let is_for_keys = keeper.answered(&Background, CallId(call), &outcome);
            drop(keeper);
            match &shared.feed {
                Some(feed) if !is_for_keys => {
                    feed.borrow_mut()
                        .answered(CallId(call), &outcome, &shared.metrics);
                }
                _ => self.wake(shared),
            }
        }
    }

    fn on_done(&mut self) -> bool {
        if let Some(shared) = &self.shared {
            shared.keeper.borrow().release(&Background);
            if let Some(feed) = &shared.feed {
                feed.borrow().release();
            }
        }
        true
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        // A second listener with the same plugin configures the same context again. What it
        // holds, requests that wait above all, is still good.
        if self.shared.is_some() && bytes == self.configuration {
            return true;
        }
        let environment = |name: &str| std::env::var(name).ok();
        match read_configuration(&bytes, &environment) {
            Ok(configured) => {
                let shared = Shared::new(configured);
                if !shared.keeper.borrow().is_idle() || shared.feed.is_some() {
                    self.set_tick_period(TICK);
                }
                self.shared = Some(Rc::new(shared));
                self.configuration = bytes;
                true
            }
            Err(faults) => {
                for fault in faults {
                    log::error!("configuration: {fault}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(shared) = &self.shared {
            shared.keeper.borrow_mut().tick(&Background);
            if let Some(feed) = &shared.feed {
                feed.borrow_mut().tick(&shared.gate, &shared.metrics);
            }
            self.wake(shared);
            shared.report();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request {
            context,
            shared: self.shared.clone(),
            state: Rc::new(Cell::new(State::Stopped)),
            question: None,
        }))
    }
}

impl Shared {
    fn new(configured: Configured) -> Self {
        for warning in configured.warnings {
            log::warn!("configuration: {warning}");
        }
        let backend = Backend::detect(&EnvoySignatures);
        log::info!(
            "RS256 and ES256 signatures are checked by the {}",
            match backend {
                Backend::Host => "host",
                Backend::Module => "module",
            }
        );
        let secret = u128::from(Background.random()) << 64 | u128::from(Background.random());
        let gate = Gate::new(configured.policy, backend, secret.to_le_bytes());
        let sources = gate.policy().key_sources().enumerate();
        let remote = sources.filter_map(|(place, (name, source))| match source {
            KeySource::Remote(_) => Some((place, name)),
            KeySource::Local(_) => None,
        });
        let metrics = Metrics::new(remote);
        let keeper = KeyKeeper::new(gate.policy(), Rc::clone(gate.keys()), Background.random());
        Self {
            feed: Feed::new(&gate).map(RefCell::new),
            gate,
            metrics,
            keeper: RefCell::new(keeper),
            waiting: RefCell::default(),
            held: RefCell::default(),
            ticks: Cell::new(0),
        }
    }

    /// Decides about the request whose context is in effect.
    fn decide(&self, attempt: Attempt) -> Verdict {
        let host = RequestHost {
            metrics: &self.metrics,
        };
        self.gate.on_request(&host, attempt)
    }

    /// Decides about a request that has waited for keys. If it has to wait for the authority after
    /// that, its own context makes the call; one that only the root context could make is one too
    /// many, and is refused as unconfirmed.
    fn decide_at_last(&self) -> State {
        let verdict = match self.decide(Attempt::Last) {
            Verdict::Wait(Wait::Confirmation(question)) => {
                let unanswered = Confirmation::read(&question, &CallOutcome::Failed);
                self.decide(Attempt::Confirmed(unanswered))
            }
            verdict => verdict,
        };
        match verdict {
            Verdict::Forward => State::Forwarded,
            Verdict::Stop | Verdict::Wait(_) => State::Stopped,
        }
    }

    /// Lets a request wait, if what it waits for is going to come.
    fn hold(&self, context: u32, provider: usize, key: u64) -> Asked {
        let now = Background.now_milliseconds();
        let mut keeper = self.keeper.borrow_mut();
        if keeper.want(&Background, now, provider, key) == Asked::Final {
            return Asked::Final;
        }
        let seen = keeper.finished_at(provider);
        let mut waiting = self.waiting.borrow_mut();
        if waiting.add(context, provider, seen, now, PATIENCE) {
            Asked::Wait
        } else {
            Asked::Final
        }
    }

    fn take_ready(&self) -> Vec<u32> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            return Vec::new();
        }
        let keeper = self.keeper.borrow();
        waiting.take_ready(Background.now_milliseconds(), |provider| {
            keeper.finished_at(provider)
        })
    }

    fn report(&self) {
        let mut keeper = self.keeper.borrow_mut();
        for (provider, counts) in keeper.take_counts() {
            self.metrics.count_fetches(provider, counts);
        }
        let tick = self.ticks.get();
        self.ticks.set(tick.wrapping_add(1));
        if tick.is_multiple_of(TICKS_PER_SIGHT) {
            let now = Background.now_milliseconds();
            for provider in keeper.providers() {
                let sight = keeper.sight(provider, now);
                if sight.is_leader {
                    self.metrics.show_keys(provider, sight);
                }
            }
        }
    }
}

/// One per request.
struct Request {
    context: u32,
    shared: Option<Rc<Shared>>,
    state: Rc<Cell<State>>,
    /// What the authority has been asked, when it has.
    question: Option<Question>,
}

/// What has been decided about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It goes on.
    Forwarded,
    /// It waits.
    Held,
    /// It was answered, or nobody can decide about it.
    Stopped,
}

impl Request {
    fn decide(&mut self, shared: &Shared) -> State {
        match shared.decide(Attempt::First) {
            Verdict::Forward => State::Forwarded,
            Verdict::Stop => State::Stopped,
            Verdict::Wait(Wait::Keys { provider, key }) => {
                match shared.hold(self.context, provider, key) {
                    Asked::Wait => {
                        let mut held = shared.held.borrow_mut();
                        held.insert(self.context, Rc::clone(&self.state));
                        State::Held
                    }
                    Asked::Final => match shared.decide(Attempt::Last) {
                        Verdict::Wait(Wait::Confirmation(question)) => self.ask(shared, question),
                        Verdict::Forward => State::Forwarded,
                        Verdict::Stop | Verdict::Wait(_) => State::Stopped,
                    },
                }
            }
            Verdict::Wait(Wait::Confirmation(question)) => self.ask(shared, question),
        }
    }

    /// Asks the authority about the token of this request.
    fn ask(&mut self, shared: &Shared, question: Question) -> State {
        let call = shared.gate.confirmation_call(&question);
        if call.is_some_and(|call| Background.call(&call).is_some()) {
            self.question = Some(question);
            return State::Held;
        }
        Self::conclude(shared, &question, &CallOutcome::Failed)
    }

    /// Decides with the authority's answer.
    fn conclude(shared: &Shared, question: &Question, outcome: &CallOutcome) -> State {
        let confirmation = Confirmation::read(question, outcome);
        shared.metrics.count_confirmation(confirmation);
        match shared.decide(Attempt::Confirmed(confirmation)) {
            Verdict::Forward => State::Forwarded,
            Verdict::Stop | Verdict::Wait(_) => State::Stopped,
        }
    }

    /// Envoy keeps back body and trailers of a request that is paused, unless the operator has
    /// set `allow_on_headers_stop_iteration`: letting them pass would then let the request pass.
    fn action(&self) -> Action {
        match self.state.get() {
            State::Forwarded => Action::Continue,
            State::Held | State::Stopped => Action::Pause,
        }
    }
}

impl Context for Request {
    fn on_http_call_response(
        &mut self,
        _call: u32,
        _headers: usize,
        body: usize,
        _trailers: usize,
    ) {
        if let (Some(shared), Some(question)) = (self.shared.clone(), self.question.take()) {
            let outcome = background::call_outcome(body);
            self.state.set(Self::conclude(&shared, &question, &outcome));
            if self.state.get() == State::Forwarded {
                let _ = hostcalls::resume_http_request();
            }
        }
    }

    fn on_done(&mut self) -> bool {
        if let (State::Held, Some(shared)) = (self.state.get(), &self.shared) {
            shared.waiting.borrow_mut().remove(self.context);
            shared.held.borrow_mut().remove(&self.context);
        }
        true
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // Envoy sends no requests to a plugin that is not configured; if it did, they would wait
        // here until the client gives up.
        if let Some(shared) = self.shared.clone() {
            let state = self.decide(&shared);
            self.state.set(state);
        }
        self.action()
    }

    fn on_http_request_body(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        self.action()
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        self.action()
    }
}
