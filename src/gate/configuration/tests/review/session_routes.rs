//! Routes that the gate serves itself.

use super::*;

fn with_route(rules: Value) -> Value {
    let more = json!({
        "sign_out": {"path": "/session/out"},
        "revocation": {
            "cluster": "authority",
            "credential": {"inline_string": "edge"},
            "public_keys": ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"],
        },
    });
    configuration(rules, more)
}

fn on_post(matcher: Value) -> Value {
    on(
        matcher,
        "headers",
        ":method",
        json!({"string_match": {"exact": "POST"}}),
    )
}

#[test]
fn a_route_needs_a_rule_that_needs_a_token() {
    let rest = json!({"match": prefix("/"), "requires": token()});
    assert_sound(&with_route(json!([rest])));
    let open = json!({"match": prefix("/session/")});
    let finding = "sign_out.path: `rules[0]` lets POST requests through without a token here";
    assert_finding(&with_route(json!([open, rest])), finding);
    let optional = json!({"match": path("/session/out"), "requires": {"requires_any": {
        "requirements": [token(), {"allow_missing": {}}],
    }}});
    assert_finding(&with_route(json!([optional, rest])), finding);
    let elsewhere = json!({"match": any_case(segments("/api")), "requires": token()});
    let finding = "sign_out.path: no rule matches POST requests for this path";
    assert_finding(&with_route(json!([elsewhere])), finding);
    let mut unmatched = with_route(json!([elsewhere]));
    unmatched["allow_unmatched"] = json!(true);
    assert_finding(
        &unmatched,
        "sign_out.path: no rule matches this path, and without one",
    );
}

#[test]
fn a_route_for_which_users_have_to_sign_in_again_is_told() {
    let fresh = json!({"provider_name": "idp", "max_authentication_age": "300s"});
    let whole = with_route(json!([{"match": prefix("/"), "requires": fresh}]));
    assert_finding(
        &whole,
        "sign_out.path: `rules[0]` asks here how the user has signed in",
    );
    let before = json!({"match": prefix("/session/"), "requires": token()});
    let rest = json!({"match": prefix("/"), "requires": fresh});
    assert_sound(&with_route(json!([before, rest])));
}

#[test]
fn what_a_rule_with_conditions_does_is_not_certain() {
    let rest = json!({"match": prefix("/"), "requires": token()});
    let open = json!({"match": on_post(prefix("/session/"))});
    assert_sound(&with_route(json!([open, rest])));
    let closed = json!({"match": on_post(prefix("/session/")), "requires": token()});
    assert_sound(&with_route(json!([closed, rest])));
}
