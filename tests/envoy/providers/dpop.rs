//! Tokens that a real provider has bound to a key, with which a certified library for clients asks through the
//! gate (DPoP, RFC 9449).

use std::env;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::application::{API, CALLBACK, Provider, VERIFIER};
use super::browser::Browser;
use super::oidc_provider::OidcProvider;
use super::process::is_there;
use super::scene::{PHONE, address_of};
use crate::support::{Bootstrap, Envoy, Listener, Plugin, make_certificate};

/// The program that is the client.
const PROGRAM: &str = "tests/envoy/providers/dpop.mjs";

/// Where the client's library is installed.
fn library() -> Option<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let library = target.join("tools/oauth4webapi/node_modules/oauth4webapi");
    let how = "`./build.sh test envoy` installs it";
    is_there(library.exists(), "oauth4webapi", how)?;
    Some(library.canonicalize().unwrap())
}

/// What an operator writes for such a provider.
fn settings(provider: &OidcProvider, dpop: &Value) -> Value {
    let keys = provider.endpoints().of("jwks_uri");
    json!({
        "providers": {
            "provider": {
                "issuer": provider.issuer(),
                "audiences": [API],
                "remote_jwks": {"http_uri": {"uri": keys, "cluster": "provider", "timeout": "5s"}},
                "proof_of_possession": {"dpop": dpop},
            },
        },
        "rules": [{
            "match": {"prefix": "/api"},
            "requires": {"provider_name": "provider", "token_types": ["at+jwt"]},
        }],
        "session_headers": true,
    })
}

/// What the client has found, which signs a user in and asks through a gate with these settings; nothing where
/// something of it is not installed.
fn found(dpop: &Value) -> Option<Value> {
    let library = library()?;
    let provider = OidcProvider::start(&["sid"])?;
    // Nothing listens for sign-outs.
    provider.register(&PHONE, CALLBACK);
    let directory = tempfile::tempdir().unwrap();
    let server = make_certificate(directory.path());
    let listener = Listener::portcullis(Plugin::new(&settings(&provider, dpop)));
    let listener = listener.over_tls(&server, &server.0);
    let bootstrap = Bootstrap::new([listener]);
    let envoy = Envoy::start(&bootstrap.with_cluster("provider", address_of(provider.issuer())));
    // Without a consent there is no refresh token.
    let page = provider.authorize(&mut Browser::of("alice"), &PHONE, "prompt=consent");
    let input = json!({
        "issuer": provider.issuer(),
        "client_id": PHONE.client_id,
        "callback": page.url,
        "redirect_uri": CALLBACK,
        "verifier": VERIFIER,
        "resource": API,
        "url": format!("https://{}", envoy.address_of("portcullis")),
    });
    let output = Command::new("node")
        .arg(PROGRAM)
        .arg(library)
        .arg(input.to_string())
        .env("NODE_EXTRA_CA_CERTS", server.0)
        .output()
        .expect("node");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{}", envoy.log());
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// Asserts that what the client has asked for was answered, of which the first took so many requests, and that
/// the thief was refused.
#[track_caller]
fn assert_is_good_for_the_phone_alone(found: &Value, requests: u64) {
    assert_eq!(found["types"], json!(["dpop", "dpop"]));
    let passed = |requests: u64| json!({"requests": requests, "status": 200, "key": found["key"], "proof": null});
    // The gate has to fetch the provider's keys for it.
    assert_eq!(found["first"], passed(requests), "{found}");
    assert_eq!(found["post"], passed(1), "{found}");
    let many = found["many"].as_array().unwrap();
    assert_eq!(many.len(), 20);
    assert!(many.iter().all(|one| *one == passed(1)), "{found}");
    let refused = |code: &str| json!({"requests": 1, "status": 401, "code": code});
    let expected = [refused("proof_invalid"), refused("scheme_mismatch")];
    assert_eq!(found["stolen"], Value::from(expected.to_vec()), "{found}");
    assert_eq!(found["later"], passed(1), "{found}");
}

#[test]
fn a_library_sends_bound_tokens_of_a_provider_as_the_gate_wants_them() {
    if let Some(found) = found(&json!({})) {
        assert_is_good_for_the_phone_alone(&found, 1);
    }
}

#[test]
fn a_library_asks_again_with_the_nonce_that_the_gate_requires() {
    if let Some(found) = found(&json!({"nonce": "required"})) {
        assert_is_good_for_the_phone_alone(&found, 2);
    }
}
