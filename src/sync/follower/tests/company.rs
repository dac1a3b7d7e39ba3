//! A process with leaders that may be stopped or die at any write, and others that look on.
//!
//! What may be said of a token is told by the authority's plain list of changes: what was so at
//! some moment, which is no earlier than the state that is held, and no earlier than what was said
//! of it before. So nothing that was revoked is let through again, whether it is looked up or has
//! been let through before and stands in a cache.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use super::*;
use crate::host::{CallHost, NotSent, Shared};

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
        FILTER_KEY.fingerprint(self.0, "iss", self.1)
    }

    fn names(self) -> Names {
        let mut names = Names::default();
        names.add(&FILTER_KEY, self.0, "iss", self.1);
        names.issued_at = ISSUED_AT;
        names
    }

    /// Whether it is revoked after these changes.
    fn is_revoked(self, changes: &[Change]) -> bool {
        let own = |change: &&Change| change.fingerprint() == self.fingerprint();
        match changes.iter().rfind(own) {
            None | Some(Change::ClearCutOff(_)) => false,
            // The filter says "maybe" of it for as long as the generation lasts.
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
    })
}

/// Nothing of the subject is.
pub(super) fn cleared(subject: &'static str) -> Change {
    Change::ClearCutOff(Bearer(Kind::Subject, subject).fingerprint())
}

/// How many writes a leader needs for one batch, when it has followed the authority to some changes
/// before.
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
    /// Writes that it has come to.
    pub(super) writes: Cell<usize>,
    /// Writes that it comes to alive.
    pub(super) lives: Cell<usize>,
    /// What happens before the write with this number, be it the one that it dies before.
    meanwhile: &'p dyn Fn(usize),
}

impl SharedData for Machine<'_> {
    fn shared(&self, key: &str) -> Option<Shared> {
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
pub(super) struct Leader<'p> {
    pub(super) machine: Machine<'p>,
    pub(super) follower: Follower,
}

impl<'p> Leader<'p> {
    /// One that lives for ever.
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
        self.follower.on_tick(&self.machine, true);
        for _ in 0..100 {
            let Some((id, outcome)) = self.answered(&answer) else {
                self.follower.on_tick(&self.machine, true);
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
        let (place, outcome) = (0..)
            .zip(&mut answers)
            .find_map(|(place, answer)| Some((place, answer?)))?;
        Some((calls.remove(place).0, outcome))
    }

    pub(super) fn hear(&mut self, id: CallId, outcome: &CallOutcome) {
        if !self.is_dead() {
            self.follower.on_response(&self.machine, id, outcome);
        }
    }
}

/// A virtual machine that follows, and remembers what it has let through.
struct Edge {
    follower: Follower,
    passed: BTreeSet<Bearer>,
}

/// The earliest moments that what has been said of tokens so far can be of.
type Moments = BTreeMap<Bearer, usize>;

impl Edge {
    fn new() -> Self {
        Self {
            follower: follower(),
            passed: BTreeSet::new(),
        }
    }

    fn tick(&mut self, process: &MockProcess) {
        match self.follower.on_tick(process, false) {
            None => {}
            Some(Purge::Everything) => self.passed.clear(),
            Some(Purge::Named(names)) => {
                let is_named = |bearer: &Bearer| names.contains(&bearer.fingerprint());
                self.passed.retain(|bearer| !is_named(bearer));
            }
        }
    }

    /// Whether it refuses, or has the authority asked. `None` when it knows nothing.
    fn refuses(&mut self, process: &MockProcess, bearer: Bearer) -> Option<bool> {
        if self.passed.contains(&bearer) {
            return Some(false);
        }
        let view = &self.follower.view;
        match view.status(process, |_| bearer.names()).0 {
            Status::NoData => None,
            Status::PossiblyRevoked | Status::CutOff => Some(true),
            Status::NotRevoked => {
                self.passed.insert(bearer);
                Some(false)
            }
        }
    }

    fn held(&self, process: &MockProcess) -> Option<FeedState> {
        let held = self.follower.view.state().map(|state| (*state).clone());
        held.or_else(|| Some(self.follower.read_state(process)?.0))
    }

    /// What it says of every token is so at some moment, which is no earlier than what it holds
    /// and than what was said before.
    fn look(
        &mut self,
        process: &MockProcess,
        authority: &Authority,
        said: &mut Moments,
        may_be_mute: bool,
        context: &str,
    ) {
        let Some(held) = self.held(process) else {
            let mut bearers = BEARERS.iter();
            let is_mute = bearers.all(|bearer| self.refuses(process, *bearer).is_none());
            return assert!(is_mute, "{context}: out of nothing");
        };
        for bearer in BEARERS {
            let refuses = self.refuses(process, bearer);
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

/// Those that look on: one that ticks before every look, one that has not ticked since it knows
/// anything, and a new one whenever there is something to see.
pub(super) struct Onlookers {
    keen: Edge,
    lazy: Edge,
    said: [Moments; 3],
    /// Epoch and generation that were in force last.
    newest: (u64, u64),
    /// Whether it may come to it that nothing is known, when two leaders write over each other.
    pub(super) may_be_mute: bool,
}

impl Onlookers {
    pub(super) fn new() -> Self {
        Self {
            keen: Edge::new(),
            lazy: Edge::new(),
            said: Default::default(),
            newest: (0, 0),
            may_be_mute: false,
        }
    }

    /// Everybody's tick.
    pub(super) fn tick(&mut self, process: &MockProcess) {
        self.keen.tick(process);
        self.lazy.tick(process);
    }

    /// Nothing is said that is not so, and no generation comes back.
    pub(super) fn look(&mut self, process: &MockProcess, authority: &Authority, context: &str) {
        self.keen.tick(process);
        if self.lazy.follower.view.state().is_none() {
            self.lazy.tick(process);
        }
        if let Some((state, _)) = self.keen.follower.read_state(process) {
            let newest = (state.epoch, state.generation);
            assert!(
                self.newest <= newest,
                "{context}: back to an older generation"
            );
            self.newest = newest;
        }
        let edges = [&mut self.keen, &mut self.lazy, &mut Edge::new()];
        for (edge, said) in edges.into_iter().zip(&mut self.said) {
            edge.look(process, authority, said, self.may_be_mute, context);
        }
    }

    /// Everybody asks about every token, and remembers what is let through.
    pub(super) fn ask(&mut self, process: &MockProcess) {
        for edge in [&mut self.keen, &mut self.lazy] {
            edge.tick(process);
            for bearer in BEARERS {
                edge.refuses(process, bearer);
            }
        }
    }

    /// What is said is what is so now.
    pub(super) fn agree(&mut self, process: &MockProcess, authority: &Authority, context: &str) {
        self.tick(process);
        for edge in [&mut self.keen, &mut self.lazy, &mut Edge::new()] {
            for bearer in BEARERS {
                let refuses = edge.refuses(process, bearer);
                let is_revoked = bearer.is_revoked(&authority.changes);
                assert_eq!(refuses, Some(is_revoked), "{context}: {bearer:?}");
            }
        }
    }
}
