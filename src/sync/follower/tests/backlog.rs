//! More changes than fit into one answer.

use super::*;
use crate::revocation::Standing;

/// Answers the poll that is open, and says when it was sent.
fn answer_poll(process: &MockProcess, leader: &mut Follower, authority: &Authority) {
    let (id, call) = next_call(process).expect("a poll");
    assert!(call.path.contains("/deltas?"), "{}", call.path);
    let outcome = authority.answer_or_heartbeat(&call).unwrap();
    leader.on_response(process, id, &outcome);
}

fn verified_at(process: &MockProcess, leader: &Follower) -> u64 {
    leader.read_state(process).unwrap().0.verified_at
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_is_as_old_as_its_question() {
    let (process, authority, mut leader) = (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    let sent = process.now.get();
    process.pass(10_000);
    answer_poll(&process, &mut leader, &authority);
    assert_eq!(verified_at(&process, &leader), sent);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_backlog_is_stale_until_it_is_worked_off() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    let first = process.now.get();
    process.pass(10_000);
    answer_poll(&process, &mut leader, &authority);
    assert_eq!(verified_at(&process, &leader), first);
    leader.on_tick(&process, true);
    let second = process.now.get();
    for number in 0..3 * MAX_CHANGES {
        authority.revoke(&number.to_string());
    }
    for _ in 0..2 {
        process.pass(10_000);
        answer_poll(&process, &mut leader, &authority);
        assert_eq!(verified_at(&process, &leader), first);
    }
    leader.on_tick(&process, true);
    let most = Duration::from_secs(15);
    let standing = |leader: &Follower| leader.view.standing(&process, process.now.get(), most);
    assert_eq!(standing(&leader), Standing::Stale);
    let last = process.now.get();
    authority.revoke("one more");
    answer_poll(&process, &mut leader, &authority);
    // One is left, but everything is in that there was when the first question was sent.
    assert_eq!(verified_at(&process, &leader), second);
    answer_poll(&process, &mut leader, &authority);
    assert_eq!(verified_at(&process, &leader), last);
    leader.on_tick(&process, true);
    assert_eq!(standing(&leader), Standing::Current);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_edge_shows_where_the_authority_has_told_it_that_it_is() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    let keys = FeedKeys::new(vec![authority.key.verifying_key()]);
    authority.revoke("a");
    for round in 0..3 {
        tick(&process, &mut leader, &authority);
        let state = leader.view.state().unwrap();
        let (epoch, sequence, chain) = (state.epoch, state.sequence, state.chain);
        assert!(
            state.evidence.holds(epoch, sequence, chain, &keys),
            "{round}"
        );
        let calls = process.calls.borrow();
        let shown = format!("&evidence={}&", state.evidence.to_text());
        assert!(
            calls.iter().any(|(_, call)| call.path.contains(&shown)),
            "{round}"
        );
        drop(calls);
        authority.revoke(&round.to_string());
    }
}
