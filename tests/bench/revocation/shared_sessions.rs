//! The same sessions in Redis, where several authorities have them together: what they cost there, and
//! what the authority has to do for it.

use std::time::Instant;

use super::redis::{Server, has_redis};
use super::report::Report;
use super::sessions::{RATE, report_each, report_steadily, sessions};
use super::{Extent, process};
use crate::support::Authority;

/// Bytes of Redis' memory for a session, everything counted that the process has more than before.
const PROMISED_BYTES: f64 = 1_000.0;

/// Of a core, Redis and the authority.
const PROMISED_CORES: f64 = 1.5;

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    if !has_redis() {
        return;
    }
    let (count, seconds) = match extent {
        Extent::Smoke => (20_000, 2),
        _ => (1_000_000, 15),
    };
    let server = Server::start(&[]);
    let arguments = ["--log-level", "warn", "--sessions", &server.url()];
    let authority = Authority::start_with(&arguments);
    let memory = || process::kib(server.id(), "VmRSS") * 1024.0;
    let empty = memory();
    let rate = report_each(&authority, count);
    report.note(
        &format!("{count} sessions reported to Redis, one client"),
        rate.round(),
        "/s",
    );
    assert_eq!(sessions(&authority), count, "all are there");
    let each = (memory() - empty) / f64::from(count);
    report.promise("memory of a session in Redis", each, PROMISED_BYTES, "B");

    let cpu = |id| process::cpu(id);
    let (of_authority, of_redis) = (cpu(authority.id()), cpu(server.id()));
    let began = Instant::now();
    let sent = report_steadily(&authority, count, seconds);
    let took = began.elapsed().as_secs_f64();
    let cores = |id, before| process::cpu_since(id, before).as_secs_f64() / took;
    report.promise_at_least(
        "reports, in Redis",
        (f64::from(sent) / took).round(),
        f64::from(RATE) * 0.98,
        "/s",
    );
    let (of_authority, of_redis) = (
        cores(authority.id(), of_authority),
        cores(server.id(), of_redis),
    );
    report.note("cores used by the authority, in Redis", of_authority, "");
    report.note("cores used by Redis", of_redis, "");
    report.promise(
        "cores used, both",
        of_authority + of_redis,
        PROMISED_CORES,
        "",
    );
}
