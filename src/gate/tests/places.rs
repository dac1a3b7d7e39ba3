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
    // `Authorization` is no place once another one is named.
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

/// The upstream may believe it, and nobody here has looked at it.
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
    let told = Reason::TokenInQuery.answer();
    assert_eq!((told.status, told.code), (400, "token_in_query"));
    // Every request goes through there, but nobody is called.
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
    assert!(
        response.headers.contains(&("location", address.to_owned())),
        "{response:?}"
    );
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
