//! Every spelling that protobuf's JSON takes is read wherever it may be, and comes to the same.

use super::closed::{NodePath, OF_ANY_KIND, Step};
use super::list::as_documented;
use super::*;
use crate::gate::configuration::inspect;

/// The other spellings of a value: wrapped where protobuf wraps, and everywhere else where it would
/// be the same.
fn respelt(value: &Value) -> Vec<Value> {
    match value {
        Value::Bool(boolean) => {
            let text = boolean.to_string();
            let letter = if *boolean { "y" } else { "0" };
            vec![
                json!(text),
                json!(text.to_uppercase()),
                json!(letter),
                json!({"value": boolean}),
                json!({"value": text}),
            ]
        }
        Value::Number(number) => {
            let text = number.to_string();
            vec![
                json!(text),
                json!(number.as_f64()),
                json!({"value": number}),
                json!({"value": text}),
            ]
        }
        Value::String(text) => match text.strip_suffix('s').map(str::parse::<f64>) {
            Some(Ok(seconds)) => {
                let whole = seconds.trunc();
                let nanos = ((seconds - whole) * 1e9).round();
                let text = |number: f64| format!("{number:.0}");
                vec![
                    json!({"seconds": whole, "nanos": nanos}),
                    json!({"seconds": text(whole), "nanos": text(nanos)}),
                ]
            }
            _ => Vec::new(),
        },
        Value::Array(elements) if elements.len() == 1 => elements.clone(),
        _ => Vec::new(),
    }
}

fn camel_case(key: &str) -> String {
    let mut words = key.split('_');
    let first = words.next().unwrap().to_owned();
    let rest = words.map(|word| word[..1].to_uppercase() + &word[1..]);
    first + &rest.collect::<String>()
}

/// What the configuration is read as, and its usual spelling.
fn outcome(configuration: &Value) -> (String, Value) {
    let environment = |name: &str| environment(name).map_or(Variable::Unset, Variable::Set);
    let inspection = inspect(configuration.to_string().as_bytes(), &environment);
    assert_eq!(inspection.faults, [], "{configuration}");
    assert_eq!(inspection.warnings, [], "{configuration}");
    (format!("{:?}", inspection.policy), inspection.configuration)
}

/// Every key there is, with nothing spelt in another way than the usual one.
pub(super) fn usual() -> Value {
    outcome(&complete()).1
}

#[test]
fn every_value_may_be_spelt_in_each_way_that_protobuf_takes() {
    let usual = usual();
    let (expected, _) = outcome(&usual);
    let mut number = 0;
    for node in NodePath::all(&usual) {
        if OF_ANY_KIND.contains(&&*as_documented(&node.path())) {
            continue;
        }
        let mut original = usual.clone();
        let original = node.get(&mut original).clone();
        for value in respelt(&original) {
            let is_duration = value.get("seconds").is_some();
            let (policy, seen) = outcome(&node.with(&usual, value.clone()));
            assert_eq!(policy, expected, "{}: {value}", node.path());
            assert!(is_duration || seen == usual, "{}: {value}", node.path());
            number += 1;
        }
    }
    assert!(number > 100, "{number}");
}

#[test]
fn every_key_may_be_in_camel_case_but_not_in_both_spellings() {
    let usual = usual();
    let expected = (outcome(&usual).0, usual.clone());
    for node in NodePath::all(&usual) {
        let Some(Step::Member(name)) = node.0.last() else {
            continue;
        };
        let camel = camel_case(name);
        let Some(renamed) = node.renamed(&usual, &camel).filter(|_| camel != *name) else {
            continue;
        };
        assert_eq!(outcome(&renamed), expected, "{camel}");

        // Which of the two is meant cannot be known.
        let parent = NodePath(node.0[..node.0.len() - 1].to_vec());
        let (mut both, mut original) = (usual.clone(), usual.clone());
        let value = node.get(&mut original).clone();
        parent.get(&mut both)[&camel] = value;
        let found = faults(&both);
        let expected = format!("{camel}: is `{name}` too, which is here as well");
        assert!(
            found.iter().any(|fault| fault.ends_with(&expected)),
            "{found:?}"
        );
    }
}

#[test]
fn a_key_that_cannot_be_had_is_told_of_in_either_spelling() {
    for key in ["payload_in_metadata", "payloadInMetadata"] {
        let found = faults(&with(&["providers", "idp", key], json!("x")));
        assert!(
            found[0].starts_with(&format!("providers.idp.{key}: a WebAssembly")),
            "{found:?}"
        );
    }
    let found = faults(&with(
        &["providers", "idp", "localJwks"],
        json!({"watchedDirectory": 1}),
    ));
    assert!(found[0].contains("localJwks"), "{found:?}");
}

#[test]
fn a_wrapper_and_a_duration_have_no_other_members() {
    let remote = &["providers", "remote", "remote_jwks"];
    let found = |key: &str, value: Value| {
        let path = [&remote[..], &[key]].concat();
        faults(&with(&path, value))
    };
    let at = "providers.remote.remote_jwks";
    for (value, fault) in [
        (
            json!({"seconds": 5, "nano": 0}),
            ".nano: unknown key, did you mean `nanos`?",
        ),
        (
            json!({"seconds": 5, "nanos": 1_000_000_000}),
            ": expected a duration above zero",
        ),
        (json!({"seconds": -1}), ": expected a duration above zero"),
        (
            json!({"seconds": 315_576_000_001_i64}),
            ": expected a duration above zero",
        ),
        (
            json!({"seconds": null}),
            ".seconds: expected a whole number, found `null`",
        ),
        (
            json!({"seconds": 0.5}),
            ".seconds: expected a whole number, found a number",
        ),
        (json!({"value": "5s"}), ".value: unknown key"),
        (json!({}), ": expected a duration above zero"),
        (json!(["5s"]), ": expected a duration above zero"),
        (json!(3600), ": expected a duration with its unit: `3600s`"),
        (
            json!(3600.0),
            ": expected a duration with its unit: `3600s`",
        ),
        (
            json!("3600"),
            ": expected a duration with its unit: `3600s`",
        ),
    ] {
        let found = found("cache_duration", value);
        let expected = format!("{at}.cache_duration{fault}");
        assert!(
            found.iter().any(|fault| fault.starts_with(&expected)),
            "{expected}: {found:?}"
        );
    }
    for (value, fault) in [
        (json!({"value": 3, "other": 1}), ".other: unknown key"),
        (json!({"value": null}), ".value: expected a whole number"),
        (
            json!({"value": {"value": 3}}),
            ".value: expected a whole number",
        ),
        (json!({"Value": 3}), ": expected a whole number"),
        (json!({}), ": expected a whole number"),
        (json!([3]), ": expected a whole number"),
        (json!("3.5"), ": expected a whole number"),
        (json!("true"), ": expected a whole number"),
    ] {
        let found = found("retry_policy", json!({"num_retries": value}));
        let expected = format!("{at}.retry_policy.num_retries{fault}");
        assert!(
            found.iter().any(|fault| fault.starts_with(&expected)),
            "{expected}: {found:?}"
        );
    }
}

#[test]
fn what_is_no_element_is_none_without_a_list_either() {
    for (key, value) in [
        ("audiences", json!(5)),
        ("audiences", json!({})),
        ("audiences", json!([["api"]])),
        ("from_headers", json!("x")),
        ("from_headers", json!({})),
        ("from_params", json!("")),
        ("claims_to_filter_state", json!("sub")),
    ] {
        let found = faults(&with(&["providers", "idp", key], value.clone()));
        assert!(
            found[0].starts_with(&format!("providers.idp.{key}")),
            "{value}: {found:?}"
        );
    }
}

/// As in `jwt_authn`, with a warning for an operator who has left it empty by mistake.
#[test]
fn an_empty_issuer_and_an_empty_header_count_as_not_set_with_a_warning() {
    for key in ["issuer", "forward_payload_header"] {
        let configured = read_value(&with(&["providers", "idp", key], json!(""))).unwrap();
        let warnings: Vec<_> = configured
            .warnings
            .iter()
            .map(ToString::to_string)
            .collect();
        let expected = format!("providers.idp.{key}: is empty, so it counts as not set");
        assert!(warnings[0].starts_with(&expected), "{warnings:?}");
        let provider = &configured.policy.providers[0];
        let is_set = match key {
            "issuer" => provider.issuer.is_some(),
            _ => provider.payload_header.is_some(),
        };
        assert!(!is_set, "{key}");
    }
}

#[test]
fn a_configuration_may_bring_its_type_along() {
    let name = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication";
    assert!(read_value(&with(&["@type"], json!(name))).is_ok());
    for value in [
        json!("type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"),
        json!(""),
        json!(null),
        json!(1),
    ] {
        let found = faults(&with(&["@type"], value));
        assert!(found[0].starts_with("[\"@type\"]: expected"), "{found:?}");
    }
    let found = faults(&with(&["providers", "idp", "@type"], json!(name)));
    assert!(
        found[0].starts_with("providers.idp[\"@type\"]: unknown key"),
        "{found:?}"
    );
}

#[test]
fn bytes_may_be_in_either_alphabet_of_base64_with_padding_or_without() {
    // The text has bytes whose digits differ between the two.
    let set = jwk_set(&[&es256()]).replacen('{', "{\"x\":\"?????>>>>>\",", 1);
    for length in 0..3 {
        let set = format!("{set}{}", " ".repeat(length));
        let usual = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &set);
        let other = usual.replace('+', "-").replace('/', "_");
        assert_ne!(usual, other);
        for text in [
            &*usual,
            usual.trim_end_matches('='),
            &*other,
            other.trim_end_matches('='),
        ] {
            let keys = json!({"inline_bytes": text});
            let read = read_value(&with(&["providers", "idp", "local_jwks"], keys));
            assert!(read.is_ok(), "{text}");
        }
    }
}

#[test]
fn the_review_sees_through_every_spelling() {
    let configuration = json!({
        "providers": {"idp": {"localJwks": {"environmentVariable": "JWKS"}, "fromCookies": "a b"}},
        "rules": {"match": {"prefix": "/", "caseSensitive": {"value": "false"}}},
    });
    let inspection = inspect(configuration.to_string().as_bytes(), &|_| {
        Variable::Set(jwk_set(&[&es256()]))
    });
    assert_eq!(inspection.faults, []);
    let findings = inspection.review();
    let findings: Vec<_> = findings.iter().map(|finding| &*finding.path).collect();
    assert!(
        findings.contains(&"providers.idp.from_cookies[0]"),
        "{findings:?}"
    );
}
