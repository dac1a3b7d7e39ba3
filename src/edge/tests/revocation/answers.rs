//! What the authority says of a token.

use super::*;
use crate::host::BackgroundHost as _;
use crate::revocation::proof;
use crate::token::fixtures::es256_other;
use crate::token::{KeyRules, KeySet};

const UNCONFIRMED: Option<Outcome> = Some(Outcome::Refused(Reason::RevocationUnconfirmed));

/// What the authority says of a check.
type Proof<'p> = dyn Fn(&[u8]) -> String + 'p;

/// An edge that has to ask about the token of [`claims`], though it is not revoked.
fn unsure() -> Fixture {
    let edge = Fixture::new(|_| {}).with_feed();
    edge.apply(Change::Add(name_of(Kind::Token, "token")));
    edge
}

#[wasm_bindgen_test(unsupported = test)]
fn what_the_authority_has_not_signed_for_this_very_check_is_no_answer() {
    let edge = unsure();
    let outcome = |make: &Proof| {
        let (context, check) = edge.check(&claims());
        edge.machine
            .end_call(&check, &says(&make(&body_of(&check))));
        edge.machine.outcome(context)
    };
    let good = |body: &[u8]| proof_of(body, false, &authority_key());
    let other = SigningKey::from_bytes(&[2; 32]);
    let earlier = edge.check(&claims());
    edge.machine.leave(earlier.0);
    let bad: [&Proof<'_>; 6] = [
        &|body| proof_of(body, false, &other),
        &|_| good(&body_of(&earlier.1)),
        &|_| good(b"{}"),
        &|body| {
            let mut turned = URL_SAFE_NO_PAD.decode(good(body)).unwrap();
            turned[32] = 1;
            proof::encode(&turned)
        },
        &|body| good(body)[4..].to_owned(),
        &|_| String::new(),
    ];
    for (number, bad) in bad.into_iter().enumerate() {
        assert_eq!(outcome(bad), UNCONFIRMED, "{number}");
    }
    assert_eq!(outcome(&good), ALLOWED);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_nonce_of_a_check_is_random_and_no_time() {
    let edge = unsure();
    for _ in 0..3 {
        let before = edge.process.random();
        let (context, check) = edge.check(&claims());
        let after = edge.process.random();
        let body: Value = serde_json::from_slice(&body_of(&check)).unwrap();
        // Some readers of JSON take every integer for a signed one.
        let possible = before >> 1..=after >> 1;
        assert!(
            possible.contains(&body["nonce"].as_u64().unwrap()),
            "{body}"
        );
        edge.machine.leave(context);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_that_a_change_has_overtaken_serves_once_in_either_sense() {
    for (is_revoked, expected) in [(false, ALLOWED), (true, refused(Reason::TokenRevoked))] {
        let edge = unsure();
        let (context, check) = edge.check(&claims());
        edge.apply(Change::Add(name_of(Kind::Session, "session")));
        let proof = proof_of(&body_of(&check), is_revoked, &authority_key());
        edge.machine.end_call(&check, &says(&proof));
        assert_eq!(edge.machine.outcome(context), expected);
        edge.check(&claims());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_overtaken_no_does_not_lead_round_a_cut_off() {
    let edge = unsure();
    let (context, check) = edge.check(&claims());
    edge.cut_off(Kind::Subject, "alice");
    let proof = proof_of(&body_of(&check), false, &authority_key());
    edge.machine.end_call(&check, &says(&proof));
    let revoked = refused(Reason::TokenRevoked);
    assert_eq!(edge.machine.outcome(context), revoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_client_is_told_that_its_session_ended_by_itself_unless_it_was_revoked_otherwise_too() {
    for (cause, reason) in [
        (Cause::Idle, Reason::SessionIdle),
        (Cause::TooOld, Reason::SessionTooOld),
        (Cause::Displaced, Reason::SessionDisplaced),
        (Cause::Suspicious, Reason::TokenRevoked),
    ] {
        let edge = Fixture::new(|_| {}).with_feed();
        assert_eq!(edge.outcome(&claims()), ALLOWED);
        let session = name_of(Kind::Session, "session");
        edge.authority.borrow_mut().causes.push((session, cause));
        edge.apply(Change::Add(session));
        assert_eq!(edge.checked(), refused(reason));
        // The answer is kept with the token.
        assert_eq!(edge.outcome(&claims()), refused(reason));
        edge.apply(Change::Add(name_of(Kind::Device, "phone")));
        assert_eq!(edge.checked(), refused(Reason::TokenRevoked));
        edge.apply(Change::Restore(name_of(Kind::Device, "phone")));
        assert_eq!(edge.checked(), refused(reason));
        edge.cut_off(Kind::Subject, "alice");
        assert_eq!(edge.outcome(&claims()), refused(Reason::TokenRevoked));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_that_makes_no_sense_is_none() {
    let edge = unsure();
    for (status, body) in [
        (200, &b""[..]),
        (400, b"{}"),
        (200, b"{}"),
        (200, b"{\"revoked\":false}"),
        (200, b"{\"revoked\":false,\"proof\":false}"),
        (200, b"[false]"),
    ] {
        let (context, check) = edge.check(&claims());
        let outcome = CallOutcome::Answered {
            status,
            headers: Vec::new(),
            body: body.to_vec(),
        };
        edge.machine.end_call(&check, &outcome);
        assert_eq!(edge.machine.outcome(context), UNCONFIRMED);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_signature_is_verified_once_while_revocation_is_not_settled() {
    for (answer, expected) in [
        (Some(false), ALLOWED),
        (Some(true), refused(Reason::TokenRevoked)),
        (None, UNCONFIRMED),
    ] {
        let edge = unsure();
        let (context, _) = edge.check(&claims());
        edge.machine.leave(context);
        assert_eq!(edge.machine.host.take_verifications(), 1);
        assert_eq!(edge.answered(&claims(), answer), expected);
        edge.send_at(NOW, &claims());
        assert_eq!(edge.machine.host.take_verifications(), 0, "{answer:?}");
    }
    let edge = Fixture::new(|revocation| revocation["on_missing_feed"] = json!("allow"));
    assert_eq!(edge.outcome(&claims()), UNKNOWN);
    assert_eq!(edge.outcome(&claims()), UNKNOWN);
    assert_eq!(edge.machine.host.take_verifications(), 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_signature_is_verified_again_once_the_keys_were_replaced_while_the_request_waited() {
    let wrong_key = refused(Reason::KeyUnknown);
    for (signer, expected) in [(es256(), ALLOWED), (es256_other(), wrong_key)] {
        let edge = unsure();
        let (context, check) = edge.check(&claims());
        let keys = KeySet::parse(jwk_set(&[&signer]).as_bytes(), &KeyRules::default());
        let ring = edge.machine.edge.gate.keys();
        ring.set(0, Some(Rc::new(keys.unwrap())));
        assert_eq!(edge.machine.host.take_verifications(), 1);
        let proof = proof_of(&body_of(&check), false, &authority_key());
        edge.machine.end_call(&check, &says(&proof));
        assert_eq!(edge.machine.outcome(context), expected);
        assert_eq!(edge.machine.host.take_verifications(), 1);
    }
}
