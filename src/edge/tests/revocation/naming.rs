//! Tokens that can be named in part, or not at all.

use super::*;

fn lenient() -> Fixture {
    Fixture::new(|settings| settings["on_unnamed"] = json!("allow")).with_feed()
}

/// Claims that should name a token and cannot, of tokens that the others name.
fn odd() -> Vec<(&'static str, Value)> {
    let long = || json!("x".repeat(1_025));
    vec![
        ("azp", Value::Null),
        ("azp", json!(7)),
        ("client_id", json!(["a"])),
        ("client_id", long()),
        ("sid", json!(7)),
        ("sid", long()),
        ("device", json!({"id": "phone"})),
        ("device", long()),
        ("jti", long()),
        ("sub", long()),
    ]
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

/// What names the token of [`claims`], claim by claim.
const NAMES: [(&str, Kind, &str); 5] = [
    ("jti", Kind::Token, "token"),
    ("sid", Kind::Session, "session"),
    ("device", Kind::Device, "phone"),
    ("sub", Kind::Subject, "alice"),
    ("client_id", Kind::Client, "app"),
];

#[wasm_bindgen_test(unsupported = test)]
fn a_name_that_can_be_revoked_is_looked_up_whatever_stands_beside_it() {
    for (odd, value) in odd() {
        for (claim, kind, name) in NAMES.into_iter().filter(|(claim, ..)| *claim != odd) {
            let edge = lenient();
            let claims = with(odd, value.clone());
            let revoked = refused(Reason::TokenRevoked);
            if kind.is_cut_off() {
                edge.cut_off(kind, name);
                assert_eq!(edge.outcome(&claims), revoked, "{claim} beside {odd}");
            } else {
                edge.apply(Change::Add(name_of(kind, name)));
                let outcome = edge.answered(&claims, Some(true));
                assert_eq!(outcome, revoked, "{claim} beside {odd}");
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_with_a_claim_that_cannot_name_it_is_refused_or_counted_as_unknown() {
    for (name, value) in odd() {
        let claims = with(name, value);
        let strict = Fixture::new(|_| {}).with_feed();
        let unnamed = refused(Reason::TokenUnnamed);
        assert_eq!(strict.outcome(&claims), unnamed, "{name}");
        let edge = lenient();
        for _ in 0..2 {
            assert_eq!(edge.outcome(&claims), UNKNOWN, "{name}");
        }
        // Nor when the authority has said that the other names are not revoked.
        let (_, kind, value) = NAMES[usize::from(name == "jti")];
        edge.apply(Change::Add(name_of(kind, value)));
        assert_eq!(edge.answered(&claims, Some(false)), UNKNOWN, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_name_as_long_as_the_authority_takes_names_is_one() {
    let edge = Fixture::new(|_| {}).with_feed();
    for (name, ..) in NAMES {
        let claims = with(name, "x".repeat(1_024).into());
        assert_eq!(edge.outcome(&claims), ALLOWED, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_without_any_name_is_refused_unless_told_otherwise() {
    let unnamed = refused(Reason::TokenUnnamed);
    for nameless in [
        json!({"iss": "iss", "exp": NOW + 300}),
        json!({"iss": "iss", "sub": "", "jti": "", "exp": NOW + 300}),
        json!({"iss": "iss", "sid": "", "device": "", "client_id": "", "azp": "", "exp": NOW + 300}),
    ] {
        let edge = Fixture::new(|_| {}).with_feed();
        assert_eq!(edge.outcome(&nameless), unnamed, "{nameless}");
        let edge = lenient();
        assert_eq!(edge.outcome(&nameless), UNKNOWN, "{nameless}");
        edge.cut_off(Kind::Issuer, "");
        let revoked = refused(Reason::TokenRevoked);
        assert_eq!(edge.outcome(&nameless), revoked, "{nameless}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn without_an_issuer_nothing_is_named() {
    let long = "x".repeat(1_025);
    for issuer in [None, Some(""), Some(long.as_str())] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove("iss");
        if let Some(issuer) = issuer {
            claims["iss"] = json!(issuer);
        }
        for (posture, expected) in [("deny", refused(Reason::TokenUnnamed)), ("allow", UNKNOWN)] {
            let edge = Fixture::of_issuer(None, |settings| settings["on_unnamed"] = json!(posture));
            let edge = edge.with_feed();
            for _ in 0..2 {
                assert_eq!(edge.outcome(&claims), expected, "{issuer:?}");
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_empty_name_beside_others_is_none() {
    let edge = Fixture::new(|_| {}).with_feed();
    for (name, ..) in NAMES {
        assert_eq!(edge.outcome(&with(name, json!(""))), ALLOWED, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn of_two_claims_that_name_a_client_either_may_be_revoked() {
    let claims = with("azp", json!("party"));
    for client in ["app", "party"] {
        let edge = Fixture::new(|_| {}).with_feed();
        assert_eq!(edge.outcome(&claims), ALLOWED);
        edge.cut_off(Kind::Client, client);
        let revoked = refused(Reason::TokenRevoked);
        assert_eq!(edge.outcome(&claims), revoked, "{client}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_authority_is_asked_about_both_clients_of_a_token() {
    for (azp, expected) in [("party", Some("party")), ("app", None), ("", None)] {
        let edge = Fixture::new(|_| {}).with_feed();
        edge.apply(Change::Add(name_of(Kind::Token, "token")));
        let (_, check) = edge.check(&with("azp", json!(azp)));
        let body: Value = serde_json::from_slice(&body_of(&check)).unwrap();
        assert_eq!(body["client"], "app");
        let asked = body.get("azp").and_then(Value::as_str);
        assert_eq!(asked, expected, "{azp}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn without_a_feed_a_token_that_is_named_in_part_is_no_better_off() {
    let claims = with("azp", Value::Null);
    let with = |posture: &str| {
        Fixture::new(|settings| {
            settings["on_unnamed"] = json!("allow");
            settings["on_missing_feed"] = json!(posture);
        })
    };
    let unavailable = refused(Reason::RevocationUnavailable);
    assert_eq!(with("deny").outcome(&claims), unavailable);
    assert_eq!(with("allow").outcome(&claims), UNKNOWN);
    assert_eq!(with("confirm").answered(&claims, Some(false)), UNKNOWN);
}
