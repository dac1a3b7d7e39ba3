//! `portcullis schema`: what editors check a configuration by while it is written.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::CommandError;

/// Made from the list of all keys; a test fails when it is behind.
pub(super) const FILTER: &str = include_str!("../../envoy/configuration.schema.json");

/// A test compares it with the keys that are read.
const AUTHORITY: &str = include_str!("../../envoy/authority.schema.json");

/// The same.
const SIGNALS: &str = include_str!("../../envoy/signals.schema.json");

/// The arguments of `portcullis schema`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What is configured
    #[arg(long, value_enum, default_value_t = Subject::Filter)]
    pub of: Subject,
}

/// What a schema is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Subject {
    /// The plugin configuration of the filter.
    Filter,
    /// The authority's file (`serve --config`).
    Authority,
    /// The signals file (`serve --signals`).
    Signals,
}

/// Writes the JSON Schema to `output`.
///
/// # Errors
///
/// [`CommandError::Output`] when it does not take it.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let schema = match arguments.of {
        Subject::Filter => FILTER,
        Subject::Authority => AUTHORITY,
        Subject::Signals => SIGNALS,
    };
    output
        .write_all(schema.as_bytes())
        .map_err(CommandError::Output)
}
