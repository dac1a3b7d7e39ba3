//! Exact checks with the database there and while it is away, and what comes after.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::Extent;
use super::super::load;
use super::super::report::Report;
use super::{CLIENTS, seconds};
use crate::postgres::Server;
use crate::support::{Authority, ISSUER, PATIENCE};

/// For so long an authority answers from memory: ten seconds by default.
pub(super) const fn lease(extent: Extent) -> Duration {
    match extent {
        Extent::Smoke => Duration::from_secs(5),
        _ => Duration::from_secs(10),
    }
}

/// How many seconds clients go on after the database was killed: within the lease, on a busy machine too.
const fn away(extent: Extent) -> u64 {
    match extent {
        Extent::Smoke => 1,
        _ => 7,
    }
}

const PAUSE: Duration = Duration::from_millis(2);

/// After the database is back. An authority looks for it a few times a second.
const PROMISED_BACK: f64 = 1.0;

pub(super) fn measure(
    server: &mut Server,
    authority: &Authority,
    entries: u64,
    extent: Extent,
    report: &mut Report,
) {
    let label = format!("{entries} in a database");
    checks(
        authority,
        entries,
        seconds(extent),
        &format!("{label}: exact check"),
        report,
    );
    let killed = Instant::now();
    server.kill();
    // One that was refused would end it all.
    checks(
        authority,
        entries,
        away(extent),
        &format!("{label}, which is away: exact check"),
        report,
    );
    let (status, answer) = revoke(authority);
    assert_eq!(status, 503, "{answer}");
    let refused = until(|| {
        let request = json!({"issuer": ISSUER, "sid": "session-000000000001"});
        let (status, answer) = authority.post("/v1/check", &request.to_string());
        match status {
            200 => None,
            _ => Some((status, answer)),
        }
    });
    let after = killed.elapsed().as_secs_f64();
    let answer: Value = serde_json::from_str(&refused.1).expect("JSON");
    assert_eq!((refused.0, &answer["code"]), (503, &json!("database_away")));
    report.promise_at_least(
        &format!("{label}, which is away: checks answered for"),
        after,
        lease(extent).as_secs_f64() - 0.5,
        "s",
    );
    server.restart();
    let back = Instant::now();
    until(|| (revoke(authority).0 == 200).then_some(()));
    let after = back.elapsed().as_secs_f64();
    let name = format!("{label}, which is back: revocations taken after");
    report.promise(&name, after, PROMISED_BACK, "s");
}

/// Of sessions that are revoked.
fn checks(authority: &Authority, entries: u64, seconds: u64, name: &str, report: &mut Report) {
    let mut run = load::check(&[authority], CLIENTS, seconds, |client, round| {
        let number = (round * CLIENTS as u64 + client as u64) % entries;
        format!("session-{number:012}")
    });
    report.note(&format!("{name}s"), run.rate(), "/s");
    report.delays(name, &mut run.delays, None);
}

fn revoke(authority: &Authority) -> (u16, String) {
    let request = json!({"kind": "session", "issuer": ISSUER, "value": "after"});
    authority.post("/v1/revocations", &request.to_string())
}

fn until<T>(look: impl Fn() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "does not come to be");
        thread::sleep(PAUSE);
    }
}
