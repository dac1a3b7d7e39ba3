//! The commands in the documents, against a real gate: the answers are those that the documents
//! show.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::documents::{Scene, documents};
use crate::support::{
    Authority, Bootstrap, Envoy, Plugin, Request, Token, configuration, jwks, program, until,
};

#[test]
fn the_shell_blocks_of_the_documents_are_answered_as_they_say() {
    let mut faults = Vec::new();
    let mut answers = 0;
    for document in documents() {
        let blocks = document.shell_blocks();
        let mut asking = blocks.iter().filter(|block| block.text.contains("curl "));
        if asking.next().is_none() {
            continue;
        }
        answers += blocks.iter().filter(|block| block.answer.is_some()).count();
        let directory = tempfile::tempdir().unwrap();
        let signals = signals_file(directory.path());
        // With the clock of its issuer, as in the demo.
        let arguments = ["--signals", &*signals, "--clock-skew", "0s"];
        let authority = Authority::for_users(&arguments);
        let envoy = gate(&authority);
        let scene = Scene {
            program: &program(),
            authority: &format!("http://{}", authority.address()),
            credential: authority.admin_credential(),
            gate: Some(envoy.address_of("portcullis")),
            signals: Some(authority.signals_address()),
        };
        faults.extend(scene.run(&document));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(answers >= 4, "{answers}");
}

/// The one of the demo, on any port.
fn signals_file(directory: &Path) -> String {
    let write = |name: &str, text: &str| {
        let file = directory.join(name);
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    write("jwks.json", &jwks(&["es256"]));
    let text = fs::read_to_string("envoy/demo/signals.yaml").unwrap();
    let text = text.replace("127.0.0.1:10003", "127.0.0.1:0");
    write(
        "signals.yaml",
        &text.replace("../../target/demo/jwks.json", "jwks.json"),
    )
}

/// The gate of `envoy/envoy.yaml`, which the documents speak of.
fn gate(authority: &Authority) -> Envoy {
    let mut configuration = configuration();
    configuration["rules"] = json!([
        {"match": {"prefix": "/public/"}},
        {"match": {"prefix": "/"}, "requires": {"provider_name": "demo"}},
    ]);
    configuration["providers"]["demo"]["forward"] = json!(false);
    configuration["session_headers"] = json!(true);
    configuration["revocation"] = authority.settings();
    configuration["sign_out"] = json!({"path": "/session/sign-out"});
    configuration["sessions"] = json!({"path": "/session/devices"});
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration));
    let envoy = Envoy::start(&bootstrap.with_authority(authority.address()));
    // Until the first feed is loaded, every token is refused.
    let request = Request::get("/").bearer(Token::signed_by("es256").claim("sid", "s"));
    for mut client in envoy.client_of_every_worker() {
        until(|| envoy.log(), || client.send(&request).status == 200);
    }
    envoy
}
