//! The table.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::statistics::{estimate, median, ratio};
use crate::{directory, machine};

/// What was measured so far.
pub(crate) struct Report {
    about: String,
    modules: Vec<PathBuf>,
    steps: Vec<Step>,
}

struct Step {
    name: String,
    /// Nanoseconds, by module.
    samples: Vec<Vec<f64>>,
}

/// Machine, versions, date and command.
pub(crate) fn about(command: &str) -> String {
    format!(
        "- machine: {}\n- versions: {}\n- date: {}\n- command: {command}\n",
        machine::description(),
        machine::versions(),
        machine::date(),
    )
}

impl Report {
    pub(crate) fn new(about: String, modules: Vec<PathBuf>, steps: &[(usize, String)]) -> Self {
        let step = |(_, name): &(usize, String)| Step {
            name: name.clone(),
            samples: vec![Vec::new(); modules.len()],
        };
        let steps = steps.iter().map(step).collect();
        Self {
            about,
            modules,
            steps,
        }
    }

    pub(crate) fn add(&mut self, step: usize, module: usize, nanoseconds: f64) {
        self.steps[step].samples[module].push(nanoseconds);
    }

    /// Prints the table, and writes it under `target/bench/`.
    pub(crate) fn finish(&self) {
        let file = directory().join("steps.md");
        let tables = self.tables();
        println!("{tables}");
        let text = format!("# Steps inside V8\n\n{}\n{LEGEND}{tables}", self.about);
        fs::write(&file, text).expect("a file to write");
        println!("written to {}", file.display());
    }

    /// One for each group, which is what stands before the colon.
    fn tables(&self) -> String {
        let mut text = String::new();
        let mut last = "";
        for step in &self.steps {
            let (group, name) = step.name.split_once(": ").expect("a group");
            if group != last {
                let _ = write!(text, "\n{}", self.head(group));
                last = group;
            }
            let _ = writeln!(text, "| {name} |{}", step.cells());
        }
        text
    }

    fn head(&self, group: &str) -> String {
        let others = self.modules.iter().skip(1);
        let others = others.filter_map(|module| module.file_stem());
        let others = others.map(|stem| {
            let stem = stem.to_string_lossy();
            format!(" {stem}, µs | × |")
        });
        let others: Vec<_> = others.collect();
        format!(
            "| {group} | µs |{}\n|---|---|{}\n",
            others.concat(),
            "---|---|".repeat(others.len())
        )
    }
}

impl Step {
    fn cells(&self) -> String {
        let (this, others) = self.samples.split_first().expect("this build");
        let spread = estimate(this);
        let [median_of_this, low, high] =
            [spread.median, spread.low, spread.high].map(microseconds);
        let mut cells = format!(" {median_of_this} [{low}, {high}] |");
        for other in others {
            let ratio = ratio(other, this).median;
            let _ = write!(cells, " {} | {ratio:.2} |", microseconds(median(other)));
        }
        cells
    }
}

/// With three digits that count.
fn microseconds(nanoseconds: f64) -> String {
    let microseconds = nanoseconds / 1e3;
    let digits = match microseconds {
        value if value >= 99.95 => 0,
        value if value >= 9.995 => 1,
        value if value >= 0.995 => 2,
        _ => 3,
    };
    format!("{microseconds:.digits$}")
}

const LEGEND: &str = "\
Microseconds that a step takes inside V8 in Envoy, by the clock: the median over the rounds, and the
interval that holds it in nine of ten resamplings.
";
