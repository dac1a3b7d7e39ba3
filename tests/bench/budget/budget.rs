//! What is allowed, and the table of what was counted.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::process::Cost;
use crate::scenario::REQUESTS;

/// Instructions may be this much above what they were when the budget was written: another
/// compiler makes other code of the same source. Calls, bytes and pages may not.
const HEAD_ROOM: f64 = 1.04;

/// A limit may be this much above what is counted: the head room, and as much for a compiler that
/// makes shorter code.
const SLACK: f64 = 1.1;

/// What was counted, for one request or one tick; of the memory what there was at the end.
pub(crate) struct Counted {
    name: &'static str,
    /// By the names that the budget has for them.
    figures: [(&'static str, f64); 6],
    calls: BTreeMap<String, f64>,
}

impl Counted {
    pub(crate) fn of_requests(name: &'static str, cost: &Cost) -> Self {
        Self::of(name, cost, REQUESTS)
    }

    /// Of something that was done so many times.
    pub(crate) fn of(name: &'static str, cost: &Cost, times: u64) -> Self {
        let each = |count: u64| (count as f64 / times as f64 * 100.0).round() / 100.0;
        let calls = cost.calls.iter();
        Self {
            name,
            figures: [
                ("host_calls", each(cost.host_calls())),
                ("bytes_to_host", each(cost.bytes_to_host)),
                ("bytes_from_host", each(cost.bytes_from_host)),
                ("buffers", each(cost.buffers)),
                ("instructions", each(cost.instructions).round()),
                ("memory_pages", cost.memory_pages as f64),
            ],
            calls: calls
                .map(|(name, count)| (name.clone(), each(*count)))
                .collect(),
        }
    }
}

/// The limits of every scenario, as they stand in the file.
pub(crate) struct Budget(Map<String, Value>);

impl Budget {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string(file()).expect("the budget");
        let budget: Value = serde_json::from_str(&text).expect("JSON");
        Self(budget.as_object().expect("an object").clone())
    }

    /// Makes what was counted the limit.
    pub(crate) fn write(counted: &[Counted]) {
        let limits = |counted: &Counted| {
            let figures = counted.figures.iter().map(|(name, figure)| {
                let limit = match *name {
                    "instructions" => json!((figure * HEAD_ROOM).ceil()),
                    _ => json!(figure),
                };
                ((*name).to_owned(), limit)
            });
            (counted.name.to_owned(), Value::Object(figures.collect()))
        };
        let budget: Map<_, _> = counted.iter().map(limits).collect();
        fs::write(file(), format!("{:#}\n", Value::Object(budget))).expect("a file to write");
    }

    /// One line for every limit that is passed, and for every scenario that has none.
    pub(crate) fn faults(&self, counted: &[Counted]) -> Vec<String> {
        let mut faults = Vec::new();
        for scenario in counted {
            let name = scenario.name;
            for (figure, found) in scenario.figures {
                match self.0.get(name).and_then(|limits| limits[figure].as_f64()) {
                    None => faults.push(format!("{name}: no budget for {figure}")),
                    Some(limit) if found > limit => faults.push(format!(
                        "{name}: {figure}: {found} counted, {limit} allowed ({:+.1} %)",
                        (found / limit - 1.0) * 100.0
                    )),
                    // What was gained once must not be lost again unseen.
                    Some(limit) if figure == "instructions" && found * SLACK < limit => {
                        faults.push(format!(
                            "{name}: {figure}: {found} counted, {limit} allowed, which is more \
                             than it takes; make it the limit: PORTCULLIS_BUDGET=write"
                        ));
                    }
                    Some(_) => {}
                }
            }
        }
        let is_counted = |name: &str| counted.iter().any(|scenario| scenario.name == name);
        let gone = self.0.keys().filter(|name| !is_counted(name));
        faults.extend(gone.map(|name| format!("{name}: in the budget, but not counted")));
        faults
    }
}

/// Shows what was counted, and keeps it in `target/bench/budget.md`.
pub(crate) fn report(counted: &[Counted]) {
    let table = table(counted);
    print!("{table}");
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&directory).expect("a directory to make");
    fs::write(directory.join("budget.md"), table).expect("a file to write");
}

fn table(counted: &[Counted]) -> String {
    let mut table = String::from(
        "| | instructions | host calls | bytes to host | from host | buffers | memory, 64 KiB |\n\
         |---|---|---|---|---|---|---|\n",
    );
    for scenario in counted {
        let [calls, to_host, from_host, buffers, instructions, pages] =
            scenario.figures.map(|(_, figure)| figure);
        writeln!(
            table,
            "| {} | {instructions} | {calls} | {to_host} | {from_host} | {buffers} | {pages} |",
            scenario.name
        )
        .expect("text");
    }
    table += "\nHost calls by name:\n\n";
    for scenario in counted {
        let calls = scenario.calls.iter();
        let calls: Vec<_> = calls
            .map(|(name, count)| format!("{} {count}", name.trim_start_matches("proxy_")))
            .collect();
        writeln!(table, "- {}: {}", scenario.name, calls.join(", ")).expect("text");
    }
    table
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/budget.json")
}
