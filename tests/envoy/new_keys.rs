//! Keys that an issuer has only just begun to use: what the gate does not know is a 503, and never
//! a 401, which would start a new sign-in.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::remote_keys::{at_once, clients, key_stat, remote, signed_by, start, with_remote_jwks};
use crate::support::{Client, ISSUER, JwksServer, PATIENCE, Request, Token, assert_refused, jwks};

/// Faults of a key server, or on the way to it.
#[derive(Clone)]
struct BadServer {
    address: SocketAddr,
    state: Arc<State>,
}

struct State {
    set: Mutex<String>,
    /// Every connection breaks off.
    is_down: AtomicBool,
    /// A connection breaks off when a second request comes over it.
    forgets_connections: AtomicBool,
    resets: Mutex<usize>,
}

impl BadServer {
    fn start(set: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            state: Arc::new(State {
                set: Mutex::new(set),
                is_down: AtomicBool::new(false),
                forgets_connections: AtomicBool::new(false),
                resets: Mutex::new(0),
            }),
        };
        let state = Arc::clone(&server.state);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let state = Arc::clone(&state);
                thread::spawn(move || state.answer(&connection.unwrap()));
            }
        });
        server
    }

    fn serve(&self, set: String) {
        *self.state.set.lock().unwrap() = set;
    }

    fn resets(&self) -> usize {
        *self.state.resets.lock().unwrap()
    }
}

impl State {
    fn answer(&self, mut connection: &TcpStream) {
        let mut answered = 0;
        let mut request = [0; 4_096];
        // Closed with what was sent still unread, a connection is reset.
        while connection.peek(&mut request).is_ok_and(|length| length > 0) {
            let is_old = answered > 0 && self.forgets_connections.load(Ordering::Relaxed);
            if self.is_down.load(Ordering::Relaxed) || is_old {
                *self.resets.lock().unwrap() += 1;
                return;
            }
            let length = connection.read(&mut request).unwrap();
            assert!(request[..length].ends_with(b"\r\n\r\n"), "a whole request");
            let set = self.set.lock().unwrap().clone();
            let length = set.len();
            let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{set}");
            connection.write_all(reply.as_bytes()).unwrap();
            answered += 1;
        }
    }
}

/// Repeats the request until the token is accepted, as an application does that is told to wait,
/// and asserts that no other answer comes meanwhile. Returns how long that took.
fn until_let_in(client: &mut Client, request: &Request) -> Duration {
    let start = Instant::now();
    loop {
        let reply = client.send(request);
        if reply.status == 200 {
            return start.elapsed();
        }
        assert_refused(&reply, 503, "keys_unavailable");
        assert!(reply.header("retry-after").is_some(), "{reply:?}");
        assert!(start.elapsed() < PATIENCE, "it is never let in");
        thread::sleep(Duration::from_millis(100));
    }
}

fn made_up(number: usize) -> Request {
    let token = Token::signed_by("es256-other").header("kid", format!("made-up-{number}"));
    Request::get("/api").bearer(token)
}

#[test]
fn a_new_key_while_its_server_is_down_is_a_503_until_it_is_back() {
    let server = BadServer::start(jwks(&["es256"]));
    let envoy = start(&remote(&json!({})), server.address);
    let mut clients = clients(&envoy);
    assert_eq!(clients[0].send(&signed_by("es256")).status, 200);
    server.state.is_down.store(true, Ordering::Relaxed);
    server.serve(jwks(&["es256-other"]));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        for client in &mut clients {
            let reply = client.send(&signed_by("es256-other"));
            assert_refused(&reply, 503, "keys_unavailable");
            assert_eq!(client.send(&signed_by("es256")).status, 200);
        }
    }
    assert!(key_stat(&envoy, "fetches.failure") > 0);
    assert!(server.resets() < 30, "{}", server.resets());
    let counted = envoy.stat("wasmcustom.portcullis.requests.refused.key_unconfirmed.demo");
    assert!(counted.is_some_and(|count| count > 0), "{counted:?}");
    server.state.is_down.store(false, Ordering::Relaxed);
    let waited = until_let_in(&mut clients[0], &signed_by("es256-other"));
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    for client in &mut clients {
        until_let_in(client, &signed_by("es256-other"));
    }
}

#[test]
fn a_connection_that_was_reset_while_it_was_idle_costs_no_request_anything() {
    let server = BadServer::start(jwks(&["es256"]));
    server
        .state
        .forgets_connections
        .store(true, Ordering::Relaxed);
    let envoy = start(&remote(&json!({})), server.address);
    assert_eq!(envoy.client().send(&signed_by("es256")).status, 200);
    server.serve(jwks(&["es256-other"]));
    let replies = at_once(clients(&envoy), &signed_by("es256-other"));
    assert!(
        replies.iter().all(|reply| reply.status == 200),
        "{replies:?}"
    );
    assert_eq!(server.resets(), 1);
    assert_eq!(key_stat(&envoy, "fetches.failure"), 0);
}

#[test]
fn a_server_that_is_slow_does_not_have_a_new_key_refused() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let envoy = start(&remote(&json!({})), server.address());
    let mut client = envoy.client();
    assert_eq!(client.send(&signed_by("es256")).status, 200);
    server.serve("/jwks", jwks(&["es256-other"]));
    server.delay(Duration::from_secs(3));
    assert_refused(
        &client.send(&signed_by("es256-other")),
        503,
        "keys_unavailable",
    );
    until_let_in(&mut client, &signed_by("es256-other"));
    assert_eq!(server.requests("/jwks"), 2);
}

#[test]
fn a_second_rotation_right_after_the_first_goes_unnoticed() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let envoy = start(&remote(&json!({})), server.address());
    let mut client = envoy.client();
    assert_eq!(client.send(&signed_by("es256")).status, 200);
    for key in ["es256-other", "rs256", "eddsa"] {
        thread::sleep(Duration::from_secs(2));
        server.serve("/jwks", jwks(&[key]));
        assert_eq!(client.send(&signed_by(key)).status, 200, "{key}");
    }
    assert_eq!(server.requests("/jwks"), 4);
}

#[test]
fn a_flood_of_unknown_keys_keeps_no_new_one_out_and_has_few_fetches_made() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let envoy = start(&remote(&json!({})), server.address());
    let mut clients = clients(&envoy);
    assert_eq!(clients[0].send(&signed_by("es256")).status, 200);
    let begun = Instant::now();
    let is_over = AtomicBool::new(false);
    let (waited, sent) = thread::scope(|scope| {
        let mut floods = Vec::new();
        for (index, mut client) in clients.drain(4..).enumerate() {
            let is_over = &is_over;
            floods.push(scope.spawn(move || {
                let mut sent = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let reply = client.send(&made_up(sent * 100 + index));
                    let code = if reply.status == 401 {
                        "signature_invalid"
                    } else {
                        "keys_unavailable"
                    };
                    assert_refused(&reply, reply.status, code);
                    sent += 1;
                }
                sent
            }));
        }
        thread::sleep(Duration::from_secs(6));
        server.serve("/jwks", jwks(&["es256", "rs256"]));
        let waited = clients.iter_mut().map(|client| {
            assert_eq!(client.send(&signed_by("es256")).status, 200);
            until_let_in(client, &signed_by("rs256"))
        });
        let waited = waited.max().unwrap();
        is_over.store(true, Ordering::Relaxed);
        let sent: usize = floods.into_iter().map(|flood| flood.join().unwrap()).sum();
        (waited, sent)
    });
    assert!(sent > 500, "that was no flood: {sent}");
    assert!(waited < Duration::from_secs(8), "{waited:?}");
    // The first one, four at once, and one in five seconds.
    let allowed = 5 + usize::try_from(begun.elapsed().as_secs() / 5).unwrap();
    let fetches = server.requests("/jwks");
    assert!(fetches <= allowed, "{fetches}, {allowed}");
}

#[test]
fn a_token_whose_key_is_gone_is_refused_once_that_is_known() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let envoy = start(&remote(&json!({})), server.address());
    let mut clients = clients(&envoy);
    for client in &mut clients {
        assert_eq!(client.send(&signed_by("es256")).status, 200);
        let reply = client.send(&signed_by("es256-other"));
        assert_refused(&reply, 401, "signature_invalid");
    }
    assert_eq!(server.requests("/jwks"), 2);
}

#[test]
fn keys_that_have_moved_are_found_though_the_old_place_still_answers() {
    let server = JwksServer::start();
    let document = |path: &str| {
        json!({"issuer": ISSUER, "jwks_uri": format!("https://issuer.example{path}")}).to_string()
    };
    server.serve("/.well-known/openid-configuration", document("/keys"));
    server.serve("/keys", jwks(&["es256"]));
    let discovery = json!({"openid_discovery": {"cluster": "issuer", "timeout": "5s"}});
    let envoy = start(&with_remote_jwks(discovery), server.address());
    let mut client = envoy.client();
    assert_eq!(client.send(&signed_by("es256")).status, 200);
    server.serve("/.well-known/openid-configuration", document("/moved"));
    server.serve("/moved", jwks(&["es256-other"]));
    assert_eq!(client.send(&signed_by("es256-other")).status, 200);
    assert_eq!(server.requests("/keys"), 1);
}
