//! `portcullis check`: is this revoked?

use std::io::Write;

use clap::Args;

use super::authority_client::{self, Client};
use super::{CommandError, print_json};
use crate::authority::http::{CheckAnswer, CheckRequest};

/// The arguments of `portcullis check`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Claim `iss`
    #[arg(long, value_name = "URL")]
    pub issuer: String,
    /// Claim `jti`
    #[arg(long, value_name = "TEXT")]
    pub token: Option<String>,
    /// Claim `sid`
    #[arg(long, value_name = "TEXT")]
    pub session: Option<String>,
    /// The claim that names the device
    #[arg(long, value_name = "TEXT")]
    pub device: Option<String>,
    /// Claim `sub`
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Claim `client_id`
    #[arg(long, value_name = "TEXT")]
    pub client: Option<String>,
    /// Claim `azp`, which names a client as well
    #[arg(long, value_name = "TEXT")]
    pub azp: Option<String>,
    /// Claim `iat`, in seconds since 1970; without it, any cut-off counts
    #[arg(long, value_name = "SECONDS")]
    pub issued_at: Option<u64>,
    /// Where the authority is.
    #[command(flatten)]
    pub authority: authority_client::Arguments,
}

/// Asks, and says what the answer is.
///
/// # Errors
///
/// [`CommandError::Unanswered`], and [`CommandError::Negative`] when it is revoked.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let request = CheckRequest {
        issuer: arguments.issuer.clone(),
        jti: arguments.token.clone(),
        sid: arguments.session.clone(),
        device: arguments.device.clone(),
        subject: arguments.subject.clone(),
        client: arguments.client.clone(),
        azp: arguments.azp.clone(),
        issued_at: arguments.issued_at,
        nonce: None,
    };
    let client = Client::new(&arguments.authority).map_err(CommandError::Unanswered)?;
    let answer: CheckAnswer = client
        .post("/v1/check", &request)
        .map_err(CommandError::Unanswered)?;
    if arguments.authority.json {
        print_json(output, &answer)?;
    } else {
        let text = match answer.by {
            Some(kind) => format!("revoked by {}", kind.name()),
            None => "not revoked".to_owned(),
        };
        writeln!(output, "{text}").map_err(CommandError::Output)?;
    }
    if answer.revoked {
        Err(CommandError::Negative)
    } else {
        Ok(())
    }
}
