//! A certified library for OAuth clients against the authority.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::super::keys::jwks;
use super::super::process::{Authority, directory};
use super::{SECRET, URL, clients, command, is_revoked, token};

const PROGRAM: &str = "tests/authority/oauth/client.mjs";

/// Where it is installed. Only where nothing depends on it may its test be left out.
fn library() -> Option<PathBuf> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let library = target.join("tools/oauth4webapi/node_modules/oauth4webapi");
    let is_required = env::var_os("PORTCULLIS_EVERY_PROVIDER").is_some();
    let how = "no oauth4webapi here: `./build.sh test envoy` installs it";
    assert!(library.exists() || !is_required, "{how}");
    if !library.exists() {
        eprintln!("LEFT OUT: {how}");
        return None;
    }
    Some(library.canonicalize().unwrap())
}

#[test]
fn a_certified_library_revokes_and_introspects() {
    let Some(library) = library() else {
        return;
    };
    let directory = directory();
    let keys = json!({"jwks_file": "jwks.json"});
    let mut command = command(directory.path(), &keys, &json!({ "clients": clients() }));
    let key = include_str!("../../vectors/keys/es256-other.private.jwk.json");
    fs::write(directory.path().join("client.json"), jwks(&["es256-other"])).unwrap();
    let authority = Authority::spawn(&mut command);
    let tokens = ["web", "app"].map(|client| (client, token(client).claim("client_id", client)));
    let tokens = tokens.map(|(client, token)| (client.to_owned(), token.to_string().into()));
    let input = json!({
        "issuer": URL, "url": authority.signals_url, "secret": SECRET,
        "tokens": Value::Object(tokens.into_iter().collect()),
        "key": serde_json::from_str::<Value>(key).unwrap(),
    });
    let mut node = Command::new("node");
    node.arg(PROGRAM).arg(library).arg(input.to_string());
    let output = node.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}\n{}", authority.log());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let types = [
        "application/token-introspection+jwt",
        "application/json",
        "application/json",
    ];
    for (index, media_type) in types.into_iter().enumerate() {
        let (before, after) = (&found["before"][index], &found["after"][index]);
        assert_eq!(before["type"], media_type);
        assert_eq!(before["answer"]["active"], true, "{before}");
        let client = if index == 2 { "app" } else { "web" };
        assert_eq!(before["answer"]["client_id"], client);
        assert_eq!(after["type"], media_type);
        assert_eq!(after["answer"], json!({"active": false}));
    }
    assert_eq!(found["others"], "invalid_grant");
    assert_eq!(found["wrong"], "basic");
    assert!(is_revoked(&authority, "web"));
}
