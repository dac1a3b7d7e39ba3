//! Changes that come faster than they can be fetched.

use super::*;

/// Lets the authority answer, and revokes something else after every answer.
fn settle_under_load(
    process: &MockProcess,
    follower: &mut Follower,
    authority: &mut Authority,
    changes: usize,
) {
    let calls = process.calls.take();
    for (id, call) in calls {
        let Some(outcome) = authority.answer(&call) else {
            continue;
        };
        for _ in 0..changes {
            authority.revoke(&authority.changes.len().to_string());
        }
        follower.on_response(process, id, &outcome);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn changes_that_never_cease_keep_no_generation_from_being_loaded() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    leader.on_tick(&process, Role::Leads);
    for _ in 0..20 {
        settle_under_load(&process, &mut leader, &mut authority, MAX_CHANGES * 3 / 4);
    }
    leader.on_tick(&process, Role::Leads);
    let state = leader.view.state().unwrap();
    assert_eq!(state.verified_at, process.now.get());
    assert!(state.sequence > 0);
    for token in 0..state.sequence {
        let status = status(&process, &leader, &token.to_string());
        assert_eq!(status, Status::PossiblyRevoked, "{token}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_edge_that_cannot_keep_up_goes_on_once_it_has_everything_from_before_it_began() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    leader.on_tick(&process, Role::Leads);
    // When it first asked for changes, and how many there were.
    let mut asked = None;
    while leader.read_state(&process).is_none() {
        process.pass(10);
        settle_under_load(&process, &mut leader, &mut authority, 2 * MAX_CHANGES);
        let calls = process.calls.borrow();
        if asked.is_none() && calls.iter().any(|(_, call)| call.path.contains("/deltas?")) {
            asked = Some((process.now.get(), authority.changes.len() as u64));
        }
    }
    leader.on_tick(&process, Role::Leads);
    let state = leader.view.state().unwrap();
    assert!(state.sequence < authority.changes.len() as u64);
    let (asked_at, last) = asked.unwrap();
    assert!(asked_at < process.now.get());
    assert_eq!((state.verified_at, state.sequence), (asked_at, last));
    for token in 0..state.sequence {
        let status = status(&process, &leader, &token.to_string());
        assert_eq!(status, Status::PossiblyRevoked, "{token}");
    }
    // The head is no higher than it was a moment ago, and what follows is fetched as usual.
    let held = state.sequence;
    settle_under_load(&process, &mut leader, &mut authority, 2 * MAX_CHANGES);
    leader.on_tick(&process, Role::Leads);
    assert!(leader.view.state().unwrap().sequence > held);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_edge_that_fell_out_of_the_log_keeps_what_it_holds_and_how_old_that_is() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    authority.revoke("a");
    authority.publish_generation();
    tick(&process, &mut leader, &authority);
    let before = leader.view.state().unwrap();
    authority.revoke("b");
    let gone = |call: &Call| {
        // The manifest is not available either, for now.
        let status = if call.path.contains("/deltas?") {
            410
        } else {
            503
        };
        Some(CallOutcome::Answered {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        })
    };
    for _ in 0..50 {
        process.pass(100);
        leader.on_tick(&process, Role::Leads);
        settle_with(&process, &mut leader, gone);
    }
    assert_eq!(leader.view.state().unwrap(), before);
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
    authority.publish_generation();
    for _ in 0..200 {
        tick(&process, &mut leader, &authority);
    }
    let after = leader.view.state().unwrap();
    assert_eq!((after.generation, after.sequence), (3, 2));
    assert!(after.verified_at > before.verified_at);
    assert_eq!(status(&process, &leader, "b"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn records_that_are_written_over_all_the_time_are_not_fetched_all_the_time() {
    for kind in ["/page/", "/state"] {
        let (process, authority, mut leader) =
            (MockProcess::default(), Authority::new(), follower());
        for _ in 0..600 {
            tick(&process, &mut leader, &authority);
            for key in process.keys().iter().filter(|key| key.contains(kind)) {
                process.set_shared(key, b"foreign", Expected::Anything);
            }
            status(&process, &leader, "a");
        }
        let generations = leader.counts().generations;
        assert!((10..=30).contains(&generations), "{kind}: {generations}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_that_is_set_back_does_not_stop_calls() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    for is_answered in [true, false] {
        tick(&process, &mut leader, &authority);
        process.now.set(process.now.get() - 3_600_000);
        let (id, call) = next_call(&process).unwrap();
        let outcome = if is_answered {
            authority.answer_or_heartbeat(&call).unwrap()
        } else {
            CallOutcome::Failed
        };
        leader.on_response(&process, id, &outcome);
        process.pass(10_000);
        authority.revoke("a");
        tick(&process, &mut leader, &authority);
        let age = process.now.get() - leader.view.state().unwrap().verified_at;
        assert!(age <= 10_100, "{age}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_authority_that_is_never_to_hold_a_poll_back_is_not_asked_without_a_rest() {
    let (process, authority) = (MockProcess::default(), Authority::new());
    let mut leader = follower();
    leader.source.heartbeat = Duration::ZERO;
    for _ in 0..100 {
        process.pass(100);
        leader.on_tick(&process, Role::Leads);
        settle_with(&process, &mut leader, |call| authority.answer(call));
    }
    let polls = leader.counts().heartbeats;
    assert!((15..=21).contains(&polls), "{polls} in ten seconds");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_generation_that_can_wait_does_not_delay_what_is_needed_at_once() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    leader.load_after(process.now.get(), Duration::from_hours(1));
    authority.revoke("a");
    for key in process.keys().iter().filter(|key| key.contains("/page/")) {
        process.set_shared(key, b"foreign", Expected::Anything);
    }
    assert_eq!(status(&process, &leader, "a"), Status::NoData);
    for _ in 0..60 {
        tick(&process, &mut leader, &authority);
    }
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
}
