//! A process with leaders that may be paused or die at any write, and other virtual machines that
//! observe.
//!
//! The authority's plain list of changes decides which answers about a token are right: those that
//! were true at some moment, no earlier than the current state, and no earlier than the previous
//! answer about it. So nothing that was revoked is admitted again, whether it is looked up or is in
//! a cache.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::edge::State;
use crate::edge::mock::VirtualMachine;
use crate::gate::{Outcome, Reason};
use crate::host::mock::MockHost;
use crate::host::{CallHost, NotSent, SharedValue};
use crate::revocation::Issuance;
use crate::sync::Lease;
use crate::token::Algorithm;
use crate::token::fixtures::symmetric;

/// A token that was issued at [`ISSUED_AT`], by what can revoke it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bearer(pub(super) Kind, pub(super) &'static str);

const ISSUED_AT: Option<UnixTime> = UnixTime::from_seconds(15);

pub(super) const BEARERS: [Bearer; 8] = [
    Bearer(Kind::Token, "0"),
    Bearer(Kind::Token, "1"),
    Bearer(Kind::Token, "2"),
    Bearer(Kind::Token, "3"),
    Bearer(Kind::Token, "never"),
    Bearer(Kind::Subject, "alice"),
    Bearer(Kind::Subject, "bob"),
    Bearer(Kind::Subject, "carol"),
];

impl Bearer {
    fn fingerprint(self) -> Fingerprint {
        name_of(self.0, self.1)
    }

    /// A request with the token.
    fn request(self) -> MockHost {
        // Computed once: they are sent by the thousand.
        thread_local! {
            static TOKENS: Vec<(Bearer, String)> = BEARERS.map(Bearer::token).into();
        }
        let token = TOKENS.with(|tokens| {
            let mut tokens = tokens.iter();
            let (_, token) = tokens.find(|(bearer, _)| *bearer == self).unwrap();
            format!("Bearer {token}")
        });
        MockHost::get("/", UnixTime::EPOCH).with_header("authorization", token)
    }

    fn token(self) -> (Self, String) {
        let name = if self.0 == Kind::Token { "jti" } else { "sub" };
        let mut claims = json!({"iss": "iss", "exp": 2_000_000_000, name: self.1});
        claims["iat"] = ISSUED_AT.unwrap().seconds().into();
        (self, symmetric(Algorithm::Hs256, &claims).1)
    }

    fn names(self) -> Names {
        let mut names = Names::default();
        names.add(&FILTER_KEY, self.0, "iss", self.1);
        names.issuance = Issuance::new(ISSUED_AT, None);
        names
    }

    /// Whether it is revoked after these changes.
    fn is_revoked(self, changes: &[Change]) -> bool {
        let own = |change: &&Change| change.fingerprint() == self.fingerprint();
        match changes.iter().rfind(own) {
            None | Some(Change::ClearCutOff(_)) => false,
            // The filter answers "maybe" for as long as the generation lasts.
            Some(Change::Add(_) | Change::Restore(_)) => true,
            Some(Change::SetCutOff(cut_off)) => cut_off.revokes(ISSUED_AT, None),
        }
    }
}

/// The token is revoked.
pub(super) fn revoked(token: &'static str) -> Change {
    Change::Add(Bearer(Kind::Token, token).fingerprint())
}

/// Everything of the subject from before then is revoked.
pub(super) fn cut_off_at(subject: &'static str, seconds: u64) -> Change {
    Change::SetCutOff(CutOff {
        key: Bearer(Kind::Subject, subject).fingerprint(),
        not_before: UnixTime::from_seconds(seconds).unwrap(),
        except: None,
        is_compound: false,
    })
}

/// The subject's cut-off is restored.
pub(super) fn cleared(subject: &'static str) -> Change {
    Change::ClearCutOff(Bearer(Kind::Subject, subject).fingerprint())
}

/// How many writes a leader needs for one batch, after it has followed the authority through some
/// changes.
pub(super) fn writes_of(before: &[Change], batch: &[Change]) -> usize {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let mut leader = Leader::new(&process, &|_| {});
    authority.changes.extend(before);
    leader.tick(&authority);
    authority.changes.extend(batch);
    leader.machine.writes.set(0);
    leader.tick(&authority);
    leader.machine.writes.get()
}

/// Records of a kind that are not empty.
pub(super) fn records(process: &MockProcess, kind: &str) -> u32 {
    let keys = process.keys();
    let of_kind = keys.iter().filter(|key| key.contains(kind));
    u32::try_from(of_kind.count()).unwrap()
}

/// A virtual machine that leads, or believes so.
pub(super) struct Machine<'p> {
    pub(super) process: &'p MockProcess,
    calls: RefCell<Vec<(CallId, Call)>>,
    /// Writes that it has reached.
    pub(super) writes: Cell<usize>,
    /// Writes that it lives for.
    pub(super) lives: Cell<usize>,
    /// What happens before the write with this number, even the one that it dies before.
    meanwhile: &'p dyn Fn(usize),
}

impl SharedData for Machine<'_> {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.process.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        let number = self.writes.replace(self.writes.get() + 1);
        if number <= self.lives.get() {
            (self.meanwhile)(number);
        }
        number >= self.lives.get() || self.process.set_shared(key, value, expected)
    }
}

impl CallHost for Machine<'_> {
    fn call(&self, call: &Call) -> Result<CallId, NotSent> {
        let id = self.process.call(call)?;
        let call = self.process.calls.borrow_mut().pop().expect("a call");
        self.calls.borrow_mut().push(call);
        Ok(id)
    }
}

impl BackgroundHost for Machine<'_> {
    fn now_milliseconds(&self) -> u64 {
        self.process.now.get()
    }

    fn random(&self) -> u64 {
        self.process.random()
    }

    fn warn(&self, message: &str) {
        self.process.warn(message);
    }

    fn info(&self, message: &str) {
        self.process.info(message);
    }
}

/// A follower in a machine of its own that leads.
///
/// A bare follower and no [`Edge`], since it has to die at every single write, one run for each:
/// with whole edges that took minutes.
pub(super) struct Leader<'p> {
    pub(super) machine: Machine<'p>,
    pub(super) follower: Follower,
}

impl<'p> Leader<'p> {
    /// A leader that lives for ever.
    pub(super) fn new(process: &'p MockProcess, meanwhile: &'p dyn Fn(usize)) -> Self {
        let machine = Machine {
            process,
            calls: RefCell::default(),
            writes: Cell::new(0),
            lives: Cell::new(usize::MAX),
            meanwhile,
        };
        let follower = follower();
        Self { machine, follower }
    }

    pub(super) const fn is_dead(&self) -> bool {
        self.machine.writes.get() > self.machine.lives.get()
    }

    /// A tick, and everything that the authority has answers for.
    pub(super) fn tick(&mut self, authority: &Authority) {
        self.tick_with(|call| authority.answer(call));
    }

    pub(super) fn tick_with(&mut self, answer: impl Fn(&Call) -> Option<CallOutcome>) {
        self.machine.process.pass(100);
        self.follower.on_tick(&self.machine, Role::Leads);
        for _ in 0..100 {
            let Some((id, outcome)) = self.answered(&answer) else {
                self.follower.on_tick(&self.machine, Role::Leads);
                return;
            };
            self.hear(id, &outcome);
        }
        panic!("the leader never comes to rest");
    }

    /// The next call that the authority has an answer for, and the answer, which has not arrived.
    pub(super) fn answered(
        &self,
        answer: impl Fn(&Call) -> Option<CallOutcome>,
    ) -> Option<(CallId, CallOutcome)> {
        let mut calls = self.machine.calls.borrow_mut();
        let mut answers = calls.iter().map(|(_, call)| answer(call));
        let (index, outcome) = (0..)
            .zip(&mut answers)
            .find_map(|(index, answer)| Some((index, answer?)))?;
        Some((calls.remove(index).0, outcome))
    }

    pub(super) fn hear(&mut self, id: CallId, outcome: &CallOutcome) {
        if !self.is_dead() {
            self.follower.on_response(&self.machine, id, outcome);
        }
    }
}

/// The filter's own edge in a virtual machine that never leads.
struct Edge<'p> {
    machine: VirtualMachine<&'p MockProcess>,
    /// Held by another virtual machine.
    lease: Lease,
}

/// For each token the earliest moment at which the last answer about it can have been true.
type Moments = BTreeMap<Bearer, usize>;

impl<'p> Edge<'p> {
    fn new(process: &'p MockProcess) -> Self {
        let machine = VirtualMachine::new(process, &configuration());
        let lease = Lease::new(machine.feed_space(), 0);
        Self { machine, lease }
    }

    fn tick(&self, process: &MockProcess) {
        self.lease.tick(process, process.now.get());
        self.machine.tick();
    }

    /// Whether it refuses a request, or sends a check. `None` when it knows nothing.
    fn refuses(&self, process: &MockProcess, bearer: Bearer) -> Option<bool> {
        let context = self.machine.send(bearer.request());
        let (state, outcome) = (self.machine.state(context), self.machine.outcome(context));
        self.machine.leave(context);
        match (state, outcome) {
            (_, Some(Outcome::Allowed(_))) => Some(false),
            (_, Some(Outcome::Refused(Reason::TokenRevoked))) => Some(true),
            (_, Some(Outcome::Refused(Reason::RevocationUnavailable))) => None,
            (State::Held, None) => finds(self.machine.view(), process, bearer),
            other => panic!("{bearer:?}: {other:?}"),
        }
    }
}

/// What shared data says about a token that is in no cache.
fn finds(view: &View, process: &MockProcess, bearer: Bearer) -> Option<bool> {
    match view.status(process, |_| bearer.names()).0 {
        Status::NoData => None,
        Status::PossiblyRevoked | Status::CutOff => Some(true),
        Status::NotRevoked => Some(false),
    }
}

/// The state that is used: the view's, or the published one.
fn held(view: &View, process: &MockProcess) -> Option<FeedState> {
    let held = view.state().map(|state| (*state).clone());
    held.or_else(|| Some(view.published(process)?.0))
}

/// Checks that the answer about every token was true at some moment, no earlier than the current
/// state and than the previous answer.
fn is_true(
    held: Option<FeedState>,
    refuses: impl Fn(Bearer) -> Option<bool>,
    authority: &Authority,
    said: &mut Moments,
    may_be_mute: bool,
    context: &str,
) {
    let Some(held) = held else {
        let is_mute = BEARERS.into_iter().all(|bearer| refuses(bearer).is_none());
        return assert!(is_mute, "{context}: out of nothing");
    };
    for bearer in BEARERS {
        let refuses = refuses(bearer);
        if may_be_mute && refuses.is_none() {
            continue;
        }
        let earliest = said.entry(bearer).or_default();
        let mut moments = authority.moments_since(&held, *earliest);
        let is_so = |changes: &[Change]| Some(bearer.is_revoked(changes)) == refuses;
        let moment = moments.find(|moment| is_so(authority.history(*moment)));
        let Some(moment) = moment else {
            panic!("{context}: {bearer:?} {refuses:?} {earliest} {held:?}");
        };
        *earliest = moment;
    }
}

/// For a gate with the key of all bearers' tokens, whose feed does not grow stale here.
fn configuration() -> serde_json::Value {
    let (key, _) = symmetric(Algorithm::Hs256, &json!({}));
    let keys = json!({"keys": [key]}).to_string();
    let mut revocation = mock_authority::settings();
    revocation["max_staleness"] = json!("3600s");
    json!({
        "providers": {"idp": {
            "issuer": "iss",
            "allow_symmetric_keys": true,
            "local_jwks": {"inline_string": keys},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
        "revocation": revocation,
    })
}

/// The namespace of these edges' records.
pub(super) fn space() -> Namespace {
    VirtualMachine::new(&MockProcess::default(), &configuration()).feed_space()
}

/// Moments are numbered, those of the epoch before first.
impl Authority {
    fn moments_before(&self) -> usize {
        match self.epoch {
            1 => 0,
            _ => self.former.len() + 1,
        }
    }

    fn moments_since(&self, held: &FeedState, earliest: usize) -> impl Iterator<Item = usize> {
        let sequence = usize::try_from(held.sequence).unwrap();
        let held = if held.epoch == self.epoch {
            self.moments_before() + sequence - self.restored
        } else {
            sequence
        };
        held.max(earliest)..=self.moments_before() + self.changes.len() - self.restored
    }

    /// The changes as they were at a moment.
    fn history(&self, moment: usize) -> &[Change] {
        match moment.checked_sub(self.moments_before()) {
            None => &self.former[..moment],
            Some(since) => &self.changes[..self.restored + since],
        }
    }
}

/// The observers: an edge that ticks before every look, and caches what it has admitted; one that
/// has not ticked since it first knew anything; and a new one whenever there is something to see.
/// The last two are asked about tokens that are in no cache, so that they have to look them up.
pub(super) struct Onlookers<'p> {
    process: &'p MockProcess,
    keen: Edge<'p>,
    lazy: Edge<'p>,
    said: [Moments; 3],
    /// Epoch and generation that were in force last.
    newest: (u64, u64),
    /// Whether it may happen that nothing is known, when two leaders overwrite each other's
    /// records.
    pub(super) may_be_mute: bool,
    /// How much had been written when they looked last.
    seen: u64,
}

impl<'p> Onlookers<'p> {
    pub(super) fn new(process: &'p MockProcess) -> Self {
        Self {
            process,
            keen: Edge::new(process),
            lazy: Edge::new(process),
            said: Default::default(),
            newest: (0, 0),
            may_be_mute: false,
            seen: 0,
        }
    }

    /// The tick of both.
    pub(super) fn tick(&self) {
        self.keen.tick(self.process);
        self.lazy.tick(self.process);
    }

    /// If there is something to see, checks that no answer is wrong, and that no older generation
    /// returns.
    pub(super) fn look(&mut self, authority: &Authority, context: &str) {
        if self.process.writes.get() == self.seen {
            return;
        }
        self.keen.tick(self.process);
        if self.lazy.machine.view().state().is_none() {
            self.lazy.tick(self.process);
        }
        if let Some((state, _)) = self.keen.machine.view().published(self.process) {
            let newest = (state.epoch, state.generation);
            assert!(
                self.newest <= newest,
                "{context}: back to an older generation"
            );
            self.newest = newest;
        }
        let process = self.process;
        let keen = |bearer| self.keen.refuses(process, bearer);
        let [by_keen, by_lazy, by_new] = &mut self.said;
        let mute = self.may_be_mute;
        let held_by_keen = held(self.keen.machine.view(), process);
        is_true(held_by_keen, keen, authority, by_keen, mute, context);
        let new = new_view();
        for (view, said) in [(self.lazy.machine.view(), by_lazy), (&new, by_new)] {
            let finds = |bearer| finds(view, process, bearer);
            is_true(held(view, process), finds, authority, said, mute, context);
        }
        self.seen = self.process.writes.get();
    }

    /// Sends a request with every token to both, which cache what they admit.
    pub(super) fn ask(&self) {
        for edge in [&self.keen, &self.lazy] {
            edge.tick(self.process);
            for bearer in BEARERS {
                edge.refuses(self.process, bearer);
            }
        }
    }

    /// Checks that the answers are true now.
    pub(super) fn agree(&self, authority: &Authority, context: &str) {
        self.tick();
        for edge in [&self.keen, &self.lazy, &Edge::new(self.process)] {
            for bearer in BEARERS {
                let refuses = edge.refuses(self.process, bearer);
                let is_revoked = bearer.is_revoked(&authority.changes);
                assert_eq!(refuses, Some(is_revoked), "{context}: {bearer:?}");
            }
        }
    }
}
