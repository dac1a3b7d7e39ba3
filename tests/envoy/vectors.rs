//! The vectors of `tests/vectors/signatures` in a real Envoy, where the host checks those
//! signatures that it supports.

use serde_json::{Value, json};

use crate::support::{Bootstrap, Envoy, Listener, Plugin, Request};

fn listener(name: &str, group: &Value) -> Listener {
    let configuration = json!({
        "providers": {"vectors": {
            "local_jwks": {"inline_string": group["jwks"].to_string()},
            "allow_symmetric_keys": true,
            "require_expiration": false,
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "vectors"}}],
    });
    Listener::portcullis(Plugin::new(&configuration)).named(name)
}

/// Tries all tokens of a file that a header can carry and that have a claims set.
fn try_all(vectors: &str) -> usize {
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    let groups = vectors["testGroups"].as_array().unwrap();
    let name = |index: usize| format!("group-{index}");
    let listeners = groups.iter().enumerate();
    let listeners: Vec<_> = listeners
        .map(|(index, group)| listener(&name(index), group))
        .collect();
    let envoy = Envoy::start(&Bootstrap::new(listeners).with_workers(1));
    let mut tried = 0;
    for (index, group) in groups.iter().enumerate() {
        let mut client = envoy.client_of(&name(index));
        for test in group["tests"].as_array().unwrap() {
            let jws = test["jws"].as_str().unwrap();
            if jws.contains('\n') || test["flags"][0] == "NoClaims" {
                continue;
            }
            let reply = client.send(&Request::get("/").bearer(jws));
            let expected = if test["result"] == "valid" { 200 } else { 401 };
            let (kind, comment) = (&group["type"], &test["comment"]);
            assert_eq!(reply.status, expected, "{kind}: {comment}: {reply:?}");
            tried += 1;
        }
    }
    tried
}

#[test]
fn our_own_vectors_come_out_as_they_say() {
    let tried = try_all(include_str!("../vectors/signatures/own.json"));
    assert!(tried > 1_100, "{tried}");
}

#[test]
fn tokens_of_other_libraries_pass() {
    assert_eq!(
        try_all(include_str!("../vectors/signatures/pyjwt.json")),
        39
    );
    assert_eq!(try_all(include_str!("../vectors/signatures/jose.json")), 42);
}
