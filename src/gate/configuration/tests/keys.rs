//! Where keys come from.

use super::*;
use crate::keys::{KeySource, RemoteKeys, RemoteSource, Retries, Url};
use crate::token::KeyRules;

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
    let url = |path: &str| Url {
        authority: "idp.example".into(),
        path: path.into(),
    };
    let expected = RemoteKeys {
        source: RemoteSource::JwkSet(url("/jwks")),
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
        document: url("/realm/.well-known/openid-configuration"),
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
