//! A table to read and a file for programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::Extent;

/// Figures as they come in.
pub(crate) struct Report {
    figures: Map<String, Value>,
    broken: Vec<String>,
    extent: Extent,
}

impl Report {
    pub(crate) fn new(extent: Extent) -> Self {
        println!("{:<58} {:>14}  promise", "figure", "measured");
        Self {
            figures: Map::new(),
            broken: Vec::new(),
            extent,
        }
    }

    /// A figure without a promise.
    pub(crate) fn note(&mut self, name: &str, value: f64, unit: &str) {
        println!("{name:<58} {:>14}", with_unit(value, unit));
        self.keep(name, value, unit, None);
    }

    /// A figure that should be at most `promise`.
    pub(crate) fn promise(&mut self, name: &str, value: f64, promise: f64, unit: &str) {
        self.judge(name, value, ("≤", promise), value <= promise, unit);
    }

    /// A figure that should be at least `promise`.
    pub(crate) fn promise_at_least(&mut self, name: &str, value: f64, promise: f64, unit: &str) {
        self.judge(name, value, ("≥", promise), value >= promise, unit);
    }

    fn judge(
        &mut self,
        name: &str,
        value: f64,
        (relation, promise): (&str, f64),
        is_kept: bool,
        unit: &str,
    ) {
        let verdict = if is_kept { "kept" } else { "BROKEN" };
        let limit = with_unit(promise, unit);
        println!(
            "{name:<58} {:>14}  {relation} {limit}: {verdict}",
            with_unit(value, unit)
        );
        if !is_kept {
            self.broken.push(name.to_owned());
        }
        self.keep(name, value, unit, Some(promise));
    }

    /// Median, 99th percentile and longest of some delays, in milliseconds; the promise is for
    /// the 99th percentile.
    pub(crate) fn delays(&mut self, name: &str, delays: &mut [Duration], promise: Option<f64>) {
        delays.sort_unstable();
        let at = |share: usize| milliseconds(delays[(delays.len() - 1) * share / 1000]);
        self.note(&format!("{name}: p50 of {}", delays.len()), at(500), "ms");
        let p99 = format!("{name}: p99");
        match promise {
            Some(promise) => self.promise(&p99, at(990), promise, "ms"),
            None => self.note(&p99, at(990), "ms"),
        }
        self.note(&format!("{name}: longest"), at(1000), "ms");
    }

    fn keep(&mut self, name: &str, value: f64, unit: &str, promise: Option<f64>) {
        let figure = json!({"value": value, "unit": unit, "promise": promise});
        self.figures.insert(name.to_owned(), figure);
    }

    /// Writes the file. A smoke run is too short for promises to count.
    pub(crate) fn finish(self) -> ExitCode {
        let extent = format!("{:?}", self.extent);
        let document = json!({"extent": extent, "figures": self.figures, "broken": self.broken});
        let file = directory().join("revocation.json");
        fs::create_dir_all(directory()).expect("a directory to make");
        fs::write(&file, format!("{document:#}\n")).expect("a file to write");
        println!("written to {}", file.display());
        if self.broken.is_empty() || self.extent == Extent::Smoke {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn with_unit(value: f64, unit: &str) -> String {
    match value {
        value if value != 0.0 && value.abs() < 0.01 => format!("{value:.2e} {unit}"),
        value if value.fract() == 0.0 => format!("{value} {unit}"),
        value => format!("{value:.2} {unit}"),
    }
}
