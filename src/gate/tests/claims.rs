//! What tokens have to say, beyond being genuine.

use super::*;
use crate::host::mock::Edit;
use crate::token::fixtures::symmetric;

fn gate_of_provider(key: &str, value: Value) -> Gate {
    gate_with(|configuration| configuration["providers"]["idp"][key] = value)
}

fn gate_of_rule(key: &str, value: Value) -> Gate {
    gate_with(|configuration| configuration["rules"][1]["requires"][key] = value)
}

fn refused(gate: &Gate, claims: &Value) -> Option<Reason> {
    refusal(gate, &request(&token(&es256(), claims)))
}

#[wasm_bindgen_test(unsupported = test)]
fn subjects_are_matched_as_text() {
    for (matcher, subject, expected) in [
        (json!({"exact": "alice"}), "alice", None),
        (
            json!({"exact": "alice"}),
            "bob",
            Some(Reason::SubjectMismatch),
        ),
        (json!({"prefix": "spiffe://a/"}), "spiffe://a/b", None),
        (json!({"safe_regex": {"regex": "a.*e"}}), "alice", None),
        (
            json!({"safe_regex": {"regex": "a.*c"}}),
            "alice",
            Some(Reason::SubjectMismatch),
        ),
        (
            json!({"contains": "LIC", "ignore_case": true}),
            "alice",
            None,
        ),
    ] {
        let gate = gate_of_provider("subjects", matcher.clone());
        let outcome = refused(&gate, &claims_with("sub", json!(subject)));
        assert_eq!(outcome, expected, "{matcher}");
    }
    let gate = gate_of_provider("subjects", json!({"prefix": "a"}));
    let mut unnamed = claims();
    unnamed.as_object_mut().unwrap().remove("sub");
    assert_eq!(refused(&gate, &unnamed), Some(Reason::SubjectMismatch));
}

#[wasm_bindgen_test(unsupported = test)]
fn one_provider_may_have_several_issuers() {
    let pattern = json!({"safe_regex": {"regex": "https://[a-z]+\\.tenants\\.example"}});
    let gate = gate_of_provider("issuer_pattern", pattern);
    for (issuer, expected) in [
        ("https://issuer.example", None),
        ("https://a.tenants.example", None),
        (
            "https://a.tenants.example.evil",
            Some(Reason::IssuerMismatch),
        ),
        ("https://A.tenants.example", Some(Reason::IssuerMismatch)),
    ] {
        let outcome = refused(&gate, &claims_with("iss", json!(issuer)));
        assert_eq!(outcome, expected, "{issuer}");
    }
    let mut unnamed = claims();
    unnamed.as_object_mut().unwrap().remove("iss");
    assert_eq!(refused(&gate, &unnamed), Some(Reason::IssuerMismatch));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_must_not_be_good_for_longer_than_the_lifetime() {
    let gate = gate_with(|configuration| {
        configuration["providers"]["idp"]["max_lifetime"] = json!("600s");
        configuration["providers"]["idp"]["require_expiration"] = json!(false);
    });
    let at = |seconds: u64| refused(&gate, &claims_with("exp", json!(seconds)));
    assert_eq!(at(NOW + 599), None);
    assert_eq!(at(NOW + 600), Some(Reason::LifetimeTooLong));
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    assert_eq!(refused(&gate, &endless), Some(Reason::ExpirationMissing));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_must_not_be_older_than_its_age() {
    let limited = gate_of_provider("max_token_age", json!("300s"));
    let at = |seconds: u64| refused(&limited, &claims_with("iat", json!(seconds)));
    assert_eq!(at(NOW), None);
    assert_eq!(at(NOW - 359), None);
    assert_eq!(at(NOW - 360), Some(Reason::TokenTooOld));
    assert_eq!(at(NOW + 60), None);
    assert_eq!(at(NOW + 61), Some(Reason::TokenIssuedAhead));
    assert_eq!(refused(&limited, &claims()), Some(Reason::IssueTimeMissing));
    // Without the limit it is not looked at.
    assert_eq!(
        refused(&gate(), &claims_with("iat", json!(NOW + 999))),
        None
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn scopes_that_are_missing_are_named_in_the_challenge() {
    let gate = gate_of_rule("scopes", json!({"all_of": ["read", "admin"]}));
    let host = request(&token(&es256(), &claims()));
    assert_eq!(refusal(&gate, &host), Some(Reason::ScopeMissing));
    let response = host.response.borrow().clone().unwrap();
    let challenge = response.headers.values("www-authenticate").next();
    let challenge = str::from_utf8(challenge.unwrap()).unwrap();
    assert!(
        challenge.contains("error=\"insufficient_scope\""),
        "{challenge}"
    );
    assert!(challenge.ends_with("scope=\"read admin\""), "{challenge}");
    let gate = gate_of_rule("scopes", json!({"any_of": ["admin", "write"]}));
    assert_eq!(refused(&gate, &claims()), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn claims_have_to_be_what_the_rule_asks_for() {
    for (condition, expected) in [
        (json!({"claim_name": "user.name", "equals": "Alice"}), None),
        (
            json!({"claim_name": "user.name", "equals": "Bob"}),
            Some(Reason::ClaimMismatch),
        ),
        (
            json!({"claim_path": ["sub"], "one_of": ["bob", "alice"]}),
            None,
        ),
        (json!({"claim_name": "scope", "contains": "write"}), None),
        (json!({"claim_name": "sid", "present": true}), None),
        (
            json!({"claim_name": "tenant", "present": true}),
            Some(Reason::ClaimMismatch),
        ),
    ] {
        let gate = gate_of_rule("claims", json!([condition.clone()]));
        assert_eq!(refused(&gate, &claims()), expected, "{condition}");
    }
}

fn typed(name: &str) -> MockHost {
    let header = json!({"alg": "ES256", "kid": es256().key_id(), "typ": name}).to_string();
    request(&signed(
        &es256(),
        header.as_bytes(),
        claims().to_string().as_bytes(),
    ))
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_for_something_else_are_no_access_tokens() {
    let gate = gate();
    for name in ["JWT", "at+jwt", "application/at+jwt", "anything"] {
        assert_eq!(refusal(&gate, &typed(name)), None, "{name}");
    }
    for name in [
        "logout+jwt",
        "LOGOUT+JWT",
        "application/logout+jwt",
        "Application/secevent+jwt",
        "dpop+jwt",
    ] {
        let outcome = refusal(&gate, &typed(name));
        assert_eq!(outcome, Some(Reason::TokenTypeMismatch), "{name}");
    }
    let logout = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    assert_eq!(
        refused(&gate, &claims_with("events", logout)),
        Some(Reason::TokenTypeMismatch)
    );
    let strict = gate_of_rule("token_types", json!(["at+jwt"]));
    for (name, expected) in [
        ("at+jwt", None),
        ("application/AT+jwt", None),
        ("JWT", Some(Reason::TokenTypeMismatch)),
    ] {
        assert_eq!(refusal(&strict, &typed(name)), expected, "{name}");
    }
    assert_eq!(refused(&strict, &claims()), Some(Reason::TokenTypeMismatch));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_bound_token_is_not_a_bearer_token() {
    let bound = claims_with("cnf", json!({"jkt": "x"}));
    assert_eq!(refused(&gate(), &bound), Some(Reason::TokenBound));
    let bound_somehow = claims_with("cnf", json!({}));
    assert_eq!(refused(&gate(), &bound_somehow), Some(Reason::TokenBound));
    let to_nothing = claims_with("cnf", Value::Null);
    assert_eq!(refused(&gate(), &to_nothing), None);
    let gate = gate_of_provider("allow_bound_tokens", json!(true));
    assert_eq!(refused(&gate, &bound), None);
}

/// SHA-256 of a certificate, as Envoy writes it and as a token does.
const DIGEST: &str = "6f070ad1eb1cdc0082dc3076639fe5112b1713ca3d96d734e4ef3d8dd37e760d";
const THUMBPRINT: &str = "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg0";

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_is_bound_to_a_certificate_is_good_over_its_connections_alone() {
    let outcome = |proof: Value, binding: Value, digest: Option<&str>| {
        let gate = gate_of_provider("proof_of_possession", proof);
        let mut host = request(&token(&es256(), &claims_with("cnf", binding)));
        if let Some(digest) = digest {
            host = host.with_property("connection.sha256_peer_certificate_digest", digest);
        }
        refusal(&gate, &host)
    };
    let bound = || json!({"x5t#S256": THUMBPRINT});
    let optional = || json!({"mtls": {}});
    assert_eq!(outcome(optional(), bound(), Some(DIGEST)), None);
    for digest in [
        None,
        Some(""),
        Some(&DIGEST[1..]),
        Some(&*DIGEST.replace('6', "7")),
    ] {
        let mismatch = Some(Reason::CertificateMismatch);
        assert_eq!(outcome(optional(), bound(), digest), mismatch, "{digest:?}");
    }
    for binding in [json!(THUMBPRINT.to_lowercase()), json!(7), json!(null)] {
        let binding = json!({"x5t#S256": binding});
        assert_eq!(
            outcome(optional(), binding.clone(), Some(DIGEST)),
            Some(Reason::CertificateMismatch),
            "{binding}"
        );
    }
    // Their issuer wanted more to be proved.
    for binding in [
        json!({"x5t#S256": THUMBPRINT, "jkt": "x"}),
        json!({"jkt": "x"}),
        json!({}),
        json!("x"),
    ] {
        assert_eq!(
            outcome(optional(), binding.clone(), Some(DIGEST)),
            Some(Reason::TokenBound),
            "{binding}"
        );
    }
    let always = || json!({"mtls": {}, "required": "always"});
    assert_eq!(outcome(always(), bound(), Some(DIGEST)), None);
    assert_eq!(outcome(optional(), Value::Null, None), None);
    let unbound = Some(Reason::TokenUnbound);
    assert_eq!(outcome(always(), Value::Null, Some(DIGEST)), unbound);
}

#[wasm_bindgen_test(unsupported = test)]
fn only_a_trusted_proxy_is_believed_when_it_names_its_clients_certificate() {
    const OWN: &str = "00";
    const OWN_THUMBPRINT: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let trusted = json!({"uri_sans": ["spiffe://lb"], "dns_sans": ["lb"]});
    let trusting = json!({"mtls": {"xfcc": {"trusted": trusted}}});
    let gate = gate_of_provider("proof_of_possession", trusting);
    let trusting_none = gate_of_provider("proof_of_possession", json!({"mtls": {}}));
    let bound = token(
        &es256(),
        &claims_with("cnf", json!({"x5t#S256": THUMBPRINT})),
    );
    let outcome = |gate: &Gate, san: (&str, &str), forwarded: &str| {
        let own = OWN.repeat(32);
        let host = request(&bound)
            .with_property("connection.sha256_peer_certificate_digest", own)
            .with_property(&format!("connection.{}_san_peer_certificate", san.0), san.1)
            .with_header("x-forwarded-client-cert", forwarded);
        refusal(gate, &host)
    };
    let right = format!("By=x;Hash={DIGEST}");
    let balancer = ("uri", "spiffe://lb");
    assert_eq!(outcome(&gate, balancer, &right), None);
    assert_eq!(outcome(&gate, ("dns", "lb"), &right), None);
    let untrusted = Some(Reason::CertificateUntrusted);
    for san in [
        ("uri", "spiffe://lb2"),
        ("uri", "lb"),
        ("dns", "spiffe://lb"),
        ("dns", ""),
    ] {
        assert_eq!(outcome(&gate, san, &right), untrusted, "{san:?}");
    }
    assert_eq!(outcome(&trusting_none, balancer, &right), untrusted);
    let mismatch = Some(Reason::CertificateMismatch);
    let forged = format!("Hash={DIGEST},Hash={}", "11".repeat(32));
    assert_eq!(outcome(&gate, balancer, &forged), mismatch);
    let appended = format!("Hash={DIGEST},Hash={}", OWN.repeat(32));
    assert_eq!(outcome(&gate, balancer, &appended), None);
    // What the proxy shows itself proves nothing of its clients.
    let own = token(
        &es256(),
        &claims_with("cnf", json!({"x5t#S256": OWN_THUMBPRINT})),
    );
    for (san, expected) in [(balancer, mismatch), (("uri", "spiffe://other"), None)] {
        for forwarded in ["", "Hash=11", &format!("Hash={}", OWN.repeat(32))] {
            let host = request(&own)
                .with_property("connection.sha256_peer_certificate_digest", OWN.repeat(32))
                .with_property(&format!("connection.{}_san_peer_certificate", san.0), san.1)
                .with_header("x-forwarded-client-cert", forwarded);
            assert_eq!(refusal(&gate, &host), expected, "{san:?}: {forwarded}");
        }
    }
}

/// As Auth0 has its clients do it.
#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_is_bound_to_a_certificate_may_come_under_another_scheme() {
    let gate = gate_with(|configuration| {
        let provider = &mut configuration["providers"]["idp"];
        provider["proof_of_possession"] = json!({"mtls": {}});
        provider["from_headers"] = json!([{"name": "authorization", "value_prefix": "DPoP "}]);
    });
    let bound = token(
        &es256(),
        &claims_with("cnf", json!({"x5t#S256": THUMBPRINT})),
    );
    let host = |digest: &str| {
        MockHost::get("/api/x", now())
            .with_header("authorization", format!("DPoP {bound}"))
            .with_property("connection.sha256_peer_certificate_digest", digest)
    };
    assert_eq!(refusal(&gate, &host(DIGEST)), None);
    let mismatch = Some(Reason::CertificateMismatch);
    assert_eq!(refusal(&gate, &host("00")), mismatch);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_certificate_of_a_known_token_is_looked_at_again() {
    let gate = gate_of_provider("proof_of_possession", json!({"mtls": {}}));
    let bound = token(
        &es256(),
        &claims_with("cnf", json!({"x5t#S256": THUMBPRINT})),
    );
    let own = || request(&bound).with_property("connection.sha256_peer_certificate_digest", DIGEST);
    assert_eq!(refusal(&gate, &own()), None);
    let stolen = request(&bound);
    assert_eq!(refusal(&gate, &stolen), Some(Reason::CertificateMismatch));
    assert_eq!(refusal(&gate, &own()), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_nothing_could_prove_is_a_fault() {
    let trusted = |trusted: Value| json!({"mtls": {"xfcc": {"trusted": trusted}}});
    for (proof, expected) in [
        (json!(true), ": "),
        (json!(null), ": "),
        (json!({}), ": expected `dpop` or `mtls`"),
        (json!({"required": "always"}), ": expected `dpop` or `mtls`"),
        (json!({"mtls": true}), ".mtls: "),
        (json!({"mtls": null}), ".mtls: "),
        (json!({"mtls": {}, "required": "never"}), ".required: "),
        (json!({"mtls": {"xfcc": {}}}), ".mtls.xfcc: `trusted`"),
        (trusted(json!(true)), ".mtls.xfcc.trusted: "),
        (trusted(json!({})), ".mtls.xfcc.trusted: "),
        (
            trusted(json!({"dns_sans": []})),
            ".mtls.xfcc.trusted.dns_sans: ",
        ),
        (
            trusted(json!({"dns_sans": [""]})),
            ".mtls.xfcc.trusted.dns_sans[0]: ",
        ),
        (
            trusted(json!({"dns_sans": ["*.lb"]})),
            ".mtls.xfcc.trusted.dns_sans[0]: ",
        ),
        (
            trusted(json!({"dns_sans": ["spiffe://lb"]})),
            ".mtls.xfcc.trusted.dns_sans[0]: ",
        ),
        (
            trusted(json!({"uri_sans": ["lb"]})),
            ".mtls.xfcc.trusted.uri_sans[0]: ",
        ),
        (
            trusted(json!({"uri_sans": [], "dns_sans": ["lb"]})),
            ".mtls.xfcc.trusted.uri_sans: ",
        ),
    ] {
        let path = format!("providers.idp.proof_of_possession{expected}");
        let told = faults_of(|provider| provider["proof_of_possession"] = proof.clone());
        assert!(told.contains(&path), "{proof}: {told}");
    }
    let told = faults_of(|provider| {
        provider["proof_of_possession"] = json!({"mtls": {}});
        provider["allow_bound_tokens"] = json!(true);
    });
    assert!(told.contains("one of the two"), "{told}");
}

#[wasm_bindgen_test(unsupported = test)]
fn shared_secrets_work_only_where_they_are_allowed() {
    let (jwk, token) = symmetric(crate::token::Algorithm::Hs256, &claims());
    let set = json!({"keys": [jwk]}).to_string();
    let allowing = gate_with(|configuration| {
        let provider = &mut configuration["providers"]["idp"];
        provider["local_jwks"] = json!({"inline_string": set});
        provider["allow_symmetric_keys"] = json!(true);
    });
    assert_eq!(refusal(&allowing, &request(&token)), None);
    // The public key of another algorithm is not a secret.
    let public = gate();
    assert_eq!(refusal(&public, &request(&token)), Some(Reason::KeyUnknown));
}

#[wasm_bindgen_test(unsupported = test)]
fn claims_reach_headers_and_access_logs_in_their_forms() {
    let gate = gate_with(|configuration| {
        let provider = &mut configuration["providers"]["idp"];
        provider["claim_to_headers"] = json!([
            {"header_name": "x-json", "claim_name": "roles", "form": "json"},
            {"header_name": "x-comma", "claim_name": "roles", "form": "comma"},
            {"header_name": "x-path", "claim_path": ["https://x.example/y"]},
        ]);
        provider["forward_payload_header"] = json!("x-payload");
        provider["claims_to_filter_state"] = json!([
            {"name": "user", "claim_name": "sub"},
            {"name": "absent", "claim_name": "absent"},
        ]);
    });
    let mut claims = claims_with("roles", json!(["a", "b"]));
    claims["https://x.example/y"] = json!("z");
    let token = token(&es256(), &claims);
    let host = request(&token).with_header("x_payload", "forged");
    assert_eq!(refusal(&gate, &host), None);
    let payload = token.split('.').nth(1);
    for (name, value) in [
        ("x-json", Some(r#"["a","b"]"#)),
        ("x-comma", Some("a,b")),
        ("x-path", Some("z")),
        ("x-payload", payload),
        ("x_payload", None),
    ] {
        assert_eq!(host.forwarded(name).as_deref(), value, "{name}");
    }
    let calls = host.edits.borrow();
    let state: Vec<_> = calls
        .iter()
        .filter(|call| matches!(call, Edit::FilterState(..)))
        .collect();
    assert_eq!(state, [&Edit::FilterState("user".into(), "alice".into())]);
    let ambiguous = claims_with("roles", json!(["a,b"]));
    assert_eq!(
        refused(&gate, &ambiguous),
        Some(Reason::ClaimNotForwardable)
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_known_token_is_spared_no_other_requirement_and_no_look_at_the_clock() {
    let needing = |scope| json!({"provider_name": "idp", "scopes": {"all_of": [scope]}});
    let gate = gate_with(|configuration| {
        configuration["rules"] = json!([
            {"match": {"prefix": "/read"}, "requires": needing("read")},
            {"match": {"prefix": "/admin"}, "requires": needing("admin")},
        ]);
    });
    let bearer = format!("Bearer {}", token(&es256(), &claims()));
    let mut verifications = 0;
    let mut outcome = |path, seconds| {
        let now = UnixTime::from_seconds(seconds).unwrap();
        let host = MockHost::get(path, now).with_header("authorization", &bearer);
        let refusal = refusal(&gate, &host);
        verifications += host.verifications.get();
        refusal
    };
    for _ in 0..2 {
        assert_eq!(outcome("/read", NOW), None);
        assert_eq!(outcome("/admin", NOW), Some(Reason::ScopeMissing));
    }
    let expired = NOW + 3_600;
    assert_eq!(outcome("/read", expired), Some(Reason::TokenExpired));
    assert_eq!(outcome("/read", NOW), None);
    assert_eq!(verifications, 1);
}
