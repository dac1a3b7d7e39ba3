//! The client that app developers start from, in front of a gate.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use serde_json::json;

use crate::revocation::scene::{session, settings};
use crate::support::{Authority, Bootstrap, Envoy, Plugin, until};

#[test]
fn the_client_for_applications_refreshes_once_and_signs_out() {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let module = target.join("samples/client.js");
    if !module.exists() {
        let is_required = env::var_os("PORTCULLIS_EVERY_CLIENT").is_some();
        assert!(!is_required, "no {}", module.display());
        eprintln!("LEFT OUT: `./build.sh test envoy` compiles the client");
        return;
    }
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
        .arg(module.canonicalize().unwrap())
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
