//! Rules that no request reaches.

use super::*;

/// Two rules, the second of which asks for a token.
fn two(first: Value, second: Value) -> Value {
    let rules = json!([{"match": first}, {"match": second, "requires": token()}]);
    configuration(rules, json!({}))
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
