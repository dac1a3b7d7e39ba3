//! What all requests of one plugin in one virtual machine share, and how they wait.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::types::LogLevel;

use super::background::Background;
use super::feed::Feed;
use super::metrics::Metrics;
use super::raw;
use super::request::{Held, State};
use super::request_host::{EnvoySignatures, RequestHost};
use crate::gate::{CacheCounts, Configured, Gate, Lack, Question, Verdict, Wait};
use crate::host::{BackgroundHost as _, CallId, CallOutcome};
use crate::keys::{Asked, KeyKeeper};
use crate::sync::{Ended, Inquiries, TICK, Waiting};
use crate::time::Interval;
use crate::token::Backend;

/// How long a request waits for keys at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Five seconds' worth.
const MOST_EAGER_TICKS: u32 = 500;

/// Gauges are written once in so many ticks.
const TICKS_PER_SIGHT: u32 = 10;

/// How often there is a look until everything is there without which requests are refused, for
/// [`MOST_EAGER_TICKS`] at most: who starts an Envoy waits for that.
const EAGER_TICK: Duration = Duration::from_millis(10);

/// How often there is a look at what has been counted where there is nothing else to do.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// What one plugin holds in one virtual machine.
pub(super) struct Shared {
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

impl Shared {
    /// `secret` is one that nobody outside can know.
    pub(super) fn new(configured: Configured, secret: [u8; 16]) -> Self {
        for warning in configured.warnings {
            raw::log(LogLevel::Warn, &format!("configuration: {warning}"));
        }
        let backend = Backend::detect(&EnvoySignatures);
        Background.info(match backend {
            Backend::Host => "RSA and ECDSA signatures are checked by the host",
            Backend::Module => "RSA and ECDSA signatures are checked by the module",
        });
        let gate = Gate::new(configured.policy, backend, secret);
        let keeper = gate.key_keeper(Background.random());
        Self {
            metrics: Metrics::new(gate.policy(), gate.feed().is_some()),
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

    /// How often to tick in the beginning.
    pub(super) fn first_tick(&self) -> Duration {
        if self.is_idle() {
            IDLE_TICK
        } else {
            EAGER_TICK
        }
    }

    /// Looks after keys, feed and whoever waits, in the plugin's context. How often to tick from now
    /// on, when that changes.
    pub(super) fn tick(&self, root: u32) -> Option<Duration> {
        self.active.set(root);
        self.keeper.borrow_mut().tick(&Background);
        if let Some(feed) = &self.feed {
            feed.borrow_mut().tick(&self.gate, &self.metrics);
        }
        self.report_fetches();
        self.adopt();
        self.wake(root);
        self.report_sights();
        self.metrics.count_cache(&self.gate.take_cache_counts());
        self.is_calming_down().then_some(TICK)
    }

    /// A call that the plugin's own context has made is over.
    pub(super) fn root_call_ended(&self, root: u32, call: CallId, outcome: &CallOutcome) {
        self.active.set(root);
        let mut keeper = self.keeper.borrow_mut();
        let is_for_keys = keeper.answered(&Background, call, outcome);
        drop(keeper);
        if is_for_keys {
            self.report_fetches();
            self.wake(root);
        } else if !self.answered(call, outcome)
            && let Some(feed) = &self.feed
        {
            feed.borrow_mut().answered(call, outcome, &self.metrics);
        }
        let _ = raw::enter(root);
    }

    /// A call that a request has made, for itself and others, is over.
    pub(super) fn request_call_ended(&self, context: u32, call: CallId, outcome: &CallOutcome) {
        self.active.set(context);
        self.answered(call, outcome);
    }

    /// Decides about a new request, whose context is in effect.
    pub(super) fn begin(&self, held: Held) {
        self.active.set(held.context);
        self.decide(held);
    }

    /// [`Gate::strip_trailers`], of the request whose context is in effect.
    pub(super) fn strip_trailers(&self, context: u32) -> Verdict {
        let host = self.host();
        let remove = |name: &str| host.remove_trailer(name);
        let verdict = self.gate.strip_trailers(&host, host.trailers(), remove);
        if verdict == Verdict::Stop {
            self.leave(context);
        }
        verdict
    }

    /// Lets the plugin's successor lead at once.
    pub(super) fn release(&self) {
        self.keeper.borrow().release(&Background);
        if let Some(feed) = &self.feed {
            feed.borrow().release();
        }
        self.metrics.count_cache(&CacheCounts {
            entries: 0,
            ..self.gate.take_cache_counts()
        });
    }

    /// Decides about the requests that have waited long enough, or for the right fetch.
    fn wake(&self, root: u32) {
        for context in self.take_ready() {
            let held = self.held.borrow_mut().remove(&context);
            if let Some(held) = held {
                self.resume(held);
            }
        }
        let _ = raw::enter(root);
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
    /// each of its tokens. Every wait for keys that does not hold it gives an answer about one more
    /// provider, so this comes to an end.
    fn decide(&self, mut held: Held) {
        loop {
            match self.gate.on_answers(&self.host(), &held.answers) {
                Verdict::Forward => return held.state.set(State::Forwarded),
                Verdict::Stop => return held.state.set(State::Stopped),
                Verdict::Wait(Wait::Confirmation(question)) => return self.ask(&question, held),
                Verdict::Wait(Wait::Keys(lack)) => {
                    let now = Background.now_milliseconds();
                    let begin = || Interval::new(now, PATIENCE);
                    let patience = *held.patience.get_or_insert_with(begin);
                    held.answers
                        .keys
                        .push(match self.hold(held.context, &lack, now, patience) {
                            Asked::Settled => lack.settled(),
                            Asked::Unsettled => lack.unsettled(),
                            Asked::Wait => {
                                held.state.set(State::Held);
                                self.held.borrow_mut().insert(held.context, held);
                                return;
                            }
                        });
                }
            }
        }
    }

    /// Decides about a request that has waited. There may be other keys than before.
    fn resume(&self, mut held: Held) {
        held.answers.keys.clear();
        // An error means that the request has gone.
        if raw::enter(held.context).is_ok() {
            let state = Rc::clone(&held.state);
            self.decide(held);
            if state.get() == State::Forwarded {
                let _ = raw::resume_request();
            }
        }
    }

    /// Asks the authority about a token of the request whose context is in effect. Every question
    /// has one answer, so this comes to an end.
    fn ask(&self, question: &Question, held: Held) {
        let (context, owner) = (held.context, self.active.get());
        held.state.set(State::Held);
        let asked = match raw::enter(owner) {
            Ok(()) => {
                let call = || self.gate.confirmation_call(question);
                let mut asking = self.asking.borrow_mut();
                asking.ask(&Background, owner, question, call, held)
            }
            Err(_) => Err(held),
        };
        // In the context of another request this one's headers must not be touched.
        let is_there = raw::enter(context).is_ok();
        if let Err(mut held) = asked
            && is_there
        {
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
            held.answers.confirmations.push(confirmation.clone());
        }
    }

    /// Forgets a request, for whose verdict nobody waits any more.
    pub(super) fn leave(&self, context: u32) {
        self.waiting.borrow_mut().remove(context);
        self.held.borrow_mut().remove(&context);
        let is_of = |held: &Held, context: u32| held.context == context;
        self.asking.borrow_mut().leave(context, is_of);
    }

    const fn host(&self) -> RequestHost<'_> {
        RequestHost::new(&self.metrics)
    }

    /// Lets a request wait, if what it waits for is going to come.
    fn hold(&self, context: u32, lack: &Lack, now: u64, patience: Interval) -> Asked {
        let keeper = self.keeper.borrow();
        let mut waiting = self.waiting.borrow_mut();
        let finished_at = keeper.finished_at(lack.provider);
        match keeper.want(&Background, now, &lack.missing_key(), patience) {
            Asked::Wait if !waiting.add(context, lack.provider, finished_at, patience) => {
                Asked::Unsettled
            }
            asked => asked,
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
