//! Attacks on where the keys come from, and on what is remembered of them and of revocations.

use std::thread;
use std::time::{Duration, Instant};

use p256::ecdsa::Signature;
use serde_json::{Value, json};

use super::{Before, Row, World, genuine};
use crate::revocation::scene::{Scene, session};
use crate::support::{
    Bootstrap, Envoy, JwksServer, PATIENCE, Plugin, Request, Token, assert_refused, configuration,
    encode_part, jwks, until,
};

pub(super) const ROWS: &[Row] = &[
    Row {
        id: 4,
        threat: "keys of several algorithms by one name",
        sources: "CVE-2026-39999, apache/apisix#13182",
        attack: one_name_for_several,
    },
    Row {
        id: 5,
        threat: "a key of another type or strength than its algorithm",
        sources: "CVE-2022-23539, RFC 7518",
        attack: unfit_keys,
    },
    Row {
        id: 13,
        threat: "a revoked token in another spelling, or with another signature",
        sources: "OWASP/CheatSheetSeries#2242",
        attack: revoked_in_another_spelling,
    },
    Row {
        id: 30,
        threat: "many requests during one fetch of the keys",
        sources: "CVE-2025-64527, higress-group/higress#3838",
        attack: requests_during_a_fetch,
    },
    Row {
        id: 31,
        threat: "an outage of the issuer brings an unknown key into force",
        sources: "CVE-2026-31837",
        attack: outage,
    },
    Row {
        id: 32,
        threat: "key sets without end, redirected, or with secrets in them",
        sources: "CVE-2026-41413, higress-group/higress#3838",
        attack: hostile_set,
    },
    Row {
        id: 33,
        threat: "a storm of fetches by names that no key has",
        sources: "envoyproxy/envoy#14557, giantswarm/mcp-oauth#452",
        attack: storm_of_names,
    },
    Row {
        id: 38,
        threat: "a remembered token outlives its key or its revocation",
        sources: "jwt_authn/authenticator.cc",
        attack: outlived,
    },
];

fn with_set(set: &Value) -> Envoy {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["providers"]["demo"]["local_jwks"] = json!({"inline_string": set.to_string()});
    Envoy::with(&configuration)
}

fn set_of(names: &[&str]) -> Value {
    serde_json::from_str(&jwks(names)).unwrap()
}

/// An Envoy whose keys come from this server, with further settings.
fn with_server(server: &JwksServer, settings: &Value) -> Envoy {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    let mut remote = json!({
        "http_uri": {"uri": "http://issuer.example/jwks", "cluster": "issuer", "timeout": "5s"},
    });
    for (name, value) in settings.as_object().unwrap() {
        remote[name] = value.clone();
    }
    let provider = configuration["providers"]["demo"].as_object_mut().unwrap();
    provider.remove("local_jwks");
    provider.insert("remote_jwks".to_owned(), remote);
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration));
    Envoy::start(&bootstrap.with_cluster("issuer", server.address()))
}

fn api(token: impl Into<String>) -> Request {
    Request::get("/api").bearer(token)
}

fn forged() -> Token {
    Token::signed_by("es256-other").header("kid", "test-es256")
}

#[track_caller]
fn wait_for(envoy: &Envoy, request: &Request, status: u16) {
    until(
        || format!("{status}: {}", envoy.log()),
        || envoy.client().send(request).status == status,
    );
}

/// Waits until the keys have been fetched once more, and the filter has had time to read them.
#[track_caller]
fn wait_for_fetch(server: &JwksServer) {
    let fetched = server.requests("/jwks");
    until(
        || "the keys were not fetched again".to_owned(),
        || server.requests("/jwks") > fetched,
    );
    thread::sleep(Duration::from_millis(300));
}

fn one_name_for_several(_: &mut World) {
    let mut set = set_of(&["rs256", "es256", "eddsa"]);
    for key in set["keys"].as_array_mut().unwrap() {
        key["kid"] = "same".into();
    }
    let envoy = with_set(&set);
    let before = Before::of(&envoy);
    let mut client = envoy.client();
    let algorithms = [("rs256", "RS256"), ("es256", "ES256"), ("eddsa", "EdDSA")];
    for (signer, own) in algorithms {
        let token = Token::signed_by(signer).header("kid", "same");
        assert_eq!(client.send(&api(&token)).status, 200, "{signer}");
        for (_, other) in algorithms.iter().filter(|(_, name)| *name != own) {
            let reply = client.send(&api(token.clone().header("alg", *other)));
            assert_refused(&reply, 401, "signature_invalid");
        }
    }
    before.assert_unharmed(&envoy, genuine().header("kid", "same"));
}

fn unfit_keys(_: &mut World) {
    let weak = include_str!("../../vectors/weak-rsa.json");
    let weak: Value = serde_json::from_str(weak).unwrap();
    let mut set = set_of(&["es256", "rs256", "eddsa"]);
    let keys = set["keys"].as_array_mut().unwrap();
    let mut confused = keys[1].clone();
    confused["kid"] = "confused".into();
    confused["alg"] = "ES256".into();
    let mut small_exponent = keys[1].clone();
    small_exponent["kid"] = "exponent".into();
    small_exponent["e"] = "AQ".into();
    let mut another_curve = keys[0].clone();
    another_curve["kid"] = "curve".into();
    another_curve["crv"] = "P-384".into();
    let mut off_the_curve = keys[0].clone();
    off_the_curve["kid"] = "off".into();
    off_the_curve["y"] = off_the_curve["x"].clone();
    keys.extend([
        weak["jwk"].clone(),
        confused,
        small_exponent,
        another_curve,
        off_the_curve,
    ]);
    let envoy = with_set(&set);
    let before = Before::of(&envoy);
    let mut client = envoy.client();
    let token = weak["token"].as_str().unwrap();
    assert_refused(&client.send(&api(token)), 401, "signature_invalid");
    for name in ["confused", "exponent", "curve", "off"] {
        for signer in ["es256", "rs256"] {
            let token = Token::signed_by(signer).header("kid", name);
            assert_refused(&client.send(&api(token)), 401, "signature_invalid");
        }
    }
    before.assert_unharmed(&envoy, genuine());
}

/// The same token, with the other one of the two signatures that ECDSA has for it.
fn with_the_other_signature(token: &str) -> String {
    let (signing_input, signature) = token.rsplit_once('.').unwrap();
    let bytes =
        base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, signature);
    let signature = Signature::from_slice(&bytes.unwrap()).unwrap();
    let (first, second) = signature.split_scalars();
    let other = Signature::from_scalars(*first, -*second).unwrap();
    format!("{signing_input}.{}", encode_part(other.to_bytes()))
}

fn revoked_in_another_spelling(_: &mut World) {
    let mut scene = Scene::new(&json!({}));
    let before = Before::of(&scene.envoy);
    let token = session("stolen");
    let compact = token.to_string();
    let with_space = token.with_claims_text(token.claims_text().replace("\"sub\":", "\"sub\" : "));
    let spellings = [
        with_the_other_signature(&compact),
        with_space,
        token.clone().header("more", "of it").to_string(),
        token.clone().without_header("typ").to_string(),
        compact,
    ];
    for spelling in &spellings {
        for reply in scene.send(&api(spelling)) {
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    }
    scene.authority.revoke("session", "stolen");
    scene.wait_until_refused(&token, "token_revoked");
    for spelling in &spellings {
        for reply in scene.send(&api(spelling)) {
            assert_refused(&reply, 401, "token_revoked");
        }
    }
    before.assert_unharmed(&scene.envoy, session("another"));
}

fn requests_during_a_fetch(_: &mut World) {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    server.delay(Duration::from_millis(700));
    let envoy = with_server(&server, &json!({}));
    let before = Before::of(&envoy);
    thread::scope(|scope| {
        for index in 0..24 {
            let mut client = envoy.client();
            let (request, status) = match index % 3 {
                0 => (api(forged()), 401),
                1 => (api("rubbish"), 401),
                _ => (api(genuine()), 200),
            };
            scope.spawn(move || assert_eq!(client.send(&request).status, status));
        }
    });
    assert_eq!(server.requests("/jwks"), 1);
    before.assert_unharmed(&envoy, genuine());
}

fn outage(_: &mut World) {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let settings = json!({"cache_duration": "1s", "max_stale": "2s"});
    let envoy = with_server(&server, &settings);
    let before = Before::of(&envoy);
    wait_for(&envoy, &api(genuine()), 200);
    server.answer("/jwks", 500, None, jwks(&["es256-other"]));
    let asked = server.requests("/jwks");
    let start = Instant::now();
    while server.requests("/jwks") < asked + 2 {
        // Keys in an answer with an error status are never taken.
        let status = envoy
            .client()
            .send(&api(Token::signed_by("es256-other")))
            .status;
        assert!(matches!(status, 401 | 503), "{status}");
        assert!(
            start.elapsed() < PATIENCE,
            "the keys were not fetched again"
        );
        thread::sleep(Duration::from_millis(50));
    }
    let status = envoy.client().send(&api(forged())).status;
    assert!(matches!(status, 401 | 503), "{status}");
    server.serve("/jwks", jwks(&["es256"]));
    wait_for(&envoy, &api(genuine()), 200);
    before.assert_unharmed(&envoy, genuine());
}

fn hostile_set(_: &mut World) {
    let many = |count: usize| {
        let mut set = set_of(&["es256-other"]);
        let key = set["keys"][0].clone();
        let named = |index| {
            let mut key = key.clone();
            key["kid"] = format!("k{index}").into();
            key
        };
        set["keys"] = (0..count).map(named).collect();
        set.to_string()
    };
    let elsewhere = JwksServer::with_keys(jwks(&["es256-other"]));
    let location = format!("http://{}/jwks", elsewhere.address());
    let server = JwksServer::with_keys(jwks(&["es256", "hs256"]));
    let envoy = with_server(&server, &json!({"cache_duration": "1s"}));
    let before = Before::of(&envoy);
    wait_for(&envoy, &api(genuine()), 200);
    // A secret that can be fetched is not a secret.
    let reply = envoy.client().send(&api(Token::signed_by("hs256")));
    assert!(matches!(reply.status, 401), "{reply:?}");
    let answers = [
        (200, None, many(20_000)),
        (200, None, " ".repeat(3 << 20)),
        (200, None, "[".repeat(100_000)),
        (200, None, r#"{"keys":[]}"#.to_owned()),
        (302, Some(("location", location)), String::new()),
    ];
    for (status, header, body) in answers {
        server.answer("/jwks", status, header, body);
        wait_for_fetch(&server);
        let reply = envoy.client().send(&api(Token::signed_by("es256-other")));
        assert!(matches!(reply.status, 401 | 503), "{reply:?}");
        // The last good set stays.
        before.assert_unharmed(&envoy, genuine());
        // So that the next one is fetched soon again.
        server.serve("/jwks", jwks(&["es256", "hs256"]));
        wait_for_fetch(&server);
    }
    assert_eq!(elsewhere.all_requests(), 0, "the redirect was followed");
    before.assert_unharmed(&envoy, genuine());
}

fn storm_of_names(_: &mut World) {
    const REQUESTS: usize = 300;
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let envoy = with_server(&server, &json!({}));
    let before = Before::of(&envoy);
    wait_for(&envoy, &api(genuine()), 200);
    let mut client = envoy.client();
    let start = Instant::now();
    for index in 0..REQUESTS {
        let token = forged().header("kid", format!("unknown {index}"));
        let status = client.send(&api(token)).status;
        assert!(matches!(status, 401 | 503), "{status}");
    }
    let allowed = 5 + start.elapsed().as_secs() / 5;
    let fetched = server.requests("/jwks") as u64;
    assert!(
        fetched <= allowed,
        "{fetched} fetches for {REQUESTS} requests"
    );
    before.assert_unharmed(&envoy, genuine());
}

fn outlived(_: &mut World) {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let envoy = with_server(&server, &json!({"cache_duration": "1s"}));
    let before = Before::of(&envoy);
    let request = api(genuine());
    wait_for(&envoy, &request, 200);
    assert_eq!(envoy.client().send(&request).status, 200);
    server.serve("/jwks", jwks(&["rs256"]));
    wait_for(&envoy, &api(Token::signed_by("rs256")), 200);
    wait_for(&envoy, &request, 401);
    before.assert_unharmed(&envoy, Token::signed_by("rs256"));

    let mut scene = Scene::new(&json!({}));
    let before = Before::of(&scene.envoy);
    let token = session("remembered");
    scene.assert_accepted(&token);
    scene.assert_accepted(&token);
    scene.authority.revoke("session", "remembered");
    scene.wait_until_refused(&token, "token_revoked");
    scene.assert_refused(&token, 401, "token_revoked");
    before.assert_unharmed(&scene.envoy, session("another"));
}
