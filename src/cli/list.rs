//! `portcullis list`: what is revoked.

use std::fmt::Write as _;
use std::io::Write;
use std::num::NonZeroUsize;

use clap::Args;

use super::authority_client::{self, Client};
use super::printable::printable;
use super::target::{Names, TargetError};
use super::{CommandError, known_issuer, print_json};
use crate::authority::http::{EntryAnswer, ListAnswer, OutcomeName};
use crate::revocation::Kind;

/// The arguments of `portcullis list`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only of this kind
    #[arg(value_enum)]
    pub target: Option<Kind>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub names: Names,
    /// Only what is this subject's: the cut-off for it, and what was said to be its own
    #[arg(long, value_name = "TEXT", conflicts_with = "name")]
    pub of_subject: Option<String>,
    /// One entry with its history, by its id
    #[arg(
        long,
        value_name = "ID",
        conflicts_with_all = ["target", "name", "issuer", "from_token", "of_subject"]
    )]
    pub id: Option<String>,
    /// Those that were restored or have lapsed, too
    #[arg(long)]
    pub include_restored: bool,
    /// How many at most, one or more
    #[arg(long, value_name = "COUNT", default_value = "100")]
    pub limit: NonZeroUsize,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub authority: authority_client::Arguments,
}

/// Prints entries, newest first: one line each, or as JSON one object each.
///
/// # Errors
///
/// [`CommandError::Target`] and [`CommandError::Client`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let search = Search::of(arguments)?;
    let client = Client::new(&arguments.authority)?;
    if let Some(id) = &arguments.id {
        let entry: EntryAnswer = client.get(&format!("/v1/revocations/{}", encoded(id)))?;
        return print(arguments, &entry, output);
    }
    let mut left = arguments.limit.get();
    let mut cursor = None;
    while left > 0 {
        let page: ListAnswer = client.get(&search.path(left, cursor.as_deref()))?;
        for entry in page.entries.iter().take(left) {
            print(arguments, entry, output)?;
        }
        left = left.saturating_sub(page.entries.len());
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    if left == arguments.limit.get()
        && let Some(issuer) = &search.issuer
    {
        known_issuer::warn(&client, issuer)?;
    }
    Ok(())
}

/// What is looked for.
struct Search<'a> {
    arguments: &'a Arguments,
    issuer: Option<String>,
    value: Option<String>,
}

impl<'a> Search<'a> {
    fn of(arguments: &'a Arguments) -> Result<Self, TargetError> {
        let names = &arguments.names;
        let (issuer, value) = match (arguments.target, &names.name) {
            (None, _) if names.from_token.is_some() => return Err(TargetError::Kind),
            (Some(kind), _) if names.from_token.is_some() => {
                let target = names.target(kind)?;
                (Some(target.issuer), target.value)
            }
            (Some(Kind::Issuer), Some(_)) => return Err(TargetError::NameOfIssuer),
            _ => (names.issuer.clone(), names.name.clone()),
        };
        Ok(Self {
            arguments,
            issuer,
            value,
        })
    }

    fn path(&self, limit: usize, cursor: Option<&str>) -> String {
        let mut path = format!(
            "/v1/revocations?limit={}&include_restored={}",
            limit.min(PAGE_LENGTH),
            self.arguments.include_restored
        );
        let parameters = [
            ("kind", self.arguments.target.map(Kind::name)),
            ("issuer", self.issuer.as_deref()),
            ("value", self.value.as_deref()),
            ("subject", self.arguments.of_subject.as_deref()),
            ("cursor", cursor),
        ];
        for (name, value) in parameters {
            if let Some(value) = value {
                // Writing to a string does not fail.
                let _ = write!(path, "&{name}={}", encoded(value));
            }
        }
        path
    }
}

fn print(
    arguments: &Arguments,
    entry: &EntryAnswer,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    if arguments.authority.json {
        return print_json(output, entry);
    }
    let kind = entry.kind.name();
    let state = state(entry);
    let (value, issuer) = (printable(&entry.value), printable(&entry.issuer));
    writeln!(output, "{}  {state}  {kind}  {value}  {issuer}", entry.id)
        .map_err(CommandError::Output)?;
    if arguments.id.is_none() {
        return Ok(());
    }
    for event in &entry.history {
        let action = match event.action {
            OutcomeName::Restored => "restored",
            _ => "revoked",
        };
        let (actor, reason) = (printable(&event.actor), printable(&event.reason));
        writeln!(output, "  {}  {action}  {actor}  {reason}", event.time)
            .map_err(CommandError::Output)?;
    }
    Ok(())
}

/// An entry that was not restored and is not in force has lapsed, with its tokens.
fn state(entry: &EntryAnswer) -> &'static str {
    let is_restored = entry
        .history
        .last()
        .is_some_and(|event| event.action == OutcomeName::Restored);
    match (entry.in_force, is_restored) {
        (true, _) => "revoked",
        (false, true) => "restored",
        (false, false) => "lapsed",
    }
}

/// Percent-encoding of everything but the unreserved characters (RFC 3986 section 2.3).
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

const PAGE_LENGTH: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_url_is_encoded() {
        assert_eq!(
            encoded("https://a/b?c=d&e é"),
            "https%3A%2F%2Fa%2Fb%3Fc%3Dd%26e%20%C3%A9"
        );
    }
}
