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
use proxy_wasm::types::{Action, ContextType, LogLevel, MapType};

use crate::gate::{
    Attempt, CacheCounts, Configured, Confirmation, Gate, Question, Verdict, Wait,
    read_configuration,
};
use crate::host::{BackgroundHost as _, CallId, CallOutcome};
use crate::sync::{Asked, Ended, Inquiries, KeyKeeper, Ready, TICK, Waiting, milliseconds};
use crate::token::Backend;
use background::Background;
use feed::Feed;
use metrics::Metrics;
use request_host::{EnvoySignatures, RequestHost};

/// How long a request waits for keys at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// How often there is a look until everything is there without which requests are refused, for
/// [`MOST_EAGER_TICKS`] at most: who starts an Envoy waits for that.
const EAGER_TICK: Duration = Duration::from_millis(10);

/// Five seconds' worth.
const MOST_EAGER_TICKS: u32 = 500;

/// How often there is a look at what has been counted where there is nothing else to do.
const IDLE_TICK: Duration = Duration::from_secs(1);

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
    /// Every request that waits for keys, by its context.
    held: RefCell<BTreeMap<u32, Held>>,
    /// Every request that waits for the authority.
    asking: RefCell<Inquiries<Question, Held>>,
    /// The context that Envoy has called. The SDK takes every call that is made meanwhile for one
    /// of this context, whatever context is in effect, so the host has to as well.
    active: Cell<u32>,
    ticks: Cell<u32>,
    /// Whether ticks still come as in the beginning.
    is_eager: Cell<bool>,
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
        for Ready { context, .. } in shared.take_ready() {
            let held = shared.held.borrow_mut().remove(&context);
            if let Some(held) = held {
                shared.resume(held);
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
            shared.metrics.count_cache(&CacheCounts {
                entries: 0,
                ..shared.gate.take_cache_counts()
            });
        }
    }
}

impl Context for Root {
    fn on_http_call_response(&mut self, call: u32, _headers: usize, body: usize, _trailers: usize) {
        if let Some(shared) = &self.shared {
            shared.active.set(self.context);
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
                self.set_tick_period(if shared.is_idle() {
                    IDLE_TICK
                } else {
                    EAGER_TICK
                });
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
            shared.active.set(self.context);
            shared.keeper.borrow_mut().tick(&Background);
            if let Some(feed) = &shared.feed {
                feed.borrow_mut().tick(&shared.gate, &shared.metrics);
            }
            shared.report_fetches();
            shared.adopt();
            self.wake(shared);
            shared.report_sights();
            shared.metrics.count_cache(&shared.gate.take_cache_counts());
            if shared.is_calming_down() {
                self.set_tick_period(TICK);
            }
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
            has_waited: Cell::new(false),
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
            active: Cell::new(0),
            ticks: Cell::new(0),
            is_eager: Cell::new(true),
        }
    }

    /// Whether there is nothing to fetch and nobody to follow.
    fn is_idle(&self) -> bool {
        self.keeper.borrow().is_idle() && self.feed.is_none()
    }

    /// Whether this was the last of the eager ticks.
    fn is_calming_down(&self) -> bool {
        let has_all = self.gate.has_what_it_needs() || self.ticks.get() >= MOST_EAGER_TICKS;
        has_all && self.is_eager.replace(false) && !self.is_idle()
    }

    /// Decides about the request whose context is in effect. It may have to wait for keys and for
    /// the authority, in either order: for keys [`PATIENCE`] in all, for the authority once for
    /// each of its tokens.
    fn decide(&self, mut held: Held) {
        // Most requests do not wait, and the clock is a call of the host.
        let attempt = match held.until {
            Some(until) if Background.now_milliseconds() >= until => Attempt::Last,
            _ => Attempt::First,
        };
        let mut verdict = self.verdict(attempt, &held.answers);
        if let Verdict::Wait(Wait::Keys { provider, key }) = verdict {
            let until = held.until.unwrap_or_else(|| {
                let now = Background.now_milliseconds();
                now.saturating_add(milliseconds(PATIENCE))
            });
            held.until = Some(until);
            if self.hold(held.context, provider, key, until) == Asked::Wait {
                held.state.set(State::Held);
                self.held.borrow_mut().insert(held.context, held);
                return;
            }
            verdict = self.verdict(Attempt::Last, &held.answers);
        }
        match verdict {
            Verdict::Forward => held.state.set(State::Forwarded),
            Verdict::Wait(Wait::Confirmation(question)) => self.ask(&question, held),
            Verdict::Stop | Verdict::Wait(Wait::Keys { .. }) => held.state.set(State::Stopped),
        }
    }

    /// Decides about a request that has waited.
    fn resume(&self, held: Held) {
        // An error means that the request has gone.
        if hostcalls::set_effective_context(held.context).is_ok() {
            let state = Rc::clone(&held.state);
            self.decide(held);
            if state.get() == State::Forwarded {
                let _ = hostcalls::resume_http_request();
            }
        }
    }

    /// Asks the authority about a token of the request whose context is in effect. Every question
    /// has one answer, so this comes to an end.
    fn ask(&self, question: &Question, held: Held) {
        let (context, owner) = (held.context, self.active.get());
        held.state.set(State::Held);
        let _ = hostcalls::set_effective_context(owner);
        let call = || self.gate.confirmation_call(question);
        let mut asking = self.asking.borrow_mut();
        let asked = asking.ask(&Background, owner, question, call, held);
        drop(asking);
        let _ = hostcalls::set_effective_context(context);
        if let Err(mut held) = asked {
            self.note_answer(question, &CallOutcome::Failed, [&mut held]);
            self.decide(held);
        }
    }

    /// Takes the authority's answer; `false` when the call was somebody else's.
    fn answered(&self, call: CallId, outcome: &CallOutcome) -> bool {
        let ended = self
            .asking
            .borrow_mut()
            .answered(&Background, call, outcome);
        let Some(ended) = ended else {
            return false;
        };
        self.conclude(ended, outcome);
        true
    }

    /// Asks for whoever waits for the answer to a call of a request that has gone.
    fn adopt(&self) {
        let lost = self
            .asking
            .borrow_mut()
            .adopt(&Background, self.active.get());
        for ended in lost {
            self.conclude(ended, &CallOutcome::Failed);
        }
    }

    /// Decides with the authority's answer.
    fn conclude(&self, (question, mut waiting): Ended<Question, Held>, outcome: &CallOutcome) {
        self.note_answer(&question, outcome, &mut waiting);
        for held in waiting {
            self.resume(held);
        }
    }

    fn note_answer<'h>(
        &self,
        question: &Question,
        outcome: &CallOutcome,
        waiting: impl IntoIterator<Item = &'h mut Held>,
    ) {
        let confirmation = self.gate.confirmation(question, outcome);
        for held in waiting {
            self.metrics.count_confirmation(&confirmation);
            held.answers.push(confirmation.clone());
        }
    }

    /// Forgets a request, for whose verdict nobody waits any more.
    fn leave(&self, context: u32) {
        self.waiting.borrow_mut().remove(context);
        self.held.borrow_mut().remove(&context);
        let is_of = |held: &Held, context: u32| held.context == context;
        self.asking.borrow_mut().leave(context, is_of);
    }

    fn verdict(&self, attempt: Attempt, answers: &[Confirmation]) -> Verdict {
        if answers.is_empty() {
            self.gate.on_request(&self.host(), attempt)
        } else {
            self.gate.on_answers(&self.host(), attempt, answers)
        }
    }

    const fn host(&self) -> RequestHost<'_> {
        RequestHost {
            metrics: &self.metrics,
        }
    }

    /// Lets a request wait, if what it waits for is going to come.
    fn hold(&self, context: u32, provider: usize, key: u64, until: u64) -> Asked {
        let now = Background.now_milliseconds();
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
    has_waited: Cell<bool>,
}

/// A request on its way to a verdict, which may have to wait.
struct Held {
    context: u32,
    /// Until when it may wait for keys, once it has begun to.
    until: Option<u64>,
    /// What the authority has said about its tokens so far.
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
            shared.active.set(self.context);
            shared.answered(CallId(call), &background::call_outcome(body));
        }
    }
}

/// Nobody waits for the verdict any more.
impl Drop for Request {
    fn drop(&mut self) {
        // Also one that has its verdict may own a call that others wait for.
        if let Some(shared) = self.shared.as_ref().filter(|_| self.has_waited.get()) {
            shared.leave(self.context);
        }
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // Envoy sends no requests to a plugin that is not configured; if it did, they would wait
        // here until the client gives up.
        if let Some(shared) = &self.shared {
            shared.active.set(self.context);
            shared.decide(Held {
                context: self.context,
                until: None,
                answers: Vec::new(),
                state: Rc::clone(&self.state),
            });
            self.has_waited.set(self.state.get() == State::Held);
        }
        self.action()
    }

    fn on_http_request_body(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        self.action()
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        // Now, whatever the state: to a request that waits they do not come again.
        if let Some(shared) = &self.shared {
            let trailers = || raw::header_block(MapType::HttpRequestTrailers);
            shared.gate.strip_trailers(trailers, |name| {
                let _ = hostcalls::remove_map_value(MapType::HttpRequestTrailers, name);
            });
        }
        self.action()
    }
}
