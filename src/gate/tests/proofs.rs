//! Tokens that are bound to a key, and the proofs that come with them (DPoP).

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
use crate::host::ForeignAnswer;
use crate::host::mock::{Edit, MockProcess};
use crate::signer::Signer;
use crate::token::{Algorithm, fixtures, thumbprint};

const URI: &str = "https://api.example/api/x";

fn gate_with_dpop(dpop: &Value) -> Gate {
    gate_with_proof(&json!({ "dpop": dpop }))
}

fn gate_with_proof(proof: &Value) -> Gate {
    gate_with(|configuration| {
        configuration["providers"]["idp"]["proof_of_possession"] = proof.clone();
    })
}

/// The client's key.
fn key() -> Signer {
    es256_other()
}

/// A token that is bound to this key.
fn token_bound_to(key: &Signer) -> String {
    let bound = json!({"jkt": thumbprint(&key.public_jwk())});
    token(&es256(), &claims_with("cnf", bound))
}

/// What a good proof for the token says, at [`NOW`].
fn said(token: &str) -> Value {
    let hash = URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(token.as_bytes()));
    json!({"jti": "1", "htm": "GET", "htu": URI, "iat": NOW, "ath": hash})
}

fn header_of(key: &Signer) -> Value {
    json!({"typ": "dpop+jwt", "alg": key.algorithm().name(), "jwk": key.public_jwk()})
}

fn proof_by(key: &Signer, header: &Value, said: &Value) -> String {
    signed(
        key,
        header.to_string().as_bytes(),
        said.to_string().as_bytes(),
    )
}

fn proof(said: &Value) -> String {
    proof_by(&key(), &header_of(&key()), said)
}

fn proof_of(token: &str) -> String {
    proof(&said(token))
}

/// A request over TLS with this token under this scheme.
fn request_under(scheme: &str, token: &str) -> MockHost {
    MockHost::get("/api/x?a=b", now())
        .with_header(":authority", "api.example")
        .with_property("connection.tls_version", "TLSv1.3")
        .with_header("authorization", format!("{scheme} {token}"))
}

fn bound_request(process: &Rc<MockProcess>, token: &str, proof: &str) -> MockHost {
    let host = request_under("DPoP", token).in_process(process);
    host.with_header("dpop", proof)
}

/// The outcome of the first request of a process, with this said in its proof.
fn outcome_of(dpop: &Value, change: impl FnOnce(&mut Value)) -> Option<Reason> {
    let token = token_bound_to(&key());
    let mut said = said(&token);
    change(&mut said);
    let process = Rc::new(MockProcess::default());
    refusal(
        &gate_with_dpop(dpop),
        &bound_request(&process, &token, &proof(&said)),
    )
}

#[wasm_bindgen_test(unsupported = test)]
fn a_bound_token_passes_with_a_proof_of_its_key_and_once() {
    let gate = gate_with_dpop(&json!({}));
    let process = Rc::new(MockProcess::default());
    for key in [es256_other(), eddsa(), fixtures::rs256()] {
        let token = token_bound_to(&key);
        let proof = proof_by(&key, &header_of(&key), &said(&token));
        let host = bound_request(&process, &token, &proof);
        assert_eq!(refusal(&gate, &host), None);
        let edits = host.edits.borrow();
        let jkt = thumbprint(&key.public_jwk()).unwrap();
        assert!(edits.contains(&Edit::Set("x-session-key".to_owned(), jkt)));
        assert!(edits.contains(&Edit::Remove("dpop".to_owned())));
        let again = bound_request(&process, &token, &proof);
        let replayed = Some(Reason::ProofReplayed);
        assert_eq!(refusal(&gate, &again), replayed);
        // Another worker of the process, and another plugin with the same settings.
        let other = gate_with_dpop(&json!({}));
        let again = bound_request(&process, &token, &proof);
        assert_eq!(refusal(&other, &again), replayed);
        // Its next request.
        let mut next = said(&token);
        next["jti"] = "2".into();
        let next = proof_by(&key, &header_of(&key), &next);
        assert_eq!(
            refusal(&gate, &bound_request(&process, &token, &next)),
            None
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_proof_has_to_be_for_the_token_and_the_request() {
    let token_mismatch = Some(Reason::ProofTokenMismatch);
    let target_mismatch = Some(Reason::ProofTargetMismatch);
    let malformed = Some(Reason::ProofMalformed);
    let outdated = Some(Reason::ProofOutdated);
    for (member, value, expected) in [
        ("htm", json!("POST"), target_mismatch),
        ("htm", json!("get"), target_mismatch),
        ("htm", json!(null), target_mismatch),
        ("htm", json!(7), target_mismatch),
        ("htu", json!("https://api.example/api/y"), target_mismatch),
        ("htu", json!("http://api.example/api/x"), target_mismatch),
        ("htu", json!("https://other.example/api/x"), target_mismatch),
        ("htu", json!(null), target_mismatch),
        ("htu", json!("HTTPS://API.example:443/api/x?c=d"), None),
        ("ath", json!("x"), token_mismatch),
        ("ath", json!(null), token_mismatch),
        ("ath", json!(7), token_mismatch),
        ("jti", json!(""), malformed),
        ("jti", json!(null), malformed),
        ("jti", json!(7), malformed),
        ("iat", json!(null), malformed),
        ("iat", json!("x"), malformed),
        ("iat", json!(NOW * 1_000), malformed),
        // `max_age` and the skew, of a minute each.
        ("iat", json!(NOW - 119), None),
        ("iat", json!(NOW - 120), outdated),
        ("iat", json!(NOW + 60), None),
        ("iat", json!(NOW + 61), outdated),
        ("iat", json!(0), outdated),
    ] {
        let asked = outcome_of(&json!({}), |said| said[member] = value.clone());
        assert_eq!(asked, expected, "{member}: {value}");
    }
    let old = |said: &mut Value| said["iat"] = json!(NOW - 90);
    assert_eq!(outcome_of(&json!({"max_age": "29s"}), old), outdated);
    assert_eq!(outcome_of(&json!({"max_age": "31s"}), old), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_proof_is_one_well_formed_header_by_the_tokens_own_key() {
    let gate = gate_with_dpop(&json!({"algorithms": ["ES256"]}));
    let token = token_bound_to(&key());
    let good = proof(&said(&token));
    let outcome = |proofs: &[&str]| {
        let mut host = request_under("DPoP", &token);
        for proof in proofs {
            host = host.with_header("dpop", proof);
        }
        refusal(&gate, &host)
    };
    assert_eq!(outcome(&[&good]), None);
    assert_eq!(outcome(&[]), Some(Reason::ProofMissing));
    let malformed = Some(Reason::ProofMalformed);
    assert_eq!(outcome(&[&good, &good]), malformed);
    assert_eq!(outcome(&[&format!("{good},{good}")]), malformed);
    assert_eq!(outcome(&[""]), malformed);
    assert_eq!(outcome(&[&token]), malformed);
    let with = |member: &str, value: Value| {
        let mut header = header_of(&key());
        header[member] = value;
        proof_by(&key(), &header, &said(&token))
    };
    assert_eq!(outcome(&[&with("typ", "JWT".into())]), malformed);
    assert_eq!(outcome(&[&with("alg", "EdDSA".into())]), malformed);
    assert_eq!(outcome(&[&with("alg", "none".into())]), malformed);
    let mismatch = Some(Reason::ProofTokenMismatch);
    assert_eq!(outcome(&[&with("jwk", es256().public_jwk())]), mismatch);
    let others = proof_by(&es256(), &header_of(&es256()), &said(&token));
    assert_eq!(outcome(&[&others]), mismatch);
    // The key of the victim, which a thief has seen, and a signature of the thief's own.
    let forged = proof_by(&es256(), &header_of(&key()), &said(&token));
    assert_eq!(outcome(&[&forged]), Some(Reason::ProofForged));
}

#[wasm_bindgen_test(unsupported = test)]
fn algorithms_that_take_long_count_where_they_are_listed_alone() {
    let key = fixtures::rsa(Algorithm::Ps256);
    let token = token_bound_to(&key);
    let outcome = |dpop: &Value| {
        let process = Rc::new(MockProcess::default());
        let proof = proof_by(&key, &header_of(&key), &said(&token));
        refusal(
            &gate_with_dpop(dpop),
            &bound_request(&process, &token, &proof),
        )
    };
    assert_eq!(outcome(&json!({})), Some(Reason::ProofMalformed));
    assert_eq!(outcome(&json!({"algorithms": ["PS256"]})), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_scheme_has_to_be_that_of_the_token() {
    let gate = gate_with_dpop(&json!({}));
    let bound = token_bound_to(&key());
    let bearer = token(&es256(), &claims());
    let mismatch = Some(Reason::SchemeMismatch);
    let with_proof = |scheme: &str, token: &str| {
        let host = request_under(scheme, token).with_header("dpop", proof(&said(token)));
        refusal(&gate, &host)
    };
    assert_eq!(with_proof("Bearer", &bound), mismatch);
    assert_eq!(with_proof("DPoP", &bearer), mismatch);
    assert_eq!(with_proof("dpop", &bound), None);
    assert_eq!(refusal(&gate, &request_under("Bearer", &bearer)), None);
    assert_eq!(refusal(&gate, &request_under("Bearer", &bound)), mismatch);
    let missing = Some(Reason::ProofMissing);
    assert_eq!(refusal(&gate, &request_under("DPoP", &bound)), missing);
    let always = gate_with_proof(&json!({"dpop": {}, "required": "always"}));
    let unbound = Some(Reason::TokenUnbound);
    assert_eq!(refusal(&always, &request_under("Bearer", &bearer)), unbound);
    // Where nothing verifies proofs, a token under `DPoP` is not seen.
    let without = super::gate();
    let missing = Some(Reason::TokenMissing);
    assert_eq!(refusal(&without, &request_under("DPoP", &bound)), missing);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_is_bound_to_key_and_certificate_needs_both() {
    const DIGEST: &str = "6f070ad1eb1cdc0082dc3076639fe5112b1713ca3d96d734e4ef3d8dd37e760d";
    let bound = json!({
        "jkt": thumbprint(&key().public_jwk()),
        "x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0",
    });
    let token = token(&es256(), &claims_with("cnf", bound));
    let outcome = |proof: &Value, has_certificate: bool| {
        let process = Rc::new(MockProcess::default());
        let mut host = bound_request(&process, &token, &proof_of(&token));
        if has_certificate {
            host = host.with_property("connection.sha256_peer_certificate_digest", DIGEST);
        }
        refusal(&gate_with_proof(proof), &host)
    };
    let both = json!({"dpop": {}, "mtls": {}});
    assert_eq!(outcome(&both, true), None);
    assert_eq!(outcome(&both, false), Some(Reason::CertificateMismatch));
    let bound = Some(Reason::TokenBound);
    assert_eq!(outcome(&json!({"dpop": {}}), true), bound);
    assert_eq!(
        outcome(&json!({"mtls": {}}), true),
        Some(Reason::TokenMissing)
    );
}

/// Status, challenges and nonce of the answer.
fn told(host: &MockHost) -> (u16, Vec<String>, Option<String>) {
    let response = host.response.borrow().clone().unwrap();
    let values = |name| {
        let values = response.headers.values(name);
        let values = values.map(|value| str::from_utf8(value).unwrap().to_owned());
        values.collect::<Vec<_>>()
    };
    (
        response.status,
        values("www-authenticate"),
        values("dpop-nonce").pop(),
    )
}

#[wasm_bindgen_test(unsupported = test)]
fn a_nonce_is_asked_for_and_is_good_in_this_process_for_a_while() {
    let nonces = || gate_with_dpop(&json!({"nonce": "required", "algorithms": ["ES256", "EdDSA"]}));
    let gate = nonces();
    let token = token_bound_to(&key());
    let process = Rc::new(MockProcess::default());
    let at = |gate: &Gate, process: &Rc<MockProcess>, seconds: u64, nonce: Option<&str>| {
        let mut said = said(&token);
        said["iat"] = seconds.into();
        said["jti"] = format!("{seconds}{nonce:?}").into();
        if let Some(nonce) = nonce {
            said["nonce"] = nonce.into();
        }
        let host = MockHost::get("/api/x", UnixTime::from_seconds(seconds).unwrap())
            .with_header(":authority", "api.example")
            .with_property("connection.tls_version", "TLSv1.3")
            .with_header("authorization", format!("DPoP {token}"))
            .with_header("dpop", proof(&said))
            .in_process(process);
        let outcome = refusal(gate, &host);
        let nonce = outcome.and_then(|_| told(&host).2);
        (outcome, nonce, host)
    };
    let (outcome, nonce, host) = at(&gate, &process, NOW, None);
    let missing = Some(Reason::ProofNonceMissing);
    assert_eq!(outcome, missing);
    let challenge = "DPoP realm=\"portcullis\", error=\"use_dpop_nonce\", \
                     error_description=\"the proof needs the nonce of this answer\", algs=\"ES256 EdDSA\"";
    assert_eq!(told(&host).1, [challenge]);
    let nonce = nonce.unwrap();
    assert_eq!(at(&gate, &process, NOW, Some(&nonce)).0, None);
    assert_eq!(at(&gate, &process, NOW, Some("x")).0, missing);
    assert_eq!(at(&gate, &process, NOW, Some("")).0, missing);
    // It is given out for five minutes, and good for five more; the token for as long as that.
    assert_eq!(at(&gate, &process, NOW + 299, Some(&nonce)).0, None);
    // Another worker of the process.
    assert_eq!(at(&nonces(), &process, NOW + 298, Some(&nonce)).0, None);
    // Another process has another secret.
    let another = Rc::new(MockProcess::default());
    let _ = MockHost::get("/", now()).in_process(&another).random();
    assert_eq!(at(&nonces(), &another, NOW, Some(&nonce)).0, missing);
}

#[wasm_bindgen_test(unsupported = test)]
fn clients_are_told_which_schemes_and_algorithms_count() {
    let dpop = json!({"algorithms": ["ES256"]});
    let gate = gate_with_dpop(&dpop);
    let host = MockHost::get("/api/x", now());
    assert_eq!(refusal(&gate, &host), Some(Reason::TokenMissing));
    let (status, challenges, nonce) = told(&host);
    assert_eq!((status, nonce), (401, None));
    let plain = "DPoP realm=\"portcullis\", algs=\"ES256\"";
    assert_eq!(challenges, ["Bearer realm=\"portcullis\"", plain]);
    let always = gate_with_proof(&json!({"dpop": dpop, "required": "always"}));
    let host = MockHost::get("/api/x", now());
    assert_eq!(refusal(&always, &host), Some(Reason::TokenMissing));
    assert_eq!(told(&host).1, [plain]);
    let bound = token_bound_to(&key());
    let host = request_under("DPoP", &bound);
    assert_eq!(refusal(&gate, &host), Some(Reason::ProofMissing));
    let expected = "DPoP realm=\"portcullis\", error=\"invalid_dpop_proof\", \
                    error_description=\"the token needs a proof that its sender has its key\", algs=\"ES256\"";
    assert_eq!(told(&host).1, [expected]);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_clients_scheme_is_the_one_that_a_trusted_proxy_names() {
    let token = token_bound_to(&key());
    let outcome = |dpop: &Value, forwarded: &[&str]| {
        let mut host = MockHost::get("/api/x", now())
            .with_header(":authority", "api.example")
            .with_header("authorization", format!("DPoP {token}"))
            .with_header("dpop", proof(&said(&token)));
        for value in forwarded {
            host = host.with_header("x-forwarded-proto", value);
        }
        refusal(&gate_with_dpop(dpop), &host)
    };
    let mismatch = Some(Reason::ProofTargetMismatch);
    let trusting = json!({"trust_forwarded_proto": true});
    assert_eq!(outcome(&json!({}), &["https"]), mismatch);
    assert_eq!(outcome(&trusting, &["https"]), None);
    assert_eq!(outcome(&trusting, &["http"]), mismatch);
    assert_eq!(outcome(&trusting, &[]), mismatch);
    assert_eq!(outcome(&trusting, &["https", "https"]), mismatch);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_cannot_work_is_a_fault_with_its_path() {
    for (proof, expected) in [
        (json!({}), ": expected `dpop` or `mtls`"),
        (json!({"dpop": true}), ".dpop: "),
        (json!({"dpop": null}), ".dpop: "),
        (json!({"dpop": {"max_age": "121s"}}), ".dpop.max_age: "),
        (json!({"dpop": {"max_age": "0s"}}), ".dpop.max_age: "),
        (json!({"dpop": {"max_age": 60}}), ".dpop.max_age: "),
        (json!({"dpop": {"nonce": "on"}}), ".dpop.nonce: "),
        (json!({"dpop": {"nonce": null}}), ".dpop.nonce: "),
        (
            json!({"dpop": {"algorithms": ["HS256"]}}),
            ".dpop.algorithms[0]: ",
        ),
        (
            json!({"dpop": {"algorithms": ["ES257"]}}),
            ".dpop.algorithms[0]: ",
        ),
        (
            json!({"dpop": {"trust_forwarded_proto": "x"}}),
            ".dpop.trust_forwarded_proto: ",
        ),
        (json!({"dpop": {"nonces": "off"}}), ".dpop.nonces: "),
        (json!({"dpop": {"algorithms": []}}), ".dpop.algorithms: "),
    ] {
        let path = format!("providers.idp.proof_of_possession{expected}");
        let told = faults_of(|provider| provider["proof_of_possession"] = proof.clone());
        assert!(
            told.lines().any(|fault| fault.starts_with(&path)),
            "{proof}: {told}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_proof_that_was_used_is_used_whatever_the_settings() {
    let token = token_bound_to(&key());
    let process = Rc::new(MockProcess::default());
    let ask = |dpop: &Value, skew: u64| {
        let gate = gate_with(|configuration| {
            let provider = &mut configuration["providers"]["idp"];
            provider["proof_of_possession"] = json!({ "dpop": dpop });
            provider["clock_skew_seconds"] = skew.into();
        });
        refusal(&gate, &bound_request(&process, &token, &proof_of(&token)))
    };
    assert_eq!(ask(&json!({}), 60), None);
    for (max_age, skew) in [("60s", 60), ("30s", 60), ("120s", 600), ("1s", 0)] {
        let again = ask(&json!({ "max_age": max_age }), skew);
        assert_eq!(again, Some(Reason::ProofReplayed), "{max_age}, {skew}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn clocks_of_clients_may_differ_by_a_minute_at_most() {
    let outcome = |seconds: u64| {
        let gate = gate_with(|configuration| {
            let provider = &mut configuration["providers"]["idp"];
            provider["proof_of_possession"] = json!({"dpop": {"max_age": "120s"}});
            provider["clock_skew_seconds"] = 600.into();
        });
        let token = token_bound_to(&key());
        let mut said = said(&token);
        said["iat"] = seconds.into();
        let process = Rc::new(MockProcess::default());
        refusal(&gate, &bound_request(&process, &token, &proof(&said)))
    };
    let outdated = Some(Reason::ProofOutdated);
    assert_eq!(outcome(NOW + 60), None);
    assert_eq!(outcome(NOW + 61), outdated);
    assert_eq!(outcome(NOW - 179), None);
    assert_eq!(outcome(NOW - 180), outdated);
}

#[wasm_bindgen_test(unsupported = test)]
fn of_several_alternatives_one_that_another_proof_would_meet_is_told() {
    let admins = json!({"provider_name": "idp", "scopes": {"all_of": ["admin"]}});
    let readers = json!({"provider_name": "idp", "scopes": {"all_of": ["read"]}});
    let token = token_bound_to(&key());
    for alternatives in [[&admins, &readers], [&readers, &admins]] {
        let gate = gate_with(|configuration| {
            configuration["providers"]["idp"]["proof_of_possession"] = json!({"dpop": {}});
            let any = json!({"requires_any": {"requirements": alternatives}});
            configuration["rules"][1]["requires"] = any;
        });
        let host = request_under("DPoP", &token);
        assert_eq!(refusal(&gate, &host), Some(Reason::ProofMissing));
        let process = Rc::new(MockProcess::default());
        let good = || bound_request(&process, &token, &proof_of(&token));
        assert_eq!(refusal(&gate, &good()), None);
        assert_eq!(refusal(&gate, &good()), Some(Reason::ProofReplayed));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn two_requirements_of_one_token_use_its_proof_once() {
    let gate = gate_with(|configuration| {
        let providers = &mut configuration["providers"];
        providers["idp"]["proof_of_possession"] = json!({"dpop": {}});
        providers["idp"]["claim_to_headers"] = json!([]);
        providers["other"] = providers["idp"].clone();
        providers["other"]["proof_of_possession"] = json!({"dpop": {"max_age": "55s"}});
        let [one, other] = ["idp", "other"].map(|name| json!({ "provider_name": name }));
        let all = json!({"requires_all": {"requirements": [one, other]}});
        configuration["rules"][1]["requires"] = all;
    });
    let token = token_bound_to(&key());
    let process = Rc::new(MockProcess::default());
    let ask = || refusal(&gate, &bound_request(&process, &token, &proof_of(&token)));
    assert_eq!(ask(), None);
    assert_eq!(ask(), Some(Reason::ProofReplayed));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_in_another_place_needs_its_proof_as_well() {
    let gate = gate_with(|configuration| {
        let provider = &mut configuration["providers"]["idp"];
        provider["proof_of_possession"] = json!({"dpop": {}});
        provider["from_cookies"] = json!(["session"]);
    });
    let token = token_bound_to(&key());
    let host = || {
        MockHost::get("/api/x", now())
            .with_header(":authority", "api.example")
            .with_property("connection.tls_version", "TLSv1.3")
            .with_header("cookie", format!("session={token}"))
    };
    assert_eq!(refusal(&gate, &host()), Some(Reason::ProofMissing));
    let with_proof = host().with_header("dpop", proof_of(&token));
    assert_eq!(refusal(&gate, &with_proof), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_error_is_told_under_the_scheme_of_the_request() {
    let gate = gate_with_dpop(&json!({"algorithms": ["ES256"]}));
    let bound = json!({"jkt": thumbprint(&key().public_jwk())});
    let mut claims = claims_with("cnf", bound);
    claims["exp"] = (NOW - 600).into();
    let expired = token(&es256(), &claims);
    let plain = [
        "Bearer realm=\"portcullis\"",
        "DPoP realm=\"portcullis\", algs=\"ES256\"",
    ];
    let error = "error=\"invalid_token\", error_description=\"the token has expired\"";
    let ask = |scheme: &str| {
        let host = request_under(scheme, &expired).with_header("dpop", proof_of(&expired));
        assert_eq!(refusal(&gate, &host), Some(Reason::TokenExpired));
        told(&host).1
    };
    let dpop = format!("DPoP realm=\"portcullis\", {error}, algs=\"ES256\"");
    let bearer = format!("Bearer realm=\"portcullis\", {error}");
    for _ in 0..2 {
        assert_eq!(ask("DPoP"), [dpop.as_str(), plain[0]]);
        assert_eq!(ask("Bearer"), [bearer.as_str(), plain[1]]);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_nonce_comes_with_its_challenge_in_every_form() {
    let token = token_bound_to(&key());
    let challenge = "DPoP realm=\"portcullis\", error=\"use_dpop_nonce\"";
    for is_stripped in [false, true] {
        let gate = gate_with(|configuration| {
            let provider = &mut configuration["providers"]["idp"];
            provider["proof_of_possession"] = json!({"dpop": {"nonce": "required"}});
            configuration["strip_failure_response"] = is_stripped.into();
        });
        for content_type in ["application/json", "application/grpc"] {
            let host = request_under("DPoP", &token)
                .with_header("content-type", content_type)
                .with_header("dpop", proof_of(&token));
            assert_eq!(refusal(&gate, &host), Some(Reason::ProofNonceMissing));
            let (_, challenges, nonce) = told(&host);
            assert!(challenges[0].starts_with(challenge), "{challenges:?}");
            assert_eq!((challenges.len(), nonce.is_some()), (1, true));
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn where_memory_is_disturbed_no_proof_counts() {
    let gate = gate_with_dpop(&json!({}));
    let token = token_bound_to(&key());
    let process = Rc::new(MockProcess::default());
    process.writes_left.set(Some(0));
    let host = bound_request(&process, &token, &proof_of(&token));
    assert_eq!(refusal(&gate, &host), Some(Reason::ProofsUnavailable));
    assert_eq!(told(&host).0, 503);
}

/// A gate whose signatures the host checks, and which knows the token of this request: it has verified it once.
fn gate_that_knows(bound: &str) -> Gate {
    let gate = gate_by(Backend::Host, |configuration| {
        configuration["providers"]["idp"]["proof_of_possession"] = json!({"dpop": {}});
    });
    let host = request_under("DPoP", bound).with_foreign_answer(ForeignAnswer::Genuine);
    assert_eq!(refusal(&gate, &host), Some(Reason::ProofMissing));
    assert_eq!(host.verifications.get(), 1);
    gate
}

#[wasm_bindgen_test(unsupported = test)]
fn a_proof_is_good_only_if_the_host_says_so() {
    let forged = Some(Reason::ProofForged);
    for key in [es256_other(), fixtures::rs256()] {
        let token = token_bound_to(&key);
        let process = Rc::new(MockProcess::default());
        let gate = gate_that_knows(&token);
        let ask = |id: &str, answer: ForeignAnswer| {
            let mut said = said(&token);
            said["jti"] = id.into();
            let proof = proof_by(&key, &header_of(&key), &said);
            let host = bound_request(&process, &token, &proof).with_foreign_answer(answer);
            (refusal(&gate, &host), host.verifications.get())
        };
        // Before its key is known, and afterwards.
        for id in ["1", "2"] {
            assert_eq!(ask(id, ForeignAnswer::Forged), (forged, 1));
            // A point that is not checked here is not believed without it.
            if key.algorithm() == Algorithm::Es256 {
                assert_eq!(ask(id, ForeignAnswer::Unavailable), (forged, 1));
            }
            assert_eq!(ask(id, ForeignAnswer::Genuine), (None, 1));
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn one_who_has_stolen_a_token_has_no_signature_verified_but_that_of_a_proof() {
    let token = token_bound_to(&key());
    let gate = gate_that_knows(&token);
    let process = Rc::new(MockProcess::default());
    let ask = |host: MockHost| {
        let host = host.with_foreign_answer(ForeignAnswer::Forged);
        (refusal(&gate, &host), host.verifications.get())
    };
    let missing = Some(Reason::ProofMissing);
    assert_eq!(ask(request_under("DPoP", &token)), (missing, 0));
    let mismatch = Some(Reason::SchemeMismatch);
    assert_eq!(ask(request_under("Bearer", &token)), (mismatch, 0));
    let own = proof_by(&eddsa(), &header_of(&eddsa()), &said(&token));
    let mismatch = Some(Reason::ProofTokenMismatch);
    assert_eq!(ask(bound_request(&process, &token, &own)), (mismatch, 0));
    let forged = Some(Reason::ProofForged);
    let under_the_right_key = proof_by(&eddsa(), &header_of(&key()), &said(&token));
    let host = bound_request(&process, &token, &under_the_right_key);
    assert_eq!(ask(host), (forged, 1));
}

#[wasm_bindgen_test(unsupported = test)]
fn each_provider_and_each_period_has_its_own_challenge() {
    let gate = gate_with(|configuration| {
        let providers = &mut configuration["providers"];
        providers["other"] = providers["idp"].clone();
        let dpop =
            |algorithm: &str| json!({"dpop": {"algorithms": [algorithm], "nonce": "required"}});
        providers["idp"]["proof_of_possession"] = dpop("ES256");
        providers["other"]["proof_of_possession"] = dpop("EdDSA");
        let other = json!({"match": {"prefix": "/other"}, "requires": {"provider_name": "other"}});
        configuration["rules"].as_array_mut().unwrap().push(other);
    });
    let process = Rc::new(MockProcess::default());
    let mut claims = claims_with("cnf", json!({"jkt": thumbprint(&key().public_jwk())}));
    claims["exp"] = (NOW + 3_600).into();
    let token = token(&es256(), &claims);
    let ask = |path: &str, seconds: u64, nonce: Option<&str>| {
        let mut said = said(&token);
        said["iat"] = seconds.into();
        said["jti"] = seconds.to_string().into();
        if let Some(nonce) = nonce {
            said["nonce"] = nonce.into();
        }
        let host = MockHost::get(path, UnixTime::from_seconds(seconds).unwrap())
            .in_process(&process)
            .with_header(":authority", "api.example")
            .with_property("connection.tls_version", "TLSv1.3")
            .with_header("authorization", format!("DPoP {token}"))
            .with_header("dpop", proof(&said));
        let outcome = refusal(&gate, &host);
        let (_, challenges, nonce) = outcome.map_or_else(Default::default, |_| told(&host));
        (outcome, challenges.concat(), nonce)
    };
    let missing = Some(Reason::ProofNonceMissing);
    let mut earlier = None;
    for seconds in [NOW, NOW + 1, NOW + 300, NOW + 301, NOW + 600] {
        let (outcome, challenge, nonce) = ask("/api/x", seconds, None);
        assert_eq!(outcome, missing);
        assert!(challenge.ends_with("algs=\"ES256\""), "{challenge}");
        let is_same = earlier == nonce;
        assert_eq!(is_same, seconds % 300 == 1, "{seconds}");
        let (outcome, challenge, _) = ask("/other", seconds, None);
        // The other one takes no proofs of this algorithm.
        assert_eq!(outcome, Some(Reason::ProofMalformed));
        assert!(challenge.ends_with("algs=\"EdDSA\""), "{challenge}");
        assert_eq!(ask("/api/x", seconds, nonce.as_deref()).0, None);
        earlier = nonce;
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_is_bound_to_nothing_is_told_under_which_scheme_it_is_good() {
    let bearer = token(&es256(), &claims());
    let gate = gate_with_dpop(&json!({"algorithms": ["ES256"]}));
    let host = request_under("DPoP", &bearer);
    assert_eq!(refusal(&gate, &host), Some(Reason::SchemeMismatch));
    let (_, challenges, _) = told(&host);
    let [dpop, plain] = &challenges[..] else {
        panic!("{challenges:?}");
    };
    assert!(dpop.starts_with("DPoP realm=\"portcullis\", error=\"invalid_token\""));
    assert_eq!(plain, "Bearer realm=\"portcullis\"");
    // A bound one has no other.
    let host = request_under("Bearer", &token_bound_to(&key()));
    assert_eq!(refusal(&gate, &host), Some(Reason::SchemeMismatch));
    assert_eq!(told(&host).1.len(), 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_used_proof_is_no_missing_token() {
    let gate = gate_with(|configuration| {
        configuration["providers"]["idp"]["proof_of_possession"] = json!({"dpop": {}});
        configuration["rules"][1]["requires"] = json!({"allow_missing_or_failed": {}});
    });
    let token = token_bound_to(&key());
    let process = Rc::new(MockProcess::default());
    let ask = || refusal(&gate, &bound_request(&process, &token, &proof_of(&token)));
    assert_eq!(ask(), None);
    assert_eq!(ask(), Some(Reason::ProofReplayed));
}
