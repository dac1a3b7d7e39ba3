//! Portcullis, Envoy's own `jwt_authn` without and with its cache, an empty Wasm filter and no
//! filter, side by side in one Envoy, on the same requests: processor time that each adds to Envoy
//! for a request, throughput, latency. `README.md` in the directory above says how and why so.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that does not work ends at once"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are far below 2^52, and rounded when they are shown"
)]

#[path = "../about.rs"]
mod about;
mod bound;
mod calls;
mod client;
mod flood;
mod gates;
#[path = "../import.rs"]
mod import;
mod loaded;
#[path = "../machine.rs"]
mod machine;
mod mix;
mod overview;
mod peers;
mod plot;
#[path = "../process.rs"]
#[allow(dead_code, reason = "the bench of revocation needs more of it")]
mod process;
mod proofs;
mod report;
mod scenarios;
mod series;
mod signed;
mod start;
#[path = "../statistics.rs"]
mod statistics;
#[path = "../../support/mod.rs"]
mod support;
mod sweep;
mod targets;
mod tokens;
mod upstream;

use std::env;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use about::FEWEST_ROUNDS;
use clap::Parser;
use report::Report;
use scenarios::Part;

/// What is measured, and how long.
#[derive(Debug, Parser)]
#[command(name = "gate", about = "Portcullis beside Envoy's own filter")]
pub(crate) struct Arguments {
    /// Parts to be measured; without any, all of them
    #[arg(value_enum)]
    parts: Vec<Part>,
    /// Only as much as shows that everything works
    #[arg(long)]
    smoke: bool,
    /// Sweeps of each scenario
    #[arg(long)]
    rounds: Option<usize>,
    /// Another build of the filter, which is measured beside this one
    #[arg(long)]
    other: Option<PathBuf>,
    /// Measure nothing; keep the results of the last run, which has to be a whole one, in
    /// tests/bench/results; with `peers`, of the last one of that part
    #[arg(long)]
    keep: bool,
    /// Cargo says this to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// Whether the results can stand for the project: everything, as often as it takes.
    fn is_whole(&self) -> bool {
        let is_long = self.rounds.is_none_or(|rounds| rounds >= FEWEST_ROUNDS);
        let is_all = self.parts.is_empty() || self.is_of_peers();
        is_all && self.other.is_none() && !self.smoke && is_long
    }

    /// Whether this is the one part with results of its own.
    fn is_of_peers(&self) -> bool {
        self.parts == [Part::Peers]
    }
}

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some(peers::HELPER) {
        peers::serve();
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::parse();
    if arguments.keep {
        if arguments.is_of_peers() {
            peers::keep();
        } else {
            report::keep();
        }
        return ExitCode::SUCCESS;
    }
    std::fs::create_dir_all(directory()).expect("a directory to make");
    let words: Vec<String> = env::args()
        .skip(1)
        .filter(|word| word != "--bench")
        .collect();
    let command = format!("./build.sh bench gate -- {}", words.join(" "));
    let mut report = Report::new(command, arguments.is_whole());
    scenarios::measure(&arguments, &mut report);
    if !arguments.is_of_peers() {
        report.finish();
    }
    ExitCode::SUCCESS
}

/// Where the results go.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}
