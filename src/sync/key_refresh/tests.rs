use std::cell::Cell;

use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::gate::{Reason, Retries};
use crate::host::mock_background::{MockBackground, MockSpace};
use crate::token::KeyRules;
use crate::token::fixtures;

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

    /// Ticks for so long; gives how long it took until somebody made a call, if somebody did.
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

    /// Fails, and fails again after the try at once that follows when a connection breaks off.
    fn fail(&mut self, machine: usize) {
        self.end_call(machine, &CallOutcome::Failed);
        if !self.hosts[machine].calls.borrow().is_empty() {
            self.end_call(machine, &CallOutcome::Failed);
        }
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

    /// One that came then is asked for again.
    fn still_want(&self, machine: usize, key: u64, came_at: u64) -> Asked {
        self.ask(machine, key, came_at, Reason::KeyUnknown)
    }

    fn ask(&self, machine: usize, key: u64, came_at: u64, reason: Reason) -> Asked {
        let lack = Lack::example(0, key, reason);
        let patience = Interval::new(came_at, Duration::from_secs(2));
        let (machine, host) = (&self.machines[machine], &self.hosts[machine]);
        machine.want(host, self.now.get(), &lack, patience)
    }

    /// So much later; nobody looks meanwhile.
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
        source: RemoteSource::JwkSet(Location {
            authority: "issuer.example".into(),
            path: "/jwks".into(),
        }),
        cluster: "issuer".into(),
        timeout: Duration::from_secs(5),
        cache_duration: Duration::from_mins(10),
        failed_refetch: Duration::from_secs(1),
        retries: Retries {
            number: 0,
            base_interval: Duration::from_secs(1),
            max_interval: Duration::from_secs(10),
        },
        max_stale: Duration::from_hours(1),
        rules: KeyRules::default(),
    }
}

fn old_set() -> String {
    fixtures::jwk_set(&[&fixtures::es256()])
}

fn new_set() -> String {
    fixtures::jwk_set(&[&fixtures::es256_other()])
}

#[wasm_bindgen_test(unsupported = test)]
fn one_machine_fetches_and_all_of_them_have_the_keys() {
    let mut process = Process::with(&settings());
    assert_eq!(process.key_ids(), [None, None]);
    process.tick();
    assert_eq!(process.hosts[1].take_calls(), []);
    let call = process.answer(0, 200, &[], &old_set());
    assert_eq!((call.cluster.as_str(), call.method), ("issuer", "GET"));
    assert_eq!(
        (call.authority.as_str(), call.path.as_str()),
        ("issuer.example", "/jwks")
    );
    process.tick();
    assert!(process.both_have(&old_set()));
    assert_eq!(process.time_to_call(Duration::from_mins(7)), None);
    let counts = Counts {
        fetched: 1,
        ..Counts::default()
    };
    assert_eq!(process.machines[0].take_counts(), counts);
    assert_eq!(process.machines[1].take_counts(), Counts::default());
    assert_eq!(process.hosts[0].take_log(), ["keys of demo: 1 usable"]);
    assert_eq!(process.hosts[1].take_log(), [""; 0]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_set_is_refreshed_before_it_expires_and_the_same_bytes_give_the_same_keys() {
    for random in [0, 12_345_678, u64::MAX] {
        let mut process = Process::with(&settings());
        process.hosts[0].random.set(random);
        process.tick();
        process.answer(0, 200, &[], &old_set());
        process.tick();
        let before = process
            .machines
            .each_ref()
            .map(|machine| machine.keys.clone().unwrap());
        let waited = process.time_to_call(Duration::from_mins(10)).unwrap();
        assert!((480_000..=540_100).contains(&waited), "{random}: {waited}");
        process.answer(0, 200, &[], &old_set());
        process.tick();
        for (machine, before) in process.machines.iter().zip(before) {
            assert!(Rc::ptr_eq(machine.keys.as_ref().unwrap(), &before));
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_servers_cache_control_counts() {
    let mut process = Process::with(&settings());
    process.tick();
    process.answer(0, 200, &[("cache-control", "max-age=60")], &old_set());
    let waited = process.time_to_call(Duration::from_mins(10)).unwrap();
    assert!((48_000..=54_100).contains(&waited), "{waited}");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_rotated_key_is_in_force_everywhere_and_the_old_one_is_gone() {
    let mut process = Process::started();
    process.time_to_call(Duration::from_mins(10)).unwrap();
    process.answer(0, 200, &[], &new_set());
    process.tick();
    assert!(process.both_have(&new_set()));
}

#[wasm_bindgen_test(unsupported = test)]
fn garbage_keeps_the_last_good_set_and_is_reported_once() {
    let private = json!({"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}).to_string();
    for (status, garbage) in [
        (200, "<html>sign in</html>"),
        (200, ""),
        (200, "{\"keys\":[]}"),
        (200, private.as_str()),
        (302, ""),
        (404, "not found"),
        (500, &new_set()),
        (204, &new_set()),
    ] {
        let mut process = Process::started();
        process.time_to_call(Duration::from_mins(10)).unwrap();
        for _ in 0..2 {
            process.answer(0, status, &[("location", "/jwks")], garbage);
            assert!(process.both_have(&old_set()), "{garbage}");
            process.time_to_call(Duration::from_mins(5)).unwrap();
        }
        let log = process.hosts[0].take_log();
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(log[0].starts_with("warning: keys of demo: "), "{log:?}");
        process.answer(0, 200, &[], &new_set());
        process.tick();
        assert!(process.both_have(&new_set()));
        let log = process.hosts[0].take_log();
        assert_eq!(
            log,
            ["keys of demo: fetched again", "keys of demo: 1 usable"]
        );
        let counts = Counts {
            fetched: 2,
            failed: 2,
            refetched: 0,
        };
        assert_eq!(process.machines[0].take_counts(), counts);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn failures_are_retried_later_and_later_up_to_five_minutes() {
    let mut process = Process::with(&settings());
    process.tick();
    let mut waits = Vec::new();
    for _ in 0..12 {
        process.fail(process.caller());
        waits.push(process.time_to_call(Duration::from_mins(6)).unwrap());
    }
    assert_eq!(waits[..4], [500, 1_000, 2_000, 4_000]);
    assert_eq!(waits[11], 150_000);
}

#[wasm_bindgen_test(unsupported = test)]
fn somebody_else_tries_after_three_failures_and_the_pauses_are_the_same() {
    let mut process = Process::with(&settings());
    process.tick();
    let mut callers = Vec::new();
    for _ in 0..12 {
        let caller = process.caller();
        callers.push(caller);
        process.fail(caller);
        process.time_to_call(Duration::from_mins(6)).unwrap();
    }
    assert_eq!(callers, [0, 0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 1]);
}

#[wasm_bindgen_test(unsupported = test)]
fn keys_are_gone_when_they_are_staler_than_allowed_and_back_when_the_server_is() {
    let mut process = Process::started();
    let unusable_at = process.machines[0].published.expires_at + 3_600_000;
    while process.now.get() + 10_100 < unusable_at {
        process.now.set(process.now.get() + 9_900);
        process.tick();
        if !process
            .hosts
            .iter()
            .all(|host| host.calls.borrow().is_empty())
        {
            let machine = usize::from(process.hosts[0].calls.borrow().is_empty());
            process.fail(machine);
        }
        assert!(process.both_have(&old_set()));
    }
    process.now.set(unusable_at - 100);
    process.tick();
    assert_eq!(process.key_ids(), [None, None]);
    process.time_to_call(Duration::from_mins(5)).unwrap();
    let machine = usize::from(process.hosts[0].calls.borrow().is_empty());
    process.answer(machine, 200, &[], &old_set());
    process.tick();
    assert!(process.both_have(&old_set()));
}

#[wasm_bindgen_test(unsupported = test)]
fn an_unknown_key_is_fetched_once_for_all_machines() {
    let mut process = Process::started();
    process.later(20_000);
    process.tick();
    let before = process.machines[1].finished_at();
    assert_eq!(process.want(1, 7), Asked::Wait);
    assert_eq!(process.want(1, 7), Asked::Wait);
    assert_eq!(process.want(0, 8), Asked::Wait);
    assert_eq!(process.time_to_call(Duration::from_secs(1)), Some(100));
    let call = process.answer(0, 200, &[], &new_set());
    assert!(
        call.headers
            .contains(&("cache-control", "no-cache".to_owned()))
    );
    process.tick();
    assert!(process.both_have(&new_set()));
    assert_ne!(process.machines[1].finished_at(), before);
    let counts = Counts {
        fetched: 2,
        failed: 0,
        refetched: 1,
    };
    assert_eq!(process.machines[0].take_counts(), counts);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_try_that_is_made_again_after_somebody_has_asked_for_a_key_goes_past_caches() {
    let mut process = Process::started();
    process.time_to_call(Duration::from_mins(10)).unwrap();
    assert_eq!(process.want(1, 7), Asked::Wait);
    process.later(100);
    process.end_call(0, &CallOutcome::Failed);
    let call = process.answer(0, 200, &[], &new_set());
    let no_cache = ("cache-control", "no-cache".to_owned());
    assert!(call.headers.contains(&no_cache));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_fetch_that_was_on_its_way_already_is_no_proof_of_absence() {
    let mut process = Process::started();
    process.time_to_call(Duration::from_mins(10)).unwrap();
    process.later(50);
    let came_at = process.now.get();
    assert_eq!(process.want(1, 7), Asked::Wait);
    process.answer(0, 200, &[], &old_set());
    process.tick();
    assert_eq!(process.still_want(1, 7, came_at), Asked::Wait);
    let waited = process.time_to_call(Duration::from_secs(5)).unwrap();
    assert!(waited <= 1_000, "{waited}");
    process.answer(0, 200, &[], &new_set());
    process.tick();
    assert!(process.both_have(&new_set()));
    assert_eq!(process.still_want(1, 7, came_at), Asked::Settled);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_that_waited_for_the_first_set_may_wait_for_the_next() {
    let mut process = Process::with(&settings());
    process.tick();
    process.later(10);
    let came_at = process.now.get();
    assert_eq!(process.want(1, 7), Asked::Wait);
    process.answer(0, 200, &[], &old_set());
    process.tick();
    assert_eq!(process.still_want(1, 7, came_at), Asked::Wait);
    assert_eq!(process.time_to_call(Duration::from_secs(1)), Some(100));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_fetch_that_failed_is_no_proof_of_absence() {
    let mut process = Process::started();
    process.later(20_000);
    let came_at = process.now.get();
    assert_eq!(process.want(1, 7), Asked::Wait);
    process.time_to_call(Duration::from_secs(1)).unwrap();
    for _ in 0..8 {
        process.fail(process.caller());
        process.tick();
        assert_ne!(process.want(1, 7), Asked::Settled);
        assert_ne!(process.want(0, 8), Asked::Settled);
        let waited = process.time_to_call(Duration::from_secs(20)).unwrap();
        assert!(waited <= 5_000, "the server is asked often: {waited}");
    }
    assert_eq!(process.still_want(1, 7, came_at), Asked::Unsettled);
    process.answer(process.caller(), 200, &[], &old_set());
    process.tick();
    for machine in [0, 1] {
        assert_eq!(process.want(machine, 7), Asked::Settled);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_one_machine_has_seen_settles_it_for_all() {
    let mut process = Process::started();
    process.later(20_000);
    assert_eq!(process.want(1, 7), Asked::Wait);
    process.time_to_call(Duration::from_secs(1)).unwrap();
    process.answer(0, 200, &[], &old_set());
    process.tick();
    assert_eq!(process.want(0, 7), Asked::Settled);
    assert_eq!(process.want(1, 7), Asked::Settled);
    assert_eq!(process.want(0, 8), Asked::Wait);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_that_came_before_a_fetch_began_is_settled_by_it_whatever_it_lacks() {
    let mut process = Process::started();
    process.later(20_000);
    let came_at = process.now.get();
    for key in 0..1_000 {
        assert_eq!(process.want(usize::from(key % 2 == 0), key), Asked::Wait);
    }
    process.time_to_call(Duration::from_secs(1)).unwrap();
    let meanwhile = process.now.get() + 1;
    process.later(10);
    process.answer(0, 200, &[], &old_set());
    process.tick();
    for key in 0..1_000 {
        assert_eq!(process.still_want(1, key, came_at), Asked::Settled);
        let later = process.still_want(1, 1_000 + key, meanwhile);
        assert_eq!(later, Asked::Wait);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_second_rotation_right_after_the_first_is_taken_over_at_once() {
    let mut process = Process::started();
    process.later(20_000);
    for (key, set) in [(7, new_set()), (8, old_set()), (9, new_set())] {
        process.later(2_000);
        assert_eq!(process.want(1, key), Asked::Wait);
        assert_eq!(process.time_to_call(Duration::from_secs(5)), Some(100));
        process.answer(0, 200, &[], &set);
        process.tick();
        assert!(process.both_have(&set));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_flood_of_unknown_keys_causes_four_fetches_and_then_one_every_five_seconds() {
    let mut process = Process::started();
    process.later(20_000);
    let (mut calls, mut longest, mut settled) = (0, 0, 0);
    let mut waits_since = process.now.get();
    for key in 0..60_000 {
        if key % 10 == 0 {
            process.tick();
            process.later(1);
        }
        for machine in [0, 1] {
            if process.want(machine, key) == Asked::Settled {
                settled += 1;
            }
        }
        if !process.hosts[0].calls.borrow().is_empty() {
            process.answer(0, 200, &[], &old_set());
            calls += 1;
            longest = longest.max(process.now.get() - waits_since);
            waits_since = process.now.get();
        }
        let wishes = process.machines[0].wishes(&process.hosts[0], process.now.get());
        assert!(wishes.seal(&Namespace::example()).len() < 1_100);
    }
    // 606 seconds: 121 wanted fetches, the first few, and one that was due.
    assert!((121..=126).contains(&calls), "{calls}");
    assert!(longest <= 5_200, "{longest}");
    assert_eq!(settled, 0, "nothing is known of what came a moment ago");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_flood_makes_nobody_write_more_than_wishes_that_are_new() {
    let mut process = Process::started();
    process.later(20_000);
    let writes = process.hosts[0].space.writes();
    for key in 0..10_000 {
        process.want(0, key);
    }
    assert_eq!(process.hosts[0].space.writes() - writes, 64);
    // Who came early and comes again is known all the same.
    process.time_to_call(Duration::from_secs(1)).unwrap();
    process.answer(0, 200, &[], &old_set());
    process.tick();
    assert_eq!(process.want(1, 3), Asked::Settled);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_new_key_is_here_within_some_seconds_of_a_flood() {
    let mut process = Process::started();
    process.later(20_000);
    for key in 0..600 {
        process.tick();
        process.want(0, key);
        if !process.hosts[0].calls.borrow().is_empty() {
            process.answer(0, 200, &[], &old_set());
        }
    }
    let rotated_at = process.now.get();
    let mut key = 600;
    loop {
        process.tick();
        if process.both_have(&new_set()) {
            break;
        }
        key += 1;
        process.want(0, key);
        assert_ne!(process.want(1, 7_777), Asked::Settled);
        if !process.hosts[0].calls.borrow().is_empty() {
            process.answer(0, 200, &[], &new_set());
        }
        let waited = process.now.get() - rotated_at;
        assert!(waited <= 5_200, "{waited}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn one_key_that_stays_unknown_causes_two_fetches_a_minute() {
    let mut process = Process::started();
    process.later(20_000);
    let mut calls = 0;
    for _ in 0..3_000 {
        process.tick();
        process.want(0, 7);
        process.want(1, 7);
        if !process.hosts[0].calls.borrow().is_empty() {
            process.answer(0, 200, &[], &old_set());
            calls += 1;
        }
    }
    assert!((9..=10).contains(&calls), "{calls}");
}

#[wasm_bindgen_test(unsupported = test)]
fn signatures_that_fail_cause_a_fetch_once_a_minute() {
    let mut process = Process::started();
    let mut calls = 0;
    for key in 0..4_800 {
        process.tick();
        let asked = process.ask(1, key, process.now.get(), Reason::SignatureInvalid);
        let age = process.now.get() - process.machines[1].as_of(process.now.get());
        assert_eq!(asked == Asked::Settled, age <= 60_000);
        if !process.hosts[0].calls.borrow().is_empty() {
            process.answer(0, 200, &[], &old_set());
            calls += 1;
        }
    }
    assert!((7..=8).contains(&calls), "{calls}");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_connection_that_breaks_off_is_tried_again_once_and_at_once() {
    for broken in [None, Some(503)] {
        let mut process = Process::started();
        process.later(20_000);
        assert_eq!(process.want(1, 7), Asked::Wait);
        process.time_to_call(Duration::from_secs(1)).unwrap();
        process.later(30);
        let came_at = process.now.get();
        assert_eq!(process.want(1, 8), Asked::Wait);
        let broken = || match broken {
            None => CallOutcome::Failed,
            Some(status) => CallOutcome::Answered {
                status,
                headers: Vec::new(),
                body: Vec::new(),
            },
        };
        process.end_call(0, &broken());
        process.later(30);
        process.answer(0, 200, &[], &new_set());
        process.tick();
        assert!(process.both_have(&new_set()));
        assert_eq!(process.machines[0].take_counts().failed, 0);
        // The second try has begun later than the first.
        assert_eq!(process.still_want(0, 8, came_at), Asked::Settled);

        assert_eq!(process.want(1, 9), Asked::Wait);
        process.time_to_call(Duration::from_secs(2)).unwrap();
        process.end_call(0, &broken());
        process.end_call(0, &broken());
        assert_eq!(process.hosts[0].take_calls(), []);
        assert_eq!(process.machines[0].take_counts().failed, 1);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_of_a_server_in_trouble_is_not_asked_for_again_at_once() {
    for status in [500, 502, 504, 429, 404] {
        let mut process = Process::with(&settings());
        process.tick();
        process.answer(0, status, &[], "");
        assert_eq!(process.hosts[0].take_calls(), [], "{status}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn requests_wait_for_the_first_fetch_but_not_during_an_outage() {
    let mut process = Process::with(&settings());
    let came_at = process.now.get();
    assert_eq!(process.want(1, 0), Asked::Wait);
    process.tick();
    assert_eq!(process.want(1, 0), Asked::Wait);
    process.later(1_900);
    assert_eq!(process.still_want(1, 0, came_at), Asked::Unsettled);
    assert_eq!(process.want(1, 0), Asked::Wait);
    process.fail(0);
    process.tick();
    assert_eq!(process.want(1, 0), Asked::Unsettled);
}

#[wasm_bindgen_test(unsupported = test)]
fn requests_shorten_an_outage_by_asking() {
    let mut process = Process::with(&settings());
    process.tick();
    for _ in 0..12 {
        process.fail(process.caller());
        process.time_to_call(Duration::from_mins(6)).unwrap();
    }
    process.fail(process.caller());
    process.tick();
    assert_eq!(process.want(1, 0), Asked::Unsettled);
    assert_eq!(process.time_to_call(Duration::from_secs(20)), Some(4_900));
}

#[wasm_bindgen_test(unsupported = test)]
fn another_machine_takes_over_when_the_leader_is_gone() {
    let mut process = Process::with(&settings());
    process.tick();
    process.hosts[0].take_calls();
    for _ in 0..40 {
        process.now.set(process.now.get() + 100);
        process.machines[1].tick(&process.hosts[1]);
    }
    process.answer(1, 200, &[], &old_set());
    assert!(process.machines[1].keys(process.now.get()).is_some());
}

#[wasm_bindgen_test(unsupported = test)]
fn of_two_leaders_the_second_takes_over_what_the_first_has_published() {
    let mut process = Process::with(&settings());
    process.tick();
    let key = process.hosts[0]
        .space
        .keys()
        .into_iter()
        .find(|key| key.ends_with("/lease"));
    let (key, hosts) = (key.unwrap(), &process.hosts);
    hosts[0].set_shared(&key, b"", Expected::Anything);
    process.machines[1].tick(&process.hosts[1]);
    process.answer(1, 200, &[], &new_set());
    process.answer(0, 200, &[], &old_set());
    process.tick();
    assert!(process.both_have(&new_set()));
}

#[wasm_bindgen_test(unsupported = test)]
fn foreign_bytes_change_nothing_and_are_written_over() {
    let mut process = Process::started();
    let keys = process.hosts[0].space.keys();
    for key in &keys {
        process.hosts[0].set_shared(key, &[0xff; 100], Expected::Anything);
    }
    process.tick();
    assert!(process.both_have(&old_set()));
    process.time_to_call(Duration::from_mins(10)).unwrap();
    let machine = usize::from(process.hosts[0].calls.borrow().is_empty());
    process.answer(machine, 200, &[], &new_set());
    process.tick();
    assert!(process.both_have(&new_set()));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_call_that_is_never_answered_or_refused_at_once_is_a_failure() {
    let mut process = Process::with(&settings());
    process.tick();
    process.hosts[0].take_calls();
    assert_eq!(process.time_to_call(Duration::from_secs(12)), Some(10_500));
    let mut process = Process::with(&settings());
    process.hosts[0].refuses_calls.set(true);
    process.tick();
    assert_eq!(
        process.hosts[0].take_log(),
        [
            "warning: keys of demo: the call was refused; hint: is there a cluster `issuer` with a \
             healthy endpoint?; there are none"
        ]
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn tries_of_one_fetch_follow_each_other_and_count_as_one() {
    let retries = Retries {
        number: 2,
        base_interval: Duration::from_millis(200),
        max_interval: Duration::from_secs(2),
    };
    let mut process = Process::with(&RemoteKeys {
        retries,
        ..settings()
    });
    process.tick();
    process.fail(0);
    assert_eq!(process.time_to_call(Duration::from_secs(5)), Some(100));
    process.fail(0);
    assert_eq!(process.time_to_call(Duration::from_secs(5)), Some(200));
    assert_eq!(process.machines[0].finished_at(), 0);
    process.fail(0);
    let counts = Counts {
        failed: 1,
        ..Counts::default()
    };
    assert_eq!(process.machines[0].take_counts(), counts);
    assert_eq!(process.time_to_call(Duration::from_secs(5)), Some(500));
}

fn discovered() -> RemoteKeys {
    RemoteKeys {
        source: RemoteSource::Discovery {
            document: Location {
                authority: "issuer.example".into(),
                path: "/.well-known/openid-configuration".into(),
            },
            issuer: "https://issuer.example".into(),
        },
        ..settings()
    }
}

impl Process {
    /// Answers with a document that leads to this path, and from there with a set; says with which
    /// headers the set was asked for.
    fn discover(&mut self, path: &str, set: &str) -> Call {
        let uri = format!("https://issuer.example{path}");
        let document = json!({"issuer": "https://issuer.example", "jwks_uri": uri});
        let call = self.answer(0, 200, &[], &document.to_string());
        assert_eq!(call.path, "/.well-known/openid-configuration");
        let call = self.answer(0, 200, &[], set);
        assert_eq!(call.path, path);
        self.tick();
        call
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_discovery_document_is_read_again_with_every_fetch() {
    let mut process = Process::with(&discovered());
    process.tick();
    process.discover("/keys", &old_set());
    process.time_to_call(Duration::from_mins(10)).unwrap();
    process.discover("/moved", &new_set());
    assert!(process.both_have(&new_set()));
    process.later(5_000);
    assert_eq!(process.want(1, 7), Asked::Wait);
    process.time_to_call(Duration::from_secs(1)).unwrap();
    let call = process.discover("/moved/again", &old_set());
    assert!(
        call.headers
            .contains(&("cache-control", "no-cache".to_owned()))
    );
    assert!(process.both_have(&old_set()));
}

#[wasm_bindgen_test(unsupported = test)]
fn keys_are_as_of_the_time_when_the_discovery_document_was_asked_for() {
    let mut process = Process::with(&discovered());
    process.tick();
    let began_at = process.now.get();
    process.later(1_000);
    process.discover("/keys", &old_set());
    assert_eq!(process.machines[1].as_of(process.now.get()), began_at);
    process.time_to_call(Duration::from_mins(10)).unwrap();
    process.answer(0, 404, &[], "");
    process.tick();
    assert_eq!(process.machines[1].as_of(process.now.get()), began_at);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_set_back_is_no_reason_to_stop_fetching() {
    let mut process = Process::started();
    process.now.set(START - 86_400_000);
    assert_eq!(process.time_to_call(Duration::from_secs(1)), Some(100));
}

/// Sets the clock back by an hour, after which a set is fetched at once.
fn set_back(process: &mut Process) {
    process.now.set(process.now.get() - 3_600_000);
    assert_eq!(process.time_to_call(Duration::from_secs(1)), Some(100));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_set_back_does_not_put_off_fetches_that_requests_ask_for() {
    let mut process = Process::started();
    process.later(20_000);
    assert_eq!(process.want(1, 7), Asked::Wait);
    assert_eq!(process.time_to_call(Duration::from_secs(1)), Some(100));
    process.answer(0, 200, &[], &old_set());
    process.now.set(process.now.get() - 3_600_000);
    for machine in [0, 1] {
        assert_eq!(process.want(machine, 9), Asked::Wait);
    }
    assert_eq!(process.time_to_call(Duration::from_secs(1)), Some(100));
    process.answer(0, 200, &[], &old_set());
    process.later(1_100);
    for machine in [0, 1] {
        assert_eq!(process.want(machine, 10), Asked::Wait);
    }
    assert_eq!(process.time_to_call(Duration::from_secs(1)), Some(100));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_set_back_does_not_lengthen_the_pause_between_two_tries() {
    let retries = Retries {
        number: 2,
        ..settings().retries
    };
    let mut process = Process::with(&RemoteKeys {
        retries,
        ..settings()
    });
    process.tick();
    process.fail(0);
    set_back(&mut process);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_call_that_is_never_answered_is_not_waited_for_longer_after_the_clock_was_set_back() {
    let mut process = Process::with(&settings());
    process.tick();
    process.hosts[0].take_calls();
    process.now.set(process.now.get() - 3_600_000);
    assert!(process.time_to_call(Duration::from_secs(12)).is_some());
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_counts_though_the_clock_was_set_back_meanwhile() {
    let mut process = Process::with(&settings());
    process.tick();
    process.now.set(process.now.get() - 3_600_000);
    process.tick();
    process.answer(0, 200, &[], &old_set());
    process.tick();
    assert!(process.both_have(&old_set()));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_set_back_makes_no_keys_last_longer_than_those_that_are_fetched_now() {
    let mut process = Process::started();
    set_back(&mut process);
    assert!(
        process.both_have(&old_set()),
        "good keys are not taken away"
    );
    process.fail(0);
    process.tick();
    let lasts = milliseconds(settings().cache_duration);
    for machine in &process.machines {
        let published = &machine.published;
        assert!(published.expires_at <= process.now.get() + lasts);
        assert!(published.fetched_at <= process.now.get());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cache_duration_of_nothing_does_not_make_it_spin() {
    let settings = RemoteKeys {
        cache_duration: Duration::ZERO,
        ..settings()
    };
    let mut process = Process::with(&settings);
    process.tick();
    process.answer(0, 200, &[], &old_set());
    assert_eq!(process.time_to_call(Duration::from_secs(5)), Some(1_000));
}

#[wasm_bindgen_test(unsupported = test)]
fn answers_to_other_calls_are_left_alone() {
    let mut process = Process::with(&settings());
    process.tick();
    let host = &process.hosts[0];
    assert!(!process.machines[0].answered(host, CallId(u32::MAX), &CallOutcome::Failed));
    process.answer(0, 200, &[], &old_set());
    assert!(process.machines[0].keys(process.now.get()).is_some());
}
