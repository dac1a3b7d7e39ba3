//! Keys from a server: fetched once for all workers, kept right, and kept when the server fails.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{
    Bootstrap, Client, Envoy, ISSUER, JwksServer, Listener, PATIENCE, Plugin, Request, Response,
    Token, assert_refused, configuration, jwks, until,
};

/// `demo` with keys from `/jwks` of the cluster `issuer`, and further settings.
pub(crate) fn remote(settings: &Value) -> Value {
    let mut remote = json!({
        "http_uri": {"uri": "http://issuer.example/jwks", "cluster": "issuer", "timeout": "5s"},
    });
    for (name, value) in settings.as_object().expect("an object") {
        remote[name] = value.clone();
    }
    with_remote_jwks(remote)
}

pub(crate) fn with_remote_jwks(remote_jwks: Value) -> Value {
    let mut configuration = configuration();
    let provider = configuration["providers"]["demo"].as_object_mut().unwrap();
    provider.remove("local_jwks");
    provider.insert("remote_jwks".to_owned(), remote_jwks);
    configuration
}

pub(crate) fn start(configuration: &Value, server: SocketAddr) -> Envoy {
    let bootstrap = Bootstrap::with_plugin(Plugin::new(configuration));
    Envoy::start(&bootstrap.with_cluster("issuer", server))
}

pub(crate) fn signed_by(key: &'static str) -> Request {
    Request::get("/api").bearer(Token::signed_by(key))
}

/// Clients with a connection each, so that every worker has some of them.
pub(crate) fn clients(envoy: &Envoy) -> Vec<Client> {
    (0..16).map(|_| envoy.client()).collect()
}

/// Repeats the request until the reply has this status; fails if it never does.
fn until_status(client: &mut Client, request: &Request, status: u16) -> Response {
    let start = Instant::now();
    loop {
        let reply = client.send(request);
        if reply.status == status {
            return reply;
        }
        assert!(start.elapsed() < PATIENCE, "still {reply:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn key_stat(envoy: &Envoy, name: &str) -> u64 {
    let stat = format!("wasmcustom.portcullis.keys.{name}.demo");
    envoy.stat(&stat).unwrap_or_else(|| panic!("no {stat}"))
}

#[test]
fn one_fetch_serves_all_workers_and_the_first_requests_wait_for_it() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    server.delay(Duration::from_millis(500));
    let envoy = start(&remote(&json!({})), server.address());
    let clients = clients(&envoy);
    let replies = at_once(clients, &signed_by("es256"));
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{replies:?}"
    );
    assert_eq!(server.requests("/jwks"), 1);
}

#[test]
fn plugins_with_the_same_source_share_its_fetches() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let one = remote(&json!({}));
    let mut other = one.clone();
    other["realm"] = json!("other");
    let listener = |configuration| Listener::portcullis(Plugin::new(configuration));
    let bootstrap = Bootstrap::new([
        listener(&one),
        listener(&one).named("same"),
        listener(&other).named("other"),
    ]);
    let envoy = Envoy::start(&bootstrap.with_cluster("issuer", server.address()));
    for name in ["portcullis", "same", "other"] {
        let clients = (0..8).map(|_| envoy.client_of(name)).collect();
        let replies = at_once(clients, &signed_by("es256"));
        assert!(
            replies.iter().all(|reply| reply.status == 200),
            "{replies:?}"
        );
    }
    assert_eq!(server.requests("/jwks"), 1);
}

#[test]
fn a_request_with_a_body_that_waited_is_whole() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    server.delay(Duration::from_millis(300));
    let envoy = start(&remote(&json!({})), server.address());
    let post = Request::post("/api", "x".repeat(100_000));
    let reply = envoy.client().send(&post.bearer(Token::signed_by("es256")));
    let forwarded = reply.forwarded();
    assert_eq!(forwarded.header("content-length"), Some("100000"));
}

/// Where the operator has Envoy hand over bodies of paused requests, a filter that lets the body
/// pass lets the request pass.
#[test]
fn the_body_of_a_request_that_waits_does_not_take_it_past_the_gate() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    server.delay(Duration::from_millis(500));
    let plugin = Plugin::new(&remote(&json!({}))).with_bodies_of_paused_requests();
    let bootstrap = Bootstrap::with_plugin(plugin).with_cluster("issuer", server.address());
    let envoy = Envoy::start(&bootstrap);
    let post = |key| Request::post("/api", "x".repeat(100_000)).bearer(Token::signed_by(key));
    let waiting = at_once(vec![envoy.client()], &post("es256-other"));
    assert_refused(&waiting[0], 401, "signature_invalid");
    assert_eq!(envoy.client().send(&post("es256")).status, 200);
}

#[test]
fn an_unknown_key_is_fetched_once_while_its_requests_wait() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let envoy = start(&remote(&json!({})), server.address());
    assert_eq!(envoy.client().send(&signed_by("es256")).status, 200);
    server.serve("/jwks", jwks(&["es256-other"]));
    let replies = at_once(clients(&envoy), &signed_by("es256-other"));
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{replies:?}"
    );
    assert_eq!(server.requests("/jwks"), 2);
    assert_eq!(key_stat(&envoy, "unknown_key_refetches"), 1);
}

#[test]
fn a_rotated_key_is_taken_over_and_the_old_one_stops_working() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let envoy = start(&remote(&json!({"cache_duration": "1s"})), server.address());
    let mut clients = clients(&envoy);
    for client in &mut clients {
        assert_eq!(client.send(&signed_by("es256")).status, 200);
    }
    server.serve("/jwks", jwks(&["rs256"]));
    for client in &mut clients {
        until_status(client, &signed_by("es256"), 401);
        assert_eq!(client.send(&signed_by("rs256")).status, 200);
    }
}

#[test]
fn garbage_keeps_the_last_good_set_and_is_logged_once() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let settings = json!({
        "cache_duration": "1s",
        "async_fetch": {"failed_refetch_duration": "0.1s"},
    });
    let envoy = start(&remote(&settings), server.address());
    let mut client = envoy.client();
    assert_eq!(client.send(&signed_by("es256")).status, 200);
    server.serve("/jwks", "<html>maintenance</html>".to_owned());
    let fetched = server.requests("/jwks");
    until(
        || envoy.log(),
        || {
            assert_eq!(client.send(&signed_by("es256")).status, 200);
            server.requests("/jwks") >= fetched + 4
        },
    );
    until(|| envoy.log(), || key_stat(&envoy, "fetches.failure") >= 3);
    let log = envoy.log();
    assert_eq!(
        log.matches("the last good ones stay in force").count(),
        1,
        "{log}"
    );
    server.serve("/jwks", jwks(&["es256-other"]));
    until_status(&mut client, &signed_by("es256-other"), 200);
    assert!(envoy.log().contains("keys of demo: fetched again"));
}

#[test]
fn an_outage_longer_than_allowed_is_a_503_until_the_server_is_back() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let settings = json!({"cache_duration": "1s", "max_stale": "1s"});
    let envoy = start(&remote(&settings), server.address());
    let mut clients = clients(&envoy);
    for client in &mut clients {
        assert_eq!(client.send(&signed_by("es256")).status, 200);
    }
    server.answer("/jwks", 500, None, String::new());
    for client in &mut clients {
        let reply = until_status(client, &signed_by("es256"), 503);
        assert_refused(&reply, 503, "keys_unavailable");
        let seconds = reply.header("retry-after").map(str::parse::<u32>);
        assert!(matches!(seconds, Some(Ok(1..=300))), "{reply:?}");
        assert_eq!(reply.header("www-authenticate"), None);
    }
    server.serve("/jwks", jwks(&["es256"]));
    for client in &mut clients {
        until_status(client, &signed_by("es256"), 200);
    }
}

#[test]
fn without_any_keys_requests_get_a_503_and_not_a_401() {
    // Bound and closed: nothing listens there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let envoy = start(&remote(&json!({})), address);
    let start = Instant::now();
    for _ in 0..3 {
        let reply = envoy.client().send(&signed_by("es256"));
        assert_refused(&reply, 503, "keys_unavailable");
    }
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_refused(
        &envoy.client().send(&Request::get("/api")),
        401,
        "token_missing",
    );
    assert_eq!(envoy.client().send(&Request::get("/public")).status, 200);
}

/// Neither from the answer nor from its timing, which is a matter of milliseconds.
#[test]
fn without_keys_a_client_does_not_learn_which_issuers_are_configured() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    server.delay(Duration::from_secs(4));
    let envoy = start(&remote(&json!({})), server.address());
    let with = |issuer: Value| {
        let token = Token::signed_by("es256-other").claim("iss", issuer);
        Request::get("/api").bearer(token)
    };
    let requests = [
        with(json!(ISSUER)),
        with(json!("https://evil.example")),
        with(json!("")),
        Request::get("/api").bearer(Token::signed_by("es256-other").without_claim("iss")),
    ];
    let answers: Vec<_> = thread::scope(|scope| {
        let ask = |request| {
            let mut client = envoy.client();
            scope.spawn(move || {
                let start = Instant::now();
                let reply = client.send(request);
                assert_refused(&reply, 503, "keys_unavailable");
                (
                    reply.header("retry-after").map(str::to_owned),
                    reply.json(),
                    start.elapsed(),
                )
            })
        };
        let threads: Vec<_> = requests.iter().map(ask).collect();
        let answers = threads.into_iter().map(|thread| thread.join().unwrap());
        answers.collect()
    });
    for (retry_after, problem, waited) in &answers {
        assert_eq!((retry_after, problem), (&answers[0].0, &answers[0].1));
        assert!((1_800..=4_000).contains(&waited.as_millis()), "{waited:?}");
    }
    // For the key that the first one names another fetch begins as soon as this one has ended.
    server.delay(Duration::ZERO);
    // One worker has the keys first, and the other one a tick later.
    for mut client in envoy.client_of_every_worker() {
        until_status(&mut client, &requests[1], 401);
        for request in &requests {
            assert_refused(&client.send(request), 401, "signature_invalid");
        }
    }
}

#[test]
fn a_cluster_that_does_not_exist_is_named_in_the_log() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let uri = json!({"uri": "http://issuer.example/jwks", "cluster": "isuer", "timeout": "5s"});
    let envoy = start(
        &with_remote_jwks(json!({"http_uri": uri})),
        server.address(),
    );
    assert_refused(
        &envoy.client().send(&signed_by("es256")),
        503,
        "keys_unavailable",
    );
    assert!(
        envoy.log().contains("is there a cluster `isuer`"),
        "{}",
        envoy.log()
    );
}

/// The ways in which a server can fail.
#[test]
fn an_answer_that_breaks_off_is_a_failure_like_any_other() {
    for beginning in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{\"keys\":",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
        "\u{0}\u{1}\u{2}",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let _ = connection.read(&mut [0; 1_024]);
                let _ = connection.write_all(beginning.as_bytes());
            }
        });
        let envoy = start(&remote(&json!({})), address);
        for _ in 0..2 {
            let reply = envoy.client().send(&signed_by("es256"));
            assert_refused(&reply, 503, "keys_unavailable");
        }
        assert!(key_stat(&envoy, "fetches.failure") > 0, "{beginning}");
        assert_eq!(envoy.client().send(&Request::get("/public")).status, 200);
    }
}

#[test]
fn a_server_that_is_slow_holds_a_request_for_two_seconds_at_most() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    server.delay(Duration::from_secs(4));
    let envoy = start(&remote(&json!({})), server.address());
    let start = Instant::now();
    let reply = envoy.client().send(&signed_by("es256"));
    assert_refused(&reply, 503, "keys_unavailable");
    let waited = start.elapsed();
    assert!((1_800..=4_000).contains(&waited.as_millis()), "{waited:?}");
    until_status(&mut envoy.client(), &signed_by("es256"), 200);
}

#[test]
fn clients_that_leave_while_they_wait_do_no_harm() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    server.delay(Duration::from_millis(1_500));
    let envoy = start(&remote(&json!({})), server.address());
    for _ in 0..20 {
        envoy.client().send_and_leave(&signed_by("es256"));
    }
    until_status(&mut envoy.client(), &signed_by("es256"), 200);
    for mut client in clients(&envoy) {
        assert_eq!(client.send(&signed_by("es256")).status, 200);
    }
}

#[test]
fn discovery_leads_to_the_keys() {
    let server = JwksServer::start();
    let document = json!({"issuer": ISSUER, "jwks_uri": "https://issuer.example/keys"});
    server.serve("/.well-known/openid-configuration", document.to_string());
    server.serve("/keys", jwks(&["es256"]));
    let discovery = json!({"openid_discovery": {"cluster": "issuer", "timeout": "5s"}});
    let envoy = start(&with_remote_jwks(discovery), server.address());
    assert_eq!(envoy.client().send(&signed_by("es256")).status, 200);
    assert_eq!(server.all_requests(), 2);
}

#[test]
fn discovery_of_another_issuer_leads_nowhere() {
    for (document, complaint) in [
        (
            json!({"issuer": "https://evil.example", "jwks_uri": "https://issuer.example/keys"}),
            "`issuer` is not the configured one",
        ),
        (
            json!({"issuer": ISSUER, "jwks_uri": "https://evil.example/keys"}),
            "`jwks_uri` is on another server",
        ),
    ] {
        let server = JwksServer::start();
        server.serve("/.well-known/openid-configuration", document.to_string());
        server.serve("/keys", jwks(&["es256"]));
        let discovery = json!({"openid_discovery": {"cluster": "issuer", "timeout": "5s"}});
        let envoy = start(&with_remote_jwks(discovery), server.address());
        let reply = envoy.client().send(&signed_by("es256"));
        assert_refused(&reply, 503, "keys_unavailable");
        assert_eq!(server.requests("/keys"), 0);
        assert!(envoy.log().contains(complaint), "{}", envoy.log());
    }
}

#[test]
fn redirects_are_not_followed() {
    let server = JwksServer::start();
    let location = Some(("location", "/elsewhere".to_owned()));
    server.answer("/jwks", 302, location, String::new());
    server.serve("/elsewhere", jwks(&["es256"]));
    let envoy = start(&remote(&json!({})), server.address());
    assert_refused(
        &envoy.client().send(&signed_by("es256")),
        503,
        "keys_unavailable",
    );
    assert_eq!(server.requests("/elsewhere"), 0);
}

#[test]
fn a_set_that_is_too_large_is_refused_and_one_with_some_bad_keys_is_used() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let envoy = start(&remote(&json!({"cache_duration": "1s"})), server.address());
    let mut client = envoy.client();
    assert_eq!(client.send(&signed_by("es256")).status, 200);
    let large = json!({"keys": [], "padding": "x".repeat(1 << 20)}).to_string();
    server.serve("/jwks", large);
    let fetched = server.requests("/jwks");
    until(
        || envoy.log(),
        || {
            assert_eq!(client.send(&signed_by("es256")).status, 200);
            server.requests("/jwks") >= fetched + 2
        },
    );
    let mut set: Value = serde_json::from_str(&jwks(&["es256-other"])).unwrap();
    set["keys"]
        .as_array_mut()
        .unwrap()
        .push(json!({"kty": "oct", "k": "c2VjcmV0"}));
    server.serve("/jwks", set.to_string());
    until_status(&mut client, &signed_by("es256-other"), 200);
    let gauges = || ["left_out", "usable"].map(|name| key_stat(&envoy, name));
    until(|| format!("{:?}", gauges()), || gauges() == [1, 1]);
}

/// The same request from every client, all at the same time.
pub(crate) fn at_once(clients: Vec<Client>, request: &Request) -> Vec<Response> {
    thread::scope(|scope| {
        let send = |mut client: Client| scope.spawn(move || client.send(request));
        let threads: Vec<_> = clients.into_iter().map(send).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}
