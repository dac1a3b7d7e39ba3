//! A user's own sessions: listing them, and ending one.

use super::*;

const DEVICES: &str = "/session/devices";

fn id() -> String {
    "0123456789abcdef".repeat(2)
}

fn list(query: &str) -> MockHost {
    bearing("GET", &format!("{DEVICES}{query}"), &claims())
}

fn end(id: &str) -> MockHost {
    bearing("DELETE", &format!("{DEVICES}/{id}"), &claims())
}

fn body_of_call(open: &OpenCall) -> Value {
    serde_json::from_slice(open.call.body.as_ref().unwrap()).unwrap()
}

#[wasm_bindgen_test(unsupported = test)]
fn the_authoritys_list_is_passed_on() {
    let edge = Fixture::ordinary();
    let (context, open) = edge.wait(list("?after=b%2Fc&limit=100"));
    assert_eq!(
        (open.call.method, &*open.call.path),
        ("POST", "/v1/own-sessions")
    );
    let token = token(&es256(), &claims());
    let expected = json!({"token": token, "after": "b/c", "limit": 100});
    assert_eq!(body_of_call(&open), expected);
    let page = "{\"sessions\": [{\"id\": \"x\", \"current\": true}], \"next\": \"y\"}";
    edge.machine.end_call(&open, &answered(200, page));
    assert_eq!(edge.machine.outcome(context), served(Service::ListSessions));
    let response = edge.response(context);
    assert_eq!((response.status, &*response.body), (200, page.as_bytes()));
    assert_eq!(header(&response, "content-type"), Some("application/json"));
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(edge.outcome(&claims()), ALLOWED);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_no_list_is_not_passed_on() {
    let edge = Fixture::ordinary();
    let long = format!(
        "{{\"sessions\": [], \"next\": \"{}\"}}",
        "a".repeat(256 * 1024)
    );
    for outcome in [
        CallOutcome::Failed,
        answered(200, *b""),
        answered(200, *b"[]"),
        answered(200, *b"{\"sessions\": {}}"),
        answered(200, *b"{\"sessions\": []} x"),
        answered(200, long),
        answered(422, *b"{\"sessions\": []}"),
    ] {
        let (context, open) = edge.wait(list(""));
        edge.machine.end_call(&open, &outcome);
        for again in edge.session_calls() {
            edge.machine.end_call(&again, &outcome);
        }
        let expected = refused(Reason::SessionsUnavailable);
        assert_eq!(edge.machine.outcome(context), expected, "{outcome:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_page_is_asked_for_by_a_cursor_and_a_size() {
    let edge = Fixture::ordinary();
    let long = format!("?after={}", "a".repeat(257));
    for query in [
        "?limit=0",
        "?limit=101",
        "?limit=-1",
        "?limit=",
        "?limit=1.5",
        "?after=",
        "?after=a%20b",
        "?limit=1&limit=2",
        "?subject=alice",
        &long,
    ] {
        let (reason, _) = edge.refused(list(query));
        assert_eq!(reason, Reason::ParameterInvalid, "{query}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cursor_that_the_authority_has_not_given_out_is_not_worth_waiting_for() {
    let edge = Fixture::ordinary();
    for (status, code, reason) in [
        (422, "out_of_bounds", Reason::ParameterInvalid),
        (422, "token_refused", Reason::SessionsUnavailable),
        (503, "out_of_bounds", Reason::SessionsUnavailable),
    ] {
        let (context, open) = edge.wait(list("?after=zzz"));
        let body = format!("{{\"code\": \"{code}\"}}").into_bytes();
        let outcome = answered(status, body);
        edge.machine.end_call(&open, &outcome);
        for again in edge.session_calls() {
            edge.machine.end_call(&again, &outcome);
        }
        assert_eq!(edge.machine.outcome(context), refused(reason), "{code}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_the_authority_can_revoke_nothing_by_is_not_worth_trying_again() {
    let edge = Fixture::ordinary();
    for request in [
        || sign_out(""),
        || sign_out("?scope=others"),
        || sign_out("?scope=everywhere"),
        || list(""),
        || end(&id()),
    ] {
        for (status, is_told) in [(422, true), (503, false)] {
            let (context, open) = edge.wait(request());
            let outcome = answered(status, *b"{\"code\": \"token_unnamed\"}");
            edge.machine.end_call(&open, &outcome);
            for again in edge.session_calls() {
                edge.machine.end_call(&again, &outcome);
            }
            let path = &open.call.path;
            let found = edge.machine.outcome(context);
            let is_unnamed = found == refused(Reason::TokenUnnamed);
            assert_eq!(is_unnamed, is_told, "{path}: {found:?}");
            let response = edge.response(context);
            assert_eq!(response.status, if is_told { 401 } else { 503 }, "{path}");
            assert_eq!(edge.outcome(&claims()), ALLOWED, "{path}: the token lives");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn one_session_is_ended_with_a_proof() {
    let edge = Fixture::ordinary();
    let (context, open) = edge.wait(end(&id()));
    assert_eq!(
        (open.call.method, &*open.call.path),
        ("POST", "/v1/own-sessions/end")
    );
    let mut body = body_of_call(&open);
    assert!(body["nonce"].take().is_u64());
    let token = token(&es256(), &claims());
    assert_eq!(body, json!({"token": token, "id": id(), "nonce": null}));
    edge.machine.end_call(&open, &edge.done(&open.call));
    assert_eq!(edge.machine.outcome(context), served(Service::EndSession));
    assert_eq!(edge.response(context).status, 204);
    assert_eq!(edge.outcome(&claims()), ALLOWED, "it was another one");
    let (context, open) = edge.wait(end(&id()));
    edge.machine.end_call(&open, &answered(200, *b"{}"));
    assert_eq!(
        edge.machine.outcome(context),
        refused(Reason::SignOutFailed)
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn ending_ones_own_session_in_the_list_is_signing_out() {
    let edge = Fixture::ordinary();
    let target = format!("{DEVICES}/{}", id());
    let request = with_cookie("DELETE", &target).with_header("sec-fetch-site", "same-origin");
    let (context, open) = edge.wait(request);
    let CallOutcome::Answered { body, .. } = edge.done(&open.call) else {
        panic!("it was answered");
    };
    let mut done: Value = serde_json::from_slice(&body).unwrap();
    done["current"] = true.into();
    edge.machine
        .end_call(&open, &answered(200, done.to_string()));
    assert_eq!(edge.machine.outcome(context), served(Service::EndSession));
    let response = edge.response(context);
    assert_eq!(response.status, 204);
    let clear = Some("\"cookies\", \"storage\"");
    assert_eq!(header(&response, "clear-site-data"), clear);
    assert!(header(&response, "set-cookie").is_some_and(|cookie| cookie.starts_with("token=; ")));
    assert_eq!(
        edge.outcome(&claims()),
        refused(Reason::TokenRevoked),
        "at once"
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_session_that_is_not_the_users_is_not_found() {
    let edge = Fixture::ordinary();
    let (context, open) = edge.wait(end(&id()));
    let problem = *b"{\"code\": \"session_not_found\"}";
    edge.machine.end_call(&open, &answered(404, problem));
    assert_eq!(
        edge.machine.outcome(context),
        refused(Reason::SessionNotFound)
    );
    assert_eq!(edge.response(context).status, 404);
    // An authority that does not know the path.
    let (context, open) = edge.wait(end(&id()));
    edge.machine
        .end_call(&open, &answered(404, *b"{\"code\": \"not_found\"}"));
    assert_eq!(
        edge.machine.outcome(context),
        refused(Reason::SignOutFailed)
    );
    let long = id() + "0";
    for id in ["", "x", &id()[1..], &id().to_uppercase(), &long, "a/b"] {
        let (reason, _) = edge.refused(end(id));
        assert_eq!(reason, Reason::SessionNotFound, "{id}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn each_path_says_what_it_takes() {
    let edge = Fixture::ordinary();
    let below = format!("{DEVICES}/{}", id());
    for (method, target, allow) in [
        ("DELETE", DEVICES, "GET"),
        ("HEAD", DEVICES, "GET"),
        ("POST", DEVICES, "GET"),
        ("GET", &below, "DELETE"),
    ] {
        let (reason, response) = edge.refused(bearing(method, target, &claims()));
        assert_eq!(reason, Reason::MethodNotAllowed, "{method} {target}");
        assert_eq!(header(&response, "allow"), Some(allow), "{method} {target}");
    }
}

/// A token in the query is no parameter of the route.
#[wasm_bindgen_test(unsupported = test)]
fn a_token_may_come_in_the_query() {
    let edge = Fixture::ordinary();
    let text = token(&es256(), &claims());
    let (_, open) = edge.wait(bare("GET", &format!("{DEVICES}?t={text}&limit=3")));
    assert_eq!(body_of_call(&open), json!({"token": text, "limit": 3}));
}
