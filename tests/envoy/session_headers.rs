//! What the upstream is told about the caller, and that nobody else can tell it.

use serde_json::json;

use crate::support::{AUDIENCE, Envoy, ISSUER, Request, Token, assert_refused, configuration};

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
            .header("x-session-subjec", "kept")
            .header("x-session-subjects", "kept");
        for spoofed in [
            "x-session-subject",
            "X-Session-Subject",
            "x_session_subject",
            "x.session.subject",
            "x-session_subject",
            "X_SESSION.subject",
            "x-session-id",
            "x-session_id",
            "x-session-provider",
            "x-user.name",
            "x-user-name",
            "x_user_name",
        ] {
            request = request.header(spoofed, "mallory").header(spoofed, "root");
        }
        let forwarded = client.send(&request).forwarded();
        let mut spoofed = forwarded
            .headers
            .iter()
            .filter(|(_, value)| matches!(value.as_str(), "mallory" | "root"));
        assert_eq!(spoofed.next(), None, "{path}");
        assert_eq!(forwarded.header("x-session-subjec"), Some("kept"), "{path}");
        assert_eq!(
            forwarded.header("x-session-subjects"),
            Some("kept"),
            "{path}"
        );
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

/// A proxy removes the headers that `Connection` names (RFC 9110 section 7.6.1), and must not
/// take this for one that the client sent.
#[test]
fn the_client_cannot_have_a_session_header_removed() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    for nomination in [
        "x-session-subject",
        "close, X-Session-Subject",
        "keep-alive,x-session-subject",
    ] {
        let request = Request::get("/api")
            .bearer(Token::signed_by("es256"))
            .header("connection", nomination);
        let forwarded = client.send(&request).forwarded();
        assert_eq!(
            forwarded.header("x-session-subject"),
            Some("alice"),
            "{nomination}"
        );
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
        &"a".repeat(5000),
    ] {
        let token = Token::signed_by("es256").claim("sub", subject);
        let reply = client.send(&Request::get("/api").bearer(token));
        assert_refused(&reply, 401, "claim_not_forwardable");
    }
}
