//! `portcullis check`: is this revoked?

use std::io::Write;
use std::iter;

use clap::Args;
use serde::Serialize;

use super::authority_client::{self, Client, ClientError};
use super::instant::Instant;
use super::printable::printable;
use super::target::{Names, Target, TargetError};
use super::token_names::{Name, Nameless, Status, TokenNames};
use super::{CommandError, known_issuer, print_json};
use crate::revocation::Kind;
use crate::revocation::wire::{CHECK_PATH, CheckAnswer, CheckRequest, Member, TokenStatus};

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
    /// When its user signed in, likewise, where cut-offs compare with that [default: `auth_time` of the
    /// `--token`; where it is earlier than the token was issued, it counts for all but issuers]
    #[arg(long, value_name = "TIME")]
    pub auth_time: Option<Instant>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub authority: authority_client::Arguments,
}

impl Arguments {
    /// The check with the times that were typed in place of its own.
    fn at(&self, check: CheckRequest) -> CheckRequest {
        let typed = |time: Option<Instant>| time.map(Instant::seconds);
        CheckRequest {
            issued_at: typed(self.issued_at).or(check.issued_at),
            auth_time: typed(self.auth_time).or(check.auth_time),
            ..check
        }
    }
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
    let of_token = target.token.as_ref().map(TokenNames::check);
    let times = CheckRequest {
        issuer: target.issuer.clone(),
        issued_at: of_token.and_then(|check| check.issued_at),
        auth_time: of_token.and_then(|check| check.auth_time),
        ..CheckRequest::default()
    };
    let request = request(arguments.at(times), &target);
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
    /// Of a subject at one client: the clients of the token, by any of which it may be revoked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    clients: Vec<String>,
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
    #[serde(skip_serializing_if = "Listed::is_absent")]
    status_list: &'a Listed,
}

/// What is known of the entry of a status list that a token refers to. Whether it counts is for each filter
/// to say (`status_list` of its provider).
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Listed {
    /// The token refers to none.
    Absent,
    /// The token has a `status` that is no reference.
    Unusable {
        /// In words.
        unusable: &'static str,
    },
    /// What the list says.
    Known {
        #[serde(flatten)]
        entry: Entry,
        status: TokenStatus,
    },
    /// Nothing is known of the list.
    Unknown {
        #[serde(flatten)]
        entry: Entry,
        /// Why.
        unknown: String,
    },
}

/// An entry of a status list.
#[derive(Debug, Serialize)]
struct Entry {
    uri: String,
    idx: u64,
}

impl Listed {
    /// Asks the authority about the entry. That nothing is known of it is an answer too.
    fn ask(client: &Client, token: &TokenNames) -> Result<Self, ClientError> {
        let reference = match token.status() {
            Status::Absent => return Ok(Self::Absent),
            Status::Unusable => {
                let unusable = "no reference to a status list: filters with `status_list: honour` \
                                refuse the token";
                return Ok(Self::Unusable { unusable });
            }
            Status::Entry(reference) => reference,
        };
        let entry = Entry {
            uri: reference.uri.clone(),
            idx: reference.idx,
        };
        // By itself, so that what revokes the token keeps nothing back.
        let request = CheckRequest {
            issuer: token.issuer().to_owned(),
            status: Some(reference.clone()),
            ..CheckRequest::default()
        };
        let unknown = match ask(client, &request) {
            Ok(CheckAnswer {
                status: Some(status),
                ..
            }) => {
                return Ok(Self::Known { entry, status });
            }
            Ok(_) => "the authority does not say".to_owned(),
            Err(ClientError::Refused(problem) | ClientError::Unable(problem))
                if problem.code == "status_unknown" =>
            {
                problem.detail
            }
            Err(error) => return Err(error),
        };
        Ok(Self::Unknown { entry, unknown })
    }

    const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    const fn status(&self) -> Option<TokenStatus> {
        match self {
            Self::Known { status, .. } => Some(*status),
            Self::Absent | Self::Unusable { .. } | Self::Unknown { .. } => None,
        }
    }

    fn line(&self) -> Option<String> {
        let (entry, state, why) = match self {
            Self::Absent => return None,
            Self::Unusable { unusable } => {
                return Some(format!("status   status     {unusable}"));
            }
            Self::Known { entry, status } => (entry, state_of(*status), String::new()),
            Self::Unknown { entry, unknown } => (entry, "not known", format!(": {unknown}")),
        };
        let Entry { uri, idx } = entry;
        let value = printable(&format!("entry {idx} of {uri}{why}"));
        Some(format!("status   status     {state:<12} {value}"))
    }
}

const fn state_of(status: TokenStatus) -> &'static str {
    match status {
        TokenStatus::Valid => "valid",
        TokenStatus::Invalid => "invalid",
        TokenStatus::Suspended => "suspended",
    }
}

fn about_token(
    arguments: &Arguments,
    token: &TokenNames,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let check = arguments.at(token.check().clone());
    let client = Client::new(&arguments.authority)?;
    let mut answer = ask(&client, &check)?;
    let names = names(token, &answer);
    let listed = Listed::ask(&client, token)?;
    if let Some(cause) = listed.status().and_then(TokenStatus::cause) {
        answer.cause = if answer.revoked {
            answer.cause.and(cause)
        } else {
            cause
        };
        answer.revoked = true;
    }
    answer.status = listed.status();
    if arguments.authority.json {
        let answer = TokenAnswer {
            answer: &answer,
            names: &names,
            status_list: &listed,
        };
        print_json(output, &answer)?;
    } else {
        let lines = names.iter().map(NameAnswer::line).chain(listed.line());
        for line in [text_of_token(&answer)].into_iter().chain(lines) {
            writeln!(output, "{line}").map_err(CommandError::Output)?;
        }
    }
    finish(&answer, token.issuer())
}

/// Every name of the token, with what the authority says of it.
fn names(token: &TokenNames, answer: &CheckAnswer) -> Vec<NameAnswer> {
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
        clients: Vec::new(),
        revoked: name.value.ok().map(|_| match name.member {
            Member::Claim => answer.claims.iter().any(|claim| claim == name.claim),
            member => answer.members.contains(&member),
        }),
        nameless: name.value.err(),
    });
    answers.chain(at_clients(token, answer)).collect()
}

/// The subject at the clients of the token, if it has both.
fn at_clients(token: &TokenNames, answer: &CheckAnswer) -> Option<NameAnswer> {
    let check = token.check();
    let clients = [&check.client, &check.azp].into_iter().flatten();
    let clients: Vec<String> = clients.cloned().collect();
    let value = check.subject.clone().filter(|_| !clients.is_empty())?;
    Some(NameAnswer {
        kind: Kind::SubjectAndClient,
        claim: "sub".to_owned(),
        value: Some(value),
        clients,
        revoked: Some(answer.members.contains(&Member::SubjectAndClient)),
        nameless: None,
    })
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
            Some(value) if !self.clients.is_empty() => {
                let value = format!("{value} at {}", self.clients.join(" or "));
                format!("{kind} {claim} {state:<12} {}", printable(&value))
            }
            Some(value) => format!("{kind:<8} {claim:<10} {state:<12} {}", printable(value)),
            None => format!("{kind:<8} {claim:<10} {state}"),
        }
    }
}

/// The check of one name; of the issuer alone if there is none.
fn request(mut request: CheckRequest, target: &Target) -> CheckRequest {
    let value = target.value.clone();
    match target.kind {
        Kind::Token => request.jti = value,
        Kind::Session => request.sid = value,
        Kind::Device => request.device = value,
        Kind::Subject => request.subject = value,
        Kind::Client => request.client = value,
        Kind::Issuer => {}
        Kind::Claim => request.claims = target.claim_to_check().into_iter().collect(),
        Kind::SubjectAndClient => {
            request.subject = value;
            request.client.clone_from(&target.client);
        }
    }
    request
}

fn ask(client: &Client, request: &CheckRequest) -> Result<CheckAnswer, ClientError> {
    client.post(CHECK_PATH, &request.to_json())
}

/// What is the matter with a token.
fn text_of_token(answer: &CheckAnswer) -> String {
    match answer.by {
        None if answer.revoked => "revoked by its status list".to_owned(),
        by => text_of(by),
    }
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
