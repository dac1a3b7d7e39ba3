use std::cell::Cell;
use std::time::Duration;

use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock_background::{MockBackground, MockSpace};
use crate::host::{Call, CallId, CallOutcome};
use crate::keys::{RemoteSource, Retries, TRUSTED_AGE, Url};
use crate::token::fixtures;

mod clocks;
mod company;
mod discovery;
mod fetches;
mod outages;
mod unknown_keys;

const START: u64 = 1_800_000_000_000;

/// Two virtual machines of one process. The first is the first to look at the lease.
struct Process {
    now: Rc<Cell<u64>>,
    hosts: [MockBackground; 2],
    machines: [KeyRefresh; 2],
}

impl Process {
    fn with(settings: &RemoteKeys) -> Self {
        let space = Rc::new(MockSpace::default());
        let now = Rc::new(Cell::new(START));
        Self {
            hosts: [(); 2].map(|()| MockBackground::new(&space, &now)),
            machines: [1, 2].map(|holder| {
                let secret = RecordSecret::of("test", "secret");
                KeyRefresh::new(settings.clone(), "demo".into(), holder, &secret)
            }),
            now,
        }
    }

    /// With the first set fetched.
    fn started() -> Self {
        let mut process = Self::with(&settings());
        process.tick();
        process.answer(0, 200, &[], &old_set());
        process.tick();
        process.hosts[0].take_log();
        process
    }

    fn tick(&mut self) {
        self.now.set(self.now.get() + 100);
        for (machine, host) in self.machines.iter_mut().zip(&self.hosts) {
            machine.tick(host);
        }
    }

    /// Ticks for so long; gives how long it took until a call was made, if one was.
    fn time_to_call(&mut self, at_most: Duration) -> Option<u64> {
        let start = self.now.get();
        while self.now.get() - start < milliseconds(at_most) {
            self.tick();
            if self
                .hosts
                .iter()
                .any(|host| !host.calls.borrow().is_empty())
            {
                return Some(self.now.get() - start);
            }
        }
        None
    }

    /// Answers the only call of a machine.
    fn answer(
        &mut self,
        machine: usize,
        status: u16,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Call {
        let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        self.end_call(
            machine,
            &CallOutcome::Answered {
                status,
                headers: headers.iter().map(line).collect(),
                body: body.as_bytes().to_vec(),
            },
        )
    }

    /// Fails, and fails again after the try at once that follows a lost connection.
    fn fail(&mut self, machine: usize) {
        self.end_call(machine, &CallOutcome::Failed);
        if !self.hosts[machine].calls.borrow().is_empty() {
            self.end_call(machine, &CallOutcome::Failed);
        }
    }

    /// Lets time pass until the next fetch is due. The lease has run out by then, and this machine is
    /// the first to look at it.
    fn make_due(&mut self, first: usize) {
        let leads_for = 3_000;
        let due_at = self
            .machines
            .iter()
            .map(|machine| machine.published.next_at);
        let due_at = due_at.max().unwrap_or_default();
        self.now.set(due_at.max(self.now.get() + leads_for));
        self.machines[first].tick(&self.hosts[first]);
    }

    /// The machine that has called.
    fn caller(&self) -> usize {
        let calls = |host: &MockBackground| !host.calls.borrow().is_empty();
        self.hosts.iter().position(calls).expect("a call")
    }

    fn end_call(&mut self, machine: usize, outcome: &CallOutcome) -> Call {
        let mut calls = self.hosts[machine].take_calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        let (id, call) = calls.remove(0);
        assert!(self.machines[machine].answered(&self.hosts[machine], id, outcome));
        call
    }

    /// Key ids in force in every machine.
    fn key_ids(&self) -> [Option<Vec<String>>; 2] {
        let now = self.now.get();
        [0, 1].map(|machine| {
            let keys = self.machines[machine].keys(now)?;
            let ids = keys.keys().iter().map(|key| key.id().unwrap().to_owned());
            Some(ids.collect())
        })
    }

    /// A request comes that lacks a key.
    fn want(&self, machine: usize, key: u64) -> Asked {
        self.still_want(machine, key, self.now.get())
    }

    /// A request that came then asks again.
    fn still_want(&self, machine: usize, key: u64, came_at: u64) -> Asked {
        self.ask(machine, key, came_at, Duration::ZERO)
    }

    fn ask(&self, machine: usize, key: u64, came_at: u64, tolerance: Duration) -> Asked {
        let missing = MissingKey {
            provider: 0,
            key,
            tolerance,
        };
        let patience = Interval::new(came_at, Duration::from_secs(2));
        let (machine, host) = (&self.machines[machine], &self.hosts[machine]);
        machine.want(host, self.now.get(), &missing, patience)
    }

    /// So much later, without a tick in between.
    fn later(&self, milliseconds: u64) {
        self.now.set(self.now.get() + milliseconds);
    }

    fn both_have(&self, set: &str) -> bool {
        let set: serde_json::Value = serde_json::from_str(set).unwrap();
        let id = set["keys"][0]["kid"].as_str().unwrap().to_owned();
        self.key_ids() == [Some(vec![id.clone()]), Some(vec![id])]
    }
}

fn settings() -> RemoteKeys {
    RemoteKeys {
        max_stale: Duration::from_hours(1),
        ..RemoteKeys::example()
    }
}

fn old_set() -> String {
    fixtures::jwk_set(&[&fixtures::es256()])
}

fn new_set() -> String {
    fixtures::jwk_set(&[&fixtures::es256_other()])
}
