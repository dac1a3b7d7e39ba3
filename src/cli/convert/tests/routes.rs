use super::*;

/// An Envoy with the filter `jwt`, which asks for a token everywhere, and these routes.
fn envoy(routes: &Value) -> Value {
    let map = json!({"strict": {"provider_and_audiences": {
        "provider_name": "idp", "audiences": ["strict"],
    }}});
    let filter = native(&json!({}), &json!({"requirement_map": map}));
    let filter: Value = serde_json::from_str(&filter).unwrap();
    json!({
        "http_filters": filter["http_filters"],
        "route_config": {"virtual_hosts": [{"domains": ["*"], "routes": routes}]},
    })
}

fn of(routes: &Value) -> Outcome {
    Outcome::of(&envoy(routes).to_string())
}

fn asking(settings: &Value) -> Value {
    json!({"jwt": settings})
}

fn strict() -> Value {
    asking(&json!({"requirement_name": "strict"}))
}

fn open() -> Value {
    asking(&json!({"disabled": true}))
}

fn chosen(outcome: &Outcome) -> Value {
    let chosen = outcome.valid().get("requirement_by_route_name");
    chosen.cloned().unwrap_or_default()
}

const ROUTES: &str = "1: route_config.virtual_hosts[0].routes";

#[test]
fn routes_of_one_name_never_need_less_than_each_of_them_does() {
    for (settings, expected) in [
        // Another without settings needs what the rules say.
        ([Some(open()), None], json!(null)),
        ([None, Some(open())], json!(null)),
        ([Some(open()), Some(strict())], json!({"a": "strict"})),
        ([Some(strict()), None], json!({"a": "nothing-passes"})),
        (
            [
                Some(strict()),
                Some(asking(&json!({"requirement_name": "other"}))),
            ],
            json!({"a": "nothing-passes"}),
        ),
    ] {
        let routes = settings.clone().map(|settings| match settings {
            Some(settings) => json!({"name": "a", "typed_per_filter_config": settings}),
            None => json!({"name": "a"}),
        });
        // In one virtual host, and in another listener.
        let mut other = envoy(&json!([routes[0]]));
        other["another"] = json!({"route_config": {"virtual_hosts": [{"routes": [routes[1]]}]}});
        for outcome in [of(&json!(routes)), Outcome::of(&other.to_string())] {
            assert_eq!(chosen(&outcome), expected, "{settings:?}");
            assert!(!outcome.differences.is_empty(), "{settings:?}");
            assert!(outcome.openings.is_empty(), "{settings:?}");
        }
    }
    let same = json!({"name": "a", "typed_per_filter_config": open()});
    let outcome = of(&json!([same, same]));
    outcome.differs_only_in(&[]);
    assert_eq!(chosen(&outcome), json!({"a": {"disabled": true}}));
}

#[test]
fn what_a_cluster_asks_for_counts_and_clusters_that_disagree_get_the_stricter() {
    let route = |clusters: &Value| {
        json!([{
            "name": "a", "typed_per_filter_config": open(),
            "route": {"weightedClusters": {"clusters": clusters}},
        }])
    };
    let cluster = json!({"name": "up", "typedPerFilterConfig": strict()});
    let outcome = of(&route(&json!([cluster, cluster])));
    outcome.differs_only_in(&[]);
    assert_eq!(chosen(&outcome), json!({"a": "strict"}));
    let outcome = of(&route(&json!([cluster, {"name": "other"}])));
    outcome.differs_only_in(&[&format!("{ROUTES}[0]: its clusters need different things")]);
    assert_eq!(chosen(&outcome), json!({"a": "strict"}));
}

#[test]
fn settings_at_any_other_path_open_what_they_closed() {
    let mirrored = json!([{
        "name": "a", "route": {"new": [{"typed_per_filter_config": strict()}]},
    }]);
    let outcome = of(&mirrored);
    outcome.differs_only_in(&[&format!(
        "{ROUTES}[0].route.new[0].typed_per_filter_config.jwt: "
    )]);
    assert_eq!(outcome.openings.len(), 1);
    let mut patched = envoy(&json!([]));
    patched["patch"] = json!({"value": {"typed_per_filter_config": strict()}});
    assert_eq!(Outcome::of(&patched.to_string()).openings.len(), 1);
}

#[test]
fn a_route_without_a_name_that_asks_for_more_than_the_rules_is_opened() {
    let outcome = of(&json!([{"typed_per_filter_config": strict()}]));
    outcome.differs_only_in(&[&format!("{ROUTES}[0]: has no `name`")]);
    assert_eq!(outcome.openings.len(), 1);
    let outcome = of(&json!([{"typed_per_filter_config": open()}]));
    outcome.differs_only_in(&[&format!("{ROUTES}[0]: has no `name`")]);
    assert_eq!(outcome.openings.len(), 0);
    let outcome = of(&json!([{"name": "a", "typed_per_filter_config": asking(&json!({}))}]));
    assert_eq!(chosen(&outcome), json!({"a": "nothing-passes"}));
    outcome.differs_only_in(&[&format!("{ROUTES}[0]: asks for something")]);
}

#[test]
fn the_settings_further_in_count_as_in_envoy() {
    let wrapped = |value: Value| {
        let mut settings = value;
        settings["@type"] = json!("type.googleapis.com/envoy.config.route.v3.FilterConfig");
        asking(&settings)
    };
    let requirement = json!({"requirement_name": "strict"});
    let structure = json!({
        "@type": "type.googleapis.com/xds.type.v3.TypedStruct", "value": requirement,
        "type_url": "x/envoy.extensions.filters.http.jwt_authn.v3.PerRouteConfig",
    });
    for (outer, inner, expected) in [
        (
            open(),
            wrapped(json!({"config": {}})),
            json!({"disabled": true}),
        ),
        (strict(), wrapped(json!({"config": {}})), json!("strict")),
        (
            open(),
            wrapped(json!({"config": requirement})),
            json!("strict"),
        ),
        (
            strict(),
            wrapped(json!({"disabled": true, "config": requirement})),
            json!({"disabled": true}),
        ),
        (
            wrapped(json!({"disabled": true})),
            strict(),
            json!("strict"),
        ),
        (open(), asking(&structure), json!("strict")),
    ] {
        let mut text = envoy(&json!([{"name": "a", "typed_per_filter_config": inner}]));
        text["route_config"]["typed_per_filter_config"] = outer;
        let outcome = Outcome::of(&text.to_string());
        outcome.differs_only_in(&[]);
        assert_eq!(chosen(&outcome), json!({"a": expected}), "{text}");
    }
}

#[test]
fn what_is_not_in_the_files_is_told() {
    let mut text = envoy(&json!([]));
    text["rds"] = json!({"route_config_name": "x"});
    text["scoped_routes"] = json!({"scoped_rds": {}});
    text["route_config"]["vhds"] = json!({});
    text["route_config"]["virtual_hosts"][0]["matcher"] = json!({"matcher_tree": {"a": {
        "@type": "type.googleapis.com/envoy.config.route.v3.Route", "name": "a",
        "typed_per_filter_config": strict(),
    }}});
    let outcome = Outcome::of(&text.to_string());
    outcome.differs_only_in(&[
        "1: rds: leads to routes",
        "1: scoped_routes.scoped_rds: leads to routes",
        "1: route_config.vhds: leads to routes",
        "1: route_config.virtual_hosts[0].matcher: is a tree",
    ]);
    assert_eq!(chosen(&outcome), json!({"a": "strict"}));
    text["route_config"]["name"] = json!("x");
    assert_eq!(Outcome::of(&text.to_string()).differences.len(), 3);
}

#[test]
fn a_filter_that_not_every_request_reaches_is_told() {
    let text = envoy(&json!([{"name": "a", "typed_per_filter_config": strict()}]));
    let typed = &text["http_filters"][0]["typed_config"];
    for (filter, path) in [
        (
            json!({"name": "jwt", "typed_config": {"extension_config": {
                "name": "other", "typed_config": typed,
            }}}),
            "typed_config.extension_config",
        ),
        (
            json!({"name": "jwt", "config_discovery": {"default_config": typed}}),
            "config_discovery",
        ),
        (
            json!({"name": "jwt", "disabled": true, "typed_config": typed}),
            "disabled",
        ),
    ] {
        let mut text = text.clone();
        text["http_filters"][0] = filter;
        let outcome = Outcome::of(&text.to_string());
        outcome.differs_only_in(&[&format!("1: http_filters[0].{path}: ")]);
        assert_eq!(chosen(&outcome), json!({"a": "strict"}), "{path}");
    }
}

#[test]
fn what_is_lost_in_a_rule_opens() {
    for rule in [
        json!({"requires": {"provider_name": "idp"}}),
        json!({"match": {"prefix": "/", "headers": [
            {"name": "a", "string_match": {"custom": {"name": "x"}}},
        ]}}),
        json!({"match": {"path_match_policy": {"name": "x"}}}),
        json!({"match": {"prefix": "/"}, "requires": {"provider_name": {}}}),
        json!({"match": {"prefix": "/", "unheard_of": {}}}),
    ] {
        let outcome = Outcome::of(&native(&json!({}), &json!({"rules": [rule]})));
        assert_eq!(
            outcome.openings.len(),
            1,
            "{rule}: {:#?}",
            outcome.differences
        );
    }
}
