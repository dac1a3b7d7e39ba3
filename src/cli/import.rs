//! `portcullis import`: many revocations at once.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use super::authority_client::{self, Client, ClientError};
use super::{CommandError, print_json};
use crate::authority::http::Imported;

/// The arguments of `portcullis import`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// One revocation on each line, as JSON: `{"kind":"session","issuer":"…","value":"…"}`
    /// [default: standard input]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Where the authority is.
    #[command(flatten)]
    pub authority: authority_client::Arguments,
}

/// Revokes what every line names, or nothing when one of them is wrong. The progress is shown on
/// standard error when that is a terminal.
///
/// # Errors
///
/// [`CommandError::Client`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let client = Client::new(&arguments.authority)?;
    let (reader, progress): (Box<dyn Read>, _) = match &arguments.file {
        None => (Box::new(io::stdin()), ProgressBar::new_spinner()),
        Some(path) => {
            let failed = |source| ClientError::Read {
                path: path.clone(),
                source,
            };
            let file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            // It can be opened, but reading it fails.
            if metadata.is_dir() {
                return Err(failed(io::ErrorKind::IsADirectory.into()).into());
            }
            let length = metadata.len();
            (Box::new(file), ProgressBar::new(length))
        }
    };
    if let Ok(style) = ProgressStyle::with_template(TEMPLATE) {
        progress.set_style(style);
    }
    let reader = progress.wrap_read(reader);
    let imported = client.post_raw::<Imported>("/v1/import", "application/x-ndjson", reader);
    let is_begun = progress.position() > 0;
    progress.finish_and_clear();
    let imported = imported.map_err(|error| {
        if is_begun {
            error.during_import()
        } else {
            error
        }
    })?;
    if arguments.authority.json {
        return print_json(output, &imported);
    }
    let Imported { accepted, revoked } = imported;
    writeln!(output, "revoked {revoked} of {accepted}").map_err(CommandError::Output)
}

const TEMPLATE: &str = "{bar:40} {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
