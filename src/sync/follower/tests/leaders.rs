//! Two leaders at once, of which one is stopped in the middle of what it does.

use std::cell::{Cell, RefCell};

use super::*;
use crate::host::{CallHost, Shared};

/// A virtual machine that is stopped before its first write, while something else happens.
struct Stopped<'p, F> {
    process: &'p MockProcess,
    meanwhile: Cell<Option<F>>,
}

impl<F: FnOnce()> SharedData for Stopped<'_, F> {
    fn shared(&self, key: &str) -> Option<Shared> {
        self.process.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        if let Some(meanwhile) = self.meanwhile.take() {
            meanwhile();
        }
        self.process.set_shared(key, value, expected)
    }
}

impl<F> CallHost for Stopped<'_, F> {
    fn call(&self, call: &Call) -> Option<CallId> {
        self.process.call(call)
    }
}

impl<F: FnOnce()> BackgroundHost for Stopped<'_, F> {
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

fn subject() -> Fingerprint {
    FILTER_KEY.fingerprint(Kind::Subject, "iss", "alice")
}

fn cut_off_at(seconds: u64) -> Change {
    Change::SetCutOff(CutOff {
        key: subject(),
        not_before: UnixTime::from_seconds(seconds).unwrap(),
        except: None,
    })
}

/// Of a token that was issued at second 15.
fn status_of_subject(process: &MockProcess, follower: &Follower) -> Status {
    let (status, _) = follower.view.status(process, |_| Names {
        cut_offs: vec![subject()],
        issued_at: UnixTime::from_seconds(15),
        ..Names::default()
    });
    status
}

/// What the cut-off of a process is like after the first leader was stopped with an old batch in
/// its hands, and the second one did something meanwhile.
struct Aftermath {
    process: MockProcess,
    authority: Authority,
    second: Follower,
    other: Follower,
}

/// The first leader is about to clear the cut-off, and the second one does that, sets another one
/// and then, when `reloads`, loads the generation again.
fn stopped_before_clearing(reloads: bool) -> Aftermath {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut first, second, mut other) = (follower(), RefCell::new(follower()), follower());
    authority.changes.push(cut_off_at(10));
    authority.publish_generation();
    tick(&process, &mut first, &authority);
    tick(&process, &mut second.borrow_mut(), &authority);
    authority.changes.push(Change::ClearCutOff(subject()));
    // The long poll of the first leader ends, and it alone hears of it. It has been told of what
    // it holds on its last tick.
    second.borrow_mut().poll.drop_call();
    let calls = process.calls.take();
    let (id, call) = calls.into_iter().next().unwrap();
    let outcome = authority.answer(&call).unwrap();
    authority.changes.push(cut_off_at(20));
    let meanwhile = || {
        let second = &mut second.borrow_mut();
        second.poll.drop_call();
        tick(&process, second, &authority);
        assert_eq!(status_of_subject(&process, second), Status::CutOff);
        assert_eq!(other.on_tick(&process, false), Some(Purge::Everything));
        if reloads {
            second.load_from = Some(0);
            tick(&process, second, &authority);
            // Nothing is new but the place.
            assert_eq!(other.on_tick(&process, false), None);
        }
    };
    let stopped = Stopped {
        process: &process,
        meanwhile: Cell::new(Some(meanwhile)),
    };
    first.on_response(&stopped, id, &outcome);
    let second = second.into_inner();
    Aftermath {
        process,
        authority,
        second,
        other,
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cut_off_that_a_stopped_leader_cleared_holds_again_and_no_cache_keeps_what_passed() {
    let Aftermath {
        process,
        authority,
        mut second,
        mut other,
    } = stopped_before_clearing(false);
    let before = other.view.state().unwrap();
    // This is the harm: a token passes, and a cache may remember that.
    assert_eq!(status_of_subject(&process, &other), Status::NotRevoked);
    process.calls.take();
    second.poll.drop_call();
    process.pass(100);
    second.on_tick(&process, true);
    settle(&process, &mut second, &authority);
    assert_eq!(second.on_tick(&process, true), Some(Purge::Everything));
    assert_eq!(other.on_tick(&process, false), Some(Purge::Everything));
    let after = other.view.state().unwrap();
    assert_ne!(before.load, after.load);
    assert_eq!(
        (before.epoch, before.sequence, before.chain),
        (after.epoch, after.sequence, after.chain)
    );
    assert_eq!(status_of_subject(&process, &other), Status::CutOff);
    assert_eq!(second.on_tick(&process, true), None);
    assert_eq!(other.on_tick(&process, false), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_was_stopped_over_a_reload_empties_the_caches_itself() {
    let Aftermath {
        process,
        mut second,
        mut other,
        ..
    } = stopped_before_clearing(true);
    assert_eq!(second.on_tick(&process, true), Some(Purge::Everything));
    assert_eq!(other.on_tick(&process, false), Some(Purge::Everything));
    for follower in [&second, &other] {
        assert_eq!(status_of_subject(&process, follower), Status::CutOff);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn two_leaders_at_once_do_no_harm() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut first, mut second) = (follower(), follower());
    let mut other = follower();
    for round in 0..20 {
        authority.revoke(&round.to_string());
        if round % 7 == 3 {
            authority.publish_generation();
        }
        process.pass(500);
        for leader in [&mut first, &mut second] {
            leader.on_tick(&process, true);
        }
        let calls = process.calls.take();
        for (id, call) in calls {
            let Some(outcome) = authority.answer(&call) else {
                process.calls.borrow_mut().push((id, call));
                continue;
            };
            let is_taken = first.on_response(&process, id, &outcome);
            assert!(is_taken != second.on_response(&process, id, &outcome) || !is_taken);
        }
    }
    for _ in 0..20 {
        process.pass(2_000);
        for leader in [&mut first, &mut second] {
            leader.on_tick(&process, true);
            settle(&process, leader, &authority);
        }
    }
    other.on_tick(&process, false);
    for round in 0..20 {
        assert_eq!(
            status(&process, &other, &round.to_string()),
            Status::PossiblyRevoked,
            "{round}"
        );
    }
    assert_eq!(status(&process, &other, "never"), Status::NotRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_was_stopped_while_loading_cannot_take_back_what_came_since() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut first, mut second) = (follower(), follower());
    authority.publish_generation();
    // The first leader has the manifest, and is stopped before the first segment is taken in.
    first.on_tick(&process, true);
    let (id, call) = next_call(&process).unwrap();
    let outcome = authority.answer(&call).unwrap();
    first.on_response(&process, id, &outcome);
    let (late, call) = next_call(&process).unwrap();
    let segment = authority.answer(&call).unwrap();
    tick(&process, &mut second, &authority);
    authority.revoke("a");
    tick(&process, &mut second, &authority);
    assert_eq!(status(&process, &second, "a"), Status::PossiblyRevoked);
    first.on_response(&process, late, &segment);
    assert_ne!(status(&process, &second, "a"), Status::NotRevoked);
    process.calls.take();
    for _ in 0..3 {
        process.pass(30_000);
        tick(&process, &mut second, &authority);
    }
    assert_eq!(status(&process, &second, "a"), Status::PossiblyRevoked);
    assert_eq!(status(&process, &second, "b"), Status::NotRevoked);
}
