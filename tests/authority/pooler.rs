//! A pooler in transaction mode between authorities and database: each transaction may be sent over another
//! connection, and fewer of them are there than the authorities have.

use std::thread;

use super::import::lines_named;
use super::load::{expect_revoked, first_ready, logs, times_logged, under_load};
use super::member::Member;
use super::patience::until;
use super::postgres::{Pooler, Server, has_pooler};
use super::process::{ISSUER, directory};

/// Connections of the pooler to the database.
const CONNECTIONS: usize = 2;

/// Authorities on the database.
const AUTHORITIES: usize = 2;

/// What a session has that nothing was left in by an earlier one.
const LEFT: &str = "SELECT current_setting('statement_timeout'), current_setting('lock_timeout'),
    current_setting('idle_in_transaction_session_timeout'), current_setting('synchronous_commit'),
    current_setting('transaction_isolation'), current_setting('transaction_read_only'),
    (SELECT count(*) FROM pg_prepared_statements), (SELECT count(*) FROM pg_cursors),
    (SELECT count(*) FROM pg_listening_channels()),
    (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory')";
const NOTHING: &str = "0|0|0|off|read committed|off|0|0|0|0";

#[test]
fn authorities_work_behind_a_pooler_in_transaction_mode_and_leave_nothing_in_its_connections() {
    if !has_pooler() {
        return;
    }
    let mut server = Server::start();
    let _ = server.database("pooled");
    let mut pooler = Pooler::before(&server, CONNECTIONS);
    let store = pooler.url("pooled");
    let mut members: Vec<_> = (0..AUTHORITIES).map(|_| Member::start(&store)).collect();
    let epoch = first_ready(&members).stats()["epoch"].clone();

    // Writers and readers at the same time, more of them than there are connections.
    let mut acknowledged = under_load(&members, "beside readers", |load| {
        let member = first_ready(&members);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        assert_eq!(member.status("/v1/revocations"), 200, "{}", member.log());
                    }
                });
            }
        });
        load.wait_for_more(50, &members);
        let opened = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'pooled' \
                      AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        let opened: usize = server.ask("pooled", opened).parse().unwrap();
        assert!((1..=CONNECTIONS).contains(&opened), "{opened}");
    });
    commands(first_ready(&members));
    for _ in 0..4 * CONNECTIONS {
        assert_eq!(pooler.ask("pooled", LEFT), NOTHING);
    }

    // Pooler, database and authority end and come back, one after the other.
    let new = under_load(&members, "restarts", |load| {
        load.wait_for_more(10, &members);
        pooler.kill();
        pooler.restart();
        load.wait_for_more(10, &members);
        server.kill();
        server.restart();
        load.wait_for_more(10, &members);
        first_ready(&members).signal("KILL");
        load.wait_for_more(10, &members);
    });
    acknowledged.extend(new);
    expect_revoked(&members, &acknowledged);
    for member in &mut members {
        member.kill();
        member.start_again();
    }
    expect_revoked(&members, &acknowledged);
    assert_eq!(first_ready(&members).stats()["epoch"], epoch);
    assert_eq!(times_logged(&members, "new epoch"), 0, "{}", logs(&members));
}

/// What the command line does, all of it over the pooler.
fn commands(member: &Member) {
    let run = |arguments: &[&str]| {
        let (code, text) = member.command(arguments);
        let first = text.lines().next().unwrap_or_default().to_owned();
        (code, first)
    };
    let session = ["session", "s", "--issuer", ISSUER];
    let with = |verb: &'static str| run(&[&[verb][..], &session].concat());
    let said = |code: i32, text: &str| (Some(code), text.to_owned());
    assert_eq!(with("check"), said(0, "not revoked"));
    assert_eq!(with("revoke"), said(0, "revoked"));
    assert_eq!(with("check"), said(1, "revoked by session"));
    let (code, line) = with("list");
    assert!(
        code == Some(0) && line.contains("revoked  session  s"),
        "{line}"
    );
    assert_eq!(with("restore"), said(0, "not revoked any more"));
    assert_eq!(with("check"), said(0, "not revoked"));
    let files = directory();
    let file = files.path().join("lines");
    std::fs::write(&file, lines_named("imported", 3_000)).unwrap();
    let (code, text) = member.command(&["import", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{text}");
    assert!(member.is_revoked("imported0") && member.is_revoked("imported2999"));
    until(
        || member.log(),
        || member.status("/v1/feed/manifest") == 200,
    );
}

/// The session that one of them gets may be one that was asked for the tables before there were any.
#[test]
fn authorities_that_start_on_an_empty_database_at_the_same_time_make_the_tables_once() {
    const STARTED: usize = 5;
    if !has_pooler() {
        return;
    }
    let server = Server::start();
    let pooler = Pooler::before(&server, CONNECTIONS);
    for round in 0..3 {
        let database = format!("made{round}");
        let _ = server.database(&database);
        let store = pooler.url(&database);
        let members: Vec<_> = (0..STARTED).map(|_| Member::start(&store)).collect();
        members.iter().for_each(Member::wait_until_ready);
        assert_eq!(times_logged(&members, "made the tables"), 1);
    }
}
