//! `portcullis list`: what is revoked.

use std::io::Write;
use std::num::NonZeroUsize;

use clap::Args;

use super::authority_client::{self, Client};
use super::pages::{List, Page};
use super::printable::{name_of_target, printable};
use super::target::{Names, TargetError};
use super::{CommandError, known_issuer, print_json};
use crate::authority::http::{EntryAnswer, ListAnswer, OutcomeName};
use crate::percent::encoded;
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
    let found = search
        .list()
        .each::<ListAnswer>(&client, |entry| print(arguments, entry, output))?;
    if found == 0
        && let Some(issuer) = &search.issuer
    {
        known_issuer::warn(&client, issuer)?;
    }
    Ok(())
}

/// What is looked for.
struct Search<'a> {
    arguments: &'a Arguments,
    kind: Option<Kind>,
    issuer: Option<String>,
    value: Option<String>,
    claim: Option<String>,
    client: Option<String>,
}

impl<'a> Search<'a> {
    fn of(arguments: &'a Arguments) -> Result<Self, TargetError> {
        let names = &arguments.names;
        let kind = arguments.target.map(|kind| names.kind(kind)).transpose()?;
        if names.from_token.is_some() {
            let target = names.target(kind.ok_or(TargetError::Kind)?)?;
            return Ok(Self {
                arguments,
                kind,
                issuer: Some(target.issuer),
                value: target.value,
                claim: None,
                client: target.client,
            });
        }
        let (value, claim) = match kind {
            Some(Kind::Claim) => (&names.value, names.name.clone()),
            _ => (&names.name, None),
        };
        Ok(Self {
            arguments,
            kind,
            issuer: names.issuer.clone(),
            value: value.clone(),
            claim,
            client: names.client.clone(),
        })
    }

    fn list(&self) -> List<'_> {
        let Self {
            arguments,
            kind,
            issuer,
            value,
            claim,
            client,
        } = self;
        let includes_restored = arguments.include_restored;
        List {
            path: "/v1/revocations",
            parameters: vec![
                ("include_restored", includes_restored.then_some("true")),
                ("kind", (*kind).map(Kind::name)),
                ("issuer", issuer.as_deref()),
                ("value", value.as_deref()),
                ("claim", claim.as_deref()),
                ("client", client.as_deref()),
                ("subject", arguments.of_subject.as_deref()),
            ],
            cursor: "cursor",
            limit: arguments.limit,
        }
    }
}

impl Page for ListAnswer {
    type Element = EntryAnswer;

    fn into_parts(self) -> (Vec<EntryAnswer>, Option<String>) {
        (self.entries, self.next_cursor)
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
    let (claim, client) = (entry.claim.as_deref(), entry.client.as_deref());
    let value = name_of_target(&entry.value, claim, client);
    let issuer = printable(&entry.issuer);
    writeln!(output, "{}  {state}  {kind}  {value}  {issuer}", entry.id)
        .map_err(CommandError::Output)?;
    if arguments.id.is_none() {
        return Ok(());
    }
    for event in &entry.history {
        let action = match event.action {
            OutcomeName::Restored => "restored",
            OutcomeName::Withdrawn => "withdrawn",
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

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        list: Arguments,
    }

    /// What is asked for besides `limit`, or why nothing is.
    fn asked(line: &str) -> Result<Vec<String>, String> {
        let words = std::iter::once("list").chain(line.split(' '));
        let command = Command::try_parse_from(words).unwrap();
        let search = Search::of(&command.list).map_err(|error| error.to_string())?;
        let parameters = search.list().parameters.into_iter();
        let asked = parameters.filter_map(|(name, value)| Some(format!("{name}={}", value?)));
        Ok(asked.collect())
    }

    #[test]
    fn a_name_may_be_left_out_and_what_no_target_of_the_kind_has_is_refused_as_in_revoke() {
        for (line, expected) in [
            ("subject alice", &["kind=subject", "value=alice"][..]),
            (
                "subject alice --client app",
                &["kind=subject_and_client", "value=alice", "client=app"],
            ),
            ("subject_and_client", &["kind=subject_and_client"]),
            ("--client app", &["client=app"]),
            ("claim tenant", &["kind=claim", "claim=tenant"]),
            (
                "claim tenant acme",
                &["kind=claim", "value=acme", "claim=tenant"],
            ),
            ("issuer --issuer i", &["kind=issuer", "issuer=i"]),
        ] {
            assert_eq!(asked(line).unwrap(), expected, "{line}");
        }
        for (line, expected) in [
            ("session a b", TargetError::Value),
            ("subject a b --client app", TargetError::Value),
            ("issuer a b", TargetError::Value),
            ("issuer a", TargetError::NameOfIssuer),
            ("session a --client app", TargetError::Client),
            ("claim tenant acme --client app", TargetError::Client),
            ("client a --client app", TargetError::Client),
            ("claim --from-token file", TargetError::Claim),
        ] {
            assert_eq!(asked(line), Err(expected.to_string()), "{line}");
            let command = Command::try_parse_from(std::iter::once("revoke").chain(line.split(' ')));
            let Arguments { target, names, .. } = command.unwrap().list;
            let revoked = names.target(target.unwrap()).unwrap_err();
            assert_eq!(revoked.to_string(), expected.to_string(), "{line}");
        }
    }
}
