use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock_background::{MockBackground, MockSpace};

/// A question, and a context that waits.
type Tried = Inquiries<&'static str, u32>;

const ROOT: u32 = 1;
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

fn ask(inquiries: &mut Tried, host: &MockBackground, question: &'static str, context: u32) {
    assert_eq!(
        inquiries.ask(host, context, &question, || Some(call()), context),
        Ok(())
    );
}

/// The only call since this was last asked.
fn only_call(host: &MockBackground) -> (CallId, Call) {
    let mut calls = host.take_calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

#[wasm_bindgen_test(unsupported = test)]
fn the_same_question_is_asked_once_and_everybody_hears_the_answer() {
    let (host, mut inquiries) = (machine(), Tried::default());
    for context in [10, 11, 12] {
        ask(&mut inquiries, &host, "same", context);
    }
    let (id, _) = only_call(&host);
    ask(&mut inquiries, &host, "other", 13);
    let (other, _) = only_call(&host);
    let ended = inquiries.answered(&host, id, &answer(200));
    assert_eq!(ended, Some(("same", vec![10, 11, 12])));
    assert_eq!(inquiries.answered(&host, id, &answer(200)), None);
    // What was answered is asked anew.
    ask(&mut inquiries, &host, "same", 14);
    only_call(&host);
    let ended = inquiries.answered(&host, other, &answer(200));
    assert_eq!(ended, Some(("other", vec![13])));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_call_that_failed_is_made_once_more_in_what_is_left_of_its_time() {
    for failure in [CallOutcome::Failed, answer(503)] {
        let (host, mut inquiries) = (machine(), Tried::default());
        ask(&mut inquiries, &host, "question", 10);
        let (first, call) = only_call(&host);
        assert_eq!(call.timeout, LIMIT);
        host.now.set(host.now.get() + 300);
        let ended = inquiries.answered(&host, first, &failure);
        assert_eq!(ended, Some(("question", Vec::new())));
        let (second, call) = only_call(&host);
        assert_eq!(call.timeout, Duration::from_millis(700));
        ask(&mut inquiries, &host, "question", 11);
        let ended = inquiries.answered(&host, second, &failure);
        assert_eq!(ended, Some(("question", vec![10, 11])), "no third time");
        assert!(host.take_calls().is_empty());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_set_back_does_not_make_an_answer_worth_waiting_for_longer() {
    let (host, mut inquiries) = (machine(), Tried::default());
    ask(&mut inquiries, &host, "question", 10);
    let (id, _) = only_call(&host);
    host.now.set(host.now.get() - 500);
    let ended = inquiries.answered(&host, id, &CallOutcome::Failed);
    assert_eq!(ended, Some(("question", vec![10])));
}

#[wasm_bindgen_test(unsupported = test)]
fn what_would_come_out_the_same_or_too_late_is_not_tried_again() {
    let outcomes = [
        (answer(401), 0),
        (answer(200), 0),
        (CallOutcome::Failed, 1_000),
    ];
    for (outcome, elapsed) in outcomes {
        let (host, mut inquiries) = (machine(), Tried::default());
        ask(&mut inquiries, &host, "question", 10);
        let (id, _) = only_call(&host);
        host.now.set(host.now.get() + elapsed);
        let ended = inquiries.answered(&host, id, &outcome);
        assert_eq!(ended, Some(("question", vec![10])), "{outcome:?}");
        assert!(host.take_calls().is_empty());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn who_waits_for_the_call_of_a_request_that_has_gone_is_not_forgotten() {
    let (host, mut inquiries) = (machine(), Tried::default());
    for context in [10, 11] {
        ask(&mut inquiries, &host, "shared", context);
    }
    ask(&mut inquiries, &host, "alone", 10);
    host.take_calls();
    inquiries.leave(10, |waiter, context| *waiter == context);
    assert_eq!(inquiries.adopt(&host, ROOT), []);
    let (id, _) = only_call(&host);
    assert_eq!(inquiries.adopt(&host, ROOT), []);
    assert!(host.take_calls().is_empty(), "once is enough");
    let ended = inquiries.answered(&host, id, &answer(200));
    assert_eq!(ended, Some(("shared", vec![11])));

    for context in [20, 21] {
        ask(&mut inquiries, &host, "shared", context);
    }
    inquiries.leave(20, |waiter, context| *waiter == context);
    host.refuses_calls.set(true);
    assert_eq!(inquiries.adopt(&host, ROOT), [("shared", vec![21])]);
}

#[wasm_bindgen_test(unsupported = test)]
fn no_more_wait_than_may_and_nobody_for_a_call_that_was_not_made() {
    let (host, mut inquiries) = (machine(), Tried::default());
    let admitted = (0..2_000).filter(|context| {
        let question = ["a", "b"][*context as usize % 2];
        inquiries
            .ask(&host, ROOT, &question, || Some(call()), *context)
            .is_ok()
    });
    assert_eq!(admitted.count(), MAX_ASKING);
    let mut inquiries = Tried::default();
    assert_eq!(inquiries.ask(&host, ROOT, &"a", || None, 7), Err(7));
    host.refuses_calls.set(true);
    assert_eq!(inquiries.ask(&host, ROOT, &"a", || Some(call()), 7), Err(7));
}
