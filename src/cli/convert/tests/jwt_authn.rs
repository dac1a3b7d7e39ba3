use super::*;

#[test]
fn what_jwt_authn_does_unasked_is_said_in_the_translation() {
    let keys = jwk_set(&[&es256()]);
    let filter = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": {"idp": {"issuer": "", "localJwks": {"inline_string": keys}}},
        "rules": {"match": {"prefix": "/api"}, "requires": {"provider_name": "idp"}},
    });
    let outcome = Outcome::of(&filter.to_string());
    outcome.differs_only_in(&[]);
    let expected = json!({
        "allow_unmatched": true,
        "providers": {"idp": {
            "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
            "from_params": ["access_token"],
            "local_jwks": {"inline_string": keys},
            "require_expiration": false,
        }},
        "rules": [{"match": {"prefix": "/api"}, "requires": {"provider_name": "idp"}}],
    });
    assert_eq!(*outcome.valid(), expected);
    for part in ["that no rule matches", "never expire", "`access_token`"] {
        assert!(outcome.notes(part), "{part}");
    }
    // A rule that matches everything leaves nothing to say so of.
    let outcome = Outcome::of(&native(&json!({}), &json!({})));
    assert_eq!(outcome.valid().get("allow_unmatched"), None);
    assert!(outcome.notes("`CONNECT`"));
}

#[test]
fn every_spelling_of_protobuf_is_translated_to_the_plain_one() {
    let provider = json!({
        "localJwks": null, "local_jwks": null,
        "remoteJwks": {
            "httpUri": {"uri": "https://a/", "cluster": "a", "timeout": {"seconds": 1, "nanos": 500_000_000}},
            "cacheDuration": {"seconds": "300"},
            "asyncFetch": {"failedRefetchDuration": "2s"},
            "retryPolicy": {"numRetries": {"value": 3}, "retryBackOff": {"baseInterval": "1s"}},
        },
        "fromHeaders": {"name": "x-token", "valuePrefix": "T "},
        "from_headers": null,
        "audiences": "api",
        "clockSkewSeconds": "30",
        "forward": "true",
        "requireExpiration": true,
        "require_expiration": null,
        "maxLifetime": {"seconds": 3600},
    });
    let outcome = Outcome::of(&native(&provider, &json!({"bypassCorsPreflight": true})));
    outcome.differs_only_in(&[]);
    let configuration = outcome.valid();
    assert_eq!(configuration["bypass_cors_preflight"], true);
    let expected = json!({
        "issuer": "https://idp.example",
        "remote_jwks": {
            "http_uri": {"uri": "https://a/", "cluster": "a", "timeout": "1.5s"},
            "cache_duration": "300s",
            "async_fetch": {"failed_refetch_duration": "2s"},
            "retry_policy": {"num_retries": 3, "retry_back_off": {"base_interval": "1s"}},
        },
        "from_headers": [{"name": "x-token", "value_prefix": "T "}],
        "audiences": ["api"],
        "clock_skew_seconds": 30,
        "forward": true,
        "require_expiration": true,
        "max_lifetime": "3600s",
    });
    assert_eq!(configuration["providers"]["idp"], expected);
}

#[test]
fn a_filter_is_found_in_whatever_wraps_it() {
    let filter: Value = serde_json::from_str(&native(&json!({}), &json!({}))).unwrap();
    let typed = &filter["http_filters"][0]["typed_config"];
    let mut bare = typed.clone();
    bare.as_object_mut().unwrap().remove("@type");
    let wrapped = json!({
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct", "type_url": typed["@type"],
        "value": bare,
    });
    let patch = |value: &Value| {
        json!({"kind": "EnvoyFilter", "spec": {"configPatches": [
            {"patch": {"operation": "INSERT_BEFORE", "value": {"typed_config": value}}},
        ]}})
    };
    let map = json!({"kind": "ConfigMap", "data": {"envoy.json": filter.to_string()}});
    let list = json!({"kind": "List", "items": [map]});
    let expected = Outcome::of(&filter.to_string()).valid().clone();
    for text in [patch(typed), patch(&wrapped), map, list] {
        assert_eq!(*Outcome::of(&text.to_string()).valid(), expected, "{text}");
    }
}

#[test]
fn what_a_module_cannot_do_is_a_difference_with_its_path() {
    let provider = json!({
        "payload_in_metadata": "x", "from_cookies": ["session"], "clock_skew_seconds": 0,
        "isuer": "x",
    });
    let beside = json!({
        "rules": [
            {"match": {"prefix": "/a"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "idp"}, {"extract_only_without_validation": {}},
            ]}}},
            {"match": {"path_match_policy": {"name": "other"}}},
            {"match": {"prefix": "/b", "grpc": {}}, "requirement_name": "r"},
        ],
        "requirement_map": {"r": {"requires_all": {"requirements": [{"provider_name": "idp"}]}}},
    });
    let outcome = Outcome::of(&native(&provider, &beside));
    let at = "1: http_filters[0].typed_config";
    outcome.differs_only_in(&[
        &format!("{at}.providers.idp.payload_in_metadata: a WebAssembly module cannot write"),
        &format!("{at}.providers.idp.from_cookies: a cookie with a token went on"),
        &format!("{at}.providers.idp.isuer: is not known here"),
        &format!("{at}: `extract_only_without_validation`"),
        &format!("{at}.rules[1].match.path_match_policy: only URI templates"),
    ]);
    let configuration = outcome.valid();
    assert_eq!(
        configuration["providers"]["idp"].get("clock_skew_seconds"),
        None
    );
    assert_eq!(
        configuration["rules"],
        json!([
            {"match": {"prefix": "/a"}, "requires": {"requires_any": {"requirements": [
                {"provider_name": "idp"}, {"allow_missing_or_failed": {}},
            ]}}},
            {"match": {"prefix": "/b"}, "requirement_name": "r"},
        ])
    );
}

#[test]
fn keys_in_a_file_are_copied_from_it_or_asked_for_in_a_variable() {
    let keys = jwk_set(&[&es256()]);
    let provider = json!({"local_jwks": {"filename": "/etc/keys.json"}});
    let text = native(&provider, &json!({}));
    let read = |name: &str| (name == "/etc/keys.json").then(|| format!("{keys}\n"));
    let outcome = Outcome::with_files(&text, &read);
    outcome.differs_only_in(&[]);
    let local = |outcome: &Outcome| outcome.valid()["providers"]["idp"]["local_jwks"].clone();
    assert_eq!(local(&outcome), json!({"inline_string": keys}));
    for file in [None, Some("no keys".to_owned())] {
        let outcome = Outcome::with_files(&text, &|_| file.clone());
        outcome.differs_only_in(&[
            "1: http_filters[0].typed_config.providers.idp.local_jwks.filename: a WebAssembly",
        ]);
        assert_eq!(local(&outcome), json!({"environment_variable": "JWKS_IDP"}));
    }
}

#[test]
fn what_routes_ask_for_is_chosen_by_their_names() {
    let settings = |value: Value| json!({"jwt": value});
    let filter: Value = serde_json::from_str(&native(
        &json!({}),
        &json!({"requirement_map": {"strict": {"provider_and_audiences": {
            "provider_name": "idp", "audiences": ["strict"],
        }}}}),
    ))
    .unwrap();
    let text = json!({
        "http_filters": filter["http_filters"],
        "route_config": {"virtual_hosts": [
            {"routes": [
                {"name": "a", "typed_per_filter_config": settings(json!({"requirement_name": "strict"}))},
                {"name": "b", "typed_per_filter_config": settings(json!({"disabled": true}))},
                {"typed_per_filter_config": settings(json!({"disabled": true}))},
                {"name": "e", "typed_per_filter_config": settings(json!({"disabled": true}))},
                {"name": "c", "typed_per_filter_config": {"other": {"disabled": true}}},
            ]},
            {
                "routes": [{"name": "d"}, {"name": "b"}],
                "typedPerFilterConfig": settings(json!({"requirementName": "strict"})),
            },
        ]},
    });
    let outcome = Outcome::of(&text.to_string());
    outcome.differs_only_in(&[
        "1: route_config.virtual_hosts[0].routes[2]: has no `name`",
        "1: route_config.virtual_hosts[0].routes[1]: another route of this name",
    ]);
    let configuration = outcome.valid();
    assert_eq!(
        configuration["requirement_by_route_name"],
        json!({"a": "strict", "b": "strict", "d": "strict", "e": {"disabled": true}})
    );
}
