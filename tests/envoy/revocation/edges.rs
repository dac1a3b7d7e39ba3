//! Which Envoys follow an authority, and waiting for all of them.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::scene::{session, settings};
use crate::support::{
    Authority, Bootstrap, Client, Envoy, ISSUER, Plugin, Request, assert_refused, until,
};

/// By then, an authority counts on edges to have come back.
const COMES_BACK: Duration = Duration::from_secs(15);

/// What is promised of a revocation that waits.
const PROMISED: Duration = Duration::from_millis(250);

/// An Envoy with a name, and clients of all of its workers.
struct Edge {
    envoy: Envoy,
    clients: Vec<Client>,
}

impl Edge {
    fn start(authority: &Authority, name: &str) -> Self {
        let plugin = Plugin::new(&settings(authority, &json!({})));
        let bootstrap = Bootstrap::with_plugin(plugin)
            .with_authority(authority.address())
            .with_member("node", json!({"id": name, "cluster": "edges"}));
        let envoy = Envoy::start(&bootstrap);
        let loaded = || envoy.stat("wasmcustom.portcullis.feed.generations") == Some(1);
        until(|| envoy.log(), loaded);
        let clients = envoy.client_of_every_worker();
        Self { envoy, clients }
    }

    fn signal(&self, name: &str) {
        let id = self.envoy.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.expect("a status").success());
    }

    /// Asserts that every worker refuses the session, now.
    #[track_caller]
    fn assert_refused(&mut self, value: &str) {
        let request = Request::get("/api").bearer(session(value));
        for client in &mut self.clients {
            assert_refused(&client.send(&request), 401, "token_revoked");
        }
    }

    /// Asserts that every worker lets the session through, and remembers it.
    #[track_caller]
    fn assert_accepted(&mut self, value: &str) {
        let request = Request::get("/api").bearer(session(value));
        for client in &mut self.clients {
            assert_eq!(client.send(&request).status, 200);
        }
    }
}

/// Exit code and output of `portcullis revoke session … --wait`.
fn revoke(authority: &Authority, value: &str, wait: &str) -> (Option<i32>, String) {
    let arguments = ["revoke", "session", value, "--issuer", ISSUER, wait];
    let output = authority.start_command(&arguments).output();
    let output = output.expect("a command that runs");
    let text = String::from_utf8(output.stdout).expect("text");
    (output.status.code(), text)
}

#[test]
fn a_revocation_that_waits_counts_the_edges_that_have_it_and_names_one_that_is_stopped() {
    let begun = Instant::now();
    let authority = Authority::start();
    let mut first = Edge::start(&authority, "edge-1");
    let mut second = Edge::start(&authority, "edge-2");
    thread::sleep((begun + COMES_BACK).saturating_duration_since(Instant::now()));
    let mut delays = Vec::new();
    for round in 0..20 {
        let value = format!("round-{round}");
        first.assert_accepted(&value);
        second.assert_accepted(&value);
        let body = json!({"kind": "session", "issuer": ISSUER, "value": value, "wait": "PT10S"});
        let (status, answer) = authority.post("/v1/revocations", &body.to_string());
        first.assert_refused(&value);
        second.assert_refused(&value);
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let edges = &answer["edges"];
        assert_eq!(edges["complete"], true, "{answer}");
        assert_eq!((&edges["seen"], &edges["having"]), (&json!(2), &json!(2)));
        delays.push(edges["waited_milliseconds"].as_u64().expect("a number"));
    }
    delays.sort_unstable();
    println!("waited for two Envoys: {delays:?} ms");
    let median = Duration::from_millis(delays[delays.len() / 2]);
    assert!(median <= PROMISED, "{delays:?}");

    second.signal("STOP");
    let (code, text) = revoke(&authority, "stopped", "--wait");
    assert_eq!(code, Some(11), "{text}");
    assert!(text.starts_with("revoked\n"), "{text}");
    assert!(text.contains(": 1 of 2 edges have it after 2s"), "{text}");
    let last = text.lines().last().unwrap_or_default();
    let own = format!(
        "edge-2  127.0.0.1  edge  {}  20  1 for ",
        env!("CARGO_PKG_VERSION")
    );
    assert!(last.starts_with(&own), "{text}");
    first.assert_refused("stopped");

    second.signal("CONT");
    let (code, text) = revoke(&authority, "goes on", "--wait=10s");
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("\nall 2 edges have it, after "), "{text}");
    second.assert_refused("stopped");
    second.assert_refused("goes on");
    let page = || -> Value {
        let (_, page) = authority.get("/v1/edges");
        serde_json::from_str(&page).expect("JSON")
    };
    let all_poll = || {
        let page = page();
        let edges = page["edges"].as_array().expect("a list");
        edges.iter().all(|edge| edge["polling"] == true)
    };
    until(|| page().to_string(), all_poll);
    let page = page();
    let edges = page["edges"].as_array().expect("a list");
    assert_eq!(
        edges.len(),
        2,
        "one for each process, whatever its workers: {page}"
    );
}

#[test]
fn an_envoy_without_a_name_is_known_by_its_process() {
    let authority = Authority::start();
    let plugin = Plugin::new(&settings(&authority, &json!({})));
    let bootstrap = Bootstrap::with_plugin(plugin)
        .with_authority(authority.address())
        .with_member("node", json!({}));
    let envoys = [Envoy::start(&bootstrap), Envoy::start(&bootstrap)];
    let edges = || {
        let (_, page) = authority.get("/v1/edges");
        let page: Value = serde_json::from_str(&page).expect("JSON");
        page["edges"].as_array().expect("a list").clone()
    };
    until(
        || envoys.each_ref().map(Envoy::log).concat(),
        || edges().len() == 2,
    );
    let edges = edges();
    for edge in &edges {
        assert_eq!(edge["instance"], Value::Null);
        assert_eq!(edge["version"], env!("CARGO_PKG_VERSION"));
    }
    assert_ne!(edges[0]["process"], edges[1]["process"]);
}
