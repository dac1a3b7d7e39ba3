//! A clock that is set back.

use super::*;

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
