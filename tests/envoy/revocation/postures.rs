//! What the configuration promises where it is not known whether a token was revoked.

use std::thread;

use serde_json::{Value, json};

use super::scene::{STALENESS, Scene, session, soon_stale};
use crate::support::{Authority, Meddler, Request, Token, assert_refused, until};

/// The verdict expected of every worker.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    Accepted,
    Unavailable,
    Revoked,
}

impl Scene {
    #[track_caller]
    fn assert(&mut self, token: &Token, verdict: Verdict) {
        match verdict {
            Verdict::Accepted => self.assert_accepted(token),
            Verdict::Unavailable => self.assert_refused(token, 503, "revocation_unavailable"),
            Verdict::Revoked => self.assert_refused(token, 401, "token_revoked"),
        }
    }
}

fn with(mut settings: Value, name: &str, value: &str) -> Value {
    settings[name] = value.into();
    settings
}

/// Answers checks of one token, and has no feed.
fn spoil_the_feed(meddler: &Meddler) {
    meddler.alter(|path, body| {
        if path.starts_with("/v1/feed") {
            b"spoilt".to_vec()
        } else {
            body
        }
    });
}

#[test]
fn no_feed_yet_and_no_authority() {
    thread::scope(|scope| {
        for (posture, verdict, metric) in [
            (
                "deny",
                Verdict::Unavailable,
                "refused.revocation_unavailable",
            ),
            (
                "confirm",
                Verdict::Unavailable,
                "refused.revocation_unavailable",
            ),
            ("allow", Verdict::Accepted, "allowed.revocation_unknown"),
        ] {
            scope.spawn(move || {
                let more = with(json!({}), "on_missing_feed", posture);
                let mut scene = Scene::unready(Authority::start(), &more, Meddler::cut);
                scene.assert(&session("s"), verdict);
                let metric = format!("portcullis.requests.{metric}.demo");
                assert!(scene.metric(&metric) >= 2, "{posture}");
                scene.authority.revoke("session", "revoked");
                scene.meddler.pass();
                scene.wait_for("portcullis.feed.generations", 1);
                scene.assert(&session("s"), Verdict::Accepted);
                scene.assert(&session("revoked"), Verdict::Revoked);
            });
        }
    });
}

#[test]
fn no_feed_but_an_authority_that_answers() {
    thread::scope(|scope| {
        for (posture, innocent, revoked) in [
            ("deny", Verdict::Unavailable, Verdict::Unavailable),
            ("confirm", Verdict::Accepted, Verdict::Revoked),
            ("allow", Verdict::Accepted, Verdict::Accepted),
        ] {
            scope.spawn(move || {
                let authority = Authority::start();
                authority.revoke("session", "revoked");
                let more = with(json!({}), "on_missing_feed", posture);
                let mut scene = Scene::unready(authority, &more, spoil_the_feed);
                scene.assert(&session("innocent"), innocent);
                scene.assert(&session("revoked"), revoked);
                until(String::new, || {
                    scene.metric("portcullis.feed.failures.not_believed") >= 1
                });
            });
        }
    });
}

#[test]
fn a_stale_feed() {
    thread::scope(|scope| {
        for (posture, innocent, revoked, named) in [
            (
                "deny",
                Verdict::Unavailable,
                Verdict::Unavailable,
                "refused.revocation_stale",
            ),
            (
                "confirm",
                Verdict::Accepted,
                Verdict::Revoked,
                "allowed.verified",
            ),
            (
                "allow",
                Verdict::Accepted,
                Verdict::Accepted,
                "allowed.revocation_unknown",
            ),
        ] {
            scope.spawn(move || {
                let mut scene = Scene::new(&with(soon_stale(), "on_stale", posture));
                let (old, known) = (session("innocent"), session("known"));
                scene.assert_accepted(&old);
                scene.authority.revoke("session", "known");
                scene.wait_until_refused(&known, "token_revoked");
                spoil_the_feed(&scene.meddler);
                scene.authority.revoke("session", "unheard");
                thread::sleep(STALENESS + STALENESS / 3);
                let verified = scene.metric("portcullis.requests.allowed.verified.demo");
                scene.assert(&old, innocent);
                scene.assert(&session("innocent-2"), innocent);
                scene.assert(&session("unheard"), revoked);
                // What is held is not forgotten.
                if posture != "deny" {
                    scene.assert(&known, Verdict::Revoked);
                }
                assert!(scene.metric(&format!("portcullis.requests.{named}.demo")) >= 4);
                // Nothing counts as verified that was not.
                if posture != "confirm" {
                    let now = scene.metric("portcullis.requests.allowed.verified.demo");
                    assert_eq!(now, verified, "{posture}");
                }
                let staleness = scene.metric("portcullis.feed.staleness_milliseconds");
                assert!(u128::from(staleness) > STALENESS.as_millis(), "{staleness}");
                scene.meddler.pass();
                scene.wait_until_refused(&session("unheard"), "token_revoked");
                scene.wait_until_accepted(&old);
            });
        }
    });
}

#[test]
fn a_stale_feed_and_no_authority_to_confirm() {
    let mut scene = Scene::new(&with(soon_stale(), "on_stale", "confirm"));
    let token = session("s");
    scene.assert_accepted(&token);
    scene.meddler.cut();
    thread::sleep(STALENESS + STALENESS / 3);
    scene.assert(&token, Verdict::Unavailable);
    scene.meddler.pass();
    scene.wait_until_accepted(&token);
}

#[test]
fn the_filter_says_perhaps_and_the_authority_nothing() {
    thread::scope(|scope| {
        for (posture, verdict, metric) in [
            (
                "deny",
                Verdict::Unavailable,
                "refused.revocation_unconfirmed",
            ),
            ("allow", Verdict::Accepted, "allowed.revocation_unknown"),
        ] {
            scope.spawn(move || {
                let mut scene = Scene::new(&with(json!({}), "on_unconfirmed", posture));
                scene.authority.revoke("session", "revoked");
                scene.wait_until_in_step();
                scene.meddler.cut();
                scene.assert(&session("revoked"), verdict);
                scene.assert(&session("innocent"), Verdict::Accepted);
                let metric = format!("portcullis.requests.{metric}.demo");
                assert!(scene.metric(&metric) >= 2, "{posture}");
                assert!(scene.metric("portcullis.confirmations.unanswered") >= 2);
                scene.meddler.pass();
                scene.wait_until_refused(&session("revoked"), "token_revoked");
            });
        }
    });
}

/// Its client has not noticed that it was signed out, and comes again and again.
#[test]
fn a_token_remembered_as_revoked_is_refused_when_nothing_more_is_known() {
    let more = with(soon_stale(), "on_stale", "allow");
    let mut scene = Scene::new(&with(more, "on_unconfirmed", "allow"));
    let revoked = Request::get("/api").bearer(session("revoked"));
    scene.authority.revoke("session", "revoked");
    scene.wait_until_in_step();
    let assert_revoked = |scene: &mut Scene| {
        for reply in scene.send(&revoked) {
            assert_refused(&reply, 401, "token_revoked");
        }
    };
    assert_revoked(&mut scene);
    scene.meddler.cut();
    thread::sleep(STALENESS + STALENESS / 3);
    assert_revoked(&mut scene);
    assert_eq!(scene.metric("portcullis.confirmations.unanswered"), 0);
    scene.assert(&session("innocent"), Verdict::Accepted);
}

#[test]
fn a_token_that_no_revocation_could_name() {
    let unnamed = || Token::signed_by("es256").without_claim("sub");
    let mut strict = Scene::new(&json!({}));
    strict.assert_refused(&unnamed(), 401, "token_unnamed");
    strict.assert_accepted(&unnamed().claim("jti", "named"));
    assert!(strict.metric("portcullis.requests.refused.token_unnamed.demo") >= 2);

    let mut lenient = Scene::new(&with(json!({}), "on_unnamed", "allow"));
    lenient.assert_accepted(&unnamed());
    assert!(lenient.metric("portcullis.requests.allowed.revocation_unknown.demo") >= 2);
    // What it can be named by, it is refused by, whatever stands beside it.
    let odd = |claim: &str, value: Value| session("known").claim(claim, value);
    let long = "x".repeat(1_025);
    let odd = [
        odd("azp", Value::Null),
        odd("client_id", json!(["a"])),
        odd("device_id", json!(7)),
        odd("jti", json!(long)),
    ];
    for token in &odd {
        strict.assert_refused(token, 401, "token_unnamed");
        lenient.assert_accepted(token);
    }
    assert!(lenient.metric("portcullis.requests.allowed.revocation_unknown.demo") >= 10);
    assert_eq!(
        lenient.metric("portcullis.requests.allowed.verified.demo"),
        0
    );
    lenient.authority.revoke("session", "known");
    for token in &odd {
        lenient.wait_until_refused(token, "token_revoked");
    }
    // An issuer can be revoked all the same.
    lenient.authority.revoke("issuer", "");
    lenient.wait_until_refused(&session("s"), "token_revoked");
}
