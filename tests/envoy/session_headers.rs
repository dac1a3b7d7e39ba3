//! What the upstream is told about the caller. The cases are those of the gate's own tests; here is
//! what reaches an upstream of Envoy's.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::json;

use crate::support::{
    AUDIENCE, Bootstrap, Envoy, ISSUER, Listener, PATIENCE, Plugin, Request, Token, configuration,
};

#[test]
fn the_standard_set_has_the_claims_that_the_token_has() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    let full = Token::signed_by("eddsa")
        .claim("sid", "session-1")
        .claim("scope", "read write")
        .claim("client_id", "app")
        .claim("jti", "token-1")
        .claim("exp", 4_102_444_800_u64)
        .claim("iat", 1_700_000_000)
        .claim("auth_time", 1_600_000_000)
        .claim("acr", "2")
        .claim("amr", vec!["pwd", "otp"])
        .claim("aud", vec![AUDIENCE, "other"]);
    let reply = client.send(&Request::get("/api").bearer(full));
    assert_eq!(
        reply.forwarded().headers_under("x-session-"),
        [
            ("x-session-audience", "api other"),
            ("x-session-authenticated-at", "1600000000"),
            ("x-session-authentication-class", "2"),
            ("x-session-authentication-methods", "pwd otp"),
            ("x-session-client", "app"),
            ("x-session-expires-at", "4102444800"),
            ("x-session-id", "session-1"),
            ("x-session-issued-at", "1700000000"),
            ("x-session-issuer", ISSUER),
            ("x-session-provider", "demo"),
            ("x-session-scope", "read write"),
            ("x-session-subject", "alice"),
            ("x-session-token-id", "token-1"),
        ]
    );

    let sparse = Token::signed_by("eddsa")
        .claim("exp", 4_102_444_800_u64)
        .without_claim("iat")
        .without_claim("sub");
    let reply = client.send(&Request::get("/api").bearer(sparse));
    assert_eq!(
        reply.forwarded().headers_under("x-session-"),
        [
            ("x-session-audience", "api"),
            ("x-session-expires-at", "4102444800"),
            ("x-session-issuer", ISSUER),
            ("x-session-provider", "demo"),
        ]
    );
}

#[test]
fn headers_that_only_the_gate_may_set_come_from_the_gate() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    let provider = &mut configuration["providers"]["demo"];
    provider["claim_to_headers"] = json!([
        {"header_name": "X-User", "claim_name": "sub"},
        {"header_name": "x-groups", "claim_name": "groups"},
    ]);
    let keeping = Envoy::with(&configuration);
    configuration["providers"]["demo"]["forward"] = json!(true);
    let forwarding = Envoy::with(&configuration);
    let token = Token::signed_by("es256").claim("sub", "José").to_string();
    let spoofed = ["x-session-subject", "X_Session.id", "x-user", "x!groups"];
    for path in ["/api", "/public"] {
        let mut request = Request::get(path).bearer(&token);
        for name in spoofed {
            request = request.header(name, "mallory").header(name, "root");
        }
        for (envoy, is_forwarded) in [(&keeping, path == "/public"), (&forwarding, true)] {
            let forwarded = envoy.client().send(&request).forwarded();
            let told = format!("{:?}", forwarded.headers);
            assert!(
                !told.contains("mallory") && !told.contains("root"),
                "{told}"
            );
            let caller = (path == "/api").then_some("José");
            assert_eq!(forwarded.header("x-session-subject"), caller, "{path}");
            assert_eq!(forwarded.header("x-user"), caller, "{path}");
            let bearer = forwarded.header("authorization");
            assert_eq!(bearer.is_some(), is_forwarded, "{path}");
        }
    }
}

/// Envoy's limit for all headers is above the gate's for one.
#[test]
fn a_claim_of_8_kib_reaches_the_upstream() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    let envoy = Envoy::with(&configuration);
    let scopes = "scope:word ".repeat(744) + "scopeword";
    let token = Token::signed_by("es256").claim("scope", &scopes[..8192]);
    let forwarded = envoy.client().send(&Request::get("/api").bearer(token));
    let forwarded = forwarded.forwarded();
    assert_eq!(forwarded.header("x-session-scope"), Some(&scopes[..8192]));
}

/// An upstream that hands over the head of each request and answers none of them.
fn recording() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut lines = BufReader::new(connection.unwrap()).lines();
            let head: Vec<_> = lines
                .by_ref()
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .collect();
            if sender.send(head.join("\n").to_ascii_lowercase()).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

/// A proxy removes the headers that `Connection` names (RFC 9110 section 7.6.1), and must not
/// take this for one that the client sent. Envoy passes the list on where a connection is to become
/// a WebSocket, and only there.
#[test]
fn the_client_cannot_have_a_session_header_removed() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    let provider = &mut configuration["providers"]["demo"];
    provider["claim_to_headers"] = json!([{"header_name": "x-user", "claim_name": "sub"}]);
    provider["forward"] = json!(true);
    let (upstream, heads) = recording();
    let listener = Listener::portcullis(Plugin::new(&configuration)).leading_to(Some("recording"));
    let bootstrap = Bootstrap::new([listener.with_upgrades()]);
    let envoy = Envoy::start(&bootstrap.with_cluster("recording", upstream));
    for (lists, is_upgrade, left) in [
        (&["x-session-subject"][..], false, None),
        (&["close, X-Session-Subject"], false, None),
        (&["Upgrade, x-session-subject"], false, None),
        (&["Upgrade, x-session-subject"], true, Some("upgrade")),
        (
            &["x_session!role , X-User, authorization,Upgrade"],
            true,
            Some("upgrade"),
        ),
        (&["Upgrade", "x-session-subject"], true, Some("upgrade")),
        (
            &["x-session-id,", " ,Upgrade, x-other"],
            true,
            Some("upgrade, x-other"),
        ),
        (&["keep-alive, Upgrade"], true, Some("keep-alive, upgrade")),
    ] {
        for path in ["/api", "/public"] {
            // Envoy takes these off by itself, in every request.
            let mut request = Request::get(path)
                .bearer(Token::signed_by("es256"))
                .header("proxy-connection", "x-session-subject")
                .header("keep-alive", "x-session-subject");
            for list in lists {
                request = request.header("connection", list);
            }
            if is_upgrade {
                request = request.header("upgrade", "websocket");
            }
            let connection = envoy.client().send_and_stay(&request);
            let head = heads.recv_timeout(PATIENCE).unwrap();
            drop(connection);
            let list = head
                .lines()
                .find_map(|line| line.strip_prefix("connection: "));
            assert_eq!(list, left, "{lists:?}: {head}");
            let names = ["\nproxy-connection:", "\nkeep-alive:"];
            assert!(!names.iter().any(|name| head.contains(name)), "{head}");
            let is_told =
                head.contains("\nx-session-subject: alice") && head.contains("\nx-user: alice");
            assert_eq!(is_told, path == "/api", "{head}");
            assert!(head.contains("\nauthorization: bearer "), "{head}");
        }
    }
}
