//! What refused clients are told. The cases are those of the gate's own tests; here is what Envoy
//! makes of an answer.

use serde_json::json;

use crate::support::{
    Bootstrap, Envoy, Listener, Plugin, Request, Token, assert_refused, configuration,
};

#[test]
fn a_refusal_comes_with_its_challenge_and_its_advice() {
    let mut configuration = configuration();
    configuration["realm"] = json!("orders, api");
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    let token = Token::signed_by("es256").expiring_in(-90);
    let reply = client.send(&Request::get("/api").bearer(token));
    assert_refused(&reply, 401, "token_expired");
    assert_eq!(reply.json()["action"], "refresh");
    assert_eq!(
        reply.header("www-authenticate"),
        Some(
            "Bearer realm=\"orders, api\", error=\"invalid_token\", \
             error_description=\"the token has expired\""
        )
    );
    let reply = client.send(&Request::get("/other"));
    assert_refused(&reply, 403, "no_rule");
    assert_eq!(reply.header("www-authenticate"), None);
}

#[test]
fn a_grpc_client_is_told_in_its_own_form() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    let call = Request::post("/api", "").header("content-type", "application/grpc+proto");
    let reply = client.send(&call);
    assert_eq!(reply.status, 200);
    for (name, value) in [
        ("content-type", "application/grpc"),
        ("grpc-status", "16"),
        ("grpc-message", "token_missing: a token is required"),
        ("cache-control", "no-store"),
    ] {
        assert_eq!(reply.header(name), Some(value), "{reply:?}");
    }
    assert_eq!(reply.body, "");
    let call = call.bearer(Token::signed_by("es256"));
    assert_eq!(client.send(&call).status, 200);
}

/// Browsers speak gRPC-Web, which Envoy's `grpc_web` filter translates before the gate sees it.
#[test]
fn grpc_web_clients_are_told_the_same_status_through_the_filter_that_translates_for_them() {
    let mut configuration = configuration();
    let keys = json!({"uri": "http://nowhere.example/jwks", "cluster": "nowhere"});
    configuration["providers"]["far"] = json!({"remote_jwks": {"http_uri": keys}});
    let far = json!({"match": {"prefix": "/far"}, "requires": {"provider_name": "far"}});
    configuration["rules"]
        .as_array_mut()
        .unwrap()
        .insert(0, far);
    let translation = json!({
        "name": "envoy.filters.http.grpc_web",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
        },
    });
    let listener = Listener::portcullis(Plugin::new(&configuration));
    let bootstrap = Bootstrap::new([listener.with_first_filter(&translation)]);
    let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
    let envoy = Envoy::start(&bootstrap.with_cluster("nowhere", nowhere));
    let mut client = envoy.client();
    let genuine = Token::signed_by("es256");
    for (sent, received) in [
        ("application/grpc-web", "application/grpc-web+proto"),
        ("application/grpc-web+proto", "application/grpc-web+proto"),
        (
            "application/grpc-web-text",
            "application/grpc-web-text+proto",
        ),
        ("application/grpc", "application/grpc"),
    ] {
        let call = |path| {
            let call = Request::post(path, "\0\0\0\0\0").header("content-type", sent);
            call.header("accept", sent).header("x-grpc-web", "1")
        };
        for (request, status, message) in [
            (call("/api"), "16", "token_missing: a token is required"),
            (
                call("/api").bearer(genuine.clone().claim("aud", "another")),
                "7",
                "audience_mismatch: the token is meant for another audience",
            ),
            (
                call("/public/../api"),
                "3",
                "path_ambiguous: the path can be read in two ways",
            ),
            (
                call("/far").bearer(&genuine),
                "14",
                "keys_unavailable: tokens cannot be verified at the moment",
            ),
        ] {
            let reply = client.send(&request);
            assert_eq!(reply.status, 200, "{message}");
            assert_eq!(reply.header("content-type"), Some(received), "{message}");
            assert_eq!(reply.header("grpc-status"), Some(status), "{message}");
            assert_eq!(reply.header("grpc-message"), Some(message));
            assert_eq!(reply.body, "", "{message}");
        }
    }
}
