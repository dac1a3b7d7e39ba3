use super::super::conformance::{ISSUER, KEY, LIMITS, START, at, id, passes, seen};
use super::super::session::Ended;
use super::*;
use crate::revocation::Cause;

#[test]
fn it_is_a_registry() {
    passes(&|limits| Box::new(Memory::new(KEY, limits, at(0))));
}

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// What a registry without any structure would hold.
#[derive(Default)]
struct Plain(Vec<Session>);

impl Plain {
    fn report(&mut self, observation: &Observation) {
        let id = observation.name.fingerprint(&KEY, ISSUER);
        let known = self.0.iter_mut().find(|session| {
            session.id == id && session.subject.as_deref() == observation.subject.as_deref()
        });
        match known {
            Some(session) => session.merge(observation, &|_| true),
            None => self.0.push(Session::begin(id, observation)),
        }
    }

    fn live(&self) -> impl Iterator<Item = &Session> {
        self.0.iter().filter(|session| session.is_live())
    }
}

fn sorted(mut sessions: Vec<Session>) -> Vec<Session> {
    sessions.sort_by_key(|session| (session.id, session.subject.clone()));
    sessions
}

#[test]
fn whatever_happens_it_holds_what_a_plain_list_would() {
    let mut random = Random(15);
    let memory = Memory::new(KEY, LIMITS, at(0));
    let mut plain = Plain::default();
    let mut now = 0;
    for step in 0..6_000 {
        now += random.below(30);
        let session = random.below(60).to_string();
        // Some sessions have two subjects, or none.
        let subject = match random.below(20) {
            0 => String::new(),
            1 => "u0".to_owned(),
            _ => format!(
                "u{}",
                session.len() + usize::from(session.as_bytes()[0]) % 7
            ),
        };
        match random.below(40) {
            0 => {
                let ended = Ended {
                    at: at(now),
                    cause: Cause::Idle,
                };
                let mark = Mark {
                    kind: Kind::Session,
                    name: id(&session),
                    cut_off: None,
                    ended,
                };
                memory.mark(&[mark]).unwrap();
                for session in &mut plain.0 {
                    if session.id == mark.name && session.is_live() {
                        session.ended = Some(ended);
                    }
                }
            }
            1 => {
                memory.sweep(at(now)).unwrap();
                let is_past = |session: &Session| {
                    let ended = session.ended.map(|ended| ended.at.seconds() / 60);
                    ended.is_some_and(|minute| minute < (START + now - 3_600) / 60)
                };
                plain.0.retain(|session| !is_past(session));
            }
            _ => {
                let mut observation =
                    seen(&subject, &session, now.saturating_sub(random.below(90)));
                observation.client = Some(format!("c{}", random.below(3)));
                observation.device = Some(format!("d{}", random.below(3)));
                memory
                    .report(
                        std::slice::from_ref(&observation),
                        at(now),
                        Told::New,
                        &|_| true,
                    )
                    .unwrap();
                plain.report(&observation);
            }
        }
        if step % 50 > 0 {
            continue;
        }
        let all = Filter {
            ended: true,
            ..Filter::default()
        };
        let held = memory.search(&all, None, 1_000).unwrap().sessions;
        assert_eq!(sorted(held), sorted(plain.0.clone()), "step {step}");
        let counts = memory.counts(at(now)).unwrap();
        assert_eq!(counts.sessions, plain.0.len() as u64);
        let since = (START + now - 300) / 60;
        let active = || {
            plain
                .live()
                .filter(|session| session.last_seen.seconds() / 60 >= since)
        };
        assert_eq!(counts.active_sessions[0], active().count() as u64);
        let subjects = active().filter_map(|session| session.subject.clone());
        let subjects: std::collections::HashSet<_> = subjects.collect();
        assert_eq!(counts.active_subjects[0], subjects.len() as u64);
        for number in 0..9 {
            let subject = format!("u{number}");
            let found = memory.of_subject(ISSUER, &subject, None, 1_000).unwrap();
            let expected = plain.live();
            let expected = expected.filter(|session| session.subject.as_deref() == Some(&subject));
            let expected = expected.cloned().collect();
            assert_eq!(sorted(found.sessions), sorted(expected), "step {step}");
        }
    }
    assert!(plain.live().count() > 20 && plain.live().count() < plain.0.len());
}

#[test]
fn a_snapshot_of_more_sessions_than_there_may_be_is_never_held_as_a_whole() {
    let limits = Limits {
        max_sessions: 100,
        ..LIMITS
    };
    let memory = Memory::new(KEY, limits, at(0));
    memory.begin_loading();
    // In no order of time.
    for row in 0..300 {
        let seconds = row * 7_919 % 300 * 60;
        let observation = seen(&format!("u{row}"), &row.to_string(), seconds);
        memory.load(row + 1, &Session::begin(id(&row.to_string()), &observation));
        assert!(memory.counts(at(0)).unwrap().sessions <= 100);
    }
    memory.end_loading();
    let found = memory.search(&Filter::default(), None, 1_000).unwrap();
    assert_eq!(found.sessions.len(), 100);
    let is_recent = |session: &Session| session.last_seen >= at(200 * 60);
    assert!(found.sessions.iter().all(is_recent), "those seen last");
    assert_eq!(memory.take_changes(1_000).dropped.len(), 200);
}

/// However many sessions come and go between two snapshots.
#[test]
fn what_the_next_snapshot_has_to_write_is_bounded_by_what_there_is() {
    let limits = Limits {
        max_sessions: 500,
        ..LIMITS
    };
    let memory = Memory::new(KEY, limits, at(0));
    for number in 0..200_000 {
        let observation = seen(&format!("u{}", number % 3_000), &number.to_string(), number);
        let reported = memory.report(&[observation], at(number), Told::New, &|_| true);
        assert_eq!(reported.unwrap().len(), 1);
    }
    let noted: usize = memory.shards.iter().map(|shard| lock(shard).noted()).sum();
    assert!(noted <= SHARDS * 1_100 + 2 * 500, "{noted}");
    let changes = memory.take_changes(10_000);
    assert_eq!((changes.rows.len(), changes.dropped.len()), (500, 0));
    assert_eq!(memory.take_changes(10_000).rows, []);
}
