//! Processes of Envoy, with two virtual machines each: one leads, and one never does.

use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use portcullis::host::CallOutcome;
use portcullis::namespace::{Namespace, RecordSecret};
use portcullis::revocation::{FeedState, Status, View};
use portcullis::sync::{FeedSource, Follower, Purge};

use super::memory::Memory;
use super::support::{Authority, Random};
use super::table::Named;

/// One process.
pub(crate) struct Edge {
    memory: Memory,
    leader: VirtualMachine,
    pub(crate) second: Second,
    random: Random,
}

/// One virtual machine.
struct VirtualMachine {
    view: Rc<View>,
    follower: Follower,
}

/// The one that never leads, and remembers tokens that it let pass.
pub(crate) struct Second {
    machine: VirtualMachine,
    passed: BTreeSet<Named>,
    /// Tokens that left because a change named them.
    pub(crate) purged: usize,
}

impl Edge {
    pub(crate) fn new(authority: &Authority, seed: u64) -> Self {
        Self {
            memory: Memory::seeded(seed),
            leader: VirtualMachine::new(authority, seed),
            second: Second {
                machine: VirtualMachine::new(authority, seed),
                passed: BTreeSet::new(),
                purged: 0,
            },
            random: Random::seeded(seed),
        }
    }

    /// Lets its time pass until it knows everything that the authority has acknowledged.
    pub(crate) fn catch_up(&mut self, authority: &Authority) {
        let head = authority.stats()["sequence"].as_u64().expect("a number");
        let is_there = |state: Rc<FeedState>| state.sequence >= head;
        for _ in 0..2_000 {
            self.memory.now.set(self.memory.now.get() + 100);
            self.leader.follower.on_tick(&self.memory, true);
            let is_there = self.leader.view.state().is_some_and(is_there);
            if is_there || self.random.below(3) == 0 {
                self.second.tick(&self.memory);
            }
            if is_there {
                return;
            }
            self.answer_calls(authority);
        }
        let warnings = self.memory.take_warnings();
        panic!(
            "not at {head}: {:?}, {warnings:?}",
            self.leader.view.state()
        );
    }

    fn answer_calls(&mut self, authority: &Authority) {
        loop {
            let calls = self.memory.take_calls();
            if calls.is_empty() {
                return;
            }
            for (id, call) in calls {
                let (status, body) = authority.request(&call.path);
                let outcome = CallOutcome::Answered {
                    status,
                    headers: Vec::new(),
                    body,
                };
                let follower = &mut self.leader.follower;
                follower.on_response(&self.memory, id, &outcome);
            }
            // An empty answer is not asked for again at once.
            if self.memory.now.get().is_multiple_of(500) {
                return;
            }
        }
    }

    pub(crate) fn status(&self, token: &Named) -> Status {
        self.leader.status(&self.memory, token)
    }

    /// What the second virtual machine says of a token, unless it remembers it. It takes the
    /// authority's word where the filter is not sure.
    pub(crate) fn lets_pass(&mut self, token: &Named, exact: impl FnOnce() -> bool) -> bool {
        if self.second.passed.contains(token) {
            return true;
        }
        let passes = match self.second.machine.status(&self.memory, token) {
            Status::NotRevoked => true,
            Status::PossiblyRevoked => !exact(),
            _ => false,
        };
        if passes {
            self.second.passed.insert(token.clone());
        }
        passes
    }
}

impl VirtualMachine {
    fn new(authority: &Authority, seed: u64) -> Self {
        let space = Namespace::new(&RecordSecret::none(), "model", &seed);
        let view = Rc::new(View::new(space, authority.feed_keys()));
        let source = FeedSource {
            cluster: "authority".to_owned(),
            authority: "authority".to_owned(),
            credential: authority.edge_credential().to_owned(),
            keys: authority.feed_keys(),
            heartbeat: Duration::ZERO,
            reload_jitter: Duration::from_millis(1),
            max_staleness: Duration::from_secs(30),
        };
        Self {
            follower: Follower::new(source, Rc::clone(&view)),
            view,
        }
    }

    fn status(&self, memory: &Memory, token: &Named) -> Status {
        self.view.status(memory, |state| token.names(state)).0
    }
}

impl Second {
    fn tick(&mut self, memory: &Memory) {
        let before = self.passed.len();
        let purge = self.machine.follower.on_tick(memory, false);
        match purge {
            None => {}
            Some(Purge::Everything) => self.passed.clear(),
            Some(Purge::Named(names)) => {
                let state = self.machine.view.state().expect("what names came with");
                let is_named = |token: &Named| {
                    let mut all = token.names(&state).all().collect::<Vec<_>>().into_iter();
                    all.any(|name| names.contains(&name))
                };
                self.passed.retain(|token| !is_named(token));
                self.purged += before - self.passed.len();
            }
        }
    }

    /// The tokens that it remembers.
    pub(crate) fn remembered(&self) -> impl Iterator<Item = &Named> {
        self.passed.iter()
    }
}
