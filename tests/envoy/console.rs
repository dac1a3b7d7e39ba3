//! The console in a real browser, and what a real Envoy does about what is done there.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::revocation::scene::{session, settings};
use crate::support::{Authority, Bootstrap, Envoy, Plugin, Request, until};

/// In every name that someone else can choose. As text, it is on the page; as markup, it would open a dialog,
/// or fail to load.
const HOSTILE: &str = "\"'><img/src=x/onerror=alert(1)><script>alert(2)</script>";

/// The browser and what drives it, or a word about what is missing.
fn needs() -> Option<(PathBuf, PathBuf)> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut programs = env::split_paths(&path).map(|directory| directory.join("chromium"));
    let browser = programs.find(|program| program.exists());
    let modules =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/playwright-core/node_modules");
    let modules = Some(modules).filter(|modules| modules.join("playwright-core").exists());
    let found = browser.zip(modules);
    let how = "`sudo apt-get install chromium`, and `npm install --no-save --prefix \
               target/tools/playwright-core playwright-core`";
    let is_required = env::var_os("PORTCULLIS_EVERY_CLIENT").is_some();
    assert!(
        found.is_some() || !is_required,
        "no browser to drive: {how}"
    );
    if found.is_none() {
        eprintln!("LEFT OUT: no browser to drive: {how}");
    }
    found
}

/// An Envoy that calls itself by a hostile name and reports who is signed in.
fn envoy(authority: &Authority) -> Envoy {
    let mut configuration = settings(authority, &json!({}));
    let credential = authority.admin_credential();
    configuration["revocation"]["credential"] = json!({"inline_string": credential});
    configuration["activity"] = json!({"report": true, "interval": "2s"});
    let node = json!({"id": HOSTILE, "cluster": "test"});
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration)).with_member("node", node);
    let envoy = Envoy::start(&bootstrap.with_authority(authority.address()));
    let generations = || envoy.stat("wasmcustom.portcullis.feed.generations");
    until(|| envoy.log(), || generations().unwrap_or(0) > 0);
    envoy
}

#[test]
fn an_operator_signs_a_user_out_in_a_browser_and_the_edge_refuses_the_token() {
    let Some((browser, modules)) = needs() else {
        return;
    };
    let authority = Authority::start_with(&["--console"]);
    let envoy = envoy(&authority);
    let token = session("a-session").claim("client_id", "app").to_string();
    let request = Request::get("/api")
        .bearer(&token)
        .header("user-agent", "okhttp/4.12.0");
    assert_eq!(envoy.client().send(&request).status, 200);
    let hostile = json!({
        "issuer": HOSTILE, "subject": HOSTILE, "sid": HOSTILE, "client": HOSTILE, "device": HOSTILE,
        "first_seen_ago": 5_000, "last_seen_ago": 1_000, "requests": 3,
        "sightings": [{"user_agent": HOSTILE, "requests": 3, "last_seen_ago": 1_000}],
    });
    let reports = json!({"version": 1, "reports": [hostile]});
    let (status, text) = authority.post("/v1/activity", &reports.to_string());
    assert_eq!(status, 204, "{text}");
    let revocation = json!({"kind": "device", "issuer": HOSTILE, "value": HOSTILE, "actor": HOSTILE,
                            "reason": HOSTILE, "subject": HOSTILE, "origin": HOSTILE});
    let (status, text) = authority.post("/v1/revocations", &revocation.to_string());
    assert_eq!(status, 200, "{text}");
    let is_known = || {
        let (_, text) = authority.get("/v1/sessions");
        let answer: Value = serde_json::from_str(&text).unwrap();
        let sessions = answer["sessions"].as_array().unwrap();
        sessions.iter().any(|session| session["sid"] == "a-session")
    };
    until(|| authority.log(), is_known);
    let setup = json!({
        "browser": browser,
        "modules": modules,
        "console": format!("http://{}/console", authority.address()),
        "api": format!("http://{}/api", envoy.address_of("portcullis")),
        "credential": authority.admin_credential(),
        "subject": "alice",
        "sid": "a-session",
        "token": token,
        "hostile": HOSTILE,
    });
    let driver = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/envoy/console/browser.mjs");
    let output = Command::new("node")
        .arg(driver)
        .arg(setup.to_string())
        .output();
    let output = output.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{}", authority.log());
    assert!(
        !authority.log().contains(&token),
        "the token that was pasted"
    );
}
