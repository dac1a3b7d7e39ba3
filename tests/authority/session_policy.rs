//! Sessions that end by themselves: idle, too old, too many.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use super::keys::jwks;
use super::process::{Authority, ISSUER, directory, until};

/// Milliseconds within which the edge of these tests reports again.
const INTERVAL: u64 = 300;

/// The idle timeout.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A second less.
const SHORTER: Duration = Duration::from_secs(2);

fn start(directory: &Path, policy: &Value) -> Authority {
    start_with(directory, policy, "for_good")
}

fn start_with(directory: &Path, policy: &Value, sessions_end: &str) -> Authority {
    let file = directory.join("authority.json");
    fs::write(directory.join("jwks.json"), jwks(&["es256"])).unwrap();
    let issuer = json!({
        "issuer": ISSUER, "keys": {"jwks_file": "jwks.json"}, "session_policy": policy,
        "sessions_end": sessions_end,
    });
    fs::write(&file, json!({ "issuers": [issuer] }).to_string()).unwrap();
    Authority::start_with(directory, &["--config", file.to_str().unwrap()])
}

fn report(subject: &str, sid: &str) -> Value {
    json!({
        "issuer": ISSUER, "subject": subject, "sid": sid,
        "first_seen_ago": 0, "last_seen_ago": 0, "requests": 1,
    })
}

fn send(authority: &Authority, reports: &[Value]) {
    let body = json!({"version": 1, "interval": INTERVAL, "reports": reports});
    let answer = authority.post("/v1/activity", &body);
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// Reports nothing, or the same again and again, for so long.
fn go_on(authority: &Authority, reports: &[Value], length: Duration) {
    let end = Instant::now() + length;
    while Instant::now() < end {
        send(authority, reports);
        thread::sleep(Duration::from_millis(INTERVAL / 3));
    }
}

/// Why a session was ended; `None` while it lives.
fn cause(authority: &Authority, sid: &str) -> Option<String> {
    let check = json!({"issuer": ISSUER, "sid": sid});
    let answer = authority.post("/v1/check", &check).json();
    let cause = answer["cause"].as_str().unwrap_or("plain");
    (answer["revoked"] == true).then(|| cause.to_owned())
}

#[test]
fn a_session_that_is_not_used_ends_while_edges_report_and_others_go_on() {
    let directory = directory();
    let policy = json!({"idle_timeout": format!("{}s", TIMEOUT.as_secs())});
    let authority = start(directory.path(), &policy);
    let mut service = report("service", "unused");
    service["jti"] = service["sid"].take();
    service.as_object_mut().unwrap().remove("sid");
    send(
        &authority,
        &[
            report("alice", "idle"),
            report("alice", "restored"),
            service,
        ],
    );
    let used = [report("alice", "used")];
    go_on(&authority, &used, SHORTER);
    assert_eq!(cause(&authority, "idle"), None);
    // Edges are silent: what they would have reported is not known.
    thread::sleep(TIMEOUT);
    assert_eq!(cause(&authority, "idle"), None);
    go_on(&authority, &used, SHORTER);
    assert_eq!(
        cause(&authority, "idle"),
        None,
        "used just before they reported again"
    );
    until(|| {
        send(&authority, &used);
        cause(&authority, "idle").as_deref() == Some("idle")
    });
    assert_eq!(cause(&authority, "used"), None);
    let service = json!({"issuer": ISSUER, "jti": "unused"});
    assert_eq!(
        authority.post("/v1/check", &service).json()["revoked"],
        false
    );
    let listed = authority.get("/v1/revocations?value=idle").json();
    let [entry] = &listed["entries"].as_array().unwrap()[..] else {
        panic!("{listed}");
    };
    assert_eq!(
        (&entry["subject"], &entry["cause"]),
        (&json!("alice"), &json!("idle"))
    );
    let event = &entry["history"][0];
    assert_eq!(event["actor"], "session policy");
    assert_eq!(event["reason"], "not used for 3s");
    // A graver revocation of the same session counts, and one that was restored is not ended again.
    authority.revoke("session", "idle");
    assert_eq!(cause(&authority, "idle").as_deref(), Some("plain"));
    let restored = json!({"kind": "session", "issuer": ISSUER, "value": "restored"});
    until(|| cause(&authority, "restored").is_some());
    assert_eq!(authority.post("/v1/restorations", &restored).status, 200);
    go_on(&authority, &used, Duration::from_secs(2));
    assert_eq!(cause(&authority, "restored"), None);
    let metrics = authority.get("/metrics").text();
    for line in [
        "portcullis_sessions_ended_total{cause=\"idle\"} 2",
        "portcullis_session_ends_waiting 0",
        "portcullis_sessions_silent_credentials 0",
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line}: {metrics}");
    }
}

/// Some identity providers keep a `sid` when the user signs in again.
#[test]
fn where_a_sid_comes_again_a_session_lives_again_with_the_next_sign_in() {
    let directory = directory();
    let policy = json!({"max_session_age": "1h", "max_sessions": 1});
    let authority = start_with(directory.path(), &policy, "until_sign_in");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let now = now.unwrap().as_secs();
    let used = |sid: &str, auth_time: u64| {
        let mut report = report("alice", sid);
        report["auth_time"] = json!(auth_time);
        report["issued_at"] = json!(now);
        report
    };
    let is_revoked = |sid: &str, auth_time: u64, issued_at: u64| {
        let check = json!({
            "issuer": ISSUER, "sid": sid, "auth_time": auth_time, "issued_at": issued_at,
        });
        authority.post("/v1/check", &check).json()["revoked"] == true
    };
    let old = now - 7_200;
    send(&authority, &[used("again", old)]);
    until(|| is_revoked("again", old, now));
    assert!(is_revoked("again", old, now + 30), "refreshed");
    assert!(!is_revoked("again", now, now), "signed in anew");
    // Without `auth_time` it is not known when the user signed in.
    let mut unknown = report("bob", "unknown");
    unknown["issued_at"] = json!(old);
    // Of two that were first seen at the same instant, either may be the one that is too many.
    unknown["first_seen_ago"] = json!(10_000);
    send(&authority, &[unknown.clone(), report("bob", "newer")]);
    let check = json!({"issuer": ISSUER, "sid": "unknown", "issued_at": now + 30});
    until(|| authority.post("/v1/check", &check).json()["revoked"] == true);
    // Signed in anew, it is as young as its sign-in, and others make room for it.
    send(&authority, &[used("other", now)]);
    thread::sleep(Duration::from_secs(1));
    send(&authority, &[used("again", now + 1)]);
    until(|| is_revoked("other", now, now));
    assert!(!is_revoked("again", now + 1, now + 1));
}

/// For that edges have reported all the while has to be known from before the restart.
#[test]
fn a_restart_that_is_no_silence_does_not_begin_the_idle_time_anew() {
    const INTERVAL: u64 = 2_000;
    let timeout = Duration::from_secs(8);
    let directory = directory();
    let policy = json!({"idle_timeout": format!("{}s", timeout.as_secs())});
    let mut authority = start(directory.path(), &policy);
    let tell = |authority: &Authority, sids: &[&str]| {
        let reports: Vec<_> = sids.iter().map(|sid| report("alice", sid)).collect();
        let body = json!({"version": 1, "interval": INTERVAL, "reports": reports});
        assert_eq!(authority.post("/v1/activity", &body).status, 204);
        thread::sleep(Duration::from_millis(INTERVAL / 10));
    };
    tell(&authority, &["idle", "used"]);
    let end = Instant::now() + timeout * 3 / 4;
    while Instant::now() < end {
        tell(&authority, &["used"]);
    }
    authority.signal("TERM");
    assert!(authority.wait().success());
    let authority = start(directory.path(), &policy);
    let begun = Instant::now();
    assert!(!directory.path().join("sessions.heard").exists());
    until(|| {
        tell(&authority, &["used"]);
        cause(&authority, "idle").as_deref() == Some("idle")
    });
    let took = begun.elapsed();
    let anew = timeout + Duration::from_millis(2 * INTERVAL);
    assert!(took + Duration::from_millis(500) < anew, "{took:?}");
    assert_eq!(cause(&authority, "used"), None);
}

#[test]
fn no_session_ends_for_being_idle_while_an_edge_sees_more_than_it_tells() {
    let directory = directory();
    let authority = start(directory.path(), &json!({"idle_timeout": "1s"}));
    send(&authority, &[report("alice", "untold")]);
    let incomplete = json!({
        "version": 1, "interval": INTERVAL, "incomplete": true, "reports": [],
    });
    let end = Instant::now() + TIMEOUT;
    while Instant::now() < end {
        assert_eq!(authority.post("/v1/activity", &incomplete).status, 204);
        thread::sleep(Duration::from_millis(INTERVAL / 3));
    }
    assert_eq!(cause(&authority, "untold"), None);
    let metrics = authority.get("/metrics").text();
    let line = metrics
        .lines()
        .find_map(|line| line.strip_prefix("portcullis_session_reports_incomplete_total "));
    let count: u64 = line.unwrap().parse().unwrap();
    assert!(count > 1, "{count}");
    until(|| {
        send(&authority, &[]);
        cause(&authority, "untold").as_deref() == Some("idle")
    });
}

#[test]
fn a_session_whose_user_has_signed_in_again_since_it_was_revoked_ends_by_its_policy() {
    let directory = directory();
    let authority = start(directory.path(), &json!({"idle_timeout": "1s"}));
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let signed_in = |seconds: u64| {
        let mut report = report("alice", "again");
        report["issued_at"] = seconds.into();
        report["auth_time"] = seconds.into();
        report
    };
    let is_revoked = |seconds: u64| {
        let check = json!({
            "issuer": ISSUER, "sid": "again", "issued_at": seconds, "auth_time": seconds,
        });
        authority.post("/v1/check", &check).json()["revoked"] == true
    };
    let is_listed = || {
        let listed = authority.get("/v1/sessions?subject=alice").json();
        listed["sessions"].as_array().unwrap().len() == 1
    };
    send(&authority, &[signed_in(now - 200)]);
    let until_sign_in = json!({
        "kind": "session", "issuer": ISSUER, "value": "again",
        "until_sign_in": true, "not_before": now - 100,
    });
    let revoked = authority.post("/v1/revocations", &until_sign_in);
    assert_eq!(revoked.status, 200, "{}", revoked.text());
    until(|| !is_listed());
    until(|| {
        send(&authority, &[signed_in(now)]);
        is_listed()
    });
    assert!(is_revoked(now - 101) && !is_revoked(now));
    until(|| {
        send(&authority, &[]);
        is_revoked(now)
    });
    let listed = authority.get("/v1/revocations?value=again").json();
    let history = listed["entries"][0]["history"].as_array().unwrap();
    assert_eq!(history.last().unwrap()["reason"], "not used for 1s");
}

#[test]
fn a_session_that_is_too_old_ends_whether_it_is_used_or_not() {
    let directory = directory();
    let authority = start(directory.path(), &json!({"max_session_age": "30d"}));
    let signed_in = |sid: &str, days: u64| {
        let mut report = report("alice", sid);
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
        report["auth_time"] = (now - days * 86_400).into();
        report
    };
    send(
        &authority,
        &[
            signed_in("old", 31),
            signed_in("young", 29),
            report("alice", "new"),
        ],
    );
    until(|| cause(&authority, "old").as_deref() == Some("too_old"));
    assert_eq!(
        (cause(&authority, "young"), cause(&authority, "new")),
        (None, None)
    );
    // Nothing is known of sessions any more, and none ends for it.
    authority.kill();
    let authority = start(directory.path(), &json!({"max_session_age": "30d"}));
    assert_eq!(cause(&authority, "old").as_deref(), Some("too_old"));
    assert_eq!(cause(&authority, "young"), None);
}

#[test]
fn the_oldest_of_too_many_sessions_makes_room_or_the_newest_is_refused() {
    for (policy, ended) in [
        (json!({"max_sessions": 2}), ["first", "second"]),
        (
            json!({"max_sessions": 2, "on_excess": "refuse"}),
            ["third", "fourth"],
        ),
    ] {
        let directory = directory();
        let authority = start(directory.path(), &policy);
        let all = ["first", "second", "third", "fourth"];
        for (number, sid) in (0_u64..).zip(all) {
            let mut of_alice = report("alice", sid);
            of_alice["first_seen_ago"] = (10_000 - number * 1_000).into();
            send(
                &authority,
                &[of_alice, report("bob", &format!("bob's {sid}"))],
            );
            if number >= 2 {
                let expected = ended[usize::try_from(number - 2).unwrap()];
                until(|| cause(&authority, expected).as_deref() == Some("displaced"));
            }
        }
        for sid in all {
            let expected = ended.contains(&sid).then(|| "displaced".to_owned());
            assert_eq!(cause(&authority, sid), expected, "{sid}: {policy}");
        }
        // What is revoked otherwise makes room.
        let living = *all.iter().find(|sid| !ended.contains(sid)).unwrap();
        authority.revoke("session", living);
        send(&authority, &[report("alice", "fifth")]);
        thread::sleep(Duration::from_millis(500));
        assert_eq!(cause(&authority, "fifth"), None, "{policy}");
    }
}

/// As many as become idle in one moment are ended one after the other, and what an operator revokes
/// meanwhile does not wait.
#[test]
fn many_ends_at_once_keep_no_revocation_waiting() {
    const SESSIONS: usize = 3_000;
    let directory = directory();
    let authority = start(directory.path(), &json!({"idle_timeout": "1s"}));
    let sids: Vec<String> = (0..SESSIONS).map(|number| format!("s{number}")).collect();
    for part in sids.chunks(1_000) {
        let reports: Vec<_> = part.iter().map(|sid| report(sid, sid)).collect();
        send(&authority, &reports);
    }
    let ended = || authority.stats()["entries"].as_u64().unwrap();
    until(|| {
        send(&authority, &[]);
        ended() > 0
    });
    let begun = Instant::now();
    let mut slowest = Duration::ZERO;
    let mut revoked = 0;
    while ended() < (SESSIONS + revoked) as u64 {
        let asked = Instant::now();
        authority.revoke("device", &format!("phone {revoked}"));
        revoked += 1;
        slowest = slowest.max(asked.elapsed());
        send(&authority, &[]);
        assert!(begun.elapsed() < Duration::from_mins(1), "{}", ended());
    }
    let took = begun.elapsed();
    println!("{SESSIONS} ends in {took:?}, {revoked} revocations, the slowest in {slowest:?}");
    assert!(took > Duration::from_secs(2), "all at once: {took:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
