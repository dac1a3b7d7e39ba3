//! One virtual machine at work: the gate, and everything that keeps it able to decide.
//!
//! An [`Edge`] owns the gate, the keepers of its keys and of its revocation feed, the requests that
//! wait, the checks that are under way, and the requests in progress that end with their tokens. It is
//! told what happens, and does the rest over its [`EdgeHost`]:
//!
//! | what happens | what the edge is told |
//! |---|---|
//! | a request comes | [`Edge::on_request`] |
//! | the trailers of a request come | [`Edge::on_trailers`] |
//! | a request has gone | [`Edge::on_gone`] |
//! | a call has ended | [`Edge::on_call_ended`] |
//! | time has passed | [`Edge::on_tick`], as often as [`Edge::tick_period`] says |
//! | the plugin is let go | [`Edge::release`] |
//!
//! What was decided about a request is in its [`Progress`], of which the edge keeps a share while the
//! request waits. A request that was held and may go on is resumed.
//!
//! # What does a request wait for?
//!
//! For newer keys, if those in force do not let its token in: until the next fetch of its
//! provider's keys has ended, and for at most `PATIENCE` in all. And for the authority, if the
//! revocation filter is not sure: one check for each of its tokens, each for as long as the
//! configuration allows. It may have to wait for both, in either order. Each wait ends with an
//! answer about one more provider or one more token, so the waiting comes to an end. A request for a
//! session route waits for the authority once more, to do what its user wants, and is answered then.
//!
//! # How does the end of a call find its way?
//!
//! The host gives each call a number when it is made, and repeats the number when the call has
//! ended. In between, `calls` keeps which part of the edge made the call, so that only that part is
//! told. A new part that makes calls only needs a `calls::Owner` of its own.
//!
//! # What becomes of a check when its request goes?
//!
//! For Envoy, every call belongs to the plugin, whatever context is in effect when it is made
//! (`http_call` of its proxy-wasm-cpp-host): as long as the plugin's context lives, the call goes on
//! when the request goes, its end is reported, and with that the proxy-wasm SDK removes the call
//! from its table. A test with thousands of clients that go away holds Envoy to carrying such calls
//! through. But the SDK hands the end to the context whose callback was running when the call was
//! made, and drops it if that was a request that has gone. So `calls` keeps this context too, and
//! the check is repeated on the next tick for the others that wait for its answer.
//!
//! The calls that are open when the plugin's own context goes are cancelled without a report, and
//! stay in the SDK's table as long as the virtual machine lives.

mod activity;
mod calls;
mod checks;
mod feed_keeper;
#[cfg(all(any(test, fuzzing), not(target_family = "wasm")))]
pub(crate) mod fuzzing;
mod host;
#[cfg(any(test, fuzzing))]
pub mod mock;
mod pace;
mod streams;
mod trace;
mod waiting;

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;
use std::time::Duration;

pub use host::{ContextId, EdgeHost, Metric, RequestHost};
pub use streams::{End, StreamCounts};

use crate::gate::{
    Answers, CacheCounts, Check, Configured, Gate, Lack, SessionCall, Verdict, Wait,
};
use crate::host::{CallId, CallOutcome};
use crate::keys::{Asked, KeyKeeper};
use crate::time::Interval;
use crate::token::Backend;
use activity::Reporter;
use calls::{Caller, Calls, Owner};
use checks::{Checks, Ended};
use feed_keeper::FeedKeeper;
use pace::Pace;
use streams::{Closing, Streams, Ticket};
use waiting::Waiting;

/// What the gate calls itself in the host's log.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// How long a request waits for keys at most.
const PATIENCE: Duration = Duration::from_secs(2);

/// Most calls on behalf of users that are under way at the same time. The authority writes to its disk
/// for each; a user who is one too many is told to try again.
const MAX_USERS: usize = 64;

/// What one plugin holds in one virtual machine.
pub struct Edge<H> {
    host: H,
    /// The plugin's own context, which stays.
    root: ContextId,
    /// The context that the host has called, whose callback is running.
    called: Cell<ContextId>,
    gate: Gate,
    keys: RefCell<KeyKeeper>,
    feed: Option<RefCell<FeedKeeper>>,
    calls: Calls,
    /// The requests that wait for keys.
    waiting: RefCell<Waiting<Held>>,
    /// What the authority is asked for, and the requests that wait for it.
    checks: RefCell<Checks<Errand, Held>>,
    /// The requests in progress, where something can end them.
    streams: Option<RefCell<Streams>>,
    /// Hands on which sessions are in use.
    reporter: RefCell<Reporter>,
    pace: Pace,
}

/// What has been decided about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It goes on.
    Forwarded,
    /// It waits.
    Held,
    /// It was answered, or cannot be decided.
    #[default]
    Stopped,
}

/// How a request gets on. It belongs to the context of the request.
#[derive(Debug, Default)]
pub struct Progress {
    fate: Fate,
    /// What counts instead once the request has waited, and is shared with what resumes it. Most requests
    /// never wait, and allocate nothing for it.
    shared: OnceCell<Rc<Fate>>,
}

/// What has become of a request so far.
#[derive(Debug, Default)]
struct Fate {
    state: Cell<State>,
    /// Where it is watched, if it was let in and can be ended.
    ticket: Cell<Option<Ticket>>,
}

impl Progress {
    /// What has been decided about it.
    #[must_use]
    pub fn state(&self) -> State {
        self.fate().state.get()
    }

    fn fate(&self) -> &Fate {
        self.shared.get().map_or(&self.fate, |shared| shared)
    }

    fn share(&self) -> Rc<Fate> {
        Rc::clone(self.shared.get_or_init(Rc::default))
    }

    fn has_waited(&self) -> bool {
        self.shared.get().is_some()
    }
}

/// A request on its way to a verdict, which may have to wait.
struct Held {
    context: ContextId,
    /// How long it may wait for keys, once it has begun to.
    patience: Option<Interval>,
    /// What its waits have ended with so far.
    answers: Answers,
    fate: Rc<Fate>,
}

/// What the authority is asked for.
#[derive(Clone, Debug, PartialEq)]
enum Errand {
    /// Whether a token was revoked.
    Check(Check),
    /// What a user wants.
    Session(Rc<SessionCall>),
}

impl Errand {
    const fn is_for_user(&self) -> bool {
        matches!(self, Self::Session(_))
    }
}

impl<H: EdgeHost> Edge<H> {
    /// An edge for the plugin with this context, which the host has called. No client can know
    /// `secret`.
    pub fn new(configured: Configured, host: H, root: ContextId, secret: [u8; 16]) -> Self {
        for warning in configured.warnings {
            host.warn(&format!("configuration: {warning}"));
        }
        let backend = Backend::detect(&host);
        let checker = match backend {
            Backend::Host => "the host",
            Backend::Module => "the module",
        };
        host.info(&format!(
            "portcullis {VERSION}: RSA and ECDSA signatures are checked by {checker}"
        ));
        let gate = Gate::new(configured.policy, backend, secret);
        let keys = gate.key_keeper(host.random());
        let calls = Calls::default();
        let feed = FeedKeeper::new(&calls.caller(&host, Owner::Feed, root), &gate);
        let streams = Streams::new(&gate);
        Self {
            pace: Pace::new(!keys.is_idle() || feed.is_some()),
            host,
            root,
            called: Cell::new(root),
            gate,
            keys: RefCell::new(keys),
            feed: feed.map(RefCell::new),
            calls,
            waiting: RefCell::default(),
            checks: RefCell::default(),
            streams: streams.map(RefCell::new),
            reporter: RefCell::default(),
        }
    }

    /// The time between ticks, until [`Edge::on_tick`] changes it.
    pub const fn tick_period(&self) -> Duration {
        self.pace.period()
    }

    /// Decides about a new request, whose context is in effect. What was decided is in `progress`, now
    /// and, if it is held, again later.
    pub fn on_request(&self, context: ContextId, progress: &Progress) {
        self.called.set(context);
        let wait = self.attempt(context, &Answers::default(), progress.fate());
        if let Some(wait) = wait {
            self.hold(
                wait,
                Held {
                    context,
                    patience: None,
                    answers: Answers::default(),
                    fate: progress.share(),
                },
            );
        }
    }

    /// Removes what only the gate may set from the trailers of a request, whose context is in
    /// effect, whatever was decided about it: the trailers of a held request do not come again.
    pub fn on_trailers(&self, context: ContextId, progress: &Progress) {
        let host = self.host.request();
        let remove = |name: &str| host.remove_trailer(name);
        if self.gate.strip_trailers(&host, host.trailers(), remove) == Verdict::Stop {
            progress.fate().state.set(State::Stopped);
            self.on_gone(context, progress);
        }
    }

    /// Drops a request that has gone.
    pub fn on_gone(&self, context: ContextId, progress: &Progress) {
        if let Some(ticket) = progress.fate().ticket.take()
            && let Some(streams) = &self.streams
        {
            streams.borrow_mut().forget(ticket, context);
        }
        // Even a request that has its verdict may own a call that others wait for.
        if progress.has_waited() {
            self.stop_waiting(context);
        }
    }

    fn stop_waiting(&self, context: ContextId) {
        let has_gone = |held: &Held| held.context == context;
        self.waiting.borrow_mut().leave(has_gone);
        let mut checks = self.checks.borrow_mut();
        checks.leave(has_gone);
        for (call, owner) in self.calls.take_of(context) {
            match owner {
                Owner::Checks => checks.lose(call),
                // Made under the plugin's context, which stays.
                Owner::Keys | Owner::Feed | Owner::Streams | Owner::Activity => {}
            }
        }
    }

    /// Hands the end of a call to the part of the edge that made it, in the context that made it.
    pub fn on_call_ended(&self, context: ContextId, call: CallId, outcome: &CallOutcome) {
        self.called.set(context);
        let Some(owner) = self.calls.close(call) else {
            return;
        };
        let caller = self.caller(owner);
        match owner {
            Owner::Keys => {
                self.keys.borrow_mut().answered(&caller, call, outcome);
                self.report_fetches();
                self.wake();
            }
            Owner::Feed => {
                if let Some(feed) = &self.feed {
                    feed.borrow_mut().answered(&caller, call, outcome);
                }
            }
            Owner::Checks => {
                let ended = self.checks.borrow_mut().answered(&caller, call, outcome);
                if let Some(ended) = ended {
                    self.conclude(ended, outcome);
                }
            }
            Owner::Activity => {
                let mut reporter = self.reporter.borrow_mut();
                reporter.answered(&caller, &self.gate, call, outcome);
            }
            Owner::Streams => {
                self.close(|streams| streams.answered(&caller, &self.gate, call, outcome));
            }
        }
        self.return_to_plugin();
    }

    /// Looks after keys, feed and waiting requests, in the plugin's context. Gives the new time
    /// between ticks when it changes.
    pub fn on_tick(&self) -> Option<Duration> {
        self.called.set(self.root);
        self.keys.borrow_mut().tick(&self.caller(Owner::Keys));
        if let Some(feed) = &self.feed {
            let caller = self.caller(Owner::Feed);
            let changes = feed.borrow_mut().tick(&caller, &self.gate);
            if let (Some(changes), Some(streams)) = (changes, &self.streams) {
                streams.borrow_mut().note_changes(&self.gate, &changes);
            }
        }
        let caller = self.caller(Owner::Streams);
        self.close(|streams| streams.tick(&caller, &self.gate));
        let caller = self.caller(Owner::Activity);
        self.reporter.borrow_mut().tick(&caller, &self.gate);
        self.report_fetches();
        self.make_lost_checks();
        self.wake();
        self.return_to_plugin();
        if self.pace.shows_gauges() {
            self.report_keys();
        }
        self.host
            .measure(Metric::Cache(self.gate.take_cache_counts()));
        if let Some(streams) = &self.streams {
            let counts = streams.borrow_mut().take_counts();
            self.host.measure(Metric::Streams(counts));
        }
        self.pace.count(self.gate.has_what_it_needs())
    }

    /// Lets other virtual machines lead at once, since this one stops.
    pub fn release(&self) {
        self.keys.borrow().release(&self.caller(Owner::Keys));
        if let Some(feed) = &self.feed {
            feed.borrow().release(&self.caller(Owner::Feed));
        }
        let caller = self.caller(Owner::Activity);
        self.reporter.borrow_mut().release(&caller, &self.gate);
        self.host.measure(Metric::Cache(CacheCounts {
            entries: 0,
            ..self.gate.take_cache_counts()
        }));
        if let Some(streams) = &self.streams {
            self.host.measure(Metric::Streams(StreamCounts {
                watched: 0,
                ..streams.borrow_mut().take_counts()
            }));
        }
    }

    /// The host, for calls of this part of the edge in the context that the host has called.
    const fn caller(&self, owner: Owner) -> Caller<'_, H> {
        self.calls.caller(&self.host, owner, self.called.get())
    }

    /// Puts the plugin's own context back into effect after those of requests, if the host called
    /// it.
    fn return_to_plugin(&self) {
        if self.called.get() == self.root {
            // It is there as long as the edge is.
            let _ = self.host.enter(self.root);
        }
    }

    /// Ends the requests in progress that have to end.
    fn close(&self, find: impl FnOnce(&mut Streams) -> Vec<Closing>) {
        let Some(streams) = &self.streams else { return };
        let closing = find(&mut streams.borrow_mut());
        let mut is_allowed = true;
        for Closing { context, end } in closing {
            if !self.host.enter(context) {
                continue;
            }
            if self.host.close(end) {
                streams.borrow_mut().count(end);
            } else {
                is_allowed = false;
            }
        }
        if !is_allowed {
            self.host
                .warn("the host does not let the filter end streams (`proxy_close_stream`)");
        }
    }

    /// Decides about the request whose context is in effect, with what its waits have ended with. Gives
    /// what it has to wait for.
    fn attempt(&self, context: ContextId, answers: &Answers, fate: &Fate) -> Option<Wait> {
        let watch = |admitted| {
            let watch = |streams: &RefCell<Streams>| streams.borrow_mut().watch(context, admitted);
            fate.ticket.set(self.streams.as_ref().map(watch));
        };
        let state = match self.gate.on_answers(&self.host.request(), answers, watch) {
            Verdict::Forward => State::Forwarded,
            Verdict::Stop => State::Stopped,
            Verdict::Wait(wait) => return Some(wait),
        };
        fate.state.set(state);
        None
    }

    /// Decides again about a request that has waited, whose context is in effect.
    fn decide(&self, held: Held) {
        if let Some(wait) = self.attempt(held.context, &held.answers, &held.fate) {
            self.hold(wait, held);
        }
    }

    /// Lets the request whose context is in effect wait, or decides again at once where it cannot.
    fn hold(&self, wait: Wait, held: Held) {
        match wait {
            Wait::Check(check) => self.ask(Errand::Check(check), held),
            Wait::Session(call) => self.ask(Errand::Session(call), held),
            Wait::Keys(lack) => {
                if let Err(held) = self.wait_for_keys(&lack, held) {
                    self.decide(held);
                }
            }
        }
    }

    /// Lets a request wait for newer keys, if any are on their way. Otherwise gives it back, with
    /// an answer that says why not.
    fn wait_for_keys(&self, lack: &Lack, mut held: Held) -> Result<(), Held> {
        let now = self.host.now_milliseconds();
        let begin = || Interval::new(now, PATIENCE);
        let patience = *held.patience.get_or_insert_with(begin);
        let keys = self.keys.borrow();
        let seen = keys.finished_at(lack.provider);
        let caller = self.caller(Owner::Keys);
        let asked = keys.want(&caller, now, &lack.missing_key(), patience);
        let (mut held, answer) = match asked {
            Asked::Settled => (held, lack.settled()),
            Asked::Unsettled => (held, lack.unsettled()),
            Asked::Wait => {
                held.fate.state.set(State::Held);
                let mut waiting = self.waiting.borrow_mut();
                match waiting.add(held, lack.provider, seen, patience) {
                    Ok(()) => return Ok(()),
                    Err(held) => (held, lack.unsettled()),
                }
            }
        };
        held.answers.keys.push(answer);
        Err(held)
    }

    /// Asks the authority for the request whose context is in effect.
    fn ask(&self, errand: Errand, held: Held) {
        held.fate.state.set(State::Held);
        let caller = self.caller(Owner::Checks);
        let mut checks = self.checks.borrow_mut();
        let is_one_too_many =
            errand.is_for_user() && checks.count(Errand::is_for_user) >= MAX_USERS;
        let made = if is_one_too_many {
            Err(held)
        } else {
            let call = || {
                let mut call = match &errand {
                    Errand::Check(check) => self.gate.check_call(check),
                    Errand::Session(call) => self.gate.session_call(call),
                }?;
                let parent = trace::parent(&self.host.request());
                let header = parent.map(|parent| ("traceparent", parent));
                call.headers.extend(header);
                Some(call)
            };
            checks.make(&caller, &errand, call, held)
        };
        drop(checks);
        match (made, errand) {
            (Ok(()), _) => {}
            (Err(mut held), Errand::Check(check)) => {
                self.note_outcome(&check, &CallOutcome::Failed, [&mut held]);
                self.decide(held);
            }
            (Err(held), Errand::Session(call)) => {
                self.serve(&call, vec![held], &CallOutcome::Failed);
            }
        }
    }

    /// Repeats the calls whose ends will not be reported, since their requests have gone.
    fn make_lost_checks(&self) {
        let caller = self.caller(Owner::Checks);
        let lost = self.checks.borrow_mut().send_again(&caller);
        for ended in lost {
            self.conclude(ended, &CallOutcome::Failed);
        }
    }

    /// Decides about the requests that have waited for a check, or answers those for session routes.
    fn conclude(&self, (errand, mut waiting): Ended<Errand, Held>, outcome: &CallOutcome) {
        match errand {
            Errand::Check(check) => {
                self.note_outcome(&check, outcome, &mut waiting);
                for held in waiting {
                    self.resume(held);
                }
            }
            Errand::Session(call) => self.serve(&call, waiting, outcome),
        }
    }

    /// Answers the requests that have waited for a call on behalf of their user.
    fn serve(&self, call: &SessionCall, waiting: Vec<Held>, outcome: &CallOutcome) {
        for held in waiting {
            if self.host.enter(held.context) {
                self.gate.serve(&self.host.request(), call, outcome);
                held.fate.state.set(State::Stopped);
            }
        }
    }

    fn note_outcome<'h>(
        &self,
        check: &Check,
        outcome: &CallOutcome,
        waiting: impl IntoIterator<Item = &'h mut Held>,
    ) {
        let outcome = self.gate.check_outcome(check, outcome);
        for held in waiting {
            self.host.measure(Metric::Check(&outcome));
            held.answers.checks.push(outcome.clone());
        }
    }

    /// Decides about the requests that have waited for keys long enough, or whose fetch has ended.
    fn wake(&self) {
        for held in self.take_ready() {
            self.resume(held);
        }
    }

    fn take_ready(&self) -> Vec<Held> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.is_empty() {
            return Vec::new();
        }
        let keys = self.keys.borrow();
        waiting.take_ready(self.host.now_milliseconds(), |provider| {
            keys.finished_at(provider)
        })
    }

    /// Decides about a request that has waited. The keys may have changed since.
    fn resume(&self, mut held: Held) {
        held.answers.keys.clear();
        if self.host.enter(held.context) {
            let fate = Rc::clone(&held.fate);
            self.decide(held);
            if fate.state.get() == State::Forwarded {
                self.host.resume();
            }
        }
    }

    fn report_fetches(&self) {
        for (provider, counts) in self.keys.borrow_mut().take_counts() {
            self.host.measure(Metric::Fetches { provider, counts });
        }
    }

    /// Writes the gauges of keys. Only the leader's are written, so that they do not flicker.
    fn report_keys(&self) {
        let keys = self.keys.borrow();
        let now = self.host.now_milliseconds();
        for provider in keys.providers() {
            let sight = keys.sight(provider, now);
            if sight.is_leader {
                self.host.measure(Metric::Keys { provider, sight });
            }
        }
    }
}

#[cfg(test)]
mod tests;
