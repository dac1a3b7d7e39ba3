//! Which signatures count when configurations with different keys follow one feed.

use super::*;
use crate::revocation::{Signer, Standing};

fn signer(seed: u8) -> Signer {
    Signer(
        SigningKey::from_bytes(&[seed; 32])
            .verifying_key()
            .to_bytes(),
    )
}

/// The signers of the manifest and the last batch of the state in shared data.
fn signers(process: &MockProcess, follower: &Follower) -> [Signer; 2] {
    let (state, _) = follower.view.filter().state(process).unwrap();
    [state.manifest_signer, state.batch_signer]
}

fn standing(process: &MockProcess, follower: &Follower) -> Standing {
    let most = Duration::from_secs(30);
    follower.view.standing(process, process.now.get(), most)
}

/// An authority that signs with another key from now on.
fn rotated(authority: &Authority) -> Authority {
    let mut rotated = authority.clone();
    rotated.key = SigningKey::from_bytes(&[2; 32]);
    rotated
}

#[wasm_bindgen_test(unsupported = test)]
fn a_state_is_good_only_with_the_keys_that_have_signed_it() {
    let (process, authority) = (MockProcess::default(), Authority::new());
    let mut leader = follower();
    tick(&process, &mut leader, &authority);
    for (seeds, expected) in [
        (&[1][..], Standing::Current),
        (&[2, 1], Standing::Current),
        (&[2], Standing::Missing),
        (&[], Standing::Missing),
    ] {
        let mut other = follower_pinning(seeds);
        // Before the first tick, too.
        for _ in 0..2 {
            assert_eq!(standing(&process, &other), expected, "{seeds:?}");
            let is_unknown = status(&process, &other, "a") == Status::NoData;
            assert_eq!(is_unknown, expected == Standing::Missing, "{seeds:?}");
            other.on_tick(&process, Role::Follows);
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_pins_a_key_that_signed_nothing_gives_up_and_disturbs_no_other() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut right, mut wrong) = (follower(), follower_pinning(&[2]));
    authority.revoke("a");
    for is_loaded in [false, true] {
        let before = right.view.filter().state(&process);
        while !wrong.is_hopeless(process.now.get()) {
            process.pass(100);
            wrong.on_tick(&process, Role::Leads);
            settle_with(&process, &mut wrong, |call| {
                authority.answer_or_heartbeat(call)
            });
            right.on_tick(&process, Role::Follows);
            assert_eq!(right.view.state().is_some(), is_loaded);
        }
        assert_eq!(right.view.filter().state(&process), before);
        assert_eq!(standing(&process, &wrong), Standing::Missing);
        wrong.on_tick(&process, Role::Follows);
        tick(&process, &mut right, &authority);
        assert_eq!(standing(&process, &right), Standing::Current);
        assert_eq!(status(&process, &right, "a"), Status::PossiblyRevoked);
        right.on_tick(&process, Role::Follows);
    }
    assert_eq!(right.counts().generations, 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn after_a_key_change_the_manifest_is_signed_again_and_the_old_key_is_not_needed() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    // Also by a follower that has never pinned the old key, and by one that does not yet pin the
    // new one.
    for leads in [&[1, 2][..], &[2]] {
        let (mut first, mut leader) = (follower(), follower_pinning(leads));
        let (mut old, mut new) = (follower(), follower_pinning(&[2]));
        authority.key = SigningKey::from_bytes(&[1; 32]);
        authority.revoke("a");
        authority.publish_generation();
        authority.revoke("b");
        for _ in 0..30 {
            tick(&process, &mut first, &authority);
        }
        assert_eq!(signers(&process, &first), [signer(1); 2]);
        first.on_tick(&process, Role::Follows);
        let rotated = rotated(&authority);
        for _ in 0..30 {
            tick(&process, &mut leader, &rotated);
        }
        assert_eq!(signers(&process, &leader), [signer(2); 2], "{leads:?}");
        assert_eq!(leader.counts().generations, 0, "loaded once more");
        new.on_tick(&process, Role::Follows);
        assert_eq!(standing(&process, &new), Standing::Current);
        assert_eq!(status(&process, &new, "b"), Status::PossiblyRevoked);
        old.on_tick(&process, Role::Follows);
        assert_eq!(standing(&process, &old), Standing::Missing);
        leader.on_tick(&process, Role::Follows);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_a_key_has_signed_that_is_not_pinned_any_more_does_not_stand_in_the_way() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    // A forger with the old key has made a feed than which nothing can be newer.
    let mut forger = authority.clone();
    (forger.epoch, forger.generation) = (u64::MAX, u64::MAX - 1);
    let mut misled = follower();
    tick(&process, &mut misled, &forger);
    assert_eq!(standing(&process, &misled), Standing::Current);
    misled.on_tick(&process, Role::Follows);
    authority.revoke("a");
    let rotated = rotated(&authority);
    let mut leader = follower_pinning(&[2]);
    assert_eq!(standing(&process, &leader), Standing::Missing);
    for _ in 0..60 {
        tick(&process, &mut leader, &rotated);
    }
    assert_eq!(standing(&process, &leader), Standing::Current);
    assert_eq!(leader.view.state().unwrap().epoch, 1);
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
    misled.on_tick(&process, Role::Follows);
    assert_eq!(standing(&process, &misled), Standing::Missing);
}

/// Lets the leader find that pages are missing, and returns how long it takes until they are loaded
/// again.
fn time_of_repair(
    process: &MockProcess,
    leader: &mut Follower,
    answer: impl Fn(&Call) -> Option<CallOutcome>,
) -> u64 {
    for key in process.keys().iter().filter(|key| key.contains("/page/")) {
        process.set_shared(key, b"foreign", Expected::Anything);
    }
    assert_eq!(status(process, leader, "a"), Status::NoData);
    let (start, loaded) = (process.now.get(), leader.counts().generations);
    while leader.counts().generations == loaded {
        assert!(process.now.get() - start < 60_000, "it is never loaded");
        process.pass(50);
        leader.on_tick(process, Role::Leads);
        settle_with(process, leader, &answer);
    }
    process.now.get() - start
}

#[wasm_bindgen_test(unsupported = test)]
fn a_manifest_that_cannot_be_vouched_for_delays_no_repair() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let mut first = follower();
    authority.revoke("a");
    authority.publish_generation();
    tick(&process, &mut first, &authority);
    first.on_tick(&process, Role::Follows);
    process.calls.take();
    // Changes are signed with the new key, the manifest is not, or cannot be had at all.
    let mut leader = follower_pinning(&[1, 2]);
    let rotated = rotated(&authority);
    for is_had in [true, false] {
        for _ in 0..1_200 {
            process.pass(100);
            leader.on_tick(&process, Role::Leads);
            settle_with(&process, &mut leader, |call| {
                let is_poll = call.path.contains("/deltas?");
                if is_poll {
                    return rotated.answer_or_heartbeat(call);
                }
                let failed = Some(CallOutcome::Failed);
                if is_had {
                    authority.answer(call)
                } else {
                    failed
                }
            });
        }
        assert_eq!(signers(&process, &leader), [signer(1), signer(2)]);
        let now = process.now.get();
        assert!(!leader.may_attest(now), "it pauses in between");
        let time = time_of_repair(&process, &mut leader, |call| {
            let is_poll = call.path.contains("/deltas?");
            (if is_poll { &rotated } else { &authority }).answer_or_heartbeat(call)
        });
        assert!(time <= 100, "{time}");
    }
}
