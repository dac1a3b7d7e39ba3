use wasm_bindgen_test::wasm_bindgen_test;

use super::super::example_state as example;
use super::*;
use crate::host::mock::MockProcess;
use crate::revocation::cut_off::{CutOff, Exception};
use crate::revocation::{Fingerprint, Issuance, Kind};
use crate::time::UnixTime;

fn name(text: &str) -> Fingerprint {
    example().filter_key.fingerprint(Kind::Token, "iss", text)
}

fn names(text: &str) -> Names {
    let mut names = Names::default();
    let key = example().filter_key;
    names.add(&key, Kind::Token, "iss", text);
    names.add(&key, Kind::Session, "iss", "session");
    names.add(&key, Kind::Subject, "iss", "subject");
    names.issuance = Issuance::new(UnixTime::from_seconds(100), None);
    names
}

/// A filter whose pages and buckets all exist and are empty.
fn filled() -> (MockProcess, SharedFilter, FeedState) {
    let (process, filter, state) = (
        MockProcess::default(),
        SharedFilter::new(Namespace::example()),
        example(),
    );
    for index in 0..state.page_count {
        let page = [0; PAGE_BYTES];
        assert!(filter.write_page(&process, &state, index, &page, || true));
    }
    for index in 0..state.bucket_count {
        assert!(filter.write_bucket(&process, &state, index, &[], || true));
    }
    (process, filter, state)
}

fn subject_cut_off(seconds: u64, except: Option<Fingerprint>) -> Change {
    Change::SetCutOff(CutOff {
        key: example()
            .filter_key
            .fingerprint(Kind::Subject, "iss", "subject"),
        not_before: UnixTime::from_seconds(seconds).unwrap(),
        except: except.map(|session| Exception {
            session,
            from: UnixTime::EPOCH,
        }),
        is_compound: false,
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn a_name_that_was_added_is_possibly_revoked_and_others_are_not() {
    let (process, filter, state) = filled();
    assert_eq!(
        filter.status(&process, &state, &names("a")),
        Status::NotRevoked
    );
    assert!(filter.apply(&process, &state, 3, &[Change::Add(name("a"))]));
    assert_eq!(
        filter.status(&process, &state, &names("a")),
        Status::PossiblyRevoked
    );
    assert_eq!(
        filter.status(&process, &state, &names("b")),
        Status::NotRevoked
    );
    assert!(filter.apply(&process, &state, 4, &[Change::Restore(name("a"))]));
    assert_eq!(
        filter.status(&process, &state, &names("a")),
        Status::PossiblyRevoked
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn cut_offs_are_exact_and_can_be_taken_back() {
    let (process, filter, mut state) = filled();
    let session = names("a").session;
    let key = subject_cut_off(0, None).fingerprint();
    for (change, expected) in [
        (subject_cut_off(101, None), Status::CutOff),
        (subject_cut_off(100, None), Status::NotRevoked),
        (subject_cut_off(101, session), Status::NotRevoked),
        (subject_cut_off(101, None), Status::CutOff),
        (Change::ClearCutOff(key), Status::NotRevoked),
    ] {
        assert!(filter.apply(&process, &state, state.sequence, &[change]));
        state.sequence += 1;
        assert_eq!(
            filter.status(&process, &state, &names("a")),
            expected,
            "{change:?}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_change_that_comes_late_is_in_already_and_is_not_written_again() {
    let (process, filter, mut state) = filled();
    let cut_off = subject_cut_off(101, None);
    let clearing = Change::ClearCutOff(cut_off.fingerprint());
    let index = cut_off::bucket_of(cut_off.fingerprint(), state.bucket_count);
    let key = filter.record_key(RecordKind::Bucket, state.slot, index);
    // The generation is at 3.
    for (sequence, change, is_late, expected) in [
        (3, cut_off, true, Status::NotRevoked),
        (100, cut_off, false, Status::CutOff),
        (90, clearing, true, Status::CutOff),
        (100, clearing, true, Status::CutOff),
        (101, clearing, false, Status::NotRevoked),
        (100, cut_off, true, Status::NotRevoked),
        (u64::MAX, cut_off, false, Status::CutOff),
    ] {
        let before = process.shared(&key);
        assert!(filter.apply(&process, &state, sequence - 1, &[change]));
        assert_eq!(process.shared(&key) == before, is_late, "{sequence}");
        // So that it is read again.
        state.sequence += 1;
        let status = filter.status(&process, &state, &names("a"));
        assert_eq!(status, expected, "{sequence} {change:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_a_load_has_brought_in_and_changed_is_not_brought_in_again() {
    let (process, filter, state) = filled();
    let changes = [Change::Add(name("a")), subject_cut_off(101, None)];
    assert!(filter.apply(&process, &state, 3, &changes));
    let before: Vec<_> = process
        .keys()
        .iter()
        .map(|key| process.shared(key))
        .collect();
    for index in 0..state.page_count {
        assert!(filter.write_page(&process, &state, index, &[0; PAGE_BYTES], || true));
    }
    for index in 0..state.bucket_count {
        assert!(filter.write_bucket(&process, &state, index, &[], || true));
    }
    let after: Vec<_> = process
        .keys()
        .iter()
        .map(|key| process.shared(key))
        .collect();
    assert_eq!(before, after);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_was_written_over_is_not_brought_in_again_once_changes_have_been_applied() {
    let (process, filter, state) = filled();
    let changes = [Change::Add(name("a")), subject_cut_off(101, None)];
    assert!(filter.apply(&process, &state, 3, &changes));
    for key in process.keys() {
        process.set_shared(&key, b"foreign", Expected::Anything);
    }
    let before: Vec<_> = process
        .keys()
        .iter()
        .map(|key| process.shared(key))
        .collect();
    assert!(!filter.write_page(&process, &state, 0, &[0; PAGE_BYTES], || false));
    assert!(!filter.write_bucket(&process, &state, 0, &[], || false));
    let after: Vec<_> = process
        .keys()
        .iter()
        .map(|key| process.shared(key))
        .collect();
    assert_eq!(before, after);
    // Even if the claim is given up between the look at the record and the look at the claim.
    let key = filter.record_key(RecordKind::Page, state.slot, 0);
    let overtaken = || {
        process.set_shared(&key, b"another", Expected::Anything);
        true
    };
    assert!(filter.write_page(&process, &state, 0, &[0; PAGE_BYTES], overtaken));
    assert_eq!(process.shared(&key).unwrap().bytes, b"another");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_bucket_that_is_no_bucket_says_nothing_whatever_its_checksum() {
    let (process, filter, state) = filled();
    let change = subject_cut_off(101, None);
    let index = cut_off::bucket_of(change.fingerprint(), state.bucket_count);
    let whole = bucket::encode(3, &[]);
    for length in [0, 7, 9, 8 + cut_off::RECORD_BYTES - 1] {
        let mut body = whole.clone();
        body.resize(length, 0);
        let any = Expected::Anything;
        assert!(filter.write(&process, &state, RecordKind::Bucket, index, &body, any));
        let status = filter.status(&process, &state, &names("a"));
        assert_eq!(status, Status::NoData, "{length}");
        assert!(!filter.apply(&process, &state, 3, &[change]), "{length}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_bucket_is_read_again_when_the_feed_has_moved_on_and_not_before() {
    let (process, filter, state) = filled();
    let status = |state: &FeedState| filter.status(&process, state, &names("a"));
    assert_eq!(status(&state), Status::NotRevoked);
    assert!(filter.apply(&process, &state, 3, &[subject_cut_off(101, None)]));
    assert_eq!(status(&state), Status::NotRevoked);
    for newer in [
        FeedState {
            sequence: state.sequence + 1,
            ..state.clone()
        },
        FeedState {
            load: state.load + 1,
            ..state.clone()
        },
    ] {
        assert_ne!(status(&newer), Status::NotRevoked);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn numbers_in_keys_are_decimal() {
    let filter = SharedFilter::new(Namespace::example());
    for index in [0, 9, 10, 100, 4_096, u32::MAX] {
        let key = filter.record_key(RecordKind::Bucket, 1, index);
        let record = format!("bucket/1/{index}");
        assert_eq!(key, Namespace::example().key_of(&record));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn records_that_are_foreign_or_of_another_generation_say_nothing() {
    let (process, filter, state) = filled();
    let key = filter.record_key(
        RecordKind::Page,
        state.slot,
        page_of(name("a"), state.page_count),
    );
    let intact = process.shared(&key).unwrap().bytes;
    let mut flipped = intact.clone();
    *flipped.last_mut().unwrap() ^= 1;
    for foreign in [&b""[..], b"foreign", &flipped, &intact[..intact.len() - 1]] {
        assert!(process.set_shared(&key, foreign, Expected::Anything));
        assert_eq!(filter.status(&process, &state, &names("a")), Status::NoData);
        assert!(!filter.apply(&process, &state, 3, &[Change::Add(name("a"))]));
    }
    assert!(process.set_shared(&key, &intact, Expected::Anything));
    assert_eq!(
        filter.status(&process, &state, &names("a")),
        Status::NotRevoked
    );
    let other = FeedState {
        generation: state.generation + 1,
        ..state
    };
    assert_eq!(filter.status(&process, &other, &names("a")), Status::NoData);
}

#[wasm_bindgen_test(unsupported = test)]
fn only_records_of_older_generations_are_discarded() {
    let (process, filter, state) = filled();
    let page = |index| process.shared(&filter.record_key(RecordKind::Page, state.slot, index));
    assert!(filter.discard(&process, &state, RecordKind::Page, state.slot, 0));
    assert!(!page(0).unwrap().bytes.is_empty());
    let newer = FeedState {
        generation: state.generation + 1,
        ..state.clone()
    };
    assert!(filter.discard(&process, &newer, RecordKind::Page, state.slot, 0));
    assert!(page(0).unwrap().bytes.is_empty());
    assert!(!filter.discard(
        &process,
        &newer,
        RecordKind::Page,
        state.slot,
        state.page_count
    ));
}

#[wasm_bindgen_test(unsupported = test)]
fn how_full_the_records_are_is_known_from_a_few_of_them() {
    let (process, filter, mut state) = filled();
    let fill = |state: &FeedState| filter.fill(&process, state, 12_345).unwrap();
    let empty = fill(&state);
    assert_eq!(
        (empty.false_positives_per_billion, empty.cut_offs_per_bucket),
        (0, 0)
    );
    for number in 0..30_000 {
        let changes = [Change::Add(name(&number.to_string()))];
        assert!(filter.apply(&process, &state, state.sequence, &changes));
    }
    let crowded = fill(&state);
    assert!(crowded.is_crowded() && crowded.false_positives_per_billion > 1_000_000);
    let (process, filter, _) = filled();
    let fill = |state: &FeedState| filter.fill(&process, state, 12_345).unwrap();
    for number in 0..1_200_u64 {
        let key = example().filter_key;
        let key = key.fingerprint(Kind::Subject, "iss", &number.to_string());
        let cut_off = CutOff {
            key,
            not_before: UnixTime::EPOCH,
            except: None,
            is_compound: false,
        };
        assert!(filter.apply(
            &process,
            &state,
            state.sequence,
            &[Change::SetCutOff(cut_off)]
        ));
        state.sequence += 1;
        assert_eq!(
            fill(&state).is_crowded(),
            fill(&state).cut_offs_per_bucket > 128
        );
    }
    assert_eq!(fill(&state).cut_offs_per_bucket, 150);
}
