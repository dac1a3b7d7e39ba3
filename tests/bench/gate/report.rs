//! Tables for the reader.

use crate::gates::Gate;
use crate::machine;
use crate::statistics::{Estimate, estimate, median, quantile, ratio};
use crate::sweep::{Measured, added};

/// What was measured so far.
pub(crate) struct Report {
    scenarios: Vec<(String, Measured)>,
}

impl Report {
    pub(crate) fn new() -> Self {
        println!("{}; {}", machine::description(), machine::versions());
        Self {
            scenarios: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &str, measured: Measured) {
        print(name, &measured);
        self.scenarios.push((name.to_owned(), measured));
    }

    pub(crate) fn finish(self) {}
}

fn print(name: &str, measured: &Measured) {
    println!("\n{name}");
    println!(
        "{:<28} {:>22} {:>20} {:>20} {:>9} {:>8} {:>8}",
        "", "added CPU, µs", "× jwt_authn", "× with cache", "/s", "p50 µs", "p99 µs"
    );
    for (gate, samples) in measured {
        let own = added(measured, *gate);
        let cpu = match gate {
            Gate::Nobody => format!("({:.1})", median(&samples.cpu)),
            _ => range(estimate(&own), 1),
        };
        let against = |other: Gate| {
            let is_shown = *gate != other && !matches!(gate, Gate::Nobody | Gate::NobodyAgain);
            let others = added(measured, other);
            if is_shown && !others.is_empty() {
                range(ratio(&own, &others), 2)
            } else {
                String::new()
            }
        };
        println!(
            "{:<28} {cpu:>22} {:>20} {:>20} {:>9.0} {:>8.0} {:>8.0}",
            gate.label(),
            against(Gate::Native),
            against(Gate::NativeCached),
            median(&samples.rate),
            quantile(&samples.latencies, 0.5),
            quantile(&samples.latencies, 0.99),
        );
    }
}

fn range(estimate: Estimate, digits: usize) -> String {
    let Estimate { median, low, high } = estimate;
    format!("{median:.digits$} [{low:.digits$}, {high:.digits$}]")
}
