//! Filters of one process that follow the same feed, of which one cannot.

use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use serde_json::{Value, json};

use super::scene::{session, settings};
use crate::support::{
    Authority, Bootstrap, Client, Envoy, Listener, Plugin, Request, assert_refused, until,
};

/// When requests of the right filter are answered at the latest.
const PROMISE: Duration = Duration::from_secs(35);

/// Long enough for a filter that cannot lead to have tried more than once.
const A_WHILE: Duration = Duration::from_secs(20);

fn another_key() -> String {
    let key = SigningKey::from_bytes(&[7; 32]).verifying_key();
    URL_SAFE_NO_PAD.encode(key.as_bytes())
}

fn listener(name: &str, configuration: &Value) -> Listener {
    Listener::portcullis(Plugin::new(configuration)).named(name)
}

fn request(id: &str) -> Request {
    Request::get("/api").bearer(session(id))
}

fn within_the_promise(envoy: &Envoy, client: &mut Client) {
    let began = Instant::now();
    until(
        || envoy.log(),
        || client.send(&request("innocent")).status == 200,
    );
    assert!(began.elapsed() < PROMISE, "{:?}", began.elapsed());
}

#[test]
fn a_filter_whose_keys_signed_nothing_answers_by_its_posture_and_disturbs_no_other() {
    let authority = Authority::start();
    authority.revoke("session", "before");
    let right = settings(&authority, &json!({}));
    let wrong = settings(&authority, &json!({"public_keys": [another_key()]}));
    // The wrong one starts first, and may be the first to lead.
    let listeners = [listener("wrong", &wrong), listener("portcullis", &right)];
    let envoy = Envoy::start(&Bootstrap::new(listeners).with_authority(authority.address()));
    for mut client in envoy.client_of_every_worker() {
        within_the_promise(&envoy, &mut client);
    }
    let began = Instant::now();
    for number in 0.. {
        let mut client = envoy.client();
        let reply = client.send(&request(&format!("innocent-{number}")));
        assert_eq!(reply.status, 200, "{reply:?} {}", envoy.log());
        assert_refused(&client.send(&request("before")), 401, "token_revoked");
        let reply = envoy.client_of("wrong").send(&request("innocent"));
        assert_refused(&reply, 503, "revocation_unavailable");
        if began.elapsed() > A_WHILE {
            break;
        }
        thread::sleep(Duration::from_millis(20));
    }
    authority.revoke("session", "after");
    for mut client in envoy.client_of_every_worker() {
        until(
            || envoy.log(),
            || client.send(&request("after")).status == 401,
        );
    }
    let generations = envoy.stat("wasmcustom.portcullis.feed.generations");
    assert_eq!(generations, Some(1), "loaded more than once");
}

/// With a secret of the operator's, what a filter with another credential has loaded serves the
/// others too, and so they take turns with one that cannot lead.
#[test]
fn a_leader_whose_credential_is_refused_lets_others_lead() {
    let authority = Authority::start();
    let secret = json!({"inline_string": "an-operator-has-made-this-one-up-for-both"});
    let with_secret = |more: &Value| {
        let mut configuration = settings(&authority, more);
        configuration["shared_data_secret"] = secret.clone();
        configuration
    };
    let wrong = with_secret(&json!({"credential": {"inline_string": "pcl_edge_wrong"}}));
    let right = with_secret(&json!({}));
    let bootstrap = |configuration: &Value| {
        Bootstrap::new([listener("portcullis", configuration)])
            .with_authority(authority.address())
            .with_replaceable_listeners()
    };
    let mut envoy = Envoy::start(&bootstrap(&wrong));
    thread::sleep(Duration::from_secs(3));
    let reply = envoy.client().send(&request("innocent"));
    assert_refused(&reply, 503, "revocation_unavailable");
    // The wrong one drains for ten minutes, and goes on trying.
    envoy.replace_listeners(&bootstrap(&right));
    let mut client = envoy.client();
    within_the_promise(&envoy, &mut client);
    authority.revoke("session", "after");
    until(
        || envoy.log(),
        || envoy.client().send(&request("after")).status == 401,
    );
}

#[test]
fn a_key_that_is_not_pinned_any_more_vouches_for_nothing() {
    let authority = Authority::start();
    let bootstrap = |keys: &[String]| {
        let configuration = settings(&authority, &json!({"public_keys": keys}));
        Bootstrap::new([listener("portcullis", &configuration)])
            .with_authority(authority.address())
            .with_replaceable_listeners()
    };
    let own = authority.settings()["public_keys"][0]
        .as_str()
        .map(str::to_owned);
    let own = own.expect("a key");
    let mut envoy = Envoy::start(&bootstrap(&[own.clone(), another_key()]));
    within_the_promise(&envoy, &mut envoy.client());
    envoy.replace_listeners(&bootstrap(&[another_key()]));
    for _ in 0..20 {
        let reply = envoy.client().send(&request("innocent"));
        assert_refused(&reply, 503, "revocation_unavailable");
        thread::sleep(Duration::from_millis(50));
    }
    envoy.replace_listeners(&bootstrap(&[own]));
    within_the_promise(&envoy, &mut envoy.client());
}

#[test]
fn a_cluster_that_does_not_exist_is_said_and_counted() {
    let authority = Authority::start();
    let configuration = settings(&authority, &json!({"cluster": "nowhere"}));
    let envoy = Envoy::with(&configuration);
    let failures = || envoy.stat("wasmcustom.portcullis.feed.failures.no_cluster");
    until(|| envoy.log(), || failures() >= Some(3));
    let log = envoy.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("cluster `nowhere`"));
    assert_eq!(lines.count(), 1, "{log}");
    let reply = envoy.client().send(&request("innocent"));
    assert_refused(&reply, 503, "revocation_unavailable");
}
