//! What the operator's tools see: metrics with labels, and access logs that say who and why.

use serde_json::{Value, json};

use crate::support::{
    Authority, Bootstrap, Envoy, JwksServer, Listener, Plugin, Request, Token, configuration, jwks,
    until,
};

const OPERATIONS: &str = include_str!("../../envoy/operations.md");
const REVOCATION: &str = include_str!("../../envoy/revocation.md");

/// The rules of `envoy/envoy.yaml` that make labels of parts of names, read without a YAML parser:
/// each is a line `- tag_name: …` and a line `regex: '…'`.
pub(crate) fn stats_tags() -> Value {
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

/// A configuration with two providers, the keys of one of which are fetched from a cluster `issuer`.
fn with_fetched_keys() -> Value {
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
    configuration
}

#[test]
fn metrics_have_labels_in_prometheus() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&with_fetched_keys()));
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
    let build = concat!(
        r#"portcullis_build_info{version=""#,
        env!("CARGO_PKG_VERSION"),
        r#""} 1"#
    );
    let lines = [
        build,
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

/// The documents' table of metrics: the names, one for each alternative, with `*` for a reason, a fault
/// or a provider; and what it calls them at `/stats/prometheus`, with their labels.
fn named() -> (Vec<String>, Vec<&'static str>) {
    let (_, table) = OPERATIONS
        .split_once("| metric | what it counts |")
        .unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let (mut names, mut shown) = (Vec::new(), Vec::new());
    for row in table.lines().skip(2) {
        // A bar in a name is no bar of the table.
        let bars = row.match_indices('|').map(|(index, _)| index);
        let bars: Vec<_> = bars
            .filter(|&index| !row[..index].ends_with('\\'))
            .collect();
        let cell = |number: usize| row[bars[number] + 1..bars[number + 1]].split('`');
        let mut group = String::new();
        for span in cell(0).skip(1).step_by(2) {
            let name = if span.starts_with('.') {
                format!("{group}{span}")
            } else {
                span.replace("[.<provider>]", "")
            };
            name[..name.rfind('.').unwrap()].clone_into(&mut group);
            names.extend(alternatives(&name));
        }
        shown.extend(cell(2).skip(1).step_by(2));
    }
    (names, shown)
}

fn alternatives(name: &str) -> Vec<String> {
    let Some((before, rest)) = name.split_once('<') else {
        return vec![name.to_owned()];
    };
    let (inner, after) = rest.split_once('>').unwrap();
    let words: Vec<_> = if inner.contains("\\|") {
        inner.split("\\|").collect()
    } else {
        vec!["*"]
    };
    let each = words.into_iter();
    each.flat_map(|word| alternatives(&format!("{before}{word}{after}")))
        .collect()
}

fn is_of(pattern: &str, name: &str) -> bool {
    let is_of_requests = pattern.starts_with("portcullis.requests.");
    let provider = if is_of_requests { ".demo" } else { "" };
    let name = name.strip_suffix(provider).unwrap_or(name);
    // Dots are in it, too.
    let name = name.replace(env!("CARGO_PKG_VERSION"), "version");
    let parts = pattern.split('.').zip(name.split('.'));
    pattern.split('.').count() == name.split('.').count()
        && parts
            .into_iter()
            .all(|(part, found)| part == "*" || part == found)
}

#[test]
fn the_metrics_are_those_that_the_documents_name() {
    let server = JwksServer::with_keys(jwks(&["es256"]));
    let authority = Authority::start();
    let text = with_fetched_keys().to_string().replace("id.example", "idp");
    let mut configuration: Value = serde_json::from_str(&text).unwrap();
    configuration["revocation"] = authority.settings();
    configuration["activity"] = json!({"report": true});
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration))
        .with_cluster("issuer", server.address())
        .with_authority(authority.address());
    let envoy = Envoy::start(&bootstrap.with_stats_tags(stats_tags()));
    let token = Token::signed_by("es256");
    let request = Request::get("/api").bearer(&token);
    let mut client = envoy.client();
    until(|| envoy.log(), || client.send(&request).status == 200);
    let (names, shown) = named();
    assert!(names.len() > 25, "{names:?}");
    let found = || {
        let names = envoy.stat_names().into_iter();
        names
            .filter_map(|name| Some(name.strip_prefix("wasmcustom.")?.to_owned()))
            .collect::<Vec<_>>()
    };
    for pattern in &names {
        let is_found = || found().iter().any(|name| is_of(pattern, name));
        until(|| format!("no `{pattern}` among {:?}", found()), is_found);
    }
    for name in found() {
        let is_named = names.iter().any(|pattern| is_of(pattern, &name));
        assert!(is_named, "`{name}` is in no document");
    }
    let page = envoy.prometheus();
    let has = |name: &str, labels: &str| {
        let is_it = |line: &str| {
            let rest = line.strip_prefix(name);
            let labels = labels.split(',').filter(|label| !label.is_empty());
            rest.is_some_and(|rest| rest.starts_with(['{', ' ', '_']))
                && labels
                    .into_iter()
                    .all(|label| line.contains(&format!("{label}=\"")))
        };
        page.lines().any(is_it)
    };
    for name in names.iter().filter(|name| !name.contains('*')) {
        assert!(has(&name.replace('.', "_"), ""), "no `{name}` in {page}");
    }
    for span in shown {
        let name = span.trim_end_matches(['…', '}']);
        let (name, labels) = name.split_once('{').unwrap_or((name, ""));
        assert!(
            has(name.trim_end_matches('_'), labels),
            "no `{span}` in {page}"
        );
    }
    let is_letter = |letter: char| letter == '_' || letter.is_ascii_lowercase();
    let words = [OPERATIONS, REVOCATION].into_iter();
    let of_edges = [
        "portcullis_feed_",
        "portcullis_keys_",
        "portcullis_requests",
    ];
    // Those of the authority are on the same pages, and some begin like those of edges.
    let (status, of_authority) = authority.get("/metrics");
    assert_eq!(status, 200, "{of_authority}");
    let is_of_authority = |name: &str| {
        let mut rests = of_authority
            .lines()
            .filter_map(|line| line.strip_prefix(name));
        rests.any(|rest| rest.starts_with(['{', ' ']))
    };
    for name in words.flat_map(|text| text.split(|letter| !is_letter(letter))) {
        if of_edges.iter().any(|begin| name.starts_with(begin)) && !is_of_authority(name) {
            assert!(has(name.trim_end_matches('_'), ""), "no `{name}` in {page}");
        }
    }
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

/// What follows `logged ` in the access log, as soon as there are this many lines of it.
fn logged(envoy: &Envoy, count: usize) -> Vec<String> {
    let logged = || {
        let log = envoy.log();
        let lines = log.lines().filter_map(|line| line.strip_prefix("logged "));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    until(|| envoy.log(), || logged().len() >= count);
    logged()
}
