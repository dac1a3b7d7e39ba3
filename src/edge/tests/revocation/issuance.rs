//! What cut-offs compare with.

use super::*;

const REFUSED: Option<Outcome> = refused(Reason::TokenRevoked);

/// Everything but the issuer.
const NAMES: [(Kind, &str); 2] = [(Kind::Subject, "alice"), (Kind::Client, "app")];

/// A token that was issued now, for a user who has signed in then. Cut-offs are at [`NOW`].
fn refreshed(auth_time: Value) -> Value {
    let mut claims = claims();
    claims["iat"] = json!(NOW);
    claims["auth_time"] = auth_time;
    claims
}

#[wasm_bindgen_test(unsupported = test)]
fn a_refreshed_token_stays_cut_off_and_one_of_a_new_sign_in_is_not() {
    for (kind, value) in NAMES {
        let edge = Fixture::new(|_| {}).with_feed();
        assert_eq!(edge.outcome(&refreshed(json!(NOW - 1))), ALLOWED);
        edge.cut_off(kind, value);
        assert_eq!(edge.outcome(&refreshed(json!(NOW - 1))), REFUSED);
        assert_eq!(edge.outcome(&refreshed(json!(NOW - 1))), REFUSED, "again");
        assert_eq!(edge.outcome(&refreshed(json!(NOW))), ALLOWED);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cut_off_of_an_issuer_asks_when_the_token_was_signed() {
    let edge = Fixture::new(|_| {}).with_feed();
    edge.cut_off(Kind::Issuer, "");
    assert_eq!(edge.outcome(&refreshed(json!(NOW - 1))), ALLOWED);
    let mut old = refreshed(json!(NOW - 1));
    old["iat"] = json!(NOW - 1);
    assert_eq!(edge.outcome(&old), REFUSED);
}

#[wasm_bindgen_test(unsupported = test)]
fn no_odd_auth_time_helps_a_token_past_a_cut_off() {
    let edge = Fixture::new(|_| {}).with_feed();
    edge.cut_off(Kind::Subject, "alice");
    for odd in [
        json!(null),
        json!("2026-01-01"),
        json!(NOW.to_string()),
        json!(-1),
        json!(0),
        json!(NOW * 1_000),
        json!([NOW]),
    ] {
        assert_eq!(edge.outcome(&refreshed(odd.clone())), REFUSED, "{odd}");
    }
    for later in [json!(NOW), json!(NOW + 1), json!(NOW + 900_000_000)] {
        let mut old = refreshed(later.clone());
        old["iat"] = json!(NOW - 1);
        assert_eq!(edge.outcome(&old), REFUSED, "issued before, {later}");
        assert_eq!(edge.outcome(&refreshed(later.clone())), ALLOWED, "{later}");
        old.as_object_mut().unwrap().remove("iat");
        assert_eq!(edge.outcome(&old), REFUSED, "issued at any time, {later}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_provider_may_have_cut_offs_compare_with_the_issue_time() {
    let configuration = |cut_off_by: &str| {
        json!({
            "providers": {"idp": {
                "issuer": "iss", "cut_off_by": cut_off_by,
                "local_jwks": {"inline_string": jwk_set(&[&es256()])},
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
            "revocation": mock_authority::settings(),
        })
    };
    for (cut_off_by, expected) in [("iat", ALLOWED), ("auth_time_or_iat", REFUSED)] {
        let edge = Fixture::of(&configuration(cut_off_by)).with_feed();
        edge.cut_off(Kind::Subject, "alice");
        let claims = refreshed(json!(NOW - 1));
        assert_eq!(edge.outcome(&claims), expected, "{cut_off_by}");
        // Also once it is known, and the authority has to be asked for another reason.
        edge.apply(Change::Add(name_of(Kind::Token, "token")));
        if expected == ALLOWED {
            let (_, check) = edge.check(&claims);
            let body: Value = serde_json::from_slice(&body_of(&check)).unwrap();
            assert_eq!(body.get("auth_time"), None);
        } else {
            assert_eq!(edge.outcome(&claims), REFUSED);
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_authority_is_told_what_it_needs_to_judge_as_the_edge_does() {
    for (auth_time, expected) in [
        (json!(NOW - 1), json!(NOW - 1)),
        // As if it were not there.
        (json!(NOW + 1), json!(null)),
        (json!("today"), json!(0)),
    ] {
        let edge = Fixture::new(|_| {}).with_feed();
        edge.apply(Change::Add(name_of(Kind::Token, "token")));
        let (_, check) = edge.check(&refreshed(auth_time));
        let body: Value = serde_json::from_slice(&body_of(&check)).unwrap();
        assert_eq!(
            (&body["issued_at"], &body["auth_time"]),
            (&json!(NOW), &expected)
        );
    }
}
