//! What Redis holds stays in order, whatever it has dropped and however full it is.

use super::*;
use crate::authority::sessions::shared::bucket::MOST_NAMESAKES;

fn with_server(limits: Limits) -> Option<(Server, Runtime, Shared)> {
    if !has_redis() {
        return None;
    }
    let (server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    let shared = open(&parsed(&server.url()), &runtime, limits, KEY);
    Some((server, runtime, shared))
}

fn report(shared: &Shared, observations: &[Observation]) {
    shared
        .report(observations, at(0), Told::New, &|_| true)
        .unwrap();
}

/// As many sessions, each of a subject of its own.
fn many(count: u64) -> Vec<Observation> {
    let sessions = (0..count).map(|number| seen(&format!("u{number}"), &format!("s{number}"), 1));
    sessions.collect()
}

/// Has the server drop all sessions, as it does by itself at some time.
fn expire(server: &Server) {
    let script = "for _, key in ipairs(redis.call('KEYS', '*:s:*')) do redis.call('DEL', key) end";
    server.ask(&["EVAL", script, "0"]);
}

fn retention() -> u64 {
    LIMITS.retention.as_secs()
}

fn held(shared: &Shared) -> u64 {
    shared.counts(at(0)).unwrap().sessions
}

/// Subjects that are all in one shard.
fn neighbours(shared: &Shared, of: usize) -> impl Iterator<Item = String> {
    let names = (0..).map(|number| format!("user{number}"));
    names.filter(move |name| shared.shard_of_subject(conformance::ISSUER, name).0 == of)
}

#[test]
fn a_sweep_drops_all_that_is_past() {
    let Some((_server, _runtime, shared)) = with_server(LIMITS) else {
        return;
    };
    report(&shared, &many(2_000));
    shared.sweep(at(retention() + 60)).unwrap();
    assert_eq!(held(&shared), 0);
}

#[test]
fn a_sweep_forgets_all_that_redis_has_dropped_and_its_subjects() {
    let Some((server, _runtime, shared)) = with_server(LIMITS) else {
        return;
    };
    report(&shared, &many(2_000));
    expire(&server);
    assert_eq!(held(&shared), 2_000);
    let subjects = "local sum = 0 for _, key in ipairs(redis.call('KEYS', '*:subjects')) do \
                    sum = sum + redis.call('ZCARD', key) end return sum";
    // Some may still be there.
    shared.sweep(at(retention() + 3_600)).unwrap();
    assert_eq!(held(&shared), 0);
    assert_eq!(server.ask(&["EVAL", subjects, "0"]).trim(), "2000");
    shared.sweep(at(retention() + 3_602)).unwrap();
    assert_eq!(server.ask(&["EVAL", subjects, "0"]).trim(), "0");
}

#[test]
fn what_redis_has_dropped_makes_room_and_is_none_of_its_subjects() {
    let limits = Limits {
        max_sessions: 1_100,
        ..LIMITS
    };
    let Some((server, _runtime, shared)) = with_server(limits) else {
        return;
    };
    let sessions = (0..1_000).map(|number| seen("alice", &format!("a{number}"), 0));
    report(&shared, &sessions.collect::<Vec<_>>());
    expire(&server);
    report(
        &shared,
        &[seen("alice", "new", 2), seen("alice", "newer", 3)],
    );
    let (at_shard, owner) = shared.shard_of_subject(conformance::ISSUER, "alice");
    assert_eq!(shared.ids_of_subject(at_shard, owner).unwrap().len(), 1_000);
    assert_eq!(held(&shared), 1_000);
    report(&shared, &many(101));
    assert_eq!(held(&shared), 1_100);
    let page = shared.of_subject(conformance::ISSUER, "alice", None, 9);
    assert_eq!(page.unwrap().sessions.len(), 2);
    assert_eq!(shared.counts(at(0)).unwrap().displaced, 0);
}

#[test]
fn a_walk_that_comes_by_namesakes_goes_on_to_the_next_shard() {
    let Some((_server, _runtime, shared)) = with_server(LIMITS) else {
        return;
    };
    let mut observations: Vec<Observation> = neighbours(&shared, 0)
        .take(2)
        .map(|name| seen(&name, "shared", 1))
        .collect();
    observations.extend(
        neighbours(&shared, 5)
            .take(1)
            .map(|name| seen(&name, "other", 1)),
    );
    report(&shared, &observations);
    let mut found = 0;
    let mut after = None;
    loop {
        let page = shared.last_seen_between(at(1), at(2), after.as_deref(), 2);
        let page = page.unwrap();
        found += page.sessions.len();
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, 3);
}

#[test]
fn a_walk_comes_by_a_session_whose_namesake_has_ended() {
    let Some((_server, _runtime, shared)) = with_server(LIMITS) else {
        return;
    };
    let names: Vec<String> = neighbours(&shared, 0).take(2).collect();
    let observations = [seen(&names[0], "shared", 1), seen(&names[1], "shared", 2)];
    report(&shared, &observations);
    let mark = Mark {
        kind: Kind::Subject,
        name: shared.shard_of_subject(conformance::ISSUER, &names[0]).1,
        cut_off: None,
        ended: Ended {
            at: at(3),
            cause: Cause::Plain,
        },
    };
    assert_eq!(shared.mark(&[mark]).unwrap().len(), 1);
    let page = shared.last_seen_between(at(0), at(9), None, 9).unwrap();
    let [found] = &*page.sessions else {
        panic!("{:?}", page.sessions);
    };
    assert_eq!(found.subject.as_deref(), Some(&*names[1]));
}

#[test]
fn a_name_that_very_many_subjects_use_keeps_nothing_from_being_reported_or_ended() {
    let Some((_server, _runtime, shared)) = with_server(LIMITS) else {
        return;
    };
    let subjects: Vec<String> = neighbours(&shared, 0).take(MOST_NAMESAKES + 10).collect();
    let observations: Vec<Observation> = (1..)
        .zip(&subjects)
        .map(|(seconds, name)| seen(name, "shared", seconds))
        .collect();
    let reported = shared
        .report(&observations, at(0), Told::New, &|_| true)
        .unwrap();
    assert_eq!(reported.len(), subjects.len());
    let id = conformance::id("shared");
    let found = shared.named(id, 1_000).unwrap();
    assert_eq!(found.len(), MOST_NAMESAKES);
    let longest = found.iter().map(|session| session.last_seen).min();
    assert_eq!(longest, Some(at(11)), "the longest unseen are dropped");
    let mark = Mark {
        kind: Kind::Session,
        name: id,
        cut_off: None,
        ended: Ended {
            at: at(99),
            cause: Cause::Plain,
        },
    };
    assert_eq!(shared.mark(&[mark]).unwrap().len(), MOST_NAMESAKES);
}

#[test]
fn what_is_past_goes_from_a_server_that_is_full() {
    let Some((server, _runtime, shared)) = with_server(LIMITS) else {
        return;
    };
    report(&shared, &many(100));
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let refused = shared.report(&[seen("alice", "s", 1)], at(0), Told::New, &|_| true);
    assert_eq!(refused.unwrap_err(), RegistryError::Away);
    shared.sweep(at(retention() + 60)).unwrap();
    assert_eq!(held(&shared), 0);
}

#[test]
fn what_is_too_much_goes_from_a_server_that_is_full() {
    let Some((server, runtime, shared)) = with_server(LIMITS) else {
        return;
    };
    report(&shared, &many(100));
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let limits = Limits {
        max_sessions: 10,
        ..LIMITS
    };
    let shared = open(&parsed(&server.url()), &runtime, limits, KEY);
    shared.sweep(at(2)).unwrap();
    assert_eq!(held(&shared), 10);
}

/// Ids are bytes, whatever the locale of the server makes of them.
#[test]
fn ids_are_compared_byte_by_byte() {
    let Some((server, _runtime, _shared)) = with_server(LIMITS) else {
        return;
    };
    let text = scripts::PAGE.text();
    let from = text.find("local function").unwrap();
    let function = &text[from..text.find("local first").unwrap()];
    assert!(!text.contains("<= ARGV"), "an order that is the locale's");
    let script = format!("{function} return comes_after(ARGV[1], ARGV[2]) and 1 or 0");
    let comes_after = |one: &str, other: &str| {
        let answer = server.ask(&["EVAL", &script, "0", one, other]);
        answer.trim() == "1"
    };
    // A locale has these the other way round.
    assert!(comes_after("a", "B") && !comes_after("B", "a"));
    assert!(comes_after("\u{e9}", "z") && !comes_after("z", "\u{e9}"));
    assert!(comes_after("ab", "a") && !comes_after("a", "ab") && !comes_after("a", "a"));
}

#[test]
fn a_walk_comes_by_all_that_were_seen_at_one_moment() {
    let Some((_server, _runtime, shared)) = with_server(LIMITS) else {
        return;
    };
    report(&shared, &many(1_000));
    let mut found = HashSet::new();
    let mut after = None;
    loop {
        let page = shared.last_seen_between(at(1), at(2), after.as_deref(), 3);
        let page = page.unwrap();
        for session in page.sessions {
            assert!(found.insert(session.id), "one comes twice");
        }
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found.len(), 1_000);
}
