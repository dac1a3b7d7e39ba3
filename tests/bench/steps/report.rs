//! The table.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::about::{self, About};
use crate::directory;
use crate::statistics::{estimate, median, ratio};

/// What was measured so far.
pub(crate) struct Report {
    about: About,
    modules: Vec<PathBuf>,
    steps: Vec<Step>,
}

struct Step {
    name: String,
    /// Nanoseconds, by module.
    samples: Vec<Vec<f64>>,
}

impl Report {
    pub(crate) fn new(about: About, modules: Vec<PathBuf>, steps: &[(usize, String)]) -> Self {
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

    /// Prints the table, and writes it under `target/bench/`, with what [`keep`] has to know.
    pub(crate) fn finish(&self) {
        let tables = self.tables();
        println!("{tables}");
        let about = self.about.to_markdown();
        let text = format!("# Steps inside V8\n\n{about}\n{LEGEND}{tables}");
        fs::write(table_file(), text).expect("a file to write");
        let about = format!("{:#}\n", Value::from(self.about.to_json()));
        fs::write(about_file(), about).expect("a file to write");
        println!("written to {}", table_file().display());
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

/// Copies the table of the last run to `tests/bench/results`.
pub(crate) fn keep() {
    let about = fs::read_to_string(about_file()).expect("the results of a run");
    let about: Value = serde_json::from_str(&about).expect("JSON");
    about::assert_worth_keeping(&about);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR"));
    let kept = repository.join("tests/bench/results/steps.md");
    fs::copy(table_file(), kept).expect("a file to write");
}

fn table_file() -> PathBuf {
    directory().join("steps.md")
}

fn about_file() -> PathBuf {
    directory().join("steps.json")
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
