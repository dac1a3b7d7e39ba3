//! The walk and its rules, against a table in which each session is what was done with it.

use std::collections::{BTreeMap, HashSet};
use std::num::NonZeroU32;

use super::super::conformance::{ISSUER, KEY, LIMITS, START, at, id, seen};
use super::super::memory::Memory;
use super::super::policy::OnExcess;
use super::super::registry::{Filter, Mark, Registry, Told};
use super::super::session::{Ended, Observation};
use super::super::tests::Away;
use super::*;

const CLOCK_SKEW: Duration = Duration::from_mins(1);

const IDLE: u64 = 1_800;

const MOST: usize = 3;

fn policies(rules: SessionRules) -> HashMap<String, SessionPolicy> {
    let policy = SessionPolicy {
        general: rules,
        clients: BTreeMap::new(),
    };
    HashMap::from([(ISSUER.to_owned(), policy)])
}

/// A registry with its rules, and a store that carries out every end at once.
struct Scene {
    memory: Memory,
    policies: HashMap<String, SessionPolicy>,
    walk: Walk,
    begun: Instant,
    now: u64,
    /// Why, and for which sign-ins no more.
    revoked: HashMap<Fingerprint, (Cause, UnixTime)>,
}

impl Scene {
    fn new(rules: SessionRules) -> Self {
        Self {
            memory: Memory::new(KEY, LIMITS, at(0)),
            policies: policies(rules),
            walk: Walk::default(),
            begun: Instant::now(),
            now: 0,
            revoked: HashMap::new(),
        }
    }

    #[expect(clippy::needless_pass_by_value, reason = "tests make it for this call")]
    fn report(&self, observations: Vec<Observation>) -> Vec<Subject> {
        let reported = self
            .memory
            .report(&observations, at(self.now), Told::New, &|_| true);
        let sessions = reported.unwrap().into_iter();
        sessions
            .filter_map(|reported| Subject::of(&reported.session))
            .collect()
    }

    fn look<T>(&mut self, act: impl FnOnce(&mut Walk, &Look<'_>, Instant) -> T) -> T {
        let idle_since = HashMap::from([(
            Duration::from_secs(IDLE),
            UnixTime::from_seconds(START + self.now - IDLE.min(self.now)).unwrap(),
        )]);
        let look = Look {
            registry: &self.memory,
            policies: &self.policies,
            idle_since: &idle_since,
            revoked: &|session| {
                let (cause, signed_in_from) = *self.revoked.get(&session.id)?;
                let issued = session.issuance().for_kind(Kind::Session);
                let is_left = issued.is_some_and(|issued| issued >= signed_in_from);
                (!is_left).then_some(cause)
            },
            now: at(self.now),
            clock_skew: CLOCK_SKEW,
        };
        let now = self.begun + Duration::from_secs(self.now);
        act(&mut self.walk, &look, now)
    }

    /// Looks at these subjects, and walks through all sessions once. Returns what has ended, by name,
    /// with what the walk has seen.
    fn walk(&mut self, subjects: Vec<Subject>) -> (Vec<(String, Cause)>, walk::Seen) {
        let mut subjects = Some(subjects);
        let mut ended = Vec::new();
        // The next one begins no sooner than a second later.
        self.now += 1;
        loop {
            let found = self.look(|walk, look, now| {
                let subjects = subjects.take().unwrap_or_default();
                walk.step(look, subjects, Some(UnixTime::MAX), now).unwrap()
            });
            for end in &found.due {
                let name = end.session.name.value().to_string();
                let before = self.revoked.insert(end.id(), (end.cause, UnixTime::MAX));
                let is_again = before.is_some_and(|(_, from)| from == UnixTime::MAX);
                assert!(!is_again, "{name} is ended twice");
                ended.push((name, end.cause));
            }
            let marks = found.due.iter().map(|end| Mark {
                kind: Kind::Session,
                name: end.id(),
                cut_off: None,
                ended: Ended {
                    at: at(self.now),
                    cause: end.cause,
                },
            });
            let marks: Vec<_> = marks.chain(found.marks).collect();
            self.memory.mark(&marks).unwrap();
            if let Some(seen) = found.seen {
                return (ended, seen);
            }
        }
    }
}

fn displacing(on_excess: OnExcess) -> SessionRules {
    SessionRules {
        max_sessions: NonZeroU32::new(u32::try_from(MOST).unwrap()),
        on_excess,
        ..SessionRules::default()
    }
}

fn ending_idle() -> SessionRules {
    SessionRules {
        idle_timeout: Some(Duration::from_secs(IDLE)),
        ..SessionRules::default()
    }
}

fn names(ended: &[(String, Cause)]) -> Vec<&str> {
    let mut names: Vec<&str> = ended.iter().map(|(name, _)| &**name).collect();
    names.sort_unstable();
    names
}

#[test]
fn too_many_sessions_are_found_whether_their_subject_is_named_or_not() {
    for is_named in [true, false] {
        let mut scene = Scene::new(displacing(OnExcess::EndOldest));
        let sessions = (0..6).map(|number| seen("alice", &number.to_string(), number));
        let mut subjects = scene.report(sessions.collect());
        scene.report((0..3).map(|n| seen("bob", &format!("b{n}"), n)).collect());
        if !is_named {
            subjects.clear();
        }
        let (ended, seen_by_walk) = scene.walk(subjects);
        assert_eq!(names(&ended), ["0", "1", "2"]);
        assert!(ended.iter().all(|(_, cause)| *cause == Cause::Displaced));
        assert_eq!(seen_by_walk, walk::Seen::default());
        // One that is told of after others that came later is none too few.
        scene.report(vec![seen("alice", "late", 1)]);
        assert_eq!(names(&scene.walk(Vec::new()).0), ["late"]);
        assert_eq!(scene.walk(Vec::new()).0, []);
    }
}

#[test]
fn a_session_ends_only_when_every_session_of_its_sid_has_to() {
    let mut scene = Scene::new(ending_idle());
    scene.report(vec![
        seen("alice", "shared", 0),
        seen("bob", "shared", 0),
        seen("", "shared", 0),
        seen("alice", "own", 0),
    ]);
    scene.now = IDLE + 100;
    scene.report(vec![seen("bob", "shared", IDLE)]);
    let (ended, seen_by_walk) = scene.walk(Vec::new());
    assert_eq!(ended, [("own".to_owned(), Cause::Idle)]);
    assert_eq!((seen_by_walk.left, seen_by_walk.held), (0, 1));
    scene.now = 2 * IDLE + 100;
    let (ended, seen_by_walk) = scene.walk(Vec::new());
    assert_eq!(ended, [("shared".to_owned(), Cause::Idle)]);
    assert_eq!(seen_by_walk.held, 0);
    let live = scene.memory.search(&Filter::default(), None, 9).unwrap();
    assert_eq!(live.sessions, []);
}

#[test]
fn a_user_who_is_known_by_two_names_has_to_be_too_many_by_both() {
    let mut scene = Scene::new(displacing(OnExcess::EndOldest));
    let of_both = |number: u64| {
        let sid = number.to_string();
        [seen("alice", &sid, number), seen("secila", &sid, number)]
    };
    scene.report((0..4).flat_map(of_both).collect());
    scene.report(vec![seen("alice", "x", 9)]);
    let (ended, seen_by_walk) = scene.walk(Vec::new());
    assert_eq!(names(&ended), ["0"], "and `1` goes on for the other name");
    assert_eq!(seen_by_walk.held, 1);
    scene.report(vec![seen("secila", "y", 9)]);
    assert_eq!(names(&scene.walk(Vec::new()).0), ["1"]);
}

#[test]
fn what_is_revoked_already_is_marked_and_not_ended_again() {
    let mut scene = Scene::new(ending_idle());
    scene.report(vec![seen("alice", "s", 0)]);
    scene.now = 2 * IDLE;
    scene.revoked.insert(id("s"), (Cause::Plain, UnixTime::MAX));
    assert_eq!(scene.walk(Vec::new()).0, []);
    let owned = super::super::session::Owned {
        issuer: ISSUER,
        subject: Some("alice"),
        id: id("s"),
    };
    let ended = scene.memory.get(owned).unwrap().unwrap().ended;
    assert_eq!(ended.map(|ended| ended.cause), Some(Cause::Plain));
}

#[test]
fn a_session_is_judged_by_its_own_sign_in_and_not_by_one_of_the_same_name() {
    let mut scene = Scene::new(ending_idle());
    let signed_in = |subject: &str, seconds: u64| Observation {
        auth_time: Some(at(seconds)),
        issued_at: Some(at(seconds)),
        ..seen(subject, "s", seconds)
    };
    scene.report(vec![
        signed_in("alice", 10),
        signed_in("bob", 20),
        signed_in("carol", IDLE),
    ]);
    scene.revoked.insert(id("s"), (Cause::Plain, at(20)));
    let is_live = |scene: &Scene, subject: &str| {
        let live = scene.memory.of_subject(ISSUER, subject, None, 9).unwrap();
        !live.sessions.is_empty()
    };
    scene.now = IDLE + 100;
    for _ in 0..2 {
        assert_eq!(scene.walk(Vec::new()).0, [], "carol's is in use");
        let live = ["alice", "bob", "carol"].map(|subject| is_live(&scene, subject));
        assert_eq!(live, [false, true, true]);
    }
    scene.now = 3 * IDLE;
    let (ended, _) = scene.walk(Vec::new());
    assert_eq!(ended, [("s".to_owned(), Cause::Idle)]);
    assert!(!is_live(&scene, "bob") && !is_live(&scene, "carol"));
}

/// A session of the table.
#[derive(Clone, Debug)]
struct Row {
    subject: String,
    sid: String,
    first_seen: u64,
    last_seen: u64,
    expires_at: Option<u64>,
    /// Whether the registry has heard of it.
    is_told: bool,
}

/// Whatever is reported in whatever order, in a registry that loses everything now and then: a session
/// ends only by its own policy, no session that is used is ended for another, and after a walk no
/// subject has more sessions than it may, but for those that cannot be ended without another.
#[test]
fn ends_are_those_of_a_plain_table() {
    let rules = SessionRules {
        idle_timeout: Some(Duration::from_secs(IDLE)),
        ..displacing(OnExcess::EndOldest)
    };
    let mut tally = (0, 0, 0);
    for seed in 0..24 {
        let mut random = Random(seed);
        let is_refusing = seed % 2 == 1;
        let on_excess = if is_refusing {
            OnExcess::Refuse
        } else {
            OnExcess::EndOldest
        };
        let mut scene = Scene::new(SessionRules { on_excess, ..rules });
        let mut rows: Vec<Row> = Vec::new();
        for step in 0..400 {
            scene.now += random.below(120);
            let now = scene.now;
            let mut named = Vec::new();
            match random.below(12) {
                // A sign-in, of which edges tell later perhaps; one `sid` in eight is another's too.
                0..=3 => {
                    let others = rows.get(usize::try_from(random.below(40)).unwrap());
                    let shared = others.filter(|_| random.below(2) == 0);
                    let sid = shared.map_or(format!("{seed} {step}"), |row| row.sid.clone());
                    rows.push(Row {
                        subject: format!("u{}", random.below(4)),
                        sid,
                        first_seen: now,
                        last_seen: now,
                        expires_at: (random.below(4) > 0).then(|| now + 600 + random.below(1_200)),
                        is_told: false,
                    });
                    let new = rows.last().unwrap().clone();
                    let is_known = |row: &Row| row.subject == new.subject && row.sid == new.sid;
                    if rows.iter().filter(|row| is_known(row)).count() > 1 {
                        rows.pop();
                    }
                }
                // A use, perhaps with a new token.
                4..=7 if !rows.is_empty() => {
                    let index = usize::try_from(random.below(rows.len() as u64)).unwrap();
                    let row = &mut rows[index];
                    row.last_seen = now;
                    if random.below(2) == 0 {
                        row.expires_at = row.expires_at.map(|end| end.max(now + 900));
                    }
                }
                // The registry is lost.
                8 if random.below(8) == 0 => {
                    scene.memory = Memory::new(KEY, LIMITS, at(now));
                    scene.walk = Walk::default();
                    for row in &mut rows {
                        row.is_told = false;
                    }
                }
                _ => {}
            }
            // Reports in no order; what was used is told before a walk, as coverage has it.
            random.shuffle(&mut rows);
            for row in &mut rows {
                if row.is_told || random.below(3) > 0 || row.last_seen == now {
                    let observation = Observation {
                        first_seen: at(row.first_seen).seconds() * 1_000,
                        expires_at: row.expires_at.map(at),
                        ..seen(&row.subject, &row.sid, row.last_seen)
                    };
                    named.extend(scene.report(vec![observation]));
                    row.is_told = true;
                }
            }
            if random.below(3) > 0 {
                continue;
            }
            let table = rows.clone();
            let before = scene.revoked.clone();
            let (ended, seen_by_walk) = scene.walk(named);
            tally.2 += seen_by_walk.held;
            check(&scene, &table, &before, &ended, &mut tally);
        }
    }
    assert!(tally.0 > 100 && tally.1 > 100 && tally.2 > 100, "{tally:?}");
}

fn check(
    scene: &Scene,
    rows: &[Row],
    before: &HashMap<Fingerprint, (Cause, UnixTime)>,
    ended: &[(String, Cause)],
    tally: &mut (usize, usize, usize),
) {
    let now = scene.now;
    let is_told = |row: &&Row| row.is_told && !before.contains_key(&id(&row.sid));
    let live: Vec<&Row> = rows.iter().filter(is_told).collect();
    let is_idle = |row: &Row| row.last_seen < now - IDLE.min(now);
    let is_good = |row: &Row| {
        let good_until = now.saturating_sub(CLOCK_SKEW.as_secs());
        row.expires_at.is_none_or(|end| end >= good_until)
    };
    let policy = &scene.policies[ISSUER].general;
    // Those that are too many: the table's own way to say so.
    let mut too_many = HashSet::new();
    for subject in live.iter().map(|row| &row.subject).collect::<HashSet<_>>() {
        let counted = live
            .iter()
            .filter(|row| row.subject == *subject && is_good(row));
        let mut counted: Vec<&&Row> = counted.collect();
        counted.sort_by_key(|row| (row.first_seen, id(&row.sid)));
        let surplus = counted.len().saturating_sub(MOST);
        if policy.on_excess == OnExcess::Refuse {
            counted.reverse();
        }
        let ends = counted.into_iter().take(surplus);
        too_many.extend(ends.map(|row| (row.subject.clone(), row.sid.clone())));
    }
    let has_to_end =
        |row: &Row| is_idle(row) || too_many.contains(&(row.subject.clone(), row.sid.clone()));
    let by_name: HashMap<&str, Cause> = ended
        .iter()
        .map(|(name, cause)| (&**name, *cause))
        .collect();
    for row in &live {
        let namesakes = live.iter().filter(|other| other.sid == row.sid);
        let all = namesakes.clone().all(|row| has_to_end(row));
        assert_eq!(by_name.contains_key(&*row.sid), all, "{row:?} at {now}");
        let Some(cause) = by_name.get(&*row.sid) else {
            continue;
        };
        let may_be = |row: &&&Row| match cause {
            Cause::Idle => is_idle(row),
            _ => too_many.contains(&(row.subject.clone(), row.sid.clone())),
        };
        assert!(
            namesakes.clone().any(|row| may_be(&row)),
            "{row:?}: {cause:?}"
        );
        match cause {
            Cause::Idle => tally.0 += 1,
            _ => tally.1 += 1,
        }
    }
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

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(last as u64 + 1)).unwrap();
            items.swap(last, other);
        }
    }
}

#[test]
fn a_page_that_fails_is_looked_at_again_and_none_before_it() {
    let mut scene = Scene::new(ending_idle());
    let number = u64::try_from(PAGE_LENGTH).unwrap() + 1;
    let sessions = (0..number).map(|number| seen("", &number.to_string(), number));
    scene.report(sessions.collect());
    let mut step = |is_away: bool| {
        scene.look(|walk, look, now| {
            let away = Away::default();
            let look = Look {
                registry: if is_away { &away } else { look.registry },
                ..*look
            };
            let found = walk.step(&look, Vec::new(), Some(UnixTime::MAX), now);
            found.map(|found| found.seen)
        })
    };
    assert_eq!(step(false), Ok(None), "there is another page");
    assert_eq!(step(true), Err(RegistryError::Away));
    assert_eq!(step(false), Ok(Some(walk::Seen::default())));
}

#[test]
fn an_authority_that_has_taken_its_leave_tells_nothing_more() {
    let (ends, memory) = (
        Ends::new(&[], Heard::default()),
        Memory::new(KEY, LIMITS, at(0)),
    );
    assert_eq!(ends.exchange(&memory), Ok(()));
    ends.leave(&memory);
    assert_eq!(ends.exchange(&memory), Err(RegistryError::Away));
}
