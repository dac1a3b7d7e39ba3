//! How and when the user has signed in, where a rule asks for it.

use super::*;

const MFA: &str = "urn:example:mfa";

fn gate_asking(asked: &Value) -> Gate {
    gate_with(|configuration| {
        configuration["login_redirect"] = json!({"url": "https://login.example/start?a=b"});
        let requirement = &mut configuration["rules"][1]["requires"];
        for (key, value) in asked.as_object().unwrap() {
            requirement[key] = value.clone();
        }
    })
}

fn outcome(gate: &Gate, said: &Value) -> Option<Reason> {
    refusal(gate, &request(&token_saying(said)))
}

fn token_saying(said: &Value) -> String {
    let mut claims = claims();
    for (name, value) in said.as_object().unwrap() {
        claims[name] = value.clone();
    }
    token(&es256(), &claims)
}

const WEAK: Option<Reason> = Some(Reason::AuthenticationTooWeak);
const OLD: Option<Reason> = Some(Reason::AuthenticationTooOld);

#[wasm_bindgen_test(unsupported = test)]
fn acr_has_to_be_one_of_the_values() {
    let gate = gate_asking(&json!({"acr_values": [MFA, "gold"]}));
    for (said, expected) in [
        (json!({"acr": MFA}), None),
        (json!({"acr": "gold"}), None),
        (json!({"acr": "urn:example:mfa2"}), WEAK),
        (json!({"acr": "Gold"}), WEAK),
        (json!({"acr": "urn:example:mfa gold"}), WEAK),
        (json!({"acr": ["gold"]}), WEAK),
        (json!({"acr": null}), WEAK),
        (json!({}), WEAK),
    ] {
        assert_eq!(outcome(&gate, &said), expected, "{said}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn amr_has_to_name_the_ways_to_sign_in() {
    let gate = gate_asking(&json!({"amr_values": {"all_of": ["pwd"], "any_of": ["otp", "hwk"]}}));
    for (said, expected) in [
        (json!({"amr": ["pwd", "otp"]}), None),
        (json!({"amr": ["hwk", "x", "pwd"]}), None),
        (json!({"amr": "pwd otp"}), None),
        (json!({"amr": ["pwd"]}), WEAK),
        (json!({"amr": ["otp", "hwk"]}), WEAK),
        (json!({"amr": ["pwdotp"]}), WEAK),
        (json!({"amr": []}), WEAK),
        (json!({}), WEAK),
    ] {
        assert_eq!(outcome(&gate, &said), expected, "{said}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_sign_in_must_not_be_longer_ago_than_is_asked_for() {
    let gate = gate_asking(&json!({"max_authentication_age": "300s"}));
    for (auth_time, expected) in [
        (json!(NOW), None),
        // With the skew of sixty seconds.
        (json!(NOW - 360), None),
        (json!(NOW - 361), OLD),
        (json!(NOW + 60), None),
        (json!(NOW + 61), OLD),
        (json!(NOW * 1000), OLD),
        (json!(NOW.to_string()), OLD),
        (json!(null), OLD),
    ] {
        let said = json!({ "auth_time": auth_time });
        assert_eq!(outcome(&gate, &said), expected, "{said}");
    }
    assert_eq!(outcome(&gate, &json!({})), OLD);
    // `iat` says when the token was made, and not when its user has signed in.
    assert_eq!(outcome(&gate, &json!({"iat": NOW})), OLD);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_age_of_a_known_tokens_sign_in_is_looked_at_again() {
    let gate = gate_asking(&json!({"max_authentication_age": "60s"}));
    let bearer = format!("Bearer {}", token_saying(&json!({"auth_time": NOW})));
    let at = |seconds| {
        let now = UnixTime::from_seconds(seconds).unwrap();
        refusal(
            &gate,
            &MockHost::get("/api/x", now).with_header("authorization", &bearer),
        )
    };
    assert_eq!(at(NOW), None);
    assert_eq!(at(NOW + 120), None);
    assert_eq!(at(NOW + 121), OLD);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_client_is_told_what_is_asked_for() {
    let gate = gate_asking(&json!({
        "acr_values": [MFA, "gold"],
        "max_authentication_age": "300s",
        "amr_values": {"any_of": ["otp"]},
    }));
    let host = request(&token_saying(&json!({})));
    assert_eq!(refusal(&gate, &host), WEAK);
    let response = host.response.borrow().clone().unwrap();
    assert_eq!(response.status, 401);
    let mut challenges = response.headers.values("www-authenticate");
    assert_eq!(
        challenges
            .next()
            .map(|value| str::from_utf8(value).unwrap()),
        Some(
            "Bearer realm=\"portcullis\", error=\"insufficient_user_authentication\", \
             error_description=\"the user has to sign in again, or in a stronger way\", \
             acr_values=\"urn:example:mfa gold\", max_age=\"300\""
        )
    );
    let document: Value = serde_json::from_slice(&response.body).unwrap();
    assert_eq!(document["code"], "authentication_insufficient");
    assert_eq!(document["action"], "step_up");
    assert_eq!(document["acr_values"], "urn:example:mfa gold");
    assert_eq!(document["max_age"], 300);
}

/// A page load with this token and these cookies: status, `location`, `set-cookie`.
fn load(
    gate: &Gate,
    token: &str,
    at: u64,
    cookies: &[String],
) -> (u16, Option<String>, Option<String>) {
    let mut host = MockHost::get("/api/pay?x=y", UnixTime::from_seconds(at).unwrap())
        .with_header("authorization", format!("Bearer {token}"))
        .with_header("accept", "text/html");
    for cookie in cookies {
        host = host.with_header("cookie", cookie);
    }
    assert!(refusal(gate, &host).is_some());
    let response = host.response.borrow().clone().unwrap();
    let value = |name| {
        let value = response.headers.values(name).next();
        value.map(|value| str::from_utf8(value).unwrap().to_owned())
    };
    (response.status, value("location"), value("set-cookie"))
}

#[wasm_bindgen_test(unsupported = test)]
fn a_browser_is_sent_to_sign_in_as_is_asked_for_and_never_in_a_loop() {
    let gate = gate_asking(&json!({
        "acr_values": [MFA, "gold"], "max_authentication_age": "300s",
    }));
    let token = token_saying(&json!({"exp": NOW + 3_600}));
    let mut cookies: Vec<String> = Vec::new();
    for round in 1..=5 {
        let at = NOW + round;
        let (status, location, set) = load(&gate, &token, at, &cookies);
        assert_eq!(status, 302);
        assert_eq!(
            location.as_deref(),
            Some(
                "https://login.example/start?a=b&acr_values=urn%3Aexample%3Amfa%20gold\
                 &max_age=300&return_to=%2Fapi%2Fpay%3Fx%3Dy"
            )
        );
        let first = NOW + 1;
        let expected = format!(
            "portcullis-step-up={first}.{round}; Path=/; Max-Age=900; HttpOnly; SameSite=Lax"
        );
        assert_eq!(set.as_deref(), Some(&*expected));
        cookies = vec![format!("a=b; {}", expected.split(';').next().unwrap())];
    }
    let told = (401, None, None);
    assert_eq!(load(&gate, &token, NOW + 6, &cookies), told);
    // The one that says most counts, and what says nothing does not.
    cookies.push("portcullis-step-up=1.1".to_owned());
    assert_eq!(load(&gate, &token, NOW + 7, &cookies), told);
    for odd in [
        "",
        "5",
        "x.5",
        "5.x",
        "-1.5",
        "1767225601.256",
        "1767225601.5.5",
    ] {
        let cookie = [format!("portcullis-step-up={odd}")];
        let (status, _, set) = load(&gate, &token, NOW + 7, &cookie);
        assert_eq!(status, 302, "{odd}");
        assert!(set.unwrap().contains(".1; "), "{odd}");
    }
    assert_eq!(load(&gate, &token, NOW + 1 + 900, &cookies), told);
    assert_eq!(load(&gate, &token, NOW + 2 + 900, &cookies).0, 302);
}

#[wasm_bindgen_test(unsupported = test)]
fn one_who_signs_in_again_and_again_as_is_asked_is_not_taken_for_a_loop() {
    let gate = gate_asking(&json!({"max_authentication_age": "30s"}));
    let mut cookies: Vec<String> = Vec::new();
    for round in 0..10 {
        // Each sign-in has become too old, with the skew.
        let at = NOW + 1 + round * 91;
        let token = token_saying(&json!({"auth_time": at - 91, "exp": at + 60}));
        let (status, _, set) = load(&gate, &token, at, &cookies);
        assert_eq!(status, 302, "{round}");
        cookies = vec![set.unwrap().split(';').next().unwrap().to_owned()];
    }
    // The same as fast as a page that asks nobody sends the browser back.
    let token = token_saying(&json!({"auth_time": NOW - 91}));
    let mut statuses = Vec::new();
    let mut cookies: Vec<String> = Vec::new();
    for round in 0..6 {
        let (status, _, set) = load(&gate, &token, NOW + round, &cookies);
        statuses.push(status);
        cookies.extend(set.map(|set| set.split(';').next().unwrap().to_owned()));
    }
    assert_eq!(statuses, [302, 302, 302, 302, 302, 401]);
    // The same where the provider does not say when its users have signed in, or says it wrongly,
    // however long that takes.
    for said in [
        json!({"exp": NOW + 600}),
        json!({"exp": NOW + 600, "auth_time": NOW - 91}),
        json!({"exp": NOW + 600, "auth_time": NOW + 3_600}),
    ] {
        let token = token_saying(&said);
        let (mut statuses, mut cookies) = (Vec::new(), Vec::new());
        for round in 0..6 {
            let (status, _, set) = load(&gate, &token, NOW + round * 100, &cookies);
            statuses.push(status);
            cookies = set
                .iter()
                .map(|set| set.split(';').next().unwrap().to_owned())
                .collect();
        }
        assert_eq!(statuses, [302, 302, 302, 302, 302, 401], "{said}");
    }
    // A cookie of another Envoy, whose clock is a little ahead, counts, and one of the far future does not.
    let cookie = |at: u64| [format!("portcullis-step-up={at}.5")];
    assert_eq!(load(&gate, &token, NOW, &cookie(NOW + 60)).0, 401);
    assert_eq!(load(&gate, &token, NOW, &cookie(NOW + 61)).0, 302);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_no_sign_in_mends_is_told_first_in_any_order() {
    let strong = json!({"provider_name": "idp", "acr_values": [MFA]});
    let admins = json!({"provider_name": "idp", "scopes": {"all_of": ["admin"]}});
    for parts in [[&strong, &admins], [&admins, &strong]] {
        let gate = gate_with(|configuration| {
            configuration["rules"][1]["requires"] =
                json!({"requires_all": {"requirements": parts}});
        });
        assert_eq!(outcome(&gate, &json!({})), Some(Reason::ScopeMissing));
        assert_eq!(outcome(&gate, &json!({"scope": "admin"})), WEAK);
        assert_eq!(outcome(&gate, &json!({"scope": "admin", "acr": MFA})), None);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_second_token_that_is_missing_does_not_hide_what_is_asked_of_the_first() {
    let strong = json!({"provider_name": "idp", "acr_values": [MFA]});
    let other = json!({"provider_name": "other"});
    for parts in [[&strong, &other], [&other, &strong]] {
        let gate = gate_with(|configuration| {
            let providers = &mut configuration["providers"];
            providers["other"] = providers["idp"].clone();
            providers["other"]["from_headers"] = json!([{"name": "x-other"}]);
            providers["other"]["claim_to_headers"] = json!([]);
            configuration["rules"][1]["requires"] =
                json!({"requires_all": {"requirements": parts}});
        });
        let asked = outcome(&gate, &json!({}));
        let expected = if parts[0] == &strong {
            WEAK
        } else {
            Some(Reason::TokenMissing)
        };
        assert_eq!(asked, expected);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_browser_without_a_token_is_asked_for_no_more_than_one_alternative_needs() {
    let strong = json!({"provider_name": "idp", "acr_values": [MFA]});
    let plain = json!({"provider_name": "idp", "scopes": {"all_of": ["admin"]}});
    for alternatives in [[&strong, &plain], [&plain, &strong]] {
        let gate = gate_with(|configuration| {
            configuration["login_redirect"] = json!({"url": "/login"});
            let any = json!({"requires_any": {"requirements": alternatives}});
            configuration["rules"][1]["requires"] = any;
        });
        let (status, location, _) = load(&gate, "", NOW, &[]);
        assert_eq!(status, 302);
        assert!(!location.unwrap().contains("acr_values"));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_browser_without_a_good_token_is_sent_to_sign_in_as_is_asked_for_at_once() {
    let gate = gate_asking(&json!({"acr_values": [MFA]}));
    let (status, location, set) = load(&gate, "", NOW, &[]);
    assert_eq!((status, set), (302, None));
    assert!(
        location
            .unwrap()
            .contains("&acr_values=urn%3Aexample%3Amfa&")
    );
    let expired = token_saying(&json!({"exp": NOW - 600}));
    let (status, location, set) = load(&gate, &expired, NOW, &[]);
    assert_eq!((status, set), (302, None));
    assert!(
        location
            .unwrap()
            .contains("&acr_values=urn%3Aexample%3Amfa&")
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_browser_is_not_sent_to_a_page_that_nothing_can_be_asked_of() {
    let gate = gate_asking(&json!({"amr_values": {"any_of": ["otp"]}}));
    let told = (401, None, None);
    assert_eq!(load(&gate, &token_saying(&json!({})), NOW, &[]), told);
}

#[wasm_bindgen_test(unsupported = test)]
fn of_several_alternatives_one_that_another_sign_in_would_meet_is_told() {
    let strong = json!({"provider_name": "idp", "acr_values": [MFA]});
    let admins = json!({
        "provider_name": "idp", "claims": [{"claim_name": "role", "equals": "admin"}],
    });
    for alternatives in [[&strong, &admins], [&admins, &strong]] {
        let gate = gate_with(|configuration| {
            let any = json!({"requires_any": {"requirements": alternatives}});
            configuration["rules"][1]["requires"] = any;
        });
        assert_eq!(outcome(&gate, &json!({})), WEAK);
        assert_eq!(outcome(&gate, &json!({"acr": MFA})), None);
        assert_eq!(outcome(&gate, &json!({"role": "admin"})), None);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_is_known_from_another_rule_is_not_strong_by_that() {
    let gate = gate_with(|configuration| {
        let rules = configuration["rules"].as_array_mut().unwrap();
        rules.push(json!({
            "match": {"prefix": "/pay"},
            "requires": {"provider_name": "idp", "acr_values": [MFA]},
        }));
    });
    let bearer = format!("Bearer {}", token_saying(&json!({})));
    let ask = |path| {
        refusal(
            &gate,
            &MockHost::get(path, now()).with_header("authorization", &bearer),
        )
    };
    for _ in 0..2 {
        assert_eq!(ask("/api"), None);
        assert_eq!(ask("/pay"), WEAK);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn grpc_clients_get_unauthenticated() {
    let gate = gate_asking(&json!({"acr_values": [MFA]}));
    let host = request(&token_saying(&json!({}))).with_header("content-type", "application/grpc");
    assert_eq!(refusal(&gate, &host), WEAK);
    let response = host.response.borrow().clone().unwrap();
    assert_eq!(response.grpc_status, Some(16));
}

#[wasm_bindgen_test(unsupported = test)]
fn what_cannot_be_asked_for_is_a_fault_with_its_path() {
    let faults = |change: &dyn Fn(&mut Value)| {
        let mut configuration = json!({
            "providers": {"idp": {
                "issuer": "https://issuer.example",
                "local_jwks": {"inline_string": jwk_set(&[&es256()])},
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
        });
        change(&mut configuration);
        let read = read_configuration(configuration.to_string().as_bytes(), &|_| None);
        let faults = read.err().unwrap_or_default();
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        faults.join("\n")
    };
    let asking = |key: &str, value: Value| {
        faults(&|configuration| {
            configuration["rules"][0]["requires"][key] = value.clone();
        })
    };
    for (key, value, path) in [
        ("acr_values", json!(["a b"]), "requires.acr_values[0]"),
        ("acr_values", json!(["a\"b"]), "requires.acr_values[0]"),
        ("acr_values", json!([""]), "requires.acr_values[0]"),
        ("acr_values", json!([]), "requires.acr_values"),
        ("acr_values", json!(null), "requires.acr_values"),
        ("amr_values", json!(null), "requires.amr_values"),
        (
            "amr_values",
            json!({"all_of": ["pwd"], "any_of": []}),
            "requires.amr_values.any_of",
        ),
        (
            "max_authentication_age",
            json!(null),
            "requires.max_authentication_age",
        ),
        ("amr_values", json!({}), "requires.amr_values"),
        ("amr_values", json!(["otp"]), "requires.amr_values"),
        (
            "max_authentication_age",
            json!("0s"),
            "requires.max_authentication_age",
        ),
        (
            "max_authentication_age",
            json!("1.5s"),
            "requires.max_authentication_age",
        ),
        (
            "max_authentication_age",
            json!(300),
            "requires.max_authentication_age",
        ),
    ] {
        let told = asking(key, value.clone());
        assert!(
            told.contains(&format!("rules[0].{path}: ")),
            "{value}: {told}"
        );
    }
    let told = faults(&|configuration| {
        configuration["rules"][0]["requires"] =
            json!({"allow_missing": {}, "max_authentication_age": "300s"});
    });
    assert!(
        told.contains("`max_authentication_age` stand beside"),
        "{told}"
    );
    let told = faults(&|configuration| {
        configuration["login_redirect"] = json!({"url": "/login?a=b&max_age=5"});
        configuration["rules"][0]["requires"]["acr_values"] = json!([MFA]);
    });
    assert!(told.contains("login_redirect.url: has `max_age`"), "{told}");
    let told = faults(&|configuration| {
        configuration["login_redirect"] = json!({"url": "/login?a=b&max_age=5"});
    });
    assert_eq!(told, "");
    let told = faults(&|configuration| {
        configuration["login_redirect"] = json!({"url": "/login", "return_parameter": "max_age"});
    });
    assert!(told.contains("login_redirect.return_parameter: "), "{told}");
}
