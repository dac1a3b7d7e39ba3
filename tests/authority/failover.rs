//! A database whose standby takes its place, with everything that was acknowledged or without the last of it.

use portcullis::revocation::{Batch, FeedKeys};
use serde_json::{Value, json};

use super::load::{CLIENTS, expect_revoked, first_ready, logs, times_logged, under_load};
use super::member::{LEASE, Member};
use super::patience::until;
use super::postgres::{Pair, Server, has_postgres};
use super::process::{ISSUER, public_key};

/// Failovers in a row: 10 in the long form, which `PORTCULLIS_LONG=1` asks for.
fn rounds() -> usize {
    match std::env::var_os("PORTCULLIS_LONG") {
        Some(_) => 10,
        None => 3,
    }
}

/// Authorities on the database.
const AUTHORITIES: usize = 3;

fn start(store: &str) -> Vec<Member> {
    (0..AUTHORITIES).map(|_| Member::start(store)).collect()
}

fn entries(server: &Server, database: &str) -> usize {
    let count = server.ask(database, "SELECT count(*) FROM portcullis.entries");
    count.parse().unwrap()
}

/// In every other round, an authority is killed together with the server. In the end, one that has nothing but
/// what is in the database has to know everything.
#[test]
fn nothing_acknowledged_is_lost_in_a_failover_to_a_synchronous_standby() {
    if !has_postgres() {
        return;
    }
    let mut pair = Pair::synchronous();
    let mut members = start(&pair.database("failover"));
    let epoch = first_ready(&members).stats()["epoch"].clone();
    let mut acknowledged: Vec<String> = Vec::new();
    for round in 0..rounds() {
        let dies_too = round % 2 == 1;
        let new = under_load(&members, &round.to_string(), |load| {
            load.wait_for_more(20, &members);
            if dies_too {
                first_ready(&members).signal("KILL");
            }
            pair.fail_over();
            load.wait_for_more(20, &members);
        });
        acknowledged.extend(new);
        expect_revoked(&members, &acknowledged);
        // What was in flight may be there too, one for each client and round.
        let found = entries(&pair.primary, "failover");
        let most = acknowledged.len() + (round + 1) * CLIENTS;
        assert!((acknowledged.len()..=most).contains(&found), "{found}");
        for member in &mut members {
            if member.has_ended() {
                member.start_again();
            }
        }
        pair.replace_standby();
    }
    for member in &mut members {
        member.kill();
    }
    members[0].start_again();
    expect_revoked(&members[..1], &acknowledged);
    assert_eq!(members[0].stats()["epoch"], epoch);
    assert_eq!(times_logged(&members, "new epoch"), 0, "{}", logs(&members));
}

/// A commit waits for the standby for as long as there is none, which may be hours: its caller is not told that
/// it is done, and what is known already is answered from.
#[test]
fn nothing_is_acknowledged_while_a_synchronous_standby_is_away_and_checks_go_on() {
    if !has_postgres() {
        return;
    }
    let mut pair = Pair::synchronous();
    let members = start(&pair.database("waiting"));
    members.iter().for_each(Member::wait_until_ready);
    assert_eq!(members[0].revoke("before"), Some(200));
    pair.lose_standby();
    // The other one waits for the row that the first one has locked.
    for member in &members[..2] {
        let waiting = member.revoke_within(LEASE, "waiting");
        assert_ne!(waiting, Some(200), "{}", member.log());
    }
    // For longer than the lease.
    for member in &members {
        assert!(member.is_revoked("before") && !member.is_revoked("waiting"));
        assert_eq!(member.ready(), "ready\n");
    }
    pair.standby.restart();
    for (number, member) in members.iter().enumerate() {
        until(
            || format!("a revocation: {}", logs(&members)),
            || member.revoke(&format!("after {number}")) == Some(200),
        );
    }
    expect_revoked(&members, &["before".to_owned(), "after 0".to_owned()]);
    assert_eq!(times_logged(&members, "new epoch"), 0, "{}", logs(&members));
}

/// An edge that has been told of everything that one authority knows.
struct Edge {
    epoch: u64,
    after: u64,
    chain: String,
    evidence: String,
}

impl Edge {
    fn of(member: &Member) -> Self {
        let stats = member.stats();
        let keys = stats["feed_keys"].as_array().unwrap().iter();
        let keys = keys.map(|key| public_key(key["public_key"].as_str().unwrap()));
        let epoch = stats["epoch"].as_u64().unwrap();
        let answer = member.get(&format!(
            "/v1/feed/deltas?epoch={epoch}&after=0&nonce=1&wait=0"
        ));
        let batch = Batch::decode(&answer.bytes, &FeedKeys::new(keys.collect())).unwrap();
        Self {
            epoch,
            after: batch.through(),
            chain: batch.chain_through().to_text(),
            evidence: batch.evidence.to_text(),
        }
    }

    /// The status of a poll, with the evidence for what it knows; `None` where nothing answers.
    fn poll(&self, member: &Member) -> Option<u16> {
        let Self {
            epoch,
            after,
            chain,
            evidence,
        } = self;
        let answer = member.try_get(&format!(
            "/v1/feed/deltas?epoch={epoch}&after={after}&chain={chain}&evidence={evidence}\
             &nonce=1&wait=0"
        ));
        answer.map(|answer| answer.status)
    }

    /// Status and code of a check by it.
    fn check(&self, member: &Member, value: &str) -> (u16, Value) {
        let check = json!({"issuer": ISSUER, "sid": value, "epoch": self.epoch,
            "at_least": self.after});
        let answer = member.post("/v1/check", &check).unwrap();
        (answer.status, answer.json()["code"].clone())
    }
}

#[test]
fn a_failover_that_loses_revocations_begins_one_epoch_and_goes_on_with_the_others() {
    const KEPT: usize = 20;
    const LOST: usize = 5;
    if !has_postgres() {
        return;
    }
    let mut pair = Pair::asynchronous();
    let members = start(&pair.database("loss"));
    let first = first_ready(&members);
    let revoke = |what: &str, count: usize| -> Vec<String> {
        let values: Vec<_> = (0..count)
            .map(|number| format!("{what} {number}"))
            .collect();
        let are_acknowledged = values.iter().all(|value| first.revoke(value) == Some(200));
        assert!(are_acknowledged, "{}", first.log());
        values
    };
    let kept = revoke("kept", KEPT);
    pair.cut_off_standby();
    let lost = revoke("lost", LOST);
    let edge = Edge::of(first);
    assert_eq!(edge.after, (KEPT + LOST) as u64);
    pair.fail_over();
    let epoch = new_epoch(&members, &edge, &kept);
    // The edge is told to load everything anew, and gets no answer that does not know what it knows.
    let member = first_ready(&members);
    assert_eq!(edge.poll(member), Some(410));
    let (status, code) = edge.check(member, &lost[0]);
    assert_eq!((status, code), (503, json!("feed_other_epoch")));
    assert_eq!(member.status("/v1/feed/manifest"), 200);
    expect_revoked(&members, &kept);
    let is_lost = |value: &String| !member.is_revoked(value);
    assert!(
        lost.iter().all(is_lost),
        "the standby had what was to be lost"
    );
    let logged = logs(&members);
    let line = "the database lacks commits that it had acknowledged";
    let lines: Vec<_> = logged.lines().filter(|text| text.contains(line)).collect();
    // The one that notices may not have heard of the last of them.
    let is_counted = |count| lines[0].contains(&format!("\"commits\":{count},"));
    assert!(lines.len() == 1 && (1..=LOST).any(is_counted), "{logged}");
    let metric = format!("portcullis_feed_epoch {epoch}\n");
    let page = member.get("/metrics").text();
    assert!(page.contains(&metric), "{page}");

    let (code, text) = member.command(&["revoke", "session", &lost[0], "--issuer", ISSUER]);
    assert!(code == Some(0) && text.starts_with("revoked\n"), "{text}");
    assert!(member.is_revoked(&lost[0]));
    pair.replace_standby();
    assert_eq!(edge.poll(first_ready(&members)), Some(410));
    assert_eq!(first_ready(&members).stats()["epoch"], epoch);
    assert_eq!(times_logged(&members, "new epoch begins"), 1);
}

/// Waits for an epoch after the edge's, which goes on polling meanwhile. Until then and afterwards, no
/// authority says of a session that is revoked in the database that it is not.
fn new_epoch(members: &[Member], edge: &Edge, revoked: &[String]) -> u64 {
    let (mut found, mut asked) = (None, 0);
    until(
        || format!("a new epoch: {}", logs(members)),
        || {
            for member in members {
                edge.poll(member);
                asked += 1;
                let value = &revoked[asked % revoked.len()];
                if let Some(answer) = member.check(value).filter(|answer| answer.status == 200) {
                    assert_eq!(answer.json()["revoked"], true, "{value}");
                }
                let stats = member.try_get("/v1/stats");
                if let Some(stats) = stats.filter(|stats| stats.status == 200) {
                    let epoch = stats.json()["epoch"].as_u64().unwrap();
                    found = (epoch > edge.epoch).then_some(epoch).or(found);
                }
            }
            found.is_some()
        },
    );
    found.unwrap()
}
