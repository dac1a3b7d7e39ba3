//! An authority that is down, or refuses the caller, and what is logged about it.

use super::*;

/// When calls are made, in milliseconds from now on, while `outcome` is the answer.
fn tries(
    process: &MockProcess,
    leader: &mut Follower,
    outcome: &CallOutcome,
    duration: Duration,
) -> Vec<u64> {
    let (mut times, start) = (Vec::new(), process.now.get());
    while process.now.get() < start + milliseconds(duration) {
        process.pass(50);
        leader.on_tick(process, Role::Leads);
        while let Some((id, _)) = next_call(process) {
            times.push(process.now.get() - start);
            leader.on_response(process, id, outcome);
        }
    }
    times
}

fn status_only(status: u16) -> CallOutcome {
    CallOutcome::Answered {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_first_retry_comes_within_half_a_second_and_the_next_within_two_for_a_minute() {
    let (process, authority, mut leader) = (MockProcess::default(), Authority::new(), follower());
    for _ in 0..3 {
        tick(&process, &mut leader, &authority);
    }
    let (id, _) = next_call(&process).expect("a long poll");
    leader.on_response(&process, id, &CallOutcome::Failed);
    let hour = Duration::from_hours(1);
    let times = tries(&process, &mut leader, &CallOutcome::Failed, hour);
    assert!((50..=550).contains(&times[0]), "{times:?}");
    let gaps = times.windows(2).map(|pair| (pair[1], pair[1] - pair[0]));
    for (at, gap) in gaps {
        let longest = if at < 60_000 { 2_050 } else { 10_050 };
        assert!((200..=longest).contains(&gap), "{gap} before {at}");
    }
    assert!(times.len() < 1_000, "{} tries in an hour", times.len());
    // It is up again, and so is the long poll, without a pause.
    process.pass(11_000);
    leader.on_tick(&process, Role::Leads);
    let (id, call) = next_call(&process).expect("another try");
    assert!(call.path.ends_with("&wait=0"));
    leader.on_response(&process, id, &authority.answer(&call).unwrap());
    let (_, call) = next_call(&process).expect("a long poll");
    assert!(call.path.ends_with("&wait=10"));
}

#[wasm_bindgen_test(unsupported = test)]
fn an_outage_does_not_begin_anew_with_every_leader() {
    let (process, authority) = (MockProcess::default(), Authority::new());
    let mut first = follower();
    tick(&process, &mut first, &authority);
    first.on_tick(&process, Role::Follows);
    process.calls.take();
    process.pass(120_000);
    let mut successor = follower();
    let some = Duration::from_mins(1);
    let times = tries(&process, &mut successor, &CallOutcome::Failed, some);
    assert!((8..=18).contains(&times.len()), "{times:?}");
    // It asks at once all the same.
    assert_eq!(times[0], 50);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_new_leader_polls_at_once() {
    let (process, authority) = (MockProcess::default(), Authority::new());
    let mut first = follower();
    tick(&process, &mut first, &authority);
    process.calls.take();
    // Leaders are replaced more often than heartbeats come.
    for _ in 0..20 {
        let mut successor = follower();
        process.pass(2_000);
        successor.on_tick(&process, Role::Leads);
        let (id, call) = next_call(&process).expect("a poll");
        assert!(call.path.ends_with("&wait=0"), "{}", call.path);
        successor.on_response(&process, id, &authority.answer(&call).unwrap());
        let (_, call) = next_call(&process).expect("another one, without a pause");
        assert!(call.path.ends_with("&wait=10"), "{}", call.path);
        first.on_tick(&process, Role::Follows);
        let state = first.view.state().unwrap();
        assert_eq!(state.verified_at, process.now.get());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_gives_up_after_three_useless_answers() {
    for status in [401, 403, 404, 200] {
        let (process, mut leader) = (MockProcess::default(), follower());
        let outcome = status_only(status);
        for _ in 0..2 {
            while tries(&process, &mut leader, &outcome, Duration::from_millis(50)).is_empty() {}
            assert!(!leader.is_hopeless(process.now.get()), "{status}");
        }
        let some = Duration::from_secs(2);
        assert!(!tries(&process, &mut leader, &outcome, some).is_empty());
        assert!(leader.is_hopeless(process.now.get()), "{status}");
        // When it leads again, it may succeed.
        leader.on_tick(&process, Role::Follows);
        assert!(!leader.is_hopeless(process.now.get()), "{status}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_without_answers_gives_up_after_fifteen_seconds() {
    for outcome in [CallOutcome::Failed, status_only(503)] {
        let (process, authority, mut leader) =
            (MockProcess::default(), Authority::new(), follower());
        tick(&process, &mut leader, &authority);
        assert!(!leader.is_hopeless(process.now.get() + 3_600_000));
        tries(&process, &mut leader, &outcome, Duration::from_secs(14));
        assert!(!leader.is_hopeless(process.now.get()));
        tries(&process, &mut leader, &outcome, Duration::from_secs(2));
        assert!(leader.is_hopeless(process.now.get()));
        // A valid answer, and all is well.
        process.pass(2_000);
        tick(&process, &mut leader, &authority);
        assert!(!leader.is_hopeless(process.now.get() + 3_600_000));
    }
}

fn problem(status: u16, code: &str) -> CallOutcome {
    let body = format!(r#"{{"title":"","code":"{code}"}}"#).into_bytes();
    CallOutcome::Answered {
        status,
        headers: Vec::new(),
        body,
    }
}

/// What is logged in this many seconds, except about staleness.
fn complaints(
    process: &MockProcess,
    leader: &mut Follower,
    outcome: &CallOutcome,
    seconds: u64,
) -> Vec<String> {
    tries(process, leader, outcome, Duration::from_secs(seconds));
    let mut log = process.log.take();
    log.retain(|line| !line.contains("max_staleness"));
    log
}

#[wasm_bindgen_test(unsupported = test)]
fn trouble_is_counted_every_time_and_said_once_when_it_changes_and_every_ten_minutes() {
    let (process, mut leader) = (MockProcess::default(), follower());
    process.refuses_calls.set(true);
    let log = complaints(&process, &mut leader, &CallOutcome::Failed, 60);
    assert_eq!(log, ["revocation feed: there is no cluster `authority`"]);
    assert!(leader.counts().of(Fault::NoCluster) >= 30);
    let log = complaints(&process, &mut leader, &CallOutcome::Failed, 530);
    assert_eq!(log, [""; 0]);
    let log = complaints(&process, &mut leader, &CallOutcome::Failed, 30);
    assert_eq!(log.len(), 1);
    process.refuses_calls.set(false);
    let log = complaints(&process, &mut leader, &status_only(404), 60);
    let expected = "revocation feed: the authority answers with status 404";
    assert_eq!(log, [expected]);
}

#[wasm_bindgen_test(unsupported = test)]
fn every_fault_has_its_own_line_and_its_own_count() {
    let reset = |reason: &str| {
        let body = format!("upstream connect error or disconnect. reset reason: {reason}");
        CallOutcome::Answered {
            status: 503,
            headers: Vec::new(),
            body: body.into_bytes(),
        }
    };
    let foreign = CallOutcome::Answered {
        status: 200,
        headers: Vec::new(),
        body: b"<html>".to_vec(),
    };
    let mut lines = Vec::new();
    for (outcome, fault) in [
        (problem(401, "credential_missing"), Fault::Credential),
        (problem(403, "role_missing"), Fault::Role),
        (problem(400, "tls_expected"), Fault::Tls),
        (problem(503, "feed_not_ready"), Fault::Status),
        (reset("remote connection failure"), Fault::NoConnection),
        (CallOutcome::Failed, Fault::NoAnswer),
        (foreign, Fault::NotBelieved),
    ] {
        let (process, mut leader) = (MockProcess::default(), follower());
        let log = complaints(&process, &mut leader, &outcome, 20);
        assert_eq!(log.len(), 1, "{log:?}");
        assert!(!lines.contains(&log[0]), "{log:?}");
        lines.extend(log);
        for other in Fault::ALL {
            let count = leader.counts().of(other);
            assert_eq!(count > 0, other == fault, "{other:?} while {fault:?}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_one_leader_has_said_the_next_one_does_not_say_again() {
    let process = MockProcess::default();
    let outcome = problem(401, "credential_missing");
    let mut log = Vec::new();
    for _ in 0..8 {
        let mut leader = follower();
        log.extend(complaints(&process, &mut leader, &outcome, 5));
    }
    assert_eq!(log.len(), 1, "{log:?}");
    // All was well in between, under any leader.
    let authority = Authority::new();
    process.pass(11_000);
    for leader in &mut [follower(), follower()] {
        tick(&process, leader, &authority);
        process.calls.take();
    }
    process.log.take();
    let log = complaints(&process, &mut follower(), &outcome, 5);
    assert_eq!(log.len(), 1, "{log:?}");
}

#[wasm_bindgen_test(unsupported = test)]
fn an_overwritten_record_of_remarks_counts_as_none() {
    let process = MockProcess::default();
    complaints(&process, &mut follower(), &CallOutcome::Failed, 5);
    for key in process.keys() {
        process.set_shared(&key, b"rubbish", Expected::Anything);
    }
    let log = complaints(&process, &mut follower(), &CallOutcome::Failed, 5);
    assert_eq!(log.len(), 1, "{log:?}");
}

#[wasm_bindgen_test(unsupported = test)]
fn successful_polls_do_not_make_a_leader_repeat_what_is_wrong_with_a_generation() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    authority.publish_generation();
    authority.revoke("a");
    process.log.take();
    for _ in 0..1_200 {
        process.pass(100);
        leader.on_tick(&process, Role::Leads);
        settle_with(&process, &mut leader, |call| match authority.answer(call) {
            Some(_) if call.path.contains("/segments/") => Some(CallOutcome::Failed),
            answer => answer,
        });
    }
    assert!(leader.counts().of(Fault::NoAnswer) > 10);
    assert_eq!(process.log.take().len(), 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_stale_and_a_fresh_feed_are_logged_once_across_leaders() {
    let (process, authority) = (MockProcess::default(), Authority::new());
    tick(&process, &mut follower(), &authority);
    let ages = |process: &MockProcess| {
        let mut log = process.log.take();
        log.retain(|line| line.contains("max_staleness"));
        log
    };
    let fails = |seconds| {
        let mut leader = follower();
        let some = Duration::from_secs(seconds);
        tries(&process, &mut leader, &CallOutcome::Failed, some);
        leader
    };
    fails(29);
    assert_eq!(ages(&process), [""; 0]);
    for _ in 0..3 {
        fails(20);
    }
    let leader = fails(1);
    let log = ages(&process);
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("`on_stale`"), "{log:?}");
    let staleness = leader.staleness(process.now.get());
    assert!((89_000..92_000).contains(&staleness), "{staleness}");
    process.pass(11_000);
    for leader in &mut [follower(), follower()] {
        tick(&process, leader, &authority);
        tick(&process, leader, &authority);
        process.calls.take();
        assert!(leader.staleness(process.now.get()) < 1_000);
    }
    assert_eq!(
        ages(&process),
        ["revocation feed: no older than `max_staleness` again"]
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_feed_that_was_never_loaded_is_as_old_as_the_first_leader() {
    let process = MockProcess::default();
    for _ in 0..4 {
        let mut leader = follower();
        let some = Duration::from_secs(10);
        tries(&process, &mut leader, &CallOutcome::Failed, some);
    }
    let mut leader = follower();
    leader.on_tick(&process, Role::Leads);
    assert_eq!(leader.staleness(process.now.get()), 40_000 - 50);
    let mut log = process.log.take();
    log.retain(|line| line.contains("max_staleness"));
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("`on_missing_feed`"), "{log:?}");
    // A clock that was set back by an hour does not tell how long it was.
    process.now.set(process.now.get() - 3_600_000);
    let mut leader = follower();
    leader.on_tick(&process, Role::Leads);
    assert_eq!(leader.staleness(process.now.get() + 1_000), 1_000);
}
