//! Tokens in parameters and cookies, and answers for browsers.

use std::cell::RefCell;

use super::*;

fn gate_from(key: &str, value: Value) -> Gate {
    gate_with(|configuration| configuration["providers"]["idp"][key] = value)
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_in_a_parameter_is_taken_out_of_the_path() {
    let gate = gate_from("from_params", json!(["jwt"]));
    let token = token(&es256(), &claims());
    let path = format!("/api/x?a=%41&jwt={token}&b");
    let host = MockHost::get(&path, now());
    assert_eq!(refusal(&gate, &host), None);
    assert_eq!(host.forwarded(":path").as_deref(), Some("/api/x?a=%41&b"));
    let twice = format!("/api/x?jwt={token}&jwt=other");
    assert_eq!(
        refusal(&gate, &MockHost::get(&twice, now())),
        Some(Reason::TokenAmbiguous)
    );
    // `Authorization` is not a location once another one is configured.
    assert_eq!(refusal(&gate, &request(&token)), Some(Reason::TokenMissing));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_in_a_cookie_is_taken_out_unless_it_goes_on() {
    let token = token(&es256(), &claims());
    let host = || MockHost::get("/api/x", now()).with_header("cookie", format!("a=b; jwt={token}"));
    let gate = gate_from("from_cookies", json!(["jwt"]));
    let stripped = host();
    assert_eq!(refusal(&gate, &stripped), None);
    assert_eq!(stripped.forwarded("cookie").as_deref(), Some("a=b"));
    let keeping = gate_with(|configuration| {
        configuration["providers"]["idp"]["from_cookies"] = json!(["jwt"]);
        configuration["providers"]["idp"]["forward"] = json!(true);
    });
    let kept = host();
    assert_eq!(refusal(&keeping, &kept), None);
    assert_eq!(
        kept.forwarded("cookie").unwrap(),
        format!("a=b; jwt={token}")
    );
}

/// A gate that takes the genuine one of several cookies.
fn choosing_gate(change: impl FnOnce(&mut Value)) -> Gate {
    gate_with(|configuration| {
        let provider = &mut configuration["providers"]["idp"];
        provider["from_cookies"] = json!(["jwt"]);
        provider["duplicate_cookies"] = json!("first_genuine");
        change(configuration);
    })
}

fn with_cookies(tokens: &[&str]) -> MockHost {
    let cookies = tokens.iter().map(|token| format!("jwt={token}"));
    let line = cookies.collect::<Vec<_>>().join("; ");
    MockHost::get("/api/x", now()).with_header("cookie", format!("a=b; {line}; c=d"))
}

/// What the domain above may have set: no token, another issuer's, and one that claims to be ours.
fn not_genuine() -> [String; 3] {
    let others = claims_with("iss", json!("https://parent.example"));
    [
        "no-token".to_owned(),
        token(&es256_other(), &others),
        token(&es256_other(), &claims()),
    ]
}

#[wasm_bindgen_test(unsupported = test)]
fn of_several_cookies_the_one_that_is_genuine_counts_where_the_operator_says_so() {
    let genuine = token(&es256(), &claims());
    let refusing = gate_from("from_cookies", json!(["jwt"]));
    let (gate, keeping) = (
        choosing_gate(|_| ()),
        choosing_gate(|configuration| {
            configuration["providers"]["idp"]["forward"] = json!(true);
        }),
    );
    for other in not_genuine() {
        for tokens in [[&*genuine, &*other], [&*other, &*genuine]] {
            assert_eq!(
                refusal(&refusing, &with_cookies(&tokens)),
                Some(Reason::TokenAmbiguous)
            );
            // Once more from the cache.
            for _ in 0..2 {
                let host = with_cookies(&tokens);
                assert_eq!(refusal(&gate, &host), None, "{other}");
                assert_eq!(host.forwarded("x-user").as_deref(), Some("Alice"));
                assert_eq!(host.forwarded("cookie").as_deref(), Some("a=b; c=d"));
            }
            let host = with_cookies(&tokens);
            assert_eq!(refusal(&keeping, &host), None, "{other}");
            let kept = format!("a=b; jwt={genuine}; c=d");
            assert_eq!(host.forwarded("cookie"), Some(kept));
        }
    }
    let [first, second, third] = not_genuine();
    let all = with_cookies(&[&first, &second, &genuine, &third]);
    assert_eq!(refusal(&gate, &all), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn several_cookies_that_are_genuine_are_refused_and_so_are_those_of_which_none_is() {
    let gate = choosing_gate(|_| ());
    let genuine = token(&es256(), &claims());
    let expired = token(&es256(), &claims_with("exp", json!(NOW - 300)));
    let others = token(&eddsa(), &claims_with("sub", json!("mallory")));
    for second in [&expired, &others] {
        for tokens in [[&*genuine, &**second], [&**second, &*genuine]] {
            // The second time one of them is in the cache.
            for _ in 0..2 {
                let refused = refusal(&gate, &with_cookies(&tokens));
                assert_eq!(refused, Some(Reason::TokenAmbiguous));
            }
        }
    }
    let twice = with_cookies(&[&genuine, &genuine]);
    assert_eq!(refusal(&gate, &twice), None);

    let [text, of_another, forged] = not_genuine();
    for (tokens, reason) in [
        ([&text, &forged], Reason::TokenMalformed),
        ([&forged, &text], Reason::KeyUnknown),
        ([&of_another, &text], Reason::IssuerMismatch),
        ([&forged, &expired], Reason::TokenExpired),
    ] {
        let tokens = tokens.map(String::as_str);
        assert_eq!(refusal(&gate, &with_cookies(&tokens)), Some(reason));
        let optional = choosing_gate(|configuration| {
            configuration["rules"] =
                json!([{"match": {"prefix": "/"}, "requires": {"allow_missing": {}}}]);
        });
        assert_eq!(refusal(&optional, &with_cookies(&tokens)), Some(reason));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_chosen_of_several_cookies_has_to_be_the_token_of_every_other_location() {
    let gate = choosing_gate(|configuration| {
        let provider = &mut configuration["providers"]["idp"];
        provider["from_headers"] = json!([{"name": "authorization", "value_prefix": "Bearer "}]);
    });
    let genuine = token(&es256(), &claims());
    let [_, _, forged] = not_genuine();
    for (in_header, outcome) in [
        (&genuine, None),
        (&forged, Some(Reason::TokenAmbiguous)),
        (&token(&eddsa(), &claims()), Some(Reason::TokenAmbiguous)),
    ] {
        let host = with_cookies(&[&forged, &genuine]);
        let host = host.with_header("authorization", format!("Bearer {in_header}"));
        assert_eq!(refusal(&gate, &host), outcome);
        if outcome.is_none() {
            assert_eq!(host.forwarded("authorization"), None);
            assert_eq!(host.forwarded("cookie").as_deref(), Some("a=b; c=d"));
        }
    }
}

/// An attacker who can set a cookie for the domain above must not choose whose session it is, with
/// their own token of another provider.
#[wasm_bindgen_test(unsupported = test)]
fn the_order_of_providers_does_not_decide_whose_cookie_counts() {
    let gate_of = |requirement: Value| {
        choosing_gate(|configuration| {
            let mut other = configuration["providers"]["idp"].clone();
            other["issuer"] = json!("https://other.example");
            other["claim_to_headers"] = json!([]);
            configuration["providers"]["other"] = other;
            configuration["rules"] = json!([{"match": {"prefix": "/"}, "requires": requirement}]);
        })
    };
    let either = |names: [&str; 2]| {
        let requirements = names.map(|name| json!({"provider_name": name}));
        json!({"requires_any": {"requirements": requirements}})
    };
    let genuine = token(&es256(), &claims());
    let others = claims_with("iss", json!("https://other.example"));
    let others = token(&es256(), &others);
    let [text, _, forged] = not_genuine();
    for requirement in [
        either(["idp", "other"]),
        either(["other", "idp"]),
        json!({"allow_missing": {}}),
    ] {
        let gate = gate_of(requirement);
        for tokens in [[&*genuine, &*others], [&*others, &*genuine]] {
            let refused = refusal(&gate, &with_cookies(&tokens));
            assert_eq!(refused, Some(Reason::TokenAmbiguous));
        }
        for token in [&genuine, &others] {
            assert_eq!(
                refusal(&gate, &with_cookies(&[&forged, token, &text])),
                None
            );
        }
    }
    // Where only one of them is asked for, the other's is nothing but another cookie.
    let gate = gate_of(json!({"provider_name": "idp"}));
    assert_eq!(refusal(&gate, &with_cookies(&[&others, &genuine])), None);
}

/// A gate that chooses for `idp` and for `other`, and looks for the token of `absent` in a header.
fn gate_choosing_for_two(duplicates_of_idp: &str, requirement: &Value) -> Gate {
    choosing_gate(|configuration| {
        let providers = &mut configuration["providers"];
        let mut other = providers["idp"].clone();
        other["issuer"] = json!("https://other.example");
        other["claim_to_headers"] = json!([]);
        providers["other"] = other.clone();
        other["from_cookies"] = json!([]);
        other["from_headers"] = json!([{"name": "x-jwt"}]);
        other["duplicate_cookies"] = json!(null);
        providers["absent"] = other;
        providers["idp"]["duplicate_cookies"] = json!(duplicates_of_idp);
        configuration["rules"] = json!([{"match": {"prefix": "/"}, "requires": requirement}]);
    })
}

/// It is a session all the same.
#[wasm_bindgen_test(unsupported = test)]
fn a_genuine_cookie_that_its_provider_refuses_does_not_give_way_to_one_of_another() {
    let any = |requirements: [&Value; 2]| json!({"requires_any": {"requirements": requirements}});
    let all = |requirements: [&Value; 2]| json!({"requires_all": {"requirements": requirements}});
    let [idp, other, absent] =
        ["idp", "other", "absent"].map(|name| json!({"provider_name": name}));
    let scoped = json!({"provider_name": "idp", "scopes": {"all_of": ["nobody-has-it"]}});
    let (only_idp, only_other) = (all([&idp, &idp]), all([&other, &other]));
    let unasked = all([&absent, &idp]);
    let gates = [
        ("first_genuine", any([&idp, &other])),
        ("first_genuine", any([&other, &idp])),
        ("first_genuine", json!({"allow_missing": {}})),
        ("first_genuine", any([&scoped, &other])),
        ("first_genuine", any([&other, &scoped])),
        ("first_genuine", any([&any([&idp, &scoped]), &other])),
        ("first_genuine", any([&unasked, &other])),
        ("refuse", any([&only_idp, &only_other])),
        ("refuse", any([&only_other, &only_idp])),
    ];
    let own = token(&es256(), &claims());
    let mallorys = token(&es256(), &claims_with("sub", json!("mallory")));
    let expired = token(&es256(), &claims_with("exp", json!(NOW - 300)));
    let misdirected = token(&es256(), &claims_with("aud", json!("another")));
    let others = claims_with("iss", json!("https://other.example"));
    let others = token(&es256(), &others);
    let [text, _, forged] = not_genuine();
    for (duplicates, requirement) in gates {
        let gate = gate_choosing_for_two(duplicates, &requirement);
        for tokens in [
            &[&*own, &*mallorys, &*others][..],
            &[&own, &others],
            &[&expired, &others],
            &[&misdirected, &others],
        ] {
            let turned = tokens.iter().rev().copied().collect::<Vec<_>>();
            for tokens in [tokens, &turned] {
                let refused = refusal(&gate, &with_cookies(tokens));
                assert_eq!(refused, Some(Reason::TokenAmbiguous), "{requirement}");
            }
        }
        let host = with_cookies(&[&forged, &others, &text]);
        assert_eq!(refusal(&gate, &host), None, "{requirement}");
    }
    // What one alternative says of the token that another one takes is no matter.
    for requirement in [any([&idp, &scoped]), any([&scoped, &idp])] {
        let gate = gate_choosing_for_two("first_genuine", &requirement);
        assert_eq!(refusal(&gate, &with_cookies(&[&forged, &own])), None);
    }
    // A provider that reads no such cookie has no token there.
    let gate = gate_choosing_for_two("first_genuine", &any([&absent, &idp]));
    assert_eq!(refusal(&gate, &with_cookies(&[&others, &own])), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cookie_that_may_be_genuine_for_another_provider_waits_for_its_keys() {
    let own = token(&es256(), &claims());
    let others = claims_with("iss", json!("https://other.example"));
    let others = token(&es256(), &others);
    for names in [["idp", "other"], ["other", "idp"]] {
        let requirements = names.map(|name| json!({"provider_name": name}));
        let gate = choosing_gate(|configuration| {
            let mut other = configuration["providers"]["idp"].clone();
            other["issuer"] = json!("https://other.example");
            other.as_object_mut().unwrap().remove("local_jwks");
            other["remote_jwks"] =
                json!({"http_uri": {"uri": "https://other.example/jwks", "cluster": "other"}});
            configuration["providers"]["other"] = other;
            let requirement = json!({"requires_any": {"requirements": requirements}});
            configuration["rules"] = json!([{"match": {"prefix": "/"}, "requires": requirement}]);
        });
        let host = with_cookies(&[&own, &others]);
        let waits = gate.on_request(&host, Attempt::First);
        assert!(matches!(waits, Verdict::Wait(Wait::Keys(_))), "{waits:?}");
        let host = with_cookies(&[&own, "no-token"]);
        assert_eq!(gate.on_request(&host, Attempt::First), Verdict::Forward);
        let host = with_cookies(&[&own, &others]);
        assert_eq!(refusal(&gate, &host), Some(Reason::KeysUnavailable));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn every_copy_of_the_token_is_taken_out() {
    let gate = gate_with(|configuration| {
        let provider = &mut configuration["providers"]["idp"];
        provider["from_headers"] = json!([{"name": "authorization", "value_prefix": "Bearer "}]);
        provider["from_params"] = json!(["jwt"]);
        provider["from_cookies"] = json!(["jwt"]);
    });
    let token = token(&es256(), &claims());
    let host = MockHost::get(&format!("/api/x?jwt={token}"), now())
        .with_header("authorization", format!("Bearer {token}"))
        .with_header("cookie", format!("jwt={token}"));
    assert_eq!(refusal(&gate, &host), None);
    let lines = host.forwarded_headers();
    assert!(
        lines.iter().all(|(_, value)| !value.contains(&token)),
        "{lines:?}"
    );
}

/// The upstream may believe it, and it was not verified.
#[wasm_bindgen_test(unsupported = test)]
fn an_access_token_in_the_query_is_refused_unless_it_is_read() {
    let token = token(&es256(), &claims());
    let bare = |path: &str| MockHost::get(&format!("{path}?access_token={token}"), now());
    let beside = |path| bare(path).with_header("authorization", format!("Bearer {token}"));
    let optional = |requirement: Value| {
        gate_with(|configuration| configuration["rules"][1]["requires"] = requirement)
    };
    for requirement in [
        json!({"provider_name": "idp"}),
        json!({"allow_missing": {}}),
        json!({"requires_any": {"requirements": [{"provider_name": "idp"}, {"allow_missing": {}}]}}),
        json!({"requires_all": {"requirements": [{"provider_name": "idp"}]}}),
    ] {
        let gate = optional(requirement.clone());
        for host in [bare("/api/x"), beside("/api/x")] {
            assert_eq!(
                refusal(&gate, &host),
                Some(Reason::TokenInQuery),
                "{requirement}"
            );
        }
        assert_eq!(refusal(&gate, &bare("/public/x")), None);
    }
    let told = Reason::TokenInQuery.problem();
    assert_eq!((told.status, told.code), (400, "token_in_query"));
    // Every request goes through there, but no caller is named.
    let gate = optional(json!({"allow_missing_or_failed": {}}));
    let host = beside("/api/x");
    assert_eq!(refusal(&gate, &host), None);
    assert_eq!(host.forwarded("x-session-subject"), None);
    let gate = gate_from("from_params", json!(["access_token"]));
    assert_eq!(refusal(&gate, &bare("/api/x")), None);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_browser_is_sent_to_sign_in_without_any_token_in_the_address() {
    let gate = gate_with(|configuration| {
        configuration["login_redirect"] = json!({"url": "https://login.example/start"});
        configuration["providers"]["idp"]["from_params"] = json!(["jwt"]);
    });
    let host = MockHost::get("/api/x?a=1&jwt=secret", now()).with_header("accept", "text/html");
    assert_eq!(refusal(&gate, &host), Some(Reason::TokenMalformed));
    let response = host.response.borrow().clone().unwrap();
    assert_eq!(response.status, 302);
    let address = "https://login.example/start?return_to=%2Fapi%2Fx%3Fa%3D1";
    assert!(response.headers.values("location").eq([address.as_bytes()]));
}

/// Servers that merge trailers into the headers would believe them.
#[wasm_bindgen_test(unsupported = test)]
fn what_nobody_has_looked_at_is_taken_out_of_trailers() {
    let taken_by = |gate: &Gate| {
        let names = [
            "x-session-role",
            "x_session!subject",
            "x.user",
            "authorization",
            "x_jwt",
            "cookie",
            "connection",
            "x-checksum",
        ];
        let trailers = names.into_iter().map(|name| (name, b"mallory")).collect();
        let removed = RefCell::new(Vec::new());
        let remove = |name: &str| removed.borrow_mut().push(name.to_owned());
        gate.strip_trailers(&MockHost::get("/", now()), trailers, remove);
        removed.into_inner()
    };
    let always = ["authorization", "cookie", "connection"];
    let own = ["x-session-role", "x_session!subject", "x.user"];
    assert_eq!(taken_by(&gate()), [&own[..], &always].concat());
    let gate = gate_with(|configuration| {
        configuration["session_headers"] = json!(false);
        let provider = configuration["providers"]["idp"].as_object_mut().unwrap();
        provider.remove("claim_to_headers");
        provider.insert("from_headers".to_owned(), json!([{"name": "x-jwt"}]));
    });
    let with_tokens = ["authorization", "x_jwt", "cookie", "connection"];
    assert_eq!(taken_by(&gate), with_tokens);
}
