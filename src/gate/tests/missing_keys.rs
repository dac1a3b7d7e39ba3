//! What is answered while the keys of a provider cannot be had.

use std::time::Duration;

use super::*;
use crate::host::Response;
use crate::token::{KeyRules, KeySet};

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

/// A gate that has keys of `far`, from a fetch that began at this second.
fn gate_with_keys_as_of(requirement: &Value, seconds: u64) -> Gate {
    let gate = gate_requiring(requirement);
    let set = KeySet::parse(jwk_set(&[&eddsa()]).as_bytes(), &KeyRules::default()).unwrap();
    let far = index_of(&gate, "far");
    gate.keys().set(far, Some(Rc::new(set)));
    gate.keys().set_as_of(far, seconds * 1_000);
    gate
}

fn of_far(claims: &mut Value) {
    claims["iss"] = json!("https://far.example");
}

fn named(algorithm: &str, key_id: Option<&str>) -> String {
    let mut claims = claims();
    of_far(&mut claims);
    let header = match key_id {
        Some(key_id) => json!({"alg": algorithm, "kid": key_id}),
        None => json!({"alg": algorithm}),
    };
    signed(
        &es256_other(),
        header.to_string().as_bytes(),
        claims.to_string().as_bytes(),
    )
}

fn lack_of(gate: &Gate, token: &str) -> Option<Lack> {
    match gate.on_request(&request(token), Attempt::First) {
        Verdict::Wait(Wait::Keys(lack)) => Some(lack),
        verdict => {
            assert_eq!(verdict, Verdict::Stop);
            None
        }
    }
}

/// Why a token is refused, once there is this answer.
fn refused_after(gate: &Gate, token: &str, answers: Vec<KeyAnswer>) -> (u16, Reason) {
    let host = request(token);
    let answers = Answers {
        keys: answers,
        ..Answers::default()
    };
    assert_eq!(gate.on_answers(&host, &answers), Verdict::Stop);
    let Outcome::Refused(reason) = host.counted.borrow()[0].0 else {
        panic!("it was let in");
    };
    (host.response.borrow().as_ref().unwrap().status, reason)
}

#[wasm_bindgen_test(unsupported = test)]
fn a_key_that_nobody_knows_to_be_absent_is_a_503_and_one_that_is_a_401() {
    let gate = gate_with_keys_as_of(&json!({"provider_name": "far"}), NOW);
    let token = named("ES256", Some("new"));
    let lack = lack_of(&gate, &token).unwrap();
    assert_eq!(lack.missing_key().tolerance, Duration::ZERO);
    assert_eq!(
        refused_after(&gate, &token, vec![lack.unsettled()]),
        (503, Reason::KeyUnconfirmed)
    );
    assert_eq!(
        refused_after(&gate, &token, vec![lack.settled()]),
        (401, Reason::KeyUnknown)
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_signature_that_fails_is_forged_for_a_minute_after_a_fetch_and_doubtful_then() {
    let signer = eddsa();
    let key_id = signer.key_id();
    for (token, reason) in [
        (named("EdDSA", key_id), Reason::SignatureInvalid),
        (named("EdDSA", None), Reason::SignatureInvalid),
        (named("ES256", key_id), Reason::AlgorithmMismatch),
        (named("ES256", None), Reason::AlgorithmMismatch),
    ] {
        let far = json!({"provider_name": "far"});
        for recent in [NOW, NOW - 59] {
            let gate = gate_with_keys_as_of(&far, recent);
            assert_eq!(lack_of(&gate, &token), None);
            assert_eq!(refusal(&gate, &request(&token)), Some(reason));
        }
        // The clock may have been set back since.
        for doubtful in [NOW - 60, NOW + 1, 0] {
            let gate = gate_with_keys_as_of(&far, doubtful);
            let lack = lack_of(&gate, &token).unwrap();
            assert_eq!(lack.missing_key().tolerance, Duration::from_mins(1));
            assert_eq!(
                refused_after(&gate, &token, vec![lack.unsettled()]),
                (503, Reason::KeyUnconfirmed)
            );
            assert_eq!(
                refused_after(&gate, &token, vec![lack.settled()]),
                (401, reason)
            );
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn no_newer_keys_are_asked_for_where_none_could_have_made_the_signature() {
    let set_algorithms = |far: &mut Value| far["algorithms"] = json!(["EdDSA"]);
    let gate = gate_with_far(&json!({"provider_name": "far"}), set_algorithms);
    let set = KeySet::parse(jwk_set(&[&eddsa()]).as_bytes(), &KeyRules::default()).unwrap();
    gate.keys().set(index_of(&gate, "far"), Some(Rc::new(set)));
    let signer = eddsa();
    let of_any_algorithm = gate_with_keys_as_of(&json!({"provider_name": "far"}), 0);
    for key_id in [Some("new"), signer.key_id(), None] {
        for algorithm in ["none", "HS256", "HS512", "es256", ""] {
            assert_eq!(lack_of(&of_any_algorithm, &named(algorithm, key_id)), None);
        }
    }
    for algorithm in ["none", "HS256", "RS256", "ES256", "es256", ""] {
        for key_id in [Some("new"), signer.key_id(), None] {
            let token = named(algorithm, key_id);
            assert_eq!(lack_of(&gate, &token), None, "{algorithm}");
            assert_eq!(answer(&gate, &token).status, 401);
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_about_one_provider_does_not_stand_for_another() {
    let requirement = either("far", "other");
    let mut configuration = json!({"providers": {}, "rules": [
        {"match": {"prefix": "/"}, "requires": requirement},
    ]});
    for name in ["far", "other"] {
        configuration["providers"][name] = json!({
            "issuer": "https://far.example",
            "remote_jwks": {"http_uri": {"uri": format!("https://{name}/jwks"), "cluster": name}},
        });
    }
    let configured = read_configuration(configuration.to_string().as_bytes(), &|_| None);
    let gate = Gate::new(configured.unwrap().policy, Backend::Module, [1; 16]);
    for provider in [0, 1] {
        let set = KeySet::parse(jwk_set(&[&eddsa()]).as_bytes(), &KeyRules::default()).unwrap();
        gate.keys().set(provider, Some(Rc::new(set)));
        gate.keys().set_as_of(provider, NOW * 1_000);
    }
    let token = named("ES256", Some("new"));
    let first = lack_of(&gate, &token).unwrap();
    for answer in [first.settled(), first.unsettled()] {
        let answers = Answers {
            keys: vec![answer],
            ..Answers::default()
        };
        let Verdict::Wait(Wait::Keys(second)) = gate.on_answers(&request(&token), &answers) else {
            panic!("the other is not asked");
        };
        assert_ne!(first.provider, second.provider);
        for (second, status) in [(second.settled(), 401), (second.unsettled(), 503)] {
            let (told, _) = refused_after(&gate, &token, vec![answer, second]);
            let is_settled = answer == first.settled();
            assert_eq!(told, if is_settled { status } else { 503 });
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_about_one_token_does_not_stand_for_another_of_the_same_key() {
    let gate = gate_with_far(&json!({"provider_name": "far"}), |far| {
        far["from_cookies"] = json!(["tok"]);
        far["duplicate_cookies"] = json!("first_genuine");
    });
    let set = KeySet::parse(jwk_set(&[&eddsa()]).as_bytes(), &KeyRules::default()).unwrap();
    gate.keys().set(index_of(&gate, "far"), Some(Rc::new(set)));
    let mut claims = claims();
    of_far(&mut claims);
    let forged = named("EdDSA", eddsa().key_id());
    let genuine = token(&eddsa(), &claims);
    let host = || {
        let cookies = format!("tok={forged}; tok={genuine}");
        MockHost::get("/", now()).with_header("cookie", cookies)
    };
    let Verdict::Wait(Wait::Keys(lack)) = gate.on_request(&host(), Attempt::First) else {
        panic!("the first of them may be genuine as well");
    };
    for (answer, verdict) in [
        (lack.unsettled(), Verdict::Stop),
        (lack.settled(), Verdict::Forward),
    ] {
        let answers = Answers {
            keys: vec![answer],
            ..Answers::default()
        };
        assert_eq!(gate.on_answers(&host(), &answers), verdict);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn of_several_cookies_none_asks_for_the_key_of_another() {
    let gate = gate_with_far(&json!({"provider_name": "far"}), |far| {
        far["from_cookies"] = json!(["tok"]);
        far["duplicate_cookies"] = json!("first_genuine");
    });
    let set = KeySet::parse(jwk_set(&[&eddsa()]).as_bytes(), &KeyRules::default()).unwrap();
    let far = index_of(&gate, "far");
    gate.keys().set(far, Some(Rc::new(set)));
    gate.keys().set_as_of(far, NOW * 1_000);
    // No key of the provider's can have made the one, and the other is not the provider's.
    let unsigned = named("HS256", Some("new"));
    let foreign = token(&eddsa(), &claims());
    for (tokens, reason) in [
        ([&unsigned, &foreign], Reason::KeyUnknown),
        ([&foreign, &unsigned], Reason::IssuerMismatch),
    ] {
        let [first, second] = tokens;
        let cookies = format!("tok={first}; tok={second}");
        let host = || MockHost::get("/", now()).with_header("cookie", cookies.clone());
        assert_eq!(
            gate.on_request(&host(), Attempt::First),
            Verdict::Stop,
            "{reason:?}"
        );
        assert_eq!(refusal(&gate, &host()), Some(reason));
    }
}
