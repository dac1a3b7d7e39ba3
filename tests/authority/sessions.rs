//! Who is signed in: what edges report, and what is told of it.

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::{Value, json};

use super::access::guarded;
use super::process::{Authority, ISSUER, binary, credential, directory, until};

fn report(subject: &str, sid: &str) -> Value {
    json!({
        "issuer": ISSUER, "subject": subject, "sid": sid, "client": "app", "device": "phone",
        "issued_at": 1_767_225_600, "first_seen_ago": 5_000, "last_seen_ago": 1_000, "requests": 3,
        "sightings": [{"network": "203.0.113.0/24", "user_agent": "okhttp", "requests": 3,
                       "last_seen_ago": 1_000}],
    })
}

fn send(authority: &Authority, reports: &[Value]) -> u16 {
    let body = json!({"version": 1, "reports": reports});
    authority.post("/v1/activity", &body).status
}

fn list(authority: &Authority, query: &str) -> Vec<Value> {
    let answer = authority.get(&format!("/v1/sessions?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["sessions"].as_array().unwrap().clone()
}

/// What `portcullis sessions` shows.
fn ask(authority: &Authority, arguments: &[&str]) -> String {
    let mut command = Command::new(binary());
    command.arg("sessions").args(arguments);
    command.args(["--authority", &authority.url]);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_edges_report_is_listed_until_it_is_revoked() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let reports = [
        report("alice", "a1"),
        report("alice", "a2"),
        report("bob", "b1"),
    ];
    assert_eq!(send(&authority, &reports), 204);
    assert_eq!(send(&authority, &reports[..1]), 204);
    assert_eq!(list(&authority, "").len(), 3);
    let [session] = &*list(&authority, "subject=bob") else {
        panic!("one session");
    };
    assert_eq!(session["sid"], "b1");
    assert_eq!(
        (&session["client"], &session["device"]),
        (&"app".into(), &"phone".into())
    );
    assert_eq!(session["sightings"][0]["network"], "203.0.113.0/24");
    assert_eq!(
        (&session["requests"], &session["ended"]),
        (&3.into(), &Value::Null)
    );
    assert_eq!(list(&authority, "idle_for=3600"), [Value::Null; 0]);

    let shown = ask(&authority, &["--subject", "bob"]);
    let expected = format!(
        "{}  live  {}  bob  b1  app  phone  203.0.113.0/24  okhttp\n",
        session["id"].as_str().unwrap(),
        session["last_seen"].as_str().unwrap()
    );
    assert_eq!(shown, expected);
    assert_eq!(ask(&authority, &["--idle", "1h"]), "");
    let json: Value =
        serde_json::from_str(&ask(&authority, &["--subject", "bob", "--json"])).unwrap();
    assert_eq!(json, *session);

    authority.revoke("session", "b1");
    until(|| list(&authority, "subject=bob").is_empty());
    let ended = list(&authority, "subject=bob&include_ended=true");
    assert!(ended[0]["ended"].is_string(), "{ended:?}");
    authority.revoke("device", "phone");
    until(|| list(&authority, "").is_empty());

    let metrics = authority.get("/metrics").text();
    for line in [
        "portcullis_session_reports_total{outcome=\"taken\"} 4",
        "portcullis_sessions 3",
        "portcullis_sessions_active{window=\"5m\"} 0",
        "portcullis_sessions_ended_total{cause=\"plain\"} 3",
        "portcullis_session_duration_seconds_count 3",
    ] {
        assert!(metrics.contains(&format!("{line}\n")), "{line}: {metrics}");
    }
}

#[test]
fn pages_lead_through_all_sessions() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let reports: Vec<Value> = (0..250)
        .map(|number| report(&format!("u{number}"), &format!("s{number}")))
        .collect();
    assert_eq!(send(&authority, &reports), 204);
    let (mut found, mut after) = (Vec::new(), String::new());
    loop {
        let page = authority
            .get(&format!("/v1/sessions?limit=30{after}"))
            .json();
        let sessions = page["sessions"].as_array().unwrap();
        found.extend(sessions.iter().map(|session| session["sid"].to_string()));
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = format!("&after={next}");
    }
    found.sort();
    found.dedup();
    assert_eq!(found.len(), 250);
    for (query, status) in [
        ("after=x", 422),
        ("after=1-2-3-4", 422),
        ("limit=0", 400),
        ("limit=1001", 400),
        ("idle=30m", 400),
        ("idle_for=-1", 400),
    ] {
        let answer = authority.get(&format!("/v1/sessions?{query}"));
        assert_eq!(answer.status, status, "{query}");
    }
}

/// The authority puts a thousand on a page.
#[test]
fn the_command_line_goes_on_to_the_next_page() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for first in [0, 600] {
        let reports: Vec<Value> = (first..first + 600)
            .map(|number| report(&format!("u{number}"), &format!("s{number}")))
            .collect();
        assert_eq!(send(&authority, &reports), 204);
    }
    for (limit, expected) in [("1", 1), ("1000", 1_000), ("1100", 1_100), ("5000", 1_200)] {
        let shown = ask(&authority, &["--limit", limit]);
        let ids: BTreeSet<_> = shown.lines().map(|line| &line[..32]).collect();
        assert_eq!((ids.len(), shown.lines().count()), (expected, expected));
    }
}

#[test]
fn activity_needs_its_own_permission() {
    let directory = directory();
    let edge = credential(directory.path(), "edge", "envoys");
    let admin = credential(directory.path(), "admin", "console");
    let authority = guarded(directory.path());
    assert_eq!(send(&authority, &[]), 401);
    let authority = authority.with_credential(&edge);
    assert_eq!(send(&authority, &[]), 403);
    assert_eq!(authority.get("/v1/sessions").status, 403);
    let authority = authority.with_credential(&admin);
    assert_eq!(send(&authority, &[]), 204);
}

#[test]
fn a_request_with_a_wrong_report_changes_nothing_and_is_told_which() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let with = |member: &str, value: Value| {
        let mut wrong = report("alice", "wrong");
        wrong[member] = value;
        json!({"version": 1, "reports": [report("alice", "right"), wrong]})
    };
    let reports = |count: usize| vec![report("a", "s"); count];
    for (body, status, told) in [
        (
            json!({"version": 2, "reports": []}),
            400,
            "`version`: expected 1",
        ),
        (json!({"version": 1}), 400, "missing field `reports`"),
        (
            json!({"version": 1, "interval": 0, "reports": []}),
            400,
            "`interval`: expected at least 1",
        ),
        (
            with("jti", "j".into()),
            400,
            "`reports[1]`: expected either `sid` or `jti`",
        ),
        (with("ip", "127.0.0.1".into()), 400, "unknown field `ip`"),
        (
            with("first_seen_ago", 86_400_001.into()),
            400,
            "`reports[1].first_seen_ago`",
        ),
        (
            with("subject", "x".repeat(1_025).into()),
            422,
            "expected at most 1024 bytes",
        ),
        (
            json!({"version": 1, "reports": reports(1_001)}),
            400,
            "`reports`: expected at most 1000, found 1001",
        ),
    ] {
        let answer = authority.post("/v1/activity", &body);
        assert_eq!(answer.status, status, "{told}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(told), "{detail}");
    }
    let long = json!({"version": 1, "reports": [], "more": "x".repeat(1 << 20)});
    assert_eq!(authority.post("/v1/activity", &long).status, 413);
    assert_eq!(list(&authority, ""), [Value::Null; 0]);
}

#[test]
fn sessions_are_there_again_after_a_restart() {
    let directory = directory();
    let mut authority = Authority::start(directory.path());
    assert_eq!(
        send(&authority, &[report("alice", "a1"), report("bob", "b1")]),
        204
    );
    let before = list(&authority, "");
    authority.signal("TERM");
    assert!(authority.wait().success());
    let mut authority = Authority::start(directory.path());
    until(|| authority.get("/v1/sessions").status == 200);
    let mut after = list(&authority, "");
    after.sort_by_key(|session| !before.contains(session));
    assert_eq!(after, before);
    authority.signal("TERM");
    assert!(authority.wait().success());
    std::fs::write(directory.path().join("data/sessions.redb"), "damaged").unwrap();
    let authority = Authority::start(directory.path());
    until(|| authority.get("/v1/sessions").status == 200);
    assert_eq!(list(&authority, ""), [Value::Null; 0]);
    let metrics = authority.get("/metrics").text();
    assert!(
        metrics.contains("portcullis_session_snapshot_failures_total 1\n"),
        "{metrics}"
    );
}
