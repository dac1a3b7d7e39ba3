//! Tables to read, a file for programs, and what is kept of a full run.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::about::{self, About};
use crate::calls;
use crate::flood::Kept;
use crate::gates::Gate;
use crate::statistics::{Estimate, estimate, median, quantile, ratio};
use crate::sweep::{Measured, added};
use crate::targets::{self, Target};
use crate::{directory, overview, plot};

/// What was measured so far.
pub(crate) struct Report {
    pub(crate) about: About,
    pub(crate) scenarios: Vec<(String, Measured)>,
    pub(crate) starts: Vec<Start>,
    pub(crate) kept: Vec<Kept>,
}

/// One gate's Envoy, started again and again.
pub(crate) struct Start {
    pub(crate) gate: Gate,
    /// To the first verdict.
    pub(crate) milliseconds: Vec<f64>,
    /// Resident memory at rest.
    pub(crate) mebibytes: Vec<f64>,
    /// Processor time in a second without requests, in milliseconds.
    pub(crate) idle: f64,
}

impl Start {
    pub(crate) const fn of(gate: Gate) -> Self {
        Self {
            gate,
            milliseconds: Vec::new(),
            mebibytes: Vec::new(),
            idle: 0.0,
        }
    }
}

impl Report {
    pub(crate) fn new(command: String, is_whole: bool) -> Self {
        let about = About::run(command, is_whole);
        print!("{}", about.to_markdown());
        Self {
            about,
            scenarios: Vec::new(),
            starts: Vec::new(),
            kept: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &str, measured: Measured) {
        println!("\n{}", table(name, &measured));
        self.scenarios.push((name.to_owned(), measured));
    }

    pub(crate) fn add_start(&mut self, start: Start) {
        println!(
            "{}: first verdict after {:.0} ms, {:.1} MiB at rest, idle {:.2} ms/s",
            start.gate.label(),
            median(&start.milliseconds),
            median(&start.mebibytes),
            start.idle
        );
        self.starts.push(start);
    }

    pub(crate) fn add_kept(&mut self, kept: Vec<Kept>) {
        self.kept = kept;
        println!("{}", overview::kept(self));
    }

    /// Those that compare the filters in use today.
    pub(crate) fn main_scenarios(&self) -> impl Iterator<Item = &(String, Measured)> {
        let is_main = |name: &str| {
            let has_a_table = name.starts_with("bound") || name.starts_with("loaded");
            !has_a_table && name != calls::NAME
        };
        let scenarios = self.scenarios.iter();
        scenarios.filter(move |(name, _)| is_main(name))
    }

    pub(crate) fn scenario(&self, name: &str) -> Option<&Measured> {
        let mut scenarios = self.scenarios.iter();
        let found = scenarios.find(|(known, _)| known == name);
        found.map(|(_, measured)| measured)
    }

    /// Writes everything under `target/bench/`.
    pub(crate) fn finish(&self) {
        let targets = targets::all(self);
        println!("\n{}", targets::table(&targets));
        let write = |name: &str, text: String| {
            fs::write(directory().join(name), text).expect("a file to write");
        };
        write("gate.md", self.to_markdown(&targets));
        write("gate.json", format!("{:#}\n", self.to_json(&targets)));
        plot::added(self, &directory().join("gate-added.svg"));
        plot::latency(self, &directory().join("gate-latency.svg"));
        println!("written to {}/gate.*", directory().display());
    }

    fn to_markdown(&self, targets: &[Target]) -> String {
        let about = self.about.to_markdown();
        let mut text = format!("# Beside Envoy's own filter\n\n{about}");
        let _ = write!(text, "\n{}", self.summary(targets));
        text += PICTURES;
        text += &overview::starts(self);
        text += &overview::forged(self);
        text += &overview::kept(self);
        text += "\n## Every scenario\n\n";
        text += LEGEND;
        for (name, measured) in &self.scenarios {
            let _ = write!(text, "\n{}", table(name, measured));
        }
        text
    }

    /// The summary.
    fn summary(&self, targets: &[Target]) -> String {
        let mut text = self.about.to_sentence() + "\n\n";
        text += &targets::table(targets);
        let _ = write!(text, "\n{}", self.overview());
        text
    }

    /// Added processor time of every gate in every scenario.
    fn overview(&self) -> String {
        let gates = [
            Gate::Empty,
            Gate::Native,
            Gate::NativeCached,
            Gate::Portcullis,
            Gate::PortcullisAlone,
        ];
        let labels: Vec<_> = gates.iter().map(|gate| gate.label()).collect();
        let mut text = format!(
            "| CPU added to Envoy for a request, µs | {} |\n|---|{}\n",
            labels.join(" | "),
            "---|".repeat(gates.len())
        );
        for (name, measured) in self.main_scenarios() {
            let figure = |gate: &Gate| match added(measured, *gate) {
                values if values.is_empty() => "–".to_owned(),
                values => format!("{:.1}", median(&values)),
            };
            let figures: Vec<_> = gates.iter().map(figure).collect();
            let _ = writeln!(text, "| {name} | {} |", figures.join(" | "));
        }
        text
    }

    fn to_json(&self, targets: &[Target]) -> Value {
        let scenario = |(name, measured): &(String, Measured)| {
            let gates: Vec<_> = measured
                .keys()
                .map(|gate| figures(measured, *gate))
                .collect();
            json!({"name": name, "gates": gates})
        };
        let start = |start: &Start| {
            json!({
                "gate": start.gate.id(),
                "first_verdict_milliseconds": start.milliseconds,
                "resident_mebibytes": start.mebibytes,
                "idle_milliseconds_a_second": start.idle,
            })
        };
        let kept = |kept: &Kept| {
            json!({
                "gate": kept.gate.id(),
                "requests_of_users": kept.requests,
                "answered_from_cache": kept.answered,
                "tokens_held": kept.held,
            })
        };
        let mut results = self.about.to_json();
        let parts = [
            ("targets", targets.iter().map(Target::to_json).collect()),
            ("scenarios", self.scenarios.iter().map(scenario).collect()),
            ("users_beside_a_flood", self.kept.iter().map(kept).collect()),
            ("starts", self.starts.iter().map(start).collect()),
        ];
        results.extend(parts.map(|(name, part): (&str, Value)| (name.to_owned(), part)));
        results.into()
    }
}

/// Copies the results of the last run to `tests/bench/results`.
pub(crate) fn keep() {
    let files = ["gate.md", "gate.json", "gate-added.svg", "gate-latency.svg"];
    keep_files("gate.json", &files);
}

/// Copies `files` to `tests/bench/results`, where the run that `about` tells of is worth it.
pub(crate) fn keep_files(about: &str, files: &[&str]) {
    let about = fs::read_to_string(directory().join(about)).expect("the results");
    let about: Value = serde_json::from_str(&about).expect("JSON");
    about::assert_worth_keeping(&about);
    let results = repository().join("tests/bench/results");
    for name in files {
        let kept = fs::copy(directory().join(name), results.join(name));
        kept.unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn table(name: &str, measured: &Measured) -> String {
    let mut text = format!(
        "| {name} | added CPU, µs | × `jwt_authn` | × its cache | requests/s | p50, µs | p99, µs |\n\
         |---|---|---|---|---|---|---|\n"
    );
    for (gate, samples) in measured {
        let cpu = match gate {
            Gate::NoFilter => format!("({:.1} in all)", median(&samples.cpu)),
            _ => range(estimate(&added(measured, *gate)), 1),
        };
        let against = |other| against(measured, *gate, other).map(|ratio| range(ratio, 2));
        let _ = writeln!(
            text,
            "| {} | {cpu} | {} | {} | {:.0} | {:.0} | {:.0} |",
            gate.label(),
            against(Gate::Native).unwrap_or_default(),
            against(Gate::NativeCached).unwrap_or_default(),
            median(&samples.rate),
            quantile(&samples.latencies, 0.5),
            quantile(&samples.latencies, 0.99),
        );
    }
    text
}

/// The ratio of what two gates add, where that is worth showing.
fn against(measured: &Measured, gate: Gate, other: Gate) -> Option<Estimate> {
    let is_shown = gate != other && !matches!(gate, Gate::NoFilter | Gate::NoFilterAgain);
    let others = added(measured, other);
    let is_there = !others.is_empty();
    (is_shown && is_there).then(|| ratio(&added(measured, gate), &others))
}

fn figures(measured: &Measured, gate: Gate) -> Value {
    let samples = &measured[&gate];
    let interval = |estimate: Estimate| json!([estimate.median, estimate.low, estimate.high]);
    let against = |other| against(measured, gate, other).map(interval);
    let latency = |share| quantile(&samples.latencies, share).round();
    json!({
        "gate": gate.id(),
        "added_microseconds": interval(estimate(&added(measured, gate))),
        "against_jwt_authn": against(Gate::Native),
        "against_its_cache": against(Gate::NativeCached),
        "latency_microseconds": {
            "p50": latency(0.5), "p90": latency(0.9), "p99": latency(0.99), "p99.9": latency(0.999),
        },
        "requests_a_second": samples.rate.iter().map(|rate| rate.round()).collect::<Vec<_>>(),
        "cpu_microseconds": samples.cpu.iter().map(|cpu| hundredths(*cpu)).collect::<Vec<_>>(),
    })
}

fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

pub(crate) fn range(estimate: Estimate, digits: usize) -> String {
    let Estimate { median, low, high } = estimate;
    format!("{median:.digits$} [{low:.digits$}, {high:.digits$}]")
}

const PICTURES: &str = "
![Added CPU](gate-added.svg)

![Latency](gate-latency.svg)
";

const LEGEND: &str = "\
Added CPU is Envoy's processor time for a request less that without a filter in the same sweep: the
median over the sweeps, and the interval that holds it in nine of ten resamplings. Throughput is with
eight requests on their way, latency with one. `no filter, again` is what chance makes of no
difference.
";
