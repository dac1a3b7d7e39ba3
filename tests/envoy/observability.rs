//! What the operator's tools see: metrics with labels, and access logs that say who and why.

use serde_json::{Value, json};

use crate::support::{
    Bootstrap, Envoy, JwksServer, Listener, Plugin, Request, Token, configuration, jwks, until,
};

/// The rules of `envoy/envoy.yaml` that make labels of parts of names, read without a YAML parser:
/// each is a line `- tag_name: …` and a line `regex: '…'`.
fn stats_tags() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/envoy.yaml");
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let (_, section) = text.split_once("stats_tags:").expect("stats_tags");
    let values = |key: &str| {
        let lines = section
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key));
        let values = lines.map(|value| value.trim().trim_matches('\'').to_owned());
        values.collect::<Vec<_>>()
    };
    let (names, patterns) = (values("- tag_name:"), values("regex:"));
    assert_eq!(names.len(), patterns.len());
    assert!(!names.is_empty());
    let tags = names.iter().zip(patterns);
    tags.map(|(name, regex)| json!({"tag_name": name, "regex": regex}))
        .collect()
}

#[test]
fn metrics_have_labels_in_prometheus() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let mut configuration = configuration();
    let providers = configuration["providers"].as_object_mut().unwrap();
    let mut dotted = providers["demo"].clone();
    let members = dotted.as_object_mut().unwrap();
    members.remove("local_jwks");
    let uri = json!({"uri": "http://issuer.example/jwks", "cluster": "issuer", "timeout": "5s"});
    members.insert("remote_jwks".to_owned(), json!({"http_uri": uri}));
    providers.insert("id.example".to_owned(), dotted);
    configuration["rules"].as_array_mut().unwrap().push(json!({
        "match": {"prefix": "/remote"}, "requires": {"provider_name": "id.example"},
    }));
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration));
    let bootstrap = bootstrap.with_cluster("issuer", server.address());
    let envoy = Envoy::start(&bootstrap.with_stats_tags(stats_tags()));
    let mut client = envoy.client();
    let token = Token::signed_by("es256");
    for (path, status) in [("/api", 200), ("/remote", 200), ("/public", 200)] {
        assert_eq!(
            client.send(&Request::get(path).bearer(&token)).status,
            status,
            "{path}"
        );
    }
    let expired = token.expiring_in(-90);
    assert_eq!(
        client.send(&Request::get("/remote").bearer(expired)).status,
        401
    );
    let lines = [
        r#"portcullis_requests{verdict="allowed",reason="verified",provider="demo"} 1"#,
        r#"portcullis_requests{verdict="allowed",reason="verified",provider="id.example"} 1"#,
        r#"portcullis_requests{verdict="refused",reason="token_expired",provider="id.example"} 1"#,
        r#"portcullis_requests{verdict="allowed",reason="no_requirement"} 1"#,
        r#"portcullis_requests{verdict="refused",reason="no_rule"} 0"#,
        r#"portcullis_keys_fetches{result="success",provider="id.example"} 1"#,
        r#"portcullis_keys_fetches{result="failure",provider="id.example"} 0"#,
        r#"portcullis_keys_unknown_key_refetches{provider="id.example"} 0"#,
        r#"portcullis_keys_usable{provider="id.example"} 1"#,
        r#"portcullis_keys_left_out{provider="id.example"} 0"#,
        r#"portcullis_feed_failures{reason="no_answer"} 0"#,
        r#"portcullis_feed_failures{reason="not_believed"} 0"#,
    ];
    let missing = |page: &str| lines.iter().find(|line| !page.contains(**line));
    let told = || {
        let page = envoy.prometheus();
        let ours = page.lines().filter(|line| line.contains("portcullis"));
        let ours: Vec<_> = ours.collect();
        format!("no {:?} in:\n{}", missing(&page), ours.join("\n"))
    };
    until(told, || missing(&envoy.prometheus()).is_none());
    let page = envoy.prometheus();
    let age = page
        .lines()
        .find(|line| line.starts_with("portcullis_keys_age_seconds"));
    let age: u64 = age.unwrap().rsplit(' ').next().unwrap().parse().unwrap();
    assert!(age < 60, "{age}");
}

#[test]
fn access_logs_name_the_reason() {
    let listener = Listener::portcullis(Plugin::new(&configuration()));
    let listener = listener.with_access_log("logged %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%.");
    let envoy = Envoy::start(&Bootstrap::new([listener]));
    let mut client = envoy.client();
    let token = Token::signed_by("es256");
    let expired = token.clone().expiring_in(-90);
    let unknown = Token::signed_by("es256-other");
    let grpc = Request::post("/api", "").header("content-type", "application/grpc");
    for request in [
        Request::get("/api").bearer(&token),
        Request::get("/api"),
        Request::get("/api").bearer(expired),
        Request::get("/api").bearer(unknown),
        Request::get("/other"),
        grpc,
    ] {
        client.send(&request);
    }
    assert_eq!(
        logged(&envoy, 6),
        [
            "200 via_upstream.",
            "401 portcullis_denied{token_missing}.",
            "401 portcullis_denied{token_expired}.",
            "401 portcullis_denied{key_unknown}.",
            "403 portcullis_denied{no_rule}.",
            "200 portcullis_denied{token_missing}.",
        ]
    );
}

#[test]
fn access_logs_show_the_claims_that_the_operator_chose() {
    let mut configuration = configuration();
    configuration["providers"]["demo"]["claims_to_filter_state"] = json!([
        {"name": "portcullis.subject", "claim_name": "sub"},
        {"name": "portcullis.session", "claim_name": "sid"},
        {"name": "portcullis.roles", "claim_path": ["realm.access", "roles"]},
    ]);
    let listener = Listener::portcullis(Plugin::new(&configuration));
    let listener = listener.with_access_log(
        "logged %FILTER_STATE(wasm.portcullis.subject:PLAIN)% \
         %FILTER_STATE(wasm.portcullis.session:PLAIN)% \
         %FILTER_STATE(wasm.portcullis.roles:PLAIN)%.",
    );
    let envoy = Envoy::start(&Bootstrap::new([listener]));
    let mut client = envoy.client();
    let token = Token::signed_by("es256").claim("realm.access", json!({"roles": ["a", "b"]}));
    let forged = Token::signed_by("es256-other").header("kid", "test-es256");
    for request in [
        Request::get("/api").bearer(token),
        Request::get("/api").bearer(forged.claim("sub", "mallory")),
        Request::get("/api").bearer(Token::signed_by("es256").claim("sub", "a\nlogged forged")),
        Request::get("/public"),
    ] {
        client.send(&request);
    }
    let logged = logged(&envoy, 4);
    assert_eq!(logged.len(), 4, "{logged:?}");
    assert_eq!(logged[0], r#"alice - ["a","b"]."#);
    assert_eq!(logged[1], "- - -.");
    assert!(!logged[2].contains("mallory"), "{logged:?}");
    assert_eq!(logged[3], "- - -.");
}

/// What follows `logged ` in the access log, as soon as there are so many lines of it.
fn logged(envoy: &Envoy, count: usize) -> Vec<String> {
    let logged = || {
        let log = envoy.log();
        let lines = log.lines().filter_map(|line| line.strip_prefix("logged "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    until(|| envoy.log(), || logged().len() >= count);
    logged()
}
