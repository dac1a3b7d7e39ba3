//! The contract of every engine: each of these tests runs on all of them.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use super::memory::{Database as Rows, Memory, Trouble};
use super::postgres_server::{Server, has_postgres};
use super::*;
use crate::authority::entry::Entry;
use crate::authority::store::embedded::tests::opening;

/// How long the keeper may be silent.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// What an engine keeps. It can be opened again and again.
pub(super) trait Kept {
    fn open(&self) -> Store;
}

struct OnDisk(tempfile::TempDir);

struct InMemory(Rows);

/// Opens it as one authority after the other, none of which need have ended before the next.
pub(super) struct InDatabase {
    url: String,
    replica: Mutex<Option<Replica>>,
}

impl InDatabase {
    pub(super) fn at(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            replica: Mutex::new(None),
        }
    }

    /// The part that the last one has.
    pub(super) fn replica(&self) -> Replica {
        self.replica.lock().unwrap().clone().unwrap()
    }
}

impl Kept for InDatabase {
    fn open(&self) -> Store {
        let database = Database::open(self.url.parse().unwrap()).unwrap();
        let (opened, replica) = Postgres::open(&database, LEASE).unwrap();
        *self.replica.lock().unwrap() = Some(replica);
        Store::over(opened)
    }
}

impl OnDisk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }
}

impl InMemory {
    fn new() -> Self {
        Self(Rows::new())
    }
}

impl Kept for OnDisk {
    fn open(&self) -> Store {
        open_after_another(self.0.path(), opening(Loss::Refused)).unwrap()
    }
}

impl Kept for InMemory {
    fn open(&self) -> Store {
        self.0.open()
    }
}

/// The tests, on each engine.
macro_rules! conformance {
    ($($name:ident,)*) => {
        mod embedded {
            $(#[test] fn $name() { super::$name(&super::OnDisk::new()); })*
        }

        mod memory {
            $(#[test] fn $name() { super::$name(&super::InMemory::new()); })*
        }

        /// One after the other, on one server.
        #[test]
        fn on_postgres() {
            if !has_postgres() {
                return;
            }
            let server = Server::start();
            $({
                let name = stringify!($name);
                eprintln!("{name}");
                // The names of databases have an end.
                let name = &name[..name.len().min(60)];
                $name(&InDatabase::at(&server.database(name)));
            })*
        }
    };
}

conformance! {
    what_is_committed_is_there_when_it_is_opened_again,
    of_work_that_fails_nothing_is_there,
    work_in_one_commit_sees_what_went_before,
    a_reader_sees_no_half_of_a_commit,
    a_longer_life_is_kept_and_is_no_change_for_edges,
    what_expired_is_dropped_and_what_did_not_stays,
    a_later_cut_off_replaces_an_earlier_one_and_never_the_reverse,
    no_cut_off_brings_back_what_an_earlier_one_has_revoked,
    the_log_and_the_chain_come_back_as_they_were_written,
    the_oldest_part_of_the_log_can_be_cut_off,
    what_is_loaded_is_what_is_in_force,
    an_import_is_staged_in_parts_and_removed_with_the_last,
    pages_put_together_are_the_whole,
}

fn what_is_committed_is_there_when_it_is_opened_again(kept: &dyn Kept) {
    let store = kept.open();
    assert_eq!(store.head().unwrap(), Head::EMPTY);
    assert_eq!(store.kept::<Epoch>().unwrap(), None);
    store
        .commit(NOW, |writing| {
            writing.keep(&Epoch(7))?;
            writing.keep(&GenerationNumber(8))?;
            writing.keep(&GenerationNumber(9))?;
            writing.revoke(&Revocation {
                cause: Cause::Idle,
                ..revocation(Kind::Session, "a", 10)
            })
        })
        .unwrap();
    let (head, key) = (store.head().unwrap(), store.filter_key());
    let name = name_of(&store, Kind::Session, "a");
    let entry = store.entry(name).unwrap();
    assert!(entry.is_some());
    drop(store);
    let store = kept.open();
    assert_eq!(store.filter_key(), key);
    assert_eq!(store.head().unwrap(), head);
    assert_eq!(store.kept().unwrap(), Some(Epoch(7)));
    assert_eq!(store.kept().unwrap(), Some(GenerationNumber(9)));
    assert_eq!(store.entry(name).unwrap(), entry);
    assert_eq!(
        store.index().revokes(name, None, time(9)),
        Some(Cause::Idle)
    );
    assert_eq!(
        store.issuer("https://issuer.example").unwrap(),
        KnownIssuer::Same
    );
}

fn of_work_that_fails_nothing_is_there(kept: &dyn Kept) {
    let store = kept.open();
    revoke(&store, &revocation(Kind::Session, "a", 10)).unwrap();
    let head = store.head().unwrap();
    let failed = store.commit(NOW, |writing| {
        writing.revoke(&revocation(Kind::Session, "b", 10))?;
        writing.restore(&restoration(Kind::Session, "a"))?;
        writing.keep(&Epoch(7))?;
        writing.stage(0, b"part")?;
        Err::<(), _>(StoreError::Row)
    });
    assert!(matches!(failed, Err(StoreError::Row)), "{failed:?}");
    assert_eq!(store.recover().unwrap(), []);
    let expect_unchanged = |store: &Store| {
        assert_eq!(store.head().unwrap(), head);
        assert_eq!(store.kept::<Epoch>().unwrap(), None);
        assert_eq!(store.staged(0).unwrap(), None);
        let name = |value| name_of(store, Kind::Session, value);
        assert_eq!(store.entry(name("b")).unwrap(), None);
        assert!(store.index().revokes(name("a"), None, time(1)).is_some());
        assert!(store.index().revokes(name("b"), None, time(1)).is_none());
    };
    expect_unchanged(&store);
    drop(store);
    expect_unchanged(&kept.open());
}

fn work_in_one_commit_sees_what_went_before(kept: &dyn Kept) {
    let store = kept.open();
    let again = vec![revocation(Kind::Session, "a", 10); 2];
    let committed = revoke_all(&store, &again);
    assert!(matches!(committed.outcome[0], Revoked::Newly(_)));
    assert!(matches!(committed.outcome[1], Revoked::Already(_)));
    assert_eq!(committed.changes.len(), 1);
    let committed = store.commit(NOW, |writing| {
        let restored = writing.restore(&restoration(Kind::Session, "a"))?;
        let again = writing.restore(&restoration(Kind::Session, "a"))?;
        let revoked = writing.revoke(&revocation(Kind::Session, "a", 10))?;
        Ok((restored, again, revoked))
    });
    let (restored, again, revoked) = committed.unwrap().outcome;
    assert!(matches!(restored, Restored::Newly(entry) if entry.sequence == 2));
    assert_eq!(again, Restored::NotRevoked);
    assert!(matches!(revoked, Revoked::Newly(entry) if entry.sequence == 3));
    assert_eq!(store.head().unwrap().sequence, 3);
}

fn a_reader_sees_no_half_of_a_commit(kept: &dyn Kept) {
    let store = kept.open();
    revoke(&store, &revocation(Kind::Session, "a", 10)).unwrap();
    let (before, log, after) = store
        .read(|snapshot| {
            let before = snapshot.head()?;
            revoke_all(&store, &[revocation(Kind::Session, "b", 10)]);
            Ok((before, snapshot.log(0)?, snapshot.head()?))
        })
        .unwrap();
    assert_eq!((before.sequence, log.len(), after), (1, 1, before));
    assert_eq!(store.head().unwrap().sequence, 2);
}

fn a_longer_life_is_kept_and_is_no_change_for_edges(kept: &dyn Kept) {
    let store = kept.open();
    let live = |lives| revoke(&store, &revocation(Kind::Token, "a", lives)).unwrap();
    live(1_000);
    let longer = live(2_000);
    assert!(matches!(longer.outcome, Revoked::Already(_)));
    assert!(longer.changes.is_empty());
    live(500);
    let name = name_of(&store, Kind::Token, "a");
    assert!(store.index().revokes(name, None, time(1_999)).is_some());
    assert!(store.index().revokes(name, None, time(2_000)).is_none());
}

fn what_expired_is_dropped_and_what_did_not_stays(kept: &dyn Kept) {
    let store = kept.open();
    let owned = Revocation {
        subject: Some("u".into()),
        ..revocation(Kind::Token, "a", 10)
    };
    revoke_all(&store, &[owned.clone(), revocation(Kind::Subject, "u", 20)]);
    let names = [(Kind::Token, "a"), (Kind::Subject, "u")];
    let names = names.map(|(kind, value)| name_of(&store, kind, value));
    let later = NOW + 15_000;
    let dropped = store.commit(later, |writing| writing.drop_expired(&names));
    let dropped = dropped.unwrap();
    assert_eq!(dropped.outcome.damaged, 0);
    assert_eq!(
        (store.index().entry_count(), store.index().cut_off_count()),
        (0, 1)
    );
    assert!(dropped.changes.is_empty());
    assert_eq!(store.entry(names[0]).unwrap(), None);
    assert!(store.entry(names[1]).unwrap().is_some());
    let all = Filter::default();
    assert_eq!(store.list(&all, None, 10).unwrap().entries.len(), 1);
    let of_subject = Filter {
        subject: Some("u".into()),
        ..all
    };
    assert_eq!(store.list(&of_subject, None, 10).unwrap().entries.len(), 1);
    // An expired entry that is revoked again is new to edges.
    let again = Revocation {
        expires_at: time(30),
        ..owned
    };
    let again = store.commit(later, |writing| writing.revoke(&again));
    assert_eq!(again.unwrap().changes.len(), 1);
    // Dropping what is not there does no harm.
    let never = name_of(&store, Kind::Token, "never");
    let dropped = store.commit(later, |writing| writing.drop_expired(&[never]));
    assert_eq!(dropped.unwrap().outcome.damaged, 0);
}

fn a_later_cut_off_replaces_an_earlier_one_and_never_the_reverse(kept: &dyn Kept) {
    let store = kept.open();
    let change_count = |not_before, except: Option<&str>| {
        let cut_off = Revocation {
            not_before: time(not_before),
            except_session: except.map(Into::into),
            ..revocation(Kind::Subject, "u", 100)
        };
        revoke(&store, &cut_off).unwrap().changes.len()
    };
    assert_eq!(change_count(10, Some("s")), 1);
    assert_eq!(change_count(10, Some("s")), 0);
    assert_eq!(change_count(5, Some("s")), 0);
    assert_eq!(change_count(5, None), 1, "the session is older");
    assert_eq!(change_count(10, None), 1, "the session goes on no more");
    assert_eq!(change_count(5, None), 0);
    assert_eq!(change_count(11, Some("s")), 1);
    let name = name_of(&store, Kind::Subject, "u");
    let entry = store.entry(name).unwrap().unwrap();
    let except = entry.except.map(|except| (except.session, except.from));
    assert_eq!(entry.not_before, time(11));
    assert_eq!(except, Some(("s".into(), time(10))));
    assert_eq!(entry.sequence, 4);
}

/// Every way to set two or three cut-offs one after the other, compared with each of them alone.
fn no_cut_off_brings_back_what_an_earlier_one_has_revoked(kept: &dyn Kept) {
    let cut_offs = [5, 10, 15].into_iter().flat_map(|not_before| {
        let sessions = [None, Some("s"), Some("t")].into_iter();
        sessions.map(move |except| (not_before, except))
    });
    let cut_offs: Vec<(u64, Option<&str>)> = cut_offs.collect();
    let store = kept.open();
    let (mut asked_of, mut revocations) = (Vec::new(), Vec::new());
    for &first in &cut_offs {
        for &second in &cut_offs {
            for &third in &cut_offs {
                let (asked, user) = ([first, second, third], asked_of.len().to_string());
                revocations.extend(asked.map(|(not_before, except)| Revocation {
                    not_before: time(not_before),
                    except_session: except.map(Into::into),
                    ..revocation(Kind::Subject, &user, 100)
                }));
                asked_of.push((user, asked));
            }
        }
    }
    revoke_all(&store, &revocations);
    for (user, asked) in asked_of {
        let name = name_of(&store, Kind::Subject, &user);
        let held = store.index().cut_off(name, time(0)).unwrap();
        for session in ["s", "t", "u"] {
            let hashed = name_of(&store, Kind::Session, session);
            for issued_at in [4, 5, 9, 10, 14, 15] {
                let is_meant = asked.iter().any(|(not_before, except)| {
                    issued_at < *not_before && Some(session) != *except
                });
                assert_eq!(
                    held.revokes(Some(time(issued_at)), Some(hashed)),
                    is_meant,
                    "{session} at {issued_at} after {asked:?}"
                );
            }
        }
    }
}

fn the_log_and_the_chain_come_back_as_they_were_written(kept: &dyn Kept) {
    let store = kept.open();
    let committed = store.commit(NOW, |writing| {
        writing.revoke(&revocation(Kind::Session, "a", 10))?;
        writing.revoke(&revocation(Kind::Client, "c", 10))?;
        writing.restore(&restoration(Kind::Client, "c"))?;
        writing.restore(&restoration(Kind::Session, "a"))
    });
    let committed = committed.unwrap();
    drop(store);
    let store = kept.open();
    let log: Vec<_> = store
        .log(0)
        .unwrap()
        .into_iter()
        .map(|(_, change, chain)| (change, chain))
        .collect();
    assert_eq!(log, committed.changes);
    let (_, last) = committed.changes[3];
    assert_eq!(
        store.head().unwrap(),
        Head {
            sequence: 4,
            chain: last
        }
    );
    let rest = store.log(2).unwrap();
    assert_eq!(rest.iter().map(|row| row.0).collect::<Vec<_>>(), [3, 4]);
    expect_chain(log);
}

fn expect_chain(log: impl IntoIterator<Item = (Change, Chain)>) {
    let mut chain = Chain::EMPTY;
    for (change, after) in log {
        chain = chain.followed_by(&change);
        assert_eq!(chain, after);
    }
}

fn the_oldest_part_of_the_log_can_be_cut_off(kept: &dyn Kept) {
    let store = kept.open();
    let sessions = ["a", "b", "c", "d", "e"].map(|value| revocation(Kind::Session, value, 10));
    revoke_all(&store, &sessions);
    let head = store.head().unwrap();
    store
        .engine
        .write(&mut |transaction| transaction.trim_log(3))
        .unwrap();
    drop(store);
    let store = kept.open();
    let log = store.log(0).unwrap();
    assert_eq!(log.iter().map(|row| row.0).collect::<Vec<_>>(), [4, 5]);
    assert_eq!(store.head().unwrap(), head);
    assert_eq!(store.history().head(), head);
    assert_eq!(store.index().entry_count(), 5);
}

fn what_is_loaded_is_what_is_in_force(kept: &dyn Kept) {
    let store = kept.open();
    let revocations = [
        (Kind::Session, "a"),
        (Kind::Issuer, ""),
        (Kind::Device, "d"),
    ];
    revoke_all(
        &store,
        &revocations.map(|(kind, value)| revocation(kind, value, 10)),
    );
    store
        .commit(NOW, |writing| {
            writing.restore(&restoration(Kind::Device, "d"))
        })
        .unwrap();
    drop(store);
    let store = kept.open();
    let index = store.index();
    let name = |kind, value| name_of(&store, kind, value);
    assert!(
        index
            .revokes(name(Kind::Session, "a"), None, time(0))
            .is_some()
    );
    assert!(
        index
            .revokes(name(Kind::Device, "d"), None, time(0))
            .is_none()
    );
    assert!(index.cut_off(name(Kind::Issuer, ""), time(0)).is_some());
    assert_eq!(index.expired(time(10), 10).len(), 3);
}

fn an_import_is_staged_in_parts_and_removed_with_the_last(kept: &dyn Kept) {
    let store = kept.open();
    store
        .commit(NOW, |writing| {
            writing.stage(0, b"first")?;
            writing.stage(1, b"other")?;
            writing.stage(1, b"second")?;
            writing.stage(2, b"third")?;
            writing.keep(&CompleteImport(Some(3)))
        })
        .unwrap();
    drop(store);
    let store = kept.open();
    assert_eq!(store.kept().unwrap(), Some(CompleteImport(Some(3))));
    assert_eq!(store.staged(1).unwrap(), Some((1, b"second".to_vec())));
    let part = vec![revocation(Kind::Session, "a", 10); 2];
    let applied = store.commit(NOW, |writing| writing.apply_staged(1, &part));
    assert_eq!(applied.unwrap().outcome.revoked, 1);
    assert_eq!(store.staged(1).unwrap(), Some((2, b"third".to_vec())));
    store
        .commit(NOW, |writing| {
            writing.apply_staged(1, &part)?;
            writing.drop_staged()
        })
        .unwrap();
    assert_eq!(store.staged(0).unwrap(), None);
    assert_eq!(store.kept().unwrap(), Some(CompleteImport(None)));
    assert_eq!(store.head().unwrap().sequence, 1);
}

fn pages_put_together_are_the_whole(kept: &dyn Kept) {
    let store = kept.open();
    fill(&store);
    for filter in filters() {
        let whole = store.list(&filter, None, 1_000).unwrap();
        assert_eq!(whole.next, None);
        assert!(!whole.entries.is_empty(), "{filter:?}");
        for limit in [1, 2, 5, 7] {
            let (mut entries, mut cursor) = (Vec::new(), None);
            loop {
                let page = store.list(&filter, cursor.as_deref(), limit).unwrap();
                entries.extend(page.entries);
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(entries, whole.entries, "{limit} of {filter:?}");
        }
    }
}

/// Entries of three issuers and two subjects, some of them restored.
fn fill(store: &Store) {
    let mut revocations = Vec::new();
    for issuer in [
        "https://a.example",
        "https://b.example",
        "https://c.example",
    ] {
        let target = |kind, value: &str| Target {
            issuer: issuer.into(),
            ..target(kind, value)
        };
        for number in 0..7 {
            revocations.push(Revocation {
                subject: Some(format!("u{}", number % 2)),
                target: target(Kind::Session, &format!("s{number}")),
                ..revocation(Kind::Session, "", 100)
            });
        }
        revocations.push(Revocation {
            target: target(Kind::Subject, "u1"),
            ..revocation(Kind::Subject, "", 100)
        });
    }
    revoke_all(store, &revocations);
    let restorations = revocations.iter().step_by(5).map(|revocation| Restoration {
        target: revocation.target.clone(),
        ..restoration(Kind::Session, "")
    });
    for restoration in restorations {
        store
            .commit(NOW, |writing| writing.restore(&restoration))
            .unwrap();
    }
}

/// Those whose pages have an order.
fn filters() -> Vec<Filter> {
    let all = Filter {
        include_restored: true,
        ..Filter::default()
    };
    vec![
        all.clone(),
        Filter::default(),
        Filter {
            kind: Some(Kind::Subject),
            issuer: Some("https://b.example".into()),
            ..all.clone()
        },
        Filter {
            subject: Some("u1".into()),
            ..all.clone()
        },
        Filter {
            subject: Some("u0".into()),
            issuer: Some("https://c.example".into()),
            ..Filter::default()
        },
    ]
}

/// Everything that can be asked of a store, under names that do not depend on its key.
#[derive(Debug, PartialEq)]
struct Facts {
    sequence: u64,
    log: Vec<u64>,
    entries: Vec<Entry>,
    counts: (u64, u64),
    expired: usize,
}

impl Facts {
    fn of(store: &Store) -> Self {
        let all = Filter {
            include_restored: true,
            ..Filter::default()
        };
        let page = store.list(&all, None, 1_000).unwrap();
        let log = store.log(0).unwrap();
        let index = store.index();
        Self {
            sequence: store.head().unwrap().sequence,
            log: log.into_iter().map(|(sequence, ..)| sequence).collect(),
            entries: page.entries.into_iter().map(|entry| entry.1).collect(),
            counts: (index.entry_count(), index.cut_off_count()),
            expired: index.expired(time(60), 1_000).len(),
        }
    }
}

#[test]
fn the_engines_do_the_same() {
    let server = has_postgres().then(Server::start);
    let mut engines: Vec<Box<dyn Kept>> = vec![Box::new(OnDisk::new()), Box::new(InMemory::new())];
    if let Some(server) = &server {
        engines.push(Box::new(InDatabase::at(&server.database("same"))));
    }
    let facts = engines.iter().map(|kept| {
        let mut random = Random(0x5eed);
        let (mut facts, mut store) = (Vec::new(), kept.open());
        for round in 0..300 {
            let now = NOW + round * 200;
            let kind = Kind::ALL[random.index(6)];
            let value = random.below(4).to_string();
            let outcome = match random.below(10) {
                0..6 => {
                    let revocation = Revocation {
                        not_before: time(random.below(60)),
                        except_session: [None, Some("s"), Some("t")][random.index(3)]
                            .map(Into::into),
                        subject: [None, Some("u")][random.index(2)].map(Into::into),
                        ..revocation(kind, &value, random.below(80))
                    };
                    let committed = store.commit(now, |writing| writing.revoke(&revocation));
                    format!("{:?}", committed.unwrap().outcome)
                }
                6..8 => {
                    let restoration = restoration(kind, &value);
                    let committed = store.commit(now, |writing| writing.restore(&restoration));
                    format!("{:?}", committed.unwrap().outcome)
                }
                8 => {
                    let expired = store.index().expired(time(round / 5), 1_000);
                    let committed = store.commit(now, |writing| writing.drop_expired(&expired));
                    format!("{:?}", committed.unwrap().outcome)
                }
                _ => {
                    drop(store);
                    store = kept.open();
                    String::new()
                }
            };
            facts.push((outcome, Facts::of(&store)));
        }
        facts
    });
    let facts: Vec<_> = facts.collect();
    for other in &facts[1..] {
        for (round, (expected, found)) in facts[0].iter().zip(other).enumerate() {
            assert_eq!(expected, found, "round {round}");
        }
    }
}

/// The answer to a commit can be lost, whether the commit was done or not.
#[test]
fn what_became_of_a_commit_without_an_answer_is_found_out() {
    for (trouble, is_there) in [(Trouble::Before, false), (Trouble::After, true)] {
        let store = Rows::new().open();
        let engine: &dyn std::any::Any = &*store.engine;
        let engine = engine.downcast_ref::<Memory>().unwrap();
        revoke(&store, &revocation(Kind::Session, "a", 10)).unwrap();
        engine.fail_next(trouble);
        let name = name_of(&store, Kind::Session, "b");
        assert!(revoke(&store, &revocation(Kind::Session, "b", 10)).is_err());
        assert!(
            store.index().revokes(name, None, time(1)).is_none(),
            "no caller was told of it"
        );
        assert!(store.head().is_err(), "it is closed until it has recovered");
        assert_eq!(store.recover().unwrap().len(), usize::from(is_there));
        assert_eq!(
            store.index().revokes(name, None, time(1)).is_some(),
            is_there
        );
        assert_eq!(store.entry(name).unwrap().is_some(), is_there);
        assert_eq!(store.recover().unwrap(), [], "it is told once");
        let next = revoke(&store, &revocation(Kind::Session, "c", 10)).unwrap();
        assert_eq!(next.changes.len(), 1);
        expect_chain(store.log(0).unwrap().into_iter().map(|row| (row.1, row.2)));
    }
}

/// Further tests for an engine that several processes share.
#[test]
fn processes_on_one_database_make_one_log() {
    let database = Rows::new();
    thread::scope(|scope| {
        for process in 0..3 {
            let database = &database;
            scope.spawn(move || {
                let store = database.open();
                for number in 0..50 {
                    // Some of them by all processes, of which one is the first.
                    let value = match number % 2 {
                        0 => format!("{process}-{number}"),
                        _ => number.to_string(),
                    };
                    revoke(&store, &revocation(Kind::Session, &value, 10)).unwrap();
                }
            });
        }
    });
    let store = database.open();
    let log = store.log(0).unwrap();
    let numbers: Vec<_> = log.iter().map(|(sequence, ..)| *sequence).collect();
    assert_eq!(numbers, (1..=3 * 25 + 25).collect::<Vec<_>>());
    expect_chain(log.into_iter().map(|row| (row.1, row.2)));
    assert_eq!(store.index().entry_count(), 100);
}
