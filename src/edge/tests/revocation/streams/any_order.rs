//! Whatever happens in whatever order: what is revoked ends, what is not goes on, and nothing is
//! left behind.

use super::*;

/// Sessions, each with a subject that it shares with others.
const SESSIONS: usize = 6;
const SUBJECTS: usize = 3;

/// What happens before everything is let come to rest.
const STEPS: usize = 60;

/// A request in progress.
struct Stream {
    context: ContextId,
    session: usize,
    /// Whether its token was revoked at any time since it was let in.
    may_end: bool,
}

struct Run {
    fixture: Fixture,
    random: u64,
    revoked_sessions: [bool; SESSIONS],
    revoked_subjects: [bool; SUBJECTS],
    streams: Vec<Stream>,
    /// Requests that wait for a check.
    held: Vec<(ContextId, usize)>,
    ended: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        Self {
            fixture: Fixture::watching(),
            random: seed,
            revoked_sessions: Default::default(),
            revoked_subjects: Default::default(),
            streams: Vec::new(),
            held: Vec::new(),
            ended: 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(self.random >> 33).unwrap() % bound
    }

    fn is_revoked(&self, session: usize) -> bool {
        let subject = session % SUBJECTS;
        self.revoked_sessions[session] || self.revoked_subjects[subject]
    }

    fn step(&mut self) {
        match self.below(64) {
            0..26 => self.begin(),
            26..30 => self.leave(),
            30..36 => self.change_session(),
            36..38 => self.change_subject(),
            38..42 => {
                let session = self.below(SESSIONS);
                let mut authority = self.fixture.authority.borrow_mut();
                authority.rotate(&format!("token {session}"));
            }
            42..44 => self.fixture.authority.borrow_mut().publish_generation(),
            // Nothing is let in from then on until everything has come to rest.
            44 => self.fixture.wipe(),
            45..57 => self.fixture.hear(),
            57..62 => self.fixture.answer_checks(),
            _ => self.fixture.fail_checks(),
        }
        self.fixture.process.pass(100);
        self.fixture.machine.tick();
        self.look();
    }

    fn begin(&mut self) {
        let session = self.below(SESSIONS);
        let claims = json!({
            "iss": "iss", "jti": format!("token {session}"), "sid": format!("session {session}"),
            "sub": format!("subject {}", session % SUBJECTS),
            "iat": NOW - 10, "exp": NOW + 1_000_000,
        });
        let now = self.fixture.process.now.get() / 1_000;
        let context = self.fixture.send_at(now, &claims);
        self.held.push((context, session));
    }

    fn leave(&mut self) {
        let streams = self.streams.len();
        if streams > 0 {
            let index = self.below(streams);
            let stream = self.streams.swap_remove(index);
            self.fixture.machine.leave(stream.context);
        } else if let Some((context, _)) = self.held.pop() {
            self.fixture.machine.leave(context);
        }
    }

    fn change_session(&mut self) {
        let session = self.below(SESSIONS);
        self.toggle_session(session);
    }

    fn toggle_session(&mut self, session: usize) {
        let is_revoked = &mut self.revoked_sessions[session];
        *is_revoked = !*is_revoked;
        let name = name_of(Kind::Session, &format!("session {session}"));
        let change = if *is_revoked {
            Change::Add(name)
        } else {
            Change::Restore(name)
        };
        self.fixture.authority.borrow_mut().changes.push(change);
    }

    fn change_subject(&mut self) {
        let subject = self.below(SUBJECTS);
        self.toggle_subject(subject);
    }

    fn toggle_subject(&mut self, subject: usize) {
        let is_revoked = &mut self.revoked_subjects[subject];
        *is_revoked = !*is_revoked;
        let key = name_of(Kind::Subject, &format!("subject {subject}"));
        let change = if *is_revoked {
            Change::SetCutOff(CutOff {
                key,
                not_before: UnixTime::from_seconds(NOW).unwrap(),
                except: None,
                is_compound: false,
            })
        } else {
            Change::ClearCutOff(key)
        };
        self.fixture.authority.borrow_mut().changes.push(change);
    }

    fn restore_everything(&mut self) {
        for session in 0..SESSIONS {
            if self.revoked_sessions[session] {
                self.toggle_session(session);
            }
        }
        for subject in 0..SUBJECTS {
            if self.revoked_subjects[subject] {
                self.toggle_subject(subject);
            }
        }
    }

    /// Takes in what the edge has decided and ended.
    fn look(&mut self) {
        let held = std::mem::take(&mut self.held);
        for (context, session) in held {
            match self.fixture.machine.outcome(context) {
                None => self.held.push((context, session)),
                Some(Outcome::Allowed(_)) => self.streams.push(Stream {
                    context,
                    session,
                    may_end: false,
                }),
                Some(_) => self.fixture.machine.leave(context),
            }
        }
        for index in 0..self.streams.len() {
            self.streams[index].may_end |= self.is_revoked(self.streams[index].session);
        }
        for (context, end) in self.fixture.closed() {
            let index = self.streams.iter().position(|one| one.context == context);
            let stream = self
                .streams
                .swap_remove(index.expect("a request in progress"));
            assert_eq!(end, End::Revoked);
            assert!(stream.may_end, "{context:?} was never revoked");
            self.ended += 1;
        }
    }

    /// Lets everything come to rest.
    fn settle(&mut self) {
        for _ in 0..10 {
            self.fixture.process.pass(11_000);
            self.fixture.hear();
            self.fixture.answer_checks();
            self.look();
        }
        assert_eq!(self.held, [], "nothing waits");
        for stream in &self.streams {
            assert!(!self.is_revoked(stream.session), "it goes on");
        }
        assert_eq!(self.fixture.watched(), self.streams.len());
        assert_eq!(self.fixture.count_checks(), 0);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_revoked_ends_what_is_not_goes_on_and_nothing_is_left_behind() {
    let (mut ended, mut kept) = (0, 0);
    for seed in 0..12 {
        let mut run = Run::new(seed);
        for _ in 0..4 {
            for _ in 0..STEPS {
                run.step();
            }
            run.settle();
            kept += run.streams.len();
            run.restore_everything();
        }
        ended += run.ended;
        while !run.streams.is_empty() {
            run.leave();
        }
        assert_eq!(run.fixture.watched(), 0);
    }
    assert!(ended > 50 && kept > 50, "{ended} ended, {kept} kept");
}
