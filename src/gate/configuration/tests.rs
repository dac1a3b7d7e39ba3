mod activity;
#[cfg(not(target_family = "wasm"))]
mod closed;
mod keys;
#[cfg(not(target_family = "wasm"))]
mod list;
#[cfg(not(target_family = "wasm"))]
mod page;
mod records;
#[cfg(not(target_family = "wasm"))]
mod review;
mod revocation;
#[cfg(not(target_family = "wasm"))]
mod schema;
mod session_routes;
#[cfg(not(target_family = "wasm"))]
mod spelling;
mod streams;

use std::time::Duration;

use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::gate::extraction::{CookieLocation, Duplicates, HeaderLocation, Location};
use crate::gate::policy::{ClaimHeader, Form};
use crate::token::fixtures::{es256, jwk_set};

fn environment(name: &str) -> Option<String> {
    match name {
        "JWKS" => Some(jwk_set(&[&es256()])),
        "CREDENTIAL" => Some("edge".to_owned()),
        "FEED_KEY" => Some("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo".to_owned()),
        _ => None,
    }
}

fn read_value(configuration: &Value) -> Result<Configured, Vec<Fault>> {
    read(configuration.to_string().as_bytes(), &environment)
}

/// What `portcullis validate` makes of it. Other variables than those here only Envoy knows.
#[cfg(not(target_family = "wasm"))]
fn inspected(configuration: &Value) -> Inspection {
    let environment = |name: &str| environment(name).map_or(Variable::Unknown, Variable::Set);
    inspect(configuration.to_string().as_bytes(), &environment)
}

fn faults(configuration: &Value) -> Vec<String> {
    let faults = read_value(configuration).map(|_| ()).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
}

/// The same without revocation, and without what needs it.
fn without_revocation(mut configuration: Value) -> Value {
    let members = configuration.as_object_mut().unwrap();
    for key in ["revocation", "sign_out", "sessions"] {
        members.remove(key);
    }
    configuration
}

/// Every key there is, each with an ordinary value.
fn complete() -> Value {
    let text = include_str!("../../../tests/vectors/configurations/every-key.json");
    let mut configuration: Value = serde_json::from_str(text).unwrap();
    configuration["providers"]["idp"]["local_jwks"] =
        json!({"inline_string": jwk_set(&[&es256()])});
    configuration
}

fn with(path: &[&str], value: Value) -> Value {
    let mut configuration = complete();
    let mut target = &mut configuration;
    for name in path {
        target = match name.parse::<usize>() {
            Ok(index) => &mut target[index],
            Err(_) => &mut target[*name],
        };
    }
    *target = value;
    configuration
}

#[wasm_bindgen_test(unsupported = test)]
fn every_key_is_read_into_the_policy() {
    let configured = read_value(&complete()).unwrap();
    assert_eq!(configured.warnings, []);
    let policy = configured.policy;
    assert!(policy.allow_unmatched);
    assert_eq!(policy.refusals.realm, "api");
    let provider = &policy.providers[0];
    assert_eq!(provider.issuer.as_deref(), Some("https://issuer.example"));
    assert_eq!(provider.audiences, ["api"]);
    assert_eq!(provider.clock_skew, Duration::from_secs(5));
    assert!(provider.forward && !provider.require_expiration);
    assert_eq!(provider.max_token_bytes, 32_768);
    let header = |name: &str, prefix: &str| {
        Location::Header(HeaderLocation {
            name: name.into(),
            prefix: prefix.into(),
        })
    };
    assert_eq!(
        provider.locations,
        [
            header("x-token", "jwt "),
            Location::Parameter("token".into()),
            Location::Cookie(CookieLocation {
                name: "session".into(),
                duplicates: Duplicates::FirstGenuine,
            }),
        ]
    );
    let header = |header: &str, path: &[&str], form| ClaimHeader {
        header: header.into(),
        path: path.iter().map(|name| (*name).to_owned()).collect(),
        form,
    };
    assert_eq!(
        provider.claim_headers,
        [
            header("x-user", &["user", "name"], Form::Base64),
            header("x-roles", &["https://x.example/roles"], Form::Json),
        ]
    );
    for own in ["x-caller-subject", "x-caller-role", "x-user"] {
        assert!(policy.own_headers.has(own.as_bytes()), "{own}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_left_out_has_the_defaults_of_jwt_authn_or_safer_ones() {
    let configuration = json!({
        "providers": {"idp": {"local_jwks": {"environment_variable": "JWKS"}}},
    });
    let policy = read_value(&configuration).unwrap().policy;
    assert!(!policy.allow_unmatched);
    assert_eq!(policy.session_headers, None);
    assert_eq!(policy.refusals.realm, "portcullis");
    let provider = &policy.providers[0];
    assert_eq!(provider.issuer, None);
    assert_eq!(provider.clock_skew, Duration::from_mins(1));
    assert_eq!(provider.max_token_bytes, 16_384);
    let bearer = Location::Header(HeaderLocation::authorization());
    assert_eq!(provider.locations, [bearer]);
    assert!(!provider.forward && provider.require_expiration);
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_may_be_as_large_as_32_kib_at_most() {
    for (bytes, is_taken) in [(1023, false), (1024, true), (32_768, true), (32_769, false)] {
        let read = read_value(&with(
            &["providers", "idp", "max_token_bytes"],
            json!(bytes),
        ));
        assert_eq!(read.is_ok(), is_taken, "{bytes}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn all_faults_are_reported_at_once_each_with_its_path() {
    let configuration = json!({
        "providers": {
            "idp": {
                "isuer": "https://issuer.example",
                "audiences": 7,
                "local_jwks": {"inline_string": "{}"},
                "clock_skew_seconds": -1,
                "from_headers": [{"value_prefix": 7}],
                "claim_to_headers": [{"header_name": "x y", "claim_name": ""}],
            },
            "": {"local_jwks": {}},
        },
        "rules": [
            {"match": {"prefix": "/", "path": "/"}, "requires": {"provider_name": "nobody"}},
            {"requires": {"provider_name": "idp"}},
        ],
        "session_header_prefix": "x-",
        "allow_unmatched": "maybe",
    });
    let mut found = faults(&configuration);
    found.sort();
    let mut expected = [
        "allow_unmatched: expected `true` or `false`, found a string",
        "providers.idp.audiences: expected a string, found a number",
        "providers.idp.claim_to_headers[0].claim_name: \
         expected a string that is not empty, found an empty string",
        "providers.idp.claim_to_headers[0].header_name: expected the name of a header",
        "providers.idp.clock_skew_seconds: \
         expected a whole number from 0 to 4294967295, found a number",
        "providers.idp.from_headers[0].value_prefix: expected a string, found a number",
        "providers.idp.from_headers[0]: `name` is missing",
        "providers.idp.isuer: unknown key, did you mean `issuer`?",
        "providers.idp.local_jwks.inline_string: \
         expected a set of keys: expected an object with a list `keys`, or with certificates in PEM",
        "providers[\"\"].local_jwks: \
         expected one of `inline_string`, `inline_bytes` and `environment_variable`",
        "providers[\"\"]: expected a name of printable ASCII characters",
        "rules[0].match: expected one of `prefix`, `path`, `path_separated_prefix`, \
         `safe_regex` and `connect_matcher`",
        "rules[0].requires.provider_name: no provider is called `nobody`",
        "rules[1]: `match` is missing",
        "session_header_prefix: has no effect without `session_headers: true`",
    ];
    expected.sort_unstable();
    assert_eq!(found, expected);
}

#[wasm_bindgen_test(unsupported = test)]
fn typing_errors_get_a_suggestion() {
    for (key, suggestion) in [
        ("FromHeaders", "did you mean `from_headers`?"),
        ("from__headers", "did you mean `from_headers`?"),
        ("clock_skew_second", "did you mean `clock_skew_seconds`?"),
        ("zzz", "expected one of `issuer`, `issuer_pattern`, "),
    ] {
        let found = faults(&with(&["providers", "idp", key], json!(1)));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(suggestion), "{found:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn no_claim_can_be_written_over_the_request_or_the_token() {
    let header = |name: &str| json!([{"header_name": name, "claim_name": "sub"}]);
    for (name, expected) in [
        ("Host", "`host` carries the request itself"),
        (
            "transfer_encoding",
            "`transfer-encoding` carries the request itself",
        ),
        (
            "x-token",
            "`x-token` is where provider `idp` looks for tokens, so no claim can go there",
        ),
        (
            "x~token",
            "`x-token` is where provider `idp` looks for tokens",
        ),
        (
            "x-caller-id",
            "filled by `session_headers` and by provider `idp`",
        ),
    ] {
        let found = faults(&with(
            &["providers", "idp", "claim_to_headers"],
            header(name),
        ));
        assert!(
            found.iter().any(|fault| fault.contains(expected)),
            "{name}: {found:?}"
        );
    }
    let twice = json!([
        {"header_name": "x-user", "claim_name": "sub"},
        {"header_name": "X_User", "claim_name": "name"},
    ]);
    let found = faults(&with(&["providers", "idp", "claim_to_headers"], twice));
    assert!(
        found[0].contains("already filled from another claim"),
        "{found:?}"
    );
}

/// Everything with the prefix is removed from every request.
#[wasm_bindgen_test(unsupported = test)]
fn no_prefix_of_session_headers_takes_off_what_requests_need() {
    for (prefix, lost) in [
        ("x-", "x-b3-traceid"),
        ("X_Forwarded.", "x-forwarded-for"),
        ("content", "content-type"),
        ("ho", "host"),
    ] {
        let found = faults(&with(&["session_header_prefix"], json!(prefix)));
        let expected = format!("would be removed from every request, `{lost}` too");
        let is_told = |fault: &String| fault.ends_with(&expected);
        assert!(found.iter().any(is_told), "{prefix}: {found:?}");
    }
    let below = json!([{"name": "X_Caller.Token"}]);
    let found = faults(&with(&["providers", "idp", "from_headers"], below));
    let expected = "`x_caller.token` is where provider `idp` looks for tokens, and `x-caller-` \
                    begins what only the gate may set";
    assert!(found[0].ends_with(expected), "{found:?}");
}

#[wasm_bindgen_test(unsupported = test)]
fn values_are_never_repeated_in_a_fault() {
    let secret = "hunter2-secret";
    for path in [
        &["realm", "\""][..1],
        &["providers", "idp", "forward"],
        &["providers", "idp", "local_jwks"],
        &["rules", "0", "match"],
    ] {
        let found = faults(&with(path, json!(format!("{secret}\""))));
        assert!(!found.join("\n").contains(secret), "{found:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn something_else_than_an_object_is_refused() {
    for configuration in [
        json!([]),
        json!(1),
        json!("x"),
        json!({}),
        json!({"providers": {}}),
    ] {
        assert_eq!(faults(&configuration).len(), 1, "{configuration}");
    }
    let error = read(b"", &|_| None).map(|_| ()).unwrap_err();
    assert!(
        error[0].message.starts_with("expected a JSON object"),
        "{error:?}"
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn the_session_is_always_that_of_the_same_token() {
    let token = |name: &str| json!({"provider_name": name});
    let all = |list: &[Value]| json!({"requires_all": {"requirements": list}});
    let any = |list: &[Value]| json!({"requires_any": {"requirements": list}});
    let missing = || json!({"allow_missing": {}});
    let optional = || any(&[token("first"), missing()]);
    let configuration = |requirement: Value, session: bool| {
        let keys = json!({"inline_string": jwk_set(&[&es256()])});
        let rules = json!([{"match": {"prefix": "/"}, "requires": requirement}]);
        json!({
            "providers": {
                "first": {"local_jwks": keys},
                "second": {"local_jwks": keys, "from_cookies": ["second"]},
            },
            "rules": rules,
            "requirement_map": {"some": requirement},
            "session_headers": session,
        })
    };
    for requirement in [
        all(&[optional(), token("second")]),
        all(&[missing(), token("second")]),
        all(&[json!({}), optional(), token("second")]),
        all(&[all(&[optional()]), token("second")]),
        any(&[token("first"), all(&[optional(), token("second")])]),
        all(&[token("first"), all(&[optional(), token("second")])]),
        all(&[any(&[token("first"), all(&[json!({})])]), token("second")]),
    ] {
        let found = faults(&configuration(requirement.clone(), true));
        for path in ["rules[0]: the session", "requirement_map.some: the session"] {
            assert!(
                found.iter().any(|fault| fault.starts_with(path)),
                "{found:?}"
            );
        }
        assert!(read_value(&configuration(requirement, false)).is_ok());
    }
    for requirement in [
        all(&[token("second"), optional()]),
        all(&[token("first"), token("second")]),
        all(&[optional(), token("first")]),
        any(&[token("first"), missing()]),
        all(&[any(&[json!({})]), token("first"), token("second")]),
    ] {
        let read = read_value(&configuration(requirement.clone(), true));
        assert!(read.is_ok(), "{requirement}: {read:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn uri_templates_are_refused_with_a_way_out() {
    let template = json!({"name": "envoy.path.match.uri_template.uri_template_matcher"});
    let matches = json!([{"match": {"path_match_policy": template}}]);
    let found = faults(&with(&["rules"], matches));
    let expected = "rules[0].match.path_match_policy: \
                    URI templates are not supported; hint: `safe_regex`";
    assert!(found.iter().any(|fault| fault == expected), "{found:?}");
}
