//! The gate over [`MockHost`]: what it does with a request, whole.

mod bound_claims;
mod claims;
mod host_faults;
mod locations;
mod missing_keys;
mod proofs;
mod requirements;
mod routes;
mod session_headers;
mod step_up;
#[cfg(not(target_family = "wasm"))]
mod token_check;

use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock::MockHost;
use crate::time::UnixTime;
use crate::token::fixtures::{eddsa, es256, es256_other, jwk_set, signed, token};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

fn now() -> UnixTime {
    UnixTime::from_seconds(NOW).unwrap()
}

fn gate_with(change: impl FnOnce(&mut Value)) -> Gate {
    gate_by(Backend::Module, change)
}

fn gate_by(backend: Backend, change: impl FnOnce(&mut Value)) -> Gate {
    let mut configuration = json!({
        "providers": {
            "idp": {
                "issuer": "https://issuer.example",
                "audiences": ["api"],
                "local_jwks": {"inline_string": jwk_set(&[&es256(), &eddsa()])},
                "claim_to_headers": [
                    {"header_name": "x-user", "claim_name": "user.name"},
                    {"header_name": "x-roles", "claim_name": "roles"},
                ],
            },
        },
        "rules": [
            {"match": {"prefix": "/public"}},
            {"match": {"prefix": "/api"}, "requires": {"provider_name": "idp"}},
        ],
        "session_headers": true,
    });
    change(&mut configuration);
    let configured = read_configuration(configuration.to_string().as_bytes(), &|_| None);
    Gate::new(configured.unwrap().policy, backend, [1; 16])
}

fn gate() -> Gate {
    gate_with(|_| {})
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example",
        "aud": "api",
        "sub": "alice",
        "sid": "session-1",
        "scope": "read write",
        "exp": NOW + 300,
        "user": {"name": "Alice"},
    })
}

/// What is wrong with a configuration whose provider was changed so, a fault to a line.
fn faults_of(change: impl FnOnce(&mut Value)) -> String {
    let mut configuration = json!({
        "providers": {"idp": {
            "issuer": "https://issuer.example",
            "local_jwks": {"inline_string": jwk_set(&[&es256()])},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    });
    change(&mut configuration["providers"]["idp"]);
    let read = read_configuration(configuration.to_string().as_bytes(), &|_| None);
    let faults = read.err().unwrap_or_default();
    let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
    faults.join("\n")
}

fn claims_with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn request(token: &str) -> MockHost {
    MockHost::get("/api/x", now()).with_header("authorization", format!("Bearer {token}"))
}

/// Runs a request and says why it was refused; `None` when it went through.
fn refusal(gate: &Gate, host: &MockHost) -> Option<Reason> {
    let verdict = gate.on_request(host, Attempt::Last);
    let counted = host.counted.borrow();
    assert_eq!(counted.len(), 1, "one request, one count");
    let (outcome, _) = counted[0];
    let answered = host.response.borrow().is_some();
    match outcome {
        Outcome::Allowed(_) => {
            assert_eq!((verdict, answered), (Verdict::Forward, false));
            None
        }
        Outcome::Refused(reason) => {
            assert_eq!((verdict, answered), (Verdict::Stop, true));
            Some(reason)
        }
        Outcome::Served(service) => panic!("{service:?}"),
    }
}

fn refusal_of_claims(claims: &Value) -> Option<Reason> {
    refusal(&gate(), &request(&token(&es256(), claims)))
}

#[wasm_bindgen_test(unsupported = test)]
fn a_genuine_token_passes_and_the_upstream_learns_who_calls() {
    for signer in [es256(), eddsa()] {
        let host = request(&token(&signer, &claims()));
        assert_eq!(refusal(&gate(), &host), None);
        for (name, value) in [
            ("x-session-subject", Some("alice")),
            ("x-session-id", Some("session-1")),
            ("x-session-issuer", Some("https://issuer.example")),
            ("x-session-audience", Some("api")),
            ("x-session-scope", Some("read write")),
            ("x-session-expires-at", Some("1767225900")),
            ("x-session-provider", Some("idp")),
            ("x-session-client", None),
            ("x-user", Some("Alice")),
            ("x-roles", None),
            ("authorization", None),
        ] {
            assert_eq!(host.forwarded(name).as_deref(), value, "{name}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_without_a_token_gets_a_bare_challenge() {
    let host = MockHost::get("/api/x", now());
    assert_eq!(refusal(&gate(), &host), Some(Reason::TokenMissing));
    let response = host.response.borrow().clone().unwrap();
    let mut challenges = response.headers.values("www-authenticate");
    assert_eq!(challenges.next(), Some(&b"Bearer realm=\"portcullis\""[..]));
}

#[wasm_bindgen_test(unsupported = test)]
fn times_are_compared_with_the_clock_and_the_skew_of_sixty_seconds() {
    let at = |name: &str, seconds: u64| refusal_of_claims(&claims_with(name, json!(seconds)));
    assert_eq!(at("exp", NOW - 59), None);
    assert_eq!(at("exp", NOW - 60), Some(Reason::TokenExpired));
    assert_eq!(at("exp", 0), Some(Reason::TokenExpired));
    assert_eq!(at("nbf", NOW + 60), None);
    assert_eq!(at("nbf", NOW + 61), Some(Reason::TokenNotYetValid));
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    assert_eq!(refusal_of_claims(&endless), Some(Reason::ExpirationMissing));
    let lenient = gate_with(|configuration| {
        configuration["providers"]["idp"]["require_expiration"] = json!(false);
    });
    assert_eq!(
        refusal(&lenient, &request(&token(&es256(), &endless))),
        None
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_skew_of_zero_is_zero() {
    let strict = gate_with(|configuration| {
        configuration["providers"]["idp"]["clock_skew_seconds"] = json!(0);
    });
    let expiring = |expiry: u64| request(&token(&es256(), &claims_with("exp", json!(expiry))));
    assert_eq!(refusal(&strict, &expiring(NOW + 1)), None);
    assert_eq!(refusal(&strict, &expiring(NOW)), Some(Reason::TokenExpired));
}

#[wasm_bindgen_test(unsupported = test)]
fn audiences_are_compared_as_jwt_authn_compares_them() {
    let of = |audience: Value| refusal_of_claims(&claims_with("aud", audience));
    for accepted in [
        json!("api"),
        json!(["other", "api"]),
        json!("https://api/"),
        json!("http://api"),
    ] {
        assert_eq!(of(accepted.clone()), None, "{accepted}");
    }
    for refused in [
        json!("API"),
        json!("api2"),
        json!([]),
        json!("https://api//"),
    ] {
        assert_eq!(
            of(refused.clone()),
            Some(Reason::AudienceMismatch),
            "{refused}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn faults_before_the_signature_is_verified_are_told_all_alike() {
    let forged_key = {
        let header = json!({"alg": "ES256", "kid": es256().key_id()}).to_string();
        signed(
            &es256_other(),
            header.as_bytes(),
            claims().to_string().as_bytes(),
        )
    };
    let unknown_key = token(&es256_other(), &claims());
    let other_issuer = token(
        &es256(),
        &claims_with("iss", json!("https://other.example")),
    );
    let other_algorithm = {
        let header = json!({"alg": "RS256", "kid": es256().key_id()}).to_string();
        signed(&es256(), header.as_bytes(), claims().to_string().as_bytes())
    };
    // Expired and unsigned: the expiry is not looked at.
    let expired = token(&es256_other(), &claims_with("exp", json!(1)));
    let cases = [
        (forged_key, Reason::SignatureInvalid),
        (unknown_key, Reason::KeyUnknown),
        (other_issuer, Reason::IssuerMismatch),
        (other_algorithm, Reason::AlgorithmMismatch),
        (expired, Reason::KeyUnknown),
    ];
    let responses = cases.map(|(token, reason)| {
        let host = request(&token);
        assert_eq!(refusal(&gate(), &host), Some(reason));
        let mut response = host.response.take().unwrap();
        // Only for the access log, which is to know.
        assert!(response.details.contains(reason.label()), "{response:?}");
        response.details.clear();
        response
    });
    assert!(responses.iter().all(|response| *response == responses[0]));
}

/// A header that never reaches the upstream has no say in what is required of the request.
#[wasm_bindgen_test(unsupported = test)]
fn rules_match_the_request_without_what_was_taken_off() {
    let header =
        |name: &str, value: &str| json!([{"name": name, "string_match": {"exact": value}}]);
    let gate = gate_with(|configuration| {
        configuration["rules"] = json!([
            {"match": {"prefix": "/", "headers": header("x-session-role", "monitor")}},
            {"match": {"prefix": "/", "headers": header("x-user", "")},
             "requires": {"provider_name": "idp"}},
            {"match": {"prefix": "/", "headers": header("connection", "upgrade, x-user")}},
            {"match": {"prefix": "/", "headers": header("connection", "upgrade")},
             "requires": {"provider_name": "idp"}},
        ]);
    });
    let of = |lines: &[(&str, &str)]| {
        let host = lines
            .iter()
            .fold(MockHost::get("/x", now()), |host, (name, value)| {
                host.with_header(name, value)
            });
        refusal(&gate, &host)
    };
    assert_eq!(of(&[("x-session-role", "monitor")]), Some(Reason::NoRule));
    assert_eq!(of(&[("x-user", "")]), Some(Reason::NoRule));
    let nominating = [("connection", "upgrade, x-user")];
    assert_eq!(of(&nominating), Some(Reason::TokenMissing));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_that_no_rule_matches_is_refused() {
    assert_eq!(
        refusal(&gate(), &MockHost::get("/nowhere", now())),
        Some(Reason::NoRule)
    );
    let connect = MockHost::get("/", now()).without_header(":path");
    assert_eq!(refusal(&gate(), &connect), Some(Reason::NoRule));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_path_that_means_two_things_is_refused() {
    for path in [
        "/public/../api/x",
        "/public/%2e%2e/api",
        "/public/..%2fapi",
        "/public/..;/api",
    ] {
        let outcome = refusal(&gate(), &MockHost::get(path, now()));
        assert_eq!(outcome, Some(Reason::PathAmbiguous), "{path}");
    }
    for path in [
        "/public/../public/x",
        "/public/a%20b",
        "/public//x?y=/../api",
    ] {
        assert_eq!(
            refusal(&gate(), &MockHost::get(path, now())),
            None,
            "{path}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn rules_are_matched_without_the_query() {
    let host = MockHost::get("/x?/public", now());
    assert_eq!(refusal(&gate(), &host), Some(Reason::NoRule));
    let host = MockHost::get("/public?x", now());
    assert_eq!(refusal(&gate(), &host), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn grpc_clients_get_their_status() {
    let host = MockHost::get("/api/x", now()).with_header("content-type", "application/grpc");
    assert_eq!(refusal(&gate(), &host), Some(Reason::TokenMissing));
    let response = host.response.borrow().clone().unwrap();
    assert_eq!((response.status, response.grpc_status), (200, Some(16)));
}

#[wasm_bindgen_test(unsupported = test)]
fn the_log_has_the_request_and_the_reason_and_never_the_token() {
    let token = token(&es256_other(), &claims());
    let host = request(&token).with_header("x-request-id", "req-1\nforged line");
    assert_eq!(refusal(&gate(), &host), Some(Reason::KeyUnknown));
    let log = host.log.borrow();
    let expected = "refused request_id=req-1\\nforged line reason=key_unknown provider=idp";
    assert_eq!(log.as_slice(), [expected]);
    let (_, signature) = token.rsplit_once('.').unwrap();
    assert!(!log[0].contains(signature));
}

#[wasm_bindgen_test(unsupported = test)]
fn nothing_that_a_client_sends_makes_the_gate_panic() {
    let genuine = token(&es256(), &claims());
    let pieces = [
        &b"Bearer "[..],
        genuine.as_bytes(),
        b".",
        b"\xff\xfe",
        b"=",
        b"eyJ",
        b"{}",
        b" ",
    ];
    // A small linear congruential generator: the run is the same every time.
    let mut state: u64 = 1;
    let mut next = |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % bound
    };
    let gate = gate();
    for _ in 0..500 {
        let value: Vec<u8> = (0..next(6))
            .flat_map(|_| pieces[next(pieces.len())].to_vec())
            .collect();
        let path: Vec<u8> = (0..next(20))
            .map(|_| b"/.%;\\2ea\xff?#"[next(11)])
            .collect();
        let host = MockHost::get("/api", now())
            .without_header(":path")
            .with_header(":path", [b"/api".to_vec(), path].concat())
            .with_header("authorization", value);
        refusal(&gate, &host);
    }
}
