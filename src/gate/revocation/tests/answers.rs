//! What the authority says of a token.

use super::*;

#[wasm_bindgen_test(unsupported = test)]
fn what_the_authority_has_not_signed_for_this_very_question_is_no_answer() {
    let edge = Edge::new(|_| {}).with_feed();
    edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
    let question = edge.question(&claims());
    let later = Question {
        nonce: question.nonce + 1,
        ..question.clone()
    };
    assert_eq!(
        question, later,
        "whoever asks again may wait for the same answer"
    );
    let other = SigningKey::from_bytes(&[2; 32]);
    let good = proof_of(&question.bytes(), false, &authority_key());
    let read = |proof: &str| Confirmation::read(&question, &says(proof), &keys()).settled;
    assert_eq!(read(&good), Some(Settled::NotRevoked));
    let mut turned = URL_SAFE_NO_PAD.decode(&good).unwrap();
    turned[32] = 1;
    for bad in [
        proof_of(&question.bytes(), false, &other),
        proof_of(&later.bytes(), false, &authority_key()),
        proof_of(b"{}", false, &authority_key()),
        proof::encode(&turned),
        good[..good.len() - 4].to_owned(),
        String::new(),
    ] {
        assert_eq!(read(&bad), None, "{bad}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_nonce_of_a_question_is_random_and_no_time() {
    let edge = Edge::new(|_| {}).with_feed();
    edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
    let random = |edge: &Edge| {
        use crate::host::BackgroundHost as _;
        edge.process.random() >> NONCE_SHIFT
    };
    for _ in 0..3 {
        let before = random(&edge);
        let nonce = edge.question(&claims()).nonce;
        assert!((before..=random(&edge)).contains(&nonce), "{nonce}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_that_a_change_has_overtaken_serves_once_in_either_sense() {
    for (is_revoked, expected) in [(false, ALLOWED), (true, refused(Reason::TokenRevoked))] {
        let edge = Edge::new(|_| {}).with_feed();
        edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
        let question = edge.question(&claims());
        edge.apply(&Change::Add(Edge::name(Kind::Session, "session")));
        let answer = answer(&question, is_revoked);
        assert_eq!(edge.send_at(NOW, &claims(), &[answer]).1, expected);
        edge.question(&claims());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_overtaken_no_does_not_lead_round_a_cut_off() {
    let edge = Edge::new(|_| {}).with_feed();
    edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
    let question = edge.question(&claims());
    edge.apply(&Change::SetCutOff(CutOff {
        key: Edge::name(Kind::Subject, "alice"),
        not_before: UnixTime::from_seconds(NOW).unwrap(),
        except: None,
    }));
    let outcome = edge.send_at(NOW, &claims(), &[answer(&question, false)]).1;
    assert_eq!(outcome, refused(Reason::TokenRevoked));
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_about_one_token_says_nothing_of_another() {
    let edge = Edge::new(|_| {}).with_feed();
    edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
    edge.apply(&Change::Add(Edge::name(Kind::Token, "another")));
    let question = edge.question(&claims());
    let mut other = claims();
    other["jti"] = json!("another");
    for is_revoked in [false, true] {
        let (verdict, outcome) = edge.send_at(NOW, &other, &[answer(&question, is_revoked)]);
        assert_eq!(outcome, None);
        assert!(
            matches!(verdict, Verdict::Wait(Wait::Confirmation(_))),
            "{verdict:?}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_that_makes_no_sense_is_none() {
    let edge = Edge::new(|_| {}).with_feed();
    edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
    let question = edge.question(&claims());
    for (status, body) in [
        (200, &b""[..]),
        (500, b"{}"),
        (200, b"{}"),
        (200, b"{\"revoked\":false}"),
        (200, b"{\"revoked\":false,\"proof\":false}"),
        (200, b"[false]"),
    ] {
        let outcome = CallOutcome::Answered {
            status,
            headers: Vec::new(),
            body: body.to_vec(),
        };
        let read = Confirmation::read(&question, &outcome, &keys());
        assert_eq!(read.settled, None);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_signature_is_verified_once_while_revocation_is_not_settled() {
    for (answer, expected) in [
        (Some(false), ALLOWED),
        (Some(true), refused(Reason::TokenRevoked)),
        (None, refused(Reason::RevocationUnconfirmed)),
    ] {
        let edge = Edge::new(|_| {}).with_feed();
        edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
        edge.question(&claims());
        assert_eq!(edge.verifications.take(), 1);
        assert_eq!(edge.answered(&claims(), answer), expected);
        edge.send(&claims());
        assert_eq!(edge.verifications.take(), 0, "{answer:?}");
    }
    let edge = Edge::new(|revocation| revocation["on_missing_feed"] = json!("allow"));
    assert_eq!(edge.outcome(&claims()), UNKNOWN);
    assert_eq!(edge.outcome(&claims()), UNKNOWN);
    let edge = edge.with_feed();
    assert_eq!(edge.outcome(&claims()), ALLOWED);
    assert_eq!(edge.verifications.take(), 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_signature_is_verified_again_once_the_keys_were_replaced_while_the_request_waited() {
    let wrong_key = refused(Reason::KeyUnknown);
    for (signer, expected) in [(es256(), ALLOWED), (es256_other(), wrong_key)] {
        let edge = Edge::new(|_| {}).with_feed();
        edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
        let question = edge.question(&claims());
        let keys = KeySet::parse(jwk_set(&[&signer]).as_bytes(), &KeyRules::default());
        edge.gate.keys().set(0, Some(Rc::new(keys.unwrap())));
        edge.verifications.take();
        let outcome = edge.send_at(NOW, &claims(), &[answer(&question, false)]).1;
        assert_eq!(outcome, expected);
        assert_eq!(edge.verifications.take(), 1);
    }
}
