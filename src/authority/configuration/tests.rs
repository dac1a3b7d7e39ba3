use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::authority::{OnExcess, SessionRules};

mod page;
mod walk;

pub(super) fn read(document: &Value) -> Configured {
    Configuration::read(document, Path::new("/etc/portcullis"))
}

/// Every fault, as a line.
pub(super) fn faults(document: &Value) -> Vec<String> {
    let faults = read(document).faults;
    faults.iter().map(ToString::to_string).collect()
}

/// A file that the authority's file names there.
pub(super) fn file(at: &str, path: &str) -> ConfiguredFile {
    ConfiguredFile {
        document: Document::Authority,
        at: at.to_owned(),
        path: path.into(),
    }
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
        IssuerKeys::File(file("issuers[0].keys.jwks_file", "/etc/portcullis/a.json"))
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
    let authority = file("issuers[1].keys.certificate_authority", "/ca.pem");
    assert_eq!(server.certificate_authority, Some(authority));
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
        retention: Duration::from_hours(90 * 24),
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
            json!({"issuers": [], "suspicion": {}}),
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
            "issuers[0].keys.certificate_authority: has no effect without a server",
        ),
        (
            json!({"issuers": [{"issuer": "i", "keys": file, "audience": ["a"]}]}),
            "issuers[0].audience: unknown key, did you mean `audiences`?",
        ),
        (
            json!({"issuers": [{"issuer": "i", "keys": file, "audiences": []}]}),
            "issuers[0].audiences: expected at least one audience",
        ),
    ] {
        assert_eq!(faults(&document), [expected], "{document}");
        assert!(read(&document).configuration.is_none());
    }
    let several = json!({"issuers": [{"keys": {}}, {"issuer": 1, "keys": file}], "x": 1});
    assert_eq!(faults(&several).len(), 4);
}

/// A file with one issuer that has this policy.
fn with_policy(policy: &Value) -> Value {
    let keys = json!({"jwks_file": "a"});
    let issuer = json!({"issuer": "i", "keys": keys, "session_policy": policy});
    json!({"issuers": [issuer], "sessions": {"retention": "100d"}})
}

#[test]
fn a_client_has_the_rules_of_its_issuer_but_for_those_of_its_own() {
    let configured = read(&with_policy(&json!({
        "idle_timeout": "30m", "max_session_age": "2592000s", "max_sessions": 5,
        "clients": {
            "tv": {"idle_timeout": "90d"},
            "kiosk": {"max_sessions": 1, "on_excess": "refuse", "max_session_age": "12h"},
        },
    })));
    assert_eq!((configured.faults, configured.warnings), (vec![], vec![]));
    let issuers = configured.configuration.unwrap().issuers;
    let policy = issuers[0].session_policy.clone().unwrap();
    let hours = |hours| Some(Duration::from_hours(hours));
    let general = SessionRules {
        idle_timeout: Some(Duration::from_mins(30)),
        max_session_age: hours(30 * 24),
        max_sessions: NonZeroU32::new(5),
        on_excess: OnExcess::EndOldest,
    };
    let tv = SessionRules {
        idle_timeout: hours(90 * 24),
        ..general
    };
    let kiosk = SessionRules {
        max_session_age: hours(12),
        max_sessions: NonZeroU32::new(1),
        on_excess: OnExcess::Refuse,
        ..general
    };
    for (client, rules) in [
        (None, general),
        (Some("app"), general),
        (Some("tv"), tv),
        (Some("kiosk"), kiosk),
    ] {
        assert_eq!(*policy.rules(client), rules, "{client:?}");
    }
    let is_alone = policy
        .clients
        .values()
        .map(|client| client.is_counted_alone);
    assert_eq!(is_alone.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn every_fault_of_a_session_policy_is_told_with_its_path() {
    for (policy, expected) in [
        (
            json!({}),
            ": expected `idle_timeout`, `max_session_age` or `max_sessions`",
        ),
        (
            json!({"clients": {"tv": {}}}),
            ": expected `idle_timeout`, `max_session_age` or `max_sessions`",
        ),
        (
            json!({"idle_timeout": "0m"}),
            ".idle_timeout: expected a duration above zero, `300s` or `0.5s` for instance, found `0m`",
        ),
        (
            json!({"idle_timeout": "30"}),
            ".idle_timeout: expected a duration with its unit: `30s`",
        ),
        (
            json!({"idle_timeout": 30}),
            ".idle_timeout: expected a duration with its unit: `30s`",
        ),
        (
            json!({"idle_timeout": "30m", "clients": {"tv": {"idle_timeout": "100d"}}}),
            ": expected every `idle_timeout` to be shorter than `sessions.retention`, after which a \
             session is not known any more",
        ),
        (
            json!({"max_sessions": 0}),
            ".max_sessions: expected a number from 1 to 999",
        ),
        (
            json!({"max_sessions": 999, "clients": {"tv": {"max_sessions": 1_000}}}),
            ".clients.tv.max_sessions: expected a number from 1 to 999",
        ),
        (
            json!({"idle_timeout": "1h", "on_excess": "refuse"}),
            ".on_excess: expected `max_sessions` beside it",
        ),
        (
            json!({"max_sessions": 1, "on_excess": "end"}),
            ".on_excess: expected `end_oldest` or `refuse`",
        ),
        (
            json!({"max_sessions": 1, "clients": {"tv": {"idle": "1h"}}}),
            ".clients.tv.idle: unknown key, expected one of `idle_timeout`, `max_session_age`, \
             `max_sessions` and `on_excess`",
        ),
    ] {
        let expected = format!("issuers[0].session_policy{expected}");
        assert_eq!(faults(&with_policy(&policy)), [expected], "{policy}");
    }
    let short = read(&with_policy(&json!({"idle_timeout": "299s"})));
    assert_eq!((short.faults.len(), short.warnings.len()), (0, 1));
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
pub(in crate::authority) fn keys_of(
    schema: &Value,
    at: &Value,
    path: &str,
    keys: &mut BTreeSet<String>,
) {
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
             "audiences": ["api"], "device_claim": "device", "cut_off_by": "iat",
             "sessions_end": "until_sign_in", "session_policy": {
                "idle_timeout": "30m", "max_session_age": "30d", "max_sessions": 5,
                "on_excess": "refuse",
                "clients": {"0": {
                    "idle_timeout": "20h", "max_session_age": "365d", "max_sessions": 2,
                    "on_excess": "end_oldest",
                }},
             }, "status_lists": {
                "uris": ["https://b/lists/"], "refresh": "30s", "max_staleness": "5m",
                "certificate_authority": "c",
             }},
        ],
        "sessions": {"max_sessions": 5, "retention": "86400s"},
        "suspicion": {
            "on_suspicion": "end",
            "networks": {"on_suspicion": "report", "changes": 9, "within": "20m"},
            "clients": {"on_suspicion": "ignore", "changes": 2, "within": "60s"},
            "rate": {"on_suspicion": "end", "requests_per_minute": 900, "times_usual": 5,
                     "within": "120s"},
            "ipv4_prefix": 24,
            "ipv6_prefix": 32,
            "ignore_networks": ["192.0.2.0/24"],
            "ignore_user_agents": ["Chrome"],
        },
        "webhook": {"url": "https://events.example/", "secret_file": "secret",
                    "certificate_authority": "c", "timeout": "5s"},
    })
}

/// The document with `null` in place of each of its values in turn, and how to get to that.
fn with_null(value: &Value) -> Vec<(String, Value)> {
    let mut found = vec![(String::new(), Value::Null)];
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, inner)| (format!("/{name}"), inner))
            .collect(),
        Value::Array(elements) => (0..)
            .zip(elements)
            .map(|(index, inner): (usize, _)| (format!("/{index}"), inner))
            .collect(),
        _ => Vec::new(),
    };
    for (step, inner) in inner {
        for (rest, replaced) in with_null(inner) {
            let mut whole = value.clone();
            *whole.pointer_mut(&step).unwrap() = replaced;
            found.push((format!("{step}{rest}"), whole));
        }
    }
    found
}

/// A template leaves `null` where its value is missing, and what the key is for would be off.
#[test]
fn null_is_a_fault_wherever_it_is() {
    assert_eq!(faults(&complete()), [""; 0]);
    for (pointer, document) in with_null(&complete()) {
        let configured = read(&document);
        assert!(configured.configuration.is_none(), "{pointer}");
        let path = pointer.trim_start_matches('/').replace('/', ".");
        let is_there = |fault: &Fault| fault.path.replace('[', ".").replace(']', "") == path;
        assert!(
            configured.faults.iter().any(is_there),
            "{pointer}: {:?}",
            configured.faults
        );
    }
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
    // Elements, and names that the operator chooses.
    let index = regex_lite::Regex::new(r"\[[0-9]+\]|\.[0-9]+").unwrap();
    let asked: BTreeSet<_> = asked
        .iter()
        .map(|path| index.replace_all(path, "[]").into_owned())
        .collect();
    assert_eq!(described, asked);
    let top = asked.iter().filter(|path| !path.contains(['.', '[']));
    let known = Configuration::SECTIONS.iter().copied().collect();
    assert_eq!(top.map(String::as_str).collect::<BTreeSet<_>>(), known);
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
