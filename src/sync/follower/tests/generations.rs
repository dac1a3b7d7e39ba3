//! Loading a generation, and discarding the one before it.

use super::*;
use crate::revocation::Issuance;

#[wasm_bindgen_test(unsupported = test)]
fn a_generation_is_loaded_and_changes_follow_it() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    assert_eq!(status(&process, &leader, "a"), Status::NoData);
    authority.revoke("a");
    authority.publish_generation();
    tick(&process, &mut leader, &authority);
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
    assert_eq!(status(&process, &leader, "b"), Status::NotRevoked);
    authority.revoke("b");
    tick(&process, &mut leader, &authority);
    assert_eq!(status(&process, &leader, "b"), Status::PossiblyRevoked);
    let counts = leader.counts();
    assert_eq!(
        (counts.generations, counts.batches, counts.changes),
        (1, 1, 1)
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_new_leader_goes_on_with_the_current_state_and_loads_nothing() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut first, mut second) = (follower(), follower());
    authority.revoke("a");
    authority.publish_generation();
    tick(&process, &mut first, &authority);
    process.calls.take();
    process.pass(3_000);
    authority.revoke("b");
    tick(&process, &mut second, &authority);
    for token in ["a", "b"] {
        let status = status(&process, &second, token);
        assert_eq!(status, Status::PossiblyRevoked, "{token}");
    }
    let counts = second.counts();
    assert_eq!((counts.generations, counts.batches), (0, 1));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_new_leader_learns_of_a_newer_generation_from_a_heartbeat_or_a_batch() {
    for is_news in [false, true] {
        let (process, mut authority) = (MockProcess::default(), Authority::new());
        let (mut first, mut second) = (follower(), follower());
        authority.revoke("a");
        tick(&process, &mut first, &authority);
        // It hears of the generation, and dies before it has loaded it.
        authority.publish_generation();
        process.calls.take();
        process.pass(3_000);
        if is_news {
            authority.revoke("b");
        }
        for _ in 0..30 {
            process.pass(100);
            second.on_tick(&process, Role::Leads);
            settle_with(&process, &mut second, |call| {
                authority.answer_or_heartbeat(call)
            });
        }
        second.on_tick(&process, Role::Leads);
        let state = second.view.state().unwrap();
        assert_eq!(state.generation, authority.generation, "{is_news}");
        assert_eq!(second.counts().generations, 1, "{is_news}");
        assert_eq!(status(&process, &second, "a"), Status::PossiblyRevoked);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_newer_generation_replaces_the_older_one_and_frees_its_slot() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    authority.revoke("a");
    authority.publish_generation();
    tick(&process, &mut leader, &authority);
    authority.page_count = 2;
    authority.publish_generation();
    authority.revoke("b");
    for _ in 0..60 {
        tick(&process, &mut leader, &authority);
    }
    assert_eq!(
        leader.view.state().map(|state| state.generation),
        Some(authority.generation)
    );
    for token in ["a", "b"] {
        assert_eq!(
            status(&process, &leader, token),
            Status::PossiblyRevoked,
            "{token}"
        );
    }
    let pages = process
        .keys()
        .into_iter()
        .filter(|key| key.contains("/page/"))
        .count();
    assert_eq!(pages, 2, "{:?}", process.keys());
}

#[wasm_bindgen_test(unsupported = test)]
fn a_smaller_generation_in_a_slot_that_was_left_full_frees_the_rest() {
    let (process, mut authority, mut first) =
        (MockProcess::default(), Authority::new(), follower());
    let load = |follower: &mut Follower, authority: &mut Authority, page_count| {
        authority.page_count = page_count;
        authority.publish_generation();
        authority.revoke(&page_count.to_string());
        let generation = |follower: &Follower| follower.view.state().map(|state| state.generation);
        while generation(follower) != Some(authority.generation) {
            tick(&process, follower, authority);
        }
    };
    load(&mut first, &mut authority, 6);
    load(&mut first, &mut authority, 4);
    // It dies before it has discarded anything.
    process.calls.take();
    let mut second = follower();
    load(&mut second, &mut authority, 2);
    for _ in 0..60 {
        tick(&process, &mut second, &authority);
    }
    let keys = process.keys();
    let pages = keys.iter().filter(|key| key.contains("/page/"));
    assert_eq!(pages.count(), 2, "{keys:?}");
    for token in ["6", "4", "2"] {
        let status = status(&process, &second, token);
        assert_eq!(status, Status::PossiblyRevoked, "{token}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_table_of_cut_offs_is_loaded_whole_whatever_its_size() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    let subject = |number: u32| FILTER_KEY.fingerprint(Kind::Subject, "iss", &number.to_string());
    for number in 0..5_500 {
        authority.changes.push(Change::SetCutOff(CutOff {
            key: subject(number),
            not_before: UnixTime::from_seconds(u64::from(number) + 1).unwrap(),
            except: None,
            is_compound: false,
        }));
    }
    authority.bucket_count = 2_500;
    authority.publish_generation();
    for _ in 0..10 {
        tick(&process, &mut leader, &authority);
    }
    for number in (0..5_500).step_by(7) {
        let (status, _) = leader.view.status(&process, |_| Names {
            cut_offs: vec![subject(number)],
            issuance: Issuance::new(UnixTime::from_seconds(u64::from(number)), None),
            ..Names::default()
        });
        assert_eq!(status, Status::CutOff, "{number}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn overwritten_records_are_noticed_and_loaded_again() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    authority.revoke("a");
    authority.publish_generation();
    tick(&process, &mut leader, &authority);
    for key in process.keys().iter().filter(|key| key.contains("/page/")) {
        process.set_shared(key, b"foreign", Expected::Anything);
    }
    assert_eq!(status(&process, &leader, "a"), Status::NoData);
    process.pass(milliseconds(REPAIR_PAUSE));
    tick(&process, &mut leader, &authority);
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_bucket_that_claims_to_be_further_ahead_than_possible_is_loaded_again() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    authority.bucket_count = 1;
    tick(&process, &mut leader, &authority);
    let held = leader.view.state().unwrap();
    let ahead = FeedState {
        sequence: u64::MAX,
        ..(*held).clone()
    };
    let keys = process.keys();
    let bucket = keys.iter().find(|key| key.contains("/bucket/")).unwrap();
    process.set_shared(bucket, b"", Expected::Anything);
    assert!(
        leader
            .view
            .filter()
            .write_bucket(&process, &ahead, 0, &[], || true)
    );
    for round in 0..3 {
        let subject = FILTER_KEY.fingerprint(Kind::Subject, "iss", &round.to_string());
        authority.changes.push(Change::SetCutOff(CutOff {
            key: subject,
            not_before: UnixTime::from_seconds(20).unwrap(),
            except: None,
            is_compound: false,
        }));
        for _ in 0..40 {
            tick(&process, &mut leader, &authority);
        }
        let (status, _) = leader.view.status(&process, |_| Names {
            cut_offs: vec![subject],
            issuance: Issuance::new(UnixTime::from_seconds(15), None),
            ..Names::default()
        });
        assert_eq!(status, Status::CutOff, "{round}");
    }
    assert_eq!(leader.counts().generations, 2);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_generation_that_replaces_a_crowded_one_is_not_waited_for() {
    for entries in [100, 10_000] {
        let (process, mut authority, mut leader) =
            (MockProcess::default(), Authority::new(), follower());
        tick(&process, &mut leader, &authority);
        let (state, _) = leader.read_state(&process).unwrap();
        for number in 0..entries {
            let changes = [Change::Add(name(&number.to_string()))];
            assert!(
                leader
                    .view
                    .filter()
                    .apply(&process, &state, state.sequence, &changes)
            );
        }
        authority.publish_generation();
        authority.revoke("a");
        // Loading it can wait.
        leader.load_after(process.now.get(), Duration::from_mins(10));
        let before = leader.counts().generations;
        for _ in 0..15 {
            tick(&process, &mut leader, &authority);
        }
        let is_loaded = leader.counts().generations > before;
        assert_eq!(is_loaded, entries == 10_000, "{entries}");
        for _ in 0..15 {
            tick(&process, &mut leader, &authority);
        }
        let fill = leader.fill().unwrap();
        assert!(!fill.is_crowded(), "{fill:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_poll_says_which_generation_is_known_of() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    leader.load_after(process.now.get(), Duration::from_mins(10));
    authority.publish_generation();
    authority.revoke("a");
    tick(&process, &mut leader, &authority);
    assert_ne!(
        leader.view.state().unwrap().generation,
        authority.generation
    );
    let calls = process.calls.borrow();
    let known = format!("&generation={}&", authority.generation);
    let is_told = |(_, call): &(CallId, Call)| call.path.contains(&known);
    assert!(calls.iter().any(is_told), "{calls:?}");
}
