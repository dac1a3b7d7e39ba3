//! `portcullis schema`: what editors check a configuration by while it is written.

use std::io::Write;

use super::CommandError;

/// Made from the list of all keys; a test fails when it is behind.
const SCHEMA: &str = include_str!("../../envoy/configuration.schema.json");

/// Writes the JSON Schema of the plugin configuration to `output`.
///
/// # Errors
///
/// [`CommandError::Output`] when it does not take it.
pub fn run(output: &mut dyn Write) -> Result<(), CommandError> {
    output
        .write_all(SCHEMA.as_bytes())
        .map_err(CommandError::Output)
}
