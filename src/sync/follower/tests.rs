//! Followers of one process against an authority that is a list of changes.

use ed25519_dalek::{Signer as _, SigningKey};
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock::MockProcess;
use crate::revocation::cut_off::CutOff;
use crate::revocation::page::{PAGE_BYTES, insert, page_of};
use crate::revocation::{
    Chain, Change, FeedSignature, FilterKey, Fingerprint, KEPT_CHANGES, Kind, MAX_BATCH_CHANGES,
    Manifest, Names, SEGMENT_BYTES, Segment, Signable, Status, cut_off,
};
use crate::time::UnixTime;

mod leaders;
mod pace;

const FILTER_KEY: FilterKey = FilterKey::new([7; 16]);

/// Whole records only.
const TABLE_BYTES: usize = SEGMENT_BYTES / cut_off::RECORD_BYTES * cut_off::RECORD_BYTES;

const MAX_CHANGES: usize = MAX_BATCH_CHANGES as usize;

/// What somebody on the way makes of a message.
type Corruption = fn(Vec<u8>) -> Vec<u8>;

struct Authority {
    key: SigningKey,
    epoch: u64,
    generation: u64,
    /// Changes that are in the generation.
    base: usize,
    changes: Vec<Change>,
    page_count: u32,
    bucket_count: u32,
}

impl Authority {
    fn new() -> Self {
        Self {
            key: SigningKey::from_bytes(&[1; 32]),
            epoch: 1,
            generation: 1,
            base: 0,
            changes: Vec::new(),
            page_count: 3,
            bucket_count: 2,
        }
    }

    fn revoke(&mut self, token: &str) {
        self.changes.push(Change::Add(name(token)));
    }

    fn publish_generation(&mut self) {
        self.base = self.changes.len();
        self.generation += 1;
    }

    fn chain(&self, sequence: usize) -> Chain {
        let changes = &self.changes[..sequence];
        changes.iter().fold(Chain::EMPTY, Chain::followed_by)
    }

    fn sign(&self, kind: Signable, body: Vec<u8>) -> Vec<u8> {
        let signature = FeedSignature {
            key: self.key.verifying_key(),
            signature: self.key.sign(&kind.input(&body)),
        };
        signature.append_to(body)
    }

    fn segments(&self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let mut pages = vec![0; self.page_count as usize * PAGE_BYTES];
        let mut records = Vec::new();
        for change in &self.changes[..self.base] {
            match change {
                Change::Add(name) => {
                    let start = page_of(*name, self.page_count) as usize * PAGE_BYTES;
                    insert(&mut pages[start..start + PAGE_BYTES], *name);
                }
                Change::SetCutOff(cut_off) => cut_off::set(&mut records, cut_off),
                Change::ClearCutOff(name) => cut_off::clear(&mut records, *name),
                Change::Restore(_) => {}
            }
        }
        let mut table = cut_off::decode(&records).unwrap();
        cut_off::sort(&mut table);
        let records = cut_off::encode(&table);
        let pages = pages.chunks(SEGMENT_BYTES).map(<[u8]>::to_vec).collect();
        let mut tables: Vec<_> = records.chunks(TABLE_BYTES).map(<[u8]>::to_vec).collect();
        // An authority without cut-offs has no segment of them; this one has an empty one.
        tables.resize(tables.len().max(1), Vec::new());
        (pages, tables)
    }

    fn manifest(&self) -> Vec<u8> {
        let (pages, records) = self.segments();
        let segments = |bytes: &[Vec<u8>]| {
            bytes
                .iter()
                .map(|bytes| Segment::of(bytes).unwrap())
                .collect()
        };
        let manifest = Manifest {
            created: 0,
            epoch: self.epoch,
            generation: self.generation,
            sequence: self.base as u64,
            chain: self.chain(self.base),
            filter_key: FILTER_KEY,
            entries: self.base as u64,
            page_count: self.page_count,
            bucket_count: self.bucket_count,
            filter_segments: segments(&pages),
            cut_off_segments: segments(&records),
        };
        self.sign(Signable::Manifest, manifest.encode())
    }

    fn batch(&self, after: usize, nonce: u64) -> Vec<u8> {
        let batch = Batch {
            nonce,
            time: 0,
            epoch: self.epoch,
            generation: self.generation,
            after: after as u64,
            chain: self.chain(after),
            changes: self.changes[after..]
                .iter()
                .take(MAX_CHANGES)
                .copied()
                .collect(),
        };
        self.sign(Signable::Batch, batch.encode())
    }

    /// The answer to a call; `None` for a long poll without news.
    fn answer(&self, call: &Call) -> Option<CallOutcome> {
        let ok = |body| CallOutcome::Answered {
            status: 200,
            headers: Vec::new(),
            body,
        };
        let path = call.path.as_str();
        if path == "/v1/feed/manifest" {
            return Some(ok(self.manifest()));
        }
        if let Some(segment) = path.strip_prefix("/v1/feed/segments/") {
            let (generation, index) = segment.split_once('/').unwrap();
            assert_eq!(generation, self.generation.to_string());
            let (pages, records) = self.segments();
            let all: Vec<_> = pages.into_iter().chain(records).collect();
            return Some(ok(all[index.parse::<usize>().unwrap()].clone()));
        }
        let query = path.strip_prefix("/v1/feed/deltas?").unwrap();
        let parameter = |name: &str| {
            let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
                .next()
                .unwrap()
        };
        let after = parameter("after").parse::<usize>().unwrap();
        if parameter("epoch") != self.epoch.to_string() || after > self.changes.len() {
            return Some(CallOutcome::Answered {
                status: 410,
                headers: Vec::new(),
                body: Vec::new(),
            });
        }
        let is_news = after < self.changes.len() || parameter("wait") == "0";
        let nonce = parameter("nonce").parse().unwrap();
        is_news.then(|| ok(self.batch(after, nonce)))
    }
}

fn name(token: &str) -> Fingerprint {
    FILTER_KEY.fingerprint(Kind::Token, "iss", token)
}

fn follower() -> Follower {
    let view = Rc::new(View::new(1));
    let source = FeedSource {
        cluster: "authority".into(),
        authority: "authority".into(),
        credential: "edge".into(),
        keys: FeedKeys::new(vec![SigningKey::from_bytes(&[1; 32]).verifying_key()]),
        heartbeat: Duration::from_secs(10),
        reload_jitter: Duration::from_secs(1),
    };
    Follower::new(source, view)
}

/// Answers every call that the authority has an answer for, until it is quiet.
fn settle(process: &MockProcess, follower: &mut Follower, authority: &Authority) {
    settle_with(process, follower, |call| authority.answer(call));
}

fn settle_with(
    process: &MockProcess,
    follower: &mut Follower,
    answer: impl Fn(&Call) -> Option<CallOutcome>,
) {
    for _ in 0..100 {
        let calls = process.calls.take();
        let mut is_quiet = true;
        for (id, call) in calls {
            match answer(&call) {
                Some(outcome) => {
                    is_quiet = false;
                    follower.on_response(process, id, &outcome);
                }
                None => process.calls.borrow_mut().push((id, call)),
            }
        }
        if is_quiet {
            return;
        }
    }
    panic!("the follower never comes to rest");
}

fn next_call(process: &MockProcess) -> Option<(CallId, Call)> {
    process.calls.borrow_mut().pop()
}

fn tick(process: &MockProcess, follower: &mut Follower, authority: &Authority) {
    process.pass(100);
    follower.on_tick(process, true);
    settle(process, follower, authority);
    follower.on_tick(process, true);
}

fn status(process: &MockProcess, follower: &Follower, token: &str) -> Status {
    let (status, _) = follower.view.status(process, |state| {
        let mut names = Names::default();
        names.add(&state.filter_key, Kind::Token, "iss", token);
        names
    });
    status
}

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
fn others_learn_from_shared_data_what_to_drop_and_call_nobody() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut leader, mut other) = (follower(), follower());
    tick(&process, &mut leader, &authority);
    assert_eq!(
        other.on_tick(&process, false),
        Some(Purge::Everything),
        "the first state"
    );
    for token in ["a", "b"] {
        authority.revoke(token);
        tick(&process, &mut leader, &authority);
    }
    assert_eq!(
        other.on_tick(&process, false),
        Some(Purge::Named(vec![name("a"), name("b")]))
    );
    assert_eq!(other.on_tick(&process, false), None);
    assert_eq!(status(&process, &other, "b"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn whoever_missed_too_much_drops_everything() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut leader, mut other) = (follower(), follower());
    tick(&process, &mut leader, &authority);
    other.on_tick(&process, false);
    for number in 0..260 {
        authority.revoke(&number.to_string());
        tick(&process, &mut leader, &authority);
    }
    assert_eq!(other.on_tick(&process, false), Some(Purge::Everything));
}

#[wasm_bindgen_test(unsupported = test)]
fn the_leader_drops_what_it_applied_itself() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    authority.revoke("a");
    process.pass(100);
    assert_eq!(leader.on_tick(&process, true), None);
    settle(&process, &mut leader, &authority);
    assert_eq!(
        leader.on_tick(&process, true),
        Some(Purge::Named(vec![name("a")]))
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_newer_generation_replaces_the_older_one_and_frees_its_place() {
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
fn a_smaller_generation_in_a_place_that_was_left_full_frees_the_rest() {
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
    // It is gone before it has discarded anything.
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
            issued_at: UnixTime::from_seconds(u64::from(number)),
            ..Names::default()
        });
        assert_eq!(status, Status::CutOff, "{number}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_not_the_authoritys_is_never_applied() {
    let mut authority = Authority::new();
    let honest = Authority::new();
    authority.revoke("a");
    let corruptions: [(&str, Corruption); 5] = [
        ("truncated", |mut body| {
            body.pop();
            body
        }),
        ("bit flipped", |mut body| {
            let middle = body.len() / 2;
            body[middle] ^= 1;
            body
        }),
        ("trailing", |mut body| {
            body.push(0);
            body
        }),
        ("empty", |_| Vec::new()),
        ("signed by another key", |body| {
            let key = SigningKey::from_bytes(&[2; 32]);
            let body = body[..body.len() - 72].to_vec();
            let signature = key.sign(&Signable::Batch.input(&body));
            let key = key.verifying_key();
            FeedSignature { key, signature }.append_to(body)
        }),
    ];
    for (title, corruption) in corruptions {
        let (process, mut leader) = (MockProcess::default(), follower());
        tick(&process, &mut leader, &honest);
        process.pass(100);
        leader.on_tick(&process, true);
        let calls = process.calls.take();
        let (id, call) = calls.into_iter().next().unwrap();
        let Some(CallOutcome::Answered { body, .. }) = authority.answer(&call) else {
            panic!("no answer to {call:?}");
        };
        let outcome = CallOutcome::Answered {
            status: 200,
            headers: Vec::new(),
            body: corruption(body),
        };
        leader.on_response(&process, id, &outcome);
        leader.on_tick(&process, true);
        assert_eq!(leader.counts().refused, 1, "{title}");
        assert_eq!(
            status(&process, &leader, "a"),
            Status::NotRevoked,
            "{title}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_that_was_recorded_is_the_answer_to_another_question() {
    let (process, authority, mut leader) = (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    let recorded = authority.batch(0, 12345);
    let (id, _) = process.calls.take().into_iter().next().unwrap();
    let outcome = CallOutcome::Answered {
        status: 200,
        headers: Vec::new(),
        body: recorded,
    };
    let before = leader.view.state().unwrap().verified_at;
    leader.on_response(&process, id, &outcome);
    process.pass(50);
    leader.on_tick(&process, true);
    assert_eq!(leader.view.state().unwrap().verified_at, before);
    assert_eq!(leader.counts().refused, 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_authority_that_was_restored_from_a_backup_is_followed_in_its_new_epoch() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    for token in ["a", "b", "c"] {
        authority.revoke(token);
    }
    authority.publish_generation();
    tick(&process, &mut leader, &authority);
    authority.changes.truncate(1);
    authority.base = 1;
    authority.epoch = 2;
    authority.generation = 1;
    for _ in 0..20 {
        process.pass(10_000);
        settle_with(&process, &mut leader, |call| match authority.answer(call) {
            None => Some(CallOutcome::Failed),
            answer => answer,
        });
        leader.on_tick(&process, true);
    }
    let state = leader.view.state().unwrap();
    assert_eq!((state.epoch, state.sequence), (2, 1));
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_authority_that_is_there_again_is_heard_at_once_and_not_a_heartbeat_later() {
    let (process, authority, mut leader) = (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    let (lost, call) = next_call(&process).unwrap();
    assert!(call.path.ends_with("wait=10"), "{}", call.path);
    leader.on_response(&process, lost, &CallOutcome::Failed);
    process.pass(1_000);
    leader.on_tick(&process, true);
    let (id, call) = next_call(&process).unwrap();
    assert!(call.path.ends_with("wait=0"), "{}", call.path);
    leader.on_response(&process, id, &authority.answer(&call).unwrap());
    leader.on_tick(&process, true);
    assert_eq!(leader.view.state().unwrap().verified_at, process.now.get());
    process.pass(1_000);
    leader.on_tick(&process, true);
    let (_, call) = next_call(&process).unwrap();
    assert!(call.path.ends_with("wait=10"), "{}", call.path);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_manifest_that_is_older_than_what_is_held_is_refused() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    let older = authority.manifest();
    authority.revoke("a");
    authority.publish_generation();
    tick(&process, &mut leader, &authority);
    leader.load_from = Some(0);
    process.pass(100);
    leader.on_tick(&process, true);
    let calls = process.calls.take();
    let (id, _) = calls
        .into_iter()
        .find(|(_, call)| call.path.ends_with("manifest"))
        .unwrap();
    let outcome = CallOutcome::Answered {
        status: 200,
        headers: Vec::new(),
        body: older,
    };
    leader.on_response(&process, id, &outcome);
    assert_eq!(leader.counts().refused, 1);
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_stops_between_any_two_writes_does_no_harm() {
    let mut authority = Authority::new();
    authority.revoke("a");
    authority.publish_generation();
    authority.revoke("b");
    for writes in 0..16 {
        let process = MockProcess::default();
        let (mut first, mut second) = (follower(), follower());
        process.writes_left.set(Some(writes));
        tick(&process, &mut first, &authority);
        // It is gone; its calls are never answered.
        process.calls.take();
        process.writes_left.set(None);
        let half_way = status(&process, &second, "a");
        // What was written whole can be read before the first tick.
        assert!(half_way != Status::NotRevoked, "{writes}: {half_way:?}");
        tick(&process, &mut second, &authority);
        tick(&process, &mut second, &authority);
        for token in ["a", "b"] {
            assert_eq!(
                status(&process, &second, token),
                Status::PossiblyRevoked,
                "{writes} {token}"
            );
        }
        assert_eq!(
            status(&process, &second, "c"),
            Status::NotRevoked,
            "{writes}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn two_leaders_at_once_do_no_harm() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut first, mut second) = (follower(), follower());
    let mut other = follower();
    for round in 0..20 {
        authority.revoke(&round.to_string());
        if round % 7 == 3 {
            authority.publish_generation();
        }
        process.pass(500);
        for leader in [&mut first, &mut second] {
            leader.on_tick(&process, true);
        }
        let calls = process.calls.take();
        for (id, call) in calls {
            let Some(outcome) = authority.answer(&call) else {
                process.calls.borrow_mut().push((id, call));
                continue;
            };
            let is_taken = first.on_response(&process, id, &outcome);
            assert!(is_taken != second.on_response(&process, id, &outcome) || !is_taken);
        }
    }
    for _ in 0..20 {
        process.pass(2_000);
        for leader in [&mut first, &mut second] {
            leader.on_tick(&process, true);
            settle(&process, leader, &authority);
        }
    }
    other.on_tick(&process, false);
    for round in 0..20 {
        assert_eq!(
            status(&process, &other, &round.to_string()),
            Status::PossiblyRevoked,
            "{round}"
        );
    }
    assert_eq!(status(&process, &other, "never"), Status::NotRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_was_stopped_while_loading_cannot_take_back_what_came_since() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut first, mut second) = (follower(), follower());
    authority.publish_generation();
    // The first leader has the manifest, and is stopped before the first segment is taken in.
    first.on_tick(&process, true);
    let (id, call) = next_call(&process).unwrap();
    let outcome = authority.answer(&call).unwrap();
    first.on_response(&process, id, &outcome);
    let (late, call) = next_call(&process).unwrap();
    let segment = authority.answer(&call).unwrap();
    tick(&process, &mut second, &authority);
    authority.revoke("a");
    tick(&process, &mut second, &authority);
    assert_eq!(status(&process, &second, "a"), Status::PossiblyRevoked);
    first.on_response(&process, late, &segment);
    assert_ne!(status(&process, &second, "a"), Status::NotRevoked);
    process.calls.take();
    for _ in 0..3 {
        process.pass(30_000);
        tick(&process, &mut second, &authority);
    }
    assert_eq!(status(&process, &second, "a"), Status::PossiblyRevoked);
    assert_eq!(status(&process, &second, "b"), Status::NotRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn records_that_somebody_overwrote_are_noticed_and_loaded_again() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    authority.revoke("a");
    authority.publish_generation();
    tick(&process, &mut leader, &authority);
    for key in process.keys().iter().filter(|key| key.contains("/page/")) {
        process.set_shared(key, b"foreign", Expected::Anything);
    }
    assert_eq!(status(&process, &leader, "a"), Status::NoData);
    tick(&process, &mut leader, &authority);
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_count_of_batches_that_is_at_its_end_begins_again_and_caches_are_emptied() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut leader, mut other) = (follower(), follower());
    tick(&process, &mut leader, &authority);
    let (mut state, version) = leader.filter.state(&process).unwrap();
    state.batches = u64::MAX;
    let key = leader.filter.state_key();
    assert!(state.write(&process, &key, Expected::Version(version)));
    other.on_tick(&process, false);
    authority.revoke("a");
    tick(&process, &mut leader, &authority);
    assert_eq!(other.on_tick(&process, false), Some(Purge::Everything));
    assert_eq!(other.view.state().unwrap().batches, 0);
}

#[wasm_bindgen_test(unsupported = test)]
fn failures_are_tried_again_later_and_later_and_said_once() {
    let authority = Authority::new();
    // Nothing answers; or the manifest is fine, and nothing after it.
    let steps = [
        "/v1/feed/manifest",
        "/v1/feed/segments/1/0",
        "/v1/feed/segments/1/1",
    ];
    for good in [&steps[..0], &steps[..1], &steps[..2]] {
        let (process, mut leader) = (MockProcess::default(), follower());
        let mut failed = 0;
        for _ in 0..600 {
            process.pass(100);
            leader.on_tick(&process, true);
            while let Some((id, call)) = next_call(&process) {
                let outcome = if good.contains(&call.path.as_str()) {
                    authority.answer(&call).unwrap()
                } else {
                    failed += 1;
                    CallOutcome::Failed
                };
                leader.on_response(&process, id, &outcome);
            }
        }
        assert!(
            (8..=25).contains(&failed),
            "{good:?}: {failed} failures in a minute"
        );
        assert_eq!(process.log.borrow().len(), 1, "{good:?}");
    }
}
