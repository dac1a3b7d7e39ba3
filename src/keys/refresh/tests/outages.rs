//! A server that fails, or whose answer is not a set.

use super::*;

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

/// How a fetch may end, with what the log has to say of it.
const ENDS: [(Option<&str>, u16, &str); 6] = [
    (None, 200, ""),
    (Some("no answer"), 0, ""),
    (Some("expected status 200, found 404"), 404, ""),
    (Some("expected status 200, found 500"), 500, ""),
    (
        Some("JWK Set: invalid JSON at line 1 column 1"),
        200,
        "<html>",
    ),
    (Some("JWK Set: no usable key"), 200, "{\"keys\":[]}"),
];

#[wasm_bindgen_test(unsupported = test)]
fn the_log_says_once_what_is_wrong_for_every_leader_and_again_when_it_changes() {
    let mut process = Process::started();
    let mut random = 1_u32;
    let mut draw = |number: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 16) as usize % number
    };
    let mut end = 0;
    let mut said = None;
    let mut leader = 0;
    let [mut same, mut changed] = [0, 0];
    for _ in 0..2_000 {
        process.make_due(draw(2));
        process.time_to_call(Duration::from_secs(10));
        let caller = process.caller();
        let has_keys = process.machines[caller].keys(process.now.get()).is_some();
        // Many ends are as the one before, so that some outages outlast the keys.
        end = [end, draw(ENDS.len())][draw(2)];
        let (fault, status, body) = ENDS[end];
        match (status, fault) {
            (0, _) => process.fail(caller),
            (_, None) => drop(process.answer(caller, status, &[], &old_set())),
            _ => drop(process.answer(caller, status, &[], body)),
        }
        let says = fault.map(|fault| (fault, has_keys));
        let expected = match says {
            _ if says == said => vec![],
            None => vec!["keys of demo: fetched again".to_owned()],
            Some((fault, has_keys)) => {
                let consequence = ["there are none", "the last good ones stay in force"];
                let consequence = consequence[usize::from(has_keys)];
                vec![format!("warning: keys of demo: {fault}; {consequence}")]
            }
        };
        let log = process.hosts.iter().flat_map(MockBackground::take_log);
        let log: Vec<_> = log.collect();
        assert_eq!(log, expected);
        if caller != leader && says.is_some() {
            *(if says == said {
                &mut same
            } else {
                &mut changed
            }) += 1;
        }
        (said, leader) = (says, caller);
    }
    assert!(same > 100 && changed > 100, "{same} {changed}");
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
fn another_leader_tries_after_three_failures_and_the_pauses_are_the_same() {
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
