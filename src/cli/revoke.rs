//! `portcullis revoke`: from now on, refused.

use std::io::{self, Write};
use std::time::SystemTime;

use clap::Args;

use super::authority_client::{self, Client};
use super::instant::{Instant, lasting, shown};
use super::printable::printable;
use super::reach;
use super::target::{Names, Target};
use super::time_offset::TimeOffset;
use super::token_names::TokenNames;
use super::{CommandError, known_issuer, mint, print_json};
use crate::authority::http::{OutcomeName, RevocationAnswer, RevocationRequest};
use crate::revocation::Kind;
use crate::time::UnixTime;

/// The arguments of `portcullis revoke`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What is revoked
    #[arg(value_enum)]
    pub target: Kind,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub names: Names,
    /// When the last token that is meant has expired, counted from now: `15m`, `24h` [default: `exp`
    /// of a `--from-token` for `token`, else the authority's `--max-token-lifetime` from now]
    #[arg(long, value_name = "DURATION")]
    pub expires_in: Option<TimeOffset>,
    /// The same as an instant: `2026-12-01T18:00:00Z`
    #[arg(long, value_name = "TIME", conflicts_with = "expires_in")]
    pub expires_at: Option<Instant>,
    /// For subject, client, issuer and claim, and for a session `--until-sign-in`: what was issued before
    /// then, counted from now: `-1h`
    /// [default: everything up to now, by the clock of any issuer that is ahead by no more than the
    /// authority's `--clock-skew`]
    #[arg(long, value_name = "DURATION")]
    pub not_before_in: Option<TimeOffset>,
    /// The same as an instant: `2026-12-01T18:00:00Z`
    #[arg(long, value_name = "TIME", conflicts_with = "not_before_in")]
    pub not_before: Option<Instant>,
    /// For subject, client, issuer and claim: the session (`sid`) that goes on
    #[arg(long, value_name = "TEXT")]
    pub except_session: Option<String>,
    /// For token, session and device: whose it is, so that it is found by subject [default: `sub` of
    /// a `--from-token`]
    #[arg(long, value_name = "TEXT")]
    pub of_subject: Option<String>,
    /// For session: only until its user signs in again (`auth_time`), for issuers that give a `sid` twice
    #[arg(long)]
    pub until_sign_in: bool,
    /// For token: only another one has taken its place, so that requests in progress go on
    #[arg(long)]
    pub rotated: bool,
    /// For subject, client, issuer and claim: also while most edges say that the authority's clock is wrong
    #[arg(long)]
    pub despite_clocks: bool,
    /// What it comes from, so that `restore --origin` takes back this and nothing else
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

/// Revokes, and says what became of it: from when on it is refused, from when a new sign-in counts and
/// how long the entry is kept.
///
/// # Errors
///
/// [`CommandError::Target`], [`CommandError::Past`], [`CommandError::BeforeEverything`],
/// [`CommandError::Client`], and [`CommandError::NotEverywhere`] when edges were waited for in vain.
pub fn run(
    arguments: &Arguments,
    now: SystemTime,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let now = mint::unix_time(now)?;
    let target = arguments.names.target(arguments.target)?;
    let request = request(arguments, &target, now)?;
    let client = Client::new(&arguments.authority)?;
    // Before this revocation makes the issuer known.
    let doubt = known_issuer::doubt(&client, &target.issuer)?;
    let answer: RevocationAnswer = client.post("/v1/revocations", &request)?;
    known_issuer::print(doubt);
    if arguments.authority.json {
        print_json(output, &answer)?;
        return reach::expect_whole(answer.edges.as_ref());
    }
    if let Some(seconds) = answer.clock_difference {
        let _ = writeln!(
            io::stderr(),
            "warning: the clocks of edges differ from the authority's by {seconds} seconds"
        );
    }
    for line in lines(&answer, &target, now) {
        writeln!(output, "{line}").map_err(CommandError::Output)?;
    }
    reach::print(answer.edges.as_ref(), output)
}

fn request(
    arguments: &Arguments,
    target: &Target,
    now: UnixTime,
) -> Result<RevocationRequest, CommandError> {
    let seconds = |offset: TimeOffset| u64::try_from(offset.counted_from(now)).unwrap_or(0);
    let typed = |offset: Option<TimeOffset>, instant: Option<Instant>| {
        offset.map(seconds).or(instant.map(Instant::seconds))
    };
    // A script may well give the `exp` of a token that has expired meanwhile; a negative offset is
    // a mistake.
    let is_past = |offset: TimeOffset| seconds(offset) <= now.seconds();
    if arguments.expires_in.is_some_and(is_past) {
        return Err(CommandError::Past);
    }
    let is_before_everything = |offset: TimeOffset| offset.counted_from(now) < 0;
    if arguments.not_before_in.is_some_and(is_before_everything) {
        return Err(CommandError::BeforeEverything);
    }
    let token = target.token.as_ref();
    let end_of_token = token.and_then(TokenNames::expires_at);
    let end_of_token = end_of_token.filter(|_| target.kind == Kind::Token);
    let owner = token.and_then(|token| token.check().subject.clone());
    let owner = owner.filter(|_| !target.kind.is_cut_off());
    Ok(RevocationRequest {
        kind: target.kind,
        issuer: target.issuer.clone(),
        value: target.value.clone(),
        claim: target.claim.clone(),
        client: target.client.clone(),
        expires_at: typed(arguments.expires_in, arguments.expires_at)
            .or(end_of_token.map(UnixTime::seconds)),
        not_before: typed(arguments.not_before_in, arguments.not_before),
        except_session: arguments.except_session.clone(),
        subject: arguments.of_subject.clone().or(owner),
        until_sign_in: arguments.until_sign_in,
        rotated: arguments.rotated,
        origin: arguments.origin.clone(),
        despite_clocks: arguments.despite_clocks,
        reason: arguments.reason.clone(),
        actor: arguments.actor.clone(),
        wait: arguments.reach.wait(),
    })
}

fn lines(answer: &RevocationAnswer, target: &Target, now: UnixTime) -> Vec<String> {
    let outcome = match answer.outcome {
        OutcomeName::AlreadyRevoked => "already revoked",
        OutcomeName::AlreadyExpired => "nothing to do: it has expired",
        _ => "revoked",
    };
    let mut lines = vec![outcome.to_owned()];
    lines.extend(target.taken_from_token().map(|text| printable(&text)));
    // All times of the authority are within range.
    let time = |seconds: Option<u64>| seconds.and_then(shown);
    let not_before = time(answer.not_before);
    if let Some(since) = time(answer.refused_from) {
        lines.push(match &not_before {
            Some(not_before) => {
                format!("refused from {since} on: what was issued before {not_before}")
            }
            None => format!("refused from {since} on"),
        });
    }
    lines.extend(not_before.map(|time| format!("a new sign-in counts from {time}")));
    if let Some(seconds) = answer.kept_until
        && let Some(time) = shown(seconds)
    {
        let left = lasting(seconds.saturating_sub(now.seconds()));
        lines.push(format!("kept until {time} ({left})"));
    }
    lines
}
