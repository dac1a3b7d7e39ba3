//! Signing out, in all its forms, with nothing in the way.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::scene::{Scene, session};
use crate::support::{Authority, Request, Token, assert_refused};

/// Cut-offs are compared in whole seconds; this waits until a sign-in counts as later.
const NEXT_SECOND: Duration = Duration::from_millis(1_100);

#[test]
fn a_user_signs_out_on_one_device_then_everywhere_and_then_in_again() {
    // The issuer has the authority's clock, so that a sign-in counts a second after a cut-off.
    let authority = Authority::start_with(&["--clock-skew", "0s"]);
    let mut scene = Scene::unready(authority, &json!({}), |_| ());
    scene.wait_for("portcullis.feed.generations", 1);
    let (phone, laptop) = (session("phone"), session("laptop"));
    scene.assert_accepted(&phone);
    scene.assert_accepted(&laptop);

    scene.authority.revoke("session", "phone");
    scene.wait_until_refused(&phone, "token_revoked");
    scene.assert_refused(&phone, 401, "token_revoked");
    scene.assert_accepted(&laptop);

    scene.authority.revoke("subject", "alice");
    scene.wait_until_refused(&laptop, "token_revoked");
    scene.assert_refused(&phone, 401, "token_revoked");
    thread::sleep(NEXT_SECOND);
    scene.assert_accepted(&session("new"));
    scene.assert_refused(&laptop, 401, "token_revoked");

    scene.authority.restore_access("session", "phone");
    scene.authority.restore_access("subject", "alice");
    scene.wait_until_accepted(&phone);
    scene.wait_until_accepted(&laptop);

    assert!(scene.metric("portcullis.requests.refused.token_revoked.demo") >= 6);
    assert!(scene.metric("portcullis.confirmations.revoked") >= 1);
    assert_eq!(scene.metric("portcullis.confirmations.unanswered"), 0);
    scene.wait_for("portcullis.feed.sequence", 4);
    assert!(scene.metric("portcullis.feed.changes") >= 4);
    assert_eq!(scene.metric("portcullis.feed.failures.not_believed"), 0);
    assert!(scene.metric("portcullis.feed.pages") >= 1);
    assert!(scene.metric("portcullis.feed.staleness_milliseconds") < 30_000);
}

#[test]
fn everything_that_can_be_named_can_be_revoked_and_taken_back() {
    let mut scene = Scene::new(&json!({}));
    let token = session("s-1")
        .claim("jti", "t-1")
        .claim("device_id", "d-1")
        .claim("client_id", "c-1")
        .claim("azp", "p-1");
    let other = session("s-2")
        .claim("sub", "bob")
        .claim("jti", "t-2")
        .claim("device_id", "d-2")
        .claim("client_id", "c-2");
    let azp = session("s-3").claim("sub", "carol").claim("azp", "c-1");
    for (kind, value) in [
        ("token", "t-1"),
        ("session", "s-1"),
        ("device", "d-1"),
        ("subject", "alice"),
        ("client", "c-1"),
        ("client", "p-1"),
        ("issuer", ""),
    ] {
        scene.assert_accepted(&token);
        scene.assert_accepted(&other);
        scene.authority.revoke(kind, value);
        scene.wait_until_refused(&token, "token_revoked");
        match kind {
            // A worker may read of it in shared data before its tick voids what it knows.
            "issuer" => scene.wait_until_refused(&other, "token_revoked"),
            _ => scene.assert_accepted(&other),
        }
        if value == "c-1" {
            scene.assert_refused(&azp, 401, "token_revoked");
        }
        scene.authority.restore_access(kind, value);
        scene.wait_until_accepted(&token);
        scene.wait_until_accepted(&other);
    }
}

#[test]
fn signing_out_everywhere_else_leaves_one_session() {
    let mut scene = Scene::new(&json!({}));
    let (here, there) = (session("here"), session("there"));
    let nameless = Token::signed_by("es256").claim("jti", "t");
    scene.assert_accepted(&here);
    scene.assert_accepted(&there);
    let members = json!({"except_session": "here"});
    scene.authority.revoke_with("subject", "alice", &members);
    scene.wait_until_refused(&there, "token_revoked");
    scene.assert_accepted(&here);
    scene.assert_refused(&nameless, 401, "token_revoked");
}

/// As far as the filter allows, which is `clock_skew_seconds`.
#[test]
fn a_cut_off_takes_what_an_issuer_with_a_fast_clock_had_issued() {
    let mut scene = Scene::new(&json!({}));
    for (kind, value) in [("subject", "alice"), ("client", "c-1"), ("issuer", "")] {
        let ahead = |seconds: i64| {
            let token = session(&format!("{kind}-{seconds}")).claim("client_id", "c-1");
            token.issued_in(seconds)
        };
        let tokens = [-3_000, 0, 30, 55].map(ahead);
        let spared = ahead(30).claim("sid", "here");
        for token in tokens.iter().chain([&spared]) {
            scene.assert_accepted(token);
        }
        let members = json!({"except_session": "here"});
        scene.authority.revoke_with(kind, value, &members);
        for token in &tokens {
            scene.wait_until_refused(token, "token_revoked");
        }
        scene.assert_accepted(&spared);
        scene.authority.restore_access(kind, value);
        scene.wait_until_accepted(&tokens[0]);
    }
}

/// No cut-off reaches further than the filter allows clocks to differ.
#[test]
fn a_token_issued_further_ahead_than_that_is_refused() {
    let mut scene = Scene::new(&json!({}));
    for seconds in [70, 3_600, 2_400_000_000] {
        let token = session("s").issued_in(seconds);
        scene.assert_refused(&token, 401, "token_not_yet_valid");
    }
    assert!(scene.metric("portcullis.requests.refused.token_issued_ahead.demo") >= 6);
    // One without `iat` may be older than any instant.
    let timeless = session("s").without_claim("iat");
    scene.assert_accepted(&timeless);
    scene.authority.revoke("subject", "alice");
    scene.wait_until_refused(&timeless, "token_revoked");
}

#[test]
fn what_was_revoked_before_envoy_started_is_refused() {
    let client = session("s").claim("client_id", "old");
    let authority = Authority::start();
    authority.revoke("session", "before");
    authority.revoke("client", "old");
    let mut scene = Scene::unready(authority, &json!({}), |_| ());
    scene.wait_for("portcullis.feed.generations", 1);
    scene.assert_refused(&session("before"), 401, "token_revoked");
    scene.assert_refused(&client, 401, "token_revoked");
    scene.assert_accepted(&session("after"));
}

#[test]
fn every_connection_is_refused_whatever_worker_it_has() {
    let mut scene = Scene::new(&json!({}));
    let token = session("many");
    scene.assert_accepted(&token);
    let mut clients: Vec<_> = (0..40).map(|_| scene.envoy.client()).collect();
    let request = Request::get("/api").bearer(&token);
    for client in &mut clients {
        assert_eq!(client.send(&request).status, 200);
    }
    scene.authority.revoke("session", "many");
    scene.wait_until_refused(&token, "token_revoked");
    for client in &mut clients {
        assert_refused(&client.send(&request), 401, "token_revoked");
        assert_refused(&scene.envoy.client().send(&request), 401, "token_revoked");
    }
}

#[test]
fn a_false_positive_costs_a_check_and_never_a_refusal() {
    let authority = Authority::start_with(&["--generation-interval", "1h"]);
    let mut scene = Scene::unready(authority, &json!({}), |_| ());
    scene.wait_for("portcullis.feed.generations", 1);
    // The bits of an entry stay when it is restored, until the next generation: the filter
    // says "perhaps" to these, as it does by chance to others.
    for number in 0..40 {
        let value = format!("innocent-{number}");
        scene.authority.revoke("session", &value);
        scene.authority.restore_access("session", &value);
    }
    scene.authority.revoke("session", "guilty");
    scene.wait_until_in_step();
    let token = |number| session(&format!("innocent-{number}"));
    let requests = (0..40).map(|number| Request::get("/api").bearer(token(number)));
    let requests: Vec<_> = requests.collect();
    // The answer is kept with the token: there is no second check.
    for _ in 0..2 {
        for request in &requests {
            for reply in scene.send(request) {
                assert_eq!(reply.status, 200, "{reply:?}");
            }
        }
        let asked = scene.metric("portcullis.confirmations.not_revoked");
        assert!((60..=80).contains(&asked), "asked {asked} times");
    }
    scene.assert_refused(&session("guilty"), 401, "token_revoked");
    assert_eq!(scene.metric("portcullis.confirmations.revoked"), 2);
}
