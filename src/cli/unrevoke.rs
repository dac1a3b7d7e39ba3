//! `portcullis unrevoke`: take a revocation back.

use std::io::Write;

use clap::Args;

use super::authority_client::{self, Client};
use super::target::Target;
use super::{CommandError, print_json};
use crate::authority::http::{OutcomeName, RevocationAnswer};
use crate::authority::request::RestorationRequest;

/// The arguments of `portcullis unrevoke`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What is not revoked any more.
    #[command(subcommand)]
    pub target: Target,
    /// Why
    #[arg(long, value_name = "TEXT", global = true)]
    pub reason: Option<String>,
    /// On whose behalf
    #[arg(long, value_name = "TEXT", global = true)]
    pub actor: Option<String>,
    /// Where the authority is.
    #[command(flatten)]
    pub authority: authority_client::Arguments,
}

/// Takes a revocation back, and says whether there was one.
///
/// # Errors
///
/// [`CommandError::Client`], and [`CommandError::Negative`] when there was none.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let (kind, issuer, value) = arguments.target.parts();
    let request = RestorationRequest {
        kind,
        issuer: issuer.to_owned(),
        value: value.map(str::to_owned),
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
    }
    if is_restored {
        Ok(())
    } else {
        Err(CommandError::Negative)
    }
}
