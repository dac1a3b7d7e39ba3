//! What is answered while the keys of a provider cannot be had.

mod lacks;

use super::*;
use crate::host::Response;

/// `far` has its keys on a server, `near` has them here. Their tokens come in the same location.
fn gate_requiring(requirement: &Value) -> Gate {
    gate_with_far(requirement, |_| ())
}

/// The same after a change of `far`.
fn gate_with_far(requirement: &Value, change: impl FnOnce(&mut Value)) -> Gate {
    let mut configuration = json!({
        "providers": {
            "near": {
                "issuer": "https://near.example",
                "local_jwks": {"inline_string": jwk_set(&[&es256()])},
            },
            "far": {
                "issuer": "https://far.example",
                "remote_jwks": {"http_uri": {"uri": "https://far.example/jwks", "cluster": "far"}},
            },
        },
        "rules": [{"match": {"prefix": "/"}, "requires": requirement}],
    });
    change(&mut configuration["providers"]["far"]);
    let configured = read_configuration(configuration.to_string().as_bytes(), &|_| None);
    Gate::new(configured.unwrap().policy, Backend::Module, [1; 16])
}

fn either(first: &str, second: &str) -> Value {
    let requirements = [first, second].map(|name| json!({"provider_name": name}));
    json!({"requires_any": {"requirements": requirements}})
}

/// Signed by a key that is not configured, for issuers that are configured and others.
fn forged() -> Vec<String> {
    let issuers = [
        "https://far.example",
        "https://near.example",
        "https://x.example",
        "",
    ];
    let with = |issuer: &str| token(&es256_other(), &claims_with("iss", json!(issuer)));
    let mut nobodys = claims();
    nobodys.as_object_mut().unwrap().remove("iss");
    let all = issuers.into_iter().map(with);
    all.chain([token(&es256_other(), &nobodys)]).collect()
}

fn answer(gate: &Gate, token: &str) -> Response {
    answer_to(gate, &request(token))
}

fn answer_to(gate: &Gate, host: &MockHost) -> Response {
    gate.on_request(host, Attempt::Last);
    let response = host.response.borrow().clone().unwrap();
    Response {
        // It is in Envoy's log only.
        details: String::new(),
        ..response
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn as_long_as_keys_are_missing_every_forged_token_waits_and_is_answered_alike() {
    for requirement in [
        json!({"provider_name": "far"}),
        either("far", "near"),
        either("near", "far"),
        json!({"allow_missing": {}}),
    ] {
        let gate = gate_requiring(&requirement);
        for token in forged() {
            let waits = gate.on_request(&request(&token), Attempt::First);
            let waits_for = matches!(waits, Verdict::Wait(Wait::Keys(Lack { provider, .. }))
                if provider == index_of(&gate, "far"));
            assert!(waits_for, "{requirement}: {waits:?}");
        }
        let answers: Vec<_> = forged().iter().map(|token| answer(&gate, token)).collect();
        assert_eq!(answers[0].status, 503);
        assert!(
            answers.iter().all(|answer| *answer == answers[0]),
            "{requirement}"
        );
    }
}

fn index_of(gate: &Gate, provider: &str) -> usize {
    let mut sources = gate.policy().key_sources();
    sources.position(|(name, _)| name == provider).unwrap()
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_another_provider_has_signed_is_not_held_up_by_missing_keys() {
    let near = |expires_at: u64| {
        let claims = json!({"iss": "https://near.example", "exp": expires_at});
        request(&token(&es256(), &claims))
    };
    for requirement in [either("far", "near"), either("near", "far")] {
        let gate = gate_requiring(&requirement);
        assert_eq!(
            gate.on_request(&near(NOW + 300), Attempt::First),
            Verdict::Forward
        );
        let expired = near(NOW - 300);
        assert_eq!(gate.on_request(&expired, Attempt::First), Verdict::Stop);
        assert_eq!(refusal(&gate, &near(NOW - 300)), Some(Reason::TokenExpired));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_no_token_is_told_so_without_keys() {
    let gate = gate_requiring(&either("far", "near"));
    for malformed in ["x", "a.b.c", "e30.e30."] {
        assert_eq!(answer(&gate, malformed).status, 401, "{malformed}");
    }
    let claims = claims_with("exp", json!(1000 * NOW));
    let told = answer(&gate, &token(&es256_other(), &claims));
    assert!(String::from_utf8_lossy(&told.body).contains("time_in_milliseconds"));
    let host = MockHost::get("/", now());
    assert_eq!(refusal(&gate, &host), Some(Reason::TokenMissing));
}

/// Makes a request with a token in one location.
type Sent<'s> = &'s dyn Fn(&str) -> MockHost;

#[wasm_bindgen_test(unsupported = test)]
fn what_another_provider_says_of_its_locations_does_not_tell_whose_token_waits_for_keys() {
    let in_query = |token: &str| MockHost::get(&format!("/?access_token={token}"), now());
    let in_cookie = |beside: &'static str| {
        move |token: &str| {
            let host = MockHost::get("/", now()).with_header("cookie", format!("tok={token}"));
            host.with_header("authorization", beside)
        }
    };
    let other_locations: [(&str, Value, Sent<'_>); 3] = [
        ("from_params", json!(["access_token"]), &in_query),
        ("from_cookies", json!(["tok"]), &in_cookie("Bearerx")),
        ("from_cookies", json!(["tok"]), &in_cookie("")),
    ];
    for (key, location, sent) in other_locations {
        for requirement in [either("far", "near"), either("near", "far")] {
            let gate = gate_with_far(&requirement, |far| far[key] = location.clone());
            for token in forged() {
                let waits = gate.on_request(&sent(&token), Attempt::First);
                assert!(matches!(waits, Verdict::Wait(Wait::Keys(_))), "{waits:?}");
                let answer = answer_to(&gate, &sent(&token));
                assert_eq!(answer.status, 503, "{key}, {requirement}");
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_one_provider_takes_from_the_query_is_told_what_is_wrong_with_it() {
    for requirement in [either("far", "near"), either("near", "far")] {
        let gate = gate_with_far(&requirement, |far| {
            *far = json!({
                "issuer": "https://far.example",
                "local_jwks": {"inline_string": jwk_set(&[&es256()])},
                "from_params": ["access_token"],
            });
        });
        for token in forged() {
            let host = MockHost::get(&format!("/?access_token={token}"), now());
            let answer = answer_to(&gate, &host);
            assert_eq!(answer.status, 401, "{requirement}");
            assert!(String::from_utf8_lossy(&answer.body).contains("signature_invalid"));
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn of_several_cookies_none_is_taken_as_long_as_one_of_them_waits_for_keys() {
    let gate = gate_with_far(&json!({"provider_name": "far"}), |far| {
        far["from_cookies"] = json!(["tok"]);
        far["duplicate_cookies"] = json!("first_genuine");
    });
    for forged in forged() {
        let host = || {
            let cookies = format!("tok=no-token; tok={forged}");
            MockHost::get("/", now()).with_header("cookie", cookies)
        };
        let waits = gate.on_request(&host(), Attempt::First);
        assert!(matches!(waits, Verdict::Wait(Wait::Keys(_))), "{waits:?}");
        assert_eq!(answer_to(&gate, &host()).status, 503);
    }
}

/// Two tokens, each in the location of another provider: what one provider says of its own is no
/// answer to the other one, of which nothing is known.
#[wasm_bindgen_test(unsupported = test)]
fn another_token_that_is_no_good_is_no_answer_to_one_that_waits_for_keys() {
    let all = |name: &str| json!({"requires_all": {"requirements": [{"provider_name": name}]}});
    let any = |requirements: [Value; 2]| json!({"requires_any": {"requirements": requirements}});
    let or_nobody = |names: [&str; 2]| {
        let requirements = names.map(|name| json!({"provider_name": name}));
        let [one, other] = requirements;
        let requirements = json!([one, other, {"allow_missing_or_failed": {}}]);
        json!({"requires_any": {"requirements": requirements}})
    };
    let expired = json!({"iss": "https://near.example", "exp": NOW - 300});
    let expired = token(&es256(), &expired);
    for requirement in [
        any([all("near"), all("far")]),
        any([all("far"), all("near")]),
        or_nobody(["near", "far"]),
        or_nobody(["far", "near"]),
    ] {
        let gate = gate_with_far(&requirement, |far| far["from_cookies"] = json!(["tok"]));
        let host = |in_cookie: &str| {
            let host = MockHost::get("/", now()).with_header("cookie", format!("tok={in_cookie}"));
            host.with_header("authorization", format!("Bearer {expired}"))
        };
        for forged in forged() {
            let waits = gate.on_request(&host(&forged), Attempt::First);
            assert!(
                matches!(waits, Verdict::Wait(Wait::Keys(_))),
                "{requirement}: {waits:?}"
            );
        }
        // The same token is known to be near's.
        let verdict = gate.on_request(&host(&expired), Attempt::First);
        assert!(!matches!(verdict, Verdict::Wait(_)), "{requirement}");
    }
    let gate = gate_with_far(&any([all("near"), all("far")]), |far| {
        far["from_cookies"] = json!(["tok"]);
    });
    let [forged, ..] = &forged()[..] else {
        panic!("nothing is forged")
    };
    let host = MockHost::get("/", now()).with_header("cookie", format!("tok={forged}"));
    let host = host.with_header("authorization", format!("Bearer {expired}"));
    assert_eq!(answer_to(&gate, &host).status, 503);
}
