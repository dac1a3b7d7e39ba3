//! Requirements that ask for nothing without saying so.

use super::*;

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
    for (configuration, path) in [
        (by_name(&nothing), "rules[0].requirement_name"),
        (by_route(&nothing), "requirement_by_route_name.a"),
        (by_metadata(&nothing), "requirement_map.open"),
        (
            by_filter_state(&nothing),
            "filter_state_rules.requires.open",
        ),
    ] {
        let expected = format!("{path}: asks for nothing, so ");
        assert_finding(&configuration, &expected);
    }
    let said = json!({"requirement_by_route_name": {"a": {"disabled": true}}});
    assert_sound(&configuration(json!([rest()]), said));
    for open in [
        all(json!([{}])),
        any(json!([token(), {}])),
        any(json!([all(json!([{}]))])),
    ] {
        for configuration in [by_name(&open), by_route(&open)] {
            let found = review(&configuration);
            let paths = [
                "rules[0].requirement_name: ",
                "requirement_by_route_name.a: ",
            ];
            let is_told = |finding: &String| paths.iter().any(|path| finding.starts_with(path));
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
fn a_sign_in_that_no_client_can_be_told_of_is_told() {
    let asking = |asked: Value| {
        let mut requires = token();
        let members = requires.as_object_mut().unwrap();
        members.extend(asked.as_object().unwrap().clone());
        json!([{"match": prefix("/"), "requires": requires}])
    };
    let ways = json!({"amr_values": {"any_of": ["otp"]}});
    assert_finding(
        &configuration(asking(ways), json!({})),
        "rules[0].requires.amr_values: no client can be told",
    );
    let both = json!({"amr_values": {"any_of": ["otp"]}, "acr_values": ["mfa"]});
    assert_sound(&configuration(asking(both.clone()), json!({})));
    let stripped = json!({"strip_failure_response": true});
    assert_finding(
        &configuration(asking(both), stripped.clone()),
        "strip_failure_response: no client is told",
    );
    assert_sound(&configuration(asking(json!({})), stripped));
}

#[test]
fn alternatives_that_refuse_nothing_are_told() {
    let any = |list: Value| json!({"requires_any": {"requirements": list}});
    let with = |requires: Value| {
        let rules = json!([{"match": prefix("/"), "requires": requires}]);
        configuration(rules, json!({}))
    };
    let (missing, failed) = (
        json!({"allow_missing": {}}),
        json!({"allow_missing_or_failed": {}}),
    );
    let scopes = || json!({"provider_name": "idp", "scopes": {"all_of": ["orders"]}});
    let claims = json!([{"claim_name": "sub", "present": true}]);
    let claims = || json!({"provider_name": "idp", "claims": claims});
    let path = "rules[0].requires.requires_any.requirements";
    for (list, index) in [
        (json!([token(), failed]), 1),
        (json!([failed, scopes()]), 0),
        (json!([token(), missing, failed]), 2),
        (json!([any(json!([token()])), failed]), 1),
    ] {
        let expected = format!("{path}[{index}]: lets every request through, so what stands");
        assert_finding(&with(any(list)), &expected);
    }
    for (list, index) in [
        (json!([scopes(), missing]), 1),
        (json!([missing, token(), claims()]), 0),
        (json!([any(json!([token(), claims()])), missing]), 1),
        (
            json!([
                json!({"requires_all": {"requirements": [claims()]}}),
                missing
            ]),
            1,
        ),
    ] {
        let expected = format!("{path}[{index}]: lets requests without a token through, so a");
        assert_finding(&with(any(list)), &expected);
    }
    let inside =
        with(json!({"requires_all": {"requirements": [token(), any(json!([token(), failed]))]}}));
    let expected =
        "rules[0].requires.requires_all.requirements[1].requires_any.requirements[1]: lets";
    assert_finding(&inside, expected);
    for requires in [
        failed.clone(),
        missing.clone(),
        any(json!([failed])),
        any(json!([missing, failed])),
        any(json!([token(), missing])),
        any(json!([token(), scopes()])),
    ] {
        assert_sound(&with(requires));
    }
}
