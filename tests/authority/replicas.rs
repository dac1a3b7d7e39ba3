//! Several authorities on one PostgreSQL database, all of which answer and write.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::import::lines_named;
use super::member::{LEASE, Member};
use super::patience::until;
use super::postgres::{Server, has_postgres};
use super::process::{Answer, directory, revocation};
use super::token::ISSUER;
use super::transmitter::now;
use super::way::Way;

/// Three of them, ready.
fn three(store: &str) -> Vec<Member> {
    let members: Vec<Member> = (0..3).map(|_| Member::start(store)).collect();
    members.iter().for_each(Member::wait_until_ready);
    members
}

#[track_caller]
fn comes_to_know(members: &[Member], value: &str, is_revoked: bool) {
    for member in members {
        until(
            || format!("{value}: {}", member.log()),
            || member.is_revoked(value) == is_revoked,
        );
    }
}

/// One that is ready, and looks only so often what others have written, unless it is asked by one who knows more.
fn start_slow(store: &str, interval: &str) -> Member {
    let arguments = ["--lease", "10s", "--follow-interval", interval];
    let member = Member::start_in(directory(), store, &arguments);
    member.wait_until_ready();
    member
}

fn is_keeper(member: &Member) -> bool {
    let page = member.get("/metrics").text();
    page.lines().any(|line| line == "portcullis_keeper 1")
}

#[test]
fn each_of_three_answers_and_writes_and_all_tell_edges_the_same() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let members = three(&server.database("three"));
    let [first, second, third] = &members[..] else {
        panic!("three");
    };
    assert_eq!(first.revoke("a"), Some(200));
    assert_eq!(second.revoke("b"), Some(200));
    let entry = second.get(&format!("/v1/revocations?issuer={ISSUER}&value=a"));
    let fingerprint = entry.json()["entries"][0]["id"].clone();
    assert!(fingerprint.is_string(), "{entry:?}");
    comes_to_know(&members, "a", true);
    comes_to_know(&members, "b", true);
    let rotated = third.post("/v1/feed/keys", &json!({"overlap_seconds": 3600}));
    assert_eq!(rotated.unwrap().status, 200);
    let facts = |member: &Member| {
        let stats = member.stats();
        ["entries", "sequence", "epoch", "feed_keys", "generation"].map(|name| stats[name].clone())
    };
    until(
        || format!("{:?}", members.iter().map(facts).collect::<Vec<_>>()),
        || facts(first) == facts(second) && facts(first) == facts(third),
    );
    let [.., keys, generation] = facts(first);
    assert_eq!(keys.as_array().map(Vec::len), Some(2));
    let path = format!("/v1/feed/segments/{}/0", generation["number"]);
    let segments: Vec<Answer> = members.iter().map(|member| member.get(&path)).collect();
    assert!(segments.iter().all(|answer| answer.status == 200));
    assert!(
        segments
            .iter()
            .all(|answer| answer.bytes == segments[0].bytes)
    );
    let backup = second.post("/v1/backup", &json!({})).unwrap();
    assert_eq!(
        (backup.status, &backup.json()["code"]),
        (409, &json!("backup_elsewhere"))
    );
    let keepers = members.iter().filter(|member| is_keeper(member)).count();
    assert_eq!(keepers, 1);
}

/// The keys that the second one would put others in place of are not those that it knows.
#[test]
fn of_two_rotations_at_the_same_time_one_is_refused_and_no_key_is_lost() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let store = server.database("rotated");
    let quick = Member::start(&store);
    quick.wait_until_ready();
    let slow = start_slow(&store, "1500ms");
    let has_just_followed = || {
        let page = slow.get("/metrics").text();
        let mut lines = page.lines();
        let age = lines.find_map(|line| line.strip_prefix("portcullis_store_age_seconds "));
        age.unwrap().parse::<f64>().unwrap() < 0.3
    };
    let rotate = |member: &Member| {
        let request = json!({"overlap_seconds": 3600});
        member.post("/v1/feed/keys", &request).unwrap()
    };
    let keys = |member: &Member| member.stats()["feed_keys"].clone();
    until(|| slow.log(), has_just_followed);
    let rotated = rotate(&quick);
    assert_eq!(rotated.status, 200, "{rotated:?}");
    let refused = rotate(&slow);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("keys_changed"))
    );
    until(|| slow.log(), || keys(&slow) == rotated.json());
    assert_eq!(rotate(&slow).status, 200);
    until(
        || quick.log(),
        || keys(&quick).as_array().map(Vec::len) == Some(3),
    );
}

/// No other one waits for it, and what only one does is done by another one.
#[test]
fn when_the_keeper_dies_the_others_go_on_and_one_of_them_takes_its_place() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let mut members = three(&server.database("keepers"));
    assert_eq!(members[0].revoke("before"), Some(200));
    let keeper = members.iter().position(is_keeper).unwrap();
    let mut keeper = members.remove(keeper);
    keeper.kill();
    let began = Instant::now();
    assert_eq!(members[0].revoke("at once"), Some(200));
    assert!(began.elapsed() < Duration::from_secs(1));
    comes_to_know(&members, "before", true);
    until(|| members[0].log(), || members.iter().any(is_keeper));
    assert!(began.elapsed() < LEASE + Duration::from_secs(5));
    keeper.start_again();
    keeper.wait_until_ready();
    comes_to_know(&[keeper], "at once", true);
    // One that is told to stop lets go of the lease.
    let keeper = members.iter().position(is_keeper).unwrap();
    members.remove(keeper).stop();
    let began = Instant::now();
    assert_eq!(members[0].revoke("then"), Some(200));
    assert!(began.elapsed() < LEASE);
}

/// Whatever an authority is asked that knows less than the asker, it never says that what is revoked is not,
/// and begins no epoch.
#[test]
fn an_authority_that_is_behind_is_never_believed_further_than_it_has_come() {
    const ROUNDS: usize = 40;
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let store = server.database("behind");
    let quick = Member::start(&store);
    quick.wait_until_ready();
    let slow = start_slow(&store, "300ms");
    let epoch = quick.stats()["epoch"].as_u64().unwrap();
    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        let value = round.to_string();
        let revoked = quick.post("/v1/revocations", &revocation("session", &value));
        let sequence = revoked.unwrap().json()["sequence"].as_u64().unwrap();
        let began = Instant::now();
        let asked = json!({"issuer": ISSUER, "sid": value, "epoch": epoch, "at_least": sequence});
        let checked = slow.post("/v1/check", &asked).unwrap();
        longest = longest.max(began.elapsed());
        assert_eq!(checked.status, 200, "{checked:?}");
        assert_eq!(checked.json()["revoked"], true, "round {round}");
        // A poll of an edge that has been told so by the other one.
        let path = format!("/v1/feed/deltas?epoch={epoch}&after={sequence}&wait=0");
        let poll = slow.get(&path);
        assert_eq!(poll.status, 200, "round {round}: {poll:?}");
    }
    assert!(longest < Duration::from_secs(1), "{longest:?}");
    // What the database does not know either is gone, and, without proof, begins no epoch.
    let ahead = slow.get(&format!("/v1/feed/deltas?epoch={epoch}&after=9999&wait=0"));
    assert_eq!(ahead.status, 410);
    for member in [&quick, &slow] {
        assert_eq!(member.stats()["epoch"], epoch);
        assert!(!member.log().contains("new epoch"), "{}", member.log());
    }
}

/// Edges know a change by its number, so what an authority could be wrong about without one is a change.
#[test]
fn an_authority_that_is_behind_takes_nothing_to_have_ended_that_is_kept_for_longer() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let store = server.database("longer");
    let quick = ["--danger-expiry-margin", "0s"];
    let quick = Member::start_in(directory(), &store, &quick);
    let slow = [
        "--danger-expiry-margin",
        "0s",
        "--follow-interval",
        "10s",
        "--lease",
        "1m",
    ];
    let slow = Member::start_in(directory(), &store, &slow);
    for member in [&quick, &slow] {
        member.wait_until_ready();
    }
    let epoch = quick.stats()["epoch"].as_u64().unwrap();
    for round in 0..3 {
        let value = format!("longer-{round}");
        let end = now() + 3;
        let revoke = |expires_at: u64| {
            let mut request = revocation("session", &value);
            request["expires_at"] = json!(expires_at);
            let revoked = quick.post("/v1/revocations", &request).unwrap().json();
            revoked["sequence"].as_u64().unwrap()
        };
        let check = |sequence: u64| {
            let asked =
                json!({"issuer": ISSUER, "sid": value, "epoch": epoch, "at_least": sequence});
            slow.post("/v1/check", &asked).unwrap().json()
        };
        let known = check(revoke(end));
        assert_eq!(known["revoked"], true, "{known}");
        let sequence = revoke(end + 3_600);
        // Times are whole seconds, and what ends in one has ended when it begins.
        until(String::new, || now() >= end);
        let longer = check(sequence);
        assert_eq!(longer["revoked"], true, "{longer}");
    }
}

/// Not with another one, which would wait for its turn again.
#[test]
fn what_comes_in_while_an_authority_waits_for_its_turn_is_in_the_same_commit() {
    const LATER: usize = 20;
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let member = Member::start(&server.database("turn"));
    member.wait_until_ready();
    let ask = |statement: &str| server.ask("turn", statement);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    let commits = || ask("SELECT commits FROM portcullis.state").parse::<u64>();
    let before = commits().unwrap();
    let answers: Vec<Option<u16>> = thread::scope(|scope| {
        // As another authority whose commit takes a while.
        scope.spawn(|| ask("SELECT 1 FROM portcullis.state FOR UPDATE; SELECT pg_sleep(3)"));
        let locked = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        until(String::new, || ask(locked) == "1");
        let first = scope.spawn(|| member.revoke("first"));
        until(|| member.log(), || ask(waiting) == "1");
        let revoke = |number: usize| member.revoke(&number.to_string());
        let later: Vec<_> = (0..LATER)
            .map(|number| scope.spawn(move || revoke(number)))
            .collect();
        let all = [first].into_iter().chain(later);
        all.map(|answer| answer.join().unwrap()).collect()
    });
    assert!(
        answers.iter().all(|status| *status == Some(200)),
        "{answers:?}"
    );
    assert_eq!(commits().unwrap(), before + 1);
}

/// What is asked for may have come after the look that is under way began.
#[test]
fn one_that_is_asked_while_it_looks_looks_once_more_at_once() {
    const ROUNDS: usize = 10;
    const DELAY: u64 = 15;
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let quick = Member::start(&server.database("asked"));
    quick.wait_until_ready();
    let way = Way::to(server.port());
    way.delay(DELAY);
    let slow = start_slow(
        &format!("postgres://portcullis@127.0.0.1:{}/asked", way.port()),
        "5s",
    );
    let epoch = quick.stats()["epoch"].as_u64().unwrap();
    let revoke = |value: &str| {
        let revoked = quick.post("/v1/revocations", &revocation("session", value));
        revoked.unwrap().json()["sequence"].as_u64().unwrap()
    };
    let check = |value: &str, sequence: u64| {
        let asked = json!({"issuer": ISSUER, "sid": value, "epoch": epoch, "at_least": sequence});
        slow.post("/v1/check", &asked).unwrap().status
    };
    let mut answered = 0;
    for round in 0..ROUNDS {
        let (first, second) = (format!("first {round}"), format!("second {round}"));
        let sequence = revoke(&first);
        thread::scope(|scope| {
            scope.spawn(|| check(&first, sequence));
            // The look that this has begun is on its way, or on its way back.
            thread::sleep(Duration::from_millis(DELAY));
            let sequence = revoke(&second);
            answered += usize::from(check(&second, sequence) == 200);
        });
    }
    assert!(answered >= ROUNDS * 8 / 10, "{answered}");
}

/// An edge's requests go to two authorities in turn, of which one has what the other writes only when it looks.
#[test]
fn ten_thousand_polls_and_checks_that_alternate_hear_nothing_from_the_past() {
    const REQUESTS: usize = 10_000;
    const VALUES: usize = 50;
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let store = server.database("alternate");
    let members = [Member::start(&store), start_slow(&store, "500ms")];
    members.iter().for_each(Member::wait_until_ready);
    let epoch = members[0].stats()["epoch"].as_u64().unwrap();
    let mut revoked = [false; VALUES];
    let mut sequence = 0;
    let (mut lagged, mut refused) = (0, 0);
    for request in 0..REQUESTS {
        let (asked, other) = (&members[request % 2], &members[(request / 2) % 2]);
        if request % 10 == 0 {
            let value = (request / 10) % VALUES;
            let path = ["/v1/revocations", "/v1/restorations"][usize::from(revoked[value])];
            let answer = other.post(path, &revocation("session", &value.to_string()));
            assert_eq!(answer.as_ref().map(|answer| answer.status), Some(200));
            revoked[value] = !revoked[value];
            sequence += 1;
            lagged += usize::from(members[1].stats()["sequence"] != sequence);
        }
        if request % 4 < 2 {
            let path = format!("/v1/feed/deltas?epoch={epoch}&after={sequence}&wait=0");
            let poll = asked.get(&path);
            assert_eq!(poll.status, 200, "request {request}: {poll:?}");
            continue;
        }
        let value = (request * 7) % VALUES;
        let check = json!({
            "issuer": ISSUER, "sid": value.to_string(), "epoch": epoch, "at_least": sequence,
        });
        let answer = asked.post("/v1/check", &check).unwrap();
        assert_eq!(answer.status, 200, "request {request}: {answer:?}");
        assert_eq!(
            answer.json()["revoked"],
            revoked[value],
            "request {request}"
        );
        refused += usize::from(revoked[value]);
    }
    assert!(lagged > 100 && refused > 1_000, "{lagged}, {refused}");
    for member in &members {
        let stats = member.stats();
        assert_eq!(
            (&stats["epoch"], &stats["sequence"]),
            (&epoch.into(), &sequence.into())
        );
    }
}

/// Its poll is held for as long as nothing changes, so what is noted when it comes in is what is told of it.
#[test]
fn an_edge_that_is_further_than_the_authority_it_polls_is_seen_where_it_is() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let store = server.database("further");
    let quick = Member::start(&store);
    quick.wait_until_ready();
    let slow = start_slow(&store, "500ms");
    let epoch = quick.stats()["epoch"].as_u64().unwrap();
    for sequence in 1..=5 {
        let value = sequence.to_string();
        assert_eq!(quick.revoke(&value), Some(200));
        let path = format!("/v1/feed/deltas?epoch={epoch}&after={sequence}&wait=0");
        let request = slow.agent.get(format!("{}{path}", slow.url));
        let poll = Answer::of(
            request
                .header("portcullis-edge", "1 0.1.0 170 5 7 west")
                .call(),
        );
        assert_eq!(poll.status, 200, "{poll:?}");
        let edge = slow.get("/v1/edges").json()["edges"][0].clone();
        assert_eq!(edge["sequence"], sequence, "{edge}");
    }
}

#[test]
fn one_that_was_paused_answers_nothing_from_the_past() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let store = server.database("paused");
    let members: Vec<Member> = (0..2).map(|_| Member::start(&store)).collect();
    members.iter().for_each(Member::wait_until_ready);
    for round in 0..3 {
        let (paused, other) = (&members[round % 2], &members[(round + 1) % 2]);
        paused.signal("STOP");
        let (meanwhile, late) = (format!("meanwhile {round}"), format!("late {round}"));
        assert_eq!(other.revoke(&meanwhile), Some(200));
        thread::sleep(LEASE + Duration::from_millis(500));
        // Sent while it is paused, so that it is the first thing that it reads.
        let (written, checked) = thread::scope(|scope| {
            let write = scope.spawn(|| paused.revoke(&late));
            let check = scope.spawn(|| paused.check(&meanwhile));
            thread::sleep(Duration::from_millis(100));
            paused.signal("CONT");
            (write.join().unwrap(), check.join().unwrap())
        });
        let checked = checked.unwrap();
        let is_right = checked.status == 503 || checked.json()["revoked"] == true;
        assert!(is_right, "{checked:?}");
        paused.wait_until_ready();
        assert!(matches!(written, Some(200 | 503)), "{written:?}");
        for member in &members {
            until(|| member.log(), || member.is_revoked(&meanwhile));
            until(
                || member.log(),
                || written != Some(200) || member.is_revoked(&late),
            );
        }
    }
}

/// The edges of one are seen and waited for by another one.
#[test]
fn edges_are_seen_by_all_authorities_and_waited_for() {
    const HEADER: &str = "1 0.1.0 170 5 7 west";
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let members = three(&server.database("edges"));
    let (polled, asked) = (&members[0], &members[1]);
    // Longer than an edge may need to come back after a start.
    thread::sleep(Duration::from_secs(16));
    let epoch = polled.stats()["epoch"].as_u64().unwrap();
    let poll = |after: u64, wait: u64| {
        let path = format!("/v1/feed/deltas?epoch={epoch}&after={after}&wait={wait}");
        let request = polled.agent.get(format!("{}{path}", polled.url));
        Answer::of(request.header("portcullis-edge", HEADER).call())
    };
    assert_eq!(poll(0, 0).status, 200);
    until(
        || asked.log(),
        || asked.get("/v1/edges").json()["edges"][0]["instance"] == "west",
    );
    let wait = |value: &str, wait: &str| -> Value {
        let mut request = revocation("session", value);
        request["wait"] = wait.into();
        asked.post("/v1/revocations", &request).unwrap().json()["edges"].clone()
    };
    let lacking = wait("a", "PT1S");
    assert_eq!(
        (&lacking["complete"], &lacking["seen"]),
        (&json!(false), &json!(1))
    );
    assert_eq!(lacking["lacking"][0]["instance"], "west");
    let reach = thread::scope(|scope| {
        let reach = scope.spawn(|| wait("b", "PT10S"));
        // It has it, and says so with its next poll.
        until(|| polled.log(), || polled.stats()["sequence"] == 2);
        assert_eq!(poll(0, 0).status, 200);
        assert_eq!(poll(2, 0).status, 200);
        reach.join().unwrap()
    });
    assert_eq!(
        (&reach["complete"], &reach["having"]),
        (&json!(true), &json!(1)),
        "{reach}"
    );
}

/// It is done once, and by another authority where the one that has begun it is gone.
#[test]
fn an_import_is_one_for_all_authorities_and_finished_by_another_one() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let mut members = three(&server.database("imports"));
    let keeper = members.iter().position(is_keeper).unwrap();
    let mut begun_at = members.remove(usize::from(keeper == 0));
    let lines = lines_named("left", 9_000);
    let address = begun_at.url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST /v1/import HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
         content-length: {}\r\n\r\n",
        lines.len() + 1
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(lines.as_bytes()).unwrap();
    let staged = || server.ask("imports", "SELECT count(*) FROM portcullis.staged");
    until(staged, || staged() == "1");
    let import = |lines: &str| {
        let request = members[0]
            .agent
            .post(format!("{}/v1/import", members[0].url));
        let request = request.content_type("application/x-ndjson");
        Answer::of(request.send(lines.as_bytes()))
    };
    let refused = import(&lines_named("other", 3));
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (409, &json!("import_in_progress"))
    );
    begun_at.kill();
    // Nothing of it was declared complete, so it is thrown away, and the area is free again.
    let began = Instant::now();
    let mut imported = import(&lines_named("other", 3));
    while imported.status != 200 {
        assert!(began.elapsed() < Duration::from_mins(1), "{imported:?}");
        thread::sleep(Duration::from_millis(300));
        imported = import(&lines_named("other", 3));
    }
    comes_to_know(&members, "other2", true);
    assert!(!members[0].is_revoked("left1"));
    assert_eq!(staged(), "0");
}
