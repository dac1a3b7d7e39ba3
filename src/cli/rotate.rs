//! `portcullis rotate`: a new key for the feed.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::authority_client::{self, Client};
use super::bounds::{BoundError, duration};
use super::{CommandError, print_json};
use crate::authority::http::{FeedKeyAnswer, MAX_OVERLAP, RotationRequest};

/// The arguments of `portcullis rotate`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How long the old key goes on signing, while the new one is added to every filter, 0s to 90d
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = overlap)]
    pub overlap: Duration,
    /// Where the authority is.
    #[command(flatten)]
    pub authority: authority_client::Arguments,
}

fn overlap(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::ZERO..=MAX_OVERLAP)
}

/// Makes the key and prints every public key that the filters should be configured with.
///
/// # Errors
///
/// [`CommandError::Client`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let request = RotationRequest {
        overlap_seconds: arguments.overlap.as_secs(),
    };
    let client = Client::new(&arguments.authority)?;
    let keys: Vec<FeedKeyAnswer> = client.post("/v1/feed/keys", &request)?;
    if arguments.authority.json {
        return print_json(output, &keys);
    }
    for key in keys {
        writeln!(output, "{}", key.public_key).map_err(CommandError::Output)?;
    }
    Ok(())
}
