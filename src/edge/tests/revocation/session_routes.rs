//! Signing out, and a user's own sessions.

use super::*;
use crate::gate::Service;
use crate::host::Response;

mod cookies;
mod lost;
mod own_sessions;

const SIGN_OUT: &str = "/session/sign-out";

/// A request for a session route, and what becomes of it.
impl Fixture {
    fn with_routes(change: impl FnOnce(&mut Value)) -> Self {
        let token = json!({"provider_name": "idp"});
        let optional = json!({"requires_any": {"requirements": [token, {"allow_missing": {}}]}});
        let second = json!({"provider_name": "second"});
        let both = json!({"requires_all": {"requirements": [token, second]}});
        let provider = json!({
            "issuer": "iss",
            "local_jwks": {"inline_string": jwk_set(&[&es256()])},
            "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}],
            "from_cookies": ["token"],
            "from_params": ["t"],
        });
        let mut second = provider.clone();
        second["from_headers"] = json!([{"name": "x-token"}]);
        for location in ["from_cookies", "from_params"] {
            second.as_object_mut().unwrap().remove(location);
        }
        let mut configuration = json!({
            "providers": {"idp": provider, "second": second},
            "rules": [
                {
                    "match": {"path": SIGN_OUT, "headers": [{"name": "x-token"}]},
                    "requires": both,
                },
                {"match": {"prefix": "/session/"}, "requires": optional},
                {"match": {"prefix": "/"}, "requires": token},
            ],
            "revocation": mock_authority::settings(),
            "bypass_cors_preflight": true,
            "sign_out": {"path": SIGN_OUT},
            "sessions": {"path": "/session/devices"},
        });
        change(&mut configuration);
        Self::of(&configuration).with_feed()
    }

    fn ordinary() -> Self {
        Self::with_routes(|_| ())
    }

    /// A request for a session route that waits, and its call.
    fn wait(&self, request: MockHost) -> (ContextId, OpenCall) {
        let context = self.machine.send(request);
        let refusal = self.machine.outcome(context);
        assert_eq!(self.machine.state(context), State::Held, "{refusal:?}");
        let mut calls = self.session_calls();
        assert_eq!(calls.len(), 1, "{calls:?}");
        (context, calls.remove(0))
    }

    /// The calls to the authority on behalf of users.
    fn session_calls(&self) -> Vec<OpenCall> {
        let mut calls = self.machine.host.calls();
        let is_of_user = |call: &Call| {
            ["/v1/sign-out", "/v1/own-sessions", "/v1/own-sessions/end"]
                .contains(&call.path.as_str())
        };
        calls.retain(|open| is_of_user(&open.call));
        calls
    }

    /// The authority does what a call asks for.
    fn done(&self, call: &Call) -> CallOutcome {
        answered(
            200,
            self.authority.borrow().done(call.body.as_ref().unwrap()),
        )
    }

    /// The outcome of a request for which the authority does what is asked for, and the answer.
    fn served(&self, request: MockHost) -> (Option<Outcome>, Response) {
        let (context, call) = self.wait(request);
        self.machine.end_call(&call, &self.done(&call.call));
        (self.machine.outcome(context), self.response(context))
    }

    /// The outcome of a request that makes no call, and the answer.
    fn refused(&self, request: MockHost) -> (Reason, Response) {
        let context = self.machine.send(request);
        let Some(Outcome::Refused(reason)) = self.machine.outcome(context) else {
            panic!("{:?}", self.machine.outcome(context));
        };
        assert_eq!(self.session_calls().len(), 0);
        (reason, self.response(context))
    }

    fn response(&self, context: ContextId) -> Response {
        assert_eq!(self.machine.state(context), State::Stopped);
        assert_eq!(self.machine.host.take_resumed(), []);
        self.machine.response(context).expect("an answer")
    }
}

fn answered(status: u16, body: impl Into<Vec<u8>>) -> CallOutcome {
    CallOutcome::Answered {
        status,
        headers: Vec::new(),
        body: body.into(),
    }
}

fn header<'r>(response: &'r Response, name: &'r str) -> Option<&'r str> {
    let value = response.headers.values(name).next();
    value.map(|value| str::from_utf8(value).unwrap())
}

fn code(response: &Response) -> String {
    let problem: Value = serde_json::from_slice(&response.body).unwrap();
    problem["code"].as_str().unwrap().to_owned()
}

fn bare(method: &str, target: &str) -> MockHost {
    MockHost::get(target, UnixTime::EPOCH)
        .without_header(":method")
        .with_header(":method", method)
}

fn bearing(method: &str, target: &str, claims: &Value) -> MockHost {
    let token = token(&es256(), claims);
    bare(method, target).with_header("authorization", format!("Bearer {token}"))
}

fn with_cookie(method: &str, target: &str) -> MockHost {
    let token = token(&es256(), &claims());
    bare(method, target).with_header("cookie", format!("a=b; token={token}"))
}

fn sign_out(query: &str) -> MockHost {
    bearing("POST", &format!("{SIGN_OUT}{query}"), &claims())
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be none")]
const fn served(service: Service) -> Option<Outcome> {
    Some(Outcome::Served(service))
}

#[wasm_bindgen_test(unsupported = test)]
fn a_user_is_signed_out_when_the_authority_has_proved_it_and_is_refused_at_once() {
    let edge = Fixture::ordinary();
    assert_eq!(edge.outcome(&claims()), ALLOWED);
    let (context, open) = edge.wait(sign_out(""));
    let call = &open.call;
    assert_eq!((call.method, &*call.path), ("POST", "/v1/sign-out"));
    assert_eq!(call.cluster, "authority");
    let mut body: Value = serde_json::from_slice(call.body.as_ref().unwrap()).unwrap();
    let nonce = body.as_object_mut().unwrap().remove("nonce");
    assert!(nonce.is_some_and(|nonce| nonce.is_u64()));
    let token = token(&es256(), &claims());
    assert_eq!(body, json!({"token": token, "scope": "session"}));
    edge.machine.end_call(&open, &edge.done(call));
    assert_eq!(edge.machine.outcome(context), served(Service::SignOut));
    let response = edge.response(context);
    assert_eq!((response.status, &*response.body), (204, &b""[..]));
    assert_eq!(header(&response, "cache-control"), Some("no-store"));
    assert_eq!(header(&response, "set-cookie"), None);
    assert_eq!(header(&response, "clear-site-data"), None);
    // Before the feed has brought it.
    assert_eq!(edge.outcome(&claims()), refused(Reason::TokenRevoked));
    let (reason, _) = edge.refused(sign_out(""));
    assert_eq!(reason, Reason::TokenRevoked, "for a client that asks again");
    // And from then on what the authority says counts.
    edge.apply(Change::Add(name_of(Kind::Session, "session")));
    assert_eq!(
        edge.answered(&claims(), Some(true)),
        refused(Reason::TokenRevoked)
    );
    edge.apply(Change::Restore(name_of(Kind::Session, "session")));
    assert_eq!(edge.answered(&claims(), Some(false)), ALLOWED);
}

/// Makes an answer to a call with this body.
type Answer<'a> = dyn Fn(&[u8]) -> CallOutcome + 'a;

#[wasm_bindgen_test(unsupported = test)]
fn nothing_but_a_proof_makes_the_gate_say_that_a_user_is_signed_out() {
    let edge = Fixture::ordinary();
    let other_key = MockAuthority {
        key: SigningKey::from_bytes(&[9; 32]),
        ..MockAuthority::new()
    };
    let authority = MockAuthority::new();
    let proves = |body: &[u8]| says(&authority.proof(body, Settled::Revoked(Cause::Plain)));
    let cut = |body: &[u8]| {
        let answer: Value = serde_json::from_slice(&authority.done(body)).unwrap();
        let proof = answer["proof"].as_str().unwrap();
        let mut proof = URL_SAFE_NO_PAD.decode(proof).unwrap();
        proof.truncate(32);
        says(&URL_SAFE_NO_PAD.encode(proof))
    };
    let answers: [&Answer<'_>; 10] = [
        &|_| CallOutcome::Failed,
        &|_| answered(200, *b""),
        &|_| answered(204, *b""),
        &|body| answered(200, other_key.done(body)),
        &|_| answered(200, authority.done(b"another body")),
        &|body| answered(503, authority.done(body)),
        &|_| answered(404, *b"{\"code\": \"session_not_found\"}"),
        &|_| answered(422, *b"{\"code\": \"token_refused\"}"),
        &proves,
        &cut,
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let (context, open) = edge.wait(sign_out(""));
        let outcome = answer(open.call.body.as_ref().unwrap());
        edge.machine.end_call(&open, &outcome);
        // What has failed is tried once more.
        for again in edge.session_calls() {
            assert_eq!(again.call.body, open.call.body, "{number}");
            edge.machine.end_call(&again, &outcome);
        }
        let expected = refused(Reason::SignOutFailed);
        assert_eq!(edge.machine.outcome(context), expected, "{number}");
        let response = edge.response(context);
        assert_eq!(response.status, 503, "{number}");
        assert_eq!(code(&response), "sign_out_failed", "{number}");
        assert_eq!(header(&response, "retry-after"), Some("5"), "{number}");
        assert_eq!(
            edge.outcome(&claims()),
            ALLOWED,
            "{number}: the token lives"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_scope_decides_which_sessions_end_and_the_operator_which_scopes_there_are() {
    let edge = Fixture::ordinary();
    for (scope, service, is_ended) in [
        ("others", Service::SignOutOthers, false),
        ("everywhere", Service::SignOutEverywhere, true),
    ] {
        let (context, open) = edge.wait(sign_out(&format!("?scope={scope}")));
        let body: Value = serde_json::from_slice(open.call.body.as_ref().unwrap()).unwrap();
        assert_eq!(body["scope"], scope);
        edge.machine.end_call(&open, &edge.done(&open.call));
        assert_eq!(edge.machine.outcome(context), served(service));
        let expected = if is_ended {
            refused(Reason::TokenRevoked)
        } else {
            ALLOWED
        };
        assert_eq!(edge.outcome(&claims()), expected, "{scope}");
    }
    let narrow = Fixture::with_routes(|configuration| {
        configuration["sign_out"] = json!({"path": SIGN_OUT, "others": false, "everywhere": false});
    });
    for scope in ["others", "everywhere"] {
        let (reason, _) = narrow.refused(sign_out(&format!("?scope={scope}")));
        assert_eq!(reason, Reason::ParameterInvalid, "{scope}");
    }
    let (outcome, _) = narrow.served(sign_out("?scope=session"));
    assert_eq!(outcome, served(Service::SignOut));
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_not_understood_is_refused_without_a_call() {
    let edge = Fixture::ordinary();
    for query in [
        "?scope=all",
        "?scope=",
        "?scope",
        "?scope=others&scope=everywhere",
        "?scope=%ff",
        "?scop=everywhere",
        "?%73cope=everywhere",
        "?scope=others;x",
        "?x=1",
    ] {
        let (reason, response) = edge.refused(sign_out(query));
        assert_eq!(reason, Reason::ParameterInvalid, "{query}");
        assert_eq!(
            (response.status, &*code(&response)),
            (400, "parameter_invalid")
        );
    }
    for method in ["GET", "HEAD", "PUT", "OPTIONS", "post"] {
        let (reason, response) = edge.refused(bearing(method, SIGN_OUT, &claims()));
        assert_eq!(reason, Reason::MethodNotAllowed, "{method}");
        assert_eq!(response.status, 405);
        assert_eq!(header(&response, "allow"), Some("POST"));
    }
    let (reason, response) = edge.refused(bare("POST", SIGN_OUT));
    assert_eq!((reason, response.status), (Reason::TokenMissing, 401));
    let (_, response) = edge.served(sign_out("?&scope=%73ession&"));
    assert_eq!(response.status, 204);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_path_that_only_some_servers_read_as_a_session_route_is_refused() {
    let edge = Fixture::ordinary();
    for path in [
        "/session//sign-out",
        "/session/%73ign-out",
        "/session/./sign-out",
        "/session/x/../sign-out",
        "/session/sign-out;v=1",
        "/session/devices/../x",
        "/session/devices%2fx",
    ] {
        let (reason, _) = edge.refused(bearing("POST", path, &claims()));
        assert_eq!(reason, Reason::PathAmbiguous, "{path}");
    }
    for path in [
        "/session/sign-out/",
        "/session/sign-out/.",
        "/session/sign-outs",
        "/session/x%20y",
    ] {
        let context = edge.machine.send(bearing("POST", path, &claims()));
        assert_eq!(edge.machine.outcome(context), ALLOWED, "{path}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_does_not_say_what_to_revoke_is_told_so() {
    let without = |names: &[&str]| {
        let mut claims = claims();
        for name in names {
            claims.as_object_mut().unwrap().remove(*name);
        }
        claims
    };
    for (query, names, is_enough) in [
        ("", &["sid"][..], true),
        ("", &["jti"], true),
        ("", &["sid", "jti"], false),
        ("?scope=others", &["sid"], false),
        ("?scope=others", &["sub"], false),
        ("?scope=others", &["jti"], true),
        ("?scope=everywhere", &["sub"], false),
        ("?scope=everywhere", &["sid", "jti"], true),
    ] {
        let edge = Fixture::with_routes(|configuration| {
            configuration["revocation"]["on_unnamed"] = json!("allow");
        });
        let request = bearing("POST", &format!("{SIGN_OUT}{query}"), &without(names));
        if is_enough {
            let (_, response) = edge.served(request);
            assert_eq!(response.status, 204, "{query} without {names:?}");
        } else {
            let (reason, _) = edge.refused(request);
            assert_eq!(reason, Reason::TokenUnnamed, "{query} without {names:?}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn grpc_callers_get_a_status() {
    let edge = Fixture::ordinary();
    let grpc = || sign_out("").with_header("content-type", "application/grpc");
    let (context, open) = edge.wait(grpc());
    edge.machine.end_call(&open, &answered(403, *b""));
    let response = edge.response(context);
    assert_eq!((response.status, response.grpc_status), (200, Some(14)));
    let (_, response) = edge.served(grpc());
    assert_eq!((response.status, response.grpc_status), (200, Some(0)));
    assert_eq!(header(&response, "grpc-status"), Some("0"));
    let list = bearing("POST", "/session/devices", &claims());
    let (_, response) = edge.refused(list.with_header("content-type", "application/grpc"));
    assert_eq!(
        (response.status, response.grpc_status),
        (200, Some(16)),
        "signed out by now"
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_preflight_goes_on_to_what_answers_preflights() {
    let edge = Fixture::ordinary();
    let preflight = bare("OPTIONS", SIGN_OUT)
        .with_header("origin", "https://app.example")
        .with_header("access-control-request-method", "POST");
    let context = edge.machine.send(preflight);
    let expected = Some(Outcome::Allowed(Admission::CorsPreflight));
    assert_eq!(edge.machine.outcome(context), expected);
}

/// The first one is the session's, as for the session headers.
#[wasm_bindgen_test(unsupported = test)]
fn of_two_tokens_the_first_one_is_signed_out() {
    let edge = Fixture::ordinary();
    let mut of_client = claims();
    of_client["jti"] = json!("another");
    let second = token(&es256(), &of_client);
    let (context, open) = edge.wait(sign_out("").with_header("x-token", second));
    let body: Value = serde_json::from_slice(open.call.body.as_ref().unwrap()).unwrap();
    assert_eq!(body["token"], token(&es256(), &claims()));
    edge.machine.end_call(&open, &edge.done(&open.call));
    assert_eq!(edge.machine.outcome(context), served(Service::SignOut));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_request_may_wait_for_a_check_before_it_signs_out() {
    let edge = Fixture::ordinary();
    edge.apply(Change::Add(name_of(Kind::Token, "token")));
    edge.authority
        .borrow_mut()
        .changes
        .push(Change::Restore(name_of(Kind::Token, "token")));
    let context = edge.machine.send(sign_out(""));
    assert_eq!(edge.session_calls().len(), 0);
    let answer =
        |call: &Call| (call.path == "/v1/check").then(|| edge.authority.borrow().answer(call))?;
    edge.machine.answer(answer);
    let open = edge.session_calls().remove(0);
    edge.machine.end_call(&open, &edge.done(&open.call));
    assert_eq!(edge.machine.outcome(context), served(Service::SignOut));
}
