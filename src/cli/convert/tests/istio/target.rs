use super::*;

#[test]
fn workloads_that_differ_in_their_policies_get_configurations_of_their_own() {
    let everywhere = "kind: RequestAuthentication\nmetadata: {namespace: istio-system}\n\
                      spec: {jwtRules: [{issuer: 'https://a.example'}]}\n";
    let here = policy(
        "DENY",
        "[{from: [{source: {notRequestPrincipals: ['*']}}]}]",
    );
    let outcome = Outcome::of(&format!("{everywhere}{here}"));
    assert_eq!(outcome.configurations.len(), 2);
    let requires = |index: usize| &outcome.configurations[index]["rules"][0]["requires"];
    assert!(requires(0).get("requires_any").is_some());
    assert_eq!(requires(1)["provider_name"], "a-example");
    // A policy for more workloads than the authentication is not left out.
    let wide = here.replace("selector: {matchLabels: {app: api}}, ", "");
    let outcome = Outcome::of(&(authentication("") + &wide));
    outcome.differs_only_in(&["7: spec.rules[0]: the gate decides in its place only for"]);
    let requires = &outcome.valid()["rules"][0]["requires"];
    assert_eq!(requires["provider_name"], "a-example");
    let alone = Outcome::of(&format!(
        "{}{here}",
        authentication("").replace("shop", "other")
    ));
    assert_eq!(alone.configurations.len(), 1);
    assert!(
        alone.differences[0].contains("no RequestAuthentication"),
        "{:?}",
        alone.differences
    );
}

/// What protects workloads where the gate is not must stay.
#[test]
fn a_policy_is_to_be_deleted_only_where_the_gate_is_for_all_of_its_workloads() {
    let selector = "selector: {matchLabels: {app: api}}, ";
    let deny = policy(
        "DENY",
        "[{from: [{source: {notRequestPrincipals: ['*']}}]}]",
    );
    let allow = policy("ALLOW", "[{from: [{source: {requestPrincipals: ['*']}}]}]");
    let open = policy("ALLOW", "[{to: [{operation: {paths: [/open]}}]}]");
    let narrow = authentication("");
    let wide = |text: &str| {
        assert!(text.contains(selector), "{text}");
        text.replace(selector, "")
    };
    let root = |text: &str| text.replace("namespace: shop", "namespace: istio-system");
    for (text, is_kept) in [
        (narrow.clone() + &deny, false),
        (narrow.clone() + &allow, false),
        (narrow.clone() + &wide(&deny), true),
        (narrow.clone() + &wide(&allow), true),
        (narrow.clone() + &root(&deny), true),
        (narrow.clone() + &root(&wide(&deny)), true),
        (wide(&narrow) + &wide(&deny), false),
        (wide(&narrow) + &deny, false),
        (wide(&narrow) + &root(&wide(&deny)), true),
        (root(&wide(&narrow)) + &wide(&allow), false),
        (root(&wide(&narrow)) + &root(&wide(&allow)), false),
        // Only beside one that asks does one that does not go to the gate.
        (wide(&narrow) + &allow + &wide(&open), true),
        (wide(&narrow) + &wide(&allow) + &wide(&open), false),
    ] {
        let outcome = Outcome::of(&text);
        assert!(!outcome.configurations.is_empty());
        let mut differences = outcome.differences.iter();
        let found = differences.any(|told| told.contains("do not delete it, but narrow it"));
        assert_eq!(found, is_kept, "{text}{:#?}", outcome.differences);
        let is_only = outcome.differences.len() == usize::from(is_kept);
        assert!(is_only, "{text}{:#?}", outcome.differences);
        let told = outcome.notes.iter();
        let deleted = told.filter(|note| note.contains(": delete ")).count();
        let mut kinds = text.matches("kind: AuthorizationPolicy").count();
        kinds -= usize::from(is_kept);
        assert_eq!(deleted, kinds, "{text}{:#?}", outcome.notes);
    }
}

/// Labels are all to be there, and of references one is enough.
#[test]
fn a_policy_counts_where_everything_that_it_could_mean_is_meant() {
    let selector = "selector: {matchLabels: {app: api}}";
    let to = |names: &[&str]| {
        let references = names
            .iter()
            .map(|name| format!("{{kind: Gateway, name: {name}}}"));
        let references: Vec<_> = references.collect();
        format!("targetRefs: [{}]", references.join(", "))
    };
    let deny = policy(
        "DENY",
        "[{from: [{source: {notRequestPrincipals: ['*']}}]}]",
    );
    // The configurations, how many of them ask for a token, and how many openings there are.
    for (own, others, expected) in [
        (to(&["a", "b"]), to(&["a", "b"]), (1, 1, 0)),
        (to(&["b", "a"]), to(&["a", "b"]), (1, 1, 0)),
        (to(&["a"]), to(&["a", "b"]), (1, 1, 0)),
        (to(&["a", "b"]), to(&["a"]), (2, 1, 0)),
        (to(&["a", "b"]), to(&["b", "c"]), (1, 0, 1)),
        (to(&["a"]), to(&["b"]), (1, 0, 0)),
        (selector.to_owned(), to(&["a"]), (1, 0, 1)),
        (
            selector.to_owned(),
            "selector: {matchLabels: {tier: x}}".to_owned(),
            (1, 0, 1),
        ),
        (
            selector.to_owned(),
            "selector: {matchLabels: {app: x}}".to_owned(),
            (1, 0, 0),
        ),
    ] {
        let text = authentication("").replace(selector, &own) + &deny.replace(selector, &others);
        let outcome = Outcome::of(&text);
        let asks = |one: &&Value| one["rules"][0]["requires"].get("provider_name").is_some();
        let configurations = &outcome.configurations;
        let found = (
            configurations.len(),
            configurations.iter().filter(asks).count(),
            outcome.openings.len(),
        );
        assert_eq!(found, expected, "{text}{:#?}", outcome.differences);
    }
}

/// In the root namespace, a class of gateways is that of the waypoints of every namespace, which all
/// services with a waypoint are behind.
#[test]
fn a_class_of_gateways_counts_for_the_services_of_every_namespace() {
    let selector = "selector: {matchLabels: {app: api}}";
    let deny = policy(
        "DENY",
        "[{from: [{source: {notRequestPrincipals: ['*']}}]}]",
    );
    let to = |kind: &str, name: &str| format!("targetRefs: [{{kind: {kind}, name: {name}}}]");
    let class = to("GatewayClass", "istio-waypoint");
    let (service, gateway) = (to("Service", "api"), to("Gateway", "waypoint"));
    // The configurations, how many of them ask for a token, and how many openings there are.
    for (own, others, expected) in [
        (
            ("istio-system", &class),
            ("istio-system", &class),
            (1, 1, 0),
        ),
        (("istio-system", &class), ("shop", &service), (2, 1, 0)),
        (
            ("istio-system", &class),
            ("shop", &to("ServiceEntry", "api")),
            (2, 1, 0),
        ),
        (("shop", &service), ("istio-system", &class), (1, 1, 0)),
        // A gateway may be a waypoint or another one.
        (("istio-system", &class), ("shop", &gateway), (1, 0, 1)),
        (("shop", &gateway), ("istio-system", &class), (1, 0, 1)),
        (("shop", &gateway), ("shop", &service), (1, 0, 1)),
        (("shop", &gateway), ("other", &service), (1, 0, 0)),
        (
            ("shop", &service),
            ("shop", &to("Service", "other")),
            (1, 0, 0),
        ),
        // Elsewhere it is nothing, unless this is the root namespace after all.
        (("shop", &class), ("shop", &class), (1, 1, 2)),
    ] {
        let resource = |text: &str, (namespace, target): (&str, &String)| {
            let text = text.replace("namespace: shop", &format!("namespace: {namespace}"));
            assert!(text.contains(selector), "{text}");
            text.replace(selector, target)
        };
        let text = resource(&authentication(""), own) + &resource(&deny, others);
        let outcome = Outcome::of(&text);
        let asks = |one: &&Value| one["rules"][0]["requires"].get("provider_name").is_some();
        let found = (
            outcome.configurations.len(),
            outcome.configurations.iter().filter(asks).count(),
            outcome.openings.len(),
        );
        assert_eq!(found, expected, "{text}{:#?}", outcome.differences);
    }
}

#[test]
fn resources_that_overlap_are_told() {
    let selecting = |label: &str| {
        let other = authentication("").replace("name: jwt", "name: other");
        let labels = format!("matchLabels: {{{label}}}");
        format!("---\n{}", other.replace("matchLabels: {app: api}", &labels))
    };
    for (other, is_told) in [
        ("tier: web", true),
        ("app: web", false),
        ("app: api", false),
    ] {
        let outcome = Outcome::of(&(authentication("") + &selecting(other)));
        let mut told = outcome.differences.iter();
        let found = told.any(|told| told.contains("an earlier RequestAuthentication is for too"));
        assert_eq!(found, is_told, "{other}: {:#?}", outcome.differences);
    }
}
