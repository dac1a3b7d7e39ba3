//! What the upstream is told about the caller, and that nobody else can tell it.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::json;

use crate::support::{
    AUDIENCE, Bootstrap, Envoy, ISSUER, Listener, PATIENCE, Plugin, Request, Token, assert_refused,
    configuration,
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
fn the_prefix_of_the_standard_set_can_be_chosen() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["session_header_prefix"] = json!("X-Caller-");
    let envoy = Envoy::with(&configuration);
    let request = Request::get("/api")
        .bearer(Token::signed_by("es256"))
        .header("x-caller-id", "spoofed")
        .header("x-session-subject", "not ours");
    let forwarded = envoy.client().send(&request).forwarded();
    assert_eq!(forwarded.header("x-caller-subject"), Some("alice"));
    assert_eq!(forwarded.header("x-caller-id"), None);
    assert_eq!(forwarded.header("x-session-subject"), Some("not ours"));
}

#[test]
fn claims_go_into_the_headers_that_the_operator_names() {
    let mut configuration = configuration();
    configuration["providers"]["demo"]["claim_to_headers"] = json!([
        {"header_name": "X-User", "claim_name": "sub"},
        {"header_name": "x-plan", "claim_name": "account.plan.name"},
        {"header_name": "x-number", "claim_name": "number"},
        {"header_name": "x-admin", "claim_name": "admin"},
        {"header_name": "x-groups", "claim_name": "groups"},
        {"header_name": "x-account", "claim_name": "account"},
        {"header_name": "x-nothing", "claim_name": "nothing"},
        {"header_name": "x-absent", "claim_name": "account.absent.name"},
    ]);
    let envoy = Envoy::with(&configuration);
    let token = Token::signed_by("rs256")
        .claim("sub", "José")
        .claim("account", json!({"plan": {"name": "gold"}}))
        .claim("number", 9_007_199_254_740_993_u64)
        .claim("admin", false)
        .claim("groups", vec!["a", "b"])
        .claim("nothing", json!(null));
    let request = Request::get("/api")
        .bearer(token)
        .header("x-nothing", "spoofed")
        .header("x-absent", "spoofed");
    let forwarded = envoy.client().send(&request).forwarded();
    for (name, value) in [
        ("x-user", Some("José")),
        ("x-plan", Some("gold")),
        ("x-number", Some("9007199254740993")),
        ("x-admin", Some("false")),
        ("x-groups", Some("WyJhIiwiYiJd")),
        ("x-account", Some("eyJwbGFuIjp7Im5hbWUiOiJnb2xkIn19")),
        ("x-nothing", None),
        ("x-absent", None),
    ] {
        assert_eq!(forwarded.header(name), value, "{name}");
    }
}

/// On a verified, an open and an unmatched request.
#[test]
fn spoofed_headers_and_their_aliases_are_removed_on_every_path() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["allow_unmatched"] = json!(true);
    configuration["providers"]["demo"]["claim_to_headers"] = json!([
        {"header_name": "x-user.name", "claim_name": "sub"},
    ]);
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    for path in ["/api", "/public", "/unmatched"] {
        let mut request = Request::get(path)
            .bearer(Token::signed_by("es256"))
            .header("x-sessions-subject", "kept")
            .header("x-user-names", "kept");
        for spoofed in [
            "x-session-subject",
            "X-Session-Subject",
            "x_session_subject",
            "x.session.subject",
            "x-session_subject",
            "X_SESSION.subject",
            "x-session-id",
            "x-session_id",
            "x!session!subject",
            "x+session+subject",
            "x~session~subject",
            "x*session'subject",
            "X|SESSION`SUBJECT",
            "x-session-provider",
            "x-session-role",
            "x_session_is_admin",
            "x-session-",
            "x-user.name",
            "x-user-name",
            "x_user_name",
            "x%user^name",
        ] {
            request = request.header(spoofed, "mallory").header(spoofed, "root");
        }
        let forwarded = client.send(&request).forwarded();
        let mut spoofed = forwarded
            .headers
            .iter()
            .filter(|(_, value)| matches!(value.as_str(), "mallory" | "root"));
        assert_eq!(spoofed.next(), None, "{path}");
        for other in ["x-sessions-subject", "x-user-names"] {
            assert_eq!(forwarded.header(other), Some("kept"), "{path}");
        }
        let caller = (path == "/api").then_some("alice");
        assert_eq!(forwarded.header("x-session-subject"), caller, "{path}");
        assert_eq!(forwarded.header("x-user.name"), caller, "{path}");
    }
}

#[test]
fn the_token_stays_at_the_gate_unless_it_is_to_be_forwarded() {
    let mut configuration = configuration();
    configuration["providers"]["demo"]["from_headers"] = json!([
        {"name": "Authorization", "value_prefix": "Bearer "},
        {"name": "X-Token", "value_prefix": "jwt="},
    ]);
    let keeping = Envoy::with(&configuration);
    configuration["providers"]["demo"]["forward"] = json!(true);
    let forwarding = Envoy::with(&configuration);
    let token = Token::signed_by("es256").to_string();
    for (name, value) in [
        ("authorization", format!("Bearer {token}")),
        ("x-token", format!("jwt={token}")),
    ] {
        let request = Request::get("/api").header(name, &value);
        let kept = keeping.client().send(&request).forwarded();
        assert_eq!(kept.header(name), None);
        let forwarded = forwarding.client().send(&request).forwarded();
        assert_eq!(forwarded.header(name), Some(value.as_str()));
    }
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

#[test]
fn a_claim_that_no_header_can_carry_unchanged_is_refused() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    for subject in [
        "alice\r\nx-session-client: admin",
        "alice\nbob",
        "alice\0",
        " alice",
        "alice\t",
        "alice\u{85}",
        "alice\u{2028}",
        &"a".repeat(8193),
    ] {
        let token = Token::signed_by("es256").claim("sub", subject);
        let reply = client.send(&Request::get("/api").bearer(token));
        assert_refused(&reply, 403, "claim_not_forwardable");
        assert_eq!(reply.json()["action"], "none");
    }
}

/// Signing in anew would give the browser the same claims, and send it here again.
#[test]
fn a_browser_whose_claims_no_header_can_carry_is_not_sent_round_in_a_circle() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["login_redirect"] = json!({"url": "https://login.example/"});
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    let page = || Request::get("/api").header("accept", "text/html");
    assert_eq!(client.send(&page()).status, 302);
    let scopes = Token::signed_by("es256").claim("scope", "s".repeat(8193));
    let reply = client.send(&page().bearer(scopes));
    assert_eq!(reply.status, 403);
    assert_eq!(reply.header("location"), None);
}

#[test]
fn claims_of_8_kib_reach_the_upstream_and_longer_ones_are_left_out_where_the_operator_says_so() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["unfit_session_headers"] = json!("omit");
    let provider = &mut configuration["providers"]["demo"];
    provider["claim_to_headers"] = json!([{"header_name": "x-groups", "claim_name": "groups"}]);
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    let mut get = |token: &Token| client.send(&Request::get("/api").bearer(token));
    let genuine = Token::signed_by("es256").claim("sid", "session-1");

    let words = |bytes: usize| "scope:word ".repeat(bytes / 11 + 1)[..bytes - 1].to_owned() + "e";
    let fits = genuine.clone().claim("scope", words(8192));
    let forwarded = get(&fits).forwarded();
    assert_eq!(
        forwarded.header("x-session-scope"),
        Some(words(8192).as_str())
    );

    let long = genuine.clone().claim("scope", words(8193));
    let forwarded = get(&long).forwarded();
    assert_eq!(forwarded.header("x-session-scope"), None);
    assert_eq!(forwarded.header("x-session-id"), Some("session-1"));

    // Never what says who is calling, and never what the operator has named.
    for claim in ["sub", "sid", "client_id", "jti"] {
        let token = genuine.clone().claim(claim, "a".repeat(8193));
        assert_refused(&get(&token), 403, "claim_not_forwardable");
    }
    let token = genuine.claim("groups", "a".repeat(8193));
    assert_refused(&get(&token), 403, "claim_not_forwardable");
}
