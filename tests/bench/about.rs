//! What a run was: where, when and of what, and whether its results can stand for the project.

use serde_json::{Map, Value, json};

use crate::machine;

/// Fewer rounds say too little to be kept.
pub(crate) const FEWEST_ROUNDS: usize = 5;

/// With more than this for each core when it began, a run has measured something else besides.
const MOST_LOAD: f64 = 0.5;

/// The run.
pub(crate) struct About {
    /// Machine, versions, date and command.
    lines: [(&'static str, String); 4],
    /// Whether everything was measured, and often enough.
    is_whole: bool,
    /// When it began.
    load_per_core: f64,
}

impl About {
    /// A run that begins now.
    pub(crate) fn run(command: String, is_whole: bool) -> Self {
        Self {
            lines: [
                ("machine", machine::description()),
                ("versions", machine::versions()),
                ("date", machine::date()),
                ("command", command),
            ],
            is_whole,
            load_per_core: machine::load_per_core(),
        }
    }

    /// A list.
    pub(crate) fn to_markdown(&self) -> String {
        let line = |(name, text): &(_, String)| format!("- {name}: {text}\n");
        let lines: Vec<_> = self.lines.iter().map(line).collect();
        lines.concat()
    }

    /// The same as a sentence, without the command.
    pub(crate) fn to_sentence(&self) -> String {
        let [(_, machine), (_, versions), (_, date), _] = &self.lines;
        format!("Measured on {date}: {machine}; {versions}.")
    }

    /// What [`assert_worth_keeping`] has to know, for a file beside the results.
    pub(crate) fn to_json(&self) -> Map<String, Value> {
        let lines = self.lines.iter();
        let lines: Map<_, _> = lines
            .map(|(name, text)| ((*name).to_owned(), Value::from(text.as_str())))
            .collect();
        let about = json!({
            "about": lines,
            "is_whole": self.is_whole,
            "load_per_core": self.load_per_core,
        });
        about.as_object().cloned().unwrap_or_default()
    }
}

/// Ends the program unless a run can stand for the project, as its results for machines say: a
/// whole one, of a commit, on a machine that was idle before.
pub(crate) fn assert_worth_keeping(results: &Value) {
    let about = &results["about"];
    assert!(
        results["is_whole"] == true,
        "the last run was not a whole one: {}",
        about["command"]
    );
    let versions = about["versions"].as_str().expect("the versions");
    assert!(
        !versions.contains("-dirty"),
        "the last run was of sources that are in no commit: {versions}"
    );
    let load = &results["load_per_core"];
    assert!(
        load.as_f64().is_some_and(|load| load <= MOST_LOAD),
        "the machine was at work when the last run began: a load of {load} per core, at most \
         {MOST_LOAD} allowed; hint: build first, and begin a few minutes later"
    );
}
