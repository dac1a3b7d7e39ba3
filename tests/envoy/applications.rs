//! The client that app developers start from, in front of a gate.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::revocation::scene::{session, settings};
use crate::support::{Authority, Bootstrap, Envoy, Plugin, until};

/// The client, compiled; `None` where that was not done, and need not be.
fn module() -> Option<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let module = target.join("samples/client.js");
    if !module.exists() {
        let is_required = env::var_os("PORTCULLIS_EVERY_CLIENT").is_some();
        assert!(!is_required, "no {}", module.display());
        eprintln!("LEFT OUT: `./build.sh test envoy` compiles the client");
        return None;
    }
    Some(module.canonicalize().unwrap())
}

#[test]
fn requests_refreshes_and_sign_outs_of_the_client_may_cross() {
    let Some(module) = module() else { return };
    let output = Command::new("node")
        .arg("tests/envoy/applications/races.mjs")
        .arg(module)
        .output()
        .expect("node");
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let found: Vec<Value> = printed
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let expected = json!([
        {"story": "two at once", "outcomes": [200, 200], "token": "new", "refreshes": 1,
         "requests": 4, "ended": []},
        {"story": "a refresh that fails", "outcomes": ["refresh_failed", "refresh_failed"],
         "refreshes": 1, "requests": 2, "ended": ["refresh_failed"]},
        {"story": "a sign-out during a refresh", "outcomes": [200, "done"], "refreshes": 1,
         "requests": 3, "ended": ["signed_out"]},
        {"story": "a refresh during a sign-out", "outcomes": ["done", "token_expired"],
         "refreshes": 0, "requests": 2, "ended": ["signed_out"]},
        {"story": "tokens that are never good", "outcomes": ["token_expired"], "refreshes": 1,
         "requests": 2, "ended": ["token_expired"]},
        {"story": "offline when it would refresh ahead", "outcomes": [], "token": "old",
         "refreshes": 1, "requests": 3, "ended": []},
        {"story": "a request that crosses a refresh ahead", "outcomes": [200, 200],
         "token": "new", "refreshes": 1, "requests": 5, "ended": []},
        {"story": "a request that crosses a refresh ahead that fails",
         "outcomes": ["token_revoked", "token_revoked"], "refreshes": 1, "requests": 3,
         "ended": ["token_revoked"]},
        {"story": "a refresh between two sign-outs", "outcomes": ["done", "token_expired"],
         "refreshes": 0, "requests": 3, "ended": ["signed_out"]},
        {"story": "asked to wait, and waited: true", "outcomes": [200], "token": "old",
         "refreshes": 0, "requests": 2, "ended": []},
    ]);
    assert_eq!(Value::from(found), expected, "{errors}");
}

#[test]
fn the_client_for_applications_refreshes_once_and_signs_out() {
    let Some(module) = module() else { return };
    let authority = Authority::for_users(&[]);
    let mut configuration = settings(&authority, &json!({}));
    configuration["sign_out"] = json!({"path": "/session/sign-out"});
    let protected = json!({"match": {"prefix": "/session"}, "requires": {"provider_name": "demo"}});
    configuration["rules"]
        .as_array_mut()
        .unwrap()
        .insert(0, protected);
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration));
    let envoy = Envoy::start(&bootstrap.with_authority(authority.address()));
    let generations = "wasmcustom.portcullis.feed.generations";
    until(|| envoy.log(), || envoy.stat(generations).unwrap_or(0) > 0);

    let output = Command::new("node")
        .arg("tests/envoy/applications/story.mjs")
        .arg(format!("http://{}", envoy.address_of("portcullis")))
        .arg(module)
        .arg(session("phone").expiring_in(-90).to_string())
        .arg(session("phone").to_string())
        .output()
        .expect("node");
    let expected = "statuses 200 200 200 200 200, refreshed 1\n\
                    not for this caller: 403\n\
                    ended signed_out\n\
                    ended token_revoked\n\
                    signed out: token_revoked\n";
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(printed, expected, "{errors}\n{}", envoy.log());
}
