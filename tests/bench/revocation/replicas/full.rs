//! Ten million entries in the database: what they take there, and a start of an authority with them.

use std::time::Instant;

use super::super::Extent;
use super::super::import::import;
use super::super::process;
use super::super::report::Report;
use super::away::lease;
use super::on;
use crate::postgres::Server;
use crate::support::Authority;

const DATABASE: &str = "filled";

/// Gives the authority, which has been started with them, and how many there are.
pub(super) fn measure(server: &Server, extent: Extent, report: &mut Report) -> (Authority, u64) {
    let entries = match extent {
        Extent::Smoke => 20_000,
        Extent::Entries(entries) => entries,
        Extent::Full | Extent::FiftyMillion => 10_000_000,
    };
    let label = format!("{entries} in a database");
    let lease = format!("{}s", lease(extent).as_secs());
    let arguments = ["--lease", &lease];
    let mut authority = on(&server.database(DATABASE), &arguments);
    let bytes = || -> f64 {
        let size = server.ask(DATABASE, "SELECT pg_database_size(current_database())");
        size.parse().expect("a number")
    };
    let empty = bytes();
    let took = import(&authority, 0, entries).as_secs_f64();
    report.note(&format!("{label}: imported"), took, "s");
    report.note(
        &format!("{label}: imported a second"),
        entries as f64 / took,
        "",
    );
    let each = (bytes() - empty) / entries as f64;
    report.note(
        &format!("{label}: bytes of the database for each"),
        each,
        "bytes",
    );
    let started = Instant::now();
    authority.restart();
    let took = started.elapsed().as_secs_f64();
    report.note(
        &format!("{label}: authority killed and ready again"),
        took,
        "s",
    );
    for (name, what) in [("VmRSS", "memory"), ("VmHWM", "most memory so far")] {
        let memory = process::kib(authority.id(), name) / 1024.0;
        report.note(&format!("{label}: authority's {what}"), memory, "MiB");
    }
    assert_eq!(authority.stats()["entries"].as_u64(), Some(entries));
    (authority, entries)
}
