use serde_json::json;

use super::*;
use crate::configuration::Variable;

fn search(text: &str) -> Result<Vec<Found>, YamlError> {
    Ok(found(&parts(Path::new("test"), text)?))
}

fn paths(text: &str) -> Vec<String> {
    let found = search(text).unwrap();
    found.into_iter().map(|found| found.path).collect()
}

fn one(text: &str) -> Found {
    let mut found = search(text).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_file_may_be_nothing_but_a_configuration() {
    assert_eq!(paths(r#"{"providers": {}}"#), [""]);
    assert_eq!(paths("providers: {a: {}}\nrules: []\n"), [""]);
    assert_eq!(paths("- 1\n- a\n"), [] as [&str; 0]);
}

#[test]
fn configurations_are_found_in_the_files_of_envoy_istio_and_envoy_gateway() {
    let of_type = |name: &str, value: Value| {
        let name = format!("type.googleapis.com/google.protobuf.{name}");
        json!({"filters": [{"configuration": {"@type": name, "value": value}}]}).to_string()
    };
    let inner = json!({"providers": {"a": {}}});
    for text in [
        of_type("Struct", inner.clone()),
        of_type("StringValue", inner.to_string().into()),
        of_type("BytesValue", STANDARD.encode(inner.to_string()).into()),
    ] {
        let found = one(&text);
        assert_eq!(found.path, "filters[0].configuration");
        assert_eq!(found.text, inner.to_string());
    }
    assert_eq!(
        paths(&of_type("Struct", json!({"other": 1}))),
        [] as [&str; 0]
    );
    assert_eq!(
        paths("kind: A\n---\nspec: {pluginConfig: {providers: {}}}\n"),
        ["spec.pluginConfig"]
    );
    assert_eq!(
        paths("spec: {wasm: [{config: {providers: {}}}]}"),
        ["spec.wasm[0].config"]
    );
}

/// Otherwise a file with two filters would be valid although one of them is not.
#[test]
fn a_configuration_of_portcullis_that_is_missing_or_misspelt_is_not_passed_over() {
    let vm = "{code: {local: {filename: /etc/envoy/portcullis.wasm}}}";
    for (text, path, expected) in [
        (
            format!("config: {{name: gate, vm_config: {vm}}}"),
            "config.configuration",
            "",
        ),
        (
            format!(
                "config: {{vmConfig: {vm}, configuration: \
                 {{'@type': a/google.protobuf.StringValue, value: 'provid'}}}}"
            ),
            "config.configuration",
            "provid",
        ),
        (
            "spec: {url: 'oci://x/portcullis:1', pluginConfig: {provider: {}}}".to_owned(),
            "spec.pluginConfig",
            r#"{"provider":{}}"#,
        ),
        (
            "wasm: [{name: portcullis, code: {}, config: null}]".to_owned(),
            "wasm[0].config",
            "null",
        ),
    ] {
        let found = one(&text);
        assert_eq!((&*found.path, &*found.text), (path, expected));
    }
    let other = "spec: {url: 'oci://x/other:1', pluginConfig: {provider: {}}}";
    assert_eq!(paths(other), [] as [&str; 0]);
}

#[test]
fn repeated_keys_are_an_error_and_not_a_choice() {
    assert!(search("providers: {}\nproviders: {}\n").is_err());
    assert!(search("a: [\n").is_err());
    // Inside of text they are the filter's to find.
    let text = r#"{"providers": {}, "providers": {}}"#;
    let any = json!({"@type": "a/google.protobuf.StringValue", "value": text});
    assert_eq!(one(&json!({"configuration": any}).to_string()).text, text);
}

#[test]
fn what_lets_requests_through_without_the_filter_is_told() {
    let envoy = |filter: &str, plugin: &str| {
        format!(
            "http_filters: [{{name: gate, {filter} typed_config: {{config: {{{plugin} \
             configuration: {{'@type': a/google.protobuf.Struct, value: {{providers: {{}}}}}}}}}}}}]"
        )
    };
    let config = "http_filters[0].typed_config.config";
    for (text, expected) in [
        (
            envoy("", "failure_policy: FAIL_OPEN,"),
            Some(format!("{config}.failure_policy")),
        ),
        (
            envoy("", "failurePolicy: FAIL_OPEN,"),
            Some(format!("{config}.failurePolicy")),
        ),
        (
            envoy("", "failure_policy: 3,"),
            Some(format!("{config}.failure_policy")),
        ),
        (
            envoy("", "fail_open: true,"),
            Some(format!("{config}.fail_open")),
        ),
        (
            envoy("disabled: true,", ""),
            Some("http_filters[0].disabled".to_owned()),
        ),
        (
            envoy("disabled: 'true',", ""),
            Some("http_filters[0].disabled".to_owned()),
        ),
        (
            envoy("disabled: yes,", ""),
            Some("http_filters[0].disabled".to_owned()),
        ),
        (
            envoy("", "fail_open: On,"),
            Some(format!("{config}.fail_open")),
        ),
        (
            envoy("", "fail_open: 'T',"),
            Some(format!("{config}.fail_open")),
        ),
        (
            envoy("", "failure_policy: Fail_Open,"),
            Some(format!("{config}.failure_policy")),
        ),
        (
            envoy("", "failure_policy: '3',"),
            Some(format!("{config}.failure_policy")),
        ),
        (
            envoy("isOptional: true,", ""),
            Some("http_filters[0].is_optional".to_owned()),
        ),
        (envoy("", "failure_policy: FAIL_RELOAD,"), None),
        (envoy("disabled: false,", "fail_open: false,"), None),
        (
            "spec: {failStrategy: FAIL_OPEN, pluginConfig: {providers: {}}}".to_owned(),
            Some("spec.failStrategy".to_owned()),
        ),
        (
            "spec: {wasm: {failStrategy: FAIL_OPEN, pluginConfig: {providers: {}}}}".to_owned(),
            Some("spec.wasm.failStrategy".to_owned()),
        ),
        (
            "spec: {failStrategy: FAIL_CLOSE, pluginConfig: {providers: {}}}".to_owned(),
            None,
        ),
        (
            "spec: {wasm: [{failOpen: true, config: {providers: {}}}]}".to_owned(),
            Some("spec.wasm[0].failOpen".to_owned()),
        ),
        (
            "spec: {wasm: [{failOpen: false, config: {providers: {}}}]}".to_owned(),
            None,
        ),
    ] {
        let openings = one(&text).surroundings.openings;
        let paths = openings.into_iter().map(|(path, _)| path);
        assert_eq!(
            paths.collect::<Vec<_>>(),
            Vec::from_iter(expected),
            "{text}"
        );
    }
}

#[test]
fn a_route_that_switches_the_filter_off_is_told() {
    let plugin = json!({"configuration": {
        "@type": "a/google.protobuf.Struct", "value": {"providers": {}},
    }});
    let routes = |name: &str, disabled: bool| {
        let filter = json!({"name": "gate", "typed_config": {"config": plugin}});
        let settings = json!({name: {"disabled": disabled}});
        let document = json!({
            "http_filters": [filter],
            "routes": [{"typed_per_filter_config": settings}],
        });
        one(&document.to_string()).surroundings.openings
    };
    let openings = routes("gate", true);
    assert_eq!(
        openings[0].0,
        "routes[0].typed_per_filter_config[\"gate\"].disabled"
    );
    assert_eq!(routes("gate", false), []);
    assert_eq!(routes("other", true), []);
}

#[test]
fn variables_are_those_that_the_file_lets_the_module_see() {
    let host = |name: &str| match name {
        "HOST" | "HIDDEN" => Variable::Set("of the host".to_owned()),
        _ => Variable::Unknown,
    };
    let plugin = json!({"@type": "a/google.protobuf.Struct", "value": {"providers": {}}});
    let envoy = json!({
        "vm_config": {"environment_variables": {
            "host_env_keys": ["HOST", "OTHER"], "key_values": {"WRITTEN": "x"},
        }},
        "configuration": plugin,
    });
    let istio = json!({
        "url": "oci://registry.example/portcullis",
        "vmConfig": {"env": [
            {"name": "HOST", "valueFrom": "HOST"},
            {"name": "OTHER", "valueFrom": "HOST"},
            {"name": "WRITTEN", "value": "x"},
        ]},
        "pluginConfig": {"providers": {}},
    });
    for file in [envoy, istio] {
        let surroundings = one(&file.to_string()).surroundings;
        for (name, expected) in [
            ("HOST", Variable::Set("of the host".to_owned())),
            ("WRITTEN", Variable::Set("x".to_owned())),
            ("OTHER", Variable::Unknown),
            ("HIDDEN", Variable::Unset),
        ] {
            assert_eq!(
                surroundings.variable(name, host),
                expected,
                "{name}: {file}"
            );
        }
    }
    let gateway = "wasm: [{env: {hostKeys: [HOST]}, config: {providers: {}}}]";
    let surroundings = one(gateway).surroundings;
    assert_eq!(surroundings.variable("HIDDEN", host), Variable::Unset);
    assert_eq!(
        surroundings.variable("HOST", host),
        Variable::Set("of the host".to_owned())
    );
    // Where the file does not tell, only Envoy knows.
    let alone = one("providers: {}").surroundings;
    assert_eq!(alone.variable("OTHER", host), Variable::Unknown);
}

#[test]
fn clusters_are_those_of_the_bootstrap_unless_others_may_come() {
    let plugin = json!({"configuration": {
        "@type": "a/google.protobuf.Struct", "value": {"providers": {}},
    }});
    let at = |address: &str, more: Value| {
        let endpoint = json!({"endpoint": {"address": {"socket_address": {"address": address}}}});
        let endpoints = json!([{"lb_endpoints": [endpoint]}]);
        let mut cluster = json!({"name": address, "load_assignment": {"endpoints": endpoints}});
        cluster
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        cluster
    };
    let clusters = json!([
        at("127.0.0.1", json!({})),
        at("::1", json!({})),
        at("10.0.0.1", json!({})),
        at("idp.example", json!({"transport_socket": {"name": "tls"}})),
        {"name": "elsewhere", "type": "EDS"},
    ]);
    let mut bootstrap = json!({
        "static_resources": {"clusters": clusters, "listeners": [plugin]},
    });
    let expected = |missing| {
        [
            ("127.0.0.1", None),
            ("::1", None),
            ("10.0.0.1", Some(ClusterFinding::Plaintext)),
            ("idp.example", None),
            ("elsewhere", None),
            ("missing", Some(missing)),
        ]
    };
    let findings = |file: &Value| {
        let surroundings = one(&file.to_string()).surroundings;
        expected(ClusterFinding::Missing).map(|(name, _)| (name, surroundings.cluster(name)))
    };
    assert_eq!(findings(&bootstrap), expected(ClusterFinding::Missing));
    bootstrap["dynamic_resources"] = json!({"lds_config": {}});
    assert_eq!(findings(&bootstrap), expected(ClusterFinding::Missing));
    bootstrap["dynamic_resources"] = json!({"cds_config": {"ads": {}}});
    assert_eq!(findings(&bootstrap), expected(ClusterFinding::Unknown));
    let listener = json!({"resources": [plugin]});
    assert_eq!(
        one(&listener.to_string()).surroundings.cluster("missing"),
        None
    );
}

#[test]
fn a_route_is_missing_only_where_all_of_them_are_known() {
    let plugin = json!({"configuration": {
        "@type": "a/google.protobuf.Struct", "value": {"providers": {}},
    }});
    let file = |more: Value| {
        let routes = json!({"virtual_hosts": [{"routes": [{"name": "known"}, {}]}]});
        let listener = json!({"filters": [plugin], "route_config": routes, "more": more});
        one(&json!({"static_resources": {"listeners": [listener]}}).to_string()).surroundings
    };
    let whole = file(json!({}));
    assert!(whole.lacks_route("gone") && !whole.lacks_route("known"));
    for more in [json!({"rds": {}}), json!({"scopedRoutes": {}})] {
        assert!(!file(more).lacks_route("gone"));
    }
    let alone = one("providers: {}").surroundings;
    assert!(!alone.lacks_route("gone"));
}

/// As Envoy takes it.
#[test]
fn one_element_may_stand_in_place_of_a_list() {
    let bootstrap = json!({"static_resources": {
        "clusters": {"name": "idp"},
        "listeners": {"filters": {
            "config": {
                "vm_config": {"environment_variables": {"hostEnvKeys": "HOST"}},
                "configuration": {
                    "@type": "a/google.protobuf.Struct", "value": {"providers": {}},
                },
            },
            "routes": {"name": "api"},
        }},
    }});
    let surroundings = one(&bootstrap.to_string()).surroundings;
    assert_eq!(surroundings.cluster("idp"), None);
    let host = |_: &str| Variable::Unknown;
    assert_eq!(surroundings.variable("HOST", host), Variable::Unknown);
    assert!(!surroundings.lacks_route("api") && surroundings.lacks_route("other"));
}

#[test]
fn what_becomes_of_clients_certificates_is_told_where_the_file_says_so() {
    let plugin = json!({"configuration": {
        "@type": "a/google.protobuf.Struct", "value": {"providers": {}},
    }});
    let filter = json!({"name": "gate", "typed_config": {"config": plugin}});
    let unseen = |socket: Value, details: Value| {
        let manager = json!({"http_filters": [filter], "forward_client_cert_details": details});
        let chain = json!({
            "filters": [{"name": "manager", "typed_config": manager}], "transport_socket": socket,
        });
        let document = json!({"static_resources": {"listeners": [{"filter_chains": [chain]}]}});
        let surroundings = one(&document.to_string()).surroundings;
        (
            surroundings.asks_for_no_certificate(),
            surroundings.removes_forwarded_certificates(),
        )
    };
    let asking = |key: &str| {
        let context = json!({key: {"trusted_ca": {"filename": "ca.pem"}}});
        json!({"name": "tls", "typed_config": {"common_tls_context": context}})
    };
    for (socket, expected) in [
        (json!(null), true),
        (
            json!({"name": "tls", "typed_config": {"common_tls_context": {}}}),
            true,
        ),
        (asking("validation_context"), false),
        (asking("validationContext"), false),
        (asking("combined_validation_context"), false),
        (asking("validation_context_sds_secret_config"), false),
    ] {
        assert_eq!(unseen(socket.clone(), json!(2)).0, expected, "{socket}");
    }
    for (details, expected) in [
        (json!(null), true),
        (json!("SANITIZE"), true),
        (json!("SANITIZE_SET"), true),
        (json!(3), true),
        (json!("APPEND_FORWARD"), false),
        (json!("forward_only"), false),
        (json!(4), false),
        (json!("1"), false),
    ] {
        assert_eq!(
            unseen(json!(null), details.clone()).1,
            expected,
            "{details}"
        );
    }
    // Which listener a filter of Istio is in is not in its file.
    let surroundings = one("spec: {pluginConfig: {providers: {}}}").surroundings;
    assert!(!surroundings.asks_for_no_certificate());
    assert!(!surroundings.removes_forwarded_certificates());
}
