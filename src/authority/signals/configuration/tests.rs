use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Map, json};

use super::*;
use crate::authority::signals::events::EventName;
use crate::authority::{Configuration, ConfiguredFile, Document, IssuerKeys};
use crate::configuration::{Reading, Variable};

mod global_revocation;
mod issuers;
mod oauth;
mod streams;

fn read(document: &Value) -> Configured<SignalsConfiguration> {
    SignalsConfiguration::read(document, Path::new("/etc/portcullis"))
}

/// Every fault, as a line.
fn faults(document: &Value) -> Vec<String> {
    let faults = read(document).faults;
    faults.iter().map(ToString::to_string).collect()
}

/// An issuer that nothing is wrong with, with this member.
fn issuer(name: &str, value: Value) -> Value {
    let mut issuer = json!({
        "issuer": "https://a", "keys": {"jwks_file": "a.json"}, "client_ids": ["web"],
        "receivers": {"back_channel_logout": true},
    });
    issuer[name] = value;
    issuer
}

/// A file that the signals file names there.
fn file(at: &str, path: &str) -> ConfiguredFile {
    ConfiguredFile {
        document: Document::Signals,
        at: at.to_owned(),
        path: path.into(),
    }
}

fn with_issuer(issuer: &Value) -> Value {
    json!({"issuers": [issuer]})
}

#[test]
fn what_is_left_out_has_its_default() {
    let configured = read(&with_issuer(&issuer("issuer", json!("https://a"))));
    assert_eq!((configured.faults, configured.warnings), (vec![], vec![]));
    let configuration = configured.configuration.unwrap();
    assert_eq!(configuration.listen, "127.0.0.1:10003".parse().unwrap());
    assert_eq!(configuration.limits, SignalLimits::default());
    assert_eq!(configuration.limits.timeout, Duration::from_secs(2));
    assert_eq!(configuration.records, RecordLimits::default());
    let [issuer] = configuration.issuers.try_into().unwrap();
    assert_eq!(
        issuer.keys,
        IssuerKeys::File(file("issuers[0].keys.jwks_file", "/etc/portcullis/a.json"))
    );
    assert_eq!(issuer.token_issuer(), "https://a");
    assert_eq!(issuer.subject, SubjectRule::Same);
    assert_eq!(issuer.logout_without_sid, LogoutScope::Subject);
    assert!(issuer.tokens_carry_sid);
    assert_eq!(issuer.max_age, Duration::from_mins(10));
}

#[test]
fn what_is_written_is_read() {
    let configured = read(&complete());
    assert_eq!((configured.faults, configured.warnings), (vec![], vec![]));
    let configuration = configured.configuration.unwrap();
    assert_eq!(
        configuration.public_url.as_deref(),
        Some("https://signals.example/in")
    );
    let expected = TlsFiles {
        certificate: "/etc/portcullis/cert.pem".into(),
        key: "/key.pem".into(),
    };
    assert_eq!(configuration.tls, Some(expected));
    let limits = RecordLimits {
        retention: Duration::from_hours(48),
        max_records: 10,
        subjects: SubjectForm::Hash,
    };
    assert_eq!(configuration.records, limits);
    let [_, server, discovered] = configuration.issuers.try_into().unwrap();
    let IssuerKeys::Server(keys) = &server.keys else {
        panic!("{server:?}");
    };
    let authority = "issuers[1].keys.certificate_authority";
    assert_eq!(
        keys.certificate_authority,
        Some(file(authority, "/etc/portcullis/ca.pem"))
    );
    assert!(matches!(discovered.keys, IssuerKeys::Discovery(_)));
    assert_eq!(discovered.token_issuer(), "https://api");
    let expected = SubjectRule::Template {
        before: "user:".to_owned(),
        after: "@c".to_owned(),
    };
    assert_eq!(discovered.subject, expected);
}

#[test]
fn every_fault_at_the_top_is_told_with_its_path() {
    let public = "others can connect there, and there is no `tls`; hint: `allow_insecure_listen: \
                  true` where something in front of it speaks TLS";
    for (name, value, expected) in [
        (
            "listen",
            json!("10003"),
            "listen: expected an address and a port, `127.0.0.1:10003` for instance",
        ),
        ("tls", json!({"certificate": "a"}), "tls: `key` is missing"),
        (
            "public_url",
            json!("signals.example"),
            "public_url: expected a URL that begins with `https://` or `http://`, without query and fragment",
        ),
        (
            "limits",
            json!({"body": 100_000}),
            "limits.body: expected a number from 1024 to 65536",
        ),
        (
            "limits",
            json!({"timeout": "60s"}),
            "limits.timeout: expected a duration from 0.2s to 10s",
        ),
        (
            "records",
            json!({"retention": "1m"}),
            "records.retention: expected a duration from an hour to 400 days",
        ),
        (
            "records",
            json!({"subjects": "none"}),
            "records.subjects: expected `plain` or `hash`",
        ),
        (
            "listn",
            json!("127.0.0.1:1"),
            "listn: unknown key, did you mean `listen`?",
        ),
    ] {
        let mut document = with_issuer(&issuer("issuer", json!("https://a")));
        document[name] = value;
        assert_eq!(faults(&document), [expected]);
        assert!(read(&document).configuration.is_none());
    }
    let mut document = with_issuer(&issuer("issuer", json!("https://a")));
    document["listen"] = json!("0.0.0.0:10003");
    assert_eq!(faults(&document), [format!("listen: {public}")]);
    document["allow_insecure_listen"] = json!(true);
    assert_eq!(faults(&document), [] as [String; 0]);
    let several = json!({"issuers": [{"keys": {}}, {"issuer": 1}], "streams": [{"name": "a", "issuer": "x",
        "audiences": ["y"]}], "x": 1});
    assert_eq!(faults(&several).len(), 6, "{:?}", faults(&several));
}

#[test]
fn an_issuer_from_which_nothing_is_received_is_told() {
    let configured = read(&with_issuer(&issuer("receivers", json!({}))));
    assert_eq!(configured.faults, []);
    let [warning] = configured.warnings.try_into().unwrap();
    assert_eq!(warning.path, "issuers[0]");
    let mut document = with_issuer(&issuer("receivers", json!({})));
    document["streams"] = json!([streams::stream("name", json!("okta"))]);
    let configured = read(&document);
    assert_eq!((configured.faults, configured.warnings), (vec![], vec![]));
}

#[test]
fn the_two_files_of_the_authority_are_told_apart() {
    let signals = with_issuer(&issuer("issuer", json!("https://a")));
    let own = json!({"issuers": [{"issuer": "a", "keys": {"jwks_file": "a"}, "audiences": ["a"]}]});
    for (document, is_signals, is_own) in [
        (&signals, true, false),
        (&json!({"listen": "127.0.0.1:1"}), true, false),
        (&json!({"records": {}, "issuers": []}), true, false),
        (&json!({"streams": [], "issuers": []}), true, false),
        (&own, false, true),
        (&json!({"sessions": {}}), false, true),
        (
            &json!({"providers": {}, "issuers": [], "limits": {}}),
            false,
            false,
        ),
        (&json!({}), false, false),
        (&json!([]), false, false),
    ] {
        assert_eq!(
            SignalsConfiguration::is_in(document),
            is_signals,
            "{document}"
        );
        assert_eq!(Configuration::is_in(document), is_own, "{document}");
    }
}

/// A file with everything in it that can stand side by side.
fn complete() -> Value {
    let events = EventName::all_that_may_act();
    let events: Map<_, _> = events
        .map(|event| (event.key().to_owned(), json!("record")))
        .collect();
    json!({
        "listen": "0.0.0.0:443",
        "tls": {"certificate": "cert.pem", "key": "/key.pem"},
        "allow_insecure_listen": false,
        "public_url": "https://signals.example/in/",
        "limits": {"body": 2048, "requests_per_second": 5, "timeout": "1.5s"},
        "records": {"retention": "2d", "max_records": 10, "subjects": "hash"},
        "issuers": [
            {"issuer": "a", "keys": {"jwks_file": "a"}, "client_ids": ["web"],
             "subject": {"claims": {"email": "email"}},
             "receivers": {"back_channel_logout": true}},
            {"issuer": "b", "keys": {"jwks_uri": "https://b", "certificate_authority": "ca.pem"},
             "client_ids": ["web"], "subject": {"by": "iss_sub", "claims": {"email": "email"}},
             "receivers": {"global_token_revocation": {
                 "name": "b", "authentication": "bearer", "credential": {"file": "secret"},
                 "email_claim": "email", "unknown_subjects": "accept"}}},
            {"issuer": "c", "keys": {"discovery": "https://c/.well-known/openid-configuration"},
             "client_ids": ["web"], "access_token_issuer": "https://api",
             "subject": {
                 "by": "template", "template": "user:{subject}@c", "issuers": ["https://c2"],
                 "claims": {
                     "account": "acct", "did": "did", "email": "email", "opaque": "sub",
                     "phone_number": "phone_number", "uri": "profile", "tenant": "tid",
                     "org_unit": "ou", "group": "groups",
                 },
             },
             "logout_without_sid": "subject", "tokens_carry_sid": false, "max_age": "5m",
             "tokens_carry_device": true, "sessions_end": "until_sign_in",
             "receivers": {"back_channel_logout": true}},
        ],
        "oauth": {
            "clients": [
                {"client_id": "web", "secret": {"file": "web.secret"},
                 "revoke": {"issuers": ["a"], "ends": "session", "client_claim": "cid"}},
                {"client_id": "api", "secret": {"env": "API_SECRET"}, "keys": {"jwks_file": "api.json"},
                 "introspect": {"audiences": ["orders"]}},
                {"client_id": "mesh",
                 "keys": {"jwks_uri": "https://mesh", "certificate_authority": "ca.pem"},
                 "introspect": {"any_audience": true}},
            ],
            "assertion_audiences": ["https://old.example"],
            "claims": ["email", {"name": "org", "claim_path": ["org", "id"]},
                       {"name": "tenant", "claim_name": "tenant.id"}],
        },
        "streams": [
            {"name": "okta", "issuer": "a", "audiences": ["https://edge"],
             "delivery": {"push": {"authorization": {"env": "OKTA_AUTHORIZATION"}}},
             "critical_subject_members": ["tenant"], "tenants": ["acme"], "max_age": "1d",
             "events": events},
            {"name": "apple-2", "issuer": "a", "audiences": ["https://edge"],
             "delivery": {"push": {"authorization": {"file": "authorization"}}}},
            {"name": "polled", "issuer": "b", "audiences": ["https://edge"],
             "delivery": {"poll": {"max_events": 10, "timeout": "2m"}},
             "transmitter": {
                 "well_known": "risc", "certificate_authority": "ca.pem", "manage": true,
                 "authorization": {"client_credentials": {
                     "token_endpoint": "https://b/token", "client_id": "edge",
                     "client_secret": {"file": "secret"}, "method": "client_secret_post",
                     "scope": "ssf.manage ssf.read",
                 }},
                 "stream_id": "s", "events_requested": ["https://b/event"],
                 "subjects": [{"format": "email", "email": "a@example.com"}],
             }},
            {"name": "by-hand", "issuer": "b", "audiences": ["https://edge"],
             "delivery": {"poll": {"endpoint": "https://b/poll"}},
             "transmitter": {
                 "metadata": "https://b/ssf", "manage": false,
                 "authorization": {"bearer": {"env": "TRANSMITTER_TOKEN"}},
             }},
        ],
    })
}

fn asked() -> BTreeSet<String> {
    let document = complete();
    let reading = Reading::new(&document, &|_| Variable::Unset);
    assert!(configuration(reading.root(), Path::new("")).is_ok());
    let index = regex_lite::Regex::new(r"\[[0-9]+\]").unwrap();
    let asked = reading.asked();
    let asked = asked.iter();
    asked
        .map(|path| index.replace_all(path, "[]").into_owned())
        .collect()
}

#[test]
fn a_file_is_known_by_the_keys_that_are_read() {
    let asked = asked();
    let top = asked.iter().filter(|path| !path.contains(['.', '[']));
    let known = SignalsConfiguration::SECTIONS.iter().copied();
    // Issuers are in the authority's own file too.
    let known = known.chain(["issuers"]).collect();
    assert_eq!(top.map(String::as_str).collect::<BTreeSet<_>>(), known);
    for key in SignalsConfiguration::OF_ISSUERS {
        assert!(asked.contains(&format!("issuers[].{key}")), "{key}");
    }
}

#[test]
fn the_schema_for_editors_has_the_keys_that_are_read() {
    let text = include_str!("../../../../envoy/signals.schema.json");
    let schema: Value = serde_json::from_str(text).unwrap();
    let mut described = BTreeSet::new();
    crate::authority::configuration::tests::keys_of(&schema, &schema, "", &mut described);
    assert_eq!(described, asked());
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    assert!(validator.is_valid(&complete()));
    for strange in [
        json!({}),
        with_issuer(&issuer("x", json!(1))),
        with_issuer(&issuer(
            "subject",
            json!({"by": "template", "template": "{sub}"}),
        )),
    ] {
        assert!(!validator.is_valid(&strange), "{strange}");
    }
}

#[test]
fn the_page_has_the_keys_that_are_read() {
    let page = include_str!("../../../../envoy/signals.md");
    for path in asked() {
        let key = path.rsplit(['.', ']']).next().unwrap();
        let mut ends = ["`", ".", "[]"].iter();
        let is_there = ends.any(|end| page.contains(&format!("{key}{end}")));
        assert!(is_there, "{path}");
    }
}

#[test]
fn the_page_has_every_code_with_its_status() {
    use crate::authority::signals::reason::Code;
    let page = include_str!("../../../../envoy/signals.md");
    for code in Code::ALL {
        let label = format!("`{}`", code.label());
        let mut rows = page.lines().filter(|line| line.starts_with("| `"));
        let status = code.status().as_u16().to_string();
        let is_there = rows.any(|row| row.contains(&label) && row.contains(&status));
        assert!(is_there, "{label}: {status}");
    }
}

#[test]
fn the_example_is_valid() {
    let text = include_str!("../../../../envoy/signals.yaml");
    let documents = crate::cli::yaml::documents(text).unwrap();
    let [document] = documents.as_slice() else {
        panic!("one document");
    };
    let configured = read(&document.value);
    assert_eq!((configured.faults, configured.warnings), (vec![], vec![]));
}
