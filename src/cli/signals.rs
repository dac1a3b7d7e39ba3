//! `portcullis signals`: what identity providers have sent.

use std::fmt::Write as _;
use std::io::Write;
use std::num::NonZeroUsize;

use clap::Args;

use super::authority_client::{self, Client};
use super::pages::{List, Page};
use super::printable::{name_of_target, printable};
use super::{CommandError, print_element};
use crate::authority::http::{SignalAnswer, SignalsAnswer};

/// The arguments of `portcullis signals`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only of this issuer
    #[arg(long, value_name = "TEXT")]
    pub issuer: Option<String>,
    /// Only of this subject, as the signals have it
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Only those that were refused
    #[arg(long)]
    pub refused: bool,
    /// How many at most, one or more
    #[arg(long, value_name = "COUNT", default_value = "100")]
    pub limit: NonZeroUsize,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub authority: authority_client::Arguments,
}

/// Prints signals that were received, newest first: one line each, or as JSON one object each.
///
/// # Errors
///
/// [`CommandError::Client`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let client = Client::new(&arguments.authority)?;
    let list = List {
        path: "/v1/signals",
        parameters: vec![
            ("refused", arguments.refused.then_some("true")),
            ("issuer", arguments.issuer.as_deref()),
            ("subject", arguments.subject.as_deref()),
        ],
        cursor: "before",
        limit: arguments.limit,
    };
    list.each::<SignalsAnswer>(&client, |signal| {
        print_element(output, arguments.authority.json, signal, line)
    })?;
    Ok(())
}

impl Page for SignalsAnswer {
    type Element = SignalAnswer;

    fn into_parts(self) -> (Vec<SignalAnswer>, Option<String>) {
        (self.signals, self.next.map(|next| next.to_string()))
    }
}

/// When it came, what it was taken for, outcome, subject, session, issuer, and where it came from; `-`
/// where nothing is known. The OAuth client that has asked, what was revoked and what there is to say
/// about a refusal are lines below.
fn line(signal: &SignalAnswer) -> String {
    let columns = [
        &signal.subject,
        &signal.sid,
        &signal.issuer,
        &signal.address,
    ];
    let columns = columns.map(|text| text.as_deref().map_or_else(|| "-".to_owned(), printable));
    let columns = columns.join("  ");
    let mut line = format!(
        "{}  {}  {}  {columns}\n",
        printable(&signal.received),
        printable(&signal.receiver),
        printable(&signal.outcome)
    );
    if signal.unverified {
        line.push_str("  not verified: as the sender claims\n");
    }
    if let Some(client) = &signal.client {
        let _ = writeln!(line, "  client  {}", printable(client));
    }
    if let Some(stream) = &signal.stream {
        let event = signal.event.as_deref().unwrap_or("-");
        let (event, stream) = (printable(event), printable(stream));
        let _ = writeln!(line, "  event  {event}  stream  {stream}");
    }
    for (done, effects) in [("revoked", &signal.revoked), ("restored", &signal.restored)] {
        for effect in effects {
            let (claim, client) = (effect.claim.as_deref(), effect.client.as_deref());
            let (kind, value) = (
                effect.kind.name(),
                name_of_target(&effect.value, claim, client),
            );
            let issuer = effect.issuer.as_deref().map_or_else(String::new, printable);
            let effect = format!("  {done}  {kind}  {value}  {issuer}");
            let _ = writeln!(line, "{}", effect.trim_end());
        }
    }
    if let Some(detail) = &signal.detail {
        let _ = writeln!(line, "  {}", printable(detail));
    }
    line
}
