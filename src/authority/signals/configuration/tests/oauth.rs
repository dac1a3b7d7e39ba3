use super::*;
use crate::authority::signals::{OAuthClient, RevokeRule, RevokeScope};

/// A file with a client that has this member, beside one that nothing is wrong with.
fn with_client(name: &str, value: Value) -> Value {
    let client = json!({
        "client_id": "web", "secret": {"file": "s"}, "revoke": {"issuers": ["https://a"]},
    });
    let mut changed = client.clone();
    changed["client_id"] = json!("app");
    changed[name] = value;
    json!({"public_url": "https://s", "oauth": {"clients": [client, changed]}})
}

#[test]
fn oauth_clients_alone_are_reason_enough_to_listen() {
    let configured = read(&with_client("client_id", json!("app")));
    assert_eq!((configured.faults, configured.warnings), (vec![], vec![]));
    let configuration = configured.configuration.unwrap();
    assert_eq!(configuration.issuers, []);
    let [web, _] = configuration.oauth.unwrap().clients.try_into().unwrap();
    let expected = OAuthClient {
        client_id: "web".to_owned(),
        secret: Some(SecretSource {
            at: "oauth.clients[0].secret".to_owned(),
            place: SecretPlace::File("/etc/portcullis/s".into()),
        }),
        keys: None,
        revoke: Some(RevokeRule {
            issuers: vec!["https://a".to_owned()],
            ends: RevokeScope::Token,
            client_claim: None,
        }),
        introspect: None,
    };
    assert_eq!(web, expected);
}

#[test]
fn every_fault_of_an_oauth_client_is_told_with_its_path() {
    let client = "oauth.clients[1]";
    for (name, value, expected) in [
        ("client_id", json!("web"), ": `web` is in the list already"),
        (
            "client_id",
            json!("wéb"),
            ".client_id: expected letters, digits, blanks and signs of ASCII",
        ),
        (
            "client_id",
            json!("x".repeat(129)),
            ".client_id: expected at most 128 bytes",
        ),
        (
            "secret",
            json!({}),
            ".secret: expected either `env` or `file`",
        ),
        (
            "secret",
            json!("s"),
            ".secret: expected an object, found a string",
        ),
        (
            "secret",
            json!({"file": "a", "value": "b"}),
            ".secret.value: unknown key, expected one of `env` and `file`",
        ),
        (
            "keys",
            json!({"jwks_uri": "http://keys.example"}),
            ".keys.jwks_uri: expected a URL that begins with `https://`, or with `http://` where its \
             host is on loopback",
        ),
        (
            "keys",
            json!({"jwks_file": "a", "certificate_authority": "b"}),
            ".keys.certificate_authority: has no effect without a server",
        ),
        ("revoke", json!({}), ".revoke: `issuers` is missing"),
        (
            "revoke",
            json!({"issuers": []}),
            ".revoke.issuers: expected at least one issuer",
        ),
        (
            "revoke",
            json!({"issuers": ["a"], "ends": "user"}),
            ".revoke.ends: expected `token`, `rotated_token` or `session`",
        ),
        (
            "revoke",
            json!({"issuers": ["a"], "client_claim": 7}),
            ".revoke.client_claim: expected a string, found a number",
        ),
        (
            "introspect",
            json!({}),
            ".introspect: expected either `audiences` or `any_audience`",
        ),
        (
            "introspect",
            json!({"audiences": []}),
            ".introspect.audiences: expected at least one audience",
        ),
        (
            "introspect",
            json!({"any_audience": false}),
            ".introspect.any_audience: expected `true`, or `audiences` in its place",
        ),
    ] {
        let document = with_client(name, value);
        assert_eq!(faults(&document), [format!("{client}{expected}")]);
    }
    let mut document = with_client("client_id", json!("app"));
    document["oauth"]["clients"][1]
        .as_object_mut()
        .unwrap()
        .remove("secret");
    let expected = "expected `secret`, `keys` or both: every client has to show who it is";
    assert_eq!(faults(&document), [format!("{client}: {expected}")]);
    let mut document = with_client("client_id", json!("app"));
    document.as_object_mut().unwrap().remove("public_url");
    let [fault] = faults(&document).try_into().unwrap();
    let fault: String = fault;
    assert!(
        fault.starts_with("oauth: `public_url` is missing beside it"),
        "{fault}"
    );
    let mut document = with_client("client_id", json!("app"));
    document["oauth"]["clients"][1]
        .as_object_mut()
        .unwrap()
        .remove("revoke");
    let [warning] = read(&document).warnings.try_into().unwrap();
    assert_eq!(warning.path, client);
}
