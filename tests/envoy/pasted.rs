//! The commands in the documents, against a real gate: the answers are those that the documents
//! show.

use serde_json::json;

use crate::support::documents::{Scene, documents};
use crate::support::{
    Authority, Bootstrap, Envoy, Plugin, Request, Token, configuration, program, until,
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
        let authority = Authority::for_users(&[]);
        let envoy = gate(&authority);
        let scene = Scene {
            program: &program(),
            authority: &format!("http://{}", authority.address()),
            credential: authority.admin_credential(),
            gate: Some(envoy.address_of("portcullis")),
        };
        faults.extend(scene.run(&document));
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(answers >= 4, "{answers}");
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
