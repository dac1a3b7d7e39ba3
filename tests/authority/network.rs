//! A network between authorities and database that breaks connections, or swallows what is sent over them.

use std::thread;
use std::time::{Duration, Instant};

use super::load::{CLIENTS, expect_revoked, first_ready, logs, times_logged, under_load};
use super::member::{LEASE, Member};
use super::patience::until;
use super::postgres::{Server, has_postgres};
use super::way::{Break, Commit, Way};

/// Each of what may become of a commit, so many times: more often in the long form, which
/// `PORTCULLIS_LONG=1` asks for.
fn rounds() -> usize {
    match std::env::var_os("PORTCULLIS_LONG") {
        Some(_) => 20,
        None => 2,
    }
}

/// An authority with a way of its own to the database.
fn start(server: &Server, database: &str) -> (Way, Member) {
    let way = Way::to(server.port());
    let store = server.url(database);
    let port = format!(":{}/", server.port());
    let member = Member::start(&store.replace(&port, &format!(":{}/", way.port())));
    (way, member)
}

/// Expects everything that was acknowledged in the database, beside what was in flight at so many
/// interruptions.
fn expect_entries(server: &Server, database: &str, acknowledged: &[String], interruptions: usize) {
    let found = server.ask(database, "SELECT count(*) FROM portcullis.entries");
    let most = acknowledged.len() + interruptions * CLIENTS;
    let found: usize = found.parse().unwrap();
    assert!((acknowledged.len()..=most).contains(&found), "{found}");
}

/// What becomes of commits, one after the other. That a connection is silent shows only after as long as a
/// statement may take, so in the short form one is.
fn interruptions() -> Vec<(Commit, Break)> {
    let mut all = Vec::new();
    for round in 0..rounds() {
        for how in [Break::Close, Break::Reset] {
            all.extend([(Commit::Lost, how), (Commit::Unanswered, how)]);
        }
        let commit = [Commit::Unanswered, Commit::Lost][round % 2];
        all.extend((round % 5 == 0).then_some((commit, Break::Silence)));
    }
    all
}

#[test]
fn nothing_acknowledged_is_lost_when_connections_break_in_the_middle_of_commits() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let _ = server.database("broken");
    let (way, member) = start(&server, "broken");
    let mut members = [member];
    let epoch = first_ready(&members).stats()["epoch"].clone();
    let acknowledged = under_load(&members, "broken", |load| {
        for (commit, how) in interruptions() {
            load.wait_for_more(5, &members);
            way.at_next_commit(commit, how);
            until(|| "a commit".to_owned(), || !way.waits_for_a_commit());
            load.wait_for_more(5, &members);
            way.reset();
        }
        load.wait_for_more(5, &members);
        // For less than the lease, and for longer.
        for silence in [LEASE / 4, LEASE * 2] {
            way.silence();
            thread::sleep(silence);
            way.pass();
            load.wait_for_more(5, &members);
        }
    });
    expect_revoked(&members, &acknowledged);
    expect_entries(&server, "broken", &acknowledged, 1);
    members[0].kill();
    members[0].start_again();
    expect_revoked(&members, &acknowledged);
    assert_eq!(members[0].stats()["epoch"], epoch);
    assert_eq!(times_logged(&members, "new epoch"), 0, "{}", logs(&members));
}

/// What it was asked meanwhile arrives when the network is back, and is of no effect.
#[test]
fn an_authority_that_is_cut_off_acknowledges_nothing_while_the_other_one_goes_on() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let _ = server.database("cut");
    let (ways, members): (Vec<_>, Vec<_>) = (0..2).map(|_| start(&server, "cut")).unzip();
    let epoch = first_ready(&members).stats()["epoch"].clone();
    let mut acknowledged = Vec::new();
    for round in 0..rounds() {
        members.iter().for_each(Member::wait_until_ready);
        let cut = round % members.len();
        let (way, member) = (&ways[cut], &members[cut]);
        let new = under_load(&members, &format!("cut {round}"), |load| {
            load.wait_for_more(10, &members);
            way.silence();
            let began = Instant::now();
            until(
                || format!("nothing is answered: {}", member.log()),
                || member.check("a").map(|answer| answer.status) == Some(503),
            );
            // Once the lease has run out, and not when the database is found not to answer.
            let took = began.elapsed();
            assert!(took < LEASE + Duration::from_secs(3), "{took:?}");
            load.wait_for_more(20, &members);
            let late = member.revoke_within(LEASE, &format!("late {round}"));
            assert_ne!(late, Some(200), "{}", member.log());
            way.pass();
            load.wait_for_more(10, &members);
        });
        member.wait_until_ready();
        expect_revoked(&members, &new);
        acknowledged.extend(new);
        // Beside what was in flight, what was asked of the one that was cut off.
        expect_entries(&server, "cut", &acknowledged, 2 * (round + 1));
    }
    expect_revoked(&members, &acknowledged);
    assert_eq!(first_ready(&members).stats()["epoch"], epoch);
    assert_eq!(times_logged(&members, "new epoch"), 0, "{}", logs(&members));
}
