//! Requirements of every kind, with tokens of two providers.

use super::*;
use crate::signer::Signer;

/// Two providers: `user` in `Authorization`, `service` in `x-service`, and a third, `partner`,
/// which shares the location of the first.
fn gate_requiring(requirement: &Value) -> Gate {
    let provider = |name: &str, signer: &Signer, header: Value| {
        json!({
            "issuer": format!("https://{name}.example"),
            "audiences": [name],
            "local_jwks": {"inline_string": jwk_set(&[signer])},
            "from_headers": [header],
            "claim_to_headers": [{"header_name": format!("x-{name}"), "claim_name": "sub"}],
        })
    };
    let authorization = json!({"name": "Authorization", "value_prefix": "Bearer "});
    let configuration = json!({
        "providers": {
            "user": provider("user", &es256(), authorization.clone()),
            "partner": provider("partner", &es256_other(), authorization),
            "service": provider("service", &eddsa(), json!({"name": "x-service-token"})),
        },
        "rules": [{"match": {"prefix": "/"}, "requires": requirement}],
        "session_headers": true,
    });
    let configured = read_configuration(configuration.to_string().as_bytes(), &|_| None);
    Gate::new(configured.unwrap().policy, Backend::Module, [1; 16])
}

fn token_of(name: &str) -> String {
    let signer = match name {
        "user" => es256(),
        "partner" => es256_other(),
        _ => eddsa(),
    };
    let claims = json!({
        "iss": format!("https://{name}.example"), "aud": name, "sub": name, "exp": NOW + 300,
    });
    token(&signer, &claims)
}

fn host() -> MockHost {
    MockHost::get("/", now())
}

fn bearer(host: MockHost, token: &str) -> MockHost {
    host.with_header("authorization", format!("Bearer {token}"))
}

fn service(host: MockHost, token: &str) -> MockHost {
    host.with_header("x-service-token", token)
}

fn admission(gate: &Gate, host: &MockHost) -> Result<Admission, Reason> {
    gate.on_request(host, Attempt::Last);
    match host.counted.borrow()[0].0 {
        Outcome::Allowed(admission) => Ok(admission),
        Outcome::Refused(reason) => Err(reason),
        Outcome::Served(service) => panic!("{service:?}"),
    }
}

/// The provider for which a request was counted.
fn counted_for<'g>(gate: &'g Gate, host: &MockHost) -> Option<&'g str> {
    let (_, provider) = host.counted.borrow()[0];
    let mut providers = gate.policy().key_sources();
    provider.and_then(|index| Some(providers.nth(index)?.0))
}

const BROKEN: &str = "not.a.token";

#[wasm_bindgen_test(unsupported = test)]
fn any_of_several_providers_is_enough() {
    let gate = gate_requiring(&json!({"requires_any": {"requirements": [
        {"provider_name": "user"}, {"provider_name": "partner"}, {"provider_name": "service"},
    ]}}));
    for name in ["user", "partner"] {
        let host = bearer(host(), &token_of(name));
        assert_eq!(admission(&gate, &host), Ok(Admission::Verified), "{name}");
        assert_eq!(host.forwarded("x-session-provider").as_deref(), Some(name));
        assert_eq!(host.forwarded(&format!("x-{name}")).as_deref(), Some(name));
        assert_eq!(host.forwarded("authorization"), None);
        assert_eq!(counted_for(&gate, &host), Some(name));
    }
    let by_service = service(host(), &token_of("service"));
    assert_eq!(admission(&gate, &by_service), Ok(Admission::Verified));
    assert_eq!(admission(&gate, &host()), Err(Reason::TokenMissing));
    // A user's token in the location of services is no provider's.
    let misplaced = service(host(), &token_of("user"));
    assert_eq!(admission(&gate, &misplaced), Err(Reason::IssuerMismatch));
}

#[wasm_bindgen_test(unsupported = test)]
fn the_failure_that_says_most_is_told() {
    let gate = gate_requiring(&json!({"requires_any": {"requirements": [
        {"provider_name": "user"}, {"provider_name": "partner"},
    ]}}));
    let expired = json!({
        "iss": "https://user.example", "aud": "user", "sub": "user", "exp": NOW - 300,
    });
    let host = bearer(host(), &token(&es256(), &expired));
    assert_eq!(admission(&gate, &host), Err(Reason::TokenExpired));
    assert_eq!(counted_for(&gate, &host), Some("user"));
}

#[wasm_bindgen_test(unsupported = test)]
fn two_different_tokens_are_for_requires_all_only() {
    let both = || service(bearer(host(), &token_of("user")), &token_of("service"));
    let list = json!([{"provider_name": "user"}, {"provider_name": "service"}]);
    let any = gate_requiring(&json!({"requires_any": {"requirements": list.clone()}}));
    assert_eq!(admission(&any, &both()), Err(Reason::TokenAmbiguous));

    let all = gate_requiring(&json!({"requires_all": {"requirements": list}}));
    let host_of_both = both();
    assert_eq!(admission(&all, &host_of_both), Ok(Admission::Verified));
    for (name, value) in [
        ("x-user", Some("user")),
        ("x-service", Some("service")),
        ("x-session-subject", Some("user")),
        ("authorization", None),
        ("x-service-token", None),
    ] {
        assert_eq!(host_of_both.forwarded(name).as_deref(), value, "{name}");
    }
    let one = bearer(host(), &token_of("user"));
    assert_eq!(admission(&all, &one), Err(Reason::TokenMissing));
    assert_eq!(one.forwarded("x-user"), None);
    let bad = service(bearer(host(), &token_of("user")), BROKEN);
    assert_eq!(admission(&all, &bad), Err(Reason::TokenMalformed));
}

#[wasm_bindgen_test(unsupported = test)]
fn allow_missing_lets_no_token_through_and_no_bad_one() {
    let alone = gate_requiring(&json!({"allow_missing": {}}));
    let beside = gate_requiring(&json!({"requires_any": {"requirements": [
        {"provider_name": "user"}, {"allow_missing": {}},
    ]}}));
    for gate in [&alone, &beside] {
        assert_eq!(admission(gate, &host()), Ok(Admission::NoToken));
        let good = bearer(host(), &token_of("user"));
        assert_eq!(admission(gate, &good), Ok(Admission::Verified));
        assert_eq!(good.forwarded("x-user").as_deref(), Some("user"));
        let bad = bearer(host(), BROKEN);
        assert_eq!(admission(gate, &bad), Err(Reason::TokenMalformed));
    }
    // The second one does not ask for the token of a service.
    let other = service(host(), BROKEN);
    assert_eq!(admission(&beside, &other), Ok(Admission::NoToken));
    let other = service(host(), BROKEN);
    assert_eq!(admission(&alone, &other), Err(Reason::TokenMalformed));
    let partner = bearer(host(), &token_of("partner"));
    assert_eq!(admission(&alone, &partner), Ok(Admission::Verified));
    let partner = bearer(host(), &token_of("partner"));
    assert_eq!(admission(&beside, &partner), Err(Reason::IssuerMismatch));
}

#[wasm_bindgen_test(unsupported = test)]
fn allow_missing_or_failed_lets_every_request_through_and_names_no_caller() {
    let alone = gate_requiring(&json!({"allow_missing_or_failed": {}}));
    let beside = gate_requiring(&json!({"requires_any": {"requirements": [
        {"provider_name": "user"}, {"allow_missing_or_failed": {}},
    ]}}));
    for gate in [&alone, &beside] {
        assert_eq!(admission(gate, &host()), Ok(Admission::NoToken));
        let bad = bearer(host(), BROKEN).with_header("x-user", "admin");
        assert_eq!(admission(gate, &bad), Ok(Admission::TokenIgnored));
        assert_eq!(bad.forwarded("x-user"), None);
        assert_eq!(bad.forwarded("x-session-subject"), None);
        assert!(bad.forwarded("authorization").is_some());
        let good = bearer(host(), &token_of("user"));
        assert_eq!(admission(gate, &good), Ok(Admission::Verified));
        assert_eq!(good.forwarded("x-user").as_deref(), Some("user"));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn audiences_of_a_requirement_replace_the_providers() {
    let gate = gate_requiring(&json!({"provider_and_audiences": {
        "provider_name": "user", "audiences": ["https://orders/"],
    }}));
    let of = |audience: &str| {
        let claims = json!({
            "iss": "https://user.example", "aud": audience, "sub": "user", "exp": NOW + 300,
        });
        admission(&gate, &bearer(host(), &token(&es256(), &claims)))
    };
    assert_eq!(of("orders"), Ok(Admission::Verified));
    assert_eq!(of("user"), Err(Reason::AudienceMismatch));
}

#[wasm_bindgen_test(unsupported = test)]
fn requirements_may_stand_inside_one_another() {
    let gate = gate_requiring(&json!({"requires_any": {"requirements": [
        {"requires_all": {"requirements": [
            {"provider_name": "user"}, {"provider_name": "service"},
        ]}},
        {"provider_name": "partner"},
    ]}}));
    let both = service(bearer(host(), &token_of("user")), &token_of("service"));
    assert_eq!(admission(&gate, &both), Ok(Admission::Verified));
    let partner = bearer(host(), &token_of("partner"));
    assert_eq!(admission(&gate, &partner), Ok(Admission::Verified));
    assert_eq!(partner.forwarded("x-user"), None);
    // The user's token was good, but is not enough; nothing of it may be left behind.
    let user = bearer(host(), &token_of("user"));
    assert!(admission(&gate, &user).is_err());
}

#[wasm_bindgen_test(unsupported = test)]
fn a_preflight_passes_only_where_that_was_chosen_and_is_stripped_like_all_others() {
    let preflight = || {
        host()
            .without_header(":method")
            .with_header(":method", "OPTIONS")
            .with_header("origin", "https://app.example")
            .with_header("access-control-request-method", "GET")
            .with_header("x-user", "admin")
    };
    let strict = gate_requiring(&json!({"provider_name": "user"}));
    assert_eq!(admission(&strict, &preflight()), Err(Reason::TokenMissing));
    let open = gate_with(|configuration| {
        configuration["bypass_cors_preflight"] = json!(true);
    });
    let host = preflight();
    assert_eq!(admission(&open, &host), Ok(Admission::CorsPreflight));
    assert_eq!(host.forwarded("x-user"), None);
    let no_preflight = preflight().without_header("origin");
    assert_eq!(admission(&open, &no_preflight), Err(Reason::NoRule));
}
