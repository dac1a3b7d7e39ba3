//! Authority and follower against a plain table: whatever was revoked, the filter never says that
//! it was not; and what was not revoked is never refused.
//!
//! A real authority takes random revocations, un-revocations, imports and kills; edges, the
//! filter's own follower over shared data in memory, follow it, some from the beginning and some
//! from later on. `PORTCULLIS_LONG=1` makes the run a hundred times as long.

#![allow(
    unused_imports,
    reason = "the support of the Envoy tests, of which a part is needed"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "support/memory.rs"]
#[allow(dead_code, reason = "the bench needs more of it")]
mod memory;
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::env;
use std::rc::Rc;
use std::thread;
use std::time::{Duration, SystemTime};

use portcullis::host::CallOutcome;
use portcullis::revocation::{FeedState, Kind, Names, Status, View};
use portcullis::sync::{FeedSource, Follower};
use portcullis::time::UnixTime;
use serde_json::{Value, json};

use memory::Memory;
use support::{Authority, ISSUER, Random};

/// Few enough values that the same is revoked again and again.
const VALUES: usize = 30;

/// How much earlier than the latest a cut-off may be.
const WEAKER: usize = 20;

/// Tokens that are tried after every step in which the edges catch up.
const TOKENS: usize = 60;

/// An hour, which is longer than any run.
const LONG: u64 = 3_600;

/// What one request revoked of a name.
#[derive(Clone, Debug)]
struct Part {
    not_before: u64,
    except: Option<String>,
    expires_at: u64,
}

/// What is in force, as a plain table.
#[derive(Debug, Default)]
struct Model {
    /// Requests for one name add up.
    entries: BTreeMap<(&'static str, String), Vec<Part>>,
    /// The latest instant of any cut-off.
    not_before: u64,
}

/// What can be named of a token.
#[derive(Clone, Debug)]
struct Named {
    values: BTreeMap<&'static str, String>,
    issued_at: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Truth {
    Revoked,
    NotRevoked,
    /// An entry is just expiring.
    Either,
}

impl Model {
    fn revoke(&mut self, random: &mut Random) -> Value {
        let kind = Kind::ALL[random.below(Kind::ALL.len())];
        let expires_at = match random.below(4) {
            0 => now() + 2,
            _ => now() + LONG,
        };
        let value = value(kind, random);
        let mut request = json!({"kind": kind.name(), "issuer": ISSUER, "expires_at": expires_at});
        if kind != Kind::Issuer {
            request["value"] = value.as_str().into();
        }
        let mut except = None;
        let mut not_before = 0;
        if kind.is_cut_off() {
            self.not_before += 1;
            // A third of them is weaker than what may be in force.
            let earlier = [0, 0, random.below(WEAKER) as u64];
            not_before = self.not_before - earlier[random.below(earlier.len())];
            request["not_before"] = not_before.into();
            if random.below(2) == 0 {
                let session = session(random);
                request["except_session"] = session.as_str().into();
                except = Some(session);
            }
        }
        let parts = self.entries.entry((kind.name(), value)).or_default();
        // To revoke again does not shorten what is in force. What has expired may be gone.
        for part in parts.iter_mut().filter(|part| now() + 1 < part.expires_at) {
            part.expires_at = part.expires_at.max(expires_at);
        }
        let part = Part {
            not_before,
            except,
            expires_at: parts
                .iter()
                .map(|part| part.expires_at)
                .fold(expires_at, u64::max),
        };
        parts.push(part);
        request
    }

    fn restore(&mut self, random: &mut Random) -> (&'static str, String) {
        let kind = Kind::ALL[random.below(Kind::ALL.len())];
        let name = (kind.name(), value(kind, random));
        self.entries.remove(&name);
        name
    }

    fn truth(&self, token: &Named) -> Truth {
        let mut truth = Truth::NotRevoked;
        for (kind, value) in &token.values {
            let is_cut_off = Kind::from_name(kind).expect("a kind").is_cut_off();
            let parts = self.entries.get(&(*kind, value.clone()));
            for part in parts.into_iter().flatten() {
                let is_excepted = part.except.is_some() && part.except == token.session();
                let is_meant = !is_cut_off || (token.issued_at < part.not_before && !is_excepted);
                match is_meant {
                    true if now() + 1 < part.expires_at => return Truth::Revoked,
                    true => truth = Truth::Either,
                    false => {}
                }
            }
        }
        truth
    }
}

impl Named {
    fn random(random: &mut Random, now_in_cut_offs: u64) -> Self {
        let values = Kind::ALL.map(|kind| (kind.name(), value(kind, random)));
        Self {
            values: values.into(),
            issued_at: now_in_cut_offs.saturating_sub(random.below(40) as u64),
        }
    }

    fn session(&self) -> Option<String> {
        self.values.get("session").cloned()
    }

    fn names(&self, state: &FeedState) -> Names {
        let mut names = Names {
            issued_at: UnixTime::from_seconds(self.issued_at),
            ..Names::default()
        };
        for (kind, value) in &self.values {
            let kind = Kind::from_name(kind).expect("a kind");
            names.add(&state.filter_key, kind, ISSUER, value);
        }
        names
    }

    fn question(&self) -> Value {
        json!({
            "issuer": ISSUER,
            "jti": self.values["token"],
            "sid": self.values["session"],
            "device": self.values["device"],
            "subject": self.values["subject"],
            "client": self.values["client"],
            "issued_at": self.issued_at,
        })
    }
}

/// One process of Envoy with one virtual machine.
struct Edge {
    memory: Memory,
    view: Rc<View>,
    follower: Follower,
}

impl Edge {
    fn new(authority: &Authority, seed: u64) -> Self {
        let view = Rc::new(View::new(seed));
        let source = FeedSource {
            cluster: "authority".to_owned(),
            authority: "authority".to_owned(),
            credential: authority.edge_credential().to_owned(),
            keys: authority.feed_keys(),
            heartbeat: Duration::ZERO,
            reload_jitter: Duration::from_millis(1),
        };
        Self {
            memory: Memory::seeded(seed),
            follower: Follower::new(source, Rc::clone(&view)),
            view,
        }
    }

    /// Lets its time pass until it knows everything that the authority has acknowledged.
    fn catch_up(&mut self, authority: &Authority) {
        let head = authority.stats()["sequence"].as_u64().expect("a number");
        let is_there = |state: Rc<FeedState>| state.sequence >= head;
        for _ in 0..2_000 {
            self.memory.now.set(self.memory.now.get() + 100);
            self.follower.on_tick(&self.memory, true);
            if self.view.state().is_some_and(is_there) {
                return;
            }
            self.answer_calls(authority);
        }
        let warnings = self.memory.take_warnings();
        panic!("not at {head}: {:?}, {warnings:?}", self.view.state());
    }

    fn answer_calls(&mut self, authority: &Authority) {
        loop {
            let calls = self.memory.take_calls();
            if calls.is_empty() {
                return;
            }
            for (id, call) in calls {
                let (status, body) = authority.request(&call.path);
                let outcome = CallOutcome::Answered {
                    status,
                    headers: Vec::new(),
                    body,
                };
                self.follower.on_response(&self.memory, id, &outcome);
            }
            // An empty answer is not asked for again at once.
            if self.memory.now.get().is_multiple_of(500) {
                return;
            }
        }
    }

    fn status(&self, token: &Named) -> Status {
        self.view.status(&self.memory, |state| token.names(state)).0
    }
}

#[test]
fn nothing_that_was_revoked_is_ever_said_not_to_be() {
    let (seeds, steps) = match env::var_os("PORTCULLIS_LONG") {
        Some(_) => (20, 4_000),
        None => (2, 400),
    };
    for seed in 0..seeds {
        run(seed, steps);
    }
}

fn run(seed: u64, steps: usize) {
    let mut random = Random::seeded(seed);
    let mut authority = Authority::start_with(&["--generation-interval", "1s"]);
    let mut model = Model {
        not_before: now() - 10_000,
        ..Model::default()
    };
    let mut edges = vec![Edge::new(&authority, 1)];
    for step in 0..steps {
        match random.below(100) {
            0..50 => {
                let request = model.revoke(&mut random);
                let (status, answer) = authority.post("/v1/revocations", &request.to_string());
                assert_eq!(status, 200, "{answer}");
            }
            50..68 => {
                let (kind, value) = model.restore(&mut random);
                authority.restore_access(kind, &value);
            }
            68..76 => {
                let lines = (0..random.below(700)).map(|_| model.revoke(&mut random));
                let lines: Vec<String> = lines.map(|line| line.to_string()).collect();
                authority.import(&lines.join("\n"));
            }
            76..79 => authority.restart(),
            79..81 => edges.push(Edge::new(&authority, random.next())),
            81..82 => thread::sleep(Duration::from_secs(1)),
            _ => {
                let place = random.below(edges.len());
                edges[place].catch_up(&authority);
                let context = format!("seed {seed}, step {step}, edge {place}");
                compare(&mut random, &model, &authority, &edges[place], &context);
            }
        }
    }
    for (place, edge) in edges.iter_mut().enumerate() {
        edge.catch_up(&authority);
        let context = format!("seed {seed}, at the end, edge {place}");
        compare(&mut random, &model, &authority, edge, &context);
    }
}

fn compare(random: &mut Random, model: &Model, authority: &Authority, edge: &Edge, context: &str) {
    for _ in 0..TOKENS {
        let token = Named::random(random, model.not_before);
        let before = model.truth(&token);
        let status = edge.status(&token);
        let exact = authority.is_revoked(&token.question());
        // Time passes meanwhile.
        let truth = if before == model.truth(&token) {
            before
        } else {
            Truth::Either
        };
        let told = format!("{context}: {status:?}, {exact} for {token:?}");
        match truth {
            Truth::Revoked => {
                assert!(exact, "the authority has forgotten; {told}");
                let is_caught = matches!(status, Status::CutOff | Status::PossiblyRevoked);
                assert!(is_caught, "a false negative; {told}");
            }
            Truth::NotRevoked => {
                assert!(!exact, "the authority makes it up; {told}");
                let is_fine = matches!(status, Status::NotRevoked | Status::PossiblyRevoked);
                assert!(is_fine, "a false refusal; {told}");
            }
            Truth::Either => {}
        }
    }
}

fn value(kind: Kind, random: &mut Random) -> String {
    match kind {
        Kind::Issuer => String::new(),
        // There are more tokens than users.
        Kind::Token => format!("token-{}", random.below(20 * VALUES)),
        Kind::Session => session(random),
        _ => format!("{}-{}", kind.name(), random.below(VALUES)),
    }
}

/// Some sessions are met more often than others: those that a cut-off excepts have to be met.
fn session(random: &mut Random) -> String {
    let few = [3, VALUES][random.below(2)];
    format!("session-{}", random.below(few))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the authority goes by the clock of the machine"
)]
fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.expect("a clock past 1970").as_secs()
}
