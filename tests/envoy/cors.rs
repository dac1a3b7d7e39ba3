//! Scripts of other origins: Envoy's `cors` filter comes before the gate, as `envoy/README.md`
//! says.

use serde_json::{Value, json};

use crate::support::{
    Bootstrap, Envoy, Listener, Plugin, Request, Response, Token, assert_refused, configuration,
};

const ORIGIN: &str = "https://app.example";

/// The filter, and a route that says what it lets pass.
fn cors() -> (Value, Value) {
    let extension =
        |name: &str| format!("type.googleapis.com/envoy.extensions.filters.http.cors.v3.{name}");
    let filter = json!({
        "name": "envoy.filters.http.cors",
        "typed_config": {"@type": extension("Cors")},
    });
    let policy = json!({
        "@type": extension("CorsPolicy"),
        "allow_origin_string_match": [{"exact": ORIGIN}],
        "allow_methods": "GET, POST",
        "allow_headers": "authorization, content-type, dpop",
        "expose_headers": "www-authenticate, date, dpop-nonce, retry-after, x-session-expires-at",
        "max_age": "600",
    });
    let route = json!({
        "match": {"prefix": "/"},
        "route": {"cluster": "upstream"},
        "typed_per_filter_config": {"envoy.filters.http.cors": policy},
    });
    (filter, route)
}

/// An Envoy that has the filter where `add` puts it.
fn start(add: impl FnOnce(Listener, &Value) -> Listener) -> Envoy {
    let (filter, route) = cors();
    let listener = Listener::portcullis(Plugin::new(&configuration()));
    let listener = add(listener, &filter).with_first_routes(&[route]);
    Envoy::start(&Bootstrap::new([listener]))
}

fn preflight(origin: &str) -> Request {
    Request::get("/api")
        .method("OPTIONS")
        .header("origin", origin)
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "authorization")
}

fn from(origin: &str) -> Request {
    Request::get("/api").header("origin", origin)
}

/// Asserts that a script of the origin can read the answer, its challenge too.
#[track_caller]
fn assert_readable(reply: &Response) {
    assert_eq!(
        reply.header("access-control-allow-origin"),
        Some(ORIGIN),
        "{reply:?}"
    );
    let exposed = reply.header("access-control-expose-headers");
    assert_eq!(
        exposed,
        Some("www-authenticate, date, dpop-nonce, retry-after, x-session-expires-at"),
        "{reply:?}"
    );
}

#[test]
fn with_the_cors_filter_before_the_gate_scripts_read_refusals_and_preflights_pass() {
    let envoy = start(Listener::with_first_filter);
    let mut client = envoy.client();

    let reply = client.send(&preflight(ORIGIN));
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("access-control-allow-origin"), Some(ORIGIN));
    assert_eq!(
        reply.header("access-control-allow-headers"),
        Some("authorization, content-type, dpop")
    );

    let refused = client.send(&from(ORIGIN));
    assert_refused(&refused, 401, "token_missing");
    assert_readable(&refused);
    assert!(refused.header("www-authenticate").is_some(), "{refused:?}");
    let expired = Token::signed_by("es256").expiring_in(-90);
    let refused = client.send(&from(ORIGIN).bearer(expired));
    assert_refused(&refused, 401, "token_expired");
    assert_readable(&refused);
    let accepted = client.send(&from(ORIGIN).bearer(Token::signed_by("es256")));
    assert_eq!(accepted.status, 200);
    assert_readable(&accepted);

    // Another origin gets nothing, and the gate decides about its preflights too.
    assert_refused(
        &client.send(&preflight("https://evil.example")),
        401,
        "token_missing",
    );
    let refused = client.send(&from("https://evil.example"));
    assert_refused(&refused, 401, "token_missing");
    let readable_by = refused.header("access-control-allow-origin");
    assert_eq!(readable_by, None, "{refused:?}");
}

#[test]
fn behind_the_gate_the_cors_filter_sees_neither_preflights_nor_refusals() {
    let envoy = start(Listener::with_last_filter);
    let mut client = envoy.client();
    assert_refused(&client.send(&preflight(ORIGIN)), 401, "token_missing");
    let refused = client.send(&from(ORIGIN));
    assert_refused(&refused, 401, "token_missing");
    let readable_by = refused.header("access-control-allow-origin");
    assert_eq!(readable_by, None, "{refused:?}");
}

#[test]
fn the_shipped_file_has_the_lines_that_are_tested_here() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/envoy.yaml");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (filter, route) = cors();
    let policy = &route["typed_per_filter_config"]["envoy.filters.http.cors"];
    let lines = [
        format!("# - name: {}", filter["name"].as_str().unwrap()),
        format!(
            "# \"@type\": {}",
            filter["typed_config"]["@type"].as_str().unwrap()
        ),
        format!("# \"@type\": {}", policy["@type"].as_str().unwrap()),
        format!("# allow_origin_string_match: [{{exact: \"{ORIGIN}\"}}]"),
    ];
    let others = ["allow_methods", "allow_headers", "expose_headers"];
    let others = others.map(|name| format!("# {name}: {}", policy[name].as_str().unwrap()));
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let shipped: Vec<_> = text.lines().map(squeezed).collect();
    for line in lines.iter().chain(&others) {
        assert!(shipped.contains(line), "{line}");
    }
    let line = |text: &str| shipped.iter().position(|line| line.ends_with(text));
    assert!(line("name: envoy.filters.http.cors") < line("name: envoy.filters.http.wasm"));
}
