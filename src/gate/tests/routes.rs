//! Rules and routes: what is required of which request, and waiting for keys.

use super::*;
use crate::gate::text::tests::COMPARED;
use crate::gate::text::{MAX_PATTERN_BYTES, MAX_PATTERN_TEXT_BYTES};
use crate::token::{KeyRules, KeySet};

fn outcome(gate: &Gate, host: &MockHost) -> Option<Reason> {
    refusal(gate, host)
}

fn gate_with_rules(rules: Value) -> Gate {
    gate_with(|configuration| configuration["rules"] = rules)
}

#[wasm_bindgen_test(unsupported = test)]
fn rules_match_by_each_kind_of_path() {
    let token = || json!({"provider_name": "idp"});
    let gate = gate_with_rules(json!([
        {"match": {"path_separated_prefix": "/open"}},
        {"match": {"safe_regex": {"regex": "/v[0-9]+/health"}}},
        {"match": {"path": "/About", "case_sensitive": false}},
        {"match": {"prefix": "/"}, "requires": token()},
    ]));
    for (path, is_open) in [
        ("/open", true),
        ("/open/x", true),
        ("/opened", false),
        ("/v1/health", true),
        ("/v1/health?x", true),
        ("/v1/health/x", false),
        ("/x/v1/health", false),
        ("/aBOUT", true),
        ("/abouts", false),
    ] {
        let expected = (!is_open).then_some(Reason::TokenMissing);
        assert_eq!(
            outcome(&gate, &MockHost::get(path, now())),
            expected,
            "{path}"
        );
    }
    // A server that decodes once more reads `/opened`.
    let odd = MockHost::get("/open/..%2fopened", now());
    assert_eq!(outcome(&gate, &odd), Some(Reason::PathAmbiguous));
}

#[wasm_bindgen_test(unsupported = test)]
fn rules_match_by_headers_and_parameters_too() {
    let gate = gate_with_rules(json!([
        {"match": {
            "prefix": "/",
            "headers": [{"name": ":method", "string_match": {"exact": "GET"}}],
            "query_parameters": [{"name": "public", "present_match": true}],
        }},
        {"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}},
    ]));
    assert_eq!(outcome(&gate, &MockHost::get("/x?public", now())), None);
    let without = MockHost::get("/x", now());
    assert_eq!(outcome(&gate, &without), Some(Reason::TokenMissing));
    let post = MockHost::get("/x?public", now())
        .without_header(":method")
        .with_header(":method", "POST");
    assert_eq!(outcome(&gate, &post), Some(Reason::TokenMissing));
}

/// Envoy keeps `Host` as `:authority`, and `jwt_authn` finds it under both names.
#[wasm_bindgen_test(unsupported = test)]
fn a_rule_for_a_host_matches_by_either_name() {
    let admin = json!({"exact": "admin.example"});
    for (header, guarded, open) in [
        (
            json!({"string_match": admin}),
            "admin.example",
            "api.example",
        ),
        (
            json!({"exact_match": "admin.example"}),
            "admin.example",
            "api.example",
        ),
        (
            json!({"string_match": {"exact": "api.example"}, "invert_match": true,
                   "treat_missing_header_as_empty": true}),
            "admin.example",
            "api.example",
        ),
    ] {
        for name in ["host", "HOST", ":authority"] {
            let mut header = header.clone();
            header["name"] = json!(name);
            let gate = gate_with_rules(json!([
                {"match": {"prefix": "/", "headers": [header]}, "requires": {"provider_name": "idp"}},
                {"match": {"prefix": "/"}},
            ]));
            let to = |host: &str| {
                let request = MockHost::get("/x", now()).without_header(":authority");
                outcome(&gate, &request.with_header("host", host))
            };
            assert_eq!(to(guarded), Some(Reason::TokenMissing), "{name}: {header}");
            assert_eq!(to(open), None, "{name}: {header}");
        }
    }
}

/// In bytes that are compared with patterns, which cost the sender nothing.
#[wasm_bindgen_test(unsupported = test)]
fn what_patterns_cost_is_not_for_an_outsider_to_choose() {
    let regex = |pattern: &str| json!({"safe_regex": {"regex": pattern}});
    let mut by_header = json!({"prefix": "/"});
    by_header["headers"] = json!([{"name": "x-kind", "string_match": regex(".*a.*b")}]);
    let mut by_parameter = json!({"prefix": "/"});
    by_parameter["query_parameters"] = json!([{"name": "kind", "string_match": regex(".*a.*b")}]);
    let gate = gate_with_rules(json!([
        {"match": regex("/.*/x/.*y")},
        {"match": regex("/.*/z/.*y")},
        {"match": by_header},
        {"match": by_parameter},
        {"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}},
    ]));
    // Two for the path, and two for what comes beside it.
    let most = 4 * MAX_PATTERN_TEXT_BYTES;
    let padded =
        |start: &str, length: usize| format!("{start}{}", "a".repeat(length - start.len()));
    let cost = |path: &str, header: &str| {
        let before = COMPARED.get();
        let host = MockHost::get(path, now()).with_header("x-kind", header);
        let outcome = outcome(&gate, &host);
        let cost = COMPARED.get() - before;
        assert!(
            cost <= most,
            "{cost} for {} and {}",
            path.len(),
            header.len()
        );
        (outcome, cost)
    };
    let longest = padded("/", MAX_PATTERN_TEXT_BYTES);
    let too_long = Some(Reason::RequestTooLong);
    let full = padded("", MAX_PATTERN_TEXT_BYTES);
    for (path, header, expected) in [
        (longest.clone(), &*full, Some(Reason::TokenMissing)),
        (
            format!("{longest}?kind={full}"),
            &full,
            Some(Reason::TokenMissing),
        ),
        (padded("/", 58 * 1024), "", too_long),
        (padded("/%20/", 58 * 1024), "", too_long),
        ("/".to_owned(), &padded("", 58 * 1024), too_long),
        (format!("/?kind={}", padded("", 58 * 1024)), "", too_long),
        // Too long for all its readings together.
        (
            padded("/%20/", MAX_PATTERN_TEXT_BYTES),
            "",
            Some(Reason::PathAmbiguous),
        ),
        (
            format!("/{}", "%2e;x/..//".repeat(200)),
            &full,
            Some(Reason::PathAmbiguous),
        ),
        (
            format!("/a%20b/{}", "c/".repeat(1000)),
            &full,
            Some(Reason::TokenMissing),
        ),
    ] {
        assert_eq!(
            cost(&path, header).0,
            expected,
            "{:.20}, {} bytes",
            path,
            path.len()
        );
    }
    assert_eq!(cost(&padded("/", 58 * 1024), "").1, 0);
    // Where no pattern looks, length does not matter.
    let gate = gate_with_rules(json!([{"match": {"prefix": "/"}}]));
    let host = MockHost::get(&padded("/a%20b/", 50 * 1024), now());
    assert_eq!(outcome(&gate, &host), None);
}

#[allow(clippy::large_stack_arrays, reason = "a dozen gates, once")]
#[wasm_bindgen_test(unsupported = test)]
fn all_patterns_together_are_compared_with_so_much_of_a_request_and_no_more() {
    let regex = |pattern: String| json!({"safe_regex": {"regex": pattern}});
    let by_header = |number: usize| {
        let value = regex(format!(".*a.*{number}"));
        json!({"match": {"prefix": "/", "headers": [{"name": "x-kind", "string_match": value}]}})
    };
    let by_path = |number: usize| json!({"match": regex(format!("/.*/{number}"))});
    let last = json!({"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}});
    let gate = |rules: &mut dyn Iterator<Item = Value>| {
        gate_with_rules(rules.chain([last.clone()]).collect())
    };
    let lines = || {
        let line = "a".repeat(8000);
        let host = MockHost::get("/", now());
        (0..7).fold(host, |host, _| host.with_header("x-kind", line.clone()))
    };
    let path = |length: usize| MockHost::get(&format!("/{}", "a".repeat(length - 1)), now());
    let odd = |length: usize| MockHost::get(&format!("/%20{}", "a".repeat(length - 4)), now());
    let (too_long, fine) = (Some(Reason::RequestTooLong), Some(Reason::TokenMissing));
    for (gate, host, expected) in [
        (gate(&mut (0..1).map(by_header)), lines(), fine),
        (gate(&mut (0..2).map(by_header)), lines(), too_long),
        (gate(&mut (0..50).map(by_header)), lines(), too_long),
        (gate(&mut (0..50).map(by_path)), path(500), fine),
        (gate(&mut (0..100).map(by_path)), path(500), fine),
        (gate(&mut (0..50).map(by_path)), path(8000), too_long),
        (gate(&mut (0..50).map(by_path)), odd(200), fine),
        (gate(&mut (0..50).map(by_path)), odd(1200), too_long),
    ] {
        let before = COMPARED.get();
        assert_eq!(outcome(&gate, &host), expected);
        let cost = COMPARED.get() - before;
        assert!(cost <= MAX_PATTERN_BYTES, "{cost}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn connect_has_a_rule_of_its_own_or_none() {
    let gate = gate_with_rules(json!([
        {"match": {"prefix": "/"}},
        {"match": {"connect_matcher": {}}, "requires": {"provider_name": "idp"}},
    ]));
    let connect = MockHost::get("/", now())
        .without_header(":path")
        .without_header(":method")
        .with_header(":method", "CONNECT");
    assert_eq!(outcome(&gate, &connect), Some(Reason::TokenMissing));
}

fn gate_with_routes() -> Gate {
    gate_with(|configuration| {
        configuration["requirement_map"] = json!({
            "open": {},
            "token": {"provider_name": "idp"},
        });
        configuration["requirement_by_route_name"] = json!({"health": "open", "orders": "token"});
        configuration["requirement_from_route_metadata"] = json!(true);
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn the_name_of_the_route_comes_before_the_rules() {
    let gate = gate_with_routes();
    let on = |route: &str, path: &str| {
        let host = MockHost::get(path, now()).with_property("xds.route_name", route);
        outcome(&gate, &host)
    };
    assert_eq!(on("health", "/api/x"), None);
    assert_eq!(on("orders", "/public/x"), Some(Reason::TokenMissing));
    assert_eq!(on("other", "/public/x"), None);
    assert_eq!(on("other", "/api/x"), Some(Reason::TokenMissing));
    assert_eq!(on("Health", "/api/x"), Some(Reason::TokenMissing));
}

#[wasm_bindgen_test(unsupported = test)]
fn the_metadata_of_the_route_names_a_requirement_that_has_to_exist() {
    const METADATA: &str = "xds.route_metadata.filter_metadata.portcullis.requirement_name";
    let gate = gate_with_routes();
    let with = |name: &str, path: &str| {
        let host = MockHost::get(path, now()).with_property(METADATA, name);
        outcome(&gate, &host)
    };
    assert_eq!(with("open", "/api/x"), None);
    assert_eq!(with("token", "/public/x"), Some(Reason::TokenMissing));
    assert_eq!(with("opne", "/public/x"), Some(Reason::RequirementUnknown));
    let told = Reason::RequirementUnknown.problem();
    assert_eq!((told.status, told.code), (403, "no_rule"));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_route_that_a_spoofed_header_may_have_chosen_decides_nothing() {
    let gate = gate_with_routes();
    let host = |route: &str| {
        let host = MockHost::get("/public/x", now()).with_property("xds.route_name", route);
        host.with_header("x_session_subject", "mallory")
    };
    for route in ["health", "orders", "other"] {
        let outcome = outcome(&gate, &host(route));
        assert_eq!(outcome, Some(Reason::RequirementUnknown), "{route}");
    }
    let gate = gate_with(|_| {});
    assert_eq!(outcome(&gate, &host("health")), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn nobody_climbs_out_of_the_path_of_a_route() {
    let gate = gate_with_routes();
    let on = |path: &str| {
        let host = MockHost::get(path, now()).with_property("xds.route_name", "health");
        outcome(&gate, &host)
    };
    for path in ["/health/a%20b", "/health//x", "/health/.x"] {
        assert_eq!(on(path), None, "{path}");
    }
    for path in [
        "/health/../orders",
        "/health/%252e%252e/orders",
        "/health/..;/orders",
        "/health/..\\orders",
        "/%61pi/x",
    ] {
        assert_eq!(on(path), Some(Reason::PathAmbiguous), "{path}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_rule_may_name_its_requirement() {
    let gate = gate_with(|configuration| {
        configuration["requirement_map"] = json!({"token": {"provider_name": "idp"}});
        configuration["rules"] = json!([{"match": {"prefix": "/"}, "requirement_name": "token"}]);
    });
    let host = MockHost::get("/x", now());
    assert_eq!(outcome(&gate, &host), Some(Reason::TokenMissing));
}

fn remote_gate(requirement: &Value) -> Gate {
    gate_with(|configuration| {
        let provider = &mut configuration["providers"]["idp"];
        provider.as_object_mut().unwrap().remove("local_jwks");
        provider["remote_jwks"] =
            json!({"http_uri": {"uri": "https://idp.example/jwks", "cluster": "idp"}});
        configuration["rules"] = json!([{"match": {"prefix": "/"}, "requires": requirement}]);
    })
}

fn put(gate: &Gate, signers: &[&crate::signer::Signer]) {
    let set = KeySet::parse(jwk_set(signers).as_bytes(), &KeyRules::default()).unwrap();
    gate.keys().set(0, Some(Rc::new(set)));
    gate.keys().set_as_of(0, NOW * 1_000);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_waits_once_for_keys_and_is_refused_with_503_without_them() {
    let gate = remote_gate(&json!({"provider_name": "idp"}));
    let host = request(&token(&es256(), &claims()));
    let waits = gate.on_request(&host, Attempt::First);
    assert!(matches!(
        waits,
        Verdict::Wait(Wait::Keys(Lack { provider: 0, .. }))
    ));
    assert!(host.counted.borrow().is_empty() && host.response.borrow().is_none());
    assert_eq!(outcome(&gate, &host), Some(Reason::KeysUnavailable));
    let response = host.response.borrow().clone().unwrap();
    assert_eq!(response.status, 503);

    put(&gate, &[&es256()]);
    assert_eq!(outcome(&gate, &request(&token(&es256(), &claims()))), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_unknown_key_is_worth_waiting_for_and_a_bad_signature_is_not() {
    let gate = remote_gate(&json!({"provider_name": "idp"}));
    put(&gate, &[&es256()]);
    let unknown = request(&token(&eddsa(), &claims()));
    let verdict = gate.on_request(&unknown, Attempt::First);
    assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
    assert_eq!(outcome(&gate, &unknown), Some(Reason::KeyUnknown));
    let header = json!({"alg": "ES256", "kid": es256().key_id()}).to_string();
    let forged = signed(
        &es256_other(),
        header.as_bytes(),
        claims().to_string().as_bytes(),
    );
    assert_eq!(
        gate.on_request(&request(&forged), Attempt::First),
        Verdict::Stop
    );
    // Neither does a key without a name that has not made the signature.
    let mut set: Value = serde_json::from_str(&jwk_set(&[&es256()])).unwrap();
    set["keys"][0].as_object_mut().unwrap().remove("kid");
    let set = KeySet::parse(set.to_string().as_bytes(), &KeyRules::default()).unwrap();
    gate.keys().set(0, Some(Rc::new(set)));
    for (signer, name) in [(eddsa(), "new"), (es256_other(), "new")] {
        let header = json!({"alg": signer.algorithm_name(), "kid": name}).to_string();
        let rotated = signed(&signer, header.as_bytes(), claims().to_string().as_bytes());
        let verdict = gate.on_request(&request(&rotated), Attempt::First);
        assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
        let last = outcome(&gate, &request(&rotated));
        assert_eq!(last, Some(Reason::KeyUnknown));
    }
    // A token that names no key lacks none.
    let nameless = signed(
        &es256_other(),
        br#"{"alg":"ES256"}"#,
        claims().to_string().as_bytes(),
    );
    let verdict = gate.on_request(&request(&nameless), Attempt::First);
    assert_eq!(verdict, Verdict::Stop);
    assert_eq!(outcome(&gate, &request(&token(&es256(), &claims()))), None);
    put(&gate, &[&es256()]);
    // Another issuer's tokens never cause a fetch.
    let foreign = token(&eddsa(), &claims_with("iss", json!("https://evil.example")));
    assert_eq!(
        gate.on_request(&request(&foreign), Attempt::First),
        Verdict::Stop
    );
    // The new key arrives.
    put(&gate, &[&es256(), &eddsa()]);
    assert_eq!(outcome(&gate, &request(&token(&eddsa(), &claims()))), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn optional_tokens_wait_for_keys_too() {
    for requirement in [
        json!({"allow_missing_or_failed": {}}),
        json!({"requires_any": {"requirements": [
            {"provider_name": "idp"}, {"allow_missing_or_failed": {}},
        ]}}),
    ] {
        let gate = remote_gate(&requirement);
        let host = request(&token(&es256(), &claims()));
        let verdict = gate.on_request(&host, Attempt::First);
        assert!(
            matches!(verdict, Verdict::Wait(_)),
            "{requirement}: {verdict:?}"
        );
        assert_eq!(gate.on_request(&host, Attempt::Last), Verdict::Forward);
        assert_eq!(host.forwarded("x-session-subject"), None);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_filter_state_chooses_the_requirement_where_no_rule_matches() {
    let gate = gate_with(|configuration| {
        configuration["rules"] = json!([{"match": {"prefix": "/open"}}]);
        configuration["filter_state_rules"] = json!({
            "name": "tenant.kind",
            "requires": {"guarded": {"provider_name": "idp"}, "open": {}},
        });
    });
    let with = |path, state: &str| {
        let host = MockHost::get(path, now());
        outcome(
            &gate,
            &host.with_property("filter_state.tenant.kind", state),
        )
    };
    assert_eq!(with("/x", "guarded"), Some(Reason::TokenMissing));
    assert_eq!(with("/x", "open"), None);
    assert_eq!(with("/x", "another"), Some(Reason::NoRule));
    assert_eq!(with("/open", "guarded"), None);
    let nothing = MockHost::get("/x", now());
    assert_eq!(outcome(&gate, &nothing), Some(Reason::NoRule));
}
