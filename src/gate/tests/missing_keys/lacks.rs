//! What is answered when a provider has keys, but none that lets the token in.

use std::time::Duration;

use super::*;
use crate::token::{KeyRules, KeySet};

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
    assert_eq!(gate.on_answers(&host, &answers, drop), Verdict::Stop);
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
        let Verdict::Wait(Wait::Keys(second)) = gate.on_answers(&request(&token), &answers, drop)
        else {
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
        assert_eq!(gate.on_answers(&host(), &answers, drop), verdict);
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
