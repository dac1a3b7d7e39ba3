//! `portcullis sessions`: who is signed in.

use std::fmt::Write as _;
use std::io::Write;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::authority_client::{self, Client};
use super::pages::{List, Page};
use super::printable::printable;
use super::{CommandError, print_element};
use crate::authority::http::{SessionAnswer, SessionsAnswer};
use crate::revocation::Cause;

/// The arguments of `portcullis sessions`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only of this issuer
    #[arg(long, value_name = "TEXT")]
    pub issuer: Option<String>,
    /// Only of this subject
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Only those that were not used for this long, "30m" for instance
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub idle: Option<Duration>,
    /// Only those that look stolen
    #[arg(long)]
    pub suspicious: bool,
    /// Those that were revoked lately, too
    #[arg(long)]
    pub include_ended: bool,
    /// How many at most, one or more
    #[arg(long, value_name = "COUNT", default_value = "100")]
    pub limit: NonZeroUsize,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub authority: authority_client::Arguments,
}

/// Prints sessions that edges have reported, in no particular order: one line each, or as JSON one
/// object each.
///
/// # Errors
///
/// [`CommandError::Client`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let client = Client::new(&arguments.authority)?;
    let idle = arguments.idle.map(|idle| idle.as_secs().to_string());
    let list = List {
        path: "/v1/sessions",
        parameters: vec![
            ("suspicious", arguments.suspicious.then_some("true")),
            ("include_ended", arguments.include_ended.then_some("true")),
            ("issuer", arguments.issuer.as_deref()),
            ("subject", arguments.subject.as_deref()),
            ("idle_for", idle.as_deref()),
        ],
        cursor: "after",
        limit: arguments.limit,
    };
    list.each::<SessionsAnswer>(&client, |session| {
        print_element(output, arguments.authority.json, session, line)
    })?;
    Ok(())
}

impl Page for SessionsAnswer {
    type Element = SessionAnswer;

    fn into_parts(self) -> (Vec<SessionAnswer>, Option<String>) {
        (self.sessions, self.next)
    }
}

/// Id, state, last request, subject, name, client, device, network and kind of client; `-` where
/// nothing is known.
fn line(session: &SessionAnswer) -> String {
    let sighting = session.sightings.first();
    let network = sighting.and_then(|sighting| sighting.network.as_deref());
    let user_agent = sighting.and_then(|sighting| sighting.user_agent.as_deref());
    let name = session.sid.as_deref().or(session.jti.as_deref());
    let columns = [
        session.subject.as_deref(),
        name,
        session.client.as_deref(),
        session.device.as_deref(),
        network,
        user_agent,
    ];
    let columns = columns.map(|text| text.map_or_else(|| "-".to_owned(), printable));
    let columns = columns.join("  ");
    let (id, state, last_seen) = (&session.id, state(session), &session.last_seen);
    let mut line = format!("{id}  {state}  {last_seen}  {columns}\n");
    if let Some(suspicion) = &session.suspicion {
        let evidence = printable(&suspicion.evidence);
        let _ = writeln!(line, "  {}  suspicious  {evidence}", suspicion.at);
    }
    line
}

const fn state(session: &SessionAnswer) -> &'static str {
    if session.ended.is_none() {
        return "live";
    }
    match session.cause {
        Cause::Plain => "revoked",
        Cause::Rotated => "rotated",
        Cause::Idle => "idle",
        Cause::TooOld => "too_old",
        Cause::Displaced => "displaced",
        Cause::Suspicious => "suspicious",
        Cause::Suspended => "suspended",
    }
}
