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
    Attempt, Configured, Confirmation, Gate, Question, Verdict, Wait, read_configuration,
};
use crate::host::{BackgroundHost as _, CallHost as _, CallId, CallOutcome};
use crate::sync::{Asked, KeyKeeper, Ready, TICK, Waiting, milliseconds};
use crate::token::Backend;
use background::Background;
use feed::Feed;
use metrics::Metrics;
use request_host::{EnvoySignatures, RequestHost};

/// How long a request waits for keys at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most requests of one virtual machine that wait for the authority. The ones beyond are decided as
/// if it had not answered.
const MAX_ASKING: usize = 1024;

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
    /// The state of every request that waits for keys, by its context.
    held: RefCell<BTreeMap<u32, Rc<Cell<State>>>>,
    /// Every request that waits for the authority, by its call.
    asking: RefCell<BTreeMap<CallId, Asking>>,
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

    /// Decides about the requests that have waited long enough, or for the right fetch.
    fn wake(&self, shared: &Shared) {
        for Ready { context, until } in shared.take_ready() {
            let held = shared.held.borrow_mut().remove(&context);
            // An error means that the request has gone.
            if let (Some(state), Ok(())) = (held, hostcalls::set_effective_context(context)) {
                let attempt = match until {
                    Some(_) => Attempt::First,
                    None => Attempt::Last,
                };
                shared.decide(context, attempt, until, &state);
                if state.get() == State::Forwarded {
                    let _ = hostcalls::resume_http_request();
                }
            }
        }
        let _ = hostcalls::set_effective_context(self.context);
    }
}

/// Called when Envoy lets go of the plugin, whose successor then need not wait for leases to end.
/// In place of `on_done`, which would be called for every request as well.
impl Drop for Root {
    fn drop(&mut self) {
        if let Some(shared) = &self.shared {
            shared.keeper.borrow().release(&Background);
            if let Some(feed) = &shared.feed {
                feed.borrow().release();
            }
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, _headers: usize, body: usize, _trailers: usize) {
        if let Some(shared) = &self.shared {
            let outcome = background::call_outcome(body);
            let mut keeper = shared.keeper.borrow_mut();
            let is_for_keys = keeper.answered(&Background, CallId(call), &outcome);
            drop(keeper);
            if is_for_keys {
                shared.report_fetches();
                self.wake(shared);
            } else if !shared.answered(CallId(call), &outcome)
                && let Some(feed) = &shared.feed
            {
                feed.borrow_mut()
                    .answered(CallId(call), &outcome, &shared.metrics);
            }
            let _ = hostcalls::set_effective_context(self.context);
        }
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
            shared.report_fetches();
            self.wake(shared);
            shared.report_sights();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request {
            context,
            shared: self.shared.clone(),
            state: Rc::default(),
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
            "RSA and ECDSA signatures are checked by the {}",
            match backend {
                Backend::Host => "host",
                Backend::Module => "module",
            }
        );
        let secret = u128::from(Background.random()) << 64 | u128::from(Background.random());
        let gate = Gate::new(configured.policy, backend, secret.to_le_bytes());
        let keeper = KeyKeeper::new(gate.policy(), Rc::clone(gate.keys()), Background.random());
        Self {
            metrics: Metrics::new(gate.policy()),
            feed: Feed::new(&gate).map(RefCell::new),
            asking: RefCell::default(),
            gate,
            keeper: RefCell::new(keeper),
            waiting: RefCell::default(),
            held: RefCell::default(),
            ticks: Cell::new(0),
        }
    }

    /// Decides about the request whose context is in effect. With [`Attempt::First`] it may have
    /// to wait for keys: until an instant that was set earlier, or for [`PATIENCE`].
    fn decide(&self, context: u32, attempt: Attempt, until: Option<u64>, state: &Rc<Cell<State>>) {
        let mut verdict = self.verdict(attempt);
        if let Verdict::Wait(Wait::Keys { provider, key }) = verdict {
            if self.hold(context, provider, key, until) == Asked::Wait {
                state.set(State::Held);
                self.held.borrow_mut().insert(context, Rc::clone(state));
                return;
            }
            verdict = self.verdict(Attempt::Last);
        }
        match verdict {
            Verdict::Forward => state.set(State::Forwarded),
            Verdict::Wait(Wait::Confirmation(question)) => {
                self.ask(context, question, Vec::new(), state);
            }
            Verdict::Stop | Verdict::Wait(Wait::Keys { .. }) => state.set(State::Stopped),
        }
    }

    /// Asks the authority about a token of the request whose context is in effect. `answers` are
    /// those about its other tokens. Every question has one answer, so this comes to an end.
    fn ask(
        &self,
        context: u32,
        question: Question,
        answers: Vec<Confirmation>,
        state: &Rc<Cell<State>>,
    ) {
        let has_room = self.asking.borrow().len() < MAX_ASKING;
        let call = self.gate.confirmation_call(&question).filter(|_| has_room);
        let id = call.and_then(|call| Background.call(&call));
        let asking = Asking {
            context,
            question,
            answers,
            state: Rc::clone(state),
        };
        if let Some(id) = id {
            state.set(State::Held);
            self.asking.borrow_mut().insert(id, asking);
        } else {
            self.conclude(asking, &CallOutcome::Failed);
        }
    }

    /// Takes the authority's answer; `false` when the call was somebody else's. It comes to the
    /// context from which the call was made, which may be the root's.
    fn answered(&self, call: CallId, outcome: &CallOutcome) -> bool {
        let asking = self.asking.borrow_mut().remove(&call);
        let Some(asking) = asking else {
            return false;
        };
        // An error means that the request has gone.
        if hostcalls::set_effective_context(asking.context).is_ok() {
            let state = Rc::clone(&asking.state);
            self.conclude(asking, outcome);
            if state.get() == State::Forwarded {
                let _ = hostcalls::resume_http_request();
            }
        }
        true
    }

    /// Decides with the authority's answer.
    fn conclude(&self, asking: Asking, outcome: &CallOutcome) {
        let Asking {
            context,
            question,
            mut answers,
            state,
        } = asking;
        let confirmation = Confirmation::read(&question, outcome);
        self.metrics.count_confirmation(&confirmation);
        answers.push(confirmation);
        match self.gate.on_answers(&self.host(), &answers) {
            Verdict::Forward => state.set(State::Forwarded),
            Verdict::Wait(Wait::Confirmation(question)) => {
                self.ask(context, question, answers, &state);
            }
            Verdict::Stop | Verdict::Wait(Wait::Keys { .. }) => state.set(State::Stopped),
        }
    }

    fn verdict(&self, attempt: Attempt) -> Verdict {
        self.gate.on_request(&self.host(), attempt)
    }

    const fn host(&self) -> RequestHost<'_> {
        RequestHost {
            metrics: &self.metrics,
        }
    }

    /// Lets a request wait, if what it waits for is going to come.
    fn hold(&self, context: u32, provider: usize, key: u64, until: Option<u64>) -> Asked {
        let now = Background.now_milliseconds();
        let until = until.unwrap_or_else(|| now.saturating_add(milliseconds(PATIENCE)));
        let mut keeper = self.keeper.borrow_mut();
        let mut waiting = self.waiting.borrow_mut();
        if keeper.want(&Background, now, provider, key) == Asked::Wait
            && waiting.add(context, provider, keeper.finished_at(provider), until)
        {
            Asked::Wait
        } else {
            Asked::Final
        }
    }

    fn take_ready(&self) -> Vec<Ready> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            return Vec::new();
        }
        let keeper = self.keeper.borrow();
        waiting.take_ready(Background.now_milliseconds(), |provider| {
            keeper.finished_at(provider)
        })
    }

    fn report_fetches(&self) {
        for (provider, counts) in self.keeper.borrow_mut().take_counts() {
            self.metrics.count_fetches(provider, counts);
        }
    }

    /// Gauges. Those of the leader, so that they do not flicker.
    fn report_sights(&self) {
        let keeper = self.keeper.borrow();
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
}

/// A request that waits for the authority.
struct Asking {
    context: u32,
    question: Question,
    answers: Vec<Confirmation>,
    state: Rc<Cell<State>>,
}

/// What has been decided about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// It goes on.
    Forwarded,
    /// It waits.
    Held,
    /// It was answered, or nobody can decide about it.
    #[default]
    Stopped,
}

impl Request {
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
    fn on_http_call_response(&mut self, call: u32, _headers: usize, body: usize, _trailers: usize) {
        if let Some(shared) = &self.shared {
            shared.answered(CallId(call), &background::call_outcome(body));
        }
    }
}

/// Nobody waits for the verdict any more.
impl Drop for Request {
    fn drop(&mut self) {
        if let (State::Held, Some(shared)) = (self.state.get(), &self.shared) {
            shared.waiting.borrow_mut().remove(self.context);
            shared.held.borrow_mut().remove(&self.context);
            let mut asking = shared.asking.borrow_mut();
            asking.retain(|_, asking| asking.context != self.context);
        }
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // Envoy sends no requests to a plugin that is not configured; if it did, they would wait
        // here until the client gives up.
        if let Some(shared) = &self.shared {
            shared.decide(self.context, Attempt::First, None, &self.state);
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
