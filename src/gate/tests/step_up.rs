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

const INSUFFICIENT: Option<Reason> = Some(Reason::AuthenticationInsufficient);

#[wasm_bindgen_test(unsupported = test)]
fn acr_has_to_be_one_of_the_values() {
    let gate = gate_asking(&json!({"acr_values": [MFA, "gold"]}));
    for (said, expected) in [
        (json!({"acr": MFA}), None),
        (json!({"acr": "gold"}), None),
        (json!({"acr": "urn:example:mfa2"}), INSUFFICIENT),
        (json!({"acr": "Gold"}), INSUFFICIENT),
        (json!({"acr": "urn:example:mfa gold"}), INSUFFICIENT),
        (json!({"acr": ["gold"]}), INSUFFICIENT),
        (json!({"acr": null}), INSUFFICIENT),
        (json!({}), INSUFFICIENT),
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
        (json!({"amr": ["pwd"]}), INSUFFICIENT),
        (json!({"amr": ["otp", "hwk"]}), INSUFFICIENT),
        (json!({"amr": ["pwdotp"]}), INSUFFICIENT),
        (json!({"amr": []}), INSUFFICIENT),
        (json!({}), INSUFFICIENT),
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
        (json!(NOW - 361), INSUFFICIENT),
        (json!(NOW + 60), None),
        (json!(NOW + 61), INSUFFICIENT),
        (json!(NOW * 1000), INSUFFICIENT),
        (json!(NOW.to_string()), INSUFFICIENT),
        (json!(null), INSUFFICIENT),
    ] {
        let said = json!({ "auth_time": auth_time });
        assert_eq!(outcome(&gate, &said), expected, "{said}");
    }
    assert_eq!(outcome(&gate, &json!({})), INSUFFICIENT);
    // `iat` says when the token was made, and not when its user has signed in.
    assert_eq!(outcome(&gate, &json!({"iat": NOW})), INSUFFICIENT);
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
    assert_eq!(at(NOW + 121), INSUFFICIENT);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_client_is_told_what_is_asked_for() {
    let gate = gate_asking(&json!({
        "acr_values": [MFA, "gold"],
        "max_authentication_age": "300s",
        "amr_values": {"any_of": ["otp"]},
    }));
    let host = request(&token_saying(&json!({})));
    assert_eq!(refusal(&gate, &host), INSUFFICIENT);
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

#[wasm_bindgen_test(unsupported = test)]
fn a_browser_is_sent_to_sign_in_as_is_asked_for_and_never_in_a_loop() {
    let gate = gate_asking(&json!({
        "acr_values": [MFA, "gold"], "max_authentication_age": "300s",
    }));
    let bearer = format!("Bearer {}", token_saying(&json!({})));
    let load = |cookie: Option<&str>| {
        let mut host = MockHost::get("/api/pay?x=y", now())
            .with_header("authorization", &bearer)
            .with_header("accept", "text/html");
        if let Some(cookie) = cookie {
            host = host.with_header("cookie", cookie);
        }
        assert_eq!(refusal(&gate, &host), INSUFFICIENT);
        let response = host.response.borrow().clone().unwrap();
        let value = |name| {
            let value = response.headers.values(name).next();
            value.map(|value| str::from_utf8(value).unwrap().to_owned())
        };
        (response.status, value("location"), value("set-cookie"))
    };
    let mut cookie: Option<String> = None;
    for _ in 0..3 {
        let line = cookie.as_ref().map(|cookie| format!("a=b; {cookie}"));
        let (status, location, counted) = load(line.as_deref());
        assert_eq!(status, 302);
        assert_eq!(
            location.as_deref(),
            Some(
                "https://login.example/start?a=b&acr_values=urn%3Aexample%3Amfa%20gold\
                 &max_age=300&return_to=%2Fapi%2Fpay%3Fx%3Dy"
            )
        );
        let counted = counted.unwrap();
        assert!(
            counted.contains("; Max-Age=120; Secure; HttpOnly;"),
            "{counted}"
        );
        cookie = counted.split(';').next().map(str::to_owned);
    }
    let sent = cookie.unwrap();
    assert_eq!(load(Some(&sent)), (401, None, None));
    // What is no number of a round has the browser told as well.
    for odd in ["", "x", "-1", "256", "300000"] {
        let cookie = format!("__Host-portcullis-step-up={odd}");
        assert_eq!(load(Some(&cookie)), (401, None, None), "{odd}");
    }
    let twice = format!("{sent}; __Host-portcullis-step-up=1");
    assert_eq!(load(Some(&twice)), (401, None, None));
}

#[wasm_bindgen_test(unsupported = test)]
fn grpc_clients_get_unauthenticated() {
    let gate = gate_asking(&json!({"acr_values": [MFA]}));
    let host = request(&token_saying(&json!({}))).with_header("content-type", "application/grpc");
    assert_eq!(refusal(&gate, &host), INSUFFICIENT);
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
        configuration["login_redirect"] = json!({"url": "/login", "return_parameter": "max_age"});
    });
    assert!(told.contains("login_redirect.return_parameter: "), "{told}");
}
