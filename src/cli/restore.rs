//! `portcullis restore`: restore what was revoked.

use std::io::Write;

use clap::Args;

use super::authority_client::{self, Client};
use super::printable::printable;
use super::target::Names;
use super::{CommandError, known_issuer, print_json};
use crate::authority::http::{OutcomeName, RestorationRequest, RevocationAnswer};
use crate::revocation::Kind;

/// The arguments of `portcullis restore`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What is not revoked any more
    #[arg(value_enum)]
    pub target: Kind,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub names: Names,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// On whose behalf
    #[arg(long, value_name = "TEXT")]
    pub actor: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub authority: authority_client::Arguments,
}

/// Restores an entry, and says whether it was revoked.
///
/// # Errors
///
/// [`CommandError::Target`], [`CommandError::Client`], and [`CommandError::Negative`] when it was
/// not revoked.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let target = arguments.names.target(arguments.target)?;
    let request = RestorationRequest {
        kind: target.kind,
        issuer: target.issuer.clone(),
        value: target.value.clone(),
        reason: arguments.reason.clone(),
        actor: arguments.actor.clone(),
    };
    let client = Client::new(&arguments.authority)?;
    let answer: RevocationAnswer = client.post("/v1/restorations", &request)?;
    let is_restored = answer.outcome == OutcomeName::Restored;
    if arguments.authority.json {
        print_json(output, &answer)?;
    } else {
        let text = if is_restored {
            "not revoked any more"
        } else {
            "was not revoked"
        };
        writeln!(output, "{text}").map_err(CommandError::Output)?;
        if let Some(text) = target.taken_from_token() {
            writeln!(output, "{}", printable(&text)).map_err(CommandError::Output)?;
        }
    }
    if is_restored {
        return Ok(());
    }
    known_issuer::warn(&client, &target.issuer)?;
    Err(CommandError::Negative)
}
