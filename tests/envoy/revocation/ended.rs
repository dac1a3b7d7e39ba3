//! Sessions that end by themselves, as their clients see it.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::scene::{Scene, session, settings};
use crate::support::{Authority, Bootstrap, Envoy, ISSUER, Plugin, Request, jwks, until};

/// Milliseconds within which reports go on.
const INTERVAL: u64 = 300;

/// An authority that ends sessions by this policy, and its files.
pub(crate) fn with_policy(policy: &Value) -> (Authority, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = directory.path().join("jwks.json");
    fs::write(&keys, jwks(&["es256"])).expect("a file to write");
    let issuer = json!({
        "issuer": ISSUER, "keys": {"jwks_file": keys}, "session_policy": policy,
    });
    let file = directory.path().join("authority.json");
    fs::write(&file, json!({ "issuers": [issuer] }).to_string()).expect("a file to write");
    let authority = Authority::start_with(&["--config", file.to_str().expect("UTF-8")]);
    (authority, directory)
}

#[test]
fn a_session_that_the_gate_has_reported_ends_when_it_is_not_used_and_one_that_is_used_goes_on() {
    let (authority, _files) = with_policy(&json!({"idle_timeout": "3s"}));
    let mut configuration = settings(&authority, &json!({}));
    let credential = authority.admin_credential();
    configuration["revocation"]["credential"] = json!({"inline_string": credential});
    configuration["activity"] = json!({"report": true, "interval": "1s"});
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration));
    let envoy = Envoy::start(&bootstrap.with_authority(authority.address()));
    let mut client = envoy.client();
    let [used, idle] = ["used", "idle"].map(|sid| Request::get("/api").bearer(session(sid)));
    until(|| envoy.log(), || client.send(&idle).status == 200);
    let is_idle = json!({"issuer": ISSUER, "sid": "idle"});
    until(
        || authority.log(),
        || {
            thread::sleep(Duration::from_millis(INTERVAL));
            assert_eq!(client.send(&used).status, 200);
            authority.is_revoked(&is_idle)
        },
    );
    until(
        || envoy.log(),
        || {
            let reply = client.send(&idle);
            reply.status == 401 && reply.json()["code"] == "session_idle"
        },
    );
    assert_eq!(client.send(&used).status, 200);
}

#[test]
fn a_client_is_told_that_its_session_was_idle_or_had_to_make_room() {
    let policy = json!({"idle_timeout": "2s", "max_sessions": 2});
    let (authority, _files) = with_policy(&policy);
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
