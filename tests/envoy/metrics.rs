//! What the operator sees: counters, log lines, and never a token.

use portcullis::gate::Outcome;
use serde_json::json;

use crate::support::{
    Bootstrap, Envoy, Plugin, Request, Response, Token, assert_refused, configuration, until,
};

#[test]
fn every_outcome_is_counted_under_its_own_name() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["providers"]["demo"]["from_headers"] = json!([
        {"name": "Authorization", "value_prefix": "Bearer "},
        {"name": "X-Token"},
    ]);
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    let genuine = Token::signed_by("es256");
    let api = || Request::get("/api");
    let large = genuine.clone().claim("padding", "x".repeat(16 * 1024));
    let other_key = Token::signed_by("es256-other");
    let cases = [
        ("allowed.verified", api().bearer(&genuine)),
        ("allowed.no_requirement", Request::get("/public")),
        ("refused.token_missing", api()),
        (
            "refused.token_ambiguous",
            api().bearer(&genuine).header("x-token", "abc"),
        ),
        ("refused.token_too_large", api().bearer(large)),
        ("refused.token_malformed", api().bearer("abc")),
        (
            "refused.critical_header",
            api().bearer(genuine.clone().header("crit", vec!["b64"])),
        ),
        (
            "refused.issuer_mismatch",
            api().bearer(genuine.clone().claim("iss", "evil")),
        ),
        ("refused.key_unknown", api().bearer(&other_key)),
        (
            "refused.algorithm_mismatch",
            api().bearer(genuine.clone().header("alg", "RS256")),
        ),
        (
            "refused.signature_invalid",
            api().bearer(other_key.header("kid", "test-es256")),
        ),
        (
            "refused.expiration_missing",
            api().bearer(genuine.clone().without_claim("exp")),
        ),
        (
            "refused.token_expired",
            api().bearer(genuine.clone().expiring_in(-90)),
        ),
        (
            "refused.token_not_yet_valid",
            api().bearer(genuine.clone().valid_in(600)),
        ),
        (
            "refused.audience_mismatch",
            api().bearer(genuine.clone().claim("aud", "another")),
        ),
        (
            "refused.claim_not_forwardable",
            api().bearer(genuine.claim("sub", "a\nb")),
        ),
        ("refused.no_rule", Request::get("/other")),
        ("refused.path_ambiguous", Request::get("/public/../api")),
    ];
    // Different counts, so that no counter can pass for another.
    for (index, (_, request)) in cases.iter().enumerate() {
        for _ in 0..=index {
            client.send(request);
        }
    }
    for (index, (name, _)) in (1..).zip(&cases) {
        let provider = match *name {
            "allowed.no_requirement" | "refused.no_rule" | "refused.path_ambiguous" => "",
            _ => ".demo",
        };
        let stat = format!("wasmcustom.portcullis.requests.{name}{provider}");
        assert_eq!(envoy.stat(&stat), Some(index), "{name}");
    }
    // The others need remote keys, revocation or requirements of their own, and are tried with
    // those; but they are there from the start, so that an alert on them can be.
    let tried = |name: &str| cases.iter().any(|(case, _)| name.ends_with(case));
    let others: Vec<_> = Outcome::all()
        .map(|outcome| format!("wasmcustom.{}", outcome.metric_name()))
        .filter(|name| !tried(name))
        .collect();
    assert_eq!(others.len() + cases.len(), Outcome::all().count());
    for name in others {
        assert_eq!(envoy.stat(&name), Some(0), "{name}");
    }
}

#[test]
fn the_cache_tells_what_it_has_found_and_what_it_holds() {
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration()));
    let envoy = Envoy::start(&bootstrap.with_workers(1));
    let mut client = envoy.client();
    let genuine = Request::get("/api").bearer(Token::signed_by("es256"));
    for _ in 0..3 {
        assert_eq!(client.send(&genuine).status, 200);
    }
    let forged = Token::signed_by("es256-other").header("kid", "test-es256");
    let forged = Request::get("/api").bearer(forged);
    assert_eq!(client.send(&forged).status, 401);
    let stat = |name: &str| envoy.stat(&format!("wasmcustom.portcullis.token_cache.{name}"));
    let expected = [("hits", 2), ("misses", 2), ("void", 0), ("entries", 1)];
    let told = || expected.map(|(name, _)| stat(name));
    until(
        || format!("{:?}", told()),
        || told() == expected.map(|(_, count)| Some(count)),
    );
}

#[test]
fn unmatched_requests_that_are_allowed_are_counted() {
    let mut configuration = configuration();
    configuration["allow_unmatched"] = json!(true);
    let envoy = Envoy::with(&configuration);
    assert_eq!(envoy.client().send(&Request::get("/other")).status, 200);
    let stat = |name: &str| envoy.stat(&format!("wasmcustom.portcullis.requests.{name}"));
    assert_eq!(stat("allowed.unmatched"), Some(1));
    assert_eq!(stat("refused.no_rule"), Some(0));
}

#[test]
fn a_refusal_is_logged_at_debug_with_the_request_id() {
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration()));
    let envoy = Envoy::start(&bootstrap.with_wasm_log_level("debug"));
    let mut client = envoy.client();
    let expired = Token::signed_by("es256").expiring_in(-90);
    let identified = |path| Request::get(path).header("x-request-id", "7f3a-1");
    let expected = [
        (
            identified("/api").bearer(expired),
            "refused request_id=7f3a-1 reason=token_expired provider=demo",
        ),
        (
            identified("/other"),
            "refused request_id=7f3a-1 reason=no_rule provider=-",
        ),
        (
            identified("/api").bearer(Token::signed_by("es256-other")),
            "refused request_id=7f3a-1 reason=key_unknown provider=demo",
        ),
    ];
    for (request, line) in expected {
        client.send(&request);
        let log = envoy.log();
        assert!(
            log.lines().any(|logged| logged.ends_with(line)),
            "no `{line}` in:\n{log}"
        );
    }
}

#[test]
fn a_request_id_cannot_forge_a_line_of_the_log() {
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration()));
    let envoy = Envoy::start(&bootstrap.with_wasm_log_level("debug"));
    let lengthy = "z".repeat(500);
    let request = Request::get("/api").header("x-request-id", b"a\xff\x0b\tb");
    let _ = envoy.client().try_send(&request);
    let request = Request::get("/api").header("x-request-id", &lengthy);
    envoy.client().send(&request);
    let log = envoy.log();
    assert!(!log.contains(&lengthy), "{log}");
    assert!(log.contains(&lengthy[..64]), "{log}");
    assert!(
        !log.contains('\u{fffd}'),
        "bytes that are not UTF-8 in:\n{log}"
    );
}

#[test]
fn nothing_is_logged_about_a_refusal_above_debug() {
    let envoy = Envoy::with(&configuration());
    let before = envoy.log();
    let mut client = envoy.client();
    for request in [Request::get("/api"), Request::get("/api").bearer("abc")] {
        assert_eq!(client.send(&request).status, 401);
    }
    assert_eq!(envoy.log(), before);
}

#[test]
fn no_token_is_ever_logged() {
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration()));
    let envoy = Envoy::start(&bootstrap.with_wasm_log_level("trace"));
    let mut client = envoy.client();
    let genuine = Token::signed_by("es256").claim("marker", "x".repeat(60));
    let tokens = [
        genuine.to_string(),
        genuine.clone().expiring_in(-90).to_string(),
        genuine.clone().header("alg", "RS256").to_string(),
        genuine.with_claims_text("[1]"),
        Token::signed_by("es256-other")
            .header("kid", "test-es256")
            .to_string(),
    ];
    let replies: Vec<Response> = tokens
        .iter()
        .map(|token| client.send(&Request::get("/api").bearer(token)))
        .collect();
    assert_eq!(replies[0].status, 200);
    assert_refused(&replies[1], 401, "token_expired");

    let log = envoy.log();
    assert!(
        log.contains("refused request_id="),
        "the log is not what it should be:\n{log}"
    );
    let said = replies[1..].iter().map(|reply| reply.body.as_str());
    let said: Vec<_> = said.chain([log.as_str()]).collect();
    for token in &tokens {
        // Short enough to find even a token that was cut before it was logged.
        for piece in token.as_bytes().chunks_exact(16) {
            let piece = std::str::from_utf8(piece).unwrap();
            for text in &said {
                assert!(!text.contains(piece), "a part of a token is in:\n{text}");
            }
        }
    }
}
