//! An authority that is gone, slow, or replaced; an Envoy that changes its configuration or whose
//! clock is wrong.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;

use super::scene::{STALENESS, Scene, session, settings, soon_stale};
use crate::support::{Authority, Bootstrap, Client, Envoy, Meddler, Plugin, Request, until};

#[test]
fn an_authority_that_was_killed_is_missed_only_when_the_feed_is_stale() {
    let mut scene = Scene::new(&soon_stale());
    let (known, cut_off) = (session("known"), session("b").claim("sub", "bob"));
    scene.authority.revoke("subject", "bob");
    scene.wait_until_refused(&cut_off, "token_revoked");
    scene.assert_accepted(&known);
    scene.authority.kill();
    let killed = Instant::now();
    while killed.elapsed() < STALENESS / 2 {
        scene.assert_accepted(&known);
        scene.assert_accepted(&session("new"));
        scene.assert_refused(&cut_off, 401, "token_revoked");
        thread::sleep(Duration::from_millis(50));
    }
    scene.wait_until_refused(&known, "revocation_unavailable");
    scene.assert_refused(&session("new"), 503, "revocation_unavailable");
    scene.authority.restart();
    scene.wait_until_accepted(&known);
    scene.assert_refused(&cut_off, 401, "token_revoked");
    scene.authority.revoke("session", "known");
    scene.wait_until_refused(&known, "token_revoked");
}

#[test]
fn no_request_is_refused_while_the_authority_restarts() {
    let mut scene = Scene::new(&json!({}));
    scene.authority.revoke("session", "before");
    scene.wait_until_in_step();
    let is_over = AtomicBool::new(false);
    let clients = scene.envoy.client_of_every_worker();
    thread::scope(|scope| {
        for client in clients {
            scope.spawn(|| ask_all_the_time(client, &is_over));
        }
        for _ in 0..3 {
            scene.authority.restart();
            thread::sleep(Duration::from_millis(300));
        }
        is_over.store(true, Ordering::Relaxed);
    });
    scene.wait_for("portcullis.feed.generations", 2);
    scene.assert_refused(&session("before"), 401, "token_revoked");
    scene.authority.revoke("session", "after");
    scene.wait_until_refused(&session("after"), "token_revoked");
}

/// Tokens that the worker knows and tokens that it does not; all are let through.
fn ask_all_the_time(mut client: Client, is_over: &AtomicBool) -> u64 {
    let known = Request::get("/api").bearer(session("trickle"));
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let new = Request::get("/api").bearer(session(&format!("trickle-{count}")));
        for request in [&known, &new] {
            let reply = client.send(request);
            assert_eq!(reply.status, 200, "request {count}: {reply:?}");
        }
        count += 1;
        thread::sleep(Duration::from_millis(1));
    }
    count
}

#[test]
fn an_authority_restored_from_an_older_backup_begins_a_new_history() {
    let mut scene = Scene::new(&json!({}));
    scene.authority.revoke("session", "saved");
    let backup = scene.authority.back_up();
    scene.authority.revoke("session", "lost");
    scene.wait_until_refused(&session("lost"), "token_revoked");
    scene.wait_until_refused(&session("saved"), "token_revoked");
    // One at the start of Envoy, one after the backup.
    scene.wait_for("portcullis.feed.generations", 2);
    scene.authority.restore(&backup);
    // The last one of a new epoch; one of the old may have come between.
    let begins = || scene.envoy.log().contains("is in force, sequence 1");
    until(|| scene.envoy.log(), begins);
    scene.wait_until_in_step();
    scene.assert_refused(&session("saved"), 401, "token_revoked");
    scene.assert_accepted(&session("innocent"));
    // The revocation is lost, and the authority says so to the operator.
    assert!(
        scene
            .authority
            .log()
            .contains("restored from an older backup")
    );
    scene.authority.revoke("session", "lost");
    scene.wait_until_refused(&session("lost"), "token_revoked");
    scene.authority.revoke("session", "new");
    scene.wait_until_refused(&session("new"), "token_revoked");
    scene.assert_accepted(&session("innocent"));
}

#[test]
fn an_authority_restored_and_overtaken_before_an_edge_comes_back_begins_a_new_history() {
    let mut scene = Scene::new(&json!({}));
    scene.authority.revoke("session", "saved");
    let backup = scene.authority.back_up();
    scene.authority.revoke("session", "lost");
    scene.wait_until_refused(&session("lost"), "token_revoked");
    scene.wait_for("portcullis.feed.generations", 2);
    scene.meddler.cut();
    scene.authority.restore(&backup);
    for value in ["first", "second", "third"] {
        scene.authority.revoke("session", value);
    }
    scene.meddler.forward_to(scene.authority.address());
    scene.meddler.pass();
    // Number two is another change now, and the feed has four.
    let begins = || scene.envoy.log().contains("is in force, sequence 4");
    until(|| scene.envoy.log(), begins);
    for value in ["saved", "first", "second", "third"] {
        scene.wait_until_refused(&session(value), "token_revoked");
    }
    scene.assert_accepted(&session("innocent"));
    let log = scene.authority.log();
    assert!(log.contains("a new epoch begins"), "{log}");
    scene.authority.revoke("session", "new");
    scene.wait_until_refused(&session("new"), "token_revoked");
}

#[test]
fn an_authority_of_another_installation_is_not_believed() {
    let mut scene = Scene::new(&soon_stale());
    scene.authority.revoke("session", "revoked");
    scene.wait_until_refused(&session("revoked"), "token_revoked");
    scene.assert_accepted(&session("innocent"));
    // It knows its edges, but it has other keys.
    let other = scene.authority.start_another();
    scene.meddler.forward_to(other.address());
    // Before the feed is stale as well as after it, and with a token that was never checked: only
    // the other authority could say now that it is not revoked.
    for number in 0.. {
        let unknown = session("revoked").claim("jti", format!("unknown-{number}"));
        for reply in scene.ask(&unknown) {
            assert!(matches!(reply.status, 401 | 503), "{reply:?}");
        }
        let innocent = scene.ask(&session("innocent"));
        if innocent.iter().all(|reply| reply.status == 503) {
            break;
        }
        assert!(number < 3_000, "{innocent:?}");
        thread::sleep(Duration::from_millis(10));
    }
    scene.wait_until_refused(&session("innocent"), "revocation_unavailable");
    scene.meddler.forward_to(scene.authority.address());
    scene.wait_until_accepted(&session("innocent"));
    scene.assert_refused(&session("revoked"), 401, "token_revoked");
}

#[test]
fn a_slow_authority_is_waited_for_as_long_as_configured() {
    let mut scene = Scene::new(&soon_stale());
    scene.authority.revoke("session", "revoked");
    scene.wait_until_in_step();
    scene.assert_accepted(&session("innocent"));

    // Some 450 bytes: half a second.
    scene.meddler.trickle(Duration::from_millis(1));
    scene.assert_refused(&session("revoked"), 401, "token_revoked");
    scene.assert_accepted(&session("innocent"));

    // Some 450 bytes: nine seconds, and the filter waits one.
    scene.meddler.trickle(Duration::from_millis(20));
    let asked = Instant::now();
    let again = session("revoked").claim("jti", "another");
    scene.assert_refused(&again, 503, "revocation_unavailable");
    assert!(
        asked.elapsed() < Duration::from_secs(4),
        "{:?}",
        asked.elapsed()
    );
    scene.wait_until_refused(&session("innocent"), "revocation_unavailable");
    scene.meddler.pass();
    scene.meddler.break_connections();
    scene.wait_until_accepted(&session("innocent"));
    scene.wait_until_refused(&again, "token_revoked");
}

#[test]
fn an_authority_that_comes_after_envoy_is_found() {
    let authority = Authority::start();
    authority.revoke("session", "revoked");
    let mut scene = Scene::unready(authority, &json!({}), Meddler::cut);
    scene.assert_refused(&session("innocent"), 503, "revocation_unavailable");
    scene.assert_refused(&session("revoked"), 503, "revocation_unavailable");
    scene.wait_for("portcullis.feed.failures.no_answer", 1);
    scene.meddler.pass();
    scene.wait_until_accepted(&session("innocent"));
    scene.assert_refused(&session("revoked"), 401, "token_revoked");
}

#[test]
fn no_request_is_refused_while_envoy_takes_over_a_new_configuration() {
    let authority = Authority::start();
    authority.revoke("session", "before");
    let bootstrap = |realm: &str| {
        let mut configuration = settings(&authority, &json!({}));
        configuration["realm"] = realm.into();
        Bootstrap::with_plugin(Plugin::new(&configuration))
            .with_authority(authority.address())
            .with_replaceable_listeners()
    };
    let mut envoy = Envoy::start(&bootstrap("first"));
    let stat = |envoy: &Envoy| envoy.stat("wasmcustom.portcullis.feed.generations");
    until(|| envoy.log(), || stat(&envoy) == Some(1));
    thread::sleep(Duration::from_millis(300));
    let revoked = Request::get("/api").bearer(session("before"));
    for number in 0..6 {
        envoy.replace_listeners(&bootstrap(&format!("realm-{number}")));
        // New connections find the new listener, whose machines have just been configured.
        let began = Instant::now();
        let mut count = 0;
        while began.elapsed() < Duration::from_millis(400) {
            let mut client = envoy.client();
            let token = session(&format!("innocent-{number}-{count}"));
            let reply = client.send(&Request::get("/api").bearer(token));
            assert_eq!(
                reply.status,
                200,
                "{number}, {:?}: {reply:?}",
                began.elapsed()
            );
            let reply = client.send(&revoked);
            crate::support::assert_refused(&reply, 401, "token_revoked");
            count += 1;
        }
    }
    authority.revoke("session", "after");
    let revoked = Request::get("/api").bearer(session("after"));
    for mut client in envoy.client_of_every_worker() {
        until(|| envoy.log(), || client.send(&revoked).status == 401);
    }
}

#[test]
fn an_edge_whose_clock_is_as_far_off_as_it_may_be_refuses_the_same() {
    thread::scope(|scope| {
        for offset in [590, -590] {
            scope.spawn(move || {
                let directory = tempfile::tempdir().expect("a temporary directory");
                let library = clock_off_by(offset, directory.path());
                let authority = Authority::start_with(&["--clock-skew", "0s"]);
                authority.revoke("session", "before");
                let mut settings = settings(&authority, &soon_stale());
                settings["providers"]["demo"]["clock_skew_seconds"] = 600.into();
                let bootstrap = Bootstrap::with_plugin(Plugin::new(&settings))
                    .with_authority(authority.address())
                    .with_environment("LD_PRELOAD", library);
                with_another_clock(&authority, &Envoy::start(&bootstrap), offset);
            });
        }
    });
}

/// A library that shifts the clock of a process. libfaketime does more, so much that Envoy does not
/// start with it.
fn clock_off_by(seconds: i64, directory: &Path) -> String {
    const SOURCE: &str = r"
        #include <sys/syscall.h>
        #include <sys/time.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t clock, struct timespec *now) {
            int result = syscall(SYS_clock_gettime, clock, now);
            if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                now->tv_sec += OFFSET;
            return result;
        }
        int gettimeofday(struct timeval *now, void *zone) {
            struct timespec precise;
            clock_gettime(CLOCK_REALTIME, &precise);
            now->tv_sec = precise.tv_sec;
            now->tv_usec = precise.tv_nsec / 1000;
            return 0;
        }
        time_t time(time_t *now) {
            struct timespec precise;
            clock_gettime(CLOCK_REALTIME, &precise);
            if (now) *now = precise.tv_sec;
            return precise.tv_sec;
        }
    ";
    let source = directory.join("clock.c");
    std::fs::write(&source, SOURCE).expect("a file to write");
    let library = directory.join("clock.so");
    let status = Command::new("cc")
        .args(["-shared", "-fPIC", "-D_GNU_SOURCE"])
        .arg(format!("-DOFFSET={seconds}"))
        .arg(&source)
        .arg("-o")
        .arg(&library)
        .status();
    assert!(status.expect("cc, which Rust links with").success());
    library.to_str().expect("a path in UTF-8").to_owned()
}

/// Asserts that Envoy's clock, as its `Date` shows it, is off by this many seconds; otherwise the
/// test would show nothing.
#[expect(
    clippy::disallowed_methods,
    reason = "Envoy's clock is off from the machine's"
)]
fn assert_clock_is_off(envoy: &Envoy, offset: i64) {
    let reply = envoy.client().send(&Request::get("/"));
    let date = reply.header("date").expect("a date");
    let seconds = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        i64::try_from(since.as_secs()).unwrap()
    };
    let found = seconds(read_date(date)) - seconds(SystemTime::now());
    assert!((found - offset).abs() <= 30, "{date} is {found} s off");
}

/// The instant of an `IMF-fixdate` (RFC 9110 section 5.6.7): `Sun, 06 Nov 1994 08:49:37 GMT`.
fn read_date(date: &str) -> SystemTime {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let fields: Vec<&str> = date.split(' ').collect();
    let [_, day, month, year, time, "GMT"] = fields[..] else {
        panic!("no date: {date}");
    };
    let month = MONTHS.iter().position(|name| *name == month).unwrap() + 1;
    humantime::parse_rfc3339(&format!("{year}-{month:02}-{day}T{time}Z")).unwrap()
}

fn with_another_clock(authority: &Authority, envoy: &Envoy, offset: i64) {
    assert_clock_is_off(envoy, offset);
    let mut clients = envoy.client_of_every_worker();
    let mut wait = |token: &crate::support::Token, status: u16| {
        let request = Request::get("/api").bearer(token);
        for client in &mut clients {
            until(|| envoy.log(), || client.send(&request).status == status);
        }
    };
    let (phone, laptop) = (session("phone"), session("laptop"));
    wait(&phone, 200);
    wait(&laptop, 200);
    wait(&session("before"), 401);
    authority.revoke("session", "phone");
    wait(&phone, 401);
    wait(&laptop, 200);
    authority.revoke("subject", "alice");
    wait(&laptop, 401);
    // Longer than `max_staleness`, which is measured by one clock.
    thread::sleep(STALENESS + Duration::from_secs(1));
    wait(&session("new"), 200);
    wait(&laptop, 401);
}
