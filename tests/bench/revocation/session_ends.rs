//! A start with all sessions, and all of them idle at once: what does a user notice who is revoked
//! meanwhile?
//!
//! After a start, every session counts as used then. So all of them become idle at the same instant.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::Extent;
use super::load::Client;
use super::process;
use super::propagation::{bootstrap, one_round};
use super::report::Report;
use super::sessions::{checks_while, metric, sessions};
use crate::support::{Authority, Envoy};

/// The edge says that it reports as often as this, in milliseconds.
const INTERVAL: u64 = 300;

/// Those that have ended for being idle.
const ENDED: &str = "portcullis_sessions_ended_total{cause=\"idle\"}";

/// A second: what the authority promises not to exceed.
const PROMISED_ENDS: f64 = 1_050.0;

/// For a revocation while sessions end, in milliseconds, as at any other time.
const PROMISED_PROPAGATION: f64 = 250.0;

/// How long the authority waits for a change before it writes the next snapshot.
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(30);

/// When so long nothing was written, the snapshot is whole.
const QUIET: Duration = Duration::from_secs(5);

pub(crate) fn measure(
    authority: &mut Authority,
    (extent, count): (Extent, u32),
    report: &mut Report,
) {
    let rounds = match extent {
        Extent::Smoke => 5,
        _ => 150,
    };
    start_anew(authority, count, report);
    let envoy = Envoy::start(&bootstrap(authority, &serde_json::json!({})));
    let mut clients = envoy.client_of_every_worker();
    let mut revocations = |first: usize| -> Vec<Duration> {
        let rounds = first..first + rounds;
        let delays = rounds.map(|round| one_round(authority, &mut clients, round));
        delays
            .map(|delays| delays.into_iter().max().expect("a worker"))
            .collect()
    };
    let mut delays = Vec::new();
    let mut checks = checks_while(authority, || delays = revocations(0));
    report.delays(
        "no session ends: acknowledged → refused by every worker",
        &mut delays,
        None,
    );
    report.delays("no session ends: exact check", &mut checks, None);

    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| report_nothing(authority, &is_done));
        while metric(authority, ENDED) == 0 {
            thread::sleep(Duration::from_millis(20));
        }
        let (began, ended) = (Instant::now(), metric(authority, ENDED));
        let cpu = process::cpu(authority.id());
        let mut checks = checks_while(authority, || delays = revocations(rounds));
        let cpu = process::cpu_since(authority.id(), cpu).as_secs_f64();
        let took = began.elapsed().as_secs_f64();
        let ended = metric(authority, ENDED) - ended;
        is_done.store(true, Ordering::Relaxed);
        let name = |what: &str| format!("{count} sessions idle at once: {what}");
        let rate = f64::from(ended) / took;
        report.promise(&name("ends"), rate, PROMISED_ENDS, "/s");
        report.delays(
            &name("acknowledged → refused by every worker"),
            &mut delays,
            Some(PROMISED_PROPAGATION),
        );
        report.delays(&name("exact check"), &mut checks, None);
        report.note(&name("cores used by the authority"), cpu / took, "");
    });
}

/// Kills the authority when everything is in its snapshot, and starts it again.
fn start_anew(authority: &mut Authority, count: u32, report: &mut Report) {
    thread::sleep(SNAPSHOT_INTERVAL);
    let file = authority.data().join("sessions.redb");
    let written = loop {
        let metadata = file.metadata().expect("a snapshot");
        let modified = metadata.modified().expect("a time");
        if modified.elapsed().is_ok_and(|age| age > QUIET) {
            break metadata.len();
        }
        thread::sleep(Duration::from_millis(100));
    };
    let each = written as f64 / f64::from(count);
    report.note("snapshot of a session", each, "bytes on the disk");
    let began = Instant::now();
    authority.restart();
    report.note(
        &format!("{count} sessions: authority killed and ready again"),
        began.elapsed().as_secs_f64(),
        "s",
    );
    while sessions(authority) < count {
        thread::sleep(Duration::from_millis(20));
        assert!(began.elapsed() < Duration::from_mins(5), "not all are back");
    }
    report.note(
        &format!("{count} sessions: all in the registry again"),
        began.elapsed().as_secs_f64(),
        "s",
    );
}

/// Says that there is nothing to report, as an edge does whose users do nothing.
fn report_nothing(authority: &Authority, is_done: &AtomicBool) {
    let credential = authority.admin_credential();
    let mut client = Client::connect(authority.address(), "/v1/activity", credential);
    let body = format!(r#"{{"version":1,"interval":{INTERVAL},"reports":[]}}"#);
    while !is_done.load(Ordering::Relaxed) {
        client.ask(&body);
        client.hear();
        thread::sleep(Duration::from_millis(INTERVAL / 3));
    }
}
