//! What the host does not show is missing, and what it does not change is as it came.

use super::*;
use crate::host::mock::HostCall;

/// Lets every request pass that the host's failure does not stop.
fn open_gate() -> Gate {
    gate_with(|configuration| {
        configuration["allow_unmatched"] = json!(true);
        configuration["filter_state_rules"] = json!({
            "name": "choice",
            "requires": {"strict": {"provider_name": "idp"}},
        });
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_whose_headers_are_not_shown_is_refused_on_every_path() {
    for path in ["/public", "/api/x", "/unmatched"] {
        let host = MockHost::get(path, now()).failing_at(HostCall::Headers);
        assert_eq!(refusal(&open_gate(), &host), Some(Reason::HostFault));
        assert_eq!(host.response.borrow().as_ref().unwrap().status, 503);
    }
    let preflights = gate_with(|configuration| {
        configuration["bypass_cors_preflight"] = json!(true);
        configuration["allow_unmatched"] = json!(true);
    });
    // A host may also show nothing and call it a success.
    let host = MockHost::get("/public", now())
        .without_header(":method")
        .without_header(":path")
        .without_header(":authority");
    for gate in [open_gate(), preflights] {
        assert_eq!(refusal(&gate, &host), Some(Reason::HostFault));
        host.response.take();
        host.counted.take();
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_that_the_host_does_not_change_as_it_should_is_refused() {
    let token = token(&es256(), &claims());
    let genuine = |call| {
        MockHost::get("/api/x", now())
            .with_header("authorization", format!("Bearer {token}"))
            .failing_at(call)
    };
    for call in [HostCall::Remove, HostCall::Set] {
        assert_eq!(refusal(&gate(), &genuine(call)), Some(Reason::HostFault));
    }
    for path in ["/public", "/unmatched"] {
        let spoofed = MockHost::get(path, now()).with_header("x-session-subject", "admin");
        let spoofed = spoofed.failing_at(HostCall::Remove);
        assert_eq!(refusal(&open_gate(), &spoofed), Some(Reason::HostFault));
    }
}

/// Where the route or another filter chooses the requirement, "nothing" would be a choice.
#[wasm_bindgen_test(unsupported = test)]
fn a_property_that_cannot_be_read_is_not_one_that_is_absent() {
    let unmatched = MockHost::get("/unmatched", now());
    assert_eq!(refusal(&open_gate(), &unmatched), None);
    let unmatched = MockHost::get("/unmatched", now()).failing_at(HostCall::Property);
    assert_eq!(refusal(&open_gate(), &unmatched), Some(Reason::HostFault));
    let by_route = gate_with(|configuration| {
        configuration["requirement_map"] = json!({"strict": {"provider_name": "idp"}});
        configuration["requirement_from_route_metadata"] = json!(true);
    });
    let public = MockHost::get("/public", now()).failing_at(HostCall::Property);
    assert_eq!(refusal(&by_route, &public), Some(Reason::HostFault));
}

#[wasm_bindgen_test(unsupported = test)]
fn trailers_that_cannot_be_read_or_changed_end_the_request() {
    let spoofed = || [("x-session-id", "mallory")].into_iter().collect();
    let strip = |host: &MockHost, trailers| {
        gate().strip_trailers(host, trailers, |name| host.remove_request_header(name))
    };
    let host = MockHost::get("/public", now()).failing_at(HostCall::Headers);
    assert_eq!(strip(&host, host.request_headers()), Verdict::Stop);
    assert_eq!(host.response.borrow().as_ref().unwrap().status, 503);
    let host = MockHost::get("/public", now()).failing_at(HostCall::Remove);
    assert_eq!(strip(&host, spoofed()), Verdict::Stop);
    let host = MockHost::get("/public", now());
    assert_eq!(strip(&host, spoofed()), Verdict::Forward);
}
