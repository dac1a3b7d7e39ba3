//! The effect of a bulk import on an Envoy that follows.

use std::time::{Duration, Instant};

use serde_json::json;

use super::scene::{Scene, session};
use crate::support::{ISSUER, until};

/// This many names of a kind, one on each line.
fn lines(kind: &str, count: usize) -> String {
    let line = |number| {
        let value = format!("bulk-{number}");
        json!({"kind": kind, "issuer": ISSUER, "value": value}).to_string()
    };
    (0..count).map(line).collect::<Vec<_>>().join("\n")
}

/// In an earlier version, 20,000 cut-offs took seven seconds of CPU time in Envoy.
#[test]
fn a_session_that_is_revoked_behind_a_bulk_of_cut_offs_is_refused_at_once() {
    let mut scene = Scene::new(&json!({}));
    let revoked = session("behind");
    scene.assert_accepted(&revoked);
    scene.authority.import(&lines("subject", 20_000));
    scene.authority.revoke("session", "behind");
    let acknowledged = Instant::now();
    scene.wait_until_refused(&revoked, "token_revoked");
    let took = acknowledged.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
    scene.assert_refused(
        &session("s").claim("sub", "bulk-19999"),
        401,
        "token_revoked",
    );
    scene.assert_accepted(&session("innocent"));
}

/// The jitter is longer than this test waits.
#[test]
fn tokens_are_asked_about_as_seldom_as_promised_soon_after_a_bulk_load() {
    let mut scene = Scene::new(&json!({"reload_jitter": "300s"}));
    scene.authority.import(&lines("session", 20_000));
    scene.wait_until_in_step();
    let rate = |scene: &Scene| scene.metric("portcullis.feed.false_positives_per_billion");
    scene.wait_for("portcullis.feed.generations", 2);
    until(|| rate(&scene).to_string(), || rate(&scene) < 40_000);
    let asked = scene.metric("portcullis.confirmations.not_revoked");
    for number in 0..200 {
        scene.assert_accepted(&session(&format!("innocent-{number}")));
    }
    assert!(scene.metric("portcullis.confirmations.not_revoked") <= asked + 2);
    scene.assert_refused(&session("bulk-7"), 401, "token_revoked");
}
