//! Methods that no client sends.

use super::*;

fn on_method(condition: Value) -> Value {
    let rules = json!([{
        "match": on(prefix("/"), "headers", ":method", condition),
        "requires": token(),
    }]);
    configuration(rules, json!({}))
}

#[test]
fn a_method_in_lower_case_is_told_however_it_is_matched() {
    for (condition, hint) in [
        (json!({"exact_match": "get"}), "GET"),
        (json!({"string_match": {"exact": "post"}}), "POST"),
        (json!({"string_match": {"exact": "purge"}}), "PURGE"),
        (json!({"string_match": {"prefix": "del"}}), "DELETE"),
        (json!({"string_match": {"suffix": "tch"}}), "PATCH"),
        (json!({"string_match": {"contains": "ea"}}), "HEAD"),
        (
            json!({"string_match": {"exact": "get"}, "invert_match": true}),
            "GET",
        ),
        (json!({"safe_regex_match": {"regex": "GET|post"}}), "POST"),
        (json!({"safe_regex_match": {"regex": "[a-z]+"}}), "GET"),
    ] {
        let found = review(&on_method(condition.clone()));
        assert_eq!(found.len(), 1, "{condition}: {found:?}");
        let is_told = found[0].starts_with("rules[0].match.headers[0]: is for `");
        let hint = format!("hint: `{hint}`");
        assert!(
            is_told && found[0].ends_with(&hint),
            "{condition}: {found:?}"
        );
    }
}

#[test]
fn a_method_that_clients_send_is_not_told() {
    for condition in [
        json!({"exact_match": "GET"}),
        json!({"string_match": {"exact": "get", "ignore_case": true}}),
        json!({"string_match": {"exact": "BREW"}}),
        json!({"string_match": {"exact": "brew"}}),
        json!({"safe_regex_match": {"regex": "GET|HEAD"}}),
        json!({"safe_regex_match": {"regex": "(?i)get"}}),
        json!({"safe_regex_match": {"regex": "[A-Za-z]+"}}),
        json!({"present_match": true}),
    ] {
        assert_sound(&on_method(condition));
    }
    let of_another_header = on(
        prefix("/"),
        "headers",
        "x-mode",
        json!({"exact_match": "get"}),
    );
    let rules = json!([{"match": of_another_header, "requires": token()}]);
    assert_sound(&configuration(rules, json!({})));
}
