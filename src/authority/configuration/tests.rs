use std::collections::BTreeSet;

use serde_json::json;

use super::*;

fn read(document: &Value) -> Configured {
    Configuration::read(document, Path::new("/etc/portcullis"))
}

/// Every fault, as a line.
fn faults(document: &Value) -> Vec<String> {
    let faults = read(document).faults;
    faults.iter().map(ToString::to_string).collect()
}

#[test]
fn issuers_are_read_with_what_is_left_out() {
    let configured = read(&json!({"issuers": [
        {"issuer": "https://a", "keys": {"jwks_file": "a.json"}},
        {"issuer": "https://b", "keys": {"jwks_uri": "https://b:8443/keys?v=2",
         "certificate_authority": "/ca.pem"}, "audiences": ["api"], "device_claim": "device_id"},
        {"issuer": "https://c", "keys": {"jwks_uri": "http://127.0.0.1:80/keys"}},
    ]}));
    assert_eq!(configured.faults, []);
    let issuers = configured.configuration.unwrap().issuers;
    assert_eq!(
        issuers[0].keys,
        IssuerKeys::File("/etc/portcullis/a.json".into())
    );
    assert_eq!(
        (&issuers[0].audiences, &issuers[0].device_claim),
        (&vec![], &None)
    );
    let IssuerKeys::Server(server) = &issuers[1].keys else {
        panic!("{issuers:?}");
    };
    assert_eq!(server.origin, "https://b:8443");
    assert_eq!(server.url.path, "/keys?v=2");
    assert_eq!(server.certificate_authority, Some("/ca.pem".into()));
    assert_eq!(issuers[1].audiences, ["api"]);
    assert_eq!(issuers[1].device_claim.as_deref(), Some("device_id"));
}

#[test]
fn the_registry_has_bounds_also_where_none_are_given() {
    let sessions = |document: Value| read(&document).configuration.unwrap().sessions;
    let default = SessionLimits::default();
    assert_eq!(sessions(json!({})), default);
    assert_eq!(sessions(json!({"sessions": {}})), default);
    let given = json!({"sessions": {"max_sessions": 5, "retention": "90d"}});
    let expected = SessionLimits {
        max_sessions: 5,
        retention: std::time::Duration::from_hours(90 * 24),
    };
    assert_eq!(sessions(given), expected);
}

#[test]
fn every_fault_of_a_file_is_told_with_its_path() {
    let file = json!({"jwks_file": "a"});
    for (document, expected) in [
        (json!([]), "expected an object, found a list"),
        (
            json!({"isuers": []}),
            "isuers: unknown key, did you mean `issuers`?",
        ),
        (
            json!({"issuers": []}),
            "issuers: expected at least one issuer",
        ),
        (
            json!({"sessions": {"max_sessions": 0}}),
            "sessions.max_sessions: expected a number from 1 to 100000000",
        ),
        (
            json!({"sessions": {"retention": "59m"}}),
            "sessions.retention: expected a duration from an hour to 400 days",
        ),
        (
            json!({"issuers": [{"keys": file}]}),
            "issuers[0]: `issuer` is missing",
        ),
        (
            json!({"issuers": [{"issuer": "i"}]}),
            "issuers[0]: `keys` is missing",
        ),
        (
            json!({"issuers": [{"issuer": "i", "keys": {}}]}),
            "issuers[0].keys: expected either `jwks_file` or `jwks_uri`",
        ),
        (
            json!({"issuers": [{"issuer": "i", "keys": {"jwks_file": "a", "jwks_uri": "https://a"}}]}),
            "issuers[0].keys: expected either `jwks_file` or `jwks_uri`",
        ),
        (
            json!({"issuers": [{"issuer": "i", "keys": file}, {"issuer": "i", "keys": file}]}),
            "issuers[1]: `i` is in the list already",
        ),
        (
            json!({"issuers": [{"issuer": "i", "keys": {"jwks_file": "a", "certificate_authority": "b"}}]}),
            "issuers[0].keys.certificate_authority: has no effect without `jwks_uri`",
        ),
        (
            json!({"issuers": [{"issuer": "i", "keys": file, "audience": ["a"]}]}),
            "issuers[0].audience: unknown key, did you mean `audiences`?",
        ),
    ] {
        assert_eq!(faults(&document), [expected], "{document}");
        assert!(read(&document).configuration.is_none());
    }
    let several = json!({"issuers": [{"keys": {}}, {"issuer": 1, "keys": file}], "x": 1});
    assert_eq!(faults(&several).len(), 4);
}

#[test]
fn keys_come_over_tls_or_from_this_machine() {
    for (uri, is_taken) in [
        ("https://id.example/keys", true),
        ("http://localhost/keys", true),
        ("http://[::1]:8080/keys", true),
        ("http://id.example/keys", false),
        ("http://localhost.id.example/keys", false),
        ("http://localhost@id.example/keys", false),
        ("HTTPS://id.example/keys", false),
        ("file:///keys", false),
        ("id.example/keys", false),
    ] {
        let document = json!({"issuers": [{"issuer": "i", "keys": {"jwks_uri": uri}}]});
        assert_eq!(faults(&document).is_empty(), is_taken, "{uri}");
    }
}

#[test]
fn a_file_is_told_from_the_filters_configuration() {
    assert!(Configuration::is_in(&json!({"issuers": []})));
    assert!(!Configuration::is_in(
        &json!({"providers": {}, "issuers": []})
    ));
    assert!(!Configuration::is_in(&json!({"admin": {}})));
    assert!(!Configuration::is_in(&json!([])));
}

/// The keys that a schema names, each with the names on the way to it.
fn keys_of(schema: &Value, at: &Value, path: &str, keys: &mut BTreeSet<String>) {
    let below = |member: &str| at.get(member).map(|inner| (inner, path.to_owned()));
    for (inner, path) in below("items")
        .into_iter()
        .chain(below("additionalProperties"))
    {
        keys_of(schema, inner, &format!("{path}[]"), keys);
    }
    if let Some(name) = at["$ref"].as_str() {
        let inner = schema.pointer(name.trim_start_matches('#')).unwrap();
        keys_of(schema, inner, path, keys);
    }
    for (name, inner) in at["properties"].as_object().into_iter().flatten() {
        let path = crate::configuration::joined(path, name);
        keys_of(schema, inner, &path, keys);
        keys.insert(path);
    }
}

/// A file with everything in it that can stand side by side. Each section adds its own.
fn complete() -> Value {
    json!({
        "issuers": [
            {"issuer": "a", "keys": {"jwks_file": "a"}},
            {"issuer": "b", "keys": {"jwks_uri": "https://b", "certificate_authority": "c"},
             "audiences": ["api"], "device_claim": "device"},
        ],
        "sessions": {"max_sessions": 5, "retention": "86400s"},
    })
}

#[test]
fn the_schema_for_editors_has_the_keys_that_are_read() {
    let text = include_str!("../../../envoy/authority.schema.json");
    let schema: Value = serde_json::from_str(text).unwrap();
    let mut described = BTreeSet::new();
    keys_of(&schema, &schema, "", &mut described);
    let document = complete();
    let reading = Reading::new(&document, &|_| Variable::Unset);
    assert!(configuration(reading.root(), Path::new("")).is_ok());
    let asked = reading.asked();
    let index = regex_lite::Regex::new(r"\[[0-9]+\]").unwrap();
    let asked: BTreeSet<_> = asked
        .iter()
        .map(|path| index.replace_all(path, "[]").into_owned())
        .collect();
    assert_eq!(described, asked);
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(validator.is_valid(&document));
    let strange = json!({"issuers": [{"issuer": "a", "keys": {"jwks_file": "a"}, "x": 1}]});
    assert!(!validator.is_valid(&strange));
}

#[test]
fn the_page_has_the_keys_that_are_read() {
    let page = include_str!("../../../envoy/authority.md");
    let document = complete();
    let reading = Reading::new(&document, &|_| Variable::Unset);
    assert!(configuration(reading.root(), Path::new("")).is_ok());
    for path in reading.asked() {
        let key = path.rsplit(['.', ']']).next().unwrap();
        let mut ends = ["`", ".", "[]"].iter();
        assert!(
            ends.any(|end| page.contains(&format!("{key}{end}"))),
            "{path}"
        );
    }
}

#[test]
fn the_example_is_valid() {
    let text = include_str!("../../../envoy/authority.yaml");
    let documents = crate::cli::yaml::documents(text).unwrap();
    let [document] = documents.as_slice() else {
        panic!("one document");
    };
    let configured = read(&document.value);
    assert_eq!((configured.faults, configured.warnings), (vec![], vec![]));
}
