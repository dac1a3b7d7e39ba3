//! What only the engine on PostgreSQL promises, on a real server.

use std::thread;
use std::time::{Duration, Instant};

use super::conformance::{InDatabase, Kept as _};
use super::postgres_server::{Server, has_postgres};
use super::way::{Break, Commit, Way};
use super::*;

/// Cut on the way there, it is not done, and the caller may be told so; cut on the way back, it is done,
/// and the caller is told that.
#[test]
fn a_commit_whose_answer_is_lost_is_looked_up_before_its_caller_is_told() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let _ = server.database("cut");
    let way = Way::to(server.port());
    let url = format!("postgres://portcullis@127.0.0.1:{}/cut", way.port());
    let kept = InDatabase::at(&url);
    let store = kept.open();
    for round in 0..6 {
        let how = [Break::Close, Break::Reset][round % 2];
        let (done, undone) = (format!("done {round}"), format!("undone {round}"));
        way.at_next_commit(Commit::Unanswered, how);
        let committed = revoke(&store, &revocation(Kind::Session, &done, 10));
        assert_eq!(committed.unwrap().changes.len(), 1);
        way.at_next_commit(Commit::Lost, how);
        let refused = revoke(&store, &revocation(Kind::Session, &undone, 10)).unwrap_err();
        assert!(refused.is_passing(), "{refused:?}");
        assert_eq!(store.recover().unwrap(), []);
        for (value, is_there) in [(&done, true), (&undone, false)] {
            let name = name_of(&store, Kind::Session, value);
            assert_eq!(store.entry(name).unwrap().is_some(), is_there, "{value}");
            let revoked = store.index().revokes(name, None, time(1));
            assert_eq!(revoked.is_some(), is_there, "{value}");
        }
    }
    assert_eq!(store.head().unwrap().sequence, 6);
    assert_eq!(store.log(0).unwrap().len(), 6);
}

fn follow(store: &Store) {
    store.follow(&mut || Ok(())).unwrap();
}

/// The causes by which a session is revoked in memory.
fn is_revoked(store: &Store, value: &str) -> bool {
    let name = name_of(store, Kind::Session, value);
    store.index().revokes(name, None, time(1)).is_some()
}

#[test]
fn what_another_one_has_committed_is_known_before_anything_is_decided() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let kept = InDatabase::at(&server.database("two"));
    let (first, second) = (kept.open(), kept.open());
    revoke(&first, &revocation(Kind::Session, "a", 10)).unwrap();
    assert!(is_revoked(&first, "a") && !is_revoked(&second, "a"));
    // It has not followed, and decides about what the first one has written all the same.
    let again = revoke(&second, &revocation(Kind::Session, "a", 10)).unwrap();
    assert!(matches!(again.outcome, Revoked::Already(_)), "{again:?}");
    assert!(is_revoked(&second, "a"));
    let revoked = revoke(&second, &revocation(Kind::Session, "b", 900)).unwrap();
    assert_eq!(revoked.changes.len(), 1);
    assert!(!is_revoked(&first, "b"));
    follow(&first);
    assert!(is_revoked(&first, "b"));
    let heads = [&first, &second].map(|store| store.history().head());
    assert_eq!(heads[0], heads[1]);
    assert_eq!(heads[0], first.head().unwrap());
    // What is in no change of the feed is followed too.
    let settings = second.changed_settings();
    first
        .commit(NOW, |writing| {
            writing.keep(&Epoch(7))?;
            // It lives longer now, of which edges need not hear.
            writing.revoke(&revocation(Kind::Session, "b", 1_000))
        })
        .unwrap();
    first
        .commit(NOW + 20_000, |writing| {
            let names = ["a", "b"].map(|value| name_of(&first, Kind::Session, value));
            writing.drop_expired(&names)
        })
        .unwrap();
    follow(&second);
    assert_eq!(second.changed_settings(), settings + 1);
    let sequence_of = |value| {
        let name = name_of(&second, Kind::Session, value);
        second.index().sequence_of(name)
    };
    assert_eq!((sequence_of("a"), sequence_of("b")), (None, Some(2)));
    let name = name_of(&second, Kind::Session, "b");
    let revoked = second.index().revokes(name, None, time(950));
    assert!(revoked.is_some(), "it lives longer here as well");
}

/// Three of them, which follow now and then, and write whatever comes; each must at last know the same.
#[test]
fn however_they_take_turns_all_come_to_know_the_same() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let kept = InDatabase::at(&server.database("turns"));
    let stores: Vec<Store> = (0..3).map(|_| kept.open()).collect();
    let mut random = Random(11);
    let mut model = std::collections::BTreeMap::new();
    for step in 0..400 {
        let store = &stores[random.index(stores.len())];
        let value = random.below(20).to_string();
        match random.below(10) {
            0..=4 => {
                let revocation = revocation(Kind::Session, &value, 1_000 + step);
                let revoked = revoke(store, &revocation).unwrap().outcome;
                let was_revoked = model.insert(value, true) == Some(true);
                let is_known = matches!(revoked, Revoked::Already(_));
                assert_eq!(is_known, was_revoked, "step {step}");
            }
            5..=6 => {
                let restoration = restoration(Kind::Session, &value);
                let restored = store.commit(NOW, |writing| writing.restore(&restoration));
                let was_revoked = model.insert(value, false) == Some(true);
                let is_restored = matches!(restored.unwrap().outcome, Restored::Newly(_));
                assert_eq!(is_restored, was_revoked, "step {step}");
            }
            _ => follow(store),
        }
    }
    let head = stores[0].head().unwrap();
    for store in &stores {
        follow(store);
        assert_eq!(store.history().head(), head);
        for (value, expected) in &model {
            assert_eq!(is_revoked(store, value), *expected, "{value}");
        }
        assert_eq!(store.index().entry_count(), stores[0].index().entry_count());
    }
    // One that starts now knows it as well.
    let late = kept.open();
    assert_eq!(late.history().head(), head);
    assert!(
        model
            .iter()
            .all(|(value, expected)| is_revoked(&late, value) == *expected)
    );
}

#[test]
fn what_is_not_in_the_journal_any_more_has_to_be_loaded_anew() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let kept = InDatabase::at(&server.database("journal"));
    let first = kept.open();
    revoke(&first, &revocation(Kind::Session, "a", 10)).unwrap();
    let second = kept.open();
    for value in ["b", "c"] {
        revoke(&first, &revocation(Kind::Session, value, 10)).unwrap();
    }
    server.ask(
        "journal",
        "DELETE FROM portcullis.journal WHERE commit <= 2",
    );
    let outdated = second.follow(&mut || Ok(())).unwrap_err();
    assert!(outdated.is_over(), "{outdated:?}");
    assert!(revoke(&second, &revocation(Kind::Session, "d", 10)).is_err());
    assert!(second.check_recent().is_err());
    assert_eq!(kept.replica().end(), Some(End::Overtaken));
    let again = kept.open();
    assert!(is_revoked(&again, "c"));
    revoke(&again, &revocation(Kind::Session, "d", 10)).unwrap();
}

#[test]
fn a_database_that_was_set_back_begins_one_new_epoch_for_all() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let kept = InDatabase::at(&server.database("back"));
    let stores: Vec<Store> = (0..3).map(|_| kept.open()).collect();
    let first = &stores[0];
    first
        .commit(NOW, |writing| writing.keep(&Epoch(7)))
        .unwrap();
    revoke(first, &revocation(Kind::Session, "a", 10)).unwrap();
    stores.iter().for_each(follow);
    // What a failover leaves that has lost the last commit.
    let lose = "UPDATE portcullis.state SET commits = 1, sequence = 0,
                chain = decode(repeat('00', 32), 'hex'),
                mark = (SELECT mark FROM portcullis.journal WHERE commit = 1);
                DELETE FROM portcullis.journal WHERE commit > 1;
                DELETE FROM portcullis.entries; DELETE FROM portcullis.log";
    server.ask("back", lose);
    // Nothing is written on the ruins.
    let refused = revoke(first, &revocation(Kind::Session, "b", 10)).unwrap_err();
    let is_back = matches!(refused, StoreError::Database(DatabaseError::SetBack(1)));
    assert!(is_back, "{refused:?}");
    for store in &stores {
        let over = store.follow(&mut || Ok(())).unwrap_err();
        assert!(over.is_over(), "{over:?}");
        assert!(revoke(store, &revocation(Kind::Session, "b", 10)).is_err());
    }
    let line = server.ask("back", "SELECT line FROM portcullis.state");
    assert_eq!(line, "1", "one epoch for all of them");
    let store = kept.open();
    let Some(Epoch(epoch)) = store.kept().unwrap() else {
        panic!("it has one");
    };
    assert!(epoch > 7);
    assert_eq!(store.head().unwrap(), Head::EMPTY);
    revoke(&store, &revocation(Kind::Session, "b", 10)).unwrap();
    assert!(kept.replica().end().is_none());
}

/// As many commits as before, and others: only their marks tell.
#[test]
fn other_commits_with_the_same_numbers_are_noticed() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let kept = InDatabase::at(&server.database("others"));
    let store = kept.open();
    for value in ["a", "b"] {
        revoke(&store, &revocation(Kind::Session, value, 10)).unwrap();
    }
    let replace = "UPDATE portcullis.journal SET mark = decode(repeat('77', 16), 'hex')
                   WHERE commit = 2;
                   INSERT INTO portcullis.journal SELECT 3, decode(repeat('88', 16), 'hex'), content
                   FROM portcullis.journal WHERE commit = 2;
                   UPDATE portcullis.state SET commits = 3, mark = decode(repeat('88', 16), 'hex')";
    server.ask("others", replace);
    assert!(store.follow(&mut || Ok(())).unwrap_err().is_over());
    assert_eq!(kept.replica().end(), Some(End::SetBack(1)));
}

#[test]
fn tables_of_another_version_are_refused_and_none_are_made_without_the_right_to() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let url = server.database("versions");
    let address = || url.parse::<DatabaseAddress>().unwrap();
    server.ask(
        "versions",
        "CREATE ROLE weak LOGIN; REVOKE CREATE ON DATABASE versions FROM public",
    );
    let weak: DatabaseAddress = url.replace("portcullis@", "weak@").parse().unwrap();
    let refused = Database::open(weak.clone()).unwrap_err();
    let lacks_tables =
        |error: &StoreError| matches!(error, StoreError::Database(DatabaseError::NoTables(_)));
    assert!(lacks_tables(&refused), "{refused:?}");
    assert_eq!(Database::migrate(address()).unwrap(), Migrated::Made);
    assert_eq!(Database::migrate(address()).unwrap(), Migrated::Current);
    let refused = Database::open(weak.clone()).unwrap_err();
    assert!(lacks_tables(&refused), "{refused:?}");
    // As `envoy/database.md` has it.
    server.ask(
        "versions",
        "GRANT USAGE ON SCHEMA portcullis TO weak;
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA portcullis TO weak",
    );
    let kept = InDatabase::at(&url.replace("portcullis@", "weak@"));
    revoke(&kept.open(), &revocation(Kind::Session, "a", 10)).unwrap();
    // What the first version had.
    server.ask(
        "versions",
        "ALTER TABLE portcullis.state DROP COLUMN line, DROP COLUMN mark, DROP COLUMN touches,
             ADD COLUMN fence bigint, ADD COLUMN holder bytea, ADD COLUMN url text,
             ADD COLUMN lease_milliseconds bigint, ADD COLUMN renewals bigint,
             ADD COLUMN expires_at timestamptz;
         DROP TABLE portcullis.journal, portcullis.lease, portcullis.generations,
             portcullis.segments, portcullis.edges;
         UPDATE portcullis.version SET version = 1",
    );
    let refused = Database::open(address()).unwrap_err();
    let is_earlier = matches!(
        refused,
        StoreError::Database(DatabaseError::Version { found: 1, .. })
    );
    assert!(is_earlier, "{refused:?}");
    let at_work = |ends: &str| {
        server.ask(
            "versions",
            &format!(
                "UPDATE portcullis.state SET holder = '\\x01',
                 expires_at = now() + interval '{ends}'"
            ),
        );
    };
    at_work("1 minute");
    let refused = Database::migrate(address()).unwrap_err();
    let is_at_work = matches!(refused, StoreError::Database(DatabaseError::AtWork));
    assert!(is_at_work, "{refused:?}");
    at_work("-1 second");
    assert_eq!(Database::migrate(address()).unwrap(), Migrated::Updated);
    assert_eq!(Database::migrate(address()).unwrap(), Migrated::Current);
    // The rights that it was given were to the tables of then.
    let refused = Database::open(weak).unwrap_err();
    let lacks_right = matches!(refused, StoreError::Database(DatabaseError::NoRight(_)));
    assert!(lacks_right, "{refused:?}");
    let kept = InDatabase::at(&url);
    let (store, other) = (kept.open(), kept.open());
    assert!(is_revoked(&store, "a"));
    revoke(&store, &revocation(Kind::Session, "b", 10)).unwrap();
    follow(&other);
    assert!(is_revoked(&other, "b"));
    server.ask("versions", "UPDATE portcullis.version SET version = 99");
    for opened in [
        Database::open(address()).map(drop),
        Database::migrate(address()).map(drop),
    ] {
        let is_later = matches!(
            opened,
            Err(StoreError::Database(DatabaseError::Version {
                found: 99,
                ..
            }))
        );
        assert!(is_later, "{opened:?}");
    }
}

#[test]
fn there_is_one_keeper_and_another_one_when_it_leaves_or_falls_silent() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let url = server.database("keeper");
    let open = || {
        let database = Database::open(url.parse().unwrap()).unwrap();
        let (opened, replica) = Postgres::open(&database, Duration::from_secs(2)).unwrap();
        (Store::over(opened), replica)
    };
    let becomes_keeper = |store: &Store| {
        let since = Instant::now();
        while !store.is_keeper() {
            follow(store);
            assert!(since.elapsed() < Duration::from_secs(10));
            thread::sleep(Duration::from_millis(20));
        }
        since.elapsed()
    };
    let (first, of_first) = open();
    becomes_keeper(&first);
    let (second, _of_second) = open();
    let publish = |store: &Store, number| {
        follow(store);
        let generation = KeptGeneration {
            number,
            published: 0,
            description: vec![7; 100],
            segments: vec![vec![1; 1_000].into(), vec![2; 10].into()],
        };
        store.put_generation(&generation).unwrap();
        let published = store.commit(NOW, |writing| writing.publish(GenerationNumber(number)));
        (published, generation)
    };
    let (published, generation) = publish(&first, 5);
    published.unwrap();
    let found = second.generation(5).unwrap().unwrap();
    assert_eq!(
        (found.description, found.segments),
        (generation.description, generation.segments)
    );
    assert_eq!(second.generation(6).unwrap(), None);
    thread::sleep(Duration::from_secs(3));
    assert!(first.is_keeper() && !second.is_keeper());
    let (refused, _) = publish(&second, 9);
    let is_refused =
        |error: &StoreError| matches!(error, StoreError::Database(DatabaseError::NotKeeper));
    assert!(is_refused(refused.as_ref().unwrap_err()), "{refused:?}");
    // Each of them answers and writes, not only the keeper.
    follow(&second);
    revoke(&second, &revocation(Kind::Session, "a", 10)).unwrap();
    of_first.leave();
    assert!(becomes_keeper(&second) < Duration::from_secs(1));
    // A keeper that thinks it still is one.
    let take =
        "UPDATE portcullis.lease SET fence = fence + 1, holder = '\\x01', renewals = renewals + 1";
    server.ask("keeper", take);
    let (refused, _) = publish(&second, 10);
    assert!(is_refused(refused.as_ref().unwrap_err()), "{refused:?}");
}

/// As one that could not be read when it had expired, and was dropped from memory.
#[test]
fn an_entry_that_only_the_database_has_is_replaced_at_the_second_attempt() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let kept = InDatabase::at(&server.database("unread"));
    let store = kept.open();
    let name = name_of(&store, Kind::Session, "left");
    let hexadecimal = name.0.map(|byte| format!("{byte:02x}")).concat();
    let leave = format!(
        "INSERT INTO portcullis.entries (name, sequence, content)
        VALUES ('\\x{hexadecimal}', 1000, '\\x00')"
    );
    server.ask("unread", &leave);
    let both = || {
        store.commit(NOW, |writing| {
            writing.revoke(&revocation(Kind::Session, "other", 10))?;
            writing.revoke(&revocation(Kind::Session, "left", 10))
        })
    };
    let refused = both().unwrap_err();
    assert!(refused.is_passing(), "{refused:?}");
    assert!(!is_revoked(&store, "other"));
    assert_eq!(store.recover().unwrap(), []);
    assert_eq!(both().unwrap().changes.len(), 2);
    for value in ["left", "other"] {
        let name = name_of(&store, Kind::Session, value);
        assert!(is_revoked(&store, value));
        assert!(store.entry(name).unwrap().is_some(), "{value}");
    }
}
