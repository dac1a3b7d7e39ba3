//! Paths and headers that no request has, and prefixes that reach further than they seem to.

use super::*;

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
        (
            "safe_regex.regex",
            json!({"safe_regex": {"regex": r"/search\?q=.*"}}),
        ),
        (
            "safe_regex.regex",
            json!({"safe_regex": {"regex": "/search#top"}}),
        ),
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
        json!({"safe_regex": {"regex": r"/search(\?.*)?"}}),
        json!({"safe_regex": {"regex": "/search[?]?"}}),
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
            "name: `x_session_subject` is a header of the gate",
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
