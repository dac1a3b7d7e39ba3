//! Sessions that end by themselves, as their clients see it.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::scene::{Scene, session};
use crate::support::{Authority, ISSUER, jwks, until};

/// Milliseconds within which reports go on.
const INTERVAL: u64 = 300;

#[test]
fn a_client_is_told_that_its_session_was_idle_or_had_to_make_room() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = directory.path().join("jwks.json");
    fs::write(&keys, jwks(&["es256"])).expect("a file to write");
    let issuer = json!({
        "issuer": ISSUER, "keys": {"jwks_file": keys},
        "session_policy": {"idle_timeout": "2s", "max_sessions": 2},
    });
    let file = directory.path().join("authority.json");
    fs::write(&file, json!({ "issuers": [issuer] }).to_string()).expect("a file to write");
    let authority = Authority::start_with(&["--config", file.to_str().expect("UTF-8")]);
    let mut scene = Scene::unready(authority, &json!({}), |_| ());
    scene.wait_for("portcullis.feed.generations", 1);
    let report = |scene: &Scene, sessions: &[(&str, u64)]| {
        let reports = sessions.iter().map(|(sid, first_seen_ago)| {
            json!({
                "issuer": ISSUER, "subject": "alice", "sid": sid, "requests": 1,
                "first_seen_ago": first_seen_ago, "last_seen_ago": 0,
            })
        });
        let reports: Vec<_> = reports.collect();
        let body = json!({"version": 1, "interval": INTERVAL, "reports": reports});
        let (status, answer) = scene.authority.post("/v1/activity", &body.to_string());
        assert_eq!(status, 204, "{answer}");
    };
    let all = [("first", 30_000), ("second", 20_000), ("third", 10_000)];
    for (sid, _) in all {
        scene.assert_accepted(&session(sid));
    }
    for known in &all {
        report(&scene, &[*known]);
    }
    scene.wait_until_refused(&session("first"), "session_displaced");
    let used = [all[2]];
    let is_idle = json!({"issuer": ISSUER, "sid": "second"});
    until(
        || scene.authority.log(),
        || {
            report(&scene, &used);
            thread::sleep(Duration::from_millis(INTERVAL / 3));
            scene.authority.is_revoked(&is_idle)
        },
    );
    scene.wait_until_refused(&session("second"), "session_idle");
    for reply in scene.ask(&session("second")) {
        assert_eq!(
            (reply.status, &reply.json()["action"]),
            (401, &json!("sign_in"))
        );
    }
    scene.assert_accepted(&session("third"));
    assert!(scene.metric("portcullis.requests.refused.session_idle.demo") >= 1);
    // Where more is revoked, no more is told than that.
    scene.authority.revoke("subject", "alice");
    scene.wait_until_refused(&session("second"), "token_revoked");
}
