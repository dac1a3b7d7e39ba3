//! A feed that differs from what the authority sent. It is never applied; the edge keeps what it
//! has, and when that gets too old, the posture decides.

use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use ed25519_dalek::{Signer as _, SigningKey};
use portcullis::revocation::Signable;
use serde_json::json;

use super::scene::{STALENESS, Scene, session, soon_stale};
use crate::support::{Authority, Meddler, until};

/// The beginning of the key and the signature, at the end of every message.
const SIGNATURE_BYTES: usize = 8 + 64;

/// What is done to the body of an answer.
type Alteration = Arc<dyn Fn(Vec<u8>) -> Vec<u8> + Send + Sync>;

fn flipped(mut body: Vec<u8>) -> Vec<u8> {
    let middle = body.len() / 2;
    body[middle] ^= 1;
    body
}

fn truncated(mut body: Vec<u8>) -> Vec<u8> {
    body.truncate(body.len() / 2);
    body
}

/// The same message, signed with an unknown key.
fn signed_by_another(kind: Signable) -> impl Fn(Vec<u8>) -> Vec<u8> {
    move |mut message| {
        let key = SigningKey::from_bytes(&[7; 32]);
        message.truncate(message.len() - SIGNATURE_BYTES);
        let signature = key.sign(&kind.input(&message));
        message.extend(&key.verifying_key().to_bytes()[..8]);
        message.extend(signature.to_bytes());
        message
    }
}

/// Signed with an unknown key, under the name of the right one.
fn forged(kind: Signable) -> impl Fn(Vec<u8>) -> Vec<u8> {
    move |message| {
        let name = message.len() - SIGNATURE_BYTES;
        let name = name..name + 8;
        let mut forged = signed_by_another(kind)(message.clone());
        forged[name.clone()].copy_from_slice(&message[name]);
        forged
    }
}

#[test]
fn changes_that_are_not_the_authoritys_are_not_applied() {
    let cases: [(&str, Alteration); 5] = [
        ("flipped", Arc::new(flipped)),
        ("truncated", Arc::new(truncated)),
        ("nothing", Arc::new(|_| Vec::new())),
        ("another key", Arc::new(signed_by_another(Signable::Batch))),
        ("forged", Arc::new(forged(Signable::Batch))),
    ];
    thread::scope(|scope| {
        for (name, alteration) in cases {
            scope.spawn(move || {
                eprintln!("{name}");
                with_other_changes(|meddler| {
                    meddler.alter(move |path, body| {
                        if path.starts_with("/v1/feed/deltas") {
                            alteration(body)
                        } else {
                            body
                        }
                    });
                });
            });
        }
        scope.spawn(|| with_other_changes(replay));
    });
}

/// Every poll is answered with the last answer that was seen.
fn replay(meddler: &Meddler) {
    until(String::new, || !meddler.seen("/v1/feed/deltas").is_empty());
    let old = meddler.seen("/v1/feed/deltas").pop().expect("an answer");
    meddler.alter(move |path, body| {
        if path.starts_with("/v1/feed/deltas") {
            old.clone()
        } else {
            body
        }
    });
}

/// Answers to polls arrive out of order: each in place of the next one, and the latest first.
#[test]
fn changes_that_come_out_of_order_are_not_applied_until_they_come_in_order() {
    let mut scene = Scene::new(&json!({}));
    scene.authority.revoke("session", "first");
    scene.wait_until_in_step();
    let held = Mutex::new(None);
    scene.meddler.alter(move |path, body| {
        if !path.starts_with("/v1/feed/deltas") {
            return body;
        }
        let mut held = held.lock().expect("no thread panics with it");
        match held.replace(body.clone()) {
            Some(earlier) => earlier,
            // What was a long poll's answer comes after the next one's.
            None => body[..0].to_vec(),
        }
    });
    for number in 0..6 {
        let value = format!("live-{number}");
        scene.authority.revoke("session", &value);
        scene.authority.revoke("subject", &value);
        thread::sleep(Duration::from_millis(300));
    }
    scene.authority.restore_access("subject", "live-0");
    scene.wait_for("portcullis.feed.failures.not_believed", 3);
    scene.meddler.pass();
    scene.wait_until_in_step();
    for number in 0..6 {
        let value = format!("live-{number}");
        scene.assert_refused(&session(&value), 401, "token_revoked");
    }
    scene.assert_refused(&session("first"), 401, "token_revoked");
    scene.assert_accepted(&session("innocent"));
    scene.assert_accepted(&session("other").claim("sub", "live-0"));
}

fn with_other_changes(meddle: impl FnOnce(&Meddler)) {
    let mut scene = Scene::new(&soon_stale());
    let (innocent, revoked) = (session("innocent"), session("revoked"));
    scene.authority.revoke("session", "earlier");
    scene.wait_until_refused(&session("earlier"), "token_revoked");
    scene.assert_accepted(&innocent);
    scene.wait_until_in_step();
    let sequence = scene.metric("portcullis.feed.sequence");
    meddle(&scene.meddler);
    scene.authority.revoke("session", "revoked");
    scene.wait_for("portcullis.feed.failures.not_believed", 1);
    assert_eq!(scene.metric("portcullis.feed.sequence"), sequence);
    // The last answer that was believed may have come a moment after the first that was not.
    thread::sleep(STALENESS + Duration::from_millis(500));
    scene.assert_refused(&innocent, 503, "revocation_unavailable");
    scene.assert_refused(&revoked, 503, "revocation_unavailable");
    scene.meddler.pass();
    scene.wait_until_refused(&revoked, "token_revoked");
    scene.wait_until_accepted(&innocent);
    scene.wait_for("portcullis.feed.sequence", sequence + 1);
}

#[test]
fn a_generation_that_is_not_the_authoritys_is_not_loaded() {
    const MANIFEST: &str = "/v1/feed/manifest";
    const SEGMENT: &str = "/v1/feed/segments";
    let other = Authority::start();
    let foreign = other.get_bytes(MANIFEST);
    let cases: [(&str, &str, Alteration); 7] = [
        ("flipped", MANIFEST, Arc::new(flipped)),
        ("truncated", MANIFEST, Arc::new(truncated)),
        ("forged", MANIFEST, Arc::new(forged(Signable::Manifest))),
        (
            "another key",
            MANIFEST,
            Arc::new(signed_by_another(Signable::Manifest)),
        ),
        (
            "another installation",
            MANIFEST,
            Arc::new(move |_| foreign.clone()),
        ),
        ("flipped segment", SEGMENT, Arc::new(flipped)),
        ("truncated segment", SEGMENT, Arc::new(truncated)),
    ];
    thread::scope(|scope| {
        for (name, prefix, alteration) in cases {
            scope.spawn(move || {
                let authority = Authority::start();
                authority.revoke("session", "revoked");
                let mut scene = Scene::unready(authority, &json!({}), |meddler| {
                    meddler.alter(move |path, body| {
                        if path.starts_with(prefix) {
                            alteration(body)
                        } else {
                            body
                        }
                    });
                });
                scene.wait_for("portcullis.feed.failures.not_believed", 1);
                assert_eq!(scene.metric("portcullis.feed.generations"), 0, "{name}");
                scene.assert_refused(&session("innocent"), 503, "revocation_unavailable");
                scene.meddler.pass();
                scene.wait_for("portcullis.feed.generations", 1);
                scene.assert_accepted(&session("innocent"));
                scene.assert_refused(&session("revoked"), 401, "token_revoked");
            });
        }
    });
}

#[test]
fn answers_that_break_off_are_as_good_as_none() {
    let mut scene = Scene::unready(Authority::start(), &json!({}), Meddler::break_off);
    scene.wait_for("portcullis.feed.failures.no_answer", 1);
    scene.assert_refused(&session("s"), 503, "revocation_unavailable");
    scene.meddler.pass();
    scene.wait_for("portcullis.feed.generations", 1);
    scene.assert_accepted(&session("s"));
}

#[test]
fn an_older_generation_does_not_replace_a_newer_one() {
    let mut scene = Scene::new(&json!({}));
    let old = scene.meddler.seen("/v1/feed/manifest").pop();
    let old = old.expect("the first manifest");
    // A generation is built at every start.
    scene.authority.restart();
    scene.wait_for("portcullis.feed.generations", 2);
    scene.meddler.alter(move |path, body| {
        if path == "/v1/feed/manifest" {
            old.clone()
        } else {
            body
        }
    });
    scene.authority.restart();
    scene.wait_for("portcullis.feed.failures.not_believed", 1);
    assert_eq!(scene.metric("portcullis.feed.generations"), 2);
    scene.authority.revoke("session", "meanwhile");
    scene.wait_until_refused(&session("meanwhile"), "token_revoked");
    scene.assert_accepted(&session("innocent"));
    scene.meddler.pass();
    scene.wait_for("portcullis.feed.generations", 3);
    scene.assert_refused(&session("meanwhile"), 401, "token_revoked");
    scene.assert_accepted(&session("innocent"));
}
