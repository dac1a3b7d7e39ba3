use std::fs;
use std::sync::Arc;
use std::thread;

use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::*;
use crate::authority::clock;
use crate::authority::signals::configuration::SignalsConfiguration;
use crate::authority::signals::ledger::{ACCEPTED, Filter, REPEATED};
use crate::authority::signals::reception::Reception;
use crate::authority::tests::start_with;
use crate::token::fixtures::{es256, jwk_set, signed};

const ISSUER: &str = "https://id.example";

const RECEIVER: &str = "https://receiver.example";

/// For what takes a moment, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// An authority with the stream `idp`.
struct Scene {
    runtime: Runtime,
    reception: Reception,
    _stop: tokio::sync::watch::Sender<bool>,
    _directory: TempDir,
}

impl Scene {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let keys = jwk_set(&[&es256()]);
        fs::write(directory.path().join("jwks.json"), keys).unwrap();
        let document = json!({
            "issuers": [{"issuer": ISSUER, "keys": {"jwks_file": "jwks.json"}}],
            "streams": [{
                "name": "idp", "issuer": ISSUER, "audiences": [RECEIVER], "delivery": {"push": {}},
            }],
        });
        let signals = SignalsConfiguration::read(&document, directory.path());
        let runtime = Runtime::new().unwrap();
        let inside = runtime.enter();
        let (authority, stop) = start_with(directory.path(), signals.configuration);
        drop(inside);
        let receivers = Arc::clone(authority.signals.as_ref().unwrap());
        Self {
            runtime,
            reception: Reception {
                authority,
                receivers,
            },
            _stop: stop,
            _directory: directory,
        }
    }

    /// Carries out events as those of one turn.
    fn carry_out(&self, turn: Vec<(String, Option<String>)>) {
        let runtime = self.runtime.handle().clone();
        let polling = Polling::new(Distant::of(&self.reception), runtime);
        let stream = self.reception.receivers.upkeep().of("idp").unwrap();
        let count = turn.len();
        let outcomes = polling.carried_out(&stream, turn);
        assert_eq!(outcomes.len(), count);
        for (id, outcome) in outcomes {
            assert!(
                matches!(outcome, Outcome::Taken(Ok(()))),
                "{id}: {outcome:?}"
            );
        }
    }

    /// The users of the signals with this outcome, once there are so many of them.
    fn users(&self, outcome: &str, number: usize) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let ledger = self.reception.receivers.ledger();
            let records = ledger
                .search(&Filter::default(), None, 100)
                .unwrap()
                .records;
            let records = records.into_iter().map(|(_, record)| record);
            let records = records.filter(|record| record.outcome == outcome);
            let mut users: Vec<_> = records.filter_map(|record| record.subject).collect();
            if users.len() >= number {
                users.sort();
                return users;
            }
            assert!(begun.elapsed() < PATIENCE, "{outcome}: {users:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// An event of this type about a user.
fn event(user: &str, uri: &str) -> (String, Option<String>) {
    let header = json!({"typ": "secevent+jwt", "alg": "ES256", "kid": es256().key_id()});
    let claims = json!({
        "iss": ISSUER, "aud": RECEIVER, "iat": clock::now().seconds(), "jti": user,
        "sub_id": {"format": "iss_sub", "iss": ISSUER, "sub": user}, "events": {uri: {}},
    });
    let (header, claims) = (header.to_string(), claims.to_string());
    let token = signed(&es256(), header.as_bytes(), claims.as_bytes());
    (user.to_owned(), Some(token))
}

const DISABLED: &str = "https://schemas.openid.net/secevent/risc/event-type/account-disabled";

const REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

#[test]
fn events_are_carried_out_at_once_except_those_that_undo_one_another() {
    let scene = Scene::new();
    let open = scene.reception.receivers.streams.get("idp").unwrap();
    // As while another event that can be undone is carried out.
    let turn = scene.runtime.block_on(open.turn.lock());
    thread::scope(|scope| {
        let events = [("alice", DISABLED), ("bob", REVOKED), ("carol", REVOKED)];
        let events = events.map(|(user, uri)| event(user, uri)).to_vec();
        scope.spawn(|| scene.carry_out(events));
        assert_eq!(scene.users(ACCEPTED, 2), ["bob", "carol"]);
        drop(turn);
    });
    assert_eq!(scene.users(ACCEPTED, 3), ["alice", "bob", "carol"]);
}

#[test]
fn of_two_copies_of_an_event_at_once_one_is_carried_out() {
    let scene = Scene::new();
    for (user, uri) in [("alice", DISABLED), ("bob", REVOKED)] {
        let copy = event(user, uri);
        scene.carry_out(vec![copy.clone(), copy]);
    }
    assert_eq!(scene.users(REPEATED, 2), ["alice", "bob"]);
    assert_eq!(scene.users(ACCEPTED, 2), ["alice", "bob"]);
}
