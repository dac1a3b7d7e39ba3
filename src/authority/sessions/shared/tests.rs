use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::*;
use crate::authority::sessions::conformance::{self, KEY, LIMITS, at, seen};
use crate::authority::sessions::session::Ended;
use crate::revocation::Kind;

#[path = "../../../../tests/support/redis.rs"]
#[allow(dead_code, reason = "the tests of processes need more of it")]
mod redis;
mod upkeep;

use redis::{Cluster, Server, has_redis};

fn parsed(url: &str) -> RegistryAddress {
    url.parse().unwrap()
}

fn open(address: &RegistryAddress, runtime: &Runtime, limits: Limits, key: FilterKey) -> Shared {
    open_as("a", address, runtime, limits, key)
}

fn open_as(
    name: &str,
    address: &RegistryAddress,
    runtime: &Runtime,
    limits: Limits,
    key: FilterKey,
) -> Shared {
    let metrics = SessionMetrics::new();
    let runtime = runtime.handle().clone();
    let settings = (key, limits, name.to_owned());
    Shared::open(address, settings, (runtime, metrics), at(0)).unwrap()
}

#[test]
fn it_does_what_every_engine_does() {
    if !has_redis() {
        return;
    }
    let (server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    conformance::passes(&|limits| {
        server.ask(&["FLUSHALL"]);
        Box::new(open(&parsed(&server.url()), &runtime, limits, KEY))
    });
    let left: Vec<String> = server
        .ask(&["KEYS", "*"])
        .lines()
        .map(str::to_owned)
        .collect();
    assert!(
        left.iter().all(|key| key.starts_with("portcullis:")),
        "{left:?}"
    );
}

#[test]
fn a_cluster_does_what_every_engine_does() {
    if !has_redis() {
        return;
    }
    let (cluster, runtime) = (Cluster::start(), Runtime::new().unwrap());
    let address = parsed(&cluster.url());
    conformance::passes(&|limits| {
        for server in &cluster.0 {
            server.ask(&["FLUSHALL"]);
        }
        Box::new(open(&address, &runtime, limits, KEY))
    });
    for server in &cluster.0 {
        assert_ne!(
            server.ask(&["DBSIZE"]).trim(),
            "0",
            "a node without sessions"
        );
    }
    // One that takes a cluster for a server is told so.
    let wrong = parsed(&cluster.0[0].url());
    let settings = (KEY, LIMITS, "a".to_owned());
    let with = (runtime.handle().clone(), SessionMetrics::new());
    let opened = Shared::open(&wrong, settings, with, at(0));
    assert!(
        matches!(opened, Err(SharedError::Form { .. })),
        "{opened:?}"
    );
}

#[test]
fn reports_of_several_authorities_add_up() {
    if !has_redis() {
        return;
    }
    let (server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    let address = parsed(&server.url());
    let authorities: Vec<Shared> = (0..4)
        .map(|number| open_as(&number.to_string(), &address, &runtime, LIMITS, KEY))
        .collect();
    let news = std::thread::scope(|scope| {
        let threads: Vec<_> = (0_u64..)
            .zip(&authorities)
            .map(|(number, authority)| {
                scope.spawn(move || {
                    let mut new = 0;
                    for round in 0..50 {
                        // Every authority sees the same ten sessions, at times of its own.
                        let seen = (0..10).map(|session| {
                            let session = session.to_string();
                            seen(&format!("u{session}"), &session, 100 + round * 4 + number)
                        });
                        let seen: Vec<Observation> = seen.collect();
                        new += authority
                            .report(&seen, at(0), Told::New, &|_| true)
                            .unwrap()
                            .len();
                    }
                    new
                })
            })
            .collect();
        let news = threads.into_iter().map(|thread| thread.join().unwrap());
        news.sum::<usize>()
    });
    assert_eq!(news, 10, "each session is new once");
    for session in 0..10 {
        let (subject, session) = (format!("u{session}"), session.to_string());
        let owned = Owned {
            issuer: conformance::ISSUER,
            subject: Some(&subject),
            id: conformance::id(&session),
        };
        let session = authorities[3].get(owned).unwrap().unwrap();
        assert_eq!(session.requests, 200);
        assert_eq!((session.first_seen, session.last_seen), (at(100), at(299)));
    }
}

#[test]
fn an_answer_that_is_lost_counts_once() {
    if !has_redis() {
        return;
    }
    let (server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    let shared = open(&parsed(&server.url()), &runtime, LIMITS, KEY);
    shared
        .report(&[seen("alice", "s", 1)], at(0), Told::New, &|_| true)
        .unwrap();
    let owned = Owned {
        issuer: conformance::ISSUER,
        subject: Some("alice"),
        id: conformance::id("s"),
    };
    let place = (Keys::shard(shared.keys.owner(&owned)), owned.id);
    let bucket = shared.read(&[place]).unwrap().remove(&place).unwrap();
    let mut session = bucket.sessions[0].clone();
    session.requests += 1;
    let change = bucket.put(&session, &shared.keys, shared.stamp(), shared.kept(at(0)));
    let mut writer = lock(&shared.writers).take();
    writer.commits += 1;
    let command = shared.commit_command(place.0, vec![change], &writer);
    let word = |command: &Command| {
        let answer = shared.connection.call(vec![command.clone()]).unwrap();
        let answer = list(answer.into_iter().next().unwrap()).unwrap();
        String::from_utf8(bytes(answer[2].clone()).unwrap()).unwrap()
    };
    assert_eq!(word(&command), "done");
    assert_eq!(word(&command), "repeated");
    assert_eq!(shared.get(owned).unwrap().unwrap().requests, 2);
    // One that was sent before, and comes late.
    writer.commits -= 1;
    let stale = shared.commit_command(place.0, Vec::new(), &writer);
    assert_eq!(word(&stale), "repeated");
}

#[test]
fn one_authority_ends_a_session_and_none_ends_what_was_used_meanwhile() {
    if !has_redis() {
        return;
    }
    let (server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    let address = parsed(&server.url());
    let first = open_as("a", &address, &runtime, LIMITS, KEY);
    let second = open_as("b", &address, &runtime, LIMITS, KEY);
    let sessions = ["1", "2", "3"].map(|session| seen("alice", session, 1));
    first
        .report(&sessions, at(0), Told::New, &|_| true)
        .unwrap();
    let page = first.last_seen_between(at(0), at(9), None, 9).unwrap();
    let mut found = page.sessions;
    found.sort_by_key(|session| session.name.value().to_string());
    let ends: Vec<(&Session, Cause)> = found.iter().map(|session| (session, Cause::Idle)).collect();
    assert_eq!(first.claim(&ends[..1]).unwrap(), [true]);
    assert_eq!(first.claim(&ends[..1]).unwrap(), [true], "its own claim");
    // The second was used meanwhile, at an edge of the other authority.
    second
        .report(&[seen("alice", "2", 5)], at(0), Told::New, &|_| true)
        .unwrap();
    assert_eq!(second.claim(&ends).unwrap(), [false, false, true]);
    assert_eq!(first.claim(&ends).unwrap(), [true, false, false]);
    // One that has to make room goes although it is used.
    assert_eq!(
        first.claim(&[(&found[1], Cause::Displaced)]).unwrap(),
        [true]
    );
    let mark = Mark {
        kind: Kind::Session,
        name: found[2].id,
        cut_off: None,
        ended: Ended {
            at: at(6),
            cause: Cause::Plain,
        },
    };
    assert_eq!(first.mark(&[mark]).unwrap().len(), 1);
    assert_eq!(
        second.claim(&[(&found[2], Cause::Displaced)]).unwrap(),
        [false]
    );
    // What was lost meanwhile may have been the use of it.
    let beats = first.keys.beats(0, first.process);
    server.ask(&["DEL", str::from_utf8(&beats).unwrap()]);
    assert_eq!(first.claim(&ends[..1]), Err(RegistryError::Away));
    assert!(has_lost(&first));
    assert_eq!(first.claim(&ends[..1]).unwrap(), [true]);
}

/// Tells of nothing, and returns whether something was lost.
fn has_lost(shared: &Shared) -> bool {
    let others = shared.exchange(&Tidings::default(), at(50)).unwrap();
    others.unwrap().has_lost
}

#[test]
fn what_redis_loses_is_told_to_all() {
    if !has_redis() {
        return;
    }
    let (mut server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    let address = parsed(&server.url());
    let first = open_as("a", &address, &runtime, LIMITS, KEY);
    let second = open_as("b", &address, &runtime, LIMITS, KEY);
    assert!(!has_lost(&first) && !has_lost(&second) && !has_lost(&first));
    assert_eq!(first.heard_since(), at(0));
    server.ask(&["FLUSHALL"]);
    assert!(has_lost(&first));
    assert_eq!(first.heard_since(), at(50));
    assert!(has_lost(&second));
    // Each tells the other, and then it is over.
    let again = [
        has_lost(&first),
        has_lost(&second),
        has_lost(&first),
        has_lost(&second),
    ];
    assert_eq!(again[2..], [false, false]);
    // The time begins anew before others are told, and what they cannot be told is told later.
    server.ask(&["FLUSHALL"]);
    let sources = first.keys.common("sources");
    server.ask(&["SET", str::from_utf8(&sources).unwrap(), "no hash"]);
    assert!(first.exchange(&Tidings::default(), at(55)).is_err());
    assert_eq!(first.heard_since(), at(55));
    server.ask(&["DEL", str::from_utf8(&sources).unwrap()]);
    assert!(has_lost(&first) && has_lost(&second));
    has_lost(&first);
    assert!(!has_lost(&second) && !has_lost(&first));

    // A snapshot from before the last report.
    server.ask(&["SAVE"]);
    first
        .report(&[seen("alice", "s", 1)], at(0), Told::New, &|_| true)
        .unwrap();
    server.kill();
    let gone = first.report(&[seen("alice", "s", 2)], at(0), Told::New, &|_| true);
    assert_eq!(gone.unwrap_err(), RegistryError::Away);
    assert_eq!(first.counts(at(0)), Err(RegistryError::Away));
    server.restart();
    let end = Instant::now() + Duration::from_secs(20);
    let is_back = Cell::new(false);
    while !is_back.get() {
        assert!(Instant::now() < end, "the registry does not come back");
        let others = first.exchange(&Tidings::default(), at(60));
        match others {
            Ok(others) => is_back.set(others.unwrap().has_lost),
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    assert_eq!(first.heard_since(), at(60));
    // What another one is told, it does not have to find out.
    first
        .exchange(
            &Tidings {
                has_lost: true,
                ..Tidings::default()
            },
            at(70),
        )
        .unwrap();
    assert!(has_lost(&second));
}

#[test]
fn what_one_authority_has_heard_the_others_hear_once() {
    if !has_redis() {
        return;
    }
    let (server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    let address = parsed(&server.url());
    let first = open_as("a", &address, &runtime, LIMITS, KEY);
    let second = open_as("b", &address, &runtime, LIMITS, KEY);
    let minute = Duration::from_mins(1);
    let heard = super::super::registry::HeardOf {
        source: "envoys".to_owned(),
        ago: Duration::from_secs(40),
        interval: minute,
    };
    let tidings = Tidings {
        heard: vec![heard],
        has_heard: true,
        has_lost: false,
    };
    first.exchange(&tidings, at(0)).unwrap();
    let news = |shared: &Shared| {
        let others = shared.exchange(&Tidings::default(), at(0)).unwrap();
        let mut heard = others.unwrap().heard;
        heard.sort_by(|one, other| one.source.cmp(&other.source));
        heard
    };
    let [authority, envoys] = &*news(&second) else {
        panic!("an authority and a credential");
    };
    assert_eq!((&*authority.source, &*envoys.source), ("\u{1}a", "envoys"));
    let ago = envoys.ago.as_secs();
    assert!(
        (40..50).contains(&ago) && envoys.interval == minute,
        "{envoys:?}"
    );
    assert_eq!(news(&second), [], "nothing is new");
    // What Redis has lost has not taken its leave.
    let gone = || {
        let others = second.exchange(&Tidings::default(), at(0)).unwrap();
        others.unwrap().gone
    };
    server.ask(&["FLUSHALL"]);
    for _ in 0..3 {
        assert_eq!(gone(), [""; 0]);
    }
    first.exchange(&tidings, at(0)).unwrap();
    for _ in 0..3 {
        assert_eq!(gone(), [""; 0]);
    }
    first.leave();
    assert_eq!([gone(), gone(), gone()].concat(), ["\u{1}a"]);
    assert_eq!(
        server
            .ask(&[
                "HKEYS",
                &String::from_utf8(first.keys.common("sources")).unwrap()
            ])
            .trim(),
        "envoys"
    );
}

#[test]
fn a_password_that_is_wrong_is_told_and_one_that_is_right_is_not() {
    if !has_redis() {
        return;
    }
    let (server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    server.ask(&["CONFIG", "SET", "requirepass", "right"]);
    let try_with = |password: &str| {
        let address = parsed(&server.url()).with_password(password.to_owned());
        let with = (runtime.handle().clone(), SessionMetrics::new());
        Shared::open(&address, (KEY, LIMITS, "a".to_owned()), with, at(0))
    };
    let shared = try_with("right").unwrap();
    assert!(!format!("{shared:?}").contains("right"));
    for wrong in ["wrong", ""] {
        let error = try_with(wrong).unwrap_err();
        assert!(matches!(error, SharedError::Refused { .. }), "{error}");
        assert!(!error.to_string().contains("wrong:"), "{error}");
    }
}

#[test]
fn installations_with_other_keys_do_not_see_each_others_sessions() {
    if !has_redis() {
        return;
    }
    let (server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    let address = parsed(&server.url());
    let one = open(&address, &runtime, LIMITS, KEY);
    let other = open(
        &address,
        &runtime,
        LIMITS,
        FilterKey::new(*b"another one here"),
    );
    one.report(&[seen("alice", "s", 1)], at(0), Told::New, &|_| true)
        .unwrap();
    assert_eq!(one.counts(at(0)).unwrap().sessions, 1);
    assert_eq!(other.counts(at(0)).unwrap().sessions, 0);
}

#[test]
fn the_user_that_the_documents_make_may_do_all_that_is_done() {
    if !has_redis() {
        return;
    }
    let documents = include_str!("../../../../envoy/sessions.md");
    let user = documents
        .lines()
        .find(|line| line.starts_with("ACL SETUSER"));
    let user: Vec<&str> = user.unwrap().split(' ').collect();
    let (server, runtime) = (Server::start(&[]), Runtime::new().unwrap());
    assert_eq!(server.ask(&user).trim(), "OK");
    let url = server.url().replace("://", "://portcullis:PASSWORD@");
    conformance::passes(&|limits| {
        server.ask(&["FLUSHALL"]);
        let shared = open(&parsed(&url), &runtime, limits, KEY);
        shared
            .exchange(
                &Tidings {
                    has_heard: true,
                    ..Tidings::default()
                },
                at(0),
            )
            .unwrap();
        shared.leave();
        Box::new(shared)
    });
}
