//! What the listener says of its interface, to operators.

use std::collections::BTreeSet;

use super::*;

const RECEIVERS: [&str; 3] = [
    "/backchannel-logout",
    "/global-token-revocation/{name}",
    "/ssf/streams/{name}",
];

const FOR_CLIENTS: [&str; 4] = [
    "/.well-known/oauth-authorization-server",
    "/oauth/introspect",
    "/oauth/jwks",
    "/oauth/revoke",
];

/// The same with an OAuth client.
fn for_clients(directory: &Path) -> Authority {
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    let keys = json!({"jwks_file": "jwks.json"});
    let known = json!({"issuers": [{"issuer": ISSUER, "keys": keys, "audiences": ["api"]}]});
    write("jwks.json", &jwks(&["es256"]));
    write("secret", &"s".repeat(32));
    write("authority.json", &known.to_string());
    let client = json!({
        "client_id": "web", "secret": {"file": "secret"}, "revoke": {"issuers": [ISSUER]},
    });
    let members = json!({"public_url": "https://signals.example", "oauth": {"clients": [client]}});
    let signals = configure(directory, &[issuer(&keys, &json!({}))], &members);
    let own = directory.join("authority.json");
    let arguments = ["--signals", &signals, "--config", own.to_str().unwrap()];
    Authority::start_with(directory, &arguments)
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false);
    config.build().into()
}

/// Each path is served by the methods that it describes, and by no others.
fn expect_described(authority: &Authority, expected: &[&str]) -> Value {
    let document = authority.get("/v1/openapi-signals.json").json();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<_> = paths.keys().map(String::as_str).collect();
    assert_eq!(described, expected.iter().copied().collect());
    for (path, operations) in paths {
        let url = authority.signals_url.as_deref().unwrap();
        let url = format!("{url}{}", path.replace("{name}", "a"));
        let answer = agent().delete(&url).call().unwrap();
        assert_eq!(answer.status(), 405, "{path}");
        let allowed = answer.headers()["allow"].to_str().unwrap();
        let allowed = allowed.split(',').filter(|method| *method != "HEAD");
        let allowed: BTreeSet<_> = allowed.map(str::to_ascii_lowercase).collect();
        let operations = operations.as_object().unwrap();
        assert_eq!(allowed, operations.keys().cloned().collect(), "{path}");
    }
    document
}

#[test]
fn the_description_is_of_what_is_served() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    let document = expect_described(&authority, &RECEIVERS);
    assert_eq!(document["openapi"], "3.1.0");
    // What is served where nothing is described is another status.
    for path in FOR_CLIENTS {
        let url = format!("{}{path}", authority.signals_url.as_deref().unwrap());
        assert_eq!(agent().get(&url).call().unwrap().status(), 404, "{path}");
    }
}

#[test]
fn the_paths_for_clients_are_described_where_they_are_served() {
    let directory = directory();
    let authority = for_clients(directory.path());
    let document = expect_described(&authority, &[&RECEIVERS[..], &FOR_CLIENTS].concat());
    let url = &document["servers"][0]["variables"]["url"]["default"];
    assert_eq!(url, "https://signals.example");
}

#[test]
fn an_authority_without_the_listener_describes_none() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    assert_eq!(authority.get("/v1/openapi-signals.json").status, 404);
}
