//! What those are told who are not let through.

use serde_json::json;

use crate::support::{
    Bootstrap, Envoy, Listener, Plugin, Request, Response, Token, assert_refused, configuration,
    encode_part,
};

#[test]
fn without_a_token_the_challenge_is_bare() {
    let envoy = Envoy::with(&configuration());
    let reply = envoy.client().send(&Request::get("/api"));
    assert_refused(&reply, 401, "token_missing");
    assert_eq!(reply.json()["action"], "sign_in");
    assert_eq!(
        reply.header("www-authenticate"),
        Some("Bearer realm=\"portcullis\"")
    );
}

#[test]
fn an_expired_token_is_refused_with_a_challenge_and_the_advice_to_refresh() {
    let envoy = Envoy::with(&configuration());
    let token = Token::signed_by("es256").expiring_in(-90);
    let reply = envoy.client().send(&Request::get("/api").bearer(token));
    assert_refused(&reply, 401, "token_expired");
    assert_eq!(reply.json()["action"], "refresh");
    assert_invalid_token(&reply, "the token has expired");
}

#[test]
fn a_token_that_is_not_valid_yet_comes_with_the_advice_to_wait() {
    let envoy = Envoy::with(&configuration());
    let token = Token::signed_by("es256").valid_in(600);
    let reply = envoy.client().send(&Request::get("/api").bearer(token));
    assert_refused(&reply, 401, "token_not_yet_valid");
    assert_eq!(reply.json()["action"], "wait");
    assert_invalid_token(&reply, "the token is not valid yet");
}

#[test]
fn the_challenge_says_whether_the_token_or_the_request_is_at_fault() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    let genuine = Token::signed_by("es256");

    let another = genuine.clone().claim("aud", "another");
    let reply = client.send(&Request::get("/api").bearer(another));
    assert_refused(&reply, 403, "audience_mismatch");
    assert_invalid_token(&reply, "the token is meant for another audience");

    let two = Request::get("/api").bearer(&genuine).bearer("abc");
    let reply = client.send(&two);
    assert_refused(&reply, 400, "token_ambiguous");
    let challenge = reply.header("www-authenticate").unwrap();
    assert!(
        challenge.contains("error=\"invalid_request\""),
        "{challenge}"
    );

    let reply = client.send(&Request::get("/other").bearer(&genuine));
    assert_refused(&reply, 403, "no_rule");
    assert_eq!(reply.header("www-authenticate"), None);
}

#[test]
fn the_realm_of_the_challenge_can_be_chosen() {
    let mut configuration = configuration();
    configuration["realm"] = json!("orders, api");
    let envoy = Envoy::with(&configuration);
    let reply = envoy.client().send(&Request::get("/api"));
    assert_eq!(
        reply.header("www-authenticate"),
        Some("Bearer realm=\"orders, api\"")
    );
}

/// Whoever has no genuine token learns nothing about issuers, keys and algorithms.
#[test]
fn whatever_is_forged_gets_one_and_the_same_answer() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    let genuine = Token::signed_by("es256");
    let forgery = Token::signed_by("es256-other").header("kid", "test-es256");
    let text = genuine.to_string();
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let promoted = encode_part(genuine.clone().claim("sub", "root").claims_text());
    let none = encode_part(r#"{"alg":"none"}"#);
    let rsa = Token::signed_by("rs256-other").header("kid", "test-rs256");
    let edwards = Token::signed_by("eddsa-other").header("kid", "test-eddsa");
    for (what, token) in [
        ("another key that claims to be ours", forgery.to_string()),
        ("another RSA key that claims to be ours", rsa.to_string()),
        ("another Ed25519 key that does so", edwards.to_string()),
        (
            "another key under its own name",
            Token::signed_by("es256-other").to_string(),
        ),
        (
            "a key of another algorithm",
            genuine.clone().header("kid", "test-rs256").to_string(),
        ),
        (
            "an algorithm that is not the key's",
            genuine.clone().header("alg", "RS256").to_string(),
        ),
        (
            "an algorithm that we do not know",
            genuine.clone().header("alg", "HS256").to_string(),
        ),
        (
            "another issuer",
            genuine
                .clone()
                .claim("iss", "https://evil.example")
                .to_string(),
        ),
        (
            "no issuer",
            genuine.clone().without_claim("iss").to_string(),
        ),
        (
            "other claims under a genuine signature",
            format!("{header}.{promoted}.{signature}"),
        ),
        ("no signature", format!("{signed}.")),
        ("no algorithm", format!("{none}.{promoted}.")),
        (
            "an expired forgery",
            forgery.clone().expiring_in(-90).to_string(),
        ),
        (
            "a forgery for another audience",
            forgery.claim("aud", "another").to_string(),
        ),
    ] {
        let reply = client.send(&Request::get("/api").bearer(token));
        assert_eq!(reply.json()["code"], "signature_invalid", "{what}");
        assert_refused(&reply, 401, "signature_invalid");
        assert_invalid_token(&reply, "the signature could not be verified");
    }
}

#[test]
fn a_token_with_two_meanings_or_none_is_malformed() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    let genuine = Token::signed_by("es256");
    let claims = genuine.claims_text();
    let twice = claims.replacen('{', r#"{"sub":"root","#, 1);
    let padded = encode_part(r#"{"alg":"ES256","a":123}"#) + "=";
    let padded = genuine.with_parts(&padded, &encode_part(&claims));
    for (what, token) in [
        ("text", "abc".to_owned()),
        ("two parts", "abc.def".to_owned()),
        ("four parts", format!("{genuine}.")),
        ("only dots", ".".repeat(1000)),
        ("white space", format!("{genuine} x")),
        ("padding", padded),
        ("a repeated claim", genuine.with_claims_text(twice)),
        ("a list", genuine.with_claims_text("[1]")),
        ("no UTF-8", genuine.with_claims_text(b"{\"sub\":\"\xff\"}")),
        ("deep nesting", genuine.with_claims_text("[".repeat(8000))),
        (
            "text for a time",
            genuine.clone().claim("exp", "4102444800").to_string(),
        ),
        (
            "an impossible time",
            genuine.clone().claim("exp", 1e19).to_string(),
        ),
        (
            "a critical extension",
            genuine.clone().header("crit", vec!["b64"]).to_string(),
        ),
    ] {
        let reply = client.send(&Request::get("/api").bearer(token));
        assert_eq!(reply.json()["code"], "token_malformed", "{what}");
        assert_refused(&reply, 401, "token_malformed");
        assert_invalid_token(&reply, "the token is not well formed");
    }
}

#[test]
fn grpc_clients_are_told_in_their_own_form() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    let call = |path| Request::post(path, "").header("content-type", "application/grpc+proto");
    let genuine = Token::signed_by("es256");
    let expired = genuine.clone().expiring_in(-90);
    let another = genuine.clone().claim("aud", "another");
    for (request, status, message) in [
        (call("/api"), "16", "token_missing: a token is required"),
        (
            call("/api").bearer(expired),
            "16",
            "token_expired: the token has expired",
        ),
        (
            call("/api").bearer(another),
            "7",
            "audience_mismatch: the token is meant for another audience",
        ),
        (
            call("/other"),
            "7",
            "no_rule: requests of this kind are not permitted",
        ),
        (
            call("/public/../api"),
            "3",
            "path_ambiguous: the path can be read in two ways",
        ),
    ] {
        let reply = client.send(&request);
        assert_eq!(reply.status, 200, "{message}");
        assert_eq!(
            reply.header("content-type"),
            Some("application/grpc"),
            "{message}"
        );
        assert_eq!(reply.header("grpc-status"), Some(status), "{message}");
        assert_eq!(reply.header("grpc-message"), Some(message));
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{message}");
        assert_eq!(reply.body, "", "{message}");
    }
    assert_eq!(client.send(&call("/api").bearer(genuine)).status, 200);
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

fn assert_invalid_token(reply: &Response, description: &str) {
    let expected = format!(
        "Bearer realm=\"portcullis\", error=\"invalid_token\", error_description=\"{description}\""
    );
    assert_eq!(reply.header("www-authenticate"), Some(expected.as_str()));
}
