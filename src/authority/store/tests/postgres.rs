//! What only the engine on PostgreSQL promises, on a real server.

use std::thread;
use std::time::Duration;

use tokio::sync::watch;

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

#[test]
fn what_has_lost_its_lease_writes_nothing_and_answers_nothing() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let kept = InDatabase::at(&server.database("fenced"));
    let store = kept.open();
    revoke(&store, &revocation(Kind::Session, "a", 10)).unwrap();
    store.check_sole().unwrap();
    // What another authority does, whose clock says that the lease has run out.
    let take =
        "UPDATE portcullis.state SET fence = fence + 1, holder = '\\x01', renewals = renewals + 1";
    server.ask("fenced", take);
    let refused = revoke(&store, &revocation(Kind::Session, "b", 10)).unwrap_err();
    let is_taken =
        |error: &StoreError| matches!(error, StoreError::Database(DatabaseError::TakenOver));
    assert!(is_taken(&refused), "{refused:?}");
    assert!(is_taken(&store.recover().unwrap_err()));
    assert!(is_taken(&store.check_sole().unwrap_err()));
    assert_eq!(
        server.ask("fenced", "SELECT sequence FROM portcullis.state"),
        "1"
    );
    assert_eq!(
        server.ask("fenced", "SELECT count(*) FROM portcullis.entries"),
        "1"
    );
}

#[test]
fn a_database_that_was_set_back_begins_a_new_epoch() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let kept = InDatabase::at(&server.database("back"));
    let store = kept.open();
    store
        .commit(NOW, |writing| writing.keep(&Epoch(7)))
        .unwrap();
    revoke(&store, &revocation(Kind::Session, "a", 10)).unwrap();
    // What a failover leaves that has lost the last commit.
    let lose = "UPDATE portcullis.state SET commits = 1, sequence = 0, \
                chain = decode(repeat('00', 32), 'hex');
                DELETE FROM portcullis.entries; DELETE FROM portcullis.log";
    server.ask("back", lose);
    let refused = revoke(&store, &revocation(Kind::Session, "b", 10)).unwrap_err();
    let is_back = matches!(refused, StoreError::Database(DatabaseError::SetBack(1)));
    assert!(is_back, "{refused:?}");
    assert_eq!(kept.end(), End::SetBack(1));
    let store = kept.open();
    let Some(Epoch(epoch)) = store.kept().unwrap() else {
        panic!("it has one");
    };
    assert!(epoch > 7);
    assert_eq!(store.head().unwrap(), Head::EMPTY);
    revoke(&store, &revocation(Kind::Session, "b", 10)).unwrap();
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

/// The other one waits for as long as the lease runs, and no longer than it has to.
#[test]
fn the_lease_passes_on_when_it_is_let_go_of_and_not_before() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let url = server.database("lease");
    let kept = InDatabase::at(&url);
    let store = kept.open();
    let database = Database::open(url.parse().unwrap()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let lease = Duration::from_secs(2);
    let (watching, _) = watch::channel(Standby::Starting);
    let waiting = runtime.spawn(async move { database.stand_by(lease, watching).await });
    thread::sleep(Duration::from_secs(4));
    assert!(!waiting.is_finished(), "the first one is at work");
    revoke(&store, &revocation(Kind::Session, "a", 10)).unwrap();
    kept.release();
    let taken = runtime.block_on(waiting).unwrap().unwrap();
    let other = Store::over(Postgres::open(&taken).unwrap());
    assert_eq!(other.head().unwrap().sequence, 1);
    assert!(revoke(&store, &revocation(Kind::Session, "b", 10)).is_err());
    revoke(&other, &revocation(Kind::Session, "b", 10)).unwrap();
    taken.release();
}
