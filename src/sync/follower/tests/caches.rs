//! Which cached tokens become void, in the leader and in the other virtual machines.

use super::*;

#[wasm_bindgen_test(unsupported = test)]
fn others_learn_from_shared_data_what_to_void_and_make_no_calls() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut leader, mut other) = (follower(), follower());
    tick(&process, &mut leader, &authority);
    assert_eq!(
        other.on_tick(&process, Role::Follows),
        Some(VoidTokens::All),
        "the first state"
    );
    for token in ["a", "b"] {
        authority.revoke(token);
        tick(&process, &mut leader, &authority);
    }
    assert_eq!(
        other.on_tick(&process, Role::Follows),
        Some(VoidTokens::Named(vec![name("a"), name("b")]))
    );
    assert_eq!(other.on_tick(&process, Role::Follows), None);
    assert_eq!(status(&process, &other, "b"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_virtual_machine_that_missed_too_much_voids_everything() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut leader, mut other) = (follower(), follower());
    tick(&process, &mut leader, &authority);
    other.on_tick(&process, Role::Follows);
    for number in 0..260 {
        authority.revoke(&number.to_string());
        tick(&process, &mut leader, &authority);
    }
    assert_eq!(
        other.on_tick(&process, Role::Follows),
        Some(VoidTokens::All)
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn the_leader_voids_what_it_applied_itself() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    authority.revoke("a");
    process.pass(100);
    assert_eq!(leader.on_tick(&process, Role::Leads), None);
    settle(&process, &mut leader, &authority);
    assert_eq!(
        leader.on_tick(&process, Role::Leads),
        Some(VoidTokens::Named(vec![name("a")]))
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_count_of_batches_that_is_at_its_end_begins_again_and_caches_are_emptied() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut leader, mut other) = (follower(), follower());
    tick(&process, &mut leader, &authority);
    let (mut state, version) = leader.view.filter().state(&process).unwrap();
    state.batches = u64::MAX;
    let expected = Expected::Version(version);
    assert!(leader.view.filter().write_state(&process, &state, expected));
    other.on_tick(&process, Role::Follows);
    authority.revoke("a");
    tick(&process, &mut leader, &authority);
    assert_eq!(
        other.on_tick(&process, Role::Follows),
        Some(VoidTokens::All)
    );
    assert_eq!(other.view.state().unwrap().batches, 0);
}
