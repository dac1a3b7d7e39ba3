use super::super::conformance::{at, id, seen};
use super::super::session::Observation;
use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn session(name: &str, first: u64, last: u64) -> Session {
    let observation = Observation {
        first_seen: at(first).seconds() * 1_000,
        ..seen("alice", name, last)
    };
    Session::begin(id(name), &observation)
}

fn of_client(client: &str, session: Session) -> Session {
    Session {
        client: Some(client.into()),
        ..session
    }
}

fn number(number: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(number)
}

/// Half an hour, a day, two sessions; for `tv` an hour instead, and for `kiosk` one session.
fn policy() -> SessionPolicy {
    let general = SessionRules {
        idle_timeout: Some(30 * MINUTE),
        max_session_age: Some(Duration::from_hours(24)),
        max_sessions: number(2),
        on_excess: OnExcess::EndOldest,
    };
    let client = |name: &str, rules, is_counted_alone| {
        let rules = ClientRules {
            rules,
            is_counted_alone,
        };
        (name.to_owned(), rules)
    };
    let tv = SessionRules {
        idle_timeout: Some(60 * MINUTE),
        ..general
    };
    let kiosk = SessionRules {
        max_sessions: number(1),
        on_excess: OnExcess::Refuse,
        ..general
    };
    SessionPolicy {
        general,
        clients: BTreeMap::from([client("tv", tv, false), client("kiosk", kiosk, true)]),
    }
}

#[test]
fn what_ends_by_itself_and_when() {
    let hour = 3_600;
    let signed_in = |seconds| Session {
        auth_time: Some(at(seconds)),
        ..session("s", hour, 30 * hour)
    };
    let ended = Session {
        ended: Some(super::super::session::Ended {
            at: at(1),
            cause: Cause::Plain,
        }),
        ..session("s", 0, 0)
    };
    let token = Session {
        name: Name::Token("t".into()),
        ..session("s", 0, 0)
    };
    #[rustfmt::skip] // one line for each case
    let cases = [
        ("just used", session("s", 20 * hour, 30 * hour), None),
        ("used within half an hour", session("s", 20 * hour, 30 * hour - 1_800), None),
        ("not used for half an hour", session("s", 20 * hour, 30 * hour - 1_801), Some(Cause::Idle)),
        ("not used for less than its client may", of_client("tv", session("s", 20 * hour, 29 * hour)), None),
        ("not used for longer", of_client("tv", session("s", 20 * hour, 29 * hour - 1)), Some(Cause::Idle)),
        ("of any other client", of_client("app", session("s", 20 * hour, 29 * hour)), Some(Cause::Idle)),
        ("a day old", session("s", 6 * hour, 30 * hour), Some(Cause::TooOld)),
        ("nearly a day old", session("s", 6 * hour + 1, 30 * hour), None),
        ("signed in before it was seen", signed_in(5 * hour), Some(Cause::TooOld)),
        ("signed in since it was seen first", signed_in(7 * hour), None),
        ("both", session("s", 0, 0), Some(Cause::TooOld)),
        ("ended", ended, None),
        ("without a `sid`", token, None),
    ];
    // Everything is reported at once here.
    let now = at(30 * hour);
    let idle_since = |timeout: Duration| UnixTime::from_seconds(now.seconds() - timeout.as_secs());
    for (case, session, expected) in cases {
        assert_eq!(
            due(&session, &policy(), idle_since, now),
            expected,
            "{case}"
        );
        let nothing = due(&session, &SessionPolicy::default(), idle_since, now);
        assert_eq!(nothing, None, "{case}");
        let unheard = due(&session, &policy(), |_| None, now);
        assert_eq!(
            unheard,
            expected.filter(|cause| *cause != Cause::Idle),
            "{case}"
        );
    }
}

fn names<'s>(sessions: &[&'s Session]) -> Vec<&'s str> {
    let names = sessions.iter().map(|session| &**session.name.value());
    names.collect()
}

#[test]
fn as_many_end_as_are_too_many_and_those_that_the_operator_chose() {
    let mut sessions: Vec<_> = [5, 3, 1, 4, 2]
        .map(|number| session(&number.to_string(), number, 100 - number))
        .into();
    let ended_by = |policy: &SessionPolicy, sessions: &[Session]| {
        let ended = excess(sessions, policy, at(0));
        let mut ended: Vec<_> = names(&ended).into_iter().map(str::to_owned).collect();
        ended.sort();
        ended
    };
    assert_eq!(ended_by(&policy(), &sessions), ["1", "2", "3"]);
    let mut refusing = policy();
    refusing.general.on_excess = OnExcess::Refuse;
    assert_eq!(ended_by(&refusing, &sessions), ["3", "4", "5"]);
    // Those of the television count with all others, those of the kiosk by themselves.
    sessions[1] = of_client("tv", sessions[1].clone());
    sessions[2] = of_client("kiosk", sessions[2].clone());
    assert_eq!(ended_by(&policy(), &sessions), ["2", "3"]);
    sessions.push(of_client("kiosk", session("6", 6, 6)));
    assert_eq!(ended_by(&policy(), &sessions), ["2", "3", "6"]);
    assert_eq!(ended_by(&policy(), &sessions[..2]), [""; 0]);
    assert_eq!(ended_by(&SessionPolicy::default(), &sessions), [""; 0]);
    // Only newcomers of the television are refused.
    let mut mixed = policy();
    mixed.clients.get_mut("tv").unwrap().rules.on_excess = OnExcess::Refuse;
    assert_eq!(ended_by(&mixed, &sessions), ["2", "3", "6"]);
    sessions[3] = of_client("tv", sessions[3].clone());
    assert_eq!(ended_by(&mixed, &sessions), ["2", "4", "6"]);
    // What has no `sid` is not counted.
    for session in &mut sessions {
        session.name = Name::Token(session.name.value().clone());
    }
    assert_eq!(ended_by(&policy(), &sessions), [""; 0]);
}

#[test]
fn a_session_without_a_token_that_is_still_good_takes_no_place_until_it_is_refreshed() {
    let until = |seconds: u64, session: Session| Session {
        expires_at: Some(at(seconds)),
        ..session
    };
    let mut refusing = policy();
    refusing.general.on_excess = OnExcess::Refuse;
    let mut sessions = [
        until(300, session("abandoned", 1, 2)),
        until(299, session("too", 2, 3)),
        until(9_000, session("used", 3, 1_000)),
        session("of an unknown end", 4, 4),
        until(9_000, session("new", 1_000, 1_000)),
    ];
    let ended = |sessions: &[Session], policy: &SessionPolicy, seconds: u64| {
        let ended = excess(sessions, policy, at(seconds));
        names(&ended).join(", ")
    };
    let last = "of an unknown end, new";
    assert_eq!(ended(&sessions, &refusing, 300), last);
    assert_eq!(ended(&sessions, &refusing, 301), "new");
    assert_eq!(ended(&sessions, &policy(), 301), "used");
    sessions[0].expires_at = Some(at(9_000));
    assert_eq!(ended(&sessions, &refusing, 301), last);
    assert_eq!(ended(&sessions, &policy(), 301), "abandoned, used");
}

/// However many there are, of whichever age: afterwards there are as many as there may be, and the
/// session that came last is among them unless newcomers are refused.
#[test]
fn afterwards_there_are_not_too_many() {
    let mut random = 7_u64;
    let mut below = |most: u64| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (random >> 33) % most
    };
    for round in 0..2_000 {
        let count = below(12);
        let mut sessions: Vec<_> = (0..=count)
            .map(|number| session(&format!("{round} {number}"), below(5), 10))
            .chain([session("new", 6, 10)])
            .collect();
        let new = sessions.last().unwrap().clone();
        for on_excess in [OnExcess::EndOldest, OnExcess::Refuse] {
            let mut policy = policy();
            (policy.general.on_excess, policy.general.max_sessions) = (on_excess, number(3));
            let ended = excess(&sessions, &policy, at(0));
            let is_ended = ended.iter().any(|session| session.id == new.id);
            let is_refused = on_excess == OnExcess::Refuse && sessions.len() > 3;
            assert_eq!(is_ended, is_refused);
            let ended: Vec<_> = ended.into_iter().map(|session| session.id).collect();
            assert_eq!(sessions.len() - ended.len(), sessions.len().min(3));
            // Nothing more follows from what is left, in whichever order it comes.
            let mut left = sessions.clone();
            left.retain(|session| !ended.contains(&session.id));
            assert_eq!(names(&excess(&left, &policy, at(0))), [""; 0]);
            sessions.reverse();
            let again = excess(&sessions, &policy, at(0));
            let again: Vec<_> = again.into_iter().map(|session| session.id).collect();
            assert_eq!(again, ended);
        }
    }
}
