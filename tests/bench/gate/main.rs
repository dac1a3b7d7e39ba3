//! Portcullis, Envoy's own `jwt_authn` without and with its cache, an empty Wasm filter and no
//! filter, side by side in one Envoy, on the same requests: processor time that each adds to Envoy
//! for a request, throughput, latency. `README.md` in the directory above says how and why so.

#![allow(
    unused_imports,
    reason = "the support of the tests, of which a bench needs a part"
)]
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

mod client;
mod gates;
mod machine;
mod report;
mod scenarios;
mod statistics;
#[path = "../../support/mod.rs"]
mod support;
mod sweep;
mod tokens;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

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
    /// Cargo says this to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    std::fs::create_dir_all(directory()).expect("a directory to make");
    let mut report = Report::new();
    scenarios::measure(&arguments, &mut report);
    report.finish();
    ExitCode::SUCCESS
}

/// Where the results go.
pub(crate) fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}
