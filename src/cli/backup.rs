//! `portcullis backup`: a copy of the authority's store.

use std::io::Write;

use clap::Args;

use super::authority_client::{self, Client};
use super::{CommandError, print_json};
use crate::authority::http::BackupAnswer;

/// The arguments of `portcullis backup`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the authority is.
    #[command(flatten)]
    pub authority: authority_client::Arguments,
}

/// Has the copy made on the authority's disk, and prints its path there.
///
/// # Errors
///
/// [`CommandError::Client`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let client = Client::new(&arguments.authority)?;
    let backup: BackupAnswer = client.post_raw("/v1/backup", "application/json", &b"{}"[..])?;
    if arguments.authority.json {
        return print_json(output, &backup);
    }
    writeln!(output, "{}", backup.path).map_err(CommandError::Output)
}
