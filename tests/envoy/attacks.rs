//! The checklist of threats to a verifier of JWTs at the edge, row by row, against a running Envoy.
//!
//! Every row has its number in the checklist, its threat, and the source of that. After each of
//! them a genuine request passes on every worker and no virtual machine has been started anew, in
//! the Envoy that was attacked: rows about keys and settings have one of their own.

mod keys;
mod requests;
mod settings;
mod tokens;

use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};

use crate::support::{
    Client, Envoy, Forwarded, Request, Response, Token, assert_refused, configuration,
};

/// One row of the checklist.
struct Row {
    id: u8,
    threat: &'static str,
    sources: &'static str,
    attack: fn(&mut World),
}

/// Rows of the checklist.
const ROWS: u8 = 46;

/// The Envoy that is attacked.
struct World {
    envoy: Envoy,
    client: Client,
    before: Before,
}

/// The state of an Envoy before an attack.
struct Before {
    machines: u64,
}

/// Everything that the attacks on tokens and requests need: session headers, claims in headers, an
/// optional token, a requirement of a type, and answers to preflights.
fn target() -> Value {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["bypass_cors_preflight"] = json!(true);
    let provider = configuration["providers"]["demo"].as_object_mut().unwrap();
    provider.insert(
        "claim_to_headers".to_owned(),
        json!([
            {"header_name": "x-user-id", "claim_name": "sub"},
            {"header_name": "x-email", "claim_name": "email"},
        ]),
    );
    provider.insert("from_cookies".to_owned(), json!(["token"]));
    provider.insert("from_params".to_owned(), json!(["token"]));
    let bearer = json!([{"name": "Authorization", "value_prefix": "Bearer "}]);
    provider.insert("from_headers".to_owned(), bearer);
    let optional = json!({"requires_any": {"requirements": [
        {"provider_name": "demo"}, {"allow_missing": {}},
    ]}});
    let typed = json!({"provider_name": "demo", "token_types": ["at+jwt"]});
    let rules = configuration["rules"].as_array_mut().unwrap();
    rules.push(json!({"match": {"prefix": "/optional"}, "requires": optional}));
    rules.push(json!({"match": {"prefix": "/typed"}, "requires": typed}));
    let admin = json!([{"name": "host", "string_match": {"exact": "admin.example"}}]);
    let hosted = json!({"prefix": "/hosted", "headers": admin});
    rules.push(json!({"match": hosted, "requires": {"provider_name": "demo"}}));
    rules.push(json!({"match": {"prefix": "/hosted"}}));
    let files = json!({"safe_regex": {"regex": "/files/.*a.*\\.txt"}});
    let odd = json!([{"name": "x-kind", "string_match": {"safe_regex": {"regex": ".*b.*"}}}]);
    let mut odd_files = files.clone();
    odd_files["headers"] = odd;
    rules.push(json!({"match": odd_files, "requires": {"provider_name": "demo"}}));
    rules.push(json!({"match": files}));
    configuration
}

impl World {
    fn new() -> Self {
        let envoy = Envoy::with(&target());
        Self {
            client: envoy.client(),
            before: Before::of(&envoy),
            envoy,
        }
    }

    fn send(&mut self, request: &Request) -> Response {
        self.client.send(request)
    }

    /// The request is refused in this way.
    fn refused(&mut self, request: &Request, status: u16, code: &str) {
        assert_refused(&self.client.send(request), status, code);
    }

    /// A request for something guarded, with this token, is refused with 401 and this code.
    fn refuses_token(&mut self, token: impl Into<String>, code: &str) {
        self.refused(&Request::get("/api").bearer(token), 401, code);
    }

    /// The request passes; what the upstream saw of it.
    fn forwarded(&mut self, request: &Request) -> Forwarded {
        self.client.send(request).forwarded()
    }

    /// A request for something guarded passes with this token.
    fn accepts_token(&mut self, token: impl Into<String>) -> Forwarded {
        self.forwarded(&Request::get("/api").bearer(token))
    }

    /// Every worker still lets genuine requests through, in the machine that it started with.
    fn assert_unharmed(&mut self) {
        self.before.assert_unharmed(&self.envoy, genuine());
        // An attack may have cost its connection.
        self.client = self.envoy.client();
    }
}

/// A genuine token, which expires in an hour.
fn genuine() -> Token {
    Token::signed_by("es256")
}

impl Before {
    fn of(envoy: &Envoy) -> Self {
        Self {
            machines: machines(envoy),
        }
    }

    /// Every worker lets this genuine token through, in the machine that it started with.
    #[track_caller]
    fn assert_unharmed(&self, envoy: &Envoy, token: impl Into<String>) {
        let request = Request::get("/api").bearer(token);
        for mut client in envoy.client_of_every_worker() {
            let subject = client.send(&request).forwarded();
            let subject = subject.header("x-session-subject");
            // Not every row has session headers.
            assert!(matches!(subject, Some("alice") | None), "{subject:?}");
        }
        assert!(!envoy.log().contains("panicked"), "{}", envoy.log());
        assert_eq!(machines(envoy), self.machines, "a machine was replaced");
    }
}

/// Virtual machines that this Envoy has made so far.
fn machines(envoy: &Envoy) -> u64 {
    let made = envoy.stat("wasm.envoy.wasm.runtime.v8.created");
    made.expect("Envoy counts its virtual machines")
}

fn all_rows() -> impl Iterator<Item = &'static Row> {
    [tokens::ROWS, requests::ROWS, keys::ROWS, settings::ROWS]
        .into_iter()
        .flatten()
}

/// Tries all of these rows, and then reports those that failed.
fn try_all(rows: &[Row]) {
    let mut world = World::new();
    let mut failed = Vec::new();
    for row in rows {
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            (row.attack)(&mut world);
            world.assert_unharmed();
        }));
        if outcome.is_err() {
            failed.push(format!("{}: {} ({})", row.id, row.threat, row.sources));
            world = World::new();
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn tokens_of_attackers_are_refused() {
    try_all(tokens::ROWS);
}

#[test]
fn requests_of_attackers_gain_nothing() {
    try_all(requests::ROWS);
}

#[test]
fn attacks_on_the_keys_gain_nothing() {
    try_all(keys::ROWS);
}

#[test]
fn settings_and_deliveries_are_safe() {
    try_all(settings::ROWS);
}

#[test]
fn every_row_of_the_checklist_is_tried_once() {
    let mut ids: Vec<_> = all_rows().map(|row| row.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=ROWS).collect::<Vec<_>>());
}
