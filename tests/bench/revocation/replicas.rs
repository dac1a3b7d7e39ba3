//! Authorities on a PostgreSQL database: how many revocations one and three of them take, beside what the
//! database takes of such transactions by itself; how fast what one has acknowledged reaches edges of all; what
//! ten million entries cost there; and what goes on while the database is away.
//!
//! The server has the settings that it comes with, and acknowledges a commit when it is on the disk. It shares
//! the machine with authorities, clients and Envoys.

mod away;
mod full;
mod statements;

use std::time::Duration;

use serde_json::json;

use super::Extent;
use super::import::import;
use super::load;
use super::postgres::{Server, has_postgres};
use super::process;
use super::propagation::{ENVOYS, bootstrap, one_round};
use super::report::Report;
use crate::support::{Authority, Client, Envoy, until};

/// Connections at once, to all authorities together.
pub(crate) const CLIENTS: usize = 256;

/// Authorities on one database.
const REPLICAS: usize = 3;

/// A second, whether one authority takes them or three.
const PROMISED_SINGLE: f64 = 5_000.0;

/// A second, of a million in one import.
const PROMISED_IMPORTED: f64 = 40_000.0;

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    if !has_postgres() {
        return;
    }
    let mut server = Server::start_with(&["fsync=on", "synchronous_commit=on"]);
    single(&server, 1, extent, report);
    single(&server, REPLICAS, extent, report);
    imported(&server, extent, report);
    propagated(&server, extent, report);
    let (authority, entries) = full::measure(&server, extent, report);
    away::measure(&mut server, &authority, entries, extent, report);
}

/// So many authorities on a new database.
fn start(server: &Server, name: &str, count: usize) -> Vec<Authority> {
    let mut authorities = vec![on(&server.database(name), &[])];
    for _ in 1..count {
        authorities.push(authorities[0].start_beside());
    }
    authorities
}

/// The first authority on a database.
fn on(url: &str, arguments: &[&str]) -> Authority {
    let store = ["--log-level", "warn", "--store", url];
    Authority::start_with(&[&store, arguments].concat())
}

fn single(server: &Server, count: usize, extent: Extent, report: &mut Report) {
    let seconds = seconds(extent);
    let database = format!("single_{count}");
    let authorities = start(server, &database, count);
    let all: Vec<&Authority> = authorities.iter().collect();
    let commits = || -> f64 { all.iter().map(|authority| load::commits(authority)).sum() };
    let commits_before = commits();
    let spent = Spent::until_now(server, &all);
    let mut run = load::revoke(&all, CLIENTS, seconds);
    let spent = Spent::until_now(server, &all).since(spent);
    let label = format!("{count} on a database");
    let (rate, revoked) = (run.rate(), run.delays.len());
    let name = format!("{label}: durable single revocations, {CLIENTS} clients");
    report.promise_at_least(&name, rate, PROMISED_SINGLE, "/s");
    report.delays(
        &format!("{label}: single revocation"),
        &mut run.delays,
        None,
    );
    let commits = commits() - commits_before;
    let name = format!("{label}: revocations in one commit");
    report.note(&name, revoked as f64 / commits, "");
    report.note(
        &format!("{label}: commits"),
        commits / run.took.as_secs_f64(),
        "/s",
    );
    spent.report(&label, run.took, report);
    for authority in &all {
        let entries = || authority.stats()["entries"].as_u64();
        until(|| authority.log(), || entries() == Some(revoked as u64));
    }
    drop(authorities);
    let own = statements::rate(server, &database, seconds);
    report.note(&format!("{label}: by pgbench, one in a commit"), own, "/s");
    report.note(
        &format!("{label}: times as many as pgbench"),
        rate / own,
        "",
    );
}

const fn seconds(extent: Extent) -> u64 {
    match extent {
        Extent::Smoke => 1,
        _ => 10,
    }
}

fn imported(server: &Server, extent: Extent, report: &mut Report) {
    let lines = match extent {
        Extent::Smoke => 20_000,
        _ => 1_000_000,
    };
    let authorities = start(server, "imported", 1);
    let all: Vec<&Authority> = authorities.iter().collect();
    let spent = Spent::until_now(server, &all);
    let took = import(all[0], 0, lines);
    let spent = Spent::until_now(server, &all).since(spent);
    let rate = (lines as f64 / took.as_secs_f64()).round();
    let name = format!("{lines} imported into a database");
    report.promise_at_least(&name, rate, PROMISED_IMPORTED, "/s");
    let each = |spent: Duration| spent.as_secs_f64() * 1e6 / lines as f64;
    let name = "processor time for each that is imported";
    report.note(&format!("{name}, authority"), each(spent.authorities), "µs");
    report.note(&format!("{name}, database"), each(spent.database), "µs");
    assert_eq!(all[0].stats()["entries"].as_u64(), Some(lines));
}

/// Each is acknowledged by the next of the authorities, whichever of them an edge polls.
fn propagated(server: &Server, extent: Extent, report: &mut Report) {
    let (envoys, rounds) = match extent {
        Extent::Smoke => (2, 10),
        _ => (ENVOYS, 200),
    };
    let authorities = start(server, "propagated", REPLICAS);
    let addresses: Vec<_> = authorities.iter().map(Authority::address).collect();
    let bootstrap = bootstrap(&authorities[0], &json!({})).with_authorities(&addresses);
    let envoys: Vec<Envoy> = (0..envoys).map(|_| Envoy::start(&bootstrap)).collect();
    let clients = envoys.iter().flat_map(Envoy::client_of_every_worker);
    let mut clients: Vec<Client> = clients.collect();
    let (mut last, mut all) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let delays = one_round(&authorities[round % REPLICAS], &mut clients, round);
        last.push(delays.iter().copied().max().expect("a worker"));
        all.extend(delays);
    }
    let label = format!("{REPLICAS} on a database, {} Envoys", envoys.len());
    let name = format!("{label}: acknowledged → refused by all");
    report.delays(&name, &mut last, Some(250.0));
    report.delays(&format!("{label}: each worker for itself"), &mut all, None);
}

/// Processor time.
#[derive(Clone, Copy)]
struct Spent {
    authorities: Duration,
    database: Duration,
    clients: Duration,
}

impl Spent {
    fn until_now(server: &Server, authorities: &[&Authority]) -> Self {
        let each = authorities
            .iter()
            .map(|authority| process::cpu(authority.id()));
        Self {
            authorities: each.sum(),
            database: process::cpu_with_children(server.id()),
            clients: process::cpu(std::process::id()),
        }
    }

    fn since(self, earlier: Self) -> Self {
        Self {
            authorities: self.authorities.saturating_sub(earlier.authorities),
            database: self.database.saturating_sub(earlier.database),
            clients: self.clients.saturating_sub(earlier.clients),
        }
    }

    fn report(self, label: &str, took: Duration, report: &mut Report) {
        for (who, spent) in [
            ("authorities", self.authorities),
            ("database", self.database),
            ("clients", self.clients),
        ] {
            let cores = spent.as_secs_f64() / took.as_secs_f64();
            report.note(&format!("{label}: cores that the {who} used"), cores, "");
        }
    }
}
