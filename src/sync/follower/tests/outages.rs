//! An authority that is not there, or has no use for who asks it, and what is said of that.

use super::*;

/// When something is asked, in milliseconds from now on, while `outcome` is the answer.
fn tries(
    process: &MockProcess,
    leader: &mut Follower,
    outcome: &CallOutcome,
    duration: Duration,
) -> Vec<u64> {
    let (mut times, start) = (Vec::new(), process.now.get());
    while process.now.get() < start + milliseconds(duration) {
        process.pass(50);
        leader.on_tick(process, true);
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
    // It is there again, and the long poll too, without a pause.
    process.pass(11_000);
    leader.on_tick(&process, true);
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
    first.on_tick(&process, false);
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
fn who_begins_to_lead_asks_at_once_how_things_stand() {
    let (process, authority) = (MockProcess::default(), Authority::new());
    let mut first = follower();
    tick(&process, &mut first, &authority);
    process.calls.take();
    // Leaders are replaced oftener than heartbeats come.
    for _ in 0..20 {
        let mut successor = follower();
        process.pass(2_000);
        successor.on_tick(&process, true);
        let (id, call) = next_call(&process).expect("a poll");
        assert!(call.path.ends_with("&wait=0"), "{}", call.path);
        successor.on_response(&process, id, &authority.answer(&call).unwrap());
        let (_, call) = next_call(&process).expect("another one, without a pause");
        assert!(call.path.ends_with("&wait=10"), "{}", call.path);
        first.on_tick(&process, false);
        let state = first.view.state().unwrap();
        assert_eq!(state.verified_at, process.now.get());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_whose_answers_are_of_no_use_lets_go_after_three() {
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
        // Whoever is asked to lead again may have better luck.
        leader.on_tick(&process, false);
        assert!(!leader.is_hopeless(process.now.get()), "{status}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_without_answers_lets_go_after_fifteen_seconds() {
    for outcome in [CallOutcome::Failed, status_only(503)] {
        let (process, authority, mut leader) =
            (MockProcess::default(), Authority::new(), follower());
        tick(&process, &mut leader, &authority);
        assert!(!leader.is_hopeless(process.now.get() + 3_600_000));
        tries(&process, &mut leader, &outcome, Duration::from_secs(14));
        assert!(!leader.is_hopeless(process.now.get()));
        tries(&process, &mut leader, &outcome, Duration::from_secs(2));
        assert!(leader.is_hopeless(process.now.get()));
        // An answer that is in order, and all is well.
        process.pass(2_000);
        tick(&process, &mut leader, &authority);
        assert!(!leader.is_hopeless(process.now.get() + 3_600_000));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn trouble_is_counted_every_time_and_said_once_when_it_changes_and_every_ten_minutes() {
    let (process, mut leader) = (MockProcess::default(), follower());
    let lead_for = |leader: &mut Follower, seconds| {
        for _ in 0..seconds * 10 {
            process.pass(100);
            leader.on_tick(&process, true);
            while let Some((id, _)) = next_call(&process) {
                leader.on_response(&process, id, &status_only(401));
            }
        }
        process.log.take()
    };
    process.refuses_calls.set(true);
    let log = lead_for(&mut leader, 60);
    let [line] = log.as_slice() else {
        panic!("{log:?}");
    };
    assert!(line.contains("is there a cluster `authority`"), "{line}");
    assert!(leader.counts().failures >= 30);
    assert_eq!(lead_for(&mut leader, 530), [""; 0]);
    assert_eq!(lead_for(&mut leader, 30).len(), 1);
    process.refuses_calls.set(false);
    let log = lead_for(&mut leader, 60);
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("with status 401"), "{log:?}");
}
