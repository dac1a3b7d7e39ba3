//! Which requests go through. The cases are those of the gate's own tests; here is one of each
//! kind, with what Envoy makes of it.

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
fn each_kind_of_verdict_reaches_the_client() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    let token = Token::signed_by("es256").to_string();
    let guarded = || Request::get("/api");
    for (request, status, code) in [
        (guarded(), 401, "token_missing"),
        (guarded().bearer("rubbish"), 401, "token_malformed"),
        (
            guarded().bearer(&token).bearer("rubbish"),
            400,
            "token_ambiguous",
        ),
        (
            Request::get(format!("/api?access_token={token}")),
            400,
            "token_in_query",
        ),
        (Request::get("/other").bearer(&token), 403, "no_rule"),
        (Request::get("/").method("OPTIONS"), 403, "no_rule"),
    ] {
        assert_refused(&client.send(&request), status, code);
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
fn requests_with_a_body_are_decided_by_their_headers() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    // Longer than one read from the socket.
    let request = Request::post("/api/orders", "x".repeat(300_000));
    assert_refused(&client.send(&request), 401, "token_missing");
    let reply = client.send(&request.bearer(Token::signed_by("es256")));
    assert_eq!(reply.forwarded().header("content-length"), Some("300000"));
}
