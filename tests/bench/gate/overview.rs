//! Figures of one kind side by side, as a summary of the tables.

use std::fmt::Write as _;

use crate::flood::Kept;
use crate::gates::Gate;
use crate::report::{Report, range};
use crate::statistics::{estimate, median};
use crate::sweep::{Measured, added};

/// Those of the flood for every algorithm.
pub(crate) const FORGED: &str = "bound, forged ";

/// The curves that the module has no arithmetic for.
const HOST_ONLY: [&str; 2] = ["ES384", "ES512"];

/// Start and memory of every gate: an empty filter shows what Envoy and V8 need by themselves.
pub(crate) fn starts(report: &Report) -> String {
    if report.starts.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## Start and rest\n\n\
         | | first verdict, ms | memory, MiB | idle, ms of CPU a second |\n|---|---|---|---|\n",
    );
    for start in &report.starts {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} |",
            start.gate.label(),
            range(estimate(&start.milliseconds), 0),
            range(estimate(&start.mebibytes), 1),
            start.idle
        );
    }
    text
}

/// What one forged token costs.
pub(crate) fn forged(report: &Report) -> String {
    let rows = report.scenarios.iter().filter_map(|(name, measured)| {
        let algorithm = name.strip_prefix(FORGED)?;
        let figure = |gate| figure(algorithm, measured, gate);
        let native = figure(Gate::Native);
        let ours = figure(Gate::Portcullis);
        let fallback = figure(Gate::PortcullisFallback);
        Some(format!(
            "| {algorithm} | {native} | {ours} | {fallback} |\n"
        ))
    });
    let rows: String = rows.collect();
    if rows.is_empty() {
        return rows;
    }
    format!(
        "\n## One forged token\n\n\
         | CPU added to Envoy, µs | `jwt_authn` | Portcullis | Portcullis, no host function |\n\
         |---|---|---|---|\n{rows}"
    )
}

/// Whether the tokens of users at work stay in the caches beside a flood.
pub(crate) fn kept(report: &Report) -> String {
    let rows: String = report.kept.iter().map(kept_row).collect();
    if rows.is_empty() {
        return rows;
    }
    format!(
        "\n## Users beside a flood\n\n\
         | | requests of users | answered from the cache | tokens held in the end |\n\
         |---|---|---|---|\n{rows}"
    )
}

fn kept_row(kept: &Kept) -> String {
    let held = kept.held.map_or("–".to_owned(), |held| held.to_string());
    format!(
        "| {} | {} | {:.1} % | {held} |\n",
        kept.gate.label(),
        kept.requests,
        kept.answered as f64 * 100.0 / kept.requests as f64
    )
}

fn figure(algorithm: &str, measured: &Measured, gate: Gate) -> String {
    let figure = format!("{:.0}", median(&added(measured, gate)));
    if gate == Gate::PortcullisFallback && HOST_ONLY.contains(&algorithm) {
        return format!("{figure}, refused unchecked");
    }
    figure
}
