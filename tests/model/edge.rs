//! Envoy processes with two virtual machines each, one of which leads. Now and then one is paused
//! for a while, or replaced by a new one.

use std::collections::VecDeque;
use std::rc::Rc;

use portcullis::gate::{Outcome, Reason};
use portcullis::host::{Call, CallOutcome};
use serde_json::{Value, json};

use super::machine::{Counted, Machine, Position, Stream};
use super::memory::Memory;
use super::support::{Authority, ISSUER, Random, Token, jwks};
use super::table::{CLAIM, Named};

/// Tokens that were let pass and are tried again whenever there may be something new: some more than
/// come between two times.
const TRIED_AGAIN: usize = 200;

/// Where users sign out.
const SIGN_OUT: &str = "/sign-out";

/// Requests in progress in each virtual machine, at most.
const STREAMS: usize = 100;

/// Whom edges ask: one authority, or several on one database.
pub(crate) trait Authorities {
    /// The `revocation` part of a filter's configuration.
    fn settings(&self) -> Value;

    /// Where they are, with everything that they have acknowledged.
    fn head(&self) -> Position;

    /// Status and body.
    fn get(&self, path: &str) -> (u16, Vec<u8>);

    /// Status and body.
    fn post(&self, path: &str, body: &str) -> (u16, String);

    /// Revokes what the lines name, all of it or nothing.
    fn import(&self, lines: &str);

    /// The answer to an exact check with the knowledge of what was acknowledged.
    fn is_revoked(&self, check: &Value) -> bool;
}

impl Authorities for Authority {
    fn settings(&self) -> Value {
        self.settings()
    }

    fn head(&self) -> Position {
        position_in(&self.stats())
    }

    fn get(&self, path: &str) -> (u16, Vec<u8>) {
        self.request(path)
    }

    fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.post(path, body)
    }

    fn import(&self, lines: &str) {
        self.import(lines);
    }

    fn is_revoked(&self, check: &Value) -> bool {
        self.is_revoked(check)
    }
}

/// What the edge says of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Pass,
    Revoked,
    /// Its session has ended by itself, and the client is told so.
    Ended(Reason),
    /// Neither admits it, since the authority cannot answer, at least not one of them.
    Unconfirmed,
    /// One admits it and the other does not. That is allowed where an entry has lapsed, which one
    /// of them still knows.
    Apart,
}

/// One process.
pub(crate) struct Edge {
    memory: Rc<Memory>,
    configuration: Value,
    machines: [Machine; 2],
    /// The counts of machines that were replaced.
    counted: Counted,
    /// Tokens that were let pass, the latest last.
    passed: VecDeque<(Named, String)>,
    /// Requests in progress of each machine, the latest last.
    streams: [VecDeque<(Named, Stream)>; 2],
    random: Random,
}

impl Edge {
    /// A process that has had no requests yet.
    pub(crate) fn new(authority: &impl Authorities, seed: u64, max_staleness: &str) -> Self {
        let configuration = configuration(authority, max_staleness);
        let memory = Rc::new(Memory::seeded(seed));
        Self {
            machines: [(); 2].map(|()| Machine::new(&memory, &configuration)),
            memory,
            configuration,
            counted: Counted::default(),
            passed: VecDeque::new(),
            streams: [(); 2].map(|()| VecDeque::new()),
            random: Random::seeded(seed),
        }
    }

    /// Lets time pass until it knows everything that the authority has acknowledged.
    pub(crate) fn catch_up(&mut self, authority: &impl Authorities) {
        let head = authority.head();
        let either = self.random.below(2);
        match self.random.below(10) {
            0 => self.replace(either),
            1..4 => return self.catch_up_without(authority, head, Some(either)),
            _ => {}
        }
        self.catch_up_without(authority, head, None);
    }

    /// The same, while one machine is paused. If it leads, the other one takes over when its lease
    /// has run out. When it resumes, it first gets the answers to its calls.
    fn catch_up_without(
        &mut self,
        authority: &impl Authorities,
        head: Position,
        stopped: Option<usize>,
    ) {
        self.follow(authority, stopped, |position| position >= Some(head));
    }

    /// Lets time pass until the authority has noticed that this process knows more than it does, and
    /// has begun an epoch.
    pub(crate) fn show(&mut self, authority: &impl Authorities) {
        let (before, _) = authority.head();
        self.follow(authority, None, |_| authority.head().0 > before);
    }

    /// Lets time pass until its position is one that is waited for.
    fn follow(
        &mut self,
        authority: &impl Authorities,
        stopped: Option<usize>,
        is_there: impl Fn(Option<Position>) -> bool,
    ) {
        for _ in 0..2_000 {
            self.memory.now.set(self.memory.now.get() + 100);
            let is_quiet = self.memory.now.get().is_multiple_of(500);
            for (index, machine) in self.machines.iter().enumerate() {
                if stopped == Some(index) || self.random.below(3) == 0 {
                    continue;
                }
                machine.tick();
                // After an empty answer there is no poll at once.
                while machine.answer_calls(|call| answer(authority, call)) && !is_quiet {}
            }
            let positions = self.machines.iter().map(|machine| machine.host.position());
            if is_there(positions.max().flatten()) {
                for machine in &self.machines {
                    machine.tick();
                }
                return;
            }
        }
        let warnings = self.memory.take_warnings();
        panic!("not there, at {:?}: {warnings:?}", authority.head());
    }

    /// One machine dies, and another one starts.
    fn replace(&mut self, index: usize) {
        let new = Machine::new(&self.memory, &self.configuration);
        let old = std::mem::replace(&mut self.machines[index], new);
        self.counted += old.host.counted();
        self.streams[index].clear();
    }

    /// Begins a request with this token that stays, in a machine that lets it in.
    pub(crate) fn open(&mut self, authority: &impl Authorities, token: &Named) {
        let index = self.random.below(2);
        let (machine, streams) = (&self.machines[index], &mut self.streams[index]);
        let text = text(token);
        let (outcome, stream) = machine.open(&text, |call| answer(authority, call));
        if !matches!(outcome, Outcome::Allowed(_)) {
            return machine.leave(&stream);
        }
        streams.push_back((token.clone(), stream));
        if streams.len() > STREAMS
            && let Some((_, oldest)) = streams.pop_front()
        {
            machine.leave(&oldest);
        }
    }

    /// The tokens of the requests in progress, and whether each request was ended. Those that were
    /// have gone then.
    pub(crate) fn streams(&mut self, authority: &impl Authorities) -> Vec<(Named, bool)> {
        let mut seen = Vec::new();
        for (machine, streams) in self.machines.iter().zip(&mut self.streams) {
            // Some ticks for what the last one has found, and until none is taken for a short one.
            for _ in 0..12 {
                machine.tick();
                while machine.answer_calls(|call| answer(authority, call)) {}
            }
            streams.retain(|(token, stream)| {
                let is_closed = machine.has_closed(stream);
                if is_closed {
                    machine.leave(stream);
                }
                seen.push((token.clone(), is_closed));
                !is_closed
            });
        }
        seen
    }

    /// Signs a user out with this token at one of its machines. Whether it was answered that he is;
    /// then this machine refuses the token, unless it is another session that has ended.
    pub(crate) fn sign_out(
        &mut self,
        authority: &impl Authorities,
        token: &Named,
        scope: &str,
    ) -> bool {
        let machine = &self.machines[self.random.below(2)];
        let (text, target) = (text(token), format!("{SIGN_OUT}?scope={scope}"));
        let answer = |call: &Call| answer(authority, call);
        match machine.send_to(("POST", &target), &text, answer) {
            Outcome::Served(_) => {}
            // It may not have heard of anything yet.
            Outcome::Refused(Reason::TokenRevoked | Reason::RevocationUnavailable) => return false,
            other => panic!("{other:?} for {token:?}"),
        }
        if scope != "others" {
            let outcome = machine.send(&text, answer);
            assert_eq!(outcome, Outcome::Refused(Reason::TokenRevoked), "{token:?}");
        }
        true
    }

    /// What its virtual machines say about a token, now or, if it is issued later, then. The
    /// authority is one that can answer.
    pub(crate) fn word(&mut self, authority: &impl Authorities, token: &Named) -> Word {
        let word = self.word_of_any(authority, token);
        assert_ne!(word, Word::Unconfirmed, "{token:?}");
        word
    }

    /// The same, with an authority that may be unable to answer.
    pub(crate) fn word_of_any(&mut self, authority: &impl Authorities, token: &Named) -> Word {
        let text = text(token);
        let word = self.word_on(authority, token.issued_at, &text);
        if word == Word::Pass {
            self.passed.push_back((token.clone(), text));
        }
        let surplus = self.passed.len().saturating_sub(TRIED_AGAIN);
        self.passed.drain(..surplus);
        word
    }

    fn word_on(&self, authority: &impl Authorities, issued_at: u64, text: &str) -> Word {
        let now = self.memory.now.get();
        self.memory.now.set(now.max(issued_at * 1_000));
        let outcomes = self.machines.each_ref().map(|machine| {
            let outcome = machine.send(text, |call| answer(authority, call));
            match outcome {
                Outcome::Allowed(_) => Word::Pass,
                Outcome::Refused(Reason::TokenRevoked) => Word::Revoked,
                Outcome::Refused(reason @ (Reason::SessionIdle | Reason::SessionDisplaced)) => {
                    Word::Ended(reason)
                }
                Outcome::Refused(Reason::RevocationUnconfirmed) => Word::Unconfirmed,
                other => panic!("{other:?}"),
            }
        });
        self.memory.now.set(now);
        let [first, second] = outcomes;
        match (first, second) {
            (first, second) if first == second => first,
            (Word::Pass, _) | (_, Word::Pass) => Word::Apart,
            _ => Word::Unconfirmed,
        }
    }

    /// The tokens that were let pass last, and what is said of them now, when most of them are
    /// remembered.
    pub(crate) fn words_again(&self, authority: &impl Authorities) -> Vec<(Named, Word)> {
        let passed = self.passed.iter();
        let again = passed.map(|(token, text)| {
            let word = self.word_on(authority, token.issued_at, text);
            (token.clone(), word)
        });
        again.collect()
    }

    /// What its virtual machines have counted.
    pub(crate) fn counted(&self) -> Counted {
        let mut counted = self.counted;
        for machine in &self.machines {
            counted += machine.host.counted();
        }
        counted
    }
}

/// Where an authority is that says this of itself.
pub(crate) fn position_in(stats: &Value) -> Position {
    let number = |name: &str| stats[name].as_u64().expect("a number");
    (number("epoch"), number("sequence"))
}

fn configuration(authority: &impl Authorities, max_staleness: &str) -> Value {
    let mut revocation = authority.settings();
    revocation["device_claim"] = json!("device");
    revocation["claims"] = json!([CLAIM]);
    revocation["max_staleness"] = json!(max_staleness);
    revocation["reload_jitter"] = json!("0.001s");
    // A token that only its issuer names can be revoked.
    revocation["on_unnamed"] = json!("allow");
    json!({
        "providers": {"idp": {
            "issuer": ISSUER,
            "local_jwks": {"inline_string": jwks(&["eddsa"])},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
        "revocation": revocation,
        "sign_out": {"path": SIGN_OUT},
    })
}

/// The authority's answer, at once: no poll is held.
fn answer(authority: &impl Authorities, call: &Call) -> CallOutcome {
    let (status, body) = if let Some(body) = &call.body {
        let body = str::from_utf8(body).expect("JSON");
        let (status, answer) = authority.post(&call.path, body);
        (status, answer.into_bytes())
    } else {
        match call.path.split_once("&wait=") {
            Some((poll, _)) => authority.get(&format!("{poll}&wait=0")),
            None => authority.get(&call.path),
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
    if let Some(time) = token.signed_in_at {
        signed = signed.claim("auth_time", time);
    }
    for (kind, value) in &token.values {
        let claim = match *kind {
            "token" => "jti",
            "session" => "sid",
            "subject" => "sub",
            "client" => "client_id",
            "claim" => CLAIM,
            "issuer" => continue,
            same => same,
        };
        signed = signed.claim(claim, value.as_str());
    }
    signed.to_string()
}
