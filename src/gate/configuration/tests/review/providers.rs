//! Providers, and the locations of their tokens.

use super::*;

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
fn locations_of_tokens_that_are_one_for_some_upstreams_are_told() {
    let with = |locations: Value| {
        let rules = json!([{"match": {"prefix": "/"}, "requires": token()}]);
        let mut configuration = configuration(rules, json!({}));
        let provider = configuration["providers"]["idp"].as_object_mut().unwrap();
        provider.extend(locations.as_object().unwrap().clone());
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
fn bound_tokens_that_any_bearer_may_use_are_told() {
    let rules = json!([{"match": prefix("/"), "requires": token()}]);
    let mut with = configuration(rules, json!({}));
    with["providers"]["idp"]["allow_bound_tokens"] = json!(true);
    assert_finding(
        &with,
        "providers.idp.allow_bound_tokens: any bearer may use what its issuer has bound",
    );
    with["providers"]["idp"]["allow_bound_tokens"] = json!(false);
    assert_sound(&with);
}

#[test]
fn a_location_where_no_token_that_is_bound_to_a_key_is_found_is_told() {
    let with = |headers: Value| {
        let rules = json!([{"match": {"prefix": "/"}, "requires": token()}]);
        let mut configuration = configuration(rules, json!({}));
        let provider = &mut configuration["providers"]["idp"];
        provider["proof_of_possession"] = json!({"dpop": {}});
        provider["from_headers"] = headers;
        configuration
    };
    let bearer = json!({"name": "authorization", "value_prefix": "Bearer "});
    let dpop = json!({"name": "authorization", "value_prefix": "dpop "});
    let expected = "providers.idp.from_headers: names `authorization`";
    assert_finding(&with(json!([bearer])), expected);
    assert_sound(&with(json!([bearer, dpop])));
    assert_sound(&with(json!([{"name": "x-token"}])));
}

#[test]
fn a_clock_skew_that_is_a_lifetime_is_told() {
    let rules = json!([{"match": {"prefix": "/"}, "requires": token()}]);
    let mut configuration = configuration(rules, json!({}));
    for (seconds, is_told) in [(600, false), (601, true), (u32::MAX, true)] {
        configuration["providers"]["idp"]["clock_skew_seconds"] = json!(seconds);
        if is_told {
            let finding = "providers.idp.clock_skew_seconds: a token is good for so long after";
            assert_finding(&configuration, finding);
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
fn a_token_that_reaches_the_upstream_without_being_accepted_is_told() {
    let all = |list: Value| json!({"requires_all": {"requirements": list}});
    let with = |requires: Value, forward: bool| {
        let rules = json!([
            {"match": prefix("/open/"), "requires": requires},
            {"match": prefix("/"), "requires": token()},
        ]);
        let mut configuration = configuration(rules, json!({}));
        configuration["providers"]["idp"]["forward"] = json!(forward);
        configuration
    };
    let failed = json!({"allow_missing_or_failed": {}});
    let any = json!({"requires_any": {"requirements": [failed]}});
    for requires in [&failed, &any, &all(json!([failed]))] {
        let expected = "providers.idp.forward: under `allow_missing_or_failed`, a token that was";
        assert_finding(&with(requires.clone(), true), expected);
        assert_sound(&with(requires.clone(), false));
    }
    assert_sound(&with(json!({"allow_missing": {}}), true));
}
