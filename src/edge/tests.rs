//! Requests that wait, and calls that find their way, in a virtual machine whose host is a mock.

mod activity;
mod revocation;

use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

use super::mock::{OpenCall, VirtualMachine};
use super::*;
use crate::gate::{Admission, Outcome, Reason};
use crate::host::mock::{MockHost, MockProcess};
use crate::host::{Call, Expected, SharedData as _};
use crate::revocation::mock_authority::{self, MockAuthority, name_of};
use crate::revocation::{Change, Kind};
use crate::signer::Signer;
use crate::time::UnixTime;
use crate::token::fixtures::{eddsa, es256, jwk_set, token};

const ALLOWED: Option<Outcome> = Some(Outcome::Allowed(Admission::Verified));

/// 2026-01-01T00:00:00Z, when the clock of a mock process begins.
const NOW: u64 = 1_767_225_600;

/// One with keys from a server and a revocation feed.
fn configuration() -> Value {
    let keys = json!({"http_uri": {"uri": "https://idp/jwks", "cluster": "idp"}});
    let [first, second] = ["idp", "second"].map(|name| json!({"provider_name": name}));
    json!({
        "providers": {
            "idp": {"issuer": "iss", "remote_jwks": keys},
            "second": {
                "issuer": "iss", "remote_jwks": keys, "from_headers": [{"name": "x-token"}],
            },
        },
        "rules": [
            {
                "match": {"path": "/both"},
                "requires": {"requires_all": {"requirements": [first, second]}},
            },
            {"match": {"prefix": "/"}, "requires": first},
        ],
        "revocation": mock_authority::settings(),
    })
}

type Machine<'p> = VirtualMachine<&'p MockProcess>;

fn machine(process: &MockProcess) -> Machine<'_> {
    VirtualMachine::new(process, &configuration())
}

/// A machine that has keys and feed.
fn ready<'p>(process: &'p MockProcess, authority: &MockAuthority) -> Machine<'p> {
    let machine = machine(process);
    machine.tick();
    settle(&machine, authority);
    assert!(machine.edge.gate.has_what_it_needs());
    // What a request lacks from now on is not in the keys that were fetched.
    process.pass(100);
    machine
}

/// A machine that has keys and feed, and has to ask about these tokens, which the authority has
/// revoked.
fn ready_to_ask<'p>(process: &'p MockProcess, tokens: &[&str]) -> (Machine<'p>, MockAuthority) {
    let mut authority = MockAuthority::new();
    let machine = ready(process, &authority);
    for token in tokens {
        authority.revoke(token);
    }
    settle(&machine, &authority);
    (machine, authority)
}

/// Has the server of the keys and the authority answer everything but checks.
fn settle(machine: &Machine<'_>, authority: &MockAuthority) {
    machine.answer(|call| answer_but_checks(authority, call));
    machine.tick();
}

fn answer_but_checks(authority: &MockAuthority, call: &Call) -> Option<CallOutcome> {
    match call.cluster.as_str() {
        "idp" => Some(keys(&[&eddsa()])),
        _ if call.path == "/v1/check" => None,
        _ => authority.answer(call),
    }
}

fn keys(signers: &[&Signer]) -> CallOutcome {
    CallOutcome::Answered {
        status: 200,
        headers: Vec::new(),
        body: jwk_set(signers).into_bytes(),
    }
}

fn restored(token: &str) -> Change {
    Change::Restore(name_of(Kind::Token, token))
}

fn token_of(signer: &Signer, name: &str) -> String {
    let claims = json!({
        "iss": "iss", "jti": name, "sub": "alice", "iat": NOW - 10, "exp": NOW + 3_600,
    });
    token(signer, &claims)
}

fn with_token(signer: &Signer, name: &str) -> MockHost {
    request("/", &token_of(signer, name))
}

fn request(path: &str, token: &str) -> MockHost {
    MockHost::get(path, UnixTime::EPOCH).with_header("authorization", format!("Bearer {token}"))
}

fn send(machine: &Machine<'_>, name: &str) -> ContextId {
    machine.send(with_token(&eddsa(), name))
}

fn calls_of(machine: &Machine<'_>, path: &str) -> Vec<OpenCall> {
    let mut calls = machine.host.calls();
    calls.retain(|open| open.call.path == path);
    calls
}

fn only_check(machine: &Machine<'_>) -> OpenCall {
    let mut calls = calls_of(machine, "/v1/check");
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_waits_for_the_first_keys_and_goes_on_with_them() {
    let (process, authority) = (MockProcess::default(), MockAuthority::new());
    let machine = machine(&process);
    machine.tick();
    machine.answer(|call| (call.cluster == "authority").then(|| authority.answer(call))?);
    machine.tick();
    let request = send(&machine, "a");
    assert_eq!(machine.state(request), State::Held);
    machine.tick();
    assert_eq!(machine.host.take_resumed(), []);
    machine.answer(|call| answer_but_checks(&authority, call));
    assert_eq!(machine.host.take_resumed(), [request], "without a tick");
    assert_eq!(machine.outcome(request), ALLOWED);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_waits_for_keys_as_long_as_its_patience_lasts_however_many_fetches_end() {
    let (process, authority) = (MockProcess::default(), MockAuthority::new());
    let machine = ready(&process, &authority);
    let start = process.now.get();
    // It names a key that the server does not have, and the server does not answer.
    let request = machine.send(with_token(&es256(), "a"));
    assert_eq!(machine.state(request), State::Held);
    while machine.state(request) == State::Held {
        process.pass(100);
        machine.tick();
        assert!(process.now.get() <= start + 2_000, "for two seconds");
    }
    assert_eq!(process.now.get(), start + 2_000);
    let refused = Some(Outcome::Refused(Reason::KeyUnconfirmed));
    assert_eq!(machine.outcome(request), refused);
    assert_eq!(machine.host.take_resumed(), []);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_check_is_made_once_and_every_request_that_waits_for_it_goes_on() {
    let process = MockProcess::default();
    let (machine, mut authority) = ready_to_ask(&process, &["a"]);
    let requests = [(); 3].map(|()| send(&machine, "a"));
    let check = only_check(&machine);
    assert_eq!(check.context, requests[0]);
    machine.end_call(&check, &authority.answer(&check.call).unwrap());
    let refused = Some(Outcome::Refused(Reason::TokenRevoked));
    for request in requests {
        assert_eq!(machine.outcome(request), refused);
    }
    assert_eq!(machine.host.checks(), 3);
    assert_eq!(machine.host.take_resumed(), []);
    // The authority has the last word.
    authority.changes.push(restored("a"));
    settle(&machine, &authority);
    let request = send(&machine, "a");
    let check = only_check(&machine);
    machine.end_call(&check, &authority.answer(&check.call).unwrap());
    assert_eq!(machine.outcome(request), ALLOWED);
    assert_eq!(machine.host.take_resumed(), [request]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_check_whose_request_has_gone_is_made_again_by_the_plugin_for_those_that_wait() {
    let process = MockProcess::default();
    let (machine, authority) = ready_to_ask(&process, &["a"]);
    let [first, second] = [(); 2].map(|()| send(&machine, "a"));
    let lost = only_check(&machine);
    machine.leave(first);
    machine.tick();
    let check = only_check(&machine);
    assert_ne!(check.id, lost.id);
    assert!(![first, second].contains(&check.context));
    machine.end_call(&check, &authority.answer(&check.call).unwrap());
    let refused = Some(Outcome::Refused(Reason::TokenRevoked));
    assert_eq!(machine.outcome(second), refused);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_that_has_gone_leaves_nothing_behind() {
    let process = MockProcess::default();
    let (machine, authority) = ready_to_ask(&process, &["a"]);
    let asks = send(&machine, "a");
    let waits = machine.send(with_token(&es256(), "b"));
    for request in [asks, waits] {
        assert_eq!(machine.state(request), State::Held);
        machine.leave(request);
    }
    process.pass(10_000);
    machine.tick();
    settle(&machine, &authority);
    assert_eq!(calls_of(&machine, "/v1/check").len(), 0);
    assert!(machine.edge.waiting.borrow().is_empty());
    assert_eq!(machine.host.take_resumed(), []);
}

/// The SDK hands the end of a call to the context whose callback made it.
#[wasm_bindgen_test(unsupported = test)]
fn a_request_that_goes_on_with_the_call_of_another_one_asks_in_its_context() {
    let process = MockProcess::default();
    let (machine, mut authority) = ready_to_ask(&process, &["a", "b"]);
    authority.changes.push(restored("a"));
    let first = send(&machine, "a");
    let [a, b] = ["a", "b"].map(|name| token_of(&eddsa(), name));
    let both = machine.send(request("/both", &a).with_header("x-token", b));
    let check = only_check(&machine);
    machine.end_call(&check, &authority.answer(&check.call).unwrap());
    assert_eq!(machine.outcome(first), ALLOWED);
    assert_eq!(machine.state(both), State::Held);
    let check = only_check(&machine);
    assert_eq!(check.context, first);
    machine.end_call(&check, &authority.answer(&check.call).unwrap());
    let refused = Some(Outcome::Refused(Reason::TokenRevoked));
    assert_eq!(machine.outcome(both), refused);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_held_request_whose_trailers_cannot_be_changed_is_refused_and_never_goes_on() {
    let process = MockProcess::default();
    let (machine, _) = ready_to_ask(&process, &["a"]);
    for fails in [false, true] {
        let request = send(&machine, "a");
        let check = only_check(&machine);
        machine.send_trailers(request, fails);
        let held = if fails { State::Stopped } else { State::Held };
        assert_eq!(machine.state(request), held);
        machine.end_call(&check, &CallOutcome::Failed);
        let reason = if fails {
            Reason::HostFault
        } else {
            Reason::RevocationUnconfirmed
        };
        for retry in calls_of(&machine, "/v1/check") {
            machine.end_call(&retry, &CallOutcome::Failed);
        }
        assert_eq!(machine.outcome(request), Some(Outcome::Refused(reason)));
        assert_eq!(machine.state(request), State::Stopped);
    }
    assert_eq!(machine.host.take_resumed(), []);
}

#[wasm_bindgen_test(unsupported = test)]
fn the_end_of_an_unknown_call_changes_nothing() {
    let (process, authority) = (MockProcess::default(), MockAuthority::new());
    let machine = ready(&process, &authority);
    for id in [0, u32::MAX] {
        machine
            .edge
            .on_call_ended(ContextId(1), CallId(id), &CallOutcome::Failed);
    }
    assert!(machine.edge.gate.has_what_it_needs());
}
