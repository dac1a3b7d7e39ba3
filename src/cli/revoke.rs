//! `portcullis revoke`: from now on, refused.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;

use super::authority_client::{self, Client};
use super::target::Target;
use super::time_offset::TimeOffset;
use super::{CommandError, mint, print_json};
use crate::authority::http::{OutcomeName, RevocationAnswer};
use crate::authority::request::RevocationRequest;
use crate::time::UnixTime;

/// The arguments of `portcullis revoke`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What is revoked.
    #[command(subcommand)]
    pub target: Target,
    /// When the last token that is meant has expired, counted from now: `15m`, `24h`
    #[arg(long, value_name = "DURATION", global = true)]
    pub expires_in: Option<TimeOffset>,
    /// For subject, client and issuer: what was issued before then, counted from now: `-1h`
    /// [default: everything up to now, by the clock of any issuer that is ahead by no more than the
    /// authority's `--clock-skew`]
    #[arg(
        long,
        value_name = "DURATION",
        allow_hyphen_values = true,
        global = true
    )]
    pub not_before_in: Option<TimeOffset>,
    /// For subject, client and issuer: the session (`sid`) that goes on
    #[arg(long, value_name = "TEXT", global = true)]
    pub except_session: Option<String>,
    /// For token, session and device: whose it is, so that it is found by subject
    #[arg(long, value_name = "TEXT", global = true)]
    pub of_subject: Option<String>,
    /// For subject, client and issuer: also while most edges say that the authority's clock is wrong
    #[arg(long, global = true)]
    pub despite_clocks: bool,
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

/// Revokes, and says what became of it, from when a new sign-in counts and how long the entry is
/// kept.
///
/// # Errors
///
/// [`CommandError::Client`].
pub fn run(
    arguments: &Arguments,
    now: SystemTime,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let now = mint::unix_time(now)?;
    let seconds = |offset: TimeOffset| u64::try_from(offset.counted_from(now)).unwrap_or(0);
    let (kind, issuer, value) = arguments.target.parts();
    let request = RevocationRequest {
        kind,
        issuer: issuer.to_owned(),
        value: value.map(str::to_owned),
        expires_at: arguments.expires_in.map(seconds),
        not_before: arguments.not_before_in.map(seconds),
        except_session: arguments.except_session.clone(),
        subject: arguments.of_subject.clone(),
        despite_clocks: arguments.despite_clocks,
        reason: arguments.reason.clone(),
        actor: arguments.actor.clone(),
    };
    let client = Client::new(&arguments.authority)?;
    let answer: RevocationAnswer = client.post("/v1/revocations", &request)?;
    if arguments.authority.json {
        return print_json(output, &answer);
    }
    let text = match answer.outcome {
        OutcomeName::AlreadyRevoked => "already revoked",
        OutcomeName::AlreadyExpired => "nothing to do: it has expired",
        _ => "revoked",
    };
    writeln!(output, "{text}").map_err(CommandError::Output)?;
    if let Some(seconds) = answer.clock_difference {
        // Data on standard output, what people should look at on the other.
        let _ = writeln!(
            io::stderr(),
            "warning: the clocks of edges differ from the authority's by {seconds} seconds"
        );
    }
    let times = [
        (answer.not_before, "a new sign-in counts from"),
        (answer.kept_until, "kept until"),
    ];
    for (seconds, meaning) in times {
        // The authority's times can all be written.
        if let Some(time) = seconds.and_then(UnixTime::from_seconds) {
            let time = UNIX_EPOCH + Duration::from_secs(time.seconds());
            let time = humantime::format_rfc3339_seconds(time);
            writeln!(output, "{meaning} {time}").map_err(CommandError::Output)?;
        }
    }
    Ok(())
}
