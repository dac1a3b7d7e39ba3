//! What the upstream is told about the caller, and that only the gate can tell it.

use super::*;

#[wasm_bindgen_test(unsupported = test)]
fn spoofed_headers_and_their_aliases_are_removed_on_every_path() {
    let spoofed = [
        "x-session-subject",
        "X-Session-Subject",
        "x_session_id",
        "x.session.scope",
        "x-session_subject",
        "X_SESSION.subject",
        "x!session!subject",
        "x+session+subject",
        "x~session~subject",
        "x*session'subject",
        "X|SESSION`SUBJECT",
        "x%session^subject",
        "x-user",
        "x_roles",
    ];
    for (path, allow_unmatched) in [("/public/x", false), ("/nowhere", true), ("/api/x", false)] {
        let gate = gate_with(|configuration| {
            configuration["allow_unmatched"] = json!(allow_unmatched);
        });
        let genuine = format!("Bearer {}", token(&es256(), &claims()));
        let host = spoofed
            .iter()
            .fold(MockHost::get(path, now()), |host, name| {
                host.with_header(name, "admin").with_header(name, "root")
            });
        let host = host
            .with_header("authorization", genuine)
            .with_header("x-other", "kept");
        assert_eq!(refusal(&gate, &host), None, "{path}");
        let lines = host.forwarded_headers();
        let values: Vec<_> = lines.iter().map(|(_, value)| value.as_str()).collect();
        assert!(
            !values.contains(&"admin") && !values.contains(&"root"),
            "{path}: {lines:?}"
        );
        assert!(values.contains(&"kept"));
    }
}

/// It says no less of the caller than the headers that tokens fill.
#[wasm_bindgen_test(unsupported = test)]
fn everything_below_the_prefix_is_taken_off() {
    for path in ["/public/x", "/api/x"] {
        let mut host = request(&token(&es256(), &claims()));
        host = host.without_header(":path").with_header(":path", path);
        for name in [
            "x-session-role",
            "x-session-",
            "x!session!subject",
            "x~session+id",
        ] {
            host = host.with_header(name, "admin");
        }
        host = host.with_header("x-sessions", "kept");
        assert_eq!(refusal(&gate(), &host), None);
        let lines = host.forwarded_headers();
        assert!(lines.iter().all(|(_, value)| value != "admin"), "{lines:?}");
        assert_eq!(host.forwarded("x-sessions").as_deref(), Some("kept"));
    }
}

/// A proxy that heeds the list would drop what the gate says.
#[wasm_bindgen_test(unsupported = test)]
fn no_list_of_connection_names_what_the_upstream_relies_on() {
    let genuine = token(&es256(), &claims());
    let with = |lists: &[&str]| {
        let mut host = request(&genuine);
        for list in lists {
            host = host.with_header("connection", list);
        }
        assert_eq!(refusal(&gate(), &host), None);
        host.forwarded("connection")
    };
    for (lists, left) in [
        (&["Upgrade, X-Session-Subject"][..], Some("Upgrade")),
        (&["x_user,upgrade,authorization"], Some("upgrade")),
        (
            &["upgrade", "x-session-role, x-own"],
            Some("upgrade, x-own"),
        ),
        (&["x-session-id", "upgrade"], Some("upgrade")),
        (&["x-user"], None),
        (&["keep-alive,  Upgrade"], Some("keep-alive,  Upgrade")),
    ] {
        assert_eq!(with(lists).as_deref(), left, "{lists:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_claim_that_no_header_can_carry_refuses_the_request() {
    for subject in ["a\r\nx-admin: 1", "a\0", " alice", "\u{85}"] {
        let outcome = refusal_of_claims(&claims_with("sub", json!(subject)));
        assert_eq!(
            outcome,
            Some(Reason::ClaimNotForwardable),
            "{}",
            subject.escape_debug()
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn forwarding_keeps_the_token_and_only_then() {
    let gate = gate_with(|configuration| {
        configuration["providers"]["idp"]["forward"] = json!(true);
    });
    let host = request(&token(&es256(), &claims()));
    assert_eq!(refusal(&gate, &host), None);
    assert!(host.forwarded("authorization").is_some());
}

#[wasm_bindgen_test(unsupported = test)]
fn the_prefix_of_the_standard_set_can_be_chosen() {
    let gate = gate_with(|configuration| {
        configuration["session_header_prefix"] = json!("X-Caller-");
    });
    let host = request(&token(&es256(), &claims()))
        .with_header("x-caller-client", "admin")
        .with_header("x-session-subject", "not ours");
    assert_eq!(refusal(&gate, &host), None);
    for (name, value) in [
        ("x-caller-subject", Some("alice")),
        ("x-caller-client", None),
        ("x-session-subject", Some("not ours")),
    ] {
        assert_eq!(host.forwarded(name).as_deref(), value, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_claim_that_is_null_or_absent_has_no_header() {
    let gate = gate_with(|configuration| {
        configuration["providers"]["idp"]["claim_to_headers"] = json!([
            {"header_name": "x-nothing", "claim_name": "nothing"},
            {"header_name": "x-absent", "claim_name": "user.absent.name"},
            {"header_name": "x-number", "claim_name": "number"},
        ]);
    });
    let mut claims = claims_with("number", json!(9_007_199_254_740_993_u64));
    claims["nothing"] = Value::Null;
    let host = request(&token(&es256(), &claims))
        .with_header("x-nothing", "admin")
        .with_header("x-absent", "admin");
    assert_eq!(refusal(&gate, &host), None);
    for (name, value) in [
        ("x-nothing", None),
        ("x-absent", None),
        ("x-number", Some("9007199254740993")),
    ] {
        assert_eq!(host.forwarded(name).as_deref(), value, "{name}");
    }
}

/// Never what says who is calling, and never what the operator has named.
#[wasm_bindgen_test(unsupported = test)]
fn claims_that_no_header_can_carry_are_left_out_where_the_operator_says_so() {
    let gate = gate_with(|configuration| {
        configuration["unfit_session_headers"] = json!("omit");
    });
    let with = |name: &str, length: usize| {
        let claims = claims_with(name, json!("a".repeat(length)));
        let host = request(&token(&es256(), &claims));
        (refusal(&gate, &host), host)
    };
    let (outcome, host) = with("scope", 8192);
    assert_eq!(outcome, None);
    assert_eq!(host.forwarded("x-session-scope"), Some("a".repeat(8192)));
    let (outcome, host) = with("scope", 8193);
    assert_eq!(outcome, None);
    assert_eq!(host.forwarded("x-session-scope"), None);
    assert_eq!(host.forwarded("x-session-id").as_deref(), Some("session-1"));
    for claim in ["sub", "sid", "client_id", "jti", "roles"] {
        assert_eq!(
            with(claim, 8193).0,
            Some(Reason::ClaimNotForwardable),
            "{claim}"
        );
    }
}

/// Signing in again would give the browser the same claims, and send it here again.
#[wasm_bindgen_test(unsupported = test)]
fn a_browser_whose_claims_no_header_can_carry_is_not_sent_round_in_a_circle() {
    let gate = gate_with(|configuration| {
        configuration["login_redirect"] = json!({"url": "https://login.example/"});
    });
    let answer = |host: MockHost| {
        let host = host.with_header("accept", "text/html");
        refusal(&gate, &host);
        let response = host.response.borrow().clone().unwrap();
        let has_way = response.headers.values("location").next().is_some();
        (response.status, has_way)
    };
    assert_eq!(answer(MockHost::get("/api/x", now())), (302, true));
    let claims = claims_with("scope", json!("s".repeat(8193)));
    assert_eq!(answer(request(&token(&es256(), &claims))), (403, false));
}
