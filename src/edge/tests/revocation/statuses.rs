//! Tokens whose status is in a list.

use super::*;
use crate::revocation::mock_authority::FILTER_KEY;

const LIST: &str = "https://iss/lists/1";

const UNCONFIRMED: Option<Outcome> = refused(Reason::RevocationUnconfirmed);

/// An edge whose provider has this for `status_list`, and a feed.
fn edge(status_list: &str) -> Fixture {
    with_settings(status_list, |_| {}).with_feed()
}

fn with_settings(status_list: &str, change: impl FnOnce(&mut Value)) -> Fixture {
    let mut revocation = mock_authority::settings();
    change(&mut revocation);
    Fixture::of(&json!({
        "providers": {"idp": {
            "issuer": "iss", "status_list": status_list,
            "local_jwks": {"inline_string": jwk_set(&[&es256()])},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
        "revocation": revocation,
    }))
}

/// The claims of a token whose status is the one with this index.
fn with_index(index: u64) -> Value {
    with_status(json!({"status_list": {"uri": LIST, "idx": index}}))
}

fn with_status(status: Value) -> Value {
    let mut claims = claims();
    claims["status"] = status;
    claims
}

fn changed(index: u64) -> Change {
    Change::Restore(FILTER_KEY.status("iss", LIST, index))
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_with_a_status_is_asked_about_once_and_again_when_that_has_changed() {
    let edge = edge("honour");
    assert_eq!(edge.checked_for(&with_index(7)), ALLOWED);
    assert_eq!(edge.outcome(&with_index(7)), ALLOWED, "it is remembered");
    for other in [
        changed(8),
        Change::Restore(FILTER_KEY.status("iss", "https://iss/lists/2", 7)),
        Change::Restore(FILTER_KEY.status("other", LIST, 7)),
        Change::Restore(FILTER_KEY.statuses("other")),
    ] {
        edge.apply(other);
        assert_eq!(edge.outcome(&with_index(7)), ALLOWED);
    }
    for (cause, reason) in [
        (Cause::Suspended, Reason::TokenSuspended),
        (Cause::Plain, Reason::TokenRevoked),
    ] {
        edge.authority.borrow_mut().statuses = vec![(7, cause)];
        edge.apply(changed(7));
        assert_eq!(edge.checked_for(&with_index(7)), refused(reason));
        assert_eq!(edge.outcome(&with_index(7)), refused(reason));
    }
    edge.authority.borrow_mut().statuses.clear();
    edge.apply(Change::Restore(FILTER_KEY.statuses("iss")));
    assert_eq!(edge.checked_for(&with_index(7)), ALLOWED);
    edge.authority.borrow_mut().statuses = vec![(7, Cause::Suspended)];
    edge.apply(Change::Add(name_of(Kind::Token, "token")));
    let both = refused(Reason::TokenRevoked);
    assert_eq!(edge.checked_for(&with_index(7)), both, "the graver of both");
}

#[wasm_bindgen_test(unsupported = test)]
fn the_check_names_the_status_and_that_of_another_provider_does_not() {
    for (status_list, expected) in [
        ("honour", json!({"uri": LIST, "idx": 7})),
        ("ignore", Value::Null),
    ] {
        let edge = edge(status_list);
        edge.apply(Change::Add(name_of(Kind::Token, "token")));
        let (_, check) = edge.check(&with_index(7));
        let body: Value = serde_json::from_slice(&body_of(&check)).unwrap();
        assert_eq!(body["status"], expected);
    }
    let edge = edge("honour");
    assert_eq!(edge.outcome(&claims()), ALLOWED, "without a status");
    let ignoring = self::edge("ignore");
    assert_eq!(ignoring.outcome(&with_index(7)), ALLOWED);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_status_that_is_not_known_is_asked_for_again_and_only_the_posture_helps() {
    for (posture, expected) in [("deny", UNCONFIRMED), ("allow", UNKNOWN)] {
        let edge = with_settings("honour", |settings| {
            settings["on_unconfirmed"] = json!(posture);
        });
        let edge = edge.with_feed();
        for _ in 0..2 {
            assert_eq!(edge.answered(&with_index(7), None), expected);
        }
        assert_eq!(edge.answered(&with_index(7), Some(false)), ALLOWED);
        assert_eq!(edge.outcome(&with_index(7)), ALLOWED);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_that_was_read_before_the_list_changed_is_not_remembered() {
    let edge = edge("honour");
    let (context, check) = edge.check(&with_index(7));
    edge.apply(changed(7));
    let proof = proof_of(&body_of(&check), false, &authority_key());
    edge.machine.end_call(&check, &says(&proof));
    assert_eq!(edge.machine.outcome(context), ALLOWED);
    edge.authority.borrow_mut().statuses = vec![(7, Cause::Plain)];
    assert_eq!(
        edge.checked_for(&with_index(7)),
        refused(Reason::TokenRevoked)
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_status_that_is_no_reference_to_a_list_is_never_ignored() {
    let entry = |uri: Value, index: Value| json!({"status_list": {"uri": uri, "idx": index}});
    for status in [
        json!(null),
        json!("active"),
        json!({}),
        json!({"identifier_list": {"id": "a", "uri": LIST}}),
        json!({"status_list": 7}),
        json!({"status_list": {"idx": 7}}),
        json!({"status_list": {"uri": LIST}}),
        entry(json!(LIST), json!("7")),
        entry(json!(LIST), json!(-1)),
        entry(json!(LIST), json!(7.5)),
        entry(json!(LIST), json!(1_u64 << 53)),
        entry(json!(""), json!(7)),
        entry(json!("x".repeat(1_025)), json!(7)),
        entry(json!(7), json!(7)),
    ] {
        // Not even where tokens without names pass.
        let edge = with_settings("honour", |settings| settings["on_unnamed"] = json!("allow"));
        let edge = edge.with_feed();
        let malformed = refused(Reason::StatusMalformed);
        assert_eq!(
            edge.outcome(&with_status(status.clone())),
            malformed,
            "{status}"
        );
        let ignoring = self::edge("ignore");
        assert_eq!(
            ignoring.outcome(&with_status(status.clone())),
            ALLOWED,
            "{status}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn lists_without_an_authority_are_a_fault() {
    let configuration = json!({
        "providers": {"i.d": {
            "issuer": "iss", "status_list": "honour",
            "local_jwks": {"inline_string": jwk_set(&[&es256()])},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "i.d"}}],
    });
    let bytes = configuration.to_string();
    let faults = crate::gate::read_configuration(bytes.as_bytes(), &|_| None).unwrap_err();
    let [fault] = faults.try_into().unwrap();
    let expected = "expected `revocation` with `honour`: its authority reads the lists";
    assert_eq!(fault.message, expected);
    assert!(fault.path.ends_with("status_list"), "{}", fault.path);
}
