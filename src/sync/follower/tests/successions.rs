//! Leaders that follow one another while a generation is being loaded.

use super::*;
use crate::revocation::Issuance;

/// An authority whose filter has ten segments.
fn large() -> Authority {
    Authority {
        page_count: 640,
        ..Authority::new()
    }
}

fn is_segment(call: &Call) -> bool {
    call.path.starts_with("/v1/feed/segments/")
}

/// Lets a new leader lead until it has fetched this many segments, and returns their number.
fn leads_for(process: &MockProcess, authority: &Authority, segments: usize) -> usize {
    let mut leader = follower();
    let mut fetched = 0;
    for _ in 0..30 {
        process.pass(100);
        leader.on_tick(process, Role::Leads);
        while let Some((id, call)) = next_call(process) {
            if is_segment(&call) && fetched == segments {
                return fetched;
            }
            fetched += usize::from(is_segment(&call));
            if let Some(outcome) = authority.answer(&call) {
                leader.on_response(process, id, &outcome);
            }
        }
    }
    fetched
}

#[wasm_bindgen_test(unsupported = test)]
fn what_a_leader_has_loaded_counts_for_the_next_one() {
    let (process, mut authority) = (MockProcess::default(), large());
    for token in 0..1_000 {
        authority.revoke(&token.to_string());
    }
    authority.publish_generation();
    let fetched: Vec<_> = (0..6).map(|_| leads_for(&process, &authority, 2)).collect();
    // Ten of the filter, and one of cut-offs.
    assert_eq!(fetched, [2, 2, 2, 2, 2, 1]);
    let mut next = follower();
    tick(&process, &mut next, &authority);
    assert_eq!(next.counts().generations, 0);
    for token in 0..1_000 {
        let status = status(&process, &next, &token.to_string());
        assert_eq!(status, Status::PossiblyRevoked, "{token}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_generation_that_another_one_replaces_meanwhile_is_begun_anew() {
    let (process, mut authority) = (MockProcess::default(), large());
    assert_eq!(leads_for(&process, &authority, 4), 4);
    authority.revoke("a");
    authority.publish_generation();
    assert_eq!(leads_for(&process, &authority, 20), 11);
    let mut next = follower();
    tick(&process, &mut next, &authority);
    assert_eq!(status(&process, &next, "a"), Status::PossiblyRevoked);
    assert_eq!(status(&process, &next, "b"), Status::NotRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_table_of_cut_offs_counts_for_the_next_one_too() {
    let subject = |number: u32| FILTER_KEY.fingerprint(Kind::Subject, "iss", &number.to_string());
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    for number in 0..60 {
        authority.changes.push(Change::SetCutOff(CutOff {
            key: subject(number),
            not_before: UnixTime::from_seconds(20).unwrap(),
            except: None,
            is_compound: false,
        }));
    }
    // Nine segments, in most of which several buckets end.
    authority.bucket_count = 20;
    authority.table_bytes = 7 * cut_off::RECORD_BYTES;
    authority.publish_generation();
    let fetched: Vec<_> = (0..12)
        .map(|_| leads_for(&process, &authority, 2))
        .collect();
    assert_eq!(fetched.last(), Some(&0), "{fetched:?}");
    let mut next = follower();
    tick(&process, &mut next, &authority);
    assert_eq!(next.counts().generations, 0);
    for number in 0..60 {
        let (status, _) = next.view.status(&process, |_| Names {
            cut_offs: vec![subject(number)],
            issuance: Issuance::new(UnixTime::from_seconds(15), None),
            ..Names::default()
        });
        assert_eq!(status, Status::CutOff, "{number}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_overwritten_claim_is_a_fault_and_no_reason_to_fetch_without_a_pause() {
    let (process, authority) = (MockProcess::default(), large());
    let mut leader = follower();
    let mut fetched = 0;
    for _ in 0..100 {
        process.pass(100);
        leader.on_tick(&process, Role::Leads);
        while let Some((id, call)) = next_call(&process) {
            fetched += usize::from(is_segment(&call));
            for key in process.keys().iter().filter(|key| key.ends_with("/load")) {
                process.set_shared(key, b"foreign", Expected::Anything);
            }
            if let Some(outcome) = authority.answer(&call) {
                leader.on_response(&process, id, &outcome);
            }
        }
    }
    let contended = leader.counts().faults[Fault::Contended as usize];
    assert!((3..=12).contains(&contended), "{contended} in ten seconds");
    assert!(fetched <= 12, "{fetched}");
}

/// The first leader is paused when it has called for the changes, or for the last segment.
fn is_taken_over(is_stopped_at: impl Fn(&Call) -> bool) {
    let (process, mut authority) = (MockProcess::default(), large());
    let change = Change::SetCutOff(CutOff {
        key: FILTER_KEY.fingerprint(Kind::Subject, "iss", "alice"),
        not_before: UnixTime::from_seconds(20).unwrap(),
        except: None,
        is_compound: false,
    });
    authority.changes.push(change);
    let mut first = follower();
    first.on_tick(&process, Role::Leads);
    let (id, call) = loop {
        let (id, call) = next_call(&process).unwrap();
        if is_stopped_at(&call) {
            break (id, call);
        }
        first.on_response(&process, id, &authority.answer(&call).unwrap());
    };
    let outcome = authority.answer(&call).unwrap();
    // The next one finds another history, and its changes under the same numbers.
    authority.changes = vec![Change::Add(name("a"))];
    let mut second = follower();
    process.pass(3_000);
    second.on_tick(&process, Role::Leads);
    let (manifest, call) = next_call(&process).unwrap();
    second.on_response(&process, manifest, &authority.answer(&call).unwrap());
    first.on_response(&process, id, &outcome);
    for _ in 0..3 {
        tick(&process, &mut second, &authority);
    }
    assert_eq!(first.counts().generations, 0);
    assert_eq!(second.counts().generations, 1);
    authority.changes.push(change);
    tick(&process, &mut second, &authority);
    assert_eq!(status(&process, &second, "a"), Status::PossiblyRevoked);
    let mut names = Names::default();
    names.add(&FILTER_KEY, Kind::Subject, "iss", "alice");
    names.issuance = Issuance::new(UnixTime::from_seconds(15), None);
    let (status, _) = second.view.status(&process, |_| names.clone());
    assert_eq!(status, Status::CutOff);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_whose_load_was_taken_over_applies_no_changes_to_it() {
    is_taken_over(|call| call.path.contains("/deltas?"));
    is_taken_over(|call| call.path.ends_with("/10"));
}
