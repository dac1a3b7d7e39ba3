//! Clients that go, calls that are lost, and too many of them.

use super::*;

#[wasm_bindgen_test(unsupported = test)]
fn a_client_that_goes_leaves_nothing_behind() {
    let edge = Fixture::ordinary();
    let (context, open) = edge.wait(sign_out(""));
    edge.machine.leave(context);
    edge.machine.end_call(&open, &edge.done(&open.call));
    edge.machine.tick();
    assert_eq!(edge.session_calls().len(), 0);
    assert_eq!(edge.outcome(&claims()), ALLOWED, "until the feed brings it");
}

/// A request that has waited for the check of another one makes its call in the context of that one,
/// which then takes the end of the call along.
#[wasm_bindgen_test(unsupported = test)]
fn a_call_whose_end_is_lost_is_made_once_more() {
    let edge = Fixture::ordinary();
    edge.apply(Change::Add(name_of(Kind::Token, "token")));
    edge.authority
        .borrow_mut()
        .changes
        .push(Change::Restore(name_of(Kind::Token, "token")));
    let first = edge.machine.send(bearing("GET", "/", &claims()));
    let signs_out = edge.machine.send(sign_out(""));
    let answer =
        |call: &Call| (call.path == "/v1/check").then(|| edge.authority.borrow().answer(call))?;
    edge.machine.answer(answer);
    let lost = edge.session_calls().remove(0);
    assert_eq!(lost.context, first);
    let _ = edge.machine.host.take_resumed();
    edge.machine.leave(first);
    edge.machine.tick();
    let again = edge.session_calls().remove(0);
    assert_ne!(again.id, lost.id);
    assert_eq!(again.call.body, lost.call.body);
    edge.machine.end_call(&again, &edge.done(&again.call));
    assert_eq!(edge.machine.outcome(signs_out), served(Service::SignOut));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_call_that_cannot_be_made_fails_at_once() {
    let edge = Fixture::ordinary();
    edge.process.refuses_calls.set(true);
    let (reason, _) = edge.refused(sign_out(""));
    assert_eq!(reason, Reason::SignOutFailed);
}

#[wasm_bindgen_test(unsupported = test)]
fn users_who_are_too_many_are_told_to_try_again() {
    let edge = Fixture::ordinary();
    for _ in 0..64 {
        let context = edge.machine.send(sign_out(""));
        assert_eq!(edge.machine.state(context), State::Held);
    }
    for (request, reason) in [
        (sign_out(""), Reason::SignOutFailed),
        (
            bearing("GET", "/session/devices", &claims()),
            Reason::SessionsUnavailable,
        ),
    ] {
        let context = edge.machine.send(request);
        assert_eq!(edge.machine.outcome(context), refused(reason));
        let response = edge.response(context);
        assert_eq!(header(&response, "retry-after"), Some("5"));
    }
    assert_eq!(edge.session_calls().len(), 64);
    assert_eq!(edge.outcome(&claims()), ALLOWED, "other requests go on");
    let open = edge.session_calls().remove(0);
    edge.machine.end_call(&open, &edge.done(&open.call));
    assert_eq!(edge.machine.outcome(open.context), served(Service::SignOut));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_that_was_refused_for_its_trailers_is_not_answered_again() {
    let edge = Fixture::ordinary();
    let (context, open) = edge.wait(sign_out(""));
    edge.machine.send_trailers(context, true);
    assert_eq!(edge.machine.outcome(context), refused(Reason::HostFault));
    edge.machine.end_call(&open, &edge.done(&open.call));
    assert_eq!(edge.machine.outcome(context), refused(Reason::HostFault));
}
