//! `portcullis health`: whether a server is ready, for containers that hold no other program to ask with.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::CommandError;
use super::authority_client::{Client, Place};

/// Less than what engines give a health check by default (30 s), so that the reason is in its output.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);

/// The arguments of `portcullis health`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// What is asked for there; `/ready` on the port of Envoy's admin interface asks Envoy
    #[arg(long, value_name = "PATH", default_value = "/readyz")]
    pub path: String,
}

/// Says `ready` when the answer is a success.
///
/// No credential is read or sent: readiness is no secret.
///
/// # Errors
///
/// [`CommandError::Client`] with the reason.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    Client::without_credential(&arguments.place)?.expect_ready(&arguments.path, ANSWERED_WITHIN)?;
    writeln!(output, "ready").map_err(CommandError::Output)
}
