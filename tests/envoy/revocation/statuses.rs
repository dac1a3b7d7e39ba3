//! What an issuer says of its tokens in a status list.

use std::fs;

use serde_json::json;
use tempfile::TempDir;

use super::scene::Scene;
use crate::support::status_list::{referring, status_list};
use crate::support::{Authority, ISSUER, JwksServer, Token, jwks};

const PATH: &str = "/lists/1";

/// An Envoy that honours the lists of a server, which an authority looks after; and the files of that.
fn scene(server: &JwksServer) -> (Scene, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let keys = directory.path().join("jwks.json");
    fs::write(&keys, jwks(&["es256"])).expect("a file to write");
    let lists = format!("http://{}/lists/", server.address());
    let issuer = json!({
        "issuer": ISSUER, "keys": {"jwks_file": keys},
        "status_lists": {"uris": [lists], "refresh": "1s", "max_staleness": "4s"},
    });
    let file = directory.path().join("authority.json");
    fs::write(&file, json!({ "issuers": [issuer] }).to_string()).expect("a file to write");
    let authority = Authority::start_with(&["--config", file.to_str().expect("UTF-8")]);
    let scene = Scene::configured(authority, &json!({}), |configuration| {
        configuration["providers"]["demo"]["status_list"] = "honour".into();
    });
    scene.wait_for("portcullis.feed.generations", 1);
    (scene, directory)
}

#[test]
fn a_token_is_refused_while_its_list_says_so_and_others_go_on() {
    let server = JwksServer::start();
    let uri = format!("http://{}{PATH}", server.address());
    let publish = |statuses: &[u8]| server.serve(PATH, status_list(&uri, statuses));
    publish(&[0, 0, 0]);
    let (mut scene, _files) = scene(&server);
    let [first, second] = [0, 1].map(|index| referring(&uri, index));
    scene.assert_accepted(&first);
    scene.assert_accepted(&second);
    publish(&[2, 0, 0]);
    scene.wait_until_refused(&first, "token_suspended");
    for reply in scene.ask(&first) {
        let said = (reply.status, &reply.json()["action"]);
        assert_eq!(said, (401, &json!("wait")));
    }
    publish(&[1, 0, 0]);
    scene.wait_until_refused(&first, "token_revoked");
    publish(&[0, 0, 0]);
    scene.wait_until_accepted(&first);
    scene.assert_accepted(&second);
    assert!(scene.metric("portcullis.requests.refused.token_suspended.demo") >= 1);
    // No entry of the list, and no list.
    scene.assert_refused(&referring(&uri, 9), 503, "revocation_unavailable");
    let elsewhere = format!("http://{}/other", server.address());
    scene.assert_refused(&referring(&elsewhere, 0), 503, "revocation_unavailable");
    assert_eq!(server.requests("/other"), 0);
    let malformed = Token::signed_by("es256").claim("status", "active");
    scene.assert_refused(&malformed, 401, "status_malformed");
    // A token that refers to none is not concerned.
    scene.assert_accepted(&Token::signed_by("es256"));
    // Also one that is remembered, once nothing more is known of the list.
    server.answer(PATH, 500, None, "");
    scene.wait_until_refused(&second, "revocation_unavailable");
    publish(&[0, 1, 0]);
    scene.wait_until_refused(&second, "token_revoked");
    scene.wait_until_accepted(&first);
}
