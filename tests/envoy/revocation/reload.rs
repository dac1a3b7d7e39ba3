//! A machine that crashed and was replaced (`failure_policy: FAIL_RELOAD`).
//!
//! There is only one known way to crash it: the same module is given less memory than its cache of
//! tokens grows to, and a Rust program that gets no memory traps.

use std::time::Instant;

use serde_json::json;

use super::scene::{session, settings};
use crate::support::{
    Authority, Bootstrap, Client, Envoy, PATIENCE, Plugin, Request, assert_refused, until,
};

/// Four MiB: enough for the feed, and a sixth of what the cache may grow to.
const MAX_PAGES: u32 = 64;

#[test]
fn a_machine_that_crashed_is_replaced_and_says_the_same_as_before() {
    let authority = Authority::start();
    for value in ["before", "restored"] {
        authority.revoke("session", value);
    }
    // Issued before the cut-off.
    let bob = Request::get("/api").bearer(session("bob").claim("sub", "bob"));
    authority.revoke("subject", "bob");
    let plugin = Plugin::new(&settings(&authority, &json!({}))).in_a_small_machine(MAX_PAGES);
    let bootstrap = Bootstrap::with_plugin(plugin).with_authority(authority.address());
    let envoy = Envoy::start(&bootstrap);
    let generations = || envoy.stat("wasmcustom.portcullis.feed.generations");
    until(|| envoy.log(), || generations() >= Some(1));
    let mut clients = envoy.client_of_every_worker();
    let ask = |value: &str| Request::get("/api").bearer(session(value));
    for client in &mut clients {
        until(|| envoy.log(), || client.send(&ask("before")).status == 401);
        assert_refused(&client.send(&bob), 401, "token_revoked");
        assert_eq!(client.send(&ask("innocent")).status, 200);
    }
    for round in 0..2 {
        for client in &mut clients {
            crash(client);
        }
        authority.revoke("session", &format!("while-it-is-down-{round}"));
        for client in &mut clients {
            until(
                || envoy.log(),
                || client.send(&ask("innocent")).status == 200,
            );
            assert_refused(&client.send(&ask("before")), 401, "token_revoked");
            assert_refused(&client.send(&bob), 401, "token_revoked");
        }
        authority.revoke("session", &format!("after-{round}"));
        authority.restore_access("session", "restored");
        for client in &mut clients {
            for value in ["while-it-is-down", "after"] {
                let request = ask(&format!("{value}-{round}"));
                until(|| envoy.log(), || client.send(&request).status == 401);
            }
            let request = ask("restored");
            until(|| envoy.log(), || client.send(&request).status == 200);
        }
        authority.revoke("session", "restored");
    }
    let reloads = envoy.stat("wasm.portcullis.vm_reload_success").unwrap_or(0);
    assert!(reloads >= 4, "{reloads} in {}", envoy.log());
}

/// Lets a worker's cache grow until its machine has no memory left.
fn crash(client: &mut Client) {
    let padding = "x".repeat(6_000);
    let deadline = Instant::now() + PATIENCE;
    for number in 0.. {
        let token = session(&format!("filler-{number}")).claim("padding", padding.as_str());
        match client.try_send(&Request::get("/api").bearer(token)) {
            Ok(reply) if reply.status == 200 => {}
            // What Envoy answers for a machine that is not there.
            Ok(reply) => {
                assert_eq!(reply.status, 503, "{reply:?}");
                assert_eq!(reply.body, "", "{reply:?}");
                return;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "the machine does not crash");
    }
}
