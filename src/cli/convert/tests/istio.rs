mod target;
mod tokens;

use super::*;

/// Which requirement the first matching rule has, by method and path.
fn required<'c>(configuration: &'c Value, method: &str, path: &str) -> Option<&'c Value> {
    let rules = configuration["rules"].as_array().unwrap();
    let rule = rules.iter().find(|rule| {
        let matcher = &rule["match"];
        let by_path = if let Some(prefix) = matcher["prefix"].as_str() {
            path.starts_with(prefix)
        } else if let Some(pattern) = matcher["safe_regex"]["regex"].as_str() {
            let pattern = format!("^(?:{pattern})$");
            regex_lite::Regex::new(&pattern).unwrap().is_match(path)
        } else {
            matcher["path"] == path
        };
        let headers = matcher["headers"].as_array().into_iter().flatten();
        let mut methods = headers.filter(|header| header["name"] == ":method");
        by_path
            && methods.all(|header| {
                let test = &header["string_match"];
                let listed = test["safe_regex"]["regex"].as_str().unwrap_or_default();
                let end = |key: &str| test[key].as_str();
                test["exact"] == method
                    || listed.split('|').any(|one| one == method)
                    || end("prefix").is_some_and(|begin| method.starts_with(begin))
                    || end("suffix").is_some_and(|end| method.ends_with(end))
            })
    });
    rule.map(|rule| &rule["requires"])
}

#[test]
fn a_request_authentication_lets_requests_without_a_token_through() {
    let more = ", audiences: [api], outputPayloadToHeader: x-payload, forwardOriginalToken: true, \
                outputClaimToHeaders: [{header: x-user, claim: sub}], timeout: 2s";
    let outcome = Outcome::of(&authentication(more));
    outcome.differs_only_in(&[]);
    let expected = json!({
        "providers": {"a-example": {
            "issuer": "https://a.example",
            "audiences": ["api"],
            "remote_jwks": {"http_uri": {
                "uri": "https://a.example:8443/keys", "cluster": "outbound|8443||a.example",
                "timeout": "2s",
            }},
            "from_headers": [{"name": "x-token"}],
            "forward": true,
            "forward_payload_header": "x-payload",
            "claim_to_headers": [{"header_name": "x-user", "claim_name": "sub"}],
            "require_expiration": false,
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": any(&json!([
            {"provider_name": "a-example"}, {"allow_missing": {}},
        ]))}],
        "bypass_cors_preflight": true,
    });
    assert_eq!(*outcome.valid(), expected);
    assert!(outcome.notes("a request without a token goes through"));
    assert!(outcome.notes("ServiceEntry"));
}

#[test]
fn without_a_url_for_keys_the_issuer_is_asked() {
    let keys = |rule: &str| {
        let text = format!("kind: RequestAuthentication\nspec: {{jwtRules: [{rule}]}}\n");
        let outcome = Outcome::of(&text);
        let providers = outcome.valid()["providers"].as_object().unwrap().clone();
        let provider = providers.values().next().unwrap().clone();
        (provider, outcome.differences.len())
    };
    let (provider, differences) = keys("{issuer: 'https://a.example/t/'}");
    let discovery = json!({"openid_discovery": {"cluster": "outbound|443||a.example"}});
    assert_eq!((&provider["remote_jwks"], differences), (&discovery, 0));
    let set = jwk_set(&[&es256()]);
    let (provider, _) = keys(&format!("{{issuer: a@b, jwks: '{set}'}}"));
    assert_eq!(provider["local_jwks"], json!({"inline_string": set}));
    assert_eq!(provider["from_params"], json!(["access_token"]));
    let (provider, differences) = keys("{issuer: a@b}");
    let variable = json!({"environment_variable": "JWKS_A_B"});
    assert_eq!((&provider["local_jwks"], differences), (&variable, 1));
}

#[test]
fn a_policy_that_refuses_without_a_token_asks_for_one() {
    let rules = "[{from: [{source: {notRequestPrincipals: ['*']}}], to: [{operation: {notPaths: \
                 ['/healthz', '/public/*']}}]}]";
    let outcome = Outcome::of(&(authentication("") + &policy("DENY", rules)));
    outcome.differs_only_in(&[]);
    let configuration = outcome.valid();
    let token = json!({
        "provider_name": "a-example", "claims": [{"claim_name": "sub", "present": true}],
    });
    let open = any(&json!([{"provider_name": "a-example"}, {"allow_missing": {}}]));
    for (path, expected) in [
        ("/", &token),
        ("/orders", &token),
        ("/healthz", &open),
        ("/healthz/x", &token),
        ("/public/x", &open),
        ("/public", &token),
    ] {
        assert_eq!(
            required(configuration, "GET", path),
            Some(expected),
            "{path}"
        );
    }
    // A preflight has no token, which only the filter lets past, and not the policy.
    assert_eq!(configuration.get("bypass_cors_preflight"), None);
}

/// What two policies leave open is open only where both do.
#[test]
fn paths_by_their_ends_and_beginnings_are_told_apart_where_they_meet() {
    let asking = |not: &str| {
        format!(
            "[{{from: [{{source: {{notRequestPrincipals: ['*']}}}}], to: [{{operation: {not}}}]}}]"
        )
    };
    let text = authentication("")
        + &policy("DENY", &asking("{notPaths: ['*.css', '/public/*']}"))
        + &policy(
            "DENY",
            &asking("{paths: ['/admin/a.*'], notMethods: [GET]}"),
        );
    let outcome = Outcome::of(&text);
    outcome.differs_only_in(&[]);
    let configuration = outcome.valid();
    for (method, path, is_open) in [
        ("GET", "/a.css", true),
        ("GET", "/a.css/b", false),
        ("GET", "/public/a", true),
        ("GET", "/public/a.css", true),
        ("GET", "/admin/a.css", true),
        ("PUT", "/admin/a.css", false),
        ("PUT", "/admin/a..css", false),
        ("PUT", "/admin/b.css", true),
        ("GET", "/admin/a.b", false),
    ] {
        let required = required(configuration, method, path).unwrap();
        let found = required.get("requires_any").is_some();
        assert_eq!(found, is_open, "{method} {path}: {configuration:#}");
    }
    // Of a template, that is not known, and then less goes through.
    let text = authentication("")
        + &policy("DENY", &asking("{notPaths: ['/a/{*}/open']}"))
        + &policy("DENY", &asking("{paths: ['/a/x*']}"));
    let outcome = Outcome::of(&text);
    outcome.differs_only_in(&["5: : lets less through than before where templates"]);
    for path in ["/a/x/open", "/a/x/y", "/a/y/open"] {
        let required = required(outcome.valid(), "GET", path).unwrap();
        assert_eq!(required["provider_name"], "a-example", "{path}");
    }
}

/// One policy that allows is enough, whatever their order, and none may refuse.
#[test]
fn policies_count_together_whatever_their_order() {
    let deny = "[{to: [{operation: {paths: ['/admin/*']}}], when: [{key: \
                'request.auth.claims[realm][role]', notValues: [admin, root]}]}]";
    let allow = "[{to: [{operation: {methods: [GET]}}], from: [{source: {requestPrincipals: \
                 ['https://a.example/*']}}]}, \
                 {to: [{operation: {methods: [GET, POST], paths: ['/admin/x']}}], from: [{source: \
                 {requestPrincipals: ['*/alice']}}]}, {to: [{operation: {paths: ['/open']}}]}]";
    let outcome =
        Outcome::of(&(authentication("") + &policy("DENY", deny) + &policy("ALLOW", allow)));
    outcome.differs_only_in(&[
        "7: spec.rules[0].when[0].notValues[0]: lets less through than before where this claim is",
        "7: spec.rules[0].when[0].notValues[1]: lets less through than before where this claim is",
    ]);
    let configuration = outcome.valid();
    let there = json!({"claim_name": "sub", "present": true});
    let alice = json!({"claim_name": "sub", "equals": "alice"});
    let keys = json!(["realm", "role"]);
    let role = |role: &str| json!({"claim_path": keys, "one_of": [role, [role]]});
    let with = |claims: Value| json!({"provider_name": "a-example", "claims": claims});
    let open = any(&json!([{"provider_name": "a-example"}, {"allow_missing": {}}]));
    let admin_or_root = |claim: &Value| {
        any(&json!([
            with(json!([claim, role("admin")])),
            with(json!([claim, role("root")]))
        ]))
    };
    let both = any(&json!([
        with(json!([there, role("admin")])),
        with(json!([there, role("root")])),
        with(json!([alice, role("admin")])),
        with(json!([alice, role("root")])),
    ]));
    for (method, path, expected) in [
        ("GET", "/orders", Some(with(json!([there])))),
        ("POST", "/orders", None),
        ("POST", "/open", Some(open.clone())),
        ("GET", "/open", Some(open)),
        ("GET", "/admin/y", Some(admin_or_root(&there))),
        ("POST", "/admin/x", Some(admin_or_root(&alice))),
        ("PUT", "/orders", None),
    ] {
        let found = required(configuration, method, path);
        assert_eq!(
            found,
            expected.as_ref(),
            "{method} {path}: {configuration:#}"
        );
    }
    let found = required(configuration, "GET", "/admin/x").unwrap();
    let set = |value: &Value| {
        let list = value["requires_any"]["requirements"].as_array().unwrap();
        let mut list: Vec<_> = list.iter().map(Value::to_string).collect();
        list.sort();
        list
    };
    assert_eq!(set(found), set(&both));
    // Where nothing allows, no token is enough.
    let never = required(configuration, "PUT", "/admin/y");
    assert!(never.is_none_or(|never| never["claims"][0]["one_of"] == json!([])));
}

#[test]
fn what_the_gate_cannot_tell_lets_less_through_and_is_told() {
    let told = |action: &str, rules: &str| {
        let outcome = Outcome::of(&(authentication("") + &policy(action, rules)));
        outcome.valid();
        (
            outcome.configurations[0]["rules"].clone(),
            outcome.differences,
        )
    };
    let from = "from: [{source: {requestPrincipals: ['*'], namespaces: [x]}}]";
    let (rules, differences) = told("ALLOW", &format!("[{{{from}}}]"));
    assert_eq!(rules, json!([]));
    assert_eq!(differences.len(), 2, "{differences:#?}");
    let rules = "[{from: [{source: {requestPrincipals: ['*']}}], to: [{operation: {ports: ['80'], \
                 paths: [/a]}}]}]";
    let (rules, differences) = told("ALLOW", rules);
    assert_eq!(rules, json!([]));
    assert_eq!(differences.len(), 2, "{differences:#?}");
    let rules = "[{from: [{source: {requestPrincipals: ['*/mallory']}}], to: [{operation: {paths: \
                 [/a]}}]}]";
    let (rules, differences) = told("DENY", rules);
    assert_eq!(rules[0]["match"], json!({"path": "/a"}));
    assert_eq!(rules[0]["requires"]["claims"][0]["one_of"], json!([]));
    assert_eq!(differences.len(), 1, "{differences:#?}");
    let rules = "[{from: [{source: {notRequestPrincipals: ['*'], ipBlocks: [10.0.0.0/8]}}]}]";
    let (rules, differences) = told("DENY", rules);
    assert_eq!(rules[0]["requires"]["provider_name"], "a-example");
    assert_eq!(differences.len(), 2, "{differences:#?}");
    // What no token decides stays in Istio.
    let (rules, differences) = told("ALLOW", "[{from: [{source: {namespaces: [x]}}]}]");
    assert_eq!(rules[0]["match"], json!({"prefix": "/"}));
    assert_eq!(differences, [] as [&str; 0]);
}

/// `*` stands for any text at one end, as in paths and hosts.
#[test]
fn methods_are_patterns() {
    let asking = |operation: &str| {
        let from = "from: [{source: {notRequestPrincipals: ['*']}}]";
        let rules = format!("[{{{from}, to: [{{operation: {{{operation}}}}}]}}]");
        Outcome::of(&(authentication("") + &policy("DENY", &rules)))
    };
    for (operation, asked) in [
        ("methods: ['P*']", vec!["POST", "PUT"]),
        ("methods: ['*ST']", vec!["POST"]),
        ("methods: ['*']", vec!["GET", "POST", "PUT"]),
        ("methods: ['P*', GET]", vec!["GET", "POST", "PUT"]),
        ("notMethods: ['P*']", vec!["GET"]),
        ("notMethods: ['*T']", vec![]),
        ("notMethods: ['*ST', GET]", vec!["PUT"]),
        ("notMethods: ['*']", vec![]),
        ("methods: ['P*'], notMethods: ['*ST']", vec!["PUT"]),
    ] {
        let outcome = asking(operation);
        outcome.differs_only_in(&[]);
        let configuration = outcome.valid();
        for method in ["GET", "POST", "PUT"] {
            let required = required(configuration, method, "/").unwrap();
            let found = required.get("requires_any").is_none();
            let expected = asked.contains(&method);
            assert_eq!(found, expected, "{operation} {method}: {configuration:#}");
        }
    }
    // A name is no regular expression.
    let outcome = asking("methods: [GET, P.T]");
    let matcher = &outcome.valid()["rules"][0]["match"]["headers"][0]["string_match"];
    assert_eq!(matcher["safe_regex"]["regex"], "GET|P\\.T");
}

#[test]
fn a_policy_in_dry_run_counts_as_absent() {
    let root = "[{from: [{source: {requestPrincipals: ['https://a.example/root']}}]}]";
    let anyone = "[{from: [{source: {requestPrincipals: ['*']}}]}]";
    let enforced = authentication("") + &policy("ALLOW", root);
    let alone = Outcome::of(&enforced);
    for (flag, is_absent) in [
        ("'true'", true),
        ("'1'", true),
        ("'false'", false),
        ("maybe", false),
    ] {
        let annotated = format!("metadata: {{annotations: {{istio.io/dry-run: {flag}}}, ");
        let dry = policy("ALLOW", anyone).replace("metadata: {", &annotated);
        let outcome = Outcome::of(&format!("{enforced}{dry}"));
        outcome.differs_only_in(&[]);
        assert_eq!(outcome.one() == alone.one(), is_absent, "{flag}");
        assert_eq!(outcome.notes("is in dry-run"), is_absent, "{flag}");
    }
}

#[test]
fn what_is_lost_of_who_gets_through_opens() {
    let token = "from: [{source: {requestPrincipals: ['*']}}]";
    for (action, rules) in [
        ("ALLOW", "[{TOKEN}, {unheard_of: x}]"),
        ("ALLOW", "[{TOKEN}, x]"),
        ("ALLOW", "[{TOKEN}], unheard_of: x"),
        (
            "ALLOW",
            "[{TOKEN, when: [{key: 'request.headers[a]', notValues: [{}]}]}]",
        ),
        (
            "ALLOW",
            "[{TOKEN, when: [{key: 'request.headers[a]', values: [z], value: x}]}]",
        ),
        (
            "ALLOW",
            "[{TOKEN, when: [{key: 'request.auth.claims[a]'}]}]",
        ),
        (
            "ALLOW",
            "[{TOKEN, to: [{operation: {paths: [/a]}, unheardOf: x}]}]",
        ),
        (
            "ALLOW",
            "[{from: [{source: {requestPrincipals: ['*']}, unheardOf: x}]}]",
        ),
        ("CUSTOM", "[{TOKEN}]"),
    ] {
        let text = authentication("") + &policy(action, &rules.replace("TOKEN", token));
        let Outcome { openings, .. } = Outcome::of(&text);
        assert_eq!(openings.len(), 1, "{text}{openings:#?}");
    }
    let outcome = Outcome::of(&authentication(", audiences: [{}], unheardOf: x"));
    assert_eq!(outcome.openings.len(), 2, "{:#?}", outcome.differences);
    let without_issuer = authentication("").replace("issuer: 'https://a.example', ", "");
    assert_eq!(Outcome::of(&without_issuer).openings.len(), 1);
    // What is only logged opens nothing.
    let audit = policy("AUDIT", &format!("[{{{token}}}]"));
    let outcome = Outcome::of(&(authentication("") + &audit));
    outcome.differs_only_in(&["5: : only the actions"]);
    assert_eq!(outcome.openings.len(), 0);
}

/// Envoy and Kubernetes refuse what is not text where text is meant, so a translation that took it
/// for text would be of an original that cannot run.
#[test]
fn what_yaml_does_not_read_as_text_is_no_text() {
    for version in ["", "apiVersion: security.istio.io/v1\n"] {
        for word in ["yes", "on", "No", "true", "n", "12", "010", "0x1F"] {
            let with = |word: &str| {
                let more = format!(", audiences: [api, {word}], fromParams: [{word}]");
                Outcome::of(&format!("{version}{}", authentication(&more)))
            };
            let outcome = with(word);
            assert_eq!(
                outcome.one()["providers"]["a-example"]["audiences"],
                json!(["api"])
            );
            assert_eq!(
                outcome.openings.len(),
                2,
                "{word}: {:#?}",
                outcome.differences
            );
            let outcome = with(&format!("'{word}'"));
            assert_eq!(outcome.openings, [] as [&str; 0], "{word}");
        }
    }
}
