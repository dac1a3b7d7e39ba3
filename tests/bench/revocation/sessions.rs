//! The registry of sessions: what a million of them cost in memory, what 20,000 reports a second cost
//! beside checks, how long a start with all of them takes, and what it costs others when all of them
//! are idle at once.
//!
//! Every session has a UUID as its name, and its subject another; two belong to one subject. They come
//! from 200,000 networks with three kinds of client, and four in five have a device. Reports come in
//! requests of a thousand, as from edges with many sessions, and the sessions of one request have
//! nothing in common.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Extent;
use super::load::Client;
use super::process;
use super::report::Report;
use super::session_ends;
use crate::support::{Authority, ISSUER, jwks};

/// A second.
pub(crate) const RATE: u32 = 20_000;

/// In a request.
const REPORTS: u32 = 1_000;

/// Bytes of memory for a session, everything counted that the process has more than before.
const PROMISED_BYTES: f64 = 360.0;

/// Of a core.
const PROMISED_CORES: f64 = 0.5;

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    let (count, seconds) = match extent {
        Extent::Smoke => (20_000, 2),
        _ => (1_000_000, 15),
    };
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("authority.json");
    write_file(&file, "20d");
    let file_name = file.to_str().expect("a path in UTF-8");
    let mut authority = Authority::start_with(&["--log-level", "warn", "--config", file_name]);
    let memory = || process::kib(authority.id(), "VmRSS") * 1024.0;
    let empty = memory();
    let cpu = process::cpu(authority.id());
    let rate = report_each(&authority, count);
    report.note(
        &format!("{count} sessions reported, one client"),
        rate.round(),
        "/s",
    );
    let cpu = process::cpu_since(authority.id(), cpu).as_secs_f64();
    report.note(
        "processor time for a new session",
        cpu * 1e6 / f64::from(count),
        "µs",
    );
    assert_eq!(sessions(&authority), count, "all are there");
    let each = (memory() - empty) / f64::from(count);
    report.promise("memory of a session", each, PROMISED_BYTES, "B");

    let mut alone = checks_while(&authority, || {
        thread::sleep(Duration::from_secs(seconds.into()));
    });
    report.delays("exact check, no reports", &mut alone, None);
    let cpu = process::cpu(authority.id());
    let began = Instant::now();
    let mut sent = 0;
    let mut beside = checks_while(&authority, || {
        sent = report_steadily(&authority, count, seconds);
    });
    let took = began.elapsed().as_secs_f64();
    let cpu = process::cpu_since(authority.id(), cpu).as_secs_f64();
    report.promise_at_least(
        "reports",
        (f64::from(sent) / took).round(),
        f64::from(RATE) * 0.98,
        "/s",
    );
    report.delays("exact check, beside reports", &mut beside, None);
    let cores = cpu / took;
    report.promise("cores used, reports and checks", cores, PROMISED_CORES, "");
    // From the next start on, so that none of them ends before.
    write_file(&file, "2s");
    session_ends::measure(&mut authority, (extent, count), report);
}

/// The authority's file, by which sessions end that are not used for so long.
fn write_file(file: &Path, idle_timeout: &str) {
    let keys = file.with_file_name("jwks.json");
    fs::write(&keys, jwks(&["es256"])).expect("a file to write");
    let issuer = json!({
        "issuer": ISSUER, "keys": {"jwks_file": keys}, "session_policy": {"idle_timeout": idle_timeout},
    });
    fs::write(file, json!({"issuers": [issuer]}).to_string()).expect("a file to write");
}

/// How long checks take, one every two milliseconds, for as long as `work` does.
pub(crate) fn checks_while(authority: &Authority, work: impl FnOnce()) -> Vec<Duration> {
    let is_done = AtomicBool::new(false);
    let (address, credential) = (authority.address(), authority.admin_credential());
    let checked = || {
        let mut client = Client::connect(address, "/v1/check", credential);
        let mut delays = Vec::new();
        while !is_done.load(Ordering::Relaxed) {
            let number = delays.len();
            client.ask(&format!(
                r#"{{"issuer":"{ISSUER}","sid":"{number}","jti":"t","subject":"u"}}"#
            ));
            delays.push(client.hear());
            thread::sleep(Duration::from_millis(2));
        }
        delays
    };
    thread::scope(|scope| {
        let checks = scope.spawn(checked);
        work();
        is_done.store(true, Ordering::Relaxed);
        checks.join().unwrap()
    })
}

/// Reports so many sessions once, as one client; how many a second.
pub(crate) fn report_each(authority: &Authority, count: u32) -> f64 {
    let began = Instant::now();
    let mut client = Client::connect(
        authority.address(),
        "/v1/activity",
        authority.admin_credential(),
    );
    for request in 0..count / REPORTS {
        let first = request * REPORTS;
        client.ask(&body(first..first + REPORTS));
        client.hear();
    }
    f64::from(count) / began.elapsed().as_secs_f64()
}

/// Reports sessions that are there, at [`RATE`]. Returns how many were reported.
pub(crate) fn report_steadily(authority: &Authority, count: u32, seconds: u32) -> u32 {
    let mut client = Client::connect(
        authority.address(),
        "/v1/activity",
        authority.admin_credential(),
    );
    let stride = count / REPORTS;
    let bodies: Vec<String> = (0..stride.min(50))
        .map(|first| body((0..REPORTS).map(move |number| number * stride + first)))
        .collect();
    let pause = Duration::from_secs(1) * REPORTS / RATE;
    let requests = RATE * seconds / REPORTS;
    let began = Instant::now();
    for (number, body) in (0..requests).zip(bodies.iter().cycle()) {
        let due = began + pause * number;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        client.ask(body);
        client.hear();
    }
    requests * REPORTS
}

/// Reports of these sessions.
fn body(numbers: impl Iterator<Item = u32>) -> String {
    let mut body = r#"{"version":1,"reports":["#.to_owned();
    for number in numbers.map(u64::from) {
        let uuid = |kind: u64| {
            let mixed = (number * 2 + kind).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            format!(
                "{:08x}-{:04x}-4000-8000-{:012x}",
                mixed >> 32,
                kind,
                mixed & 0xffff_ffff_ffff
            )
        };
        let subject = (number / 2).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let network = number % 200_000;
        let user_agent = match number % 3 {
            0 => "okhttp",
            1 => "cfnetwork",
            _ => "chrome",
        };
        if !body.ends_with('[') {
            body.push(',');
        }
        let _ = write!(
            body,
            r#"{{"issuer":"{ISSUER}","subject":"{:08x}-0000-4000-8000-{:012x}","sid":"{}","client":"app","#,
            subject >> 32,
            subject & 0xffff_ffff_ffff,
            uuid(0),
        );
        if number % 5 > 0 {
            let _ = write!(body, r#""device":"device-{number:08}","#);
        }
        let _ = write!(
            body,
            r#""issued_at":1767225600,"auth_time":1767225600,"expires_at":1767226200,"first_seen_ago":58000,"last_seen_ago":900,"requests":7,"sightings":[{{"network":"{}.{}.{}.0/24","user_agent":"{user_agent}","requests":7,"last_seen_ago":900}}]}}"#,
            11 + network / 65_536,
            network / 256 % 256,
            network % 256,
        );
    }
    body + "]}"
}

/// How many are in the registry.
pub(crate) fn sessions(authority: &Authority) -> u32 {
    metric(authority, "portcullis_sessions")
}

/// The value of a metric that counts something.
pub(crate) fn metric(authority: &Authority, name: &str) -> u32 {
    let (_, metrics) = authority.get("/metrics");
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(value).expect("a count")
}
