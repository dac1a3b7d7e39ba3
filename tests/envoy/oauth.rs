//! OAuth clients of the authority: what they revoke is refused by the gate, and what they are told of a
//! token is what the gate does with it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::revocation::scene::{session, settings};
use crate::support::{
    Authority, Bootstrap, Envoy, ISSUER, PATIENCE, Plugin, Request, Response, Token,
    assert_refused, until,
};

const SECRET: &str = "a-secret-of-32-characters-and-more";

/// The answer to a client with this name that posts a token.
fn post(authority: &Authority, path: &str, client: &str, token: &Token) -> (u16, String) {
    let url = format!("{}{path}", authority.signals_url());
    let form = format!("client_id={client}&client_secret={SECRET}&token={token}");
    let request = ureq::post(&url).content_type("application/x-www-form-urlencoded");
    let mut response = request.send(form.as_bytes()).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (response.status().as_u16(), text)
}

fn is_active(authority: &Authority, token: &Token) -> bool {
    let (status, text) = post(authority, "/oauth/introspect", "api", token);
    assert_eq!(status, 200);
    let told: Value = serde_json::from_str(&text).unwrap();
    told["active"] == true
}

#[test]
fn what_a_client_revokes_is_refused_in_every_worker_and_is_not_active_any_more() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("secret"), SECRET).unwrap();
    let file = directory.path().join("signals.json");
    let clients = json!([
        {"client_id": "web", "secret": {"file": "secret"},
         "revoke": {"issuers": [ISSUER], "ends": "session"}},
        {"client_id": "api", "secret": {"file": "secret"}, "introspect": {"any_audience": true}},
    ]);
    let signals = json!({
        "listen": "127.0.0.1:0", "public_url": "https://signals.example",
        "oauth": {"clients": clients},
    });
    fs::write(&file, signals.to_string()).unwrap();
    let authority = Authority::for_users(&["--signals", file.to_str().unwrap()]);
    let plugin = Plugin::new(&settings(&authority, &json!({})));
    let envoy = Envoy::start(&Bootstrap::with_plugin(plugin).with_authority(authority.address()));
    let mut workers = envoy.client_of_every_worker();
    let generations = "wasmcustom.portcullis.feed.generations";
    until(|| envoy.log(), || envoy.stat(generations).unwrap_or(0) > 0);
    thread::sleep(Duration::from_millis(300));
    let [phone, laptop] = ["phone", "laptop"].map(|id| {
        let token = session(id).claim("jti", id);
        token.claim("client_id", "web")
    });
    let mut ask = |token: &Token| -> Vec<Response> {
        let request = Request::get("/api").bearer(token);
        let replies = workers.iter_mut().map(|client| client.send(&request));
        replies.collect()
    };
    for token in [&phone, &laptop] {
        assert!(is_active(&authority, token));
        assert!(ask(token).iter().all(|reply| reply.status == 200));
    }
    assert_eq!(post(&authority, "/oauth/revoke", "web", &phone).0, 200);
    assert!(!is_active(&authority, &phone));
    let since = Instant::now();
    // Another token of the same session ends with it. Either may be the first: a worker that has accepted a
    // token lately does not look at it again before its next tick.
    let refreshed = phone.clone().claim("jti", "refreshed");
    for token in [&refreshed, &phone] {
        while ask(token).iter().any(|reply| reply.status == 200) {
            assert!(since.elapsed() < PATIENCE, "{:?}", ask(token));
        }
    }
    for token in [&phone, &refreshed] {
        assert!(!is_active(&authority, token));
        for reply in ask(token) {
            assert_refused(&reply, 401, "token_revoked");
        }
    }
    assert!(is_active(&authority, &laptop));
    assert!(ask(&laptop).iter().all(|reply| reply.status == 200));
}
