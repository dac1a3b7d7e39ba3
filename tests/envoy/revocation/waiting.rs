//! Requests that wait for the authority's exact answer, for keys, or for both.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::scene::{session, settings, wait_for, wait_until_in_step};
use crate::support::{
    Authority, Bootstrap, Envoy, ISSUER, JwksServer, Meddler, Plugin, Request, Response, Token,
    assert_refused, jwks, until,
};

const CHECK: &str = "/v1/check";

/// An Envoy with one worker, since every worker asks for itself.
struct Scene {
    authority: Authority,
    meddler: Meddler,
    envoy: Envoy,
}

impl Scene {
    fn new() -> Self {
        Self::with(|configuration| configuration, None)
    }

    fn with(change: impl FnOnce(Value) -> Value, issuer: Option<SocketAddr>) -> Self {
        let authority = Authority::start();
        let meddler = Meddler::before(authority.address());
        let configuration = change(settings(&authority, &json!({"check_timeout": "2s"})));
        let mut bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration))
            .with_authority(meddler.address())
            .with_workers(1);
        if let Some(issuer) = issuer {
            bootstrap = bootstrap.with_cluster("issuer", issuer);
        }
        let envoy = Envoy::start(&bootstrap);
        let scene = Self {
            authority,
            meddler,
            envoy,
        };
        wait_for(&scene.envoy, "portcullis.feed.generations", 1);
        scene
    }

    fn revoke(&self, value: &str) {
        self.authority.revoke("session", value);
        self.wait_until_in_step();
    }

    /// Lets the filter think that the session may be revoked.
    fn revoke_and_restore(&self, value: &str) {
        self.authority.revoke("session", value);
        self.authority.restore_access("session", value);
        self.wait_until_in_step();
    }

    fn wait_until_in_step(&self) {
        wait_until_in_step(&self.authority, &self.envoy);
    }

    fn send(&self, request: &Request) -> Response {
        self.envoy.client().send(request)
    }
}

fn ask(value: &str) -> Request {
    Request::get("/api").bearer(session(value))
}

#[test]
fn a_call_that_broke_is_made_once_more_and_not_twice() {
    let scene = Scene::new();
    for value in ["once", "twice"] {
        scene.revoke(value);
    }
    scene.meddler.drop_requests(CHECK, 1);
    assert_refused(&scene.send(&ask("once")), 401, "token_revoked");
    assert_eq!(scene.meddler.asked(CHECK), 2);
    scene.meddler.drop_requests(CHECK, 3);
    assert_refused(&scene.send(&ask("twice")), 503, "revocation_unavailable");
    assert_eq!(scene.meddler.asked(CHECK), 4);
}

#[test]
fn a_check_is_in_the_trace_of_the_request_that_waits_for_it() {
    const SOUND: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let scene = Scene::new();
    for (value, sent, forwarded) in [
        ("traced", Some(SOUND), Some(SOUND)),
        ("mistraced", Some("00-0af7-b7ad-01"), None),
        ("untraced", None, None),
    ] {
        scene.revoke(value);
        let request = ask(value);
        let request = match sent {
            Some(parent) => request.header("traceparent", parent),
            None => request,
        };
        assert_refused(&scene.send(&request), 401, "token_revoked");
        let headers = scene.meddler.headers(CHECK);
        let mut parents = headers
            .iter()
            .filter_map(|line| line.strip_prefix("traceparent: "));
        assert_eq!(parents.next(), forwarded, "{value}: {headers:?}");
        assert_eq!(parents.next(), None);
    }
}

#[test]
fn requests_with_the_same_check_share_one_call() {
    let scene = Scene::new();
    scene.revoke("many");
    scene.meddler.hold_back(CHECK, Duration::from_millis(500));
    let request = ask("many");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_refused(&scene.send(&request), 401, "token_revoked"));
        }
    });
    assert_eq!(scene.meddler.asked(CHECK), 1);
}

#[test]
fn a_request_that_shares_the_call_of_one_that_goes_away_is_answered_all_the_same() {
    let scene = Scene::new();
    scene.revoke("left");
    scene.meddler.hold_back(CHECK, Duration::from_millis(700));
    let request = ask("left");
    let first = scene.envoy.client().send_and_stay(&request);
    until(|| scene.envoy.log(), || scene.meddler.asked(CHECK) == 1);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_refused(&scene.send(&request), 401, "token_revoked"));
        }
        thread::sleep(Duration::from_millis(200));
        drop(first);
    });
    assert_eq!(scene.meddler.asked(CHECK), 2);
    assert_eq!(scene.send(&ask("innocent")).status, 200);
}

/// The table of the SDK would keep every call that is reset, whose end is not told.
#[test]
fn every_check_is_carried_through_also_when_its_client_has_gone() {
    const ROUNDS: usize = 15;
    const CLIENTS: usize = 200;
    let scene = Scene::new();
    let name = |number: usize| format!("gone-{number}");
    let lines = (0..ROUNDS * CLIENTS).map(|number| {
        let line = json!({"kind": "session", "issuer": ISSUER, "value": name(number)});
        line.to_string()
    });
    scene
        .authority
        .import(&lines.collect::<Vec<_>>().join("\n"));
    scene.wait_until_in_step();
    scene.meddler.hold_back(CHECK, Duration::from_millis(300));
    let answered = || {
        let answered = scene.envoy.stat("cluster.authority.upstream_rq_200");
        answered.expect("answers")
    };
    let before = answered();
    for round in 0..ROUNDS {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let request = ask(&name(round * CLIENTS + number));
                scene.envoy.client().send_and_stay(&request)
            })
            .collect();
        let asked = (round + 1) * CLIENTS;
        until(|| scene.envoy.log(), || scene.meddler.asked(CHECK) >= asked);
        drop(clients);
    }
    let expected = before + (ROUNDS * CLIENTS) as u64;
    until(
        || format!("{} of {expected}", answered()),
        || answered() >= expected,
    );
    assert_eq!(scene.meddler.asked(CHECK), ROUNDS * CLIENTS);
    assert_eq!(
        scene.envoy.stat("cluster.authority.upstream_rq_tx_reset"),
        Some(0)
    );
    assert_refused(&scene.send(&ask(&name(0))), 401, "token_revoked");
}

fn remote_keys() -> Value {
    json!({
        "http_uri": {"uri": "http://issuer.example/jwks", "cluster": "issuer", "timeout": "5s"},
    })
}

#[test]
fn a_request_that_has_waited_for_keys_waits_for_the_authority_as_well() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let change = |mut configuration: Value| {
        let provider = &mut configuration["providers"]["demo"];
        let provider = provider.as_object_mut().expect("an object");
        provider.remove("local_jwks");
        provider.insert("remote_jwks".to_owned(), remote_keys());
        configuration
    };
    let scene = Scene::with(change, Some(server.address()));
    assert_eq!(scene.send(&ask("innocent")).status, 200);
    scene.revoke("revoked");
    scene.revoke_and_restore("restored");
    server.serve("/jwks", jwks(&["es256-other"]));
    server.delay(Duration::from_millis(300));
    let signed = |value: &str| {
        let token = Token::signed_by("es256-other").claim("sid", value);
        Request::get("/api").bearer(token)
    };
    // Both wait for the same fetch.
    thread::scope(|scope| {
        scope.spawn(|| assert_refused(&scene.send(&signed("revoked")), 401, "token_revoked"));
        scope.spawn(|| assert_eq!(scene.send(&signed("restored")).status, 200));
    });
    assert_eq!(scene.meddler.asked(CHECK), 2);
}

#[test]
fn a_request_that_has_waited_for_the_authority_waits_for_keys_as_well() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let change = |mut configuration: Value| {
        configuration["providers"]["other"] = json!({
            "issuer": ISSUER,
            "from_headers": [{"name": "x-other"}],
            "remote_jwks": remote_keys(),
        });
        let both = json!([{"provider_name": "demo"}, {"provider_name": "other"}]);
        configuration["rules"] = json!([
            {"match": {"prefix": "/"}, "requires": {"requires_all": {"requirements": both}}},
        ]);
        configuration
    };
    let scene = Scene::with(change, Some(server.address()));
    let other = |key: &'static str| Token::signed_by(key).claim("sid", "other");
    let with = |request: Request, key| request.header("x-other", other(key).to_string());
    assert_eq!(scene.send(&with(ask("innocent"), "es256")).status, 200);
    scene.revoke_and_restore("restored");
    server.serve("/jwks", jwks(&["es256-other"]));
    let reply = scene.send(&with(ask("restored"), "es256-other"));
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(scene.meddler.asked(CHECK), 1);
    // The wait for a key that does not exist ends.
    scene.revoke_and_restore("again");
    let unknown = other("es256").header("kid", "unknown").to_string();
    let reply = scene.send(&ask("again").header("x-other", unknown));
    assert_refused(&reply, 401, "signature_invalid");
}
