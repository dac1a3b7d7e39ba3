//! Generations that load slowly, to replace damaged records.

use super::*;
use crate::revocation::SEGMENT_BYTES;
use crate::revocation::page::PAGE_BYTES;

/// Segments of a large generation, besides the table of cut-offs.
const SEGMENTS: usize = 6;

fn large() -> Authority {
    let mut authority = Authority::new();
    authority.page_count = u32::try_from(SEGMENTS * SEGMENT_BYTES / PAGE_BYTES).unwrap();
    authority.revoke("a");
    authority
}

fn write_over_pages(process: &MockProcess) {
    for key in process.keys().iter().filter(|key| key.contains("/page/")) {
        process.set_shared(key, b"foreign", Expected::Anything);
    }
}

/// Loads another generation, one part of which arrives every `pace`, while polls are answered at
/// once. The leader has to stick to it until it is complete.
fn loads_slowly(
    process: &MockProcess,
    leader: &mut Follower,
    pace: u64,
    load: impl Fn(&Call) -> Option<CallOutcome>,
    poll: impl Fn(&Call) -> Option<CallOutcome>,
) {
    let loaded = leader.counts().generations;
    for _ in 0..80 {
        process.pass(pace);
        leader.on_tick(process, Role::Leads);
        for (id, call) in process.calls.take() {
            let is_poll = call.path.contains("/deltas?");
            let outcome = if is_poll { poll(&call) } else { load(&call) };
            if let Some(outcome) = outcome {
                leader.on_response(process, id, &outcome);
            } else {
                process.calls.borrow_mut().push((id, call));
            }
        }
        assert!(!leader.is_hopeless(process.now.get()));
        if leader.counts().generations > loaded {
            return;
        }
    }
    panic!("it is never loaded");
}

#[wasm_bindgen_test(unsupported = test)]
fn changes_that_cannot_be_applied_to_missing_records_do_not_delay_loading_them_again() {
    let (process, mut authority, mut leader) = (MockProcess::default(), large(), follower());
    for _ in 0..3 {
        tick(&process, &mut leader, &authority);
    }
    authority.revoke("b");
    write_over_pages(&process);
    let answer = |call: &Call| authority.answer(call);
    loads_slowly(&process, &mut leader, 500, answer, answer);
    assert!(
        leader.counts().of(Fault::NotBelieved) >= 3,
        "{:?}",
        leader.counts()
    );
    tick(&process, &mut leader, &authority);
    assert_eq!(status(&process, &leader, "b"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_history_that_does_not_continue_the_current_one_does_not_delay_loading_its_generation() {
    let (process, mut authority, mut leader) = (MockProcess::default(), large(), follower());
    for _ in 0..3 {
        tick(&process, &mut leader, &authority);
    }
    // Restored from a backup, it has given the number to another change.
    authority.changes.clear();
    authority.revoke("c");
    authority.publish_generation();
    authority.revoke("d");
    let answer = |call: &Call| authority.answer(call);
    loads_slowly(&process, &mut leader, 500, answer, answer);
    assert!(
        leader.counts().of(Fault::NotBelieved) >= 3,
        "{:?}",
        leader.counts()
    );
    tick(&process, &mut leader, &authority);
    assert_eq!(status(&process, &leader, "d"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_whose_generation_is_still_coming_in_is_not_without_answers() {
    let (process, authority, mut leader) = (MockProcess::default(), large(), follower());
    for _ in 0..3 {
        tick(&process, &mut leader, &authority);
    }
    leader.load_at_once();
    let (start, pace) = (process.now.get(), 2_500);
    // Polls are not answered; the loader's own poll is answered once all segments are loaded.
    let poll = |call: &Call| {
        let is_over = process.now.get() >= start + pace * (2 + SEGMENTS as u64);
        if is_over {
            authority.answer(call)
        } else {
            Some(CallOutcome::Failed)
        }
    };
    let load = |call: &Call| authority.answer(call);
    loads_slowly(&process, &mut leader, pace, load, poll);
    assert!(process.now.get() - start > 15_000);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_loads_generations_but_cannot_believe_changes_lets_go() {
    let (process, authority, mut leader) = (MockProcess::default(), Authority::new(), follower());
    let mut rotated = authority.clone();
    rotated.key = SigningKey::from_bytes(&[2; 32]);
    for _ in 0..60 {
        process.pass(100);
        leader.on_tick(&process, Role::Leads);
        settle_with(&process, &mut leader, |call| {
            let is_poll = call.path.contains("/deltas?");
            (if is_poll { &rotated } else { &authority }).answer(call)
        });
    }
    assert!(leader.is_hopeless(process.now.get()));
}
