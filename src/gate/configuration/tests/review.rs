//! What a sound configuration is warned of: what opens the API, and what can never work. Each rule
//! comes with configurations that look much the same and are right.

#![expect(
    clippy::needless_pass_by_value,
    reason = "values are made where they are used"
)]

mod blanks;
mod methods;
mod paths;
mod providers;
mod requirements;
mod session_routes;
mod shadowing;
mod spellings;

use super::*;

fn keys() -> Value {
    json!({"inline_string": jwk_set(&[&es256()])})
}

/// A provider, these rules, and these keys besides.
fn configuration(rules: Value, more: Value) -> Value {
    let mut configuration = json!({
        "providers": {"idp": {"audiences": ["api"], "local_jwks": keys()}},
        "rules": rules,
    });
    let members = configuration.as_object_mut().unwrap();
    members.extend(more.as_object().unwrap().clone());
    configuration
}

fn review(configuration: &Value) -> Vec<String> {
    let inspection = inspected(configuration);
    assert_eq!(inspection.faults, [], "{configuration}");
    let findings = inspection.review().into_iter();
    findings.map(|finding| finding.to_string()).collect()
}

fn assert_finding(configuration: &Value, expected: &str) {
    let found = review(configuration);
    assert_eq!(found.len(), 1, "{configuration}: {found:?}");
    assert!(found[0].starts_with(expected), "{expected}: {found:?}");
}

fn assert_sound(configuration: &Value) {
    assert_eq!(review(configuration), [] as [&str; 0], "{configuration}");
}

fn token() -> Value {
    json!({"provider_name": "idp"})
}

#[test]
fn a_sound_configuration_has_no_findings() {
    let rules = json!([
        {"match": {"prefix": "/public/"}},
        {"match": {"path": "/login"}},
        {"match": {"path_separated_prefix": "/assets"}},
        {"match": {"prefix": "/optional/"}, "requires": {"requires_any": {"requirements": [
            token(), {"allow_missing": {}},
        ]}}},
        {"match": {"prefix": "/"}, "requires": token()},
    ]);
    let more = json!({
        "session_headers": true,
        "login_redirect": {"url": "/login"},
        "revocation": {
            "cluster": "authority",
            "credential": {"inline_string": "edge"},
            "public_keys": ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"],
        },
    });
    assert_sound(&configuration(rules, more));
}

fn prefix(prefix: &str) -> Value {
    json!({"prefix": prefix})
}

fn path(path: &str) -> Value {
    json!({"path": path})
}

fn segments(prefix: &str) -> Value {
    json!({"path_separated_prefix": prefix})
}

fn regex(regex: &str) -> Value {
    json!({"safe_regex": {"regex": regex}})
}

fn any_case(mut matcher: Value) -> Value {
    matcher["case_sensitive"] = json!(false);
    matcher
}

/// A matcher with one condition in this list.
fn on(mut matcher: Value, key: &str, name: &str, condition: Value) -> Value {
    let mut whole = json!({"name": name});
    let members = whole.as_object_mut().unwrap();
    members.extend(condition.as_object().unwrap().clone());
    matcher[key] = json!([whole]);
    matcher
}

#[test]
fn no_rules_are_told_unless_something_else_chooses() {
    assert_finding(
        &configuration(json!([]), json!({})),
        "rules: there are none, so every request is refused",
    );
    let open = configuration(json!([]), json!({"allow_unmatched": true}));
    let found = review(&open);
    assert!(found[0].starts_with("rules: there are none, and `allow_unmatched` lets every"));
    let by_route = json!({
        "requirement_map": {"some": token()},
        "requirement_by_route_name": {"route": "some"},
    });
    assert_sound(&configuration(json!([]), by_route));
}

#[test]
fn a_login_page_that_sends_its_visitors_round_is_told() {
    let login =
        |rules: Value| configuration(rules, json!({"login_redirect": {"url": "/login?a=b"}}));
    let rest = json!({"match": {"prefix": "/"}, "requires": token()});
    assert_finding(
        &login(json!([rest])),
        "login_redirect.url: browsers without a token are sent here, and `rules[0]` needs one",
    );
    assert_finding(
        &login(json!([{"match": {"prefix": "/api/"}, "requires": token()}])),
        "login_redirect.url: no rule matches this path, so the login page is refused too",
    );
    assert_sound(&login(json!([{"match": {"path": "/login"}}, rest])));
    let allow_missing = json!({"match": {"path": "/login"}, "requires": {"allow_missing": {}}});
    assert_sound(&login(json!([allow_missing, rest])));

    // A cookie that has expired comes again with every page.
    let mut with_cookies = login(json!([allow_missing, rest]));
    with_cookies["providers"]["idp"]["from_cookies"] = json!(["session"]);
    assert_finding(
        &with_cookies,
        "login_redirect.url: browsers whose cookie has expired are sent here, and `rules[0]` ",
    );
    with_cookies["rules"][0]["requires"] = json!({"allow_missing_or_failed": {}});
    assert_sound(&with_cookies);

    // What is not certain is not reported.
    let conditional = json!({"match": {"path": "/login", "headers": [{"name": "x"}]}});
    assert_sound(&login(json!([conditional, rest])));
    let elsewhere = json!({"login_redirect": {"url": "https://login.example/"}});
    assert_sound(&configuration(json!([rest]), elsewhere));
    let by_route = json!({
        "login_redirect": {"url": "/login"},
        "requirement_map": {"open": {"allow_missing_or_failed": {}}},
        "requirement_by_route_name": {"login": "open"},
    });
    assert_sound(&configuration(json!([rest]), by_route));
}

#[test]
fn keys_that_other_plugins_could_replace_are_a_finding_unless_there_is_a_secret() {
    let uri = json!({"uri": "https://idp.example/jwks", "cluster": "idp", "timeout": "1s"});
    let remote = json!({"audiences": ["api"], "remote_jwks": {"http_uri": uri}});
    let rules = json!([{"match": {"prefix": "/"}, "requires": token()}]);
    let mut remote = configuration(rules, json!({"providers": {"idp": remote}}));
    assert_finding(&remote, "providers.idp.remote_jwks: another Wasm plugin");
    let secret = json!({"inline_string": "0123456789abcdef0123456789abcdef"});
    remote["shared_data_secret"] = secret;
    assert_sound(&remote);
}
