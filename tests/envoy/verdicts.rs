//! Who is let through and who is not.

use serde_json::json;

use crate::support::{Envoy, Request, Token, assert_refused, configuration};

#[test]
fn a_genuine_token_of_every_algorithm_passes() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    for key in ["rs256", "es256", "eddsa"] {
        for token in [
            Token::signed_by(key),
            Token::signed_by(key).without_header("kid"),
            Token::signed_by(key).claim("aud", vec!["another", "api"]),
        ] {
            let reply = client.send(&Request::get("/api").bearer(&token));
            assert_eq!(reply.status, 200, "{key}: {reply:?}");
        }
    }
}

#[test]
fn a_request_without_a_token_is_refused() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    let none = Request::get("/api");
    let other_scheme = none.clone().header("authorization", "Basic YTpi");
    let empty = none.clone().header("authorization", "Bearer");
    let in_the_query = Request::get(format!("/api?access_token={}", Token::signed_by("es256")));
    for request in [none, other_scheme, empty] {
        assert_refused(&client.send(&request), 401, "token_missing");
    }
    assert_refused(&client.send(&in_the_query), 400, "token_in_query");
}

#[test]
fn times_are_compared_with_the_configured_skew() {
    let mut configuration = configuration();
    let skew = "clock_skew_seconds";
    configuration["providers"]["demo"][skew] = json!(0);
    let exact = Envoy::with(&configuration);
    configuration["providers"]["demo"][skew] = json!(300);
    let lenient = Envoy::with(&configuration);
    let token = Token::signed_by("es256");
    for (token, code) in [
        (token.clone().expiring_in(-100), "token_expired"),
        (token.clone().valid_in(100), "token_not_yet_valid"),
    ] {
        let request = Request::get("/api").bearer(token);
        assert_refused(&exact.client().send(&request), 401, code);
        assert_eq!(lenient.client().send(&request).status, 200, "{code}");
    }
}

#[test]
fn a_token_without_expiration_needs_the_operators_consent() {
    let mut configuration = configuration();
    let strict = Envoy::with(&configuration);
    configuration["providers"]["demo"]["require_expiration"] = json!(false);
    let lenient = Envoy::with(&configuration);
    let token = Token::signed_by("es256").without_claim("exp");
    let request = Request::get("/api").bearer(token);
    assert_refused(&strict.client().send(&request), 401, "expiration_missing");
    assert_eq!(lenient.client().send(&request).status, 200);
}

#[test]
fn a_token_for_another_audience_is_forbidden() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    for token in [
        Token::signed_by("rs256").claim("aud", "another"),
        Token::signed_by("rs256").claim("aud", json!([])),
        Token::signed_by("rs256").without_claim("aud"),
    ] {
        let reply = client.send(&Request::get("/api").bearer(token));
        assert_refused(&reply, 403, "audience_mismatch");
    }
}

#[test]
fn what_no_rule_matches_is_forbidden_and_what_is_open_needs_no_token() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    for request in [
        Request::get("/other"),
        Request::get("/other").bearer(Token::signed_by("es256")),
        Request::get("/").method("OPTIONS"),
        Request::get("/API"),
    ] {
        assert_refused(&client.send(&request), 403, "no_rule");
    }
    let open = Request::get("/public/index.html?x=/api");
    for request in [
        open.clone(),
        open.clone().bearer("rubbish"),
        open.method("DELETE"),
    ] {
        assert_eq!(client.send(&request).status, 200);
    }
}

#[test]
fn the_scheme_is_found_in_any_case_and_only_at_the_beginning() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    let token = Token::signed_by("es256").to_string();
    let mut status = |value: String| {
        let request = Request::get("/api").header("authorization", value);
        client.send(&request).status
    };
    for scheme in ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "] {
        assert_eq!(status(format!("{scheme} {token}")), 200, "{scheme}");
    }
    for scheme in ["XBearer", "Token", "Bearer\t", ""] {
        assert_eq!(status(format!("{scheme} {token}")), 401, "{scheme}");
    }
}

#[test]
fn two_different_tokens_are_refused_whichever_is_genuine() {
    let mut configuration = configuration();
    configuration["providers"]["demo"]["from_headers"] = json!([
        {"name": "Authorization", "value_prefix": "Bearer "},
        {"name": "X-Token"},
    ]);
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    let genuine = Token::signed_by("es256").to_string();
    let other = Token::signed_by("es256-other").to_string();
    let bearer = Request::get("/api").bearer(&genuine);
    let own = Request::get("/api").header("x-token", &genuine);
    for request in [
        bearer.clone().bearer(&other),
        Request::get("/api").bearer(&other).bearer(&genuine),
        bearer.clone().header("authorization", "Basic YTpi"),
        bearer.clone().header("x-token", &other),
        own.clone().bearer(&other),
        own.clone().header("x-token", &other),
    ] {
        assert_refused(&client.send(&request), 400, "token_ambiguous");
    }
    // Envoy joins repeated lines of `Authorization`, and this way the genuine token is not what
    // the joined line begins with.
    let basic_first = Request::get("/api").header("authorization", "Basic YTpi");
    let reply = client.send(&basic_first.bearer(&genuine));
    assert!(matches!(reply.status, 400 | 401), "{reply:?}");

    let twice_the_same = bearer.header("x-token", &genuine);
    let forwarded = client.send(&twice_the_same).forwarded();
    assert_eq!(forwarded.header("authorization"), None);
    assert_eq!(forwarded.header("x-token"), None);
}

#[test]
fn requests_with_a_body_are_decided_by_their_headers() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    // Longer than what one read from the socket gives.
    let request = Request::post("/api/orders", "x".repeat(300_000));
    assert_refused(&client.send(&request), 401, "token_missing");
    let reply = client.send(&request.bearer(Token::signed_by("es256")));
    assert_eq!(reply.forwarded().header("content-length"), Some("300000"));
}
