//! `portcullis restore`: restore what was revoked.

use std::io::Write;

use clap::Args;

use super::authority_client::{self, Client};
use super::printable::printable;
use super::reach;
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
    /// Only what was revoked with this origin
    #[arg(long, value_name = "TEXT")]
    pub origin: Option<String>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// On whose behalf
    #[arg(long, value_name = "TEXT")]
    pub actor: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub reach: reach::Arguments,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub authority: authority_client::Arguments,
}

/// Restores an entry, and says whether it was revoked.
///
/// # Errors
///
/// [`CommandError::Target`], [`CommandError::Client`], [`CommandError::Negative`] when it was not
/// revoked, and [`CommandError::NotEverywhere`] when edges were waited for in vain.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let target = arguments.names.target(arguments.target)?;
    let request = RestorationRequest {
        kind: target.kind,
        issuer: target.issuer.clone(),
        value: target.value.clone(),
        claim: target.claim.clone(),
        client: target.client.clone(),
        origin: arguments.origin.clone(),
        reason: arguments.reason.clone(),
        actor: arguments.actor.clone(),
        wait: arguments.reach.wait(),
    };
    let client = Client::new(&arguments.authority)?;
    let answer: RevocationAnswer = client.post("/v1/restorations", &request)?;
    let is_restored = answer.outcome == OutcomeName::Restored;
    if arguments.authority.json {
        print_json(output, &answer)?;
    } else {
        let text = match answer.outcome {
            OutcomeName::Restored => "not revoked any more",
            OutcomeName::Withdrawn => "withdrawn, and still revoked by others",
            _ if arguments.origin.is_some() => "was not revoked by this origin",
            _ => "was not revoked",
        };
        writeln!(output, "{text}").map_err(CommandError::Output)?;
        if let Some(text) = target.taken_from_token() {
            writeln!(output, "{}", printable(&text)).map_err(CommandError::Output)?;
        }
    }
    if is_restored {
        let reach = answer.edges.as_ref();
        return if arguments.authority.json {
            reach::expect_whole(reach)
        } else {
            reach::print(reach, output)
        };
    }
    if answer.outcome == OutcomeName::Withdrawn {
        return Err(CommandError::Negative);
    }
    known_issuer::warn(&client, &target.issuer)?;
    Err(CommandError::Negative)
}
