//! `portcullis check`: is this revoked?

use std::io::Write;
use std::iter;

use clap::Args;
use serde::Serialize;

use super::authority_client::{self, Client, ClientError};
use super::instant::Instant;
use super::printable::printable;
use super::target::{Names, TargetError};
use super::token_names::{Name, Nameless, TokenNames};
use super::{CommandError, known_issuer, print_json};
use crate::revocation::Kind;
use crate::revocation::wire::{CHECK_PATH, CheckAnswer, CheckRequest, Member};

/// The arguments of `portcullis check`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What is asked about [default: everything that names the `--token`]
    #[arg(value_enum, required_unless_present = "from_token")]
    pub target: Option<Kind>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub names: Names,
    /// When the token was issued that is asked about, `2026-12-01T18:00:00Z` or the seconds in `iat`
    /// [default: `iat` of the `--token`; without one, any cut-off counts]
    #[arg(long, value_name = "TIME")]
    pub issued_at: Option<Instant>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub authority: authority_client::Arguments,
}

/// Asks, and says what the answer is; of a token, what it could be revoked by, and whether it is.
///
/// # Errors
///
/// [`CommandError::Target`], [`CommandError::Client`], and [`CommandError::Negative`] when it is
/// revoked.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    // The token is read once: there is no second time on standard input.
    if let Some(kind) = arguments.target {
        return about_one(arguments, kind, output);
    }
    let token = arguments.names.token()?.ok_or(TargetError::Kind)?;
    about_token(arguments, &token, output)
}

fn about_one(
    arguments: &Arguments,
    kind: Kind,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let target = arguments.names.target(kind)?;
    let of_token = target.token.as_ref();
    let of_token = of_token.and_then(|token| token.check().issued_at);
    let issued_at = arguments.issued_at.map(Instant::seconds).or(of_token);
    let request = request(&target.issuer, issued_at, kind, target.value.as_deref());
    let answer = ask(&Client::new(&arguments.authority)?, &request)?;
    if arguments.authority.json {
        print_json(output, &answer)?;
    } else {
        let text = text_of(answer.by);
        writeln!(output, "{text}").map_err(CommandError::Output)?;
        if let Some(text) = target.taken_from_token() {
            writeln!(output, "{}", printable(&text)).map_err(CommandError::Output)?;
        }
    }
    finish(&answer, &target.issuer)
}

/// The result for one name of a token.
#[derive(Debug, Serialize)]
struct NameAnswer {
    /// What it names.
    kind: Kind,
    /// The claim.
    claim: String,
    /// The name.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Whether the name is revoked, in a way that concerns the token; `None` if there is no name.
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<bool>,
    /// Why there is no name.
    #[serde(skip)]
    nameless: Option<Nameless>,
}

/// The result for a token.
#[derive(Debug, Serialize)]
struct TokenAnswer<'a> {
    #[serde(flatten)]
    answer: &'a CheckAnswer,
    names: &'a [NameAnswer],
}

fn about_token(
    arguments: &Arguments,
    token: &TokenNames,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut check = token.check().clone();
    if let Some(issued_at) = arguments.issued_at {
        check.issued_at = Some(issued_at.seconds());
    }
    let answer = ask(&Client::new(&arguments.authority)?, &check)?;
    let names = names(token, &answer.members);
    if arguments.authority.json {
        let answer = TokenAnswer {
            answer: &answer,
            names: &names,
        };
        print_json(output, &answer)?;
    } else {
        writeln!(output, "{}", text_of(answer.by)).map_err(CommandError::Output)?;
        for name in &names {
            writeln!(output, "{}", name.line()).map_err(CommandError::Output)?;
        }
    }
    finish(&answer, token.issuer())
}

/// Every name of the token, with what the authority says of it.
fn names(token: &TokenNames, revoked: &[Member]) -> Vec<NameAnswer> {
    let issuer = Name {
        member: Member::Issuer,
        claim: "iss",
        value: Ok(token.issuer()),
    };
    let names = iter::once(issuer).chain(token.all());
    let answers = names.map(|name| NameAnswer {
        kind: name.member.kind(),
        claim: name.claim.to_owned(),
        value: name.value.ok().map(str::to_owned),
        revoked: name.value.ok().map(|_| revoked.contains(&name.member)),
        nameless: name.value.err(),
    });
    answers.collect()
}

impl NameAnswer {
    fn line(&self) -> String {
        let (kind, claim) = (self.kind.name(), printable(&self.claim));
        let state = match (self.revoked, self.nameless) {
            (Some(true), _) => "revoked",
            (_, Some(Nameless::Unusable)) => "no name: expected a text of 1 to 1024 bytes",
            (Some(false), _) => "not revoked",
            (None, _) => "absent",
        };
        match &self.value {
            Some(value) => format!("{kind:<8} {claim:<10} {state:<12} {}", printable(value)),
            None => format!("{kind:<8} {claim:<10} {state}"),
        }
    }
}

/// The check of one name; of the issuer alone if there is none.
fn request(issuer: &str, issued_at: Option<u64>, kind: Kind, value: Option<&str>) -> CheckRequest {
    let value = value.map(str::to_owned);
    let mut request = CheckRequest {
        issuer: issuer.to_owned(),
        issued_at,
        ..CheckRequest::default()
    };
    match kind {
        Kind::Token => request.jti = value,
        Kind::Session => request.sid = value,
        Kind::Device => request.device = value,
        Kind::Subject => request.subject = value,
        Kind::Client => request.client = value,
        Kind::Issuer => {}
    }
    request
}

fn ask(client: &Client, request: &CheckRequest) -> Result<CheckAnswer, ClientError> {
    client.post(CHECK_PATH, &request.to_json())
}

fn text_of(by: Option<Kind>) -> String {
    match by {
        Some(kind) => format!("revoked by {}", kind.name()),
        None => "not revoked".to_owned(),
    }
}

fn finish(answer: &CheckAnswer, issuer: &str) -> Result<(), CommandError> {
    if answer.revoked {
        return Err(CommandError::Negative);
    }
    let known = answer.issuer.as_ref();
    known_issuer::print(known.and_then(|known| known_issuer::warning(issuer, known)));
    Ok(())
}
