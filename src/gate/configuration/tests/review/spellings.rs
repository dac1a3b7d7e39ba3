//! Paths that are protected in one spelling only.

use super::*;

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
    // It keeps out only some of the requests, in any spelling.
    let on_post = json!({"string_match": {"exact": "POST"}});
    let closed = on(path("/admin"), "headers", ":method", on_post);
    let expected = "rules[0].match.path: `/admin/` and `/ADMIN` are other paths";
    assert_finding(&closed_before_open(closed), expected);

    for (closed, told) in [
        (regex("/admin"), "`/admin/` and `/ADMIN` are other paths"),
        (regex("^/admin$"), "`/admin/` and `/ADMIN` are other paths"),
        (regex("/admin/.*"), "`/admin` and `/ADMIN/` are other paths"),
        (regex("/v[0-9]+/x"), "`/v1/x/` and `/V1/X` are other paths"),
        (regex("/a/[^/]+"), "`/a/a/` and `/A/A` are other paths"),
        (
            regex(r"/a/\d+\.xml"),
            "`/a/1.xml/` and `/A/1.XML` are other paths",
        ),
    ] {
        let expected = format!("rules[0].match.safe_regex.regex: {told}, and `rules[1]` leaves");
        assert_finding(&closed_before_open(closed), &expected);
    }

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
        regex("(?i)/admin(/.*)?"),
        regex("/7.*"),
        regex("/[0-9]+/?"),
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
        // Refused, since no rule matches it.
        json!([{"match": path("/admin"), "requires": token()}]),
        // Intended.
        json!([
            {"match": path("/a"), "requires": token()},
            {"match": path("/A")},
            {"match": path("/a/")},
        ]),
    ] {
        assert_sound(&configuration(rules, json!({})));
    }
}

/// Where a route asks for more than a token.
#[test]
fn a_path_that_another_rule_lets_through_with_less_is_told() {
    let strong = json!({"provider_name": "idp", "max_authentication_age": "300s"});
    let rules = |strong: Value, weak: Value| {
        json!([
            {"match": path("/payments"), "requires": strong},
            {"match": prefix("/"), "requires": weak},
        ])
    };
    assert_finding(
        &configuration(rules(strong.clone(), token()), json!({})),
        "rules[0].match.path: `/payments/` and `/PAYMENTS` are other paths, and `rules[1]` asks for \
         no such sign-in at them",
    );
    let any = json!({"requires_any": {"requirements": [strong.clone(), token()]}});
    let weaker = configuration(rules(strong.clone(), any.clone()), json!({}));
    assert!(
        review(&weaker)
            .concat()
            .contains("asks for no such sign-in")
    );
    for rules in [
        rules(strong.clone(), strong.clone()),
        rules(token(), strong.clone()),
        // What it asks for in one case alone.
        rules(any, token()),
        json!([
            {"match": any_case(segments("/payments")), "requires": strong},
            {"match": prefix("/"), "requires": token()},
        ]),
    ] {
        let found = review(&configuration(rules.clone(), json!({}))).concat();
        assert!(!found.contains("are other paths"), "{rules}");
    }
    let mut bound = configuration(rules(json!({"provider_name": "bound"}), token()), json!({}));
    bound["providers"]["bound"] = bound["providers"]["idp"].clone();
    bound["providers"]["bound"]["proof_of_possession"] = json!({"mtls": {}, "required": "always"});
    assert_finding(
        &bound,
        "rules[0].match.path: `/payments/` and `/PAYMENTS` are other paths, and `rules[1]` takes \
         tokens at them that are bound to nothing",
    );
    let both = json!([{"provider_name": "bound"}, token()]);
    let all = json!({"requires_all": {"requirements": both}});
    let any = json!({"requires_any": {"requirements": both}});
    for (strong, weak, is_told) in [
        (json!({"provider_name": "bound"}), all.clone(), false),
        (all, token(), true),
        (json!({"provider_name": "bound"}), any.clone(), true),
        (any, token(), false),
    ] {
        bound["rules"] = rules(strong, weak);
        let found = review(&bound).concat();
        assert_eq!(found.contains("bound to nothing"), is_told, "{found}");
    }
}
