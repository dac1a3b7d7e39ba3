//! Acknowledged work survives crashes.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::process::{Authority, ISSUER, directory, revocation, until};

/// Rounds of killing: 100 in the long form, which `PORTCULLIS_LONG=1` asks for.
fn rounds() -> usize {
    match std::env::var_os("PORTCULLIS_LONG") {
        Some(_) => 100,
        None => 10,
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_process_is_killed() {
    let directory = directory();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..rounds() {
        let authority = Authority::start(directory.path());
        for value in &acknowledged {
            assert!(
                authority.is_session_revoked(value),
                "round {round}: {value} is lost"
            );
        }
        let new = revoke_until_killed(authority, round);
        assert!(!new.is_empty(), "round {round}: nothing was acknowledged");
        acknowledged.extend(new);
    }
    let authority = Authority::start(directory.path());
    assert!(
        acknowledged
            .iter()
            .all(|value| authority.is_session_revoked(value))
    );
    // What was in flight may be there too, one for each client and round.
    let entries = authority.stats()["entries"].as_u64().unwrap();
    let most = acknowledged.len() + rounds() * CLIENTS;
    assert!((acknowledged.len()..=most).contains(&(usize::try_from(entries).unwrap())));
}

const CLIENTS: usize = 4;

/// Four clients revoke until the process is killed; returns what was acknowledged.
fn revoke_until_killed(authority: Authority, round: usize) -> Vec<String> {
    let (stop, count) = (AtomicBool::new(false), AtomicUsize::new(0));
    let url = format!("{}/v1/revocations", authority.url);
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (stop, count, url) = (&stop, &count, &url);
                scope.spawn(move || {
                    let agent: ureq::Agent = ureq::Agent::config_builder().build().into();
                    let mut acknowledged = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        let value = format!("{round}-{client}-{}", acknowledged.len());
                        let body = revocation("session", &value).to_string();
                        let request = agent.post(url).header("content-type", "application/json");
                        match request.send(&body) {
                            Ok(_) => {
                                count.fetch_add(1, Ordering::Relaxed);
                                acknowledged.push(value);
                            }
                            Err(_) => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        until(|| count.load(Ordering::Relaxed) > 0);
        // A different moment in every round.
        thread::sleep(Duration::from_millis(60 + (round as u64 * 37) % 90));
        authority.kill();
        stop.store(true, Ordering::Relaxed);
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    })
}

#[test]
fn a_restart_keeps_everything() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for kind in ["token", "session", "device", "subject", "client", "issuer"] {
        assert_eq!(authority.revoke(kind, "x").status, 200, "{kind}");
    }
    let restored = authority.post("/v1/restorations", &revocation("device", "x"));
    assert_eq!(restored.json()["outcome"], "restored");
    let before = authority.stats();
    let listed = authority
        .get("/v1/revocations?include_restored=true")
        .json();
    let keys = authority.feed_keys.clone();
    authority.kill();

    let authority = Authority::start(directory.path());
    let after = authority.stats();
    for member in ["entries", "cut_offs", "sequence", "epoch", "feed_keys"] {
        assert_eq!(before[member], after[member], "{member}");
    }
    assert_eq!(keys, authority.feed_keys);
    let listed_after = authority
        .get("/v1/revocations?include_restored=true")
        .json();
    assert_eq!(listed, listed_after);
    for (member, revoked) in [("jti", true), ("sid", true), ("device", false)] {
        let issued_later = json!({"issuer": ISSUER, member: "x", "issued_at": 9_999_999_999_u64});
        let answer = authority.post("/v1/check", &issued_later).json();
        assert_eq!(answer["revoked"], revoked, "{member}");
    }
    let signed_in_before = json!({"issuer": ISSUER, "subject": "x", "issued_at": 1});
    let answer = authority.post("/v1/check", &signed_in_before).json();
    let members = ["subject", "issuer"];
    assert_eq!(
        answer,
        json!({"revoked": true, "by": "subject", "members": members})
    );
}
