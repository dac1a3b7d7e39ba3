//! Requests that lack a key: which fetches they cause, and when it is certain that the key does not
//! exist.

use super::*;

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
fn a_try_that_is_made_again_after_a_key_was_asked_for_goes_past_caches() {
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
    // A client that came early and comes again is known all the same.
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
        let asked = process.ask(1, key, process.now.get(), TRUSTED_AGE);
        let age = process.now.get() - process.machines[1].as_of(process.now.get());
        assert_eq!(asked == Asked::Settled, age <= 60_000);
        if !process.hosts[0].calls.borrow().is_empty() {
            process.answer(0, 200, &[], &old_set());
            calls += 1;
        }
    }
    assert!((7..=8).contains(&calls), "{calls}");
}
