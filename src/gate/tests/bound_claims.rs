//! Tokens that are bound by their claims (`bind_to`).

use super::*;

fn gate_binding(bind_to: &Value) -> Gate {
    gate_with(|configuration| configuration["providers"]["idp"]["bind_to"] = bind_to.clone())
}

fn token_with(name: &str, value: Value) -> String {
    token(&es256(), &claims_with(name, value))
}

const MISMATCH: Option<Reason> = Some(Reason::BoundClaimMismatch);

#[wasm_bindgen_test(unsupported = test)]
fn a_claim_is_the_header_or_the_token_is_refused() {
    let gate = gate_binding(&json!([{"claim_name": "device", "header": "X-Device"}]));
    let outcome = |claim: Value, lines: &[&str]| {
        let mut host = request(&token_with("device", claim));
        for line in lines {
            host = host.with_header("x-device", line);
        }
        refusal(&gate, &host)
    };
    assert_eq!(outcome(json!("phone-1"), &["phone-1"]), None);
    for (claim, lines) in [
        (json!("phone-1"), &[][..]),
        (json!("phone-1"), &[""]),
        (json!("phone-1"), &["phone-2"]),
        (json!("phone-1"), &["Phone-1"]),
        (json!("phone-1"), &["phone-1 "]),
        (json!("phone-1"), &["phone-1,phone-1"]),
        (json!("phone-1"), &["phone-1", "phone-1"]),
        (json!("phone-1"), &["phone-1", "phone-2"]),
        (json!(""), &[""]),
        (json!(""), &[]),
        (Value::Null, &[]),
        (Value::Null, &["null"]),
        (json!(7), &["7"]),
        (json!(["phone-1"]), &["phone-1"]),
    ] {
        assert_eq!(outcome(claim.clone(), lines), MISMATCH, "{claim} {lines:?}");
    }
    let bare = request(&token(&es256(), &claims())).with_header("x-device", "phone-1");
    assert_eq!(refusal(&gate, &bare), MISMATCH);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_claim_is_the_property_for_each_request_of_a_known_token() {
    let name = "connection.uri_san_peer_certificate";
    let gate = gate_binding(&json!([{"claim_path": ["client", "id"], "property": name}]));
    let token = token_with("client", json!({"id": "app"}));
    let at = |value: Option<&str>| match value {
        Some(value) => request(&token).with_property(name, value),
        None => request(&token),
    };
    for _ in 0..2 {
        assert_eq!(refusal(&gate, &at(Some("app"))), None);
        for other in [None, Some(""), Some("App"), Some("app2")] {
            assert_eq!(refusal(&gate, &at(other)), MISMATCH, "{other:?}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn all_of_several_have_to_hold_beside_what_else_binds_a_token() {
    let gate = gate_with(|configuration| {
        let provider = &mut configuration["providers"]["idp"];
        provider["bind_to"] = json!([
            {"claim_name": "sub", "header": "x-user-of-device"},
            {"claim_name": "iss", "filter_state": "issuer"},
        ]);
        provider["allow_bound_tokens"] = json!(true);
    });
    let bound = token_with("cnf", json!({"jkt": "x"}));
    let host = || request(&bound);
    let issuer =
        |host: MockHost| host.with_property("filter_state.issuer", "https://issuer.example");
    let user = |host: MockHost| host.with_header("x-user-of-device", "alice");
    assert_eq!(refusal(&gate, &issuer(user(host()))), None);
    assert_eq!(refusal(&gate, &issuer(host())), MISMATCH);
    assert_eq!(refusal(&gate, &user(host())), MISMATCH);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_could_never_hold_or_binds_to_nothing_is_a_fault() {
    let claim = |rest: Value| {
        let mut entry = json!({"claim_name": "device"});
        let members = entry.as_object_mut().unwrap();
        members.extend(rest.as_object().unwrap().clone());
        json!([entry])
    };
    for (bind_to, expected) in [
        (json!(null), ": "),
        (json!([]), ": "),
        (json!({}), ": "),
        (json!([{"header": "x"}]), "[0]: "),
        (claim(json!({})), "[0]: "),
        (claim(json!({"header": "x", "filter_state": "x"})), "[0]: "),
        (claim(json!({"header": ""})), "[0].header: "),
        (claim(json!({"header": "x y"})), "[0].header: "),
        (claim(json!({"header": "host"})), "[0].header: "),
        (claim(json!({"headers": "x"})), "[0]"),
        (claim(json!({"property": []})), "[0].property: "),
        (claim(json!({"property": ""})), "[0].property: "),
        (
            claim(json!({"property": "connection.id"})),
            "[0].property: ",
        ),
        (claim(json!({"property": "request.path"})), "[0].property: "),
        (claim(json!({"filter_state": ""})), "[0].filter_state: "),
        (claim(json!({"filter_state": null})), "[0].filter_state: "),
    ] {
        let path = format!("providers.idp.bind_to{expected}");
        let told = faults_of(|provider| provider["bind_to"] = bind_to.clone());
        assert!(told.contains(&path), "{bind_to}: {told}");
    }
    // The gate takes them off what comes in, as spoofed.
    for header in ["x-user", "x_user"] {
        let told = faults_of(|provider| {
            provider["claim_to_headers"] = json!([{"header_name": "x-user", "claim_name": "sub"}]);
            provider["bind_to"] = claim(json!({ "header": header }));
        });
        assert!(
            told.contains("or is one that only the gate may set"),
            "{told}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn no_header_both_proves_something_and_carries_something_else() {
    for (settings, header) in [
        (
            json!({
                "proof_of_possession": {"dpop": {}},
                "claim_to_headers": [{"header_name": "DPoP", "claim_name": "sub"}],
            }),
            "dpop",
        ),
        (
            json!({
                "proof_of_possession": {"dpop": {}},
                "from_headers": [{"name": "dpop"}],
            }),
            "dpop",
        ),
        (
            json!({
                "proof_of_possession": {"mtls": {"xfcc": {"trusted": {"dns_sans": ["lb"]}}}},
                "forward_payload_header": "x-forwarded-client-cert",
            }),
            "x-forwarded-client-cert",
        ),
        (
            json!({
                "bind_to": [{"claim_name": "device", "header": "x-token"}],
                "from_headers": [{"name": "x-token"}],
            }),
            "x-token",
        ),
    ] {
        let told = faults_of(|provider| {
            let members = provider.as_object_mut().unwrap();
            members.extend(settings.as_object().unwrap().clone());
        });
        let expected = format!("`{header}` carries tokens or is one that only the gate may set");
        assert!(told.contains(&expected), "{settings}: {told}");
    }
    // Where nothing looks at it, it is a header as any other.
    let told = faults_of(|provider| {
        provider["claim_to_headers"] = json!([{"header_name": "dpop", "claim_name": "sub"}]);
    });
    assert_eq!(told, "");
}
