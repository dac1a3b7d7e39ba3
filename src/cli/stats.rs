//! `portcullis stats`: how the authority is.

use std::io::Write;

use clap::Args;

use super::authority_client::{self, Client};
use super::rotate::times;
use super::{CommandError, print_json};
use crate::authority::http::Stats;

/// The arguments of `portcullis stats`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where the authority is.
    #[command(flatten)]
    pub authority: authority_client::Arguments,
}

/// Prints what the authority says of itself.
///
/// # Errors
///
/// [`CommandError::Client`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let stats: Stats = Client::new(&arguments.authority)?.get("/v1/stats")?;
    if arguments.authority.json {
        return print_json(output, &stats);
    }
    let generation = stats.generation.map_or_else(
        || "being built".to_owned(),
        |generation| {
            format!(
                "{} ({} of {} entries, {} bytes)",
                generation.number, generation.entries, generation.capacity, generation.bytes
            )
        },
    );
    let store = if stats.store_writable { "yes" } else { "no" };
    let mut lines = vec![
        ("revoked", stats.entries.to_string()),
        ("cut-offs", stats.cut_offs.to_string()),
        ("sequence", stats.sequence.to_string()),
        ("epoch", stats.epoch.to_string()),
        ("generation", generation),
        ("edges waiting", stats.edges_waiting.to_string()),
        ("store writable", store.to_owned()),
    ];
    lines.extend(
        stats
            .feed_keys
            .into_iter()
            .map(|key| ("feed key", format!("{}  {}", key.public_key, times(&key)))),
    );
    for (name, value) in lines {
        writeln!(output, "{name:<15} {value}").map_err(CommandError::Output)?;
    }
    Ok(())
}
