//! Sessions that end by themselves, against a plain list of them.
//!
//! Edges report the sessions that are used. Users begin new ones, of which they may have so many, and
//! leave others unused; operators revoke and restore; and now and then nothing is reported for longer
//! than a session may be unused. What the list says of a session, with the code that its client is told,
//! is what edges say that have caught up: in particular, none that was used has ended.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use portcullis::gate::Reason;
use serde_json::{Value, json};

use super::edge::{Edge, Word};
use super::now;
use super::support::{Authority, ISSUER, Random, jwks};
use super::table::Named;

/// How long a session may be unused.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How many sessions a subject may have.
const MOST: usize = 2;

/// Milliseconds within which edges report again.
const INTERVAL: u64 = 300;

/// What the list says of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Used,
    /// It is not used, until it has ended for it.
    Left,
    Idle,
    Displaced,
    Revoked,
    Restored,
}

#[derive(Clone, Debug)]
struct Session {
    subject: usize,
    name: String,
    fate: Fate,
}

/// How often each case occurred.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) idle: usize,
    pub(crate) displaced: usize,
    pub(crate) silences: usize,
    /// Answers of edges that were compared with the list.
    pub(crate) passed: usize,
    pub(crate) refused: usize,
}

struct Scene {
    authority: Authority,
    _files: tempfile::TempDir,
    sessions: Vec<Session>,
}

impl Scene {
    fn new() -> Self {
        let files = tempfile::tempdir().expect("a temporary directory");
        let policy = json!({
            "idle_timeout": format!("{}s", TIMEOUT.as_secs()), "max_sessions": MOST,
        });
        let keys = files.path().join("jwks.json");
        fs::write(&keys, jwks(&["eddsa"])).expect("a file to write");
        let issuer = json!({
            "issuer": ISSUER, "keys": {"jwks_file": keys}, "session_policy": policy,
        });
        let file = files.path().join("authority.json");
        fs::write(&file, json!({ "issuers": [issuer] }).to_string()).expect("a file to write");
        Self {
            authority: Authority::start_with(&["--config", file.to_str().expect("UTF-8")]),
            _files: files,
            sessions: Vec::new(),
        }
    }

    /// An edge reports what is used, and with it a session that begins.
    fn report(&self, new: Option<&Session>) {
        let sessions = self.sessions.iter().enumerate();
        let used = sessions.filter(|(_, session)| session.fate == Fate::Used);
        let used = used.map(|(number, session)| report(number, session));
        let new = new.map(|session| report(self.sessions.len(), session));
        let reports: Vec<Value> = used.chain(new).collect();
        let body = json!({"version": 1, "interval": INTERVAL, "reports": reports});
        let (status, answer) = self.authority.post("/v1/activity", &body.to_string());
        assert_eq!(status, 204, "{answer}");
    }

    /// Edges report until the authority says that a session has ended.
    fn report_until_ended(&self, number: usize) {
        let end = Instant::now() + Duration::from_mins(1);
        let check = json!({"issuer": ISSUER, "sid": self.sessions[number].name});
        while !self.authority.is_revoked(&check) {
            assert!(Instant::now() < end, "{:?} goes on", self.sessions[number]);
            self.report(None);
            thread::sleep(Duration::from_millis(INTERVAL / 3));
        }
    }

    fn pick(&self, random: &mut Random, fates: &[Fate]) -> Option<usize> {
        let sessions = self.sessions.iter().enumerate();
        let fit = sessions.filter(|(_, session)| fates.contains(&session.fate));
        let fit: Vec<usize> = fit.map(|(number, _)| number).collect();
        (!fit.is_empty()).then(|| *random.pick(&fit))
    }

    /// A user signs in once more; if he has too many sessions then, the first of them ends.
    fn sign_in(&mut self, subject: usize, tally: &mut Tally) {
        let name = format!("session {}", self.sessions.len());
        let fate = Fate::Used;
        let new = Session {
            subject,
            name,
            fate,
        };
        self.report(Some(&new));
        self.sessions.push(new);
        let is_counted =
            |session: &Session| session.subject == subject && session.fate == Fate::Used;
        let counted = self.sessions.iter().enumerate();
        let counted: Vec<usize> = counted
            .filter(|(_, session)| is_counted(session))
            .map(|(number, _)| number)
            .collect();
        if counted.len() > MOST {
            self.report_until_ended(counted[0]);
            self.sessions[counted[0]].fate = Fate::Displaced;
            tally.displaced += 1;
        }
    }

    fn leave_one(&mut self, random: &mut Random, tally: &mut Tally) {
        if let Some(number) = self.pick(random, &[Fate::Used]) {
            let begun = Instant::now();
            self.sessions[number].fate = Fate::Left;
            self.report_until_ended(number);
            let took = begun.elapsed() + Duration::from_secs(1);
            assert!(took >= TIMEOUT, "{took:?}");
            self.sessions[number].fate = Fate::Idle;
            tally.idle += 1;
        }
    }

    fn compare(&self, edge: &mut Edge, context: &str, tally: &mut Tally) {
        edge.catch_up(&self.authority);
        for session in &self.sessions {
            let word = edge.word(&self.authority, &session.token());
            let expected = match session.fate {
                Fate::Used | Fate::Left | Fate::Restored => Word::Pass,
                Fate::Idle => Word::Ended(Reason::SessionIdle),
                Fate::Displaced => Word::Ended(Reason::SessionDisplaced),
                Fate::Revoked => Word::Revoked,
            };
            assert_eq!(word, expected, "{context}: {session:?}");
            if word == Word::Pass {
                tally.passed += 1;
            } else {
                tally.refused += 1;
            }
        }
    }
}

impl Session {
    fn token(&self) -> Named {
        let values = [
            ("issuer", String::new()),
            ("subject", format!("subject {}", self.subject)),
            ("session", self.name.clone()),
        ];
        Named {
            values: values.into(),
            issued_at: now() - 10,
            signed_in_at: None,
        }
    }
}

/// A session begins a second after the one before it, so that it is certain which is the first.
fn report(number: usize, session: &Session) -> Value {
    json!({
        "issuer": ISSUER, "subject": format!("subject {}", session.subject), "sid": session.name,
        "first_seen_ago": 10_000_000 - number * 2_000, "last_seen_ago": 0, "requests": 1,
    })
}

pub(crate) fn run(seed: u64, steps: usize) -> Tally {
    let mut random = Random::seeded(seed);
    let mut scene = Scene::new();
    let mut tally = Tally::default();
    let mut edges = [1, 2].map(|seed| Edge::new(&scene.authority, seed, "30s"));
    for step in 0..steps {
        match (step % 10, random.below(8)) {
            (9, _) => {
                thread::sleep(TIMEOUT + Duration::from_secs(1));
                scene.report(None);
                tally.silences += 1;
            }
            (3 | 7, _) => scene.leave_one(&mut random, &mut tally),
            (_, 0) => {
                let ended = [Fate::Used, Fate::Idle, Fate::Displaced];
                if let Some(number) = scene.pick(&mut random, &ended) {
                    scene
                        .authority
                        .revoke("session", &scene.sessions[number].name);
                    scene.sessions[number].fate = Fate::Revoked;
                }
            }
            (_, 1) => {
                let ended = [Fate::Revoked, Fate::Idle, Fate::Displaced];
                if let Some(number) = scene.pick(&mut random, &ended) {
                    let name = &scene.sessions[number].name;
                    scene.authority.restore_access("session", name);
                    scene.sessions[number].fate = Fate::Restored;
                }
            }
            // Most of them of one user, who has too many.
            _ => scene.sign_in(usize::from(random.chance(20)), &mut tally),
        }
        let index = random.below(edges.len());
        let context = format!("seed {seed}, step {step}, edge {index}");
        scene.compare(&mut edges[index], &context, &mut tally);
    }
    tally
}
