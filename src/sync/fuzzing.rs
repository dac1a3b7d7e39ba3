//! Invariants of segments, batches and records of the feed, made of arbitrary bytes.

use std::collections::{BTreeMap, BTreeSet};

use super::announcement::{Begun, VoidTokens, void_tokens};
use super::claim::Claim;
use super::loader::{LoadError, Loader, Need};
use crate::host::mock::MockProcess;
use crate::namespace::Namespace;
use crate::revocation::cut_off::{self, CutOff, RECORD_BYTES};
use crate::revocation::fuzzing::signed;
use crate::revocation::page::PAGE_BYTES;
use crate::revocation::{
    Batch, Chain, Change, FeedState, FilterKey, Fingerprint, Issuance, Kind, MAX_BATCH_BYTES,
    MAX_BATCH_CHANGES, Manifest, Names, SEGMENT_BYTES, Segment, SharedFilter, Signable, Status,
};
use crate::time::UnixTime;

const FILTER_KEY: FilterKey = FilterKey::new([7; 16]);

/// 2026-01-01T00:00:00Z in milliseconds.
const NOW: u64 = 1_767_225_600_000;

/// A generation with these pages and this many buckets.
fn generation(pages: &[u8], buckets: u32, cut_offs: &[u8]) -> Manifest {
    let segments = pages.chunks(SEGMENT_BYTES);
    Manifest {
        created: NOW,
        epoch: 1,
        generation: 2,
        sequence: 3,
        chain: Chain::EMPTY,
        filter_key: FILTER_KEY,
        entries: 0,
        page_count: u32::try_from(pages.len() / PAGE_BYTES).unwrap(),
        bucket_count: buckets,
        filter_segments: segments.map(|bytes| Segment::of(bytes).unwrap()).collect(),
        cut_off_segments: vec![Segment::of(cut_offs).unwrap()],
    }
}

fn begin(host: &MockProcess, filter: &SharedFilter, manifest: Manifest) -> Loader {
    let claim = Claim::take(host, filter.space(), &manifest.digest(), 0).unwrap();
    Loader::new(manifest, 0, claim)
}

/// Loads a generation into shared data, as far as its segments are valid.
fn load(
    host: &MockProcess,
    filter: &SharedFilter,
    manifest: Manifest,
    pages: &[u8],
    cut_offs: &[u8],
) -> Result<Loader, LoadError> {
    let mut loader = begin(host, filter, manifest);
    for segment in pages.chunks(SEGMENT_BYTES).chain([cut_offs]) {
        loader.on_segment(host, filter, segment)?;
    }
    while loader.need() == Need::Step {
        loader.step(host, filter)?;
    }
    Ok(loader)
}

/// A token without `iat`, with this subject.
fn of_subject(subject: Fingerprint) -> Names {
    Names {
        cut_offs: vec![subject],
        ..Names::default()
    }
}

fn of_token(token: Fingerprint) -> Names {
    Names {
        entries: vec![token],
        ..Names::default()
    }
}

/// A segment of cut-offs, after a byte for the number of pages and one for that of buckets; the
/// pages are made of the same bytes.
///
/// A segment that is accepted encodes to the same bytes, and every cut-off in it is found; whatever
/// the pages are, a name that is added to them is found. One that is refused is malformed or not in
/// the order of its buckets. One with a bit flipped is refused.
pub fn segment(bytes: &[u8]) {
    let [pages, buckets, records @ ..] = bytes else {
        return;
    };
    let length = usize::from(pages % 3 + 1) * PAGE_BYTES;
    let pages: Vec<u8> = bytes.iter().copied().cycle().take(length).collect();
    let bucket_count = u32::from(buckets % 8 + 1);
    let manifest = generation(&pages, bucket_count, records);
    let (host, filter) = (
        MockProcess::default(),
        SharedFilter::new(Namespace::example()),
    );
    flipped_is_refused(&host, &filter, &manifest, &pages);
    let loader = match load(&host, &filter, manifest, &pages, records) {
        Err(error) => {
            assert_eq!(error, LoadError::Malformed(1));
            let is_in_order = |cut_offs: Vec<CutOff>| {
                cut_offs.is_sorted_by_key(|cut_off| cut_off::bucket_of(cut_off.key, bucket_count))
            };
            return assert!(!cut_off::decode(records).is_ok_and(is_in_order));
        }
        Ok(loader) => loader,
    };
    let state = loader.state();
    let cut_offs = cut_off::decode(records).unwrap();
    assert_eq!(cut_off::encode(&cut_offs), records);
    assert_eq!(records.len(), cut_offs.len() * RECORD_BYTES);
    let subjects: BTreeSet<_> = cut_offs.iter().map(|cut_off| cut_off.key).collect();
    let is_cut_off = |subject: &Fingerprint| {
        let mut records = cut_offs.iter();
        let record = records.find(|cut_off| cut_off.key == *subject);
        record.is_some_and(|cut_off| cut_off.revokes(None, None))
    };
    for subject in &subjects {
        let status = filter.status(&host, state, &of_subject(*subject));
        assert_eq!(status == Status::CutOff, is_cut_off(subject));
        assert_ne!(status, Status::NoData);
    }
    let name = FILTER_KEY.fingerprint(Kind::Subject, "issuer", "nobody");
    let found = filter.status(&host, state, &of_subject(name));
    assert_eq!(found == Status::CutOff, is_cut_off(&name));
    assert!(filter.apply(&host, state, state.sequence, &[Change::Add(name)]));
    let found = filter.status(&host, state, &of_token(name));
    assert_eq!(found, Status::PossiblyRevoked);
}

fn flipped_is_refused(
    host: &MockProcess,
    filter: &SharedFilter,
    manifest: &Manifest,
    pages: &[u8],
) {
    let mut flipped = pages.to_vec();
    flipped[PAGE_BYTES / 2] ^= 1;
    let loaded = begin(host, filter, manifest.clone()).on_segment(host, filter, &flipped);
    assert_eq!(loaded, Err(LoadError::Segment(0)));
}

/// The signed part of a batch, which may be a heartbeat.
///
/// A batch that is accepted encodes to the same bytes. Applied to a generation, it leaves exactly
/// the cut-offs that a table would have, and no name that was added is "not revoked"; the names in
/// it are those whose tokens other virtual machines void. It is not applied twice, and none of its
/// changes that come late undoes a later one.
pub fn batch(body: &[u8]) {
    let (message, keys) = signed(Signable::Batch, body);
    assert!(Batch::decode(body, &keys).is_err());
    let Ok(batch) = Batch::decode(&message, &keys) else {
        return;
    };
    assert!(message.len() <= MAX_BATCH_BYTES);
    assert!(batch.changes.len() <= MAX_BATCH_CHANGES as usize);
    assert_eq!(batch.encode(), body);
    assert!(Manifest::decode(&message, &keys).is_err());
    let (host, filter) = (
        MockProcess::default(),
        SharedFilter::new(Namespace::example()),
    );
    let manifest = Manifest {
        epoch: batch.epoch,
        sequence: batch.after,
        chain: batch.chain,
        ..generation(&[0; 2 * PAGE_BYTES], 2, &[])
    };
    let loader = load(&host, &filter, manifest, &[0; 2 * PAGE_BYTES], &[]);
    let mut loader = loader.unwrap();
    let old = loader.state().clone();
    assert_eq!(loader.on_changes(&host, &filter, &batch, NOW), Ok(()));
    let new = FeedState {
        batches: 1,
        ..loader.state().clone()
    };
    assert_eq!(new.sequence, batch.through());
    as_a_table_would_have_it(&host, &filter, &new, &batch.changes);
    // Another leader is late, and has nothing cached.
    let late = SharedFilter::new(Namespace::example());
    let numbered: Vec<_> = (0..).zip(&batch.changes).collect();
    for (before, change) in numbered.into_iter().rev() {
        assert!(late.apply(&host, &old, batch.after + before, &[*change]));
    }
    as_a_table_would_have_it(&host, &late, &new, &batch.changes);
    if !batch.changes.is_empty() {
        let begun = Begun::read(&host, &filter, &old);
        assert!(!begun.is_any() && !begun.is_lost_by(&batch));
        assert!(begun.announce(&host, &filter, &new, &batch));
        let again = begun.announce(&host, &filter, &new, &batch);
        assert!(!again, "another one was written over");
        let begun = Begun::read(&host, &filter, &old);
        assert!(begun.is_any() && !begun.is_lost_by(&batch));
        let mut shorter = batch.clone();
        shorter.changes.pop();
        assert!(begun.is_lost_by(&shorter));
        let names = batch.changes.iter().map(Change::fingerprint).collect();
        let void = void_tokens(&host, &filter, Some(&old), &new);
        assert_eq!(void, VoidTokens::Named(names));
        let again = loader.on_changes(&host, &filter, &batch, NOW);
        assert_eq!(again, Err(LoadError::Discontinuous));
    }
}

fn as_a_table_would_have_it(
    host: &MockProcess,
    filter: &SharedFilter,
    state: &FeedState,
    changes: &[Change],
) {
    let mut cut_offs: BTreeMap<Fingerprint, Option<CutOff>> = BTreeMap::new();
    for change in changes {
        match change {
            Change::Add(name) => {
                let found = filter.status(host, state, &of_token(*name));
                assert_eq!(found, Status::PossiblyRevoked);
            }
            Change::Restore(_) => {}
            Change::SetCutOff(cut_off) => drop(cut_offs.insert(cut_off.key, Some(*cut_off))),
            Change::ClearCutOff(name) => drop(cut_offs.insert(*name, None)),
        }
    }
    for (name, cut_off) in cut_offs {
        for issued_at in [0, 1_767_225_600, UnixTime::MAX.seconds()] {
            let names = Names {
                issuance: Issuance::new(UnixTime::from_seconds(issued_at), None),
                ..of_subject(name)
            };
            let issued = names.issued(name);
            let is_meant = cut_off.is_some_and(|cut_off| cut_off.revokes(issued, None));
            let found = filter.status(host, state, &names);
            assert_eq!(found == Status::CutOff, is_meant);
        }
    }
}
