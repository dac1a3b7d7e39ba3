//! Several authorities with one registry of sessions, in a real Redis.
//!
//! They have copies of one store, as they would if they shared one: sessions are named with the store's key.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::certificate::make_certificate;
use super::keys::jwks;
use super::process::{Authority, ISSUER, binary, directory, until};
use super::redis::{Cluster, Server, has_redis};
use super::token::Token;

/// Milliseconds within which the edges of these tests report again.
const INTERVAL: u64 = 1_000;

/// The idle timeout.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Directories with the same store, and a file for an authority in each.
struct Installation {
    directories: Vec<TempDir>,
    url: String,
}

impl Installation {
    fn new(url: &str, policy: &Value) -> Self {
        let directories: Vec<TempDir> = (0..2).map(|_| directory()).collect();
        Authority::start(directories[0].path()).kill();
        fs::create_dir_all(data(directories[1].path())).unwrap();
        for file in fs::read_dir(data(directories[0].path())).unwrap() {
            let file = file.unwrap();
            let copy = data(directories[1].path()).join(file.file_name());
            fs::copy(file.path(), copy).unwrap();
        }
        for directory in &directories {
            let path = directory.path();
            fs::write(path.join("jwks.json"), jwks(&["es256"])).unwrap();
            let issuer = json!({
                "issuer": ISSUER, "keys": {"jwks_file": "jwks.json"}, "session_policy": policy,
            });
            fs::write(
                path.join("authority.json"),
                json!({"issuers": [issuer]}).to_string(),
            )
            .unwrap();
        }
        Self {
            directories,
            url: url.to_owned(),
        }
    }

    fn start(&self, number: usize) -> Authority {
        let directory = self.directories[number].path();
        let file = directory.join("authority.json");
        let arguments = ["--config", file.to_str().unwrap(), "--sessions", &self.url];
        Authority::start_with(directory, &arguments)
    }
}

/// Where an authority of a test has its store.
fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn report(subject: &str, sid: &str) -> Value {
    json!({
        "issuer": ISSUER, "subject": subject, "sid": sid, "client": "app",
        "first_seen_ago": 0, "last_seen_ago": 0, "requests": 1,
    })
}

fn try_send(authority: &Authority, reports: &[Value]) -> u16 {
    let body = json!({"version": 1, "interval": INTERVAL, "reports": reports});
    authority.post("/v1/activity", &body).status
}

#[track_caller]
fn send(authority: &Authority, reports: &[Value]) {
    assert_eq!(try_send(authority, reports), 204, "{}", authority.log());
}

/// Why a session was ended; `None` while it lives.
fn cause(authority: &Authority, sid: &str) -> Option<String> {
    let check = json!({"issuer": ISSUER, "sid": sid});
    let answer = authority.post("/v1/check", &check).json();
    let cause = answer["cause"].as_str().unwrap_or("plain");
    (answer["revoked"] == true).then(|| cause.to_owned())
}

/// How many of the authorities have ended a session.
fn ends(authorities: &[&Authority], sid: &str) -> usize {
    let ended = authorities
        .iter()
        .filter(|authority| cause(authority, sid).is_some());
    ended.count()
}

fn names(authority: &Authority, query: &str) -> Vec<String> {
    let answer = authority.get(&format!("/v1/sessions?{query}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    let sessions = answer["sessions"].as_array().unwrap().iter();
    let mut names: Vec<String> = sessions
        .map(|session| session["sid"].as_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn metric(authority: &Authority, name: &str) -> u64 {
    let text = authority.get("/metrics").text();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("{name}: {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[test]
fn a_session_ends_at_one_authority_when_no_edge_of_any_has_used_it() {
    if !has_redis() {
        return;
    }
    let server = Server::start(&[]);
    let policy = json!({"idle_timeout": format!("{}s", TIMEOUT.as_secs())});
    let installation = Installation::new(&server.url(), &policy);
    let (one, two) = (installation.start(0), installation.start(1));
    // Both of users whose edges report to the first; one is used at edges of the second from then on.
    send(
        &one,
        &[report("alice", "idle"), report("alice", "used elsewhere")],
    );
    until(|| names(&two, "").len() == 2);
    let go_on = || {
        send(&one, &[]);
        send(&two, &[report("alice", "used elsewhere")]);
        thread::sleep(Duration::from_millis(INTERVAL / 4));
    };
    until(|| {
        go_on();
        ends(&[&one, &two], "idle") > 0
    });
    // Some more, in which the other could end it as well, or what is used.
    let end = Instant::now() + Duration::from_secs(4);
    while Instant::now() < end {
        go_on();
    }
    assert_eq!(ends(&[&one, &two], "idle"), 1, "ended once");
    assert_eq!(ends(&[&one, &two], "used elsewhere"), 0);
    let ended = |authority| metric(authority, "portcullis_sessions_ended_total{cause=\"idle\"}");
    assert_eq!(ended(&one) + ended(&two), 1);
    assert_eq!(names(&one, ""), ["used elsewhere"]);

    // The second dies, and its edges with it: what they would have told is not known.
    two.kill();
    let end = Instant::now() + 2 * TIMEOUT;
    until(|| {
        send(&one, &[]);
        Instant::now() > end && metric(&one, "portcullis_sessions_silent_credentials") > 0
    });
    let end = Instant::now() + 2 * TIMEOUT;
    while Instant::now() < end {
        send(&one, &[]);
        thread::sleep(Duration::from_millis(INTERVAL / 4));
    }
    assert_eq!(cause(&one, "used elsewhere"), None);
}

#[test]
fn an_authority_that_stops_in_order_is_not_waited_for() {
    if !has_redis() {
        return;
    }
    let server = Server::start(&[]);
    let policy = json!({"idle_timeout": format!("{}s", TIMEOUT.as_secs())});
    let installation = Installation::new(&server.url(), &policy);
    let (one, mut two) = (installation.start(0), installation.start(1));
    send(&two, &[report("alice", "idle")]);
    send(&one, &[]);
    // Whoever is there has been heard of by the first, which asks every half a second.
    let sources = || {
        let keys = server.ask(&["KEYS", "portcullis:*:sources"]);
        let sources = server.ask(&["HLEN", keys.trim()]);
        sources.trim().parse::<usize>().unwrap_or_default()
    };
    until(|| sources() >= 3);
    let end = Instant::now() + Duration::from_millis(INTERVAL);
    until(|| {
        send(&one, &[]);
        Instant::now() > end
    });
    two.signal("TERM");
    assert!(two.wait().success());
    until(|| {
        send(&one, &[]);
        cause(&one, "idle").as_deref() == Some("idle")
    });
}

#[test]
fn what_several_authorities_do_not_do_together_is_said_at_the_start() {
    if !has_redis() {
        return;
    }
    let server = Server::start(&[]);
    let installation = Installation::new(&server.url(), &json!({"max_sessions": 1}));
    let told = "revoked in its own store";
    assert!(installation.start(0).log().contains(told));
    // There is nothing to say where nothing ends by itself.
    let other = directory();
    let arguments = ["--sessions", &server.url()];
    let authority = Authority::start_with(other.path(), &arguments);
    assert!(!authority.log().contains(told), "{}", authority.log());
}

#[test]
fn a_registry_that_is_full_is_told_of_once_in_a_while() {
    if !has_redis() {
        return;
    }
    let server = Server::start(&[]);
    let installation = Installation::new(&server.url(), &json!({"max_sessions": 9}));
    let one = installation.start(0);
    send(&one, &[report("alice", "a")]);
    server.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    // Reports are refused, and all else is answered, in turn.
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(try_send(&one, &[report("alice", "b")]), 503);
        assert_eq!(one.get("/v1/sessions").status, 200);
    }
    let log = one.log();
    let lines = log.matches("the registry of sessions is not available");
    let most = 1 + begun.elapsed().as_secs() / 10;
    let found = lines.count() as u64;
    assert!((1..=most).contains(&found), "{found} of {most}: {log}");
    let back = log.matches("the registry of sessions is available").count() as u64;
    assert!(back <= 1 + found, "{back} of {found}: {log}");
}

#[test]
fn sessions_at_several_authorities_are_counted_together() {
    if !has_redis() {
        return;
    }
    let server = Server::start(&[]);
    for (policy, ended) in [
        (json!({"max_sessions": 2}), "first"),
        (json!({"max_sessions": 2, "on_excess": "refuse"}), "third"),
    ] {
        server.ask(&["FLUSHALL"]);
        let installation = Installation::new(&server.url(), &policy);
        let (one, two) = (installation.start(0), installation.start(1));
        for (age, authority, sid) in [
            (10_000, &one, "first"),
            (9_000, &two, "second"),
            (8_000, &one, "third"),
        ] {
            let mut report = report("alice", sid);
            report["first_seen_ago"] = age.into();
            send(authority, &[report]);
        }
        until(|| ends(&[&one, &two], ended) > 0);
        until(|| names(&one, "").len() == 2);
        // Reported once more, at both.
        for authority in [&one, &two] {
            send(authority, &[report("alice", "second"), report("bob", "b")]);
        }
        thread::sleep(Duration::from_secs(1));
        assert_eq!(ends(&[&one, &two], ended), 1, "ended once");
        let left = ["first", "second", "third"].map(|sid| ends(&[&one, &two], sid));
        assert_eq!(left.iter().sum::<usize>(), 1, "{left:?}");
    }
}

#[test]
fn a_user_sees_sessions_at_all_authorities_and_ends_them_at_any() {
    if !has_redis() {
        return;
    }
    let server = Server::start(&[]);
    let installation = Installation::new(&server.url(), &json!({"max_session_age": "300d"}));
    let (one, two) = (installation.start(0), installation.start(1));
    send(&one, &[report("alice", "phone"), report("bob", "b")]);
    send(&two, &[report("alice", "laptop")]);
    let token = Token::signed_by("es256")
        .claim("sub", "alice")
        .claim("sid", "phone");
    let token = token.to_string();
    let own = |authority: &Authority| {
        let answer = authority.post("/v1/own-sessions", &json!({"token": token}));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["sessions"].as_array().unwrap().clone()
    };
    let listed = own(&one);
    assert_eq!(listed.len(), 2, "{listed:?}");
    assert_eq!(own(&two), listed, "the same ids everywhere");
    let other = listed
        .iter()
        .find(|session| session["current"] == false)
        .unwrap();
    let end = json!({"token": token, "id": other["id"], "nonce": 7});
    let answer = two.post("/v1/own-sessions/end", &end);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(cause(&two, "laptop").is_some());
    until(|| own(&one).len() == 1);
}

#[test]
fn without_redis_nobody_is_signed_out_and_it_goes_on_by_itself() {
    if !has_redis() {
        return;
    }
    let mut server = Server::start(&[]);
    let policy = json!({"idle_timeout": format!("{}s", TIMEOUT.as_secs())});
    let installation = Installation::new(&server.url(), &policy);
    let one = installation.start(0);
    send(&one, &[report("alice", "a"), report("bob", "b")]);
    server.kill();
    until(|| try_send(&one, &[report("alice", "a")]) == 503);
    assert_eq!(one.get("/v1/sessions").status, 503);
    assert_eq!(
        one.get("/v1/sessions").json()["code"],
        "registry_unavailable"
    );
    until(|| metric(&one, "portcullis_session_registry_connected") == 0);
    assert!(metric(&one, "portcullis_session_registry_failures_total") > 0);
    assert!(
        metric(
            &one,
            "portcullis_session_reports_total{outcome=\"dropped\"}"
        ) > 0
    );
    // It is fast about it, and what needs no registry goes on.
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(try_send(&one, &[report("alice", "a")]), 503);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    let token = Token::signed_by("es256")
        .claim("sub", "bob")
        .claim("sid", "b");
    let sign_out = json!({"token": token.to_string(), "scope": "session", "nonce": 7});
    let answer = one.post("/v1/sign-out", &sign_out);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(cause(&one, "b").is_some());
    thread::sleep(TIMEOUT);
    assert_eq!(cause(&one, "a"), None);

    // Empty, as it has nothing on the disk.
    server.restart();
    until(|| try_send(&one, &[report("alice", "new")]) == 204);
    assert_eq!(names(&one, ""), ["new"]);
    until(|| metric(&one, "portcullis_session_registry_connected") == 1);
    server.ask(&["FLUSHALL"]);
    send(&one, &[report("alice", "a")]);
    assert_eq!(names(&one, ""), ["a"]);
    for sid in ["a", "new"] {
        assert_eq!(cause(&one, sid), None);
    }
    // And sessions are idle again in time.
    until(|| {
        send(&one, &[]);
        cause(&one, "a").as_deref() == Some("idle")
    });
    let log = one.log();
    assert!(
        log.contains("the registry of sessions is not available"),
        "{log}"
    );
    assert!(
        log.contains("the registry of sessions has lost something"),
        "{log}"
    );
}

#[test]
fn what_was_revoked_without_redis_is_marked_when_it_is_back() {
    if !has_redis() {
        return;
    }
    let server = Server::start(&[]);
    let installation = Installation::new(&server.url(), &json!({"max_session_age": "300d"}));
    let one = installation.start(0);
    send(&one, &[report("alice", "a"), report("alice", "kept")]);
    // It hangs, which takes longer to notice than a connection that breaks.
    server.ask(&["CLIENT", "PAUSE", "3000", "ALL"]);
    assert_eq!(one.revoke("session", "a").status, 200);
    until(|| one.get("/v1/sessions").status == 200 && names(&one, "") == ["kept"]);
}

#[test]
fn a_cluster_keeps_sessions_of_two_authorities() {
    if !has_redis() {
        return;
    }
    let cluster = Cluster::start();
    let installation = Installation::new(&cluster.url(), &json!({"max_sessions": 1}));
    let (one, two) = (installation.start(0), installation.start(1));
    let reports: Vec<Value> = (0..200)
        .map(|number| report(&format!("u{number}"), &format!("s{number}")))
        .collect();
    send(&one, &reports);
    assert_eq!(names(&two, "limit=1000").len(), 200);
    let mut second = report("u7", "second of u7");
    second["last_seen_ago"] = 0.into();
    thread::sleep(Duration::from_millis(1_100));
    send(&two, &[second]);
    // By whichever comes by first.
    let displaced = |authority| cause(authority, "s7").as_deref() == Some("displaced");
    until(|| displaced(&one) || displaced(&two));
    until(|| names(&one, "subject=u7") == ["second of u7"]);
    assert_eq!(ends(&[&one, &two], "s7"), 1);
}

#[test]
fn redis_is_spoken_to_over_tls_when_its_certificate_is_trusted() {
    if !has_redis() {
        return;
    }
    let files = directory();
    let (certificate, key) = make_certificate(files.path());
    let server = Server::start_with_tls((&certificate, &key));
    server.ask(&["CONFIG", "SET", "requirepass", "the secret"]);
    let data = directory();
    let password = files.path().join("password");
    fs::write(&password, "the secret\n").unwrap();
    let with = |url: &str, more: &[&str]| {
        let mut command = Command::new(binary());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(data.path().join("data")).args(more);
        command.env("PORTCULLIS_SESSIONS", url);
        command
    };
    let ca = ["--sessions-ca", &certificate];
    let secret = ["--sessions-password", password.to_str().unwrap()];
    let authority = Authority::spawn(&mut with(&server.url(), &[ca, secret].concat()));
    send(&authority, &[report("alice", "a")]);
    assert_eq!(names(&authority, ""), ["a"]);
    assert!(!authority.log().contains("the secret"));
    authority.kill();

    let refused = |url: &str, more: &[&str]| {
        let output = with(url, more).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !told.contains("the secret") && !told.contains("the%20secret"),
            "{told}"
        );
        (output.status.code().unwrap(), told)
    };
    let with_password = server.url().replace("://", "://:the%20secret@");
    let (code, told) = refused(&with_password, &[]);
    assert!(
        code == 1 && told.contains("is not trusted"),
        "{code} {told}"
    );
    assert!(told.contains("--sessions-ca"), "{told}");
    let (code, told) = refused(&server.url().replace("://", "://:wrong@"), &ca);
    assert!(
        code == 1 && told.contains("refuses this user"),
        "{code} {told}"
    );
    let (code, told) = refused(&with_password.replace("rediss", "http"), &ca);
    assert!(code == 2 && told.contains("`rediss://`"), "{code} {told}");
    let plain = with_password.replace("rediss", "redis");
    let (code, told) = refused(&plain, &ca);
    assert!(code == 2 && told.contains("--sessions-ca"), "{code} {told}");
    let missing = ["--sessions-password", "/nowhere/password"];
    let (code, told) = refused(&server.url(), &missing);
    assert!(
        code == 10 && told.contains("/nowhere/password"),
        "{code} {told}"
    );
}

#[test]
fn an_authority_starts_without_redis_and_finds_it_later() {
    if !has_redis() {
        return;
    }
    let mut server = Server::start(&[]);
    server.kill();
    let installation = Installation::new(&server.url(), &json!({"max_session_age": "300d"}));
    let one = installation.start(0);
    assert_eq!(try_send(&one, &[report("alice", "a")]), 503);
    assert_eq!(one.revoke("session", "s").status, 200);
    server.restart();
    until(|| try_send(&one, &[report("alice", "a")]) == 204);
    assert_eq!(names(&one, ""), ["a"]);
}
