//! What a sound configuration is warned of: what opens the API, and what can never work. Each rule
//! comes with configurations that look much the same and are right.

#![expect(
    clippy::needless_pass_by_value,
    reason = "values are made where they are used"
)]

use super::*;
use crate::gate::configuration::inspect;

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
    let environment = |name: &str| environment(name).map_or(Variable::Unknown, Variable::Set);
    let inspection = inspect(configuration.to_string().as_bytes(), &environment);
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

/// Two rules, the second of which asks for a token.
fn two(first: Value, second: Value) -> Value {
    let rules = json!([{"match": first}, {"match": second, "requires": token()}]);
    configuration(rules, json!({}))
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

const SHADOWED_AND_OPEN: &str = "rules[1]: no request gets here: `rules[0]`, which comes first, \
                                 matches all of them, and needs no token: what this rule is to \
                                 protect is open; hint: put this rule before";

fn assert_reachable(first: Value, second: Value) {
    let found = review(&two(first.clone(), second.clone()));
    let mut told = found.iter();
    let is_told = told.any(|finding| finding.contains("no request gets here"));
    assert!(!is_told, "{first}, {second}: {found:?}");
}

#[test]
fn a_rule_that_no_request_gets_to_is_told() {
    for (first, second) in [
        (prefix("/"), prefix("/admin/")),
        (prefix("/"), path("/admin")),
        (prefix("/"), segments("/admin")),
        (prefix("/"), regex("/admin/.*")),
        (prefix("/"), regex("^/admin/(a|b)")),
        (prefix("/"), regex(r"/admin\.php")),
        (prefix("/"), any_case(prefix("/Admin/"))),
        (prefix(""), regex("(?i)/ADMIN/.*")),
        (prefix("/a/"), path("/a/b")),
        (prefix("/a/"), segments("/a/b")),
        (any_case(prefix("/A/")), prefix("/a/b/")),
        (any_case(prefix("/A/")), any_case(path("/a/B"))),
        (path("/a"), path("/a")),
        (any_case(path("/A")), path("/a")),
        (segments("/a"), segments("/a")),
        (segments("/a"), segments("/a/b")),
        (segments("/a"), path("/a")),
        (segments("/a"), path("/a/b")),
        (segments("/a"), prefix("/a/")),
        (segments("/a"), regex("/a/b+")),
        (regex("/.*"), prefix("/admin/")),
        (regex(".*"), regex("[/]admin")),
        (regex("/a/.*"), prefix("/a/b/")),
        (regex("/[ab]/x"), path("/a/x")),
        (regex("/[ab]/x"), regex("/[ab]/x")),
        (
            json!({"connect_matcher": {}}),
            json!({"connect_matcher": {}}),
        ),
    ] {
        assert_finding(&two(first, second), SHADOWED_AND_OPEN);
    }
    let rules = json!([
        {"match": prefix("/"), "requires": token()},
        {"match": prefix("/public/")},
    ]);
    assert_finding(
        &configuration(rules, json!({})),
        "rules[1]: no request gets here: `rules[0]`, which comes first, matches all of them; hint",
    );
}

#[test]
fn a_rule_that_some_request_gets_to_is_not_told() {
    for (first, second) in [
        (prefix("/admin/"), prefix("/")),
        (prefix("/a/"), path("/a")),
        (prefix("/a/"), prefix("/A/")),
        (prefix("/a/"), any_case(prefix("/a/b/"))),
        (path("/a"), any_case(path("/a"))),
        (path("/a"), prefix("/a")),
        (path("/a"), path("/a/")),
        (segments("/a"), prefix("/a")),
        (segments("/a"), path("/ab")),
        (segments("/a"), segments("/ab")),
        (segments("/a"), regex("/a.*")),
        (prefix("/"), json!({"connect_matcher": {}})),
        (json!({"connect_matcher": {}}), prefix("/")),
        (prefix("/"), regex(".*")),
        (prefix("/"), regex("/a|.*")),
        (prefix("/"), regex(r"/a\(|b")),
        (prefix("/"), regex("/a[(]|b")),
        (prefix("/ab"), regex("/ab*")),
        (prefix("/ab"), regex("/ab?c")),
        (prefix("/ab"), regex("/ab{0}c")),
        (prefix("/ab"), regex("/a(?i)b")),
        (prefix("/a"), regex("(?i)/a")),
        (prefix("/a."), regex("/a.")),
        (regex("/a+"), prefix("/a")),
        (regex("/[ab]"), path("/c")),
        (regex("/[ab]"), any_case(path("/a"))),
        (regex("/a/.+"), prefix("/a/")),
    ] {
        assert_reachable(first, second);
    }
}

#[test]
fn a_rule_is_in_the_shadow_only_of_one_whose_conditions_follow_from_its_own() {
    let exact = |text: &str| json!({"string_match": {"exact": text}});
    let all = || prefix("/");
    let admin = || prefix("/admin/");
    for key in ["headers", "query_parameters"] {
        let on = |matcher, name: &str, condition| on(matcher, key, name, condition);
        for (first, second) in [
            (all(), on(admin(), "a", exact("x"))),
            (on(all(), "a", exact("x")), on(admin(), "a", exact("x"))),
            (on(all(), "a", json!({})), on(admin(), "a", exact("x"))),
            (
                on(all(), "a", json!({"present_match": true})),
                on(admin(), "a", exact("x")),
            ),
        ] {
            assert_finding(&two(first, second), SHADOWED_AND_OPEN);
        }
        for (first, second) in [
            (on(all(), "a", json!({})), admin()),
            (on(all(), "a", exact("x")), on(admin(), "a", exact("y"))),
            (on(all(), "a", json!({})), on(admin(), "b", json!({}))),
            (
                on(all(), "a", json!({})),
                on(admin(), "a", json!({"present_match": false})),
            ),
        ] {
            assert_reachable(first, second);
        }
    }
    let on = |matcher, condition| on(matcher, "headers", "a", condition);
    let mut first = all();
    first["query_parameters"] = json!([{"name": "a"}]);
    assert_reachable(first, on(admin(), json!({})));
    let first = on(all(), json!({}));
    for condition in [
        json!({"exact_match": "x", "treat_missing_header_as_empty": true}),
        json!({"present_match": true, "invert_match": true}),
    ] {
        assert_reachable(first.clone(), on(admin(), condition));
    }
    let inverted = json!({"exact_match": "x", "invert_match": true});
    assert_finding(&two(first, on(admin(), inverted)), SHADOWED_AND_OPEN);
}

#[test]
fn an_open_prefix_that_goes_further_than_it_looks_is_told() {
    let optional = json!({"requires_any": {"requirements": [token(), {"allow_missing": {}}]}});
    let rest = json!({"match": {"prefix": "/"}, "requires": token()});
    let rules = |prefix: &str, requires: &Value| {
        let mut rule = json!({"match": {"prefix": prefix}});
        if !requires.is_null() {
            rule["requires"] = requires.clone();
        }
        configuration(json!([rule, rest]), json!({}))
    };
    for requires in [&Value::Null, &optional] {
        assert_finding(
            &rules("/public", requires),
            "rules[0].match.prefix: needs no token, and is the beginning of other words too: \
             `/public-x`; hint: `prefix: /public/`, or `path_separated_prefix: /public`",
        );
        assert_sound(&rules("/public/", requires));
        assert_sound(&rules("/static-", requires));
    }
    assert_sound(&rules("/admin", &token()));
}

/// Closed, and then everything else is open.
fn closed_before_open(closed: Value) -> Value {
    let rules = json!([
        {"match": closed, "requires": token()},
        {"match": prefix("/")},
    ]);
    configuration(rules, json!({}))
}

#[test]
fn a_protected_path_that_another_rule_leaves_open_in_another_spelling_is_told() {
    for (closed, key, told) in [
        (
            path("/admin"),
            "path",
            "`/admin/` and `/ADMIN` are other paths",
        ),
        (
            path("/admin/"),
            "path",
            "`/admin` and `/ADMIN/` are other paths",
        ),
        (
            path("/ADMIN"),
            "path",
            "`/ADMIN/` and `/admin` are other paths",
        ),
        (
            any_case(path("/admin")),
            "path",
            "`/admin/` is another path",
        ),
        (path("/7"), "path", "`/7/` is another path"),
        (prefix("/admin"), "prefix", "`/ADMIN` is another path"),
        (
            prefix("/admin/"),
            "prefix",
            "`/admin` and `/ADMIN/` are other paths",
        ),
        (
            segments("/admin"),
            "path_separated_prefix",
            "`/ADMIN` is another path",
        ),
    ] {
        let expected = format!("rules[0].match.{key}: {told}, and `rules[1]` leaves ");
        assert_finding(&closed_before_open(closed), &expected);
    }
    let hint = "hint: `path_separated_prefix: /admin` with `case_sensitive: false`";
    for closed in [path("/admin"), prefix("/admin/"), segments("/admin")] {
        let found = review(&closed_before_open(closed));
        assert!(found[0].ends_with(hint), "{found:?}");
    }
    // By which only some of the requests are kept out in any spelling.
    let on_post = json!({"string_match": {"exact": "POST"}});
    let closed = on(path("/admin"), "headers", ":method", on_post);
    let expected = "rules[0].match.path: `/admin/` and `/ADMIN` are other paths";
    assert_finding(&closed_before_open(closed), expected);

    let rules = json!([{"match": path("/admin"), "requires": token()}]);
    let open = json!({"allow_unmatched": true});
    assert_finding(
        &configuration(rules, open),
        "rules[0].match.path: `/admin/` and `/ADMIN` are other paths, and `allow_unmatched` leaves",
    );
}

#[test]
fn a_protected_path_that_no_other_spelling_leads_round_is_not_told() {
    for closed in [
        any_case(segments("/admin")),
        any_case(prefix("/admin")),
        prefix("/7"),
        regex("(?i)/admin/?"),
    ] {
        assert_sound(&closed_before_open(closed));
    }
    for rules in [
        // Closed in all of them.
        json!([
            {"match": path("/admin"), "requires": token()},
            {"match": any_case(prefix("/admin")), "requires": token()},
            {"match": prefix("/")},
        ]),
        json!([
            {"match": path("/admin"), "requires": token()},
            {"match": prefix("/"), "requires": token()},
        ]),
        // Refused, since nobody says anything.
        json!([{"match": path("/admin"), "requires": token()}]),
        // Meant so.
        json!([
            {"match": path("/a"), "requires": token()},
            {"match": path("/A")},
            {"match": path("/a/")},
        ]),
    ] {
        assert_sound(&configuration(rules, json!({})));
    }
}

#[test]
fn a_path_that_no_request_has_is_told() {
    let rest = json!({"match": {"prefix": "/"}, "requires": token()});
    for (key, matcher) in [
        ("prefix", json!({"prefix": "public/"})),
        ("path", json!({"path": "healthz"})),
        (
            "path_separated_prefix",
            json!({"path_separated_prefix": "a"}),
        ),
        (
            "safe_regex.regex",
            json!({"safe_regex": {"regex": "^admin/.*"}}),
        ),
        ("path", json!({"path": "/search?q=1"})),
        ("prefix", json!({"prefix": "/search?"})),
    ] {
        let rules = json!([{"match": matcher}, rest]);
        assert_finding(
            &configuration(rules, json!({})),
            &format!("rules[0].match.{key}: no request has such a path: "),
        );
    }
    for matcher in [
        json!({"path": "*"}),
        json!({"safe_regex": {"regex": ".*/health"}}),
        json!({"safe_regex": {"regex": "(/a|/b)"}}),
        json!({"safe_regex": {"regex": r"/search\?"}}),
    ] {
        assert_sound(&configuration(json!([{"match": matcher}, rest]), json!({})));
    }
}

#[test]
fn a_header_that_cannot_be_relied_on_is_told() {
    let rules = |header: Value| json!([{"match": {"prefix": "/", "headers": [header]}, "requires": token()}]);
    let configuration = |header| configuration(rules(header), json!({"session_headers": true}));
    for (header, expected) in [
        (
            json!({"name": "X_Session_Subject", "exact_match": "admin"}),
            "name: `x_session_subject` is what the gate tells the upstream",
        ),
        (
            json!({"name": ":path", "prefix_match": "/public/"}),
            "name: the path is compared as it was sent",
        ),
        (
            json!({"name": "x", "range_match": {"start": 5}}),
            "range_match: no number is from `start`",
        ),
        (
            json!({"name": "x", "range_match": {"start": "5", "end": 5}}),
            "range_match: no number is from `start`",
        ),
    ] {
        let expected = format!("rules[0].match.headers[0].{expected}");
        assert_finding(&configuration(header), &expected);
    }
    assert_sound(&configuration(
        json!({"name": "x", "range_match": {"start": -1, "end": 5}}),
    ));
    assert_sound(&configuration(
        json!({"name": ":method", "exact_match": "GET"}),
    ));
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

    // What is not certain is not told.
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
fn a_token_that_outlives_its_revocation_is_told() {
    let with = |provider: Value, has_revocation: bool| {
        let rules = json!([{"match": {"prefix": "/"}, "requires": token()}]);
        let mut configuration = configuration(rules, json!({}));
        let own = configuration["providers"]["idp"].as_object_mut().unwrap();
        own.extend(provider.as_object().unwrap().clone());
        if has_revocation {
            configuration["revocation"] = complete()["revocation"].clone();
        }
        configuration
    };
    assert_finding(
        &with(json!({"require_expiration": false}), true),
        "providers.idp.require_expiration: a revocation lapses, and a token without `exp` does not",
    );
    assert_sound(&with(json!({"require_expiration": false}), false));
    assert_sound(&with(
        json!({"require_expiration": false, "max_token_age": "600s"}),
        true,
    ));
    // Which needs `exp`.
    assert_sound(&with(
        json!({"require_expiration": false, "max_lifetime": "600s"}),
        true,
    ));
    assert_sound(&with(json!({}), true));
}

#[test]
fn places_of_tokens_that_are_one_place_for_some_upstreams_are_told() {
    let with = |places: Value| {
        let rules = json!([{"match": {"prefix": "/"}, "requires": token()}]);
        let mut configuration = configuration(rules, json!({}));
        let provider = configuration["providers"]["idp"].as_object_mut().unwrap();
        provider.extend(places.as_object().unwrap().clone());
        configuration
    };
    for (key, value) in [
        (
            "from_headers",
            json!([{"name": "x-jwt"}, {"name": "X_JWT"}]),
        ),
        (
            "from_headers",
            json!([{"name": "x-jwt"}, {"name": "x.jwt"}]),
        ),
        ("from_params", json!(["access_token", "access.token"])),
        ("from_params", json!(["x-jwt", "X-JWT"])),
        ("from_cookies", json!(["a-b", "a_b"])),
    ] {
        let expected = format!("providers.idp.{key}: `");
        assert_finding(&with(json!({key: value})), &expected);
    }
    assert_sound(&with(json!({
        "from_headers": [{"name": "x-jwt"}, {"name": "x-jwt", "value_prefix": "Bearer "}],
        "from_params": ["x-jwt"],
        "from_cookies": ["x_jwt"],
    })));
    assert_finding(
        &with(json!({"from_cookies": ["good", "a=b"]})),
        "providers.idp.from_cookies[1]: no cookie has such a name",
    );
}

#[test]
fn what_asks_for_nothing_without_saying_so_is_told() {
    let with = |requires: Value| {
        let rules = json!([{"match": {"prefix": "/"}, "requires": requires}]);
        configuration(rules, json!({}))
    };
    let any = |list: Value| json!({"requires_any": {"requirements": list}});
    assert_finding(
        &with(any(json!([token(), {}]))),
        "rules[0].requires.requires_any.requirements[1]: asks for nothing, so every request meets",
    );
    assert_finding(
        &with(json!({"requires_all": {"requirements": [any(json!([{}, token()])), token()]}})),
        "rules[0].requires.requires_all.requirements[0].requires_any.requirements[0]: asks for no",
    );
    assert_finding(
        &with(json!({"provider_name": "idp", "claims": []})),
        "rules[0].requires.claims: is empty, so nothing is checked",
    );
    let rules = json!([
        {"match": {"prefix": "/empty/"}, "requires": {}},
        {"match": {"prefix": "/"}, "requires": token()},
    ]);
    assert_finding(
        &configuration(rules, json!({})),
        "rules[0].requires: asks for nothing, so the path is open",
    );
}

#[test]
fn a_requirement_that_opens_is_told_wherever_it_is_referred_to() {
    let all = |list: Value| json!({"requires_all": {"requirements": list}});
    let any = |list: Value| json!({"requires_any": {"requirements": list}});
    let rest = || json!({"match": {"prefix": "/"}, "requires": token()});
    let map = |open: &Value| json!({"open": open, "login": token()});
    let referring = |open: &Value, key: &str, value: Value| {
        let more = json!({"requirement_map": map(open), key: value});
        configuration(json!([rest()]), more)
    };
    let by_name = |open: &Value| {
        let rules = json!([{"match": {"prefix": "/x/"}, "requirement_name": "open"}, rest()]);
        configuration(rules, json!({"requirement_map": map(open)}))
    };
    let by_route = |open: &Value| {
        let routes = json!({"a": "open", "b": "login"});
        referring(open, "requirement_by_route_name", routes)
    };
    let by_metadata =
        |open: &Value| referring(open, "requirement_from_route_metadata", json!(true));
    let by_filter_state = |open: &Value| {
        let rules = json!({"name": "who", "requires": map(open)});
        configuration(json!([rest()]), json!({"filter_state_rules": rules}))
    };
    let nothing = json!({});
    for (configuration, place) in [
        (by_name(&nothing), "rules[0].requirement_name"),
        (by_route(&nothing), "requirement_by_route_name.a"),
        (by_metadata(&nothing), "requirement_map.open"),
        (
            by_filter_state(&nothing),
            "filter_state_rules.requires.open",
        ),
    ] {
        let expected = format!("{place}: asks for nothing, so ");
        assert_finding(&configuration, &expected);
    }
    for open in [
        all(json!([{}])),
        any(json!([token(), {}])),
        any(json!([all(json!([{}]))])),
    ] {
        for configuration in [by_name(&open), by_route(&open)] {
            let found = review(&configuration);
            let places = [
                "rules[0].requirement_name: ",
                "requirement_by_route_name.a: ",
            ];
            let is_told = |finding: &String| places.iter().any(|place| finding.starts_with(place));
            assert!(found.iter().any(is_told), "{open}: {found:?}");
        }
        let found = review(&by_filter_state(&open));
        assert_eq!(found.len(), 1, "{open}: {found:?}");
    }
    for said in [
        json!({"allow_missing_or_failed": {}}),
        any(json!([token(), {"allow_missing": {}}])),
        all(json!([token(), {"allow_missing": {}}])),
    ] {
        for configuration in [
            by_name(&said),
            by_route(&said),
            by_metadata(&said),
            by_filter_state(&said),
        ] {
            assert_sound(&configuration);
        }
    }
    // Nothing chooses it.
    assert_sound(&referring(&nothing, "allow_unmatched", json!(false)));
}

#[test]
fn empty_audiences_of_a_requirement_are_told() {
    let requires = json!({"provider_and_audiences": {"provider_name": "idp", "audiences": []}});
    let rules = json!([{"match": {"prefix": "/"}, "requires": requires}]);
    assert_finding(
        &configuration(rules, json!({})),
        "rules[0].requires.provider_and_audiences.audiences: is empty, so the provider's own",
    );
}

#[test]
fn a_clock_skew_that_is_a_lifetime_is_told() {
    let rules = json!([{"match": {"prefix": "/"}, "requires": token()}]);
    let mut configuration = configuration(rules, json!({}));
    for (seconds, is_told) in [(600, false), (601, true), (u32::MAX, true)] {
        configuration["providers"]["idp"]["clock_skew_seconds"] = json!(seconds);
        if is_told {
            let place = "providers.idp.clock_skew_seconds: a token is good for so long after";
            assert_finding(&configuration, place);
        } else {
            assert_sound(&configuration);
        }
    }
}

#[test]
fn a_provider_that_takes_more_or_less_than_it_looks_is_told() {
    let rules = json!([{"match": {"prefix": "/"}, "requires": token()}]);
    let secret = json!({"inline_string": "0123456789abcdef0123456789abcdef"});
    let mut configuration = configuration(rules, json!({"shared_data_secret": secret}));
    let uri = json!({"uri": "https://idp.example/jwks", "cluster": "idp"});
    let remote = json!({"remote_jwks": {"http_uri": uri}});
    configuration["providers"]["idp"] = remote.clone();
    assert_finding(
        &configuration,
        "providers.idp: takes every token of its issuer",
    );
    configuration["providers"]["idp"]["audiences"] = json!([]);
    let found = review(&configuration);
    assert!(
        found[0].starts_with("providers.idp.audiences: is empty"),
        "{found:?}"
    );
    configuration["providers"]["idp"]["audiences"] = json!(["api"]);
    assert_sound(&configuration);
    configuration["providers"]["idp"] = remote;
    let asking = |name: &str, value: Value| {
        let mut asking = configuration.clone();
        asking["rules"][0]["requires"][name] = value;
        asking
    };
    assert_sound(&asking("scopes", json!({"all_of": ["orders"]})));
    assert_finding(
        &asking("token_types", json!(["at+jwt"])),
        "providers.idp: takes every token of its issuer, those for other APIs too",
    );
    let claims = json!([{"claim_name": "groups", "contains": "staff"}]);
    let mut configuration = asking("claims", claims);
    assert_finding(&configuration, "providers.idp: takes ID tokens for access");
    configuration["rules"][0]["requires"]["token_types"] = json!(["at+jwt"]);
    assert_sound(&configuration);

    configuration["providers"]["other"] = json!({"local_jwks": keys()});
    assert_finding(
        &configuration,
        "providers.other: no rule and no route asks for its tokens",
    );
    configuration["rules"][0]["requires"] = json!({"allow_missing": {}});
    assert_sound(&configuration);
}

#[test]
fn a_provider_with_keys_of_its_own_that_takes_id_tokens_is_told() {
    let rules = |requires: Value| json!([{"match": {"prefix": "/"}, "requires": requires}]);
    let mut without_audiences = configuration(rules(token()), json!({}));
    without_audiences["providers"]["idp"] = json!({"local_jwks": keys()});
    assert_finding(&without_audiences, "providers.idp: takes ID tokens");
    let audiences = json!({"provider_name": "idp", "audiences": ["api"]});
    without_audiences["rules"] = rules(json!({"provider_and_audiences": audiences}));
    assert_sound(&without_audiences);
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
