#[cfg(not(target_family = "wasm"))]
mod closed;
#[cfg(not(target_family = "wasm"))]
mod readme;
mod records;
#[cfg(not(target_family = "wasm"))]
mod review;
#[cfg(not(target_family = "wasm"))]
mod spelling;

use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::gate::Posture;
use std::time::Duration;

use crate::gate::extraction::{CookieLocation, Duplicates, HeaderLocation};
use crate::gate::keys::{self, KeySource, RemoteKeys, RemoteSource, Retries};
use crate::gate::session::{ClaimHeader, Form};
use crate::token::KeyRules;
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

fn faults(configuration: &Value) -> Vec<String> {
    let faults = read_value(configuration).map(|_| ()).unwrap_err();
    faults.iter().map(ToString::to_string).collect()
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
    let mut place = &mut configuration;
    for name in path {
        place = match name.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[*name],
        };
    }
    *place = value;
    configuration
}

#[wasm_bindgen_test(unsupported = test)]
fn every_key_is_read_into_the_policy() {
    let configured = read_value(&complete()).unwrap();
    assert_eq!(configured.warnings, []);
    let policy = configured.policy;
    assert!(policy.allow_unmatched);
    assert_eq!(policy.answers.realm, "api");
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
fn remote_keys_are_read_with_everything_that_fetching_needs() {
    let policy = read_value(&complete()).unwrap().policy;
    let remote = |name: &str| {
        let mut sources = policy.key_sources();
        match sources.find(|(provider, _)| *provider == name) {
            Some((_, KeySource::Remote(remote))) => remote.clone(),
            other => panic!("{other:?}"),
        }
    };
    let location = |path: &str| keys::Location {
        authority: "idp.example".into(),
        path: path.into(),
    };
    let expected = RemoteKeys {
        source: RemoteSource::JwkSet(location("/jwks")),
        cluster: "idp".into(),
        timeout: Duration::from_secs(2),
        cache_duration: Duration::from_mins(5),
        failed_refetch: Duration::from_millis(500),
        retries: Retries {
            number: 3,
            base_interval: Duration::from_millis(100),
            max_interval: Duration::from_secs(2),
        },
        max_stale: Duration::from_hours(1),
        rules: KeyRules::default(),
    };
    assert_eq!(remote("remote"), expected);
    let discovered = remote("searched");
    let expected = RemoteSource::Discovery {
        document: location("/realm/.well-known/openid-configuration"),
        issuer: "https://idp.example/realm/".into(),
    };
    assert_eq!(discovered.source, expected);
    assert_eq!(discovered.cache_duration, Duration::from_mins(10));
    assert_eq!(discovered.retries.number, 0);
}

#[wasm_bindgen_test(unsupported = test)]
fn faults_of_key_sources_say_what_to_do() {
    let keys = |key: &str, source: Value| json!({"providers": {"idp": {key: source}}});
    let uri = |uri: &str| json!({"http_uri": {"uri": uri, "cluster": "idp"}});
    for (configuration, expected) in [
        (
            keys("local_jwks", json!({"filename": "/jwks.json"})),
            "providers.idp.local_jwks.filename: a WebAssembly module cannot read files",
        ),
        (
            keys("local_jwks", json!({"inline_bytes": "%"})),
            "providers.idp.local_jwks.inline_bytes: expected base64",
        ),
        (
            keys("remote_jwks", uri("idp.example")),
            "providers.idp.remote_jwks.http_uri.uri: expected a URL",
        ),
        (
            keys("remote_jwks", json!({})),
            "providers.idp.remote_jwks: expected either `http_uri` or `openid_discovery`",
        ),
        (
            keys(
                "remote_jwks",
                json!({"openid_discovery": {"cluster": "idp"}}),
            ),
            "providers.idp.remote_jwks.openid_discovery: `issuer` is missing",
        ),
        (
            keys(
                "remote_jwks",
                json!({"http_uri": {"uri": "https://a/", "cluster": "a", "timeout": "0s"}}),
            ),
            "providers.idp.remote_jwks.http_uri.timeout: expected a duration above zero",
        ),
    ] {
        let found = faults(&configuration);
        assert!(
            found.iter().any(|fault| fault.starts_with(expected)),
            "{expected}: {found:?}"
        );
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
    assert_eq!(policy.answers.realm, "portcullis");
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

/// What lies below it is taken off every request.
#[wasm_bindgen_test(unsupported = test)]
fn no_prefix_of_session_headers_takes_off_what_requests_need() {
    for (prefix, lost) in [
        ("x-", "x-b3-traceid"),
        ("X_Forwarded.", "x-forwarded-for"),
        ("content", "content-type"),
        ("ho", "host"),
    ] {
        let found = faults(&with(&["session_header_prefix"], json!(prefix)));
        let expected = format!("would be taken off every request, `{lost}` too");
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
fn an_unset_variable_is_a_fault_and_a_key_that_is_left_out_a_warning() {
    let source = |source: Value| with(&["providers", "idp", "local_jwks"], source);
    let found = faults(&source(json!({"environment_variable": "NOT_SET"})));
    assert!(
        found[0].starts_with("providers.idp.local_jwks.environment_variable: "),
        "{found:?}"
    );

    let mut set: Value = serde_json::from_str(&jwk_set(&[&es256()])).unwrap();
    set["keys"]
        .as_array_mut()
        .unwrap()
        .push(json!({"kty": "oct", "k": "AAAA"}));
    let configured = read_value(&source(json!({"inline_string": set.to_string()}))).unwrap();
    assert_eq!(configured.warnings.len(), 1);
    let warning = configured.warnings[0].to_string();
    assert!(warning.contains("keys[1] is left out"), "{warning}");
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

/// The table in the README is what operators read; the code is what they get.
#[cfg(not(target_family = "wasm"))]
#[test]
fn the_readme_lists_exactly_the_keys_that_are_read() {
    let configuration = complete();
    let reading = Reading::new(&|_| Variable::Unknown);
    policy(&Node::root(&configuration, &reading)).unwrap();
    let asked = reading.asked.borrow();
    let read: std::collections::BTreeSet<_> = asked.iter().map(|key| as_documented(key)).collect();

    let readme = include_str!("../../../README.md");
    let (_, table) = readme.split_once("<!-- configuration keys -->").unwrap();
    let (table, _) = table
        .split_once("<!-- end of configuration keys -->")
        .unwrap();
    let rows = table
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split_once('`'));
    let documented: std::collections::BTreeSet<_> = rows.map(|(key, _)| key.to_owned()).collect();
    assert_eq!(documented, read);
}

#[wasm_bindgen_test(unsupported = test)]
fn revocation_is_strict_unless_told_otherwise() {
    let settings = read_value(&complete()).unwrap().policy.revocation.unwrap();
    assert_eq!(settings.on_unconfirmed, Posture::Allow);
    assert_eq!(settings.max_staleness, Duration::from_secs(20));
    let least = json!({
        "cluster": "authority",
        "credential": {"inline_string": "edge"},
        "public_keys": ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"],
    });
    let settings = read_value(&with(&["revocation"], least)).unwrap();
    let settings = settings.policy.revocation.unwrap();
    for posture in [
        settings.on_stale,
        settings.on_missing_feed,
        settings.on_unconfirmed,
        settings.on_unnamed,
    ] {
        assert_eq!(posture, Posture::Deny);
    }
    assert_eq!(settings.authority, "authority");
    assert!(
        !format!("{settings:?}").contains("edge"),
        "the credential is not shown"
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

#[wasm_bindgen_test(unsupported = test)]
fn faults_of_revocation_are_told_with_their_paths() {
    let found = faults(&with(
        &["revocation"],
        json!({
            "credential": {},
            "public_keys": ["AAAA"],
            "max_staleness": "1s",
            "on_stale": "perhaps",
            "on_unconfirmed": "confirm",
        }),
    ));
    for expected in [
        "revocation: `cluster` is missing",
        "revocation.credential: expected either `inline_string` or `environment_variable`",
        "revocation.max_staleness: expected at least `3s`: heartbeats come every third of it",
        "revocation.on_stale: expected `deny`, `confirm` or `allow`",
        "revocation.on_unconfirmed: expected `deny` or `allow`",
        "revocation.public_keys[0]: \
         expected an Ed25519 public key: 32 bytes in base64url without padding",
    ] {
        assert!(
            found.iter().any(|fault| fault == expected),
            "{expected}: {found:?}"
        );
    }
}

/// Otherwise a revoked token would pass again between the end of its entry and its own.
#[wasm_bindgen_test(unsupported = test)]
fn no_provider_lets_tokens_pass_for_longer_than_their_revocations_are_kept() {
    let with_skew = |seconds: u32| {
        let mut configuration = complete();
        for provider in configuration["providers"]
            .as_object_mut()
            .unwrap()
            .values_mut()
        {
            provider["clock_skew_seconds"] = seconds.into();
        }
        configuration
    };
    assert!(read_value(&with_skew(600)).is_ok());
    let found = faults(&with_skew(601));
    assert!(
        found
            .iter()
            .all(|fault| fault.contains("expected at most 600 with `revocation`")),
        "{found:?}"
    );
    let mut without = with_skew(601);
    without.as_object_mut().unwrap().remove("revocation");
    assert!(read_value(&without).is_ok());
}

/// Names that the operator chooses, places in lists, and what can stand in several places, as
/// they are written in the README.
#[cfg(not(target_family = "wasm"))]
fn as_documented(key: &str) -> String {
    let mut key = key.to_owned();
    for digit in 0..10 {
        key = key.replace(&format!("[{digit}]"), "[]");
    }
    for (name, written) in [
        ("providers.idp", "providers.<name>"),
        ("providers.remote", "providers.<name>"),
        ("providers.searched", "providers.<name>"),
        ("requirement_map.some", "requirement_map.<name>"),
        (
            "filter_state_rules.requires.some",
            "filter_state_rules.requires.<name>",
        ),
        (
            "requirement_by_route_name.route",
            "requirement_by_route_name.<route>",
        ),
    ] {
        key = key.replace(name, written);
    }
    key = key.replace("[\"@type\"]", "@type");
    for (place, written) in [
        ("safe_regex", "<regex>"),
        ("safe_regex_match", "<regex>"),
        ("string_match", "<text>"),
        ("subjects", "<text>"),
        ("issuer_pattern", "<text>"),
        ("requirements[]", "<requirement>"),
        ("filter_state_rules.requires.<name>", "<requirement>"),
        ("requires", "<requirement>"),
        ("requirement_map.<name>", "<requirement>"),
        ("match.headers[]", "<header>"),
        ("match.query_parameters[]", "<parameter>"),
    ] {
        if let Some((_, rest)) = key.rsplit_once(&format!("{place}.")) {
            return format!("{written}.{rest}");
        }
    }
    key
}
