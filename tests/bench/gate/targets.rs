//! Promises beside measurements.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::calls::Calls;
use crate::gates::Gate;
use crate::report::{Report, Start, range};
use crate::statistics::{Estimate, estimate, ratio};
use crate::sweep::{Measured, added};
use crate::{mix, proofs};

/// A promise and its measurement.
pub(crate) struct Target {
    what: String,
    against: &'static str,
    limit: Limit,
    unit: &'static str,
    measured: Estimate,
    /// The same for a filter that makes the same host calls and nothing else, where there is one.
    calls: Option<Estimate>,
    /// For what comes to the least that is possible: the fewest host calls, with the token decoded
    /// where it is new, or an empty filter.
    floor: Option<Estimate>,
}

#[derive(Clone, Copy)]
enum Limit {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    /// Undecided: the limit is within the interval of the measurement.
    const fn verdict(&self) -> &'static str {
        let Estimate { low, high, .. } = self.measured;
        match self.limit {
            Limit::AtMost(limit) if high <= limit => "kept",
            Limit::AtLeast(limit) if low >= limit => "kept",
            Limit::AtMost(limit) if low > limit => "missed",
            Limit::AtLeast(limit) if high < limit => "missed",
            _ => "undecided",
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
            "host_calls_alone": self.calls.map(interval),
            "floor": self.floor.map(interval),
            "verdict": self.verdict(),
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
            calls: calls(measured, other, Calls::are_own),
            floor: match other {
                Gate::Portcullis => Some(ratio(
                    &added(measured, Gate::PortcullisAgain),
                    &added(measured, other),
                )),
                _ => calls(measured, other, Calls::decode)
                    .or_else(|| calls(measured, other, Calls::are_fewest)),
            },
        });
    }
    for (name, other, limit) in PROOFS {
        targets.extend(of_proofs(report, name, other, limit));
    }
    targets.extend(throughput(report));
    targets.extend(start(report).into_iter().flatten());
    targets
}

/// What a plan of host calls comes to, against another filter.
fn calls(measured: &Measured, other: Gate, is_it: impl Fn(&Calls) -> bool) -> Option<Estimate> {
    let is_it = |gate: &&Gate| matches!(gate, Gate::Calls(calls) if is_it(calls));
    let calls = measured.keys().find(is_it)?;
    Some(ratio(&added(measured, *calls), &added(measured, other)))
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

/// Scenario, the one with which it is compared, and how much more processor time it may add.
const PROOFS: [(&str, &str, f64); 2] = [
    (proofs::WITH_PROOF, proofs::COLD, 1.15),
    (proofs::FORGED_PROOF, proofs::FORGED_TOKEN, 1.0),
];

fn of_proofs(report: &Report, name: &str, other: &'static str, limit: f64) -> Option<Target> {
    let measured = [report.scenario(name)?, report.scenario(other)?];
    let [own, other_own] = measured.map(|measured| added(measured, Gate::PortcullisBound));
    Some(Target {
        what: name.to_owned(),
        against: other,
        limit: Limit::AtMost(limit),
        unit: " ×",
        measured: ratio(&own, &other_own),
        calls: None,
        floor: None,
    })
}

fn throughput(report: &Report) -> Option<Target> {
    let measured = report.scenario(mix::NAME)?;
    let rate = |gate: Gate| measured.get(&gate).map(|samples| &samples.rate[..]);
    Some(Target {
        what: format!("throughput: {}", mix::NAME),
        against: "`jwt_authn`",
        limit: Limit::AtLeast(1.2),
        unit: " ×",
        measured: ratio(rate(Gate::Portcullis)?, rate(Gate::Native)?),
        calls: None,
        floor: None,
    })
}

fn start(report: &Report) -> Option<[Target; 2]> {
    let start_of = |gate| report.starts.iter().find(|start| start.gate == gate);
    let (start, empty) = (start_of(Gate::Portcullis)?, start_of(Gate::Empty)?);
    let target = |what: &str, limit, unit, values: fn(&Start) -> &[f64]| Target {
        what: what.to_owned(),
        against: "–",
        limit: Limit::AtMost(limit),
        unit,
        measured: estimate(values(start)),
        calls: None,
        floor: Some(estimate(values(empty))),
    };
    Some([
        target(
            "start of Envoy to the first verdict",
            350.0,
            " ms",
            |start| &start.milliseconds,
        ),
        target("memory at rest", 100.0, " MiB", |start| &start.mebibytes),
    ])
}

pub(crate) fn table(targets: &[Target]) -> String {
    let mut text = String::from(
        "| | against | promise | measured | | host calls alone | floor |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for target in targets {
        let digits = if target.unit == " ×" { 2 } else { 0 };
        let shown = |estimate: Option<Estimate>| {
            estimate.map_or_else(|| "–".to_owned(), |estimate| range(estimate, digits))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} |",
            target.what,
            target.against,
            target.shown_limit(),
            range(target.measured, digits),
            target.verdict(),
            shown(target.calls),
            shown(target.floor)
        );
    }
    text
}
