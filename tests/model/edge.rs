//! Processes of Envoy, with two virtual machines each, of which one leads.

use std::collections::VecDeque;
use std::rc::Rc;

use portcullis::gate::{Outcome, Reason};
use portcullis::host::{Call, CallOutcome};
use serde_json::json;

use super::machine::Machine;
use super::memory::Memory;
use super::support::{Authority, ISSUER, Random, Token, jwks};
use super::table::Named;

/// Tokens that were let pass and are tried again whenever there may be something new: some more than
/// come between two times.
const TRIED_AGAIN: usize = 200;

/// What the edge says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Pass,
    Revoked,
}

/// One process.
pub(crate) struct Edge {
    memory: Rc<Memory>,
    machines: [Machine; 2],
    /// Tokens that were let pass, the latest last.
    passed: VecDeque<(Named, String)>,
    random: Random,
}

impl Edge {
    /// A process that nobody has sent anything yet. Its feed may be silent for as long as is said.
    pub(crate) fn new(authority: &Authority, seed: u64, max_staleness: &str) -> Self {
        let mut revocation = authority.settings();
        revocation["device_claim"] = json!("device");
        revocation["max_staleness"] = json!(max_staleness);
        revocation["reload_jitter"] = json!("0.001s");
        // Of a token that only its issuer names it can be said whether it is revoked.
        revocation["on_unnamed"] = json!("allow");
        let provider = json!({
            "issuer": ISSUER,
            "local_jwks": {"inline_string": jwks(&["eddsa"])},
        });
        let configuration = json!({
            "providers": {"idp": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
            "revocation": revocation,
        });
        let memory = Rc::new(Memory::seeded(seed));
        let machine = |secret| Machine::new(&memory, &configuration, [secret; 16]);
        Self {
            machines: [machine(1), machine(2)],
            memory: Rc::clone(&memory),
            passed: VecDeque::new(),
            random: Random::seeded(seed),
        }
    }

    /// Lets its time pass until it knows everything that the authority has acknowledged.
    pub(crate) fn catch_up(&mut self, authority: &Authority) {
        let head = authority.stats()["sequence"].as_u64().expect("a number");
        let [first, second] = &self.machines;
        for _ in 0..2_000 {
            self.memory.now.set(self.memory.now.get() + 100);
            first.tick();
            // The first to tick leads for as long as it goes on doing so.
            let is_there = first.host.sequence() >= Some(head);
            if is_there || self.random.below(3) == 0 {
                second.tick();
            }
            if is_there {
                return;
            }
            // An empty answer is not asked for again at once.
            let is_quiet = || self.memory.now.get().is_multiple_of(500);
            while first.answer_calls(|call| answer(authority, call)) && !is_quiet() {}
        }
        let warnings = self.memory.take_warnings();
        panic!("not at {head}: {:?}, {warnings:?}", first.host.sequence());
    }

    /// What its virtual machines say of a token, now or, if it is issued later, then. They agree.
    pub(crate) fn word(&mut self, authority: &Authority, token: &Named) -> Word {
        let text = text(token);
        let word = self.word_on(authority, token.issued_at, &text);
        if word == Word::Pass {
            self.passed.push_back((token.clone(), text));
        }
        let surplus = self.passed.len().saturating_sub(TRIED_AGAIN);
        self.passed.drain(..surplus);
        word
    }

    fn word_on(&self, authority: &Authority, issued_at: u64, text: &str) -> Word {
        let now = self.memory.now.get();
        self.memory.now.set(now.max(issued_at * 1_000));
        let outcomes = self.machines.each_ref().map(|machine| {
            let outcome = machine.send(text, |call| answer(authority, call));
            match outcome {
                Outcome::Allowed(_) => Word::Pass,
                Outcome::Refused(Reason::TokenRevoked) => Word::Revoked,
                other @ Outcome::Refused(_) => panic!("{other:?}"),
            }
        });
        self.memory.now.set(now);
        let [first, second] = outcomes;
        assert_eq!(first, second, "{text}");
        first
    }

    /// The tokens that were let pass last, and what is said of them now, when most of them are
    /// remembered.
    pub(crate) fn words_again(&self, authority: &Authority) -> Vec<(Named, Word)> {
        let passed = self.passed.iter();
        let again = passed.map(|(token, text)| {
            let word = self.word_on(authority, token.issued_at, text);
            (token.clone(), word)
        });
        again.collect()
    }

    /// How often a token was found in a cache.
    pub(crate) fn remembered(&self) -> usize {
        let machines = self.machines.iter();
        machines.map(|machine| machine.host.remembered()).sum()
    }

    /// How often a token was found in a cache and had been voided.
    pub(crate) fn void(&self) -> usize {
        let machines = self.machines.iter();
        machines.map(|machine| machine.host.void()).sum()
    }
}

/// What the authority answers at once: a poll is not held back.
fn answer(authority: &Authority, call: &Call) -> CallOutcome {
    let (status, body) = if let Some(body) = &call.body {
        let body = str::from_utf8(body).expect("JSON");
        let (status, answer) = authority.post(&call.path, body);
        (status, answer.into_bytes())
    } else {
        match call.path.split_once("&wait=") {
            Some((poll, _)) => authority.request(&format!("{poll}&wait=0")),
            None => authority.request(&call.path),
        }
    };
    CallOutcome::Answered {
        status,
        headers: Vec::new(),
        body,
    }
}

fn text(token: &Named) -> String {
    let mut signed = Token::signed_by("eddsa")
        .claim("iat", token.issued_at)
        .without_claim("sub")
        .without_claim("aud")
        .expiring_in(1_000_000);
    for (kind, value) in &token.values {
        let claim = match *kind {
            "token" => "jti",
            "session" => "sid",
            "subject" => "sub",
            "client" => "client_id",
            "issuer" => continue,
            same => same,
        };
        signed = signed.claim(claim, value.as_str());
    }
    signed.to_string()
}
