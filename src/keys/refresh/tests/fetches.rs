//! When the set is fetched, and what one fetch is.

use super::*;

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
