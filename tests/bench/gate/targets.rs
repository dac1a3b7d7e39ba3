//! What is promised, beside what was measured.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::gates::Gate;
use crate::mix;
use crate::report::{Report, range};
use crate::statistics::{Estimate, estimate, ratio};
use crate::sweep::{Measured, added};

/// A promise and its measurement.
pub(crate) struct Target {
    what: String,
    against: &'static str,
    limit: Limit,
    unit: &'static str,
    measured: Estimate,
    /// The same for a filter that makes the host calls and nothing else, where there is one.
    floor: Option<Estimate>,
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    fn is_met(&self) -> bool {
        match self.limit {
            Limit::AtMost(limit) => self.measured.median <= limit,
            Limit::AtLeast(limit) => self.measured.median >= limit,
        }
    }

    fn shown_limit(&self) -> String {
        match self.limit {
            Limit::AtMost(limit) => format!("≤ {limit}{}", self.unit),
            Limit::AtLeast(limit) => format!("≥ {limit}{}", self.unit),
        }
    }

    pub(crate) fn to_json(&self) -> Value {
        let interval = |estimate: Estimate| json!([estimate.median, estimate.low, estimate.high]);
        json!({
            "what": self.what,
            "against": self.against,
            "limit": self.shown_limit(),
            "measured": interval(self.measured),
            "floor": self.floor.map(interval),
            "is_met": self.is_met(),
        })
    }
}

/// Those of which everything was measured.
pub(crate) fn all(report: &Report) -> Vec<Target> {
    let mut targets = Vec::new();
    for (name, other, limit) in RATIOS {
        let Some(measured) = report.scenario(name) else {
            continue;
        };
        let (gate, name) = match other {
            Gate::Portcullis => (
                Gate::PortcullisTenMillion,
                name.trim_start_matches("loaded, "),
            ),
            _ => (Gate::Portcullis, name),
        };
        let ten_million = gate == Gate::PortcullisTenMillion;
        targets.push(Target {
            what: if ten_million {
                format!("{name}, 10 million revocations loaded")
            } else {
                name.to_owned()
            },
            against: match other {
                Gate::Native => "`jwt_authn`",
                Gate::NativeCached => "`jwt_authn` with its cache",
                _ => "the same with none",
            },
            limit: Limit::AtMost(limit),
            unit: " ×",
            measured: ratio(&added(measured, gate), &added(measured, other)),
            floor: floor(measured, other),
        });
    }
    targets.extend(throughput(report));
    targets.extend(start(report).into_iter().flatten());
    targets
}

/// What the host calls alone come to, against another filter.
fn floor(measured: &Measured, other: Gate) -> Option<Estimate> {
    let floor = measured.keys().find(|gate| gate.is_floor())?;
    Some(ratio(&added(measured, *floor), &added(measured, other)))
}

/// Scenario, with whom Portcullis is compared in it, and how much more processor time it may add.
const RATIOS: [(&str, Gate, f64); 10] = [
    ("cold, RS256", Gate::Native, 0.85),
    ("cold, ES256", Gate::Native, 0.92),
    ("cold, EdDSA", Gate::Native, 1.6),
    ("warm, 10,000 tokens, RS256", Gate::NativeCached, 1.1),
    ("warm, one token, RS256", Gate::NativeCached, 1.7),
    ("warm, one token, RS256", Gate::Native, 0.16),
    ("forged, RS256", Gate::Native, 0.85),
    ("forged, ES256", Gate::Native, 0.92),
    ("loaded, cold, RS256", Gate::Portcullis, 1.03),
    ("loaded, warm, 10,000 tokens, RS256", Gate::Portcullis, 1.03),
];

fn throughput(report: &Report) -> Option<Target> {
    let measured = report.scenario(mix::NAME)?;
    let rate = |gate: Gate| measured.get(&gate).map(|samples| &samples.rate[..]);
    Some(Target {
        what: format!("throughput: {}", mix::NAME),
        against: "`jwt_authn`",
        limit: Limit::AtLeast(1.2),
        unit: " ×",
        measured: ratio(rate(Gate::Portcullis)?, rate(Gate::Native)?),
        floor: None,
    })
}

fn start(report: &Report) -> Option<[Target; 2]> {
    let mut starts = report.starts.iter();
    let start = starts.find(|start| start.gate == Gate::Portcullis)?;
    let target = |what: &str, limit, unit, values: &[f64]| Target {
        what: what.to_owned(),
        against: "–",
        limit: Limit::AtMost(limit),
        unit,
        measured: estimate(values),
        floor: None,
    };
    Some([
        target(
            "start of Envoy to the first verdict",
            350.0,
            " ms",
            &start.milliseconds,
        ),
        target("memory at rest", 100.0, " MiB", &start.mebibytes),
    ])
}

pub(crate) fn table(targets: &[Target]) -> String {
    let mut text = String::from(
        "| | against | promise | measured | | host calls alone |\n|---|---|---|---|---|---|\n",
    );
    for target in targets {
        let digits = if target.unit == " ×" { 2 } else { 0 };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} |",
            target.what,
            target.against,
            target.shown_limit(),
            range(target.measured, digits),
            if target.is_met() { "kept" } else { "missed" },
            target
                .floor
                .map_or_else(|| "–".to_owned(), |floor| range(floor, digits))
        );
    }
    text
}
