use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock_background::{MockBackground, MockSpace};

/// A check, and a context that waits.
type Tried = Checks<&'static str, u32>;

const LIMIT: Duration = Duration::from_secs(1);

fn machine() -> MockBackground {
    let (space, now) = (Rc::new(MockSpace::default()), Rc::new(Cell::new(1_000)));
    MockBackground::new(&space, &now)
}

fn call() -> Call {
    Call {
        cluster: "authority".into(),
        method: "POST",
        authority: "authority".into(),
        path: "/v1/check".into(),
        headers: Vec::new(),
        body: None,
        timeout: LIMIT,
    }
}

fn answer(status: u16) -> CallOutcome {
    CallOutcome::Answered {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}

fn make(checks: &mut Tried, host: &MockBackground, check: &'static str, context: u32) {
    assert_eq!(checks.make(host, &check, || Some(call()), context), Ok(()));
}

/// The only call since this was last asked.
fn only_call(host: &MockBackground) -> (CallId, Call) {
    let mut calls = host.take_calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

#[wasm_bindgen_test(unsupported = test)]
fn the_same_check_is_made_once_and_every_request_hears_the_answer() {
    let (host, mut checks) = (machine(), Tried::default());
    for context in [10, 11, 12] {
        make(&mut checks, &host, "same", context);
    }
    let (id, _) = only_call(&host);
    make(&mut checks, &host, "other", 13);
    let (other, _) = only_call(&host);
    let ended = checks.answered(&host, id, &answer(200));
    assert_eq!(ended, Some(("same", vec![10, 11, 12])));
    assert_eq!(checks.answered(&host, id, &answer(200)), None);
    // A check that was answered is made anew.
    make(&mut checks, &host, "same", 14);
    only_call(&host);
    let ended = checks.answered(&host, other, &answer(200));
    assert_eq!(ended, Some(("other", vec![13])));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_call_that_failed_is_made_once_more_in_what_is_left_of_its_time() {
    for failure in [CallOutcome::Failed, answer(503)] {
        let (host, mut checks) = (machine(), Tried::default());
        make(&mut checks, &host, "check", 10);
        let (first, call) = only_call(&host);
        assert_eq!(call.timeout, Duration::from_millis(750));
        host.now.set(host.now.get() + 300);
        let ended = checks.answered(&host, first, &failure);
        assert_eq!(ended, None);
        let (second, call) = only_call(&host);
        assert_eq!(call.timeout, Duration::from_millis(700));
        make(&mut checks, &host, "check", 11);
        let ended = checks.answered(&host, second, &failure);
        assert_eq!(ended, Some(("check", vec![10, 11])), "no third time");
        assert!(host.take_calls().is_empty());
    }
}

/// An authority whose machine has lost its power, for one.
#[wasm_bindgen_test(unsupported = test)]
fn a_call_that_nothing_came_back_to_leaves_time_for_another() {
    let (host, mut checks) = (machine(), Tried::default());
    make(&mut checks, &host, "check", 10);
    let (first, call) = only_call(&host);
    host.now
        .set(host.now.get() + u64::try_from(call.timeout.as_millis()).unwrap());
    assert_eq!(checks.answered(&host, first, &answer(504)), None);
    let (second, call) = only_call(&host);
    assert_eq!(call.timeout, Duration::from_millis(250));
    let ended = checks.answered(&host, second, &answer(200));
    assert_eq!(ended, Some(("check", vec![10])));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_set_back_does_not_make_an_answer_worth_waiting_for_longer() {
    let (host, mut checks) = (machine(), Tried::default());
    make(&mut checks, &host, "check", 10);
    let (id, _) = only_call(&host);
    host.now.set(host.now.get() - 500);
    let ended = checks.answered(&host, id, &CallOutcome::Failed);
    assert_eq!(ended, Some(("check", vec![10])));
}

#[wasm_bindgen_test(unsupported = test)]
fn what_would_come_out_the_same_or_too_late_is_not_tried_again() {
    let outcomes = [
        (answer(401), 0),
        (answer(200), 0),
        (CallOutcome::Failed, 1_000),
    ];
    for (outcome, elapsed) in outcomes {
        let (host, mut checks) = (machine(), Tried::default());
        make(&mut checks, &host, "check", 10);
        let (id, _) = only_call(&host);
        host.now.set(host.now.get() + elapsed);
        let ended = checks.answered(&host, id, &outcome);
        assert_eq!(ended, Some(("check", vec![10])), "{outcome:?}");
        assert!(host.take_calls().is_empty());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_check_whose_call_is_lost_is_made_again_for_the_requests_that_still_wait() {
    let (host, mut checks) = (machine(), Tried::default());
    for context in [10, 11] {
        make(&mut checks, &host, "shared", context);
    }
    make(&mut checks, &host, "alone", 10);
    let lost: Vec<_> = host.take_calls().into_iter().map(|(id, _)| id).collect();
    checks.leave(|waiter| *waiter == 10);
    for id in &lost {
        checks.lose(*id);
    }
    assert_eq!(checks.send_again(&host), []);
    let (id, _) = only_call(&host);
    assert_eq!(checks.send_again(&host), []);
    assert!(host.take_calls().is_empty(), "once is enough");
    assert_eq!(checks.answered(&host, lost[0], &answer(200)), None);
    let ended = checks.answered(&host, id, &answer(200));
    assert_eq!(ended, Some(("shared", vec![11])));

    make(&mut checks, &host, "shared", 21);
    checks.lose(only_call(&host).0);
    host.refuses_calls.set(true);
    assert_eq!(checks.send_again(&host), [("shared", vec![21])]);
}

#[wasm_bindgen_test(unsupported = test)]
fn no_more_requests_wait_than_may_and_none_for_a_call_that_was_not_made() {
    let (host, mut checks) = (machine(), Tried::default());
    let admitted = (0..2_000).filter(|context| {
        let check = ["a", "b"][*context as usize % 2];
        checks
            .make(&host, &check, || Some(call()), *context)
            .is_ok()
    });
    assert_eq!(admitted.count(), MAX_CHECKING);
    let mut checks = Tried::default();
    assert_eq!(checks.make(&host, &"a", || None, 7), Err(7));
    host.refuses_calls.set(true);
    assert_eq!(checks.make(&host, &"a", || Some(call()), 7), Err(7));
}
