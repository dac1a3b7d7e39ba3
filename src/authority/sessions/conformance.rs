//! What every engine does in the same way.

use std::time::Duration;

use super::displaced::Lost;
use super::registry::{
    ENDED_KEPT, Filter, Limits, MAX_SESSIONS_OF_SUBJECT, Mark, REVIVED_AFTER, Registry,
    RegistryError, Told,
};
use super::session::{
    Ended, KEPT_SIGHTINGS, Name, Observation, ObservedSighting, Owned, Session, Suspicion,
};
use crate::revocation::cut_off::{CutOff, Exception};
use crate::revocation::{Cause, FilterKey, Fingerprint, Kind};
use crate::time::UnixTime;

pub(super) const KEY: FilterKey = FilterKey::new(*b"conformance test");
pub(super) const ISSUER: &str = "https://issuer.example";

/// 2026-01-01T00:00:00Z.
pub(super) const START: u64 = 1_767_225_600;

pub(super) const LIMITS: Limits = Limits {
    max_sessions: 5_000,
    retention: Duration::from_hours(720),
};

pub(super) fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(START + seconds).unwrap()
}

/// One request of a session, so many seconds after the start.
pub(super) fn seen(subject: &str, session: &str, seconds: u64) -> Observation {
    let milliseconds = (START + seconds) * 1_000;
    Observation {
        issuer: ISSUER.to_owned(),
        subject: (!subject.is_empty()).then(|| subject.to_owned()),
        name: Name::Session(session.into()),
        client: None,
        device: None,
        auth_time: None,
        issued_at: None,
        expires_at: None,
        first_seen: milliseconds,
        last_seen: milliseconds,
        requests: 1,
        sightings: Vec::new(),
    }
}

fn from_network(network: &str, user_agent: &str, seconds: u64) -> ObservedSighting {
    ObservedSighting {
        network: network.parse().ok(),
        user_agent: Some(user_agent.to_owned()),
        requests: 1,
        last_seen: (START + seconds) * 1_000,
    }
}

pub(super) fn id(session: &str) -> Fingerprint {
    KEY.fingerprint(Kind::Session, ISSUER, session)
}

fn owned<'s>(subject: &'s str, session: &str) -> Owned<'s> {
    Owned {
        issuer: ISSUER,
        subject: (!subject.is_empty()).then_some(subject),
        id: id(session),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "tests make it for this call")]
fn report(registry: &dyn Registry, observations: Vec<Observation>) {
    registry
        .report(&observations, at(0), Told::New, &|_| true)
        .unwrap();
}

fn get(registry: &dyn Registry, subject: &str, session: &str) -> Option<Session> {
    registry.get(owned(subject, session)).unwrap()
}

fn names(sessions: &[Session]) -> Vec<&str> {
    sessions
        .iter()
        .map(|session| &**session.name.value())
        .collect()
}

/// The names on each page of a subject's sessions.
fn pages_of_subject(registry: &dyn Registry, subject: &str, limit: usize) -> Vec<Vec<String>> {
    let page = |after: Option<&str>| registry.of_subject(ISSUER, subject, after, limit).unwrap();
    all_pages(page)
}

fn all_pages(page: impl Fn(Option<&str>) -> super::registry::Page) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let found = page(after.as_deref());
        let names = names(&found.sessions).into_iter().map(str::to_owned);
        pages.push(names.collect());
        after = found.next;
        if after.is_none() {
            return pages;
        }
    }
}

fn search(registry: &dyn Registry, filter: &Filter) -> Vec<String> {
    let page = |after: Option<&str>| registry.search(filter, after, 7).unwrap();
    let mut names = all_pages(page).concat();
    names.sort();
    names
}

fn ended(seconds: u64, cause: Cause) -> Ended {
    Ended {
        at: at(seconds),
        cause,
    }
}

fn mark(kind: Kind, value: &str, cut_off: Option<CutOff>, ended: Ended) -> Mark {
    Mark {
        kind,
        name: KEY.fingerprint(kind, ISSUER, value),
        cut_off,
        ended,
    }
}

/// Every test, each with a registry that is empty.
pub(super) fn passes(make: &dyn Fn(Limits) -> Box<dyn Registry>) {
    let tests: [fn(&dyn Registry); 15] = [
        reports_of_a_session_add_up_in_any_order,
        reports_tell_what_is_new,
        a_subject_sees_its_own_sessions_newest_first,
        sessions_of_one_name_and_two_subjects_are_two,
        a_session_without_a_subject_is_found_by_its_name,
        sessions_are_found_by_when_they_were_last_seen,
        a_search_finds_every_session_once,
        revocations_end_sessions_by_name_subject_client_and_device,
        several_kinds_in_one_batch_end_what_each_of_them_ends,
        a_revocation_until_the_next_sign_in_ends_what_signed_in_before,
        a_late_report_revives_nothing_and_a_later_request_does,
        a_session_that_is_not_revoked_any_more_is_revived_by_its_next_use,
        what_is_past_its_time_is_dropped,
        a_subject_has_only_so_many_sessions,
        cursors_of_others_are_refused,
    ];
    for test in tests {
        test(&*make(LIMITS));
    }
    those_that_ended_make_room_first_and_then_the_longest_idle(&*make(Limits {
        max_sessions: 3,
        ..LIMITS
    }));
    tokens_without_sid_make_room_before_sessions(&*make(Limits {
        max_sessions: 3,
        ..LIMITS
    }));
    what_is_active_is_counted_by_sessions_and_subjects(&*make(LIMITS));
}

fn reports_of_a_session_add_up_in_any_order(registry: &dyn Registry) {
    let first = Observation {
        client: Some("app".to_owned()),
        device: Some("phone".to_owned()),
        auth_time: Some(at(1)),
        issued_at: Some(at(10)),
        expires_at: Some(at(300)),
        requests: 3,
        first_seen: (START + 20) * 1_000,
        sightings: vec![from_network("203.0.113.0/24", "okhttp", 30)],
        ..seen("alice", "s", 30)
    };
    let second = Observation {
        client: Some("app2".to_owned()),
        issued_at: Some(at(310)),
        expires_at: Some(at(600)),
        requests: u32::MAX - 3,
        first_seen: (START + 320) * 1_000,
        sightings: vec![
            from_network("2001:db8::/32", "okhttp", 330),
            from_network("203.0.113.0/24", "okhttp", 325),
        ],
        ..seen("alice", "s", 330)
    };
    let third = Observation {
        sightings: (0..6)
            .map(|number| from_network("198.51.100.7", &number.to_string(), 40 + number))
            .collect(),
        ..seen("alice", "s", 46)
    };
    let orders = [
        [&first, &second, &third],
        [&third, &first, &second],
        [&second, &third, &first],
    ];
    let sessions = orders.map(|order| {
        let orders = order.into_iter().cloned().collect();
        report(registry, orders);
        let session = get(registry, "alice", "s").unwrap();
        let gone = Ended {
            at: UnixTime::from_seconds(1).unwrap(),
            cause: Cause::Plain,
        };
        registry
            .mark(&[mark(Kind::Session, "s", None, gone)])
            .unwrap();
        registry.sweep(at(0)).unwrap();
        assert_eq!(get(registry, "alice", "s"), None);
        session
    });
    let [session, ..] = &sessions;
    assert_eq!((session.first_seen, session.last_seen), (at(20), at(330)));
    assert_eq!(session.requests, u32::MAX);
    assert_eq!(session.client.as_deref(), Some("app2"));
    assert_eq!(session.device.as_deref(), Some("phone"));
    assert_eq!(session.started(), at(1));
    assert_eq!(session.issued_at, Some(at(310)));
    assert_eq!(session.expires_at, Some(at(600)));
    assert_eq!(session.sightings.len(), KEPT_SIGHTINGS);
    let [newest, known, ..] = &*session.sightings else {
        panic!("two sightings");
    };
    assert_eq!(newest.network, "2001:db8::/32".parse().ok());
    assert_eq!(known.network, "203.0.113.0/24".parse().ok());
    assert_eq!((known.first_seen, known.last_seen), (at(30), at(325)));
    assert_eq!(known.requests, 2);
    for other in &sessions {
        assert_eq!(
            (other.first_seen, other.last_seen, other.requests),
            (session.first_seen, session.last_seen, session.requests)
        );
        assert_eq!(other.started(), session.started());
        assert_eq!(
            (&other.client, &other.device),
            (&session.client, &session.device)
        );
    }
}

fn reports_tell_what_is_new(registry: &dyn Registry) {
    let told = |told: Told, sessions: &[&str]| {
        let observations = sessions.iter().map(|session| seen("a", session, 5));
        let observations: Vec<Observation> = observations.collect();
        let reported = registry.report(&observations, at(5), told, &|_| true);
        let reported = reported.unwrap().into_iter();
        reported
            .map(|reported| (reported.session.name.value().to_string(), reported.is_new))
            .collect::<Vec<_>>()
    };
    let new = |name: &str| (name.to_owned(), true);
    let known = |name: &str| (name.to_owned(), false);
    assert_eq!(told(Told::New, &["1", "2", "1"]), [new("1"), new("2")]);
    assert_eq!(told(Told::New, &["2", "3"]), [new("3")]);
    assert_eq!(
        told(Told::All, &["4", "3", "4"]),
        [new("4"), known("3"), known("4")]
    );
}

fn a_subject_sees_its_own_sessions_newest_first(registry: &dyn Registry) {
    let sessions: Vec<String> = (0..9).map(|number| number.to_string()).collect();
    report(
        registry,
        sessions
            .iter()
            .zip(0..)
            .flat_map(|(session, seconds)| [seen("alice", session, seconds), seen("bob", "b", 9)])
            .collect(),
    );
    // What is seen later does not change the order.
    report(registry, vec![seen("alice", "0", 100)]);
    registry
        .mark(&[mark(Kind::Session, "5", None, ended(50, Cause::Plain))])
        .unwrap();
    let pages = pages_of_subject(registry, "alice", 3);
    assert_eq!(
        pages,
        [vec!["8", "7", "6"], vec!["4", "3", "2"], vec!["1", "0"]]
    );
    assert_eq!(pages_of_subject(registry, "alice", 8).len(), 1);
    assert_eq!(pages_of_subject(registry, "bob", 3), [["b"]]);
    assert_eq!(pages_of_subject(registry, "carol", 3), [[""; 0]]);
    let other = registry.of_subject("https://other.example", "alice", None, 3);
    assert_eq!(other.unwrap().sessions, []);
}

fn sessions_of_one_name_and_two_subjects_are_two(registry: &dyn Registry) {
    report(
        registry,
        vec![seen("alice", "s", 1), seen("bob", "s", 2), seen("", "s", 3)],
    );
    for (subject, seconds) in [("alice", 1), ("bob", 2), ("", 3)] {
        let session = get(registry, subject, "s").unwrap();
        assert_eq!(session.last_seen, at(seconds), "{subject}");
        assert_eq!(session.subject.as_deref().unwrap_or_default(), subject);
    }
    assert_eq!(get(registry, "carol", "s"), None);
    let named = |limit: usize| {
        let sessions = registry.named(id("s"), limit).unwrap().into_iter();
        let mut subjects: Vec<_> = sessions.map(|session| session.subject).collect();
        subjects.sort();
        subjects
    };
    assert_eq!(named(9), [None, Some("alice".into()), Some("bob".into())]);
    assert_eq!(named(2).len(), 2);
    assert_eq!(registry.named(id("x"), 9).unwrap(), []);
    let all = registry.mark(&[mark(Kind::Session, "s", None, ended(9, Cause::Plain))]);
    assert_eq!(all.unwrap().len(), 3);
    assert_eq!(named(9), [], "what has ended");
}

fn a_session_without_a_subject_is_found_by_its_name(registry: &dyn Registry) {
    let token = Observation {
        name: Name::Token("j".into()),
        ..seen("", "", 1)
    };
    report(registry, vec![token]);
    assert_eq!(get(registry, "", "j"), None, "a session of that name");
    let token = KEY.fingerprint(Kind::Token, ISSUER, "j");
    let by_id = Owned {
        id: token,
        ..owned("", "")
    };
    let session = registry.get(by_id).unwrap().unwrap();
    assert_eq!(session.name, Name::Token("j".into()));
    let gone = registry.mark(&[mark(Kind::Token, "j", None, ended(9, Cause::Rotated))]);
    assert_eq!(names(&gone.unwrap()), ["j"]);
}

fn sessions_are_found_by_when_they_were_last_seen(registry: &dyn Registry) {
    let seconds = [0, 59, 60, 61, 600, 601, 86_400];
    let sessions = seconds.map(|seconds| seen(&seconds.to_string(), &seconds.to_string(), seconds));
    report(registry, sessions.to_vec());
    registry
        .mark(&[mark(Kind::Session, "61", None, ended(62, Cause::Idle))])
        .unwrap();
    let between = |from: u64, to: u64, limit: usize| {
        let page = |after: Option<&str>| {
            let found = registry.last_seen_between(at(from), at(to), after, limit);
            found.unwrap()
        };
        let mut found: Vec<u64> = all_pages(page)
            .concat()
            .iter()
            .map(|name| name.parse().unwrap())
            .collect();
        found.sort_unstable();
        found
    };
    for limit in [1, 2, 100] {
        assert_eq!(between(0, 601, limit), [0, 59, 60, 600]);
        assert_eq!(between(59, 60, limit), [59]);
        assert!(between(1, 59, limit).is_empty());
        assert!(between(601, 0, limit).is_empty());
        assert_eq!(between(0, 1 << 30, limit).len(), 6);
    }
    report(registry, vec![seen("0", "0", 700)]);
    assert_eq!(between(0, 601, 100), [59, 60, 600]);
}

fn a_search_finds_every_session_once(registry: &dyn Registry) {
    let name = |number: u64| format!("{number:03}");
    let subject = |number: u64| format!("u{}", number % 40);
    let all: Vec<String> = (0..200).map(name).collect();
    let sessions = (0..200).map(|number| seen(&subject(number), &name(number), number));
    report(registry, sessions.collect());
    let end = mark(Kind::Session, "003", None, ended(300, Cause::Plain));
    registry.mark(&[end]).unwrap();
    let suspicion = Suspicion {
        at: at(9),
        evidence: "two networks".into(),
    };
    registry
        .suspect(owned("u4", "004"), suspicion.clone())
        .unwrap();
    registry
        .suspect(owned("u5", "004"), suspicion.clone())
        .unwrap();
    let suspicious = get(registry, "u4", "004").unwrap().suspicion;
    assert_eq!(suspicious, Some(suspicion));

    let everything = Filter {
        ended: true,
        ..Filter::default()
    };
    assert_eq!(search(registry, &everything), all);
    let live = search(registry, &Filter::default());
    assert_eq!(live.len(), 199);
    assert!(!live.contains(&name(3)));
    let of_issuer = |issuer: &str| Filter {
        issuer: Some(issuer.to_owned()),
        ..Filter::default()
    };
    assert_eq!(search(registry, &of_issuer(ISSUER)), live);
    assert_eq!(search(registry, &of_issuer("other")), [""; 0]);
    let of_subject = Filter {
        subject: Some(subject(3)),
        ..Filter::default()
    };
    let expected = [43, 83, 123, 163].map(name);
    assert_eq!(search(registry, &of_subject), expected);
    let of_both = Filter {
        issuer: Some(ISSUER.to_owned()),
        ..of_subject
    };
    assert_eq!(search(registry, &of_both), expected);
    let idle = Filter {
        not_seen_since: Some(at(10)),
        ended: true,
        ..Filter::default()
    };
    assert_eq!(search(registry, &idle), all[..10]);
    let suspicious = Filter {
        suspicious: true,
        ..Filter::default()
    };
    assert_eq!(search(registry, &suspicious), ["004"]);
}

fn revocations_end_sessions_by_name_subject_client_and_device(registry: &dyn Registry) {
    let session = |subject: &str, session: &str, client: &str, device: &str, issued: u64| {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Observation {
            client: some(client),
            device: some(device),
            issued_at: Some(at(issued)),
            ..seen(subject, session, issued)
        }
    };
    report(
        registry,
        vec![
            session("alice", "a1", "app", "phone", 1),
            session("alice", "a2", "web", "", 2),
            session("alice", "a3", "app", "tablet", 30),
            session("bob", "b1", "app", "phone", 1),
            session("bob", "b2", "tv", "", 40),
            session("carol", "c1", "web", "laptop", 5),
        ],
    );
    let cut_off = |kind: Kind, value: &str, except: Option<&str>| CutOff {
        key: KEY.fingerprint(kind, ISSUER, value),
        not_before: at(20),
        except: except.map(|session| Exception {
            session: id(session),
            from: UnixTime::EPOCH,
        }),
        is_compound: false,
    };
    let end = |kind: Kind, value: &str, cut_off: Option<CutOff>| {
        let marks = [mark(kind, value, cut_off, ended(50, Cause::Plain))];
        let mut ended = registry.mark(&marks).unwrap();
        assert!(ended.iter().all(|session| !session.is_live()));
        ended.sort_by_key(|session| session.name.value().to_string());
        names(&ended)
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let subject = cut_off(Kind::Subject, "alice", Some("a2"));
    assert_eq!(end(Kind::Subject, "alice", Some(subject)), ["a1"]);
    assert_eq!(end(Kind::Subject, "alice", Some(subject)), [""; 0], "again");
    assert_eq!(end(Kind::Subject, "dave", None), [""; 0]);
    assert_eq!(end(Kind::Session, "a1", None), [""; 0]);
    assert_eq!(end(Kind::Session, "a2", None), ["a2"]);
    assert_eq!(end(Kind::Device, "phone", None), ["b1"]);
    let client = cut_off(Kind::Client, "app", None);
    assert_eq!(end(Kind::Client, "app", Some(client)), [""; 0]);
    let pair = CutOff {
        key: KEY.compound(Kind::SubjectAndClient, ISSUER, "tv", "bob"),
        not_before: at(41),
        except: None,
        is_compound: true,
    };
    let end_pair = |cut_off: CutOff, kind| {
        let mark = Mark {
            kind,
            name: cut_off.key,
            cut_off: Some(cut_off),
            ended: ended(50, Cause::Plain),
        };
        names(&registry.mark(&[mark]).unwrap()).len()
    };
    let earlier = CutOff {
        not_before: at(40),
        ..pair
    };
    assert_eq!(end_pair(earlier, Kind::SubjectAndClient), 0);
    assert_eq!(end_pair(pair, Kind::Claim), 0, "of claims nothing is known");
    assert_eq!(end_pair(pair, Kind::SubjectAndClient), 1);
    let issuer = cut_off(Kind::Issuer, "", None);
    assert_eq!(end(Kind::Issuer, "", Some(issuer)), ["c1"]);
    assert_eq!(end(Kind::Issuer, "", None), ["a3"]);
    let first = get(registry, "alice", "a1").unwrap();
    assert_eq!(first.ended, Some(ended(50, Cause::Plain)));
}

/// Every batch of marks of different kinds, in both orders, beside a plain table of who is meant.
fn several_kinds_in_one_batch_end_what_each_of_them_ends(registry: &dyn Registry) {
    let cut_off = |kind: Kind, value: &str, before: u64, except: Option<&str>| {
        let except = except.map(|session| Exception {
            session: id(session),
            from: at(5),
        });
        let key = KEY.fingerprint(kind, ISSUER, value);
        Some(CutOff {
            key,
            not_before: at(before),
            except,
            is_compound: false,
        })
    };
    for batch in 0..64_u32 {
        let of = |name: &str| format!("{name}-{batch}");
        let mut sessions = Vec::new();
        for subject in ["alice", "bob"] {
            for (client, device) in [("app", "phone"), ("app", "tablet"), ("web", "phone")] {
                for issued in [1, 7, 15, 30] {
                    let name = of(&format!("{subject}-{client}-{device}-{issued}"));
                    sessions.push((subject, client, device, issued, name));
                }
            }
        }
        let observed = sessions
            .iter()
            .map(|(subject, client, device, issued, name)| {
                let observation = seen(&of(subject), name, *issued);
                Observation {
                    client: Some(of(client)),
                    device: Some(of(device)),
                    issued_at: Some(at(*issued)),
                    ..observation
                }
            });
        report(registry, observed.collect());
        let spared = of("alice-app-phone-7");
        let (alice, app, phone) = (of("alice"), of("app"), of("phone"));
        let named = of("bob-web-phone-30");
        let because = ended(50, Cause::Plain);
        let subject = cut_off(Kind::Subject, &alice, 20, Some(&spared));
        let all = [
            mark(Kind::Subject, &alice, subject, because),
            mark(
                Kind::Client,
                &app,
                cut_off(Kind::Client, &app, 10, None),
                because,
            ),
            mark(Kind::Device, &phone, None, because),
            mark(
                Kind::Issuer,
                "",
                cut_off(Kind::Issuer, "", 16, None),
                because,
            ),
            mark(Kind::Session, &named, None, because),
        ];
        let is_in = |index: usize| (batch >> 1) & (1 << index) != 0;
        let chosen = all
            .into_iter()
            .enumerate()
            .filter(|(index, _)| is_in(*index));
        let mut marks: Vec<_> = chosen.map(|(_, mark)| mark).collect();
        if batch % 2 == 1 {
            marks.reverse();
        }
        let found = registry.mark(&marks).unwrap();
        let mut found: Vec<_> = names(&found).into_iter().map(str::to_owned).collect();
        found.retain(|name| name.ends_with(&format!("-{batch}")));
        found.sort_unstable();
        let is_ended =
            |(subject, client, device, issued, name): &(&str, &str, &str, u64, String)| {
                (is_in(0) && *subject == "alice" && *issued < 20 && *name != spared)
                    || (is_in(1) && *client == "app" && *issued < 10)
                    || (is_in(2) && *device == "phone")
                    || (is_in(3) && *issued < 16)
                    || (is_in(4) && *name == named)
            };
        let mut expected: Vec<_> = sessions.iter().filter(|it| is_ended(it)).collect();
        expected.sort_unstable_by(|one, other| one.4.cmp(&other.4));
        let expected: Vec<_> = expected
            .into_iter()
            .map(|session| session.4.clone())
            .collect();
        assert_eq!(found, expected, "batch {batch}: {marks:?}");
    }
}

fn a_revocation_until_the_next_sign_in_ends_what_signed_in_before(registry: &dyn Registry) {
    let signed_in = |subject: &str, session: &str, seconds: Option<u64>| Observation {
        auth_time: seconds.map(at),
        issued_at: seconds.map(|_| at(90)),
        ..seen(subject, session, 90)
    };
    report(
        registry,
        vec![
            signed_in("alice", "s", Some(49)),
            signed_in("bob", "s", Some(50)),
            signed_in("carol", "s", None),
            signed_in("alice", "other", Some(1)),
        ],
    );
    let until = |seconds: u64| {
        let cut_off = CutOff {
            key: id("s"),
            not_before: at(seconds),
            except: None,
            is_compound: false,
        };
        let end = ended(95, Cause::Plain);
        mark(Kind::Session, "s", Some(cut_off), end)
    };
    let subjects = |marks: &[Mark]| {
        let ended = registry.mark(marks).unwrap().into_iter();
        let subjects = ended.filter_map(|session| session.subject);
        let mut subjects: Vec<_> = subjects.map(|subject| subject.to_string()).collect();
        subjects.sort();
        subjects
    };
    assert_eq!(subjects(&[until(50)]), ["alice", "carol"]);
    assert_eq!(subjects(&[until(50)]), [""; 0]);
    // Each of several marks of a name counts.
    assert_eq!(subjects(&[until(51), until(50)]), ["bob"]);
    report(registry, vec![signed_in("dave", "s", Some(60))]);
    assert_eq!(subjects(&[until(60), until(61)]), ["dave"]);
    assert!(get(registry, "alice", "other").unwrap().is_live());
}

fn a_late_report_revives_nothing_and_a_later_request_does(registry: &dyn Registry) {
    let end = ended(100, Cause::Displaced);
    report(registry, vec![seen("alice", "s", 10)]);
    registry
        .mark(&[mark(Kind::Session, "s", None, end)])
        .unwrap();
    let limit = 100 + REVIVED_AFTER.as_secs();
    report(
        registry,
        vec![seen("alice", "s", 99), seen("alice", "s", limit)],
    );
    let session = get(registry, "alice", "s").unwrap();
    assert_eq!((session.ended, session.last_seen), (Some(end), at(limit)));
    assert_eq!(pages_of_subject(registry, "alice", 3), [[""; 0]]);
    report(registry, vec![seen("alice", "s", limit + 1)]);
    assert_eq!(get(registry, "alice", "s").unwrap().ended, None);
    assert_eq!(pages_of_subject(registry, "alice", 3), [["s"]]);
}

fn a_session_that_is_not_revoked_any_more_is_revived_by_its_next_use(registry: &dyn Registry) {
    let end = ended(100, Cause::Plain);
    report(registry, vec![seen("alice", "s", 10), seen("bob", "s", 10)]);
    registry
        .mark(&[mark(Kind::Session, "s", None, end)])
        .unwrap();
    // A user who has signed in again has a later token; what is asked about is the newest one.
    let signs_in = Some(at(101));
    let is_revoked = |session: &Session| session.auth_time < signs_in;
    let told = |seconds: u64, auth_time: Option<UnixTime>| {
        let observation = Observation {
            auth_time,
            ..seen("alice", "s", seconds)
        };
        let reported = registry.report(&[observation], at(seconds), Told::All, &is_revoked);
        reported.unwrap()[0].session.ended
    };
    assert_eq!(told(101, Some(at(90))), Some(end));
    assert_eq!(told(99, signs_in), Some(end), "it was used before its end");
    assert_eq!(told(102, signs_in), None);
    assert_eq!(pages_of_subject(registry, "alice", 3), [["s"]]);
    assert_eq!(get(registry, "bob", "s").unwrap().ended, Some(end));
}

fn what_is_past_its_time_is_dropped(registry: &dyn Registry) {
    report(
        registry,
        vec![
            seen("a", "old", 0),
            seen("a", "new", 120),
            seen("a", "end", 0),
        ],
    );
    registry
        .mark(&[mark(Kind::Session, "end", None, ended(10, Cause::Plain))])
        .unwrap();
    let count = |seconds: u64| {
        registry.sweep(at(seconds)).unwrap();
        registry.counts(at(seconds)).unwrap().sessions
    };
    let (kept, retention) = (ENDED_KEPT.as_secs(), LIMITS.retention.as_secs());
    assert_eq!(count(kept), 3);
    assert_eq!(count(kept + 70), 2);
    assert_eq!(count(retention), 2);
    assert_eq!(count(retention + 60), 1);
    assert_eq!(pages_of_subject(registry, "a", 3), [["new"]]);
    assert_eq!(count(retention + 180), 0);
    report(registry, vec![seen("a", "old", retention)]);
    assert_eq!(get(registry, "a", "old").unwrap().first_seen, at(retention));
}

fn a_subject_has_only_so_many_sessions(registry: &dyn Registry) {
    let most = MAX_SESSIONS_OF_SUBJECT as u64;
    let session = |number: u64| seen("service", &number.to_string(), number);
    report(registry, (0..most + 50).map(session).collect());
    report(registry, vec![seen("other", "o", 0)]);
    let counts = registry.counts(at(0)).unwrap();
    assert_eq!((counts.sessions, counts.displaced), (most + 1, 50));
    assert_eq!(get(registry, "service", "49"), None);
    assert!(get(registry, "service", "50").is_some());
    let count = || pages_of_subject(registry, "service", 2_000)[0].len() as u64;
    assert_eq!(count(), most);
    // What is told of late is no more than what is told of in time.
    let late = |number: u64| seen("service", &format!("late {number}"), number);
    report(registry, (0..40).map(late).collect());
    assert_eq!(count(), most);
    assert!(get(registry, "service", "50").is_some());
    report(registry, (60..70).map(late).collect());
    assert_eq!(count(), most);
    assert_eq!(get(registry, "service", "50"), None);
    assert!(get(registry, "service", "late 69").is_some());
    let sessions = registry.counts(at(0)).unwrap().sessions;
    assert_eq!(sessions, most + 1);
}

fn cursors_of_others_are_refused(registry: &dyn Registry) {
    report(registry, vec![seen("a", "1", 0), seen("a", "2", 1)]);
    let none = Filter::default();
    for cursor in [
        "",
        "x",
        "0-0-0-0-0",
        "0-",
        "-1-0",
        "18446744073709551616",
        "00-0-0",
    ] {
        let after = Some(cursor);
        let of_subject = registry.of_subject(ISSUER, "a", after, 1);
        let between = registry.last_seen_between(at(0), at(9), after, 1);
        let search = registry.search(&none, after, 1);
        for found in [of_subject, between, search] {
            assert_eq!(found.unwrap_err(), RegistryError::Cursor, "{cursor}");
        }
    }
    // As they are written, and of no page.
    for cursor in ["0-0-0", "1-2-3", "fffffffffffffff-0-0"] {
        let of_subject = registry.of_subject(ISSUER, "a", Some(cursor), 1);
        assert_eq!(of_subject.unwrap_err(), RegistryError::Cursor, "{cursor}");
    }
    for cursor in ["ffffffff-0", "ffffffff-0-0-0"] {
        let search = registry.search(&none, Some(cursor), 1);
        assert_eq!(search.unwrap_err(), RegistryError::Cursor, "{cursor}");
    }
}

fn those_that_ended_make_room_first_and_then_the_longest_idle(registry: &dyn Registry) {
    let left = || {
        let all = Filter {
            ended: true,
            ..Filter::default()
        };
        search(registry, &all)
    };
    report(
        registry,
        vec![seen("a", "1", 0), seen("b", "2", 60), seen("c", "3", 120)],
    );
    let end = mark(Kind::Session, "3", None, ended(180, Cause::Plain));
    registry.mark(&[end]).unwrap();
    report(registry, vec![seen("d", "4", 180)]);
    assert_eq!(left(), ["1", "2", "4"]);
    report(registry, vec![seen("a", "1", 240), seen("e", "5", 240)]);
    assert_eq!(left(), ["1", "4", "5"]);
    report(registry, vec![seen("e", "6", 241), seen("e", "7", 242)]);
    let left = left();
    assert_eq!(left.len(), 3);
    assert!(!left.contains(&"4".to_owned()), "{left:?}");
    assert_eq!(registry.counts(at(0)).unwrap().displaced, 4);
}

fn tokens_without_sid_make_room_before_sessions(registry: &dyn Registry) {
    let token = |name: &str, seconds: u64| Observation {
        name: Name::Token(name.into()),
        ..seen("service", name, seconds)
    };
    let left = || search(registry, &Filter::default());
    report(
        registry,
        vec![seen("a", "1", 0), token("t1", 60), token("t2", 120)],
    );
    report(registry, vec![token("t1", 180), seen("b", "2", 180)]);
    assert_eq!(left(), ["1", "2", "t1"]);
    report(registry, vec![token("t1", 240), seen("c", "3", 240)]);
    assert_eq!(left(), ["1", "2", "3"]);
    let lost = |sessions, tokens| Lost { sessions, tokens };
    assert_eq!(registry.lost(), lost(0, 2));
    report(registry, vec![token("t3", 300)]);
    assert_eq!(left(), ["1", "2", "3"]);
    report(registry, vec![seen("d", "4", 360)]);
    assert_eq!(left(), ["2", "3", "4"]);
    assert_eq!(registry.lost(), lost(1, 3));
    // A token that has ended goes before sessions that live, and is none that was lost.
    report(registry, vec![seen("a", "2", 420)]);
    let between = registry.last_seen_between(at(0), at(1_000), None, 9);
    assert_eq!(between.unwrap().sessions.len(), 3);
}

fn what_is_active_is_counted_by_sessions_and_subjects(registry: &dyn Registry) {
    let day = 86_400;
    report(
        registry,
        vec![
            seen("a", "1", day),
            seen("a", "2", day - 600),
            seen("b", "3", day - 600),
            seen("b", "4", day - 7_200),
            seen("c", "5", day - 7_200),
            seen("", "6", day),
        ],
    );
    let counts = || registry.counts(at(day)).unwrap();
    assert_eq!(counts().sessions, 6);
    assert_eq!(counts().active_sessions, [2, 4, 6]);
    assert_eq!(counts().active_subjects, [1, 2, 3]);
    registry
        .mark(&[
            mark(Kind::Session, "1", None, ended(day, Cause::Plain)),
            mark(Kind::Subject, "c", None, ended(day, Cause::Plain)),
        ])
        .unwrap();
    assert_eq!(counts().sessions, 6);
    assert_eq!(counts().active_sessions, [1, 3, 4]);
    assert_eq!(counts().active_subjects, [0, 2, 2]);
    report(registry, vec![seen("c", "5", day + 100)]);
    assert_eq!(counts().active_subjects, [1, 3, 3]);
}
