//! The authority knows which sessions are in use, from where and with what.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::revocation::scene::{session, settings};
use crate::support::{Authority, Bootstrap, Envoy, Plugin, Request, until};

/// How soon a new session is known.
const SOON: Duration = Duration::from_secs(2);

/// The filter reports with this credential.
fn envoy(authority: &Authority, credential: &str) -> Envoy {
    let mut configuration = settings(authority, &json!({}));
    configuration["revocation"]["credential"] = json!({"inline_string": credential});
    configuration["activity"] = json!({"report": true, "interval": "2s"});
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration));
    let envoy = Envoy::start(&bootstrap.with_authority(authority.address()));
    let is_loaded = || metric(&envoy, "feed.generations") > 0;
    until(|| envoy.log(), is_loaded);
    envoy
}

fn metric(envoy: &Envoy, name: &str) -> u64 {
    let name = format!("wasmcustom.portcullis.{name}");
    envoy.stat(&name).unwrap_or(0)
}

/// What the authority knows of a session.
fn known(authority: &Authority, sid: &str) -> Option<Value> {
    let (status, text) = authority.get("/v1/sessions");
    assert_eq!(status, 200, "{text}");
    let answer: Value = serde_json::from_str(&text).unwrap();
    let sessions = answer["sessions"].as_array().unwrap().iter();
    let mut found = sessions.filter(|session| session["sid"] == sid);
    found.next().cloned()
}

#[test]
fn a_session_is_known_within_two_seconds_and_every_request_of_it_is_counted() {
    const REQUESTS: u64 = 40;
    let authority = Authority::start();
    let envoy = envoy(&authority, authority.admin_credential());
    let token = session("a session").claim("client_id", "app");
    // Without `use_remote_address`, Envoy takes the client's address from this header.
    let request = || {
        Request::get("/api")
            .bearer(&token)
            .header("x-forwarded-for", "203.0.113.7")
            .header("user-agent", "Bank/7.1 (Pixel 9) okhttp/4.12.0")
    };
    let mut clients = envoy.client_of_every_worker();
    assert_eq!(clients[0].send(&request()).status, 200);
    let sent = Instant::now();
    let what = || format!("{}\n{}", authority.log(), envoy.log());
    until(what, || known(&authority, "a session").is_some());
    let after = sent.elapsed();
    println!("known after {after:?}");
    assert!(after < SOON, "{after:?}");
    let seen = known(&authority, "a session").unwrap();
    assert_eq!(seen["client"], "app");
    let from = json!(["203.0.113.0/24", "okhttp"]);
    let sighting = &seen["sightings"][0];
    assert_eq!(json!([sighting["network"], sighting["user_agent"]]), from);
    for number in 1..REQUESTS {
        let client = usize::try_from(number).unwrap() % clients.len();
        assert_eq!(clients[client].send(&request()).status, 200);
        thread::sleep(Duration::from_millis(100));
    }
    let is_counted = || {
        let seen = known(&authority, "a session").unwrap();
        seen["requests"] == REQUESTS
    };
    until(what, is_counted);
    assert_eq!(metric(&envoy, "activity.dropped"), 0);
    assert!(metric(&envoy, "activity.reported") > 1);
    // Of a session that is not used any more, nothing is kept.
    until(what, || metric(&envoy, "activity.sessions") == 0);
}

#[test]
fn what_the_credential_does_not_permit_is_dropped_and_no_request_is_held_up() {
    let authority = Authority::start();
    let envoy = envoy(&authority, authority.edge_credential());
    let mut client = envoy.client();
    let request = Request::get("/api").bearer(session("a session"));
    assert_eq!(client.send(&request).status, 200);
    until(|| envoy.log(), || metric(&envoy, "activity.dropped") == 1);
    assert_eq!(metric(&envoy, "activity.reported"), 0);
    let told = "the activity of sessions is not reported: the authority answered 403";
    until(|| envoy.log(), || envoy.log().contains(told));
    assert_eq!(client.send(&request).status, 200);
    assert_eq!(known(&authority, "a session"), None);
}

/// Nothing else tells which sessions there are. The credential would be enough, and what is told later by
/// another edge is known.
#[test]
fn without_the_key_nothing_is_reported() {
    let authority = Authority::start();
    let mut without = settings(&authority, &json!({}));
    let credential = authority.admin_credential();
    without["revocation"]["credential"] = json!({"inline_string": credential});
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&without));
    let silent = Envoy::start(&bootstrap.with_authority(authority.address()));
    until(|| silent.log(), || metric(&silent, "feed.generations") > 0);
    let other = envoy(&authority, credential);
    for (envoy, sid) in [(&silent, "a session"), (&other, "another")] {
        let request = Request::get("/api").bearer(session(sid));
        assert_eq!(envoy.client().send(&request).status, 200);
    }
    until(|| other.log(), || known(&authority, "another").is_some());
    assert_eq!(known(&authority, "a session"), None);
    assert_eq!(silent.stat("wasmcustom.portcullis.activity.sessions"), None);
}
