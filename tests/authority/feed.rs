//! The feed.

use std::thread;
use std::time::{Duration, Instant};

use portcullis::revocation::{
    Batch, Chain, Change, FeedKeys, FilterKey, Fingerprint, Kind, Manifest, cut_off, page,
};
use serde_json::json;

use super::import::lines_named;
use super::process::{Answer, Authority, ISSUER, directory, public_key, until};

mod epochs;

/// Polls for what came after a sequence number.
fn deltas(authority: &Authority, epoch: u64, after: u64, wait: u64) -> Answer {
    let path = format!("/v1/feed/deltas?epoch={epoch}&after={after}&nonce=77&wait={wait}");
    authority.get(&path)
}

fn batch(authority: &Authority, answer: &Answer) -> Batch {
    assert_eq!(answer.status, 200, "{answer:?}");
    Batch::decode(&answer.bytes, &authority.public_keys()).unwrap()
}

fn session(key: &FilterKey, value: &str) -> Fingerprint {
    key.fingerprint(Kind::Session, ISSUER, value)
}

fn segments(authority: &Authority, manifest: &Manifest) -> Vec<Vec<u8>> {
    let all = manifest
        .filter_segments
        .iter()
        .chain(&manifest.cut_off_segments);
    all.enumerate()
        .map(|(index, segment)| {
            let path = format!("/v1/feed/segments/{}/{index}", manifest.generation);
            let answer = authority.get(&path);
            assert!(segment.matches(&answer.bytes));
            answer.bytes
        })
        .collect()
}

#[test]
fn changes_come_signed_and_chained() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let manifest = authority.manifest();
    assert_eq!((manifest.sequence, manifest.chain), (0, Chain::EMPTY));
    authority.revoke("session", "a");
    authority.revoke("subject", "u");
    authority.post(
        "/v1/restorations",
        &json!({"kind": "session", "issuer": ISSUER, "value": "a"}),
    );
    authority.post(
        "/v1/restorations",
        &json!({"kind": "subject", "issuer": ISSUER, "value": "u"}),
    );
    let key = manifest.filter_key;
    let user = key.fingerprint(Kind::Subject, ISSUER, "u");
    let all = batch(&authority, &deltas(&authority, manifest.epoch, 0, 1));
    assert_eq!((all.nonce, all.after, all.through()), (77, 0, 4));
    assert_eq!(
        (all.epoch, all.generation),
        (manifest.epoch, manifest.generation)
    );
    assert_eq!(all.changes[0], Change::Add(session(&key, "a")));
    assert!(matches!(all.changes[1], Change::SetCutOff(cut_off) if cut_off.key == user));
    assert_eq!(
        all.changes[2..],
        [
            Change::Restore(session(&key, "a")),
            Change::ClearCutOff(user)
        ]
    );
    let chain = all.changes[..3]
        .iter()
        .fold(Chain::EMPTY, Chain::followed_by);
    let last = batch(&authority, &deltas(&authority, manifest.epoch, 3, 1));
    assert_eq!((last.chain, &last.changes[..]), (chain, &all.changes[3..]));
}

#[test]
fn a_waiting_edge_hears_of_a_revocation_at_once_and_a_heartbeat_otherwise() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let epoch = authority.manifest().epoch;
    let started = Instant::now();
    assert!(
        batch(&authority, &deltas(&authority, epoch, 0, 1))
            .changes
            .is_empty()
    );
    assert!((1_000..1_900).contains(&started.elapsed().as_millis()));
    let mut delays = Vec::new();
    for after in 0..20 {
        thread::scope(|scope| {
            let edge = scope.spawn(|| {
                let answer = deltas(&authority, epoch, after, 20);
                (Instant::now(), batch(&authority, &answer))
            });
            until(|| authority.stats()["edges_waiting"] == 1);
            authority.revoke("session", &format!("s{after}"));
            let acknowledged = Instant::now();
            let (heard, batch) = edge.join().unwrap();
            assert_eq!(batch.changes.len(), 1);
            delays.push(heard.saturating_duration_since(acknowledged));
        });
    }
    delays.sort_unstable();
    println!(
        "acknowledged to heard: median {:?}, longest {:?}",
        delays[10], delays[19]
    );
    assert!(delays[19] < Duration::from_millis(250), "{delays:?}");
}

#[test]
fn stopping_answers_polls_that_wait() {
    let directory = directory();
    let mut authority = Authority::start(directory.path());
    let epoch = authority.manifest().epoch;
    thread::scope(|scope| {
        let edges: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| batch(&authority, &deltas(&authority, epoch, 0, 50))))
            .collect();
        until(|| authority.stats()["edges_waiting"] == 10);
        authority.signal("TERM");
        for edge in edges {
            assert!(edge.join().unwrap().changes.is_empty());
        }
    });
    assert!(authority.wait().success());
    assert!(!authority.log().contains("unfinished"));
}

#[test]
fn a_generation_holds_everything_in_force() {
    let directory = directory();
    let authority = Authority::start_with(directory.path(), &["--generation-interval", "1s"]);
    let first = authority.manifest();
    let lines = lines_named("s", 12_000);
    authority.revoke("subject", "u");
    assert_eq!(
        authority
            .post_text("/v1/import", "application/x-ndjson", &lines)
            .status,
        200
    );
    until(|| authority.manifest().entries == 12_000);
    let manifest = authority.manifest();
    assert!(manifest.generation > first.generation);
    assert_eq!(manifest.sequence, 12_001);
    let segments = segments(&authority, &manifest);
    let (pages, tables) = segments.split_at(manifest.filter_segments.len());
    let pages = pages.concat();
    let holds = |value: &str| {
        let name = session(&manifest.filter_key, value);
        let start = page::page_of(name, manifest.page_count) as usize * page::PAGE_BYTES;
        page::may_contain(&pages[start..start + page::PAGE_BYTES], name)
    };
    assert!((0..12_000).all(|number| holds(&format!("s{number}"))));
    let false_positives = (0..50_000)
        .filter(|number| holds(&format!("x{number}")))
        .count();
    assert!(false_positives < 10, "{false_positives}");
    let table = cut_off::decode(&tables.concat()).unwrap();
    assert_eq!(table.len(), 1);
    assert_eq!(
        table[0].key,
        manifest.filter_key.fingerprint(Kind::Subject, ISSUER, "u")
    );
    // The one before is still served to edges that have begun to fetch it.
    let old = authority.get(&format!("/v1/feed/segments/{}/0", first.generation));
    assert_eq!(old.status, 200);
    let path = format!("/v1/feed/segments/{}/99", manifest.generation);
    assert_eq!(authority.get(&path).status, 404);
}

#[test]
fn segments_can_be_cached() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let manifest = authority.manifest();
    let path = format!("/v1/feed/segments/{}/0", manifest.generation);
    let answer = authority.get(&path);
    let control = answer.headers["cache-control"].to_str().unwrap();
    assert!(control.contains("immutable"), "{control}");
    let tag = answer.headers["etag"].to_str().unwrap();
    let url = format!("{}{path}", authority.url);
    let ask = |tags: &str| {
        let request = ureq::get(&url).header("if-none-match", tags);
        request.call().unwrap()
    };
    for tags in [
        tag,
        "*",
        &format!("W/{tag}"),
        &format!(r#""other", W/{tag}"#),
    ] {
        let again = ask(tags);
        assert_eq!(again.status(), 304, "{tags}");
        assert_eq!(again.headers()["etag"], tag);
        assert_eq!(again.headers()["cache-control"], control);
    }
    assert_eq!(ask(r#""other""#).status(), 200);
}

#[test]
fn shared_caches_may_keep_segments_and_nothing_else_and_only_when_told_so() {
    let directory = directory();
    let control = |arguments: &[&str]| {
        let authority = Authority::start_with(directory.path(), arguments);
        until(|| authority.get("/readyz").status == 200);
        let Manifest {
            generation, epoch, ..
        } = authority.manifest();
        [
            format!("/v1/feed/segments/{generation}/0"),
            "/v1/feed/segments/1/0".to_owned(),
            "/v1/feed/manifest".to_owned(),
            format!("/v1/feed/deltas?epoch={epoch}&after=0&wait=0"),
        ]
        .map(|path| {
            let answer = authority.get(&path);
            answer.headers["cache-control"].to_str().unwrap().to_owned()
        })
    };
    let [segment, others @ ..] = control(&[]);
    assert_eq!(segment, "private, max-age=31536000, immutable");
    assert_eq!(others, ["no-store"; 3]);
    let [segment, others @ ..] = control(&["--allow-shared-caches"]);
    assert_eq!(segment, "public, max-age=31536000, immutable");
    assert_eq!(others, ["no-store"; 3]);
}

#[test]
fn a_batch_says_whether_there_is_more() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let epoch = authority.manifest().epoch;
    let lines = lines_named("s", 1_000);
    let answer = authority.post_text("/v1/import", "application/x-ndjson", &lines);
    assert_eq!(answer.status, 200);
    let mut after = 0;
    while after < 1_000 {
        let batch = batch(&authority, &deltas(&authority, epoch, after, 0));
        assert_eq!(batch.head, 1_000);
        assert!(batch.through() > after);
        after = batch.through();
        assert_eq!(batch.is_last(), after == 1_000);
    }
}

#[test]
fn deltas_go_on_across_a_restart() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let epoch = authority.manifest().epoch;
    for value in ["a", "b", "c"] {
        authority.revoke("session", value);
    }
    let before = batch(&authority, &deltas(&authority, epoch, 1, 1));
    authority.kill();
    let authority = Authority::start(directory.path());
    let after = batch(&authority, &deltas(&authority, epoch, 1, 1));
    assert_eq!((before.chain, before.changes), (after.chain, after.changes));
    authority.revoke("session", "d");
    let last = batch(&authority, &deltas(&authority, epoch, 3, 5));
    assert_eq!(last.changes.len(), 1);
}

#[test]
fn keys_do_not_pile_up_however_often_they_are_rotated() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    authority.manifest();
    let rotate = |seconds: u64| {
        let request = json!({ "overlap_seconds": seconds });
        authority.post("/v1/feed/keys", &request)
    };
    let answers: Vec<_> = (0..12).map(|_| rotate(1)).collect();
    let refused = answers.iter().find(|answer| answer.status != 200).unwrap();
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(refused.json()["code"], "too_many_keys");
    let published = || {
        authority
            .get("/v1/feed/keys")
            .json()
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(published(), 8);
    until(|| published() == 1);
    // The one that is left signs.
    let key = authority.get("/v1/feed/keys").json()[0]["public_key"].clone();
    let key = FeedKeys::new(vec![public_key(key.as_str().unwrap())]);
    let manifest = authority.get("/v1/feed/manifest").bytes;
    assert!(Manifest::decode(&manifest, &key).is_ok());
    assert_eq!(rotate(1).status, 200);
    authority.kill();
    let authority = Authority::start(directory.path());
    assert!(authority.feed_keys.len() <= 2, "what has ended is not kept");
}

#[test]
fn a_rotated_key_overlaps_with_the_old_one() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let epoch = authority.manifest().epoch;
    let keys = authority
        .post("/v1/feed/keys", &json!({"overlap_seconds": 2}))
        .json();
    assert_eq!(keys[0]["public_key"], authority.feed_keys[0].as_str());
    let new = public_key(keys[1]["public_key"].as_str().unwrap());
    let new = FeedKeys::new(vec![new]);
    let answer = deltas(&authority, epoch, 0, 0);
    assert!(Batch::decode(&answer.bytes, &authority.public_keys()).is_ok());
    until(|| Batch::decode(&deltas(&authority, epoch, 0, 0).bytes, &new).is_ok());
    assert!(Manifest::decode(&authority.get("/v1/feed/manifest").bytes, &new).is_ok());
    authority.kill();
    let authority = Authority::start(directory.path());
    assert_eq!(authority.feed_keys.len(), 2, "both are kept");
}

/// The filter's false-positive rate in the metrics.
fn false_positive_ratio(authority: &Authority) -> f64 {
    let metrics = String::from_utf8(authority.get("/metrics").bytes).unwrap();
    let name = "portcullis_filter_false_positive_ratio ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.expect("the metric").parse().expect("a number")
}

#[test]
fn an_overfull_filter_is_replaced_at_once_and_waiting_polls_hear_of_it() {
    let directory = directory();
    // The hour is not waited for.
    let authority = Authority::start_with(directory.path(), &["--generation-interval", "1h"]);
    let first = authority.manifest();
    let started = Instant::now();
    let lines = lines_named("s", 20_000);
    let answer = authority.post_text("/v1/import", "application/x-ndjson", &lines);
    assert_eq!(answer.status, 200);
    let (epoch, generation) = (first.epoch, first.generation);
    let path = format!(
        "/v1/feed/deltas?epoch={epoch}&after=20000&generation={generation}&nonce=77&wait=50"
    );
    let told = batch(&authority, &authority.get(&path));
    assert!(told.changes.is_empty() && told.generation > generation);
    assert!(started.elapsed() < Duration::from_secs(40));
    // A generation may have been built when half of the import was done, and be crowded by the
    // rest.
    until(|| false_positive_ratio(&authority) < 3.2e-5);
    assert!(authority.manifest().bucket_count > 300);
}

/// An edge that applies as many changes as fit into an answer, fifty times a second.
#[test]
fn an_import_does_not_run_ahead_of_the_edges_that_follow() {
    const LINES: usize = 60_000;
    let directory = directory();
    let authority = Authority::start_with(directory.path(), &["--generation-interval", "1h"]);
    let epoch = authority.manifest().epoch;
    let most = thread::scope(|scope| {
        let edge = scope.spawn(|| {
            let (mut after, mut most) = (0, 0);
            while after < LINES as u64 {
                let batch = batch(&authority, &deltas(&authority, epoch, after, 20));
                after = batch.through();
                most = most.max(batch.head - after);
                thread::sleep(Duration::from_millis(20));
            }
            most
        });
        let lines = lines_named("s", LINES);
        let answer = authority.post_text("/v1/import", "application/x-ndjson", &lines);
        assert_eq!(answer.status, 200);
        edge.join().unwrap()
    });
    // Two pieces, and what is let be left.
    assert!(most <= 3 * 8_192, "{most}");
}
