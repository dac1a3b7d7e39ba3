//! How fast a revocation arrives, and what ten million of them cost: the figures that the design
//! promises, measured in real Envoys against a real authority.
//!
//! `cargo bench --bench revocation -- [--smoke] [--fifty-million] [--entries=N] [PART…]`, where a part is
//! `load`, `sessions`, `propagation`, `signals`, `bulk`, `edges`, `replicas`, `scale` or `switch`, the last part of
//! `scale` alone; without any, all but the last. `PORTCULLIS_WASM` and `ENVOY_BIN`
//! say which filter and which Envoy, as for the tests. It needs some 5,000 open files
//! (`ulimit -n`), and 4 GiB of memory for ten million entries.
//!
//! What is printed goes to `target/bench/revocation.json` as well.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that does not work ends at once"
)]
#![allow(
    clippy::cast_precision_loss,
    reason = "figures are counts far below 2^52, and rounded when they are shown"
)]

#[path = "../../support/machine.rs"]
#[allow(dead_code, reason = "the model needs more of it")]
mod machine;
#[path = "../../support/memory.rs"]
#[allow(dead_code, reason = "the model needs more of it")]
mod memory;
#[path = "../../support/mod.rs"]
mod support;

mod bulk;
mod edges;
mod flood;
mod forgery;
#[path = "../import.rs"]
mod import;
mod load;
#[path = "../../support/postgres.rs"]
#[allow(dead_code, reason = "the tests of databases need more of it")]
mod postgres;
#[path = "../process.rs"]
mod process;
mod propagation;
mod provider;
#[path = "../../support/redis.rs"]
#[allow(dead_code, reason = "the tests of sessions need more of it")]
mod redis;
mod replicas;
mod report;
mod scale;
mod session_ends;
mod sessions;
mod shared_sessions;
mod sign_outs;
mod trickle;

use std::env;
use std::process::ExitCode;

use report::Report;

/// How much is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Under half a minute: enough to see that everything runs.
    Smoke,
    /// The promises.
    Full,
    /// The same, and fifty million entries.
    FiftyMillion,
    /// The same, but only so many entries.
    Entries(u64),
}

fn main() -> ExitCode {
    let mut extent = Extent::Full;
    let mut parts = Vec::new();
    for argument in env::args().skip(1) {
        let entries = argument.strip_prefix("--entries=");
        if let Some(entries) = entries.and_then(|entries| entries.parse().ok()) {
            extent = Extent::Entries(entries);
            continue;
        }
        match argument.as_str() {
            "--smoke" => extent = Extent::Smoke,
            "--fifty-million" => extent = Extent::FiftyMillion,
            // Cargo says this to every bench.
            "--bench" => {}
            "load" | "sessions" | "propagation" | "signals" | "bulk" | "edges" | "replicas"
            | "scale" | "switch" => parts.push(argument),
            _ => {
                eprintln!(
                    "expected [--smoke] [--fifty-million] [--entries=N] [load] [sessions] [propagation] [signals] [bulk] [edges] [replicas] [scale] [switch]"
                );
                return ExitCode::from(2);
            }
        }
    }
    let is_wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    let mut report = Report::new(extent);
    if is_wanted("load") {
        load::measure(extent, &mut report);
    }
    if is_wanted("sessions") {
        sessions::measure(extent, &mut report);
        shared_sessions::measure(extent, &mut report);
    }
    if is_wanted("propagation") {
        propagation::measure(extent, &mut report);
    }
    if is_wanted("signals") {
        sign_outs::measure(extent, &mut report);
        flood::measure(extent, &mut report);
    }
    if is_wanted("bulk") {
        bulk::measure(extent, &mut report);
    }
    if is_wanted("edges") {
        edges::measure(extent, &mut report);
    }
    if is_wanted("replicas") {
        replicas::measure(extent, &mut report);
    }
    if is_wanted("scale") {
        scale::measure(extent, &mut report);
    }
    if parts.iter().any(|part| part == "switch") {
        scale::measure_switch(extent, &mut report);
    }
    report.finish()
}
