//! `/v1/revocations`, `/v1/restorations`, `/v1/issuers`.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::JsonBody;
use super::edges::{ReachAnswer, reached};
use super::{NOT_WRITTEN, Problem, ProblemBody};
use crate::authority::credentials::Caller;
use crate::authority::entry::{Action, Entry, Event};
use crate::authority::request::{RestorationRequest, RevocationRequest};
use crate::authority::store::{
    Filter, KnownIssuer, Restored, Revoked, Store, StoreError, from_hex, to_hex,
};
use crate::authority::{Authority, clock};
use crate::revocation::wire::IssuerAnswer;
use crate::revocation::{Cause, Fingerprint, Kind};
use crate::time::UnixTime;

const DEFAULT_PAGE: usize = 100;

/// A thousand entries with their histories are some megabytes at worst.
const MAX_PAGE: usize = 1_000;

const LAST_MILLISECOND: u64 = 253_402_300_799_999;

/// The outcome of a request. By now it is on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeName {
    /// It is revoked now, or from a later instant than before, or for longer where it would have ended within
    /// ten minutes.
    Revoked,
    /// It was so already, and may be for longer now.
    AlreadyRevoked,
    /// Everything it names has expired already.
    AlreadyExpired,
    /// It is not revoked any more.
    Restored,
    /// The origin has withdrawn what it had revoked. Others have revoked the same, so that it stays
    /// revoked.
    Withdrawn,
    /// It was not revoked, or not by this origin.
    NotRevoked,
}

/// The answer to a revocation or a restoration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct RevocationAnswer {
    /// The outcome.
    pub outcome: OutcomeName,
    /// The entry, unless there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Number of the change in the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Since when it has been revoked, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_from: Option<u64>,
    /// For cut-offs, and sessions until the next sign-in: tokens whose `auth_time`, else `iat`, is before
    /// this second are revoked; a new sign-in counts from then on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// When the entry is dropped: the expiry of the tokens and a margin.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_until: Option<u64>,
    /// For cut-offs: by how many seconds edges are ahead of the authority (behind, when negative),
    /// where that is more than clocks may differ by. Then the cut-off may not be what was meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clock_difference: Option<i64>,
    /// For requests with `wait`, where there is an entry: how far its last change has come. Whatever that
    /// is, the outcome stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edges: Option<ReachAnswer>,
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct EntryAnswer {
    /// Names the entry, in this installation.
    pub id: String,
    /// What kind of thing.
    pub kind: Kind,
    /// The issuer that gave out the name.
    pub issuer: String,
    /// The name; empty for an issuer.
    pub value: String,
    /// For `claim`: the claim whose value it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// For `subject_and_client`: the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// Whether it is revoked; `false` when it was restored, or has lapsed with its tokens.
    pub in_force: bool,
    /// For cut-offs, and sessions until the next sign-in: tokens issued before this second are revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<u64>,
    /// For cut-offs: the session that goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except_session: Option<String>,
    /// For cut-offs with a session that goes on: its tokens issued before this second, which an
    /// earlier cut-off had revoked, stay revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except_from: Option<u64>,
    /// Why it was revoked last, where there is more to say than that it was.
    #[serde(default, skip_serializing_if = "Cause::is_plain")]
    pub cause: Cause,
    /// The subject it belongs to, where that was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it was revoked by, where that may take it back by itself. An empty one stands for all that may
    /// not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// When the entry is dropped, in seconds since 1970.
    pub kept_until: u64,
    /// Number of its last change in the feed.
    pub sequence: u64,
    /// What was done to it, oldest first. A long history lacks some of its middle.
    pub history: Vec<EventAnswer>,
}

/// One line of a history.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct EventAnswer {
    /// When, as in RFC 3339.
    pub time: String,
    /// What.
    pub action: OutcomeName,
    /// Who.
    pub actor: String,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Some entries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct ListAnswer {
    /// The entries.
    pub entries: Vec<EntryAnswer>,
    /// What to ask for to see the next ones; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Which issuer.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct IssuerQuery {
    /// Its name, as it stands in `iss`.
    issuer: String,
}

/// Which entries to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::authority) struct ListQuery {
    /// Only of this kind.
    pub(in crate::authority) kind: Option<Kind>,
    /// Only of this issuer.
    pub(in crate::authority) issuer: Option<String>,
    /// Only with this name. Of `claim` and `subject_and_client` only with what is in `claim` and `client`.
    pub(in crate::authority) value: Option<String>,
    /// Only of this claim.
    pub(in crate::authority) claim: Option<String>,
    /// Only of subjects at this client.
    pub(in crate::authority) client: Option<String>,
    /// Only what belongs to this subject.
    pub(in crate::authority) subject: Option<String>,
    /// Also those that were restored or have lapsed.
    #[serde(default)]
    pub(in crate::authority) include_restored: bool,
    /// `next_cursor` of the page before, of the same search.
    #[param(pattern = "^([0-9]{1,20}|[0-9a-f]{64})$")]
    pub(in crate::authority) cursor: Option<String>,
    /// Entries on a page, 1 to 1000; 100 by default.
    #[param(minimum = 1, maximum = 1000)]
    pub(in crate::authority) limit: Option<usize>,
}

impl ListQuery {
    /// Whether a page of this search can have given this cursor: the number of a row; for a
    /// subject, the key of a row; for a name, which has one page, none.
    fn check_cursor(&self) -> Result<(), Problem> {
        let Some(cursor) = &self.cursor else {
            return Ok(());
        };
        let is_number =
            (1..=20).contains(&cursor.len()) && cursor.bytes().all(|byte| byte.is_ascii_digit());
        let is_key = from_hex::<32>(cursor).is_some()
            && !cursor.bytes().any(|byte| byte.is_ascii_uppercase());
        let is_ours = match (&self.value, &self.subject) {
            (Some(_), _) => false,
            (None, Some(_)) => is_key,
            (None, None) => cursor.parse::<u64>().is_ok() && is_number,
        };
        if is_ours {
            Ok(())
        } else if is_number || is_key {
            Err(Problem::other_cursor())
        } else {
            Err(Problem::invalid(
                "`cursor`: expected `next_cursor` of a page".to_owned(),
            ))
        }
    }
}

/// Revokes something. When this is answered, it is on the disk; connected edges apply it within 250
/// ms, others when they reach the authority again. With `wait`, the answer comes when they have.
#[utoipa::path(
    post,
    path = "/v1/revocations",
    security(("admin" = [])),
    request_body = RevocationRequest,
    responses(
        (status = 200, body = RevocationAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = NOT_WRITTEN, body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(in crate::authority) async fn revoke(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<RevocationRequest>,
) -> Result<Json<RevocationAnswer>, Problem> {
    let limits = authority.limits();
    let wait = request.wait;
    let revocation = request.check(&caller.name, clock::now(), &limits)?;
    let revoked = authority.writer.write(revocation).await?;
    let (outcome, entry) = match &revoked {
        Revoked::Newly(entry) => (OutcomeName::Revoked, entry),
        Revoked::Already(entry) => (OutcomeName::AlreadyRevoked, entry),
        Revoked::Expired => return Ok(Json(RevocationAnswer::of(OutcomeName::AlreadyExpired))),
    };
    Ok(Json(RevocationAnswer {
        refused_from: refused_from(&revoked),
        edges: reached(&authority, entry.sequence, wait).await,
        ..answer(&authority, outcome, entry)
    }))
}

/// Restores what was revoked.
#[utoipa::path(
    post,
    path = "/v1/restorations",
    security(("admin" = [])),
    request_body = RestorationRequest,
    responses(
        (status = 200, body = RevocationAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = NOT_WRITTEN, body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(in crate::authority) async fn restore(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<RestorationRequest>,
) -> Result<Json<RevocationAnswer>, Problem> {
    let wait = request.wait;
    let restoration = request.check(&caller.name)?;
    let (outcome, entry) = match authority.writer.write(restoration).await? {
        Restored::Newly(entry) => (OutcomeName::Restored, entry),
        Restored::Withdrawn(entry) => (OutcomeName::Withdrawn, entry),
        Restored::NotRevoked => return Ok(Json(RevocationAnswer::of(OutcomeName::NotRevoked))),
    };
    Ok(Json(RevocationAnswer {
        edges: reached(&authority, entry.sequence, wait).await,
        ..answer(&authority, outcome, &entry)
    }))
}

/// Entries, newest first, or those that are searched for.
#[utoipa::path(
    get,
    path = "/v1/revocations",
    security(("viewer" = [])),
    params(ListQuery),
    responses(
        (status = 200, body = ListAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(in crate::authority) async fn list(
    State(authority): State<Arc<Authority>>,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Result<Json<ListAnswer>, Problem> {
    let Query(query) = query?;
    let now = clock::now();
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("`limit`: expected 1 to {MAX_PAGE}");
        return Err(Problem::invalid(detail));
    }
    query.check_cursor()?;
    let filter = Filter {
        kind: query.kind,
        issuer: query.issuer,
        value: query.value,
        claim: query.claim,
        client: query.client,
        subject: query.subject,
        include_restored: query.include_restored,
        now,
    };
    let cursor = query.cursor;
    let page = read(&authority, move |store| {
        store.list(&filter, cursor.as_deref(), limit)
    })
    .await?;
    Ok(Json(ListAnswer {
        entries: page
            .entries
            .iter()
            .map(|(name, entry)| describe(*name, entry, now))
            .collect(),
        next_cursor: page.next,
    }))
}

/// One entry with its history.
#[utoipa::path(
    get,
    path = "/v1/revocations/{id}",
    security(("viewer" = [])),
    params(("id" = String, Path, description = "`id` of the entry")),
    responses(
        (status = 200, body = EntryAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(in crate::authority) async fn entry(
    State(authority): State<Arc<Authority>>,
    Path(id): Path<String>,
) -> Result<Json<EntryAnswer>, Problem> {
    let name = from_hex(&id)
        .map(Fingerprint)
        .ok_or_else(Problem::not_found)?;
    let entry = read(&authority, move |store| store.entry(name)).await?;
    let entry = entry.ok_or_else(Problem::not_found)?;
    Ok(Json(describe(name, &entry, clock::now())))
}

/// Whether anything of an issuer was ever revoked here. An unknown issuer may be mistyped.
#[utoipa::path(
    get,
    path = "/v1/issuers",
    security(("viewer" = [])),
    params(IssuerQuery),
    responses(
        (status = 200, body = IssuerAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn issuer(
    State(authority): State<Arc<Authority>>,
    query: Result<Query<IssuerQuery>, QueryRejection>,
) -> Result<Json<IssuerAnswer>, Problem> {
    let Query(IssuerQuery { issuer }) = query?;
    Ok(Json(known_issuer(&authority, issuer).await?))
}

pub(in crate::authority) async fn known_issuer(
    authority: &Arc<Authority>,
    issuer: String,
) -> Result<IssuerAnswer, Problem> {
    let known = read(authority, move |store| store.issuer(&issuer)).await?;
    Ok(match known {
        KnownIssuer::Same => IssuerAnswer {
            known: true,
            similar: None,
        },
        KnownIssuer::Other { similar } => IssuerAnswer {
            known: false,
            similar,
        },
    })
}

/// Reads the store on a thread where waiting for the disk holds up no other request.
async fn read<T: Send + 'static>(
    authority: &Authority,
    work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let store = Arc::clone(&authority.store);
    let read = tokio::task::spawn_blocking(move || work(&store)).await;
    Ok(read.map_err(|_| Problem::internal())??)
}

impl RevocationAnswer {
    /// Where there is no entry.
    const fn of(outcome: OutcomeName) -> Self {
        Self {
            outcome,
            id: None,
            sequence: None,
            refused_from: None,
            not_before: None,
            kept_until: None,
            clock_difference: None,
            edges: None,
        }
    }
}

fn answer(authority: &Authority, outcome: OutcomeName, entry: &Entry) -> RevocationAnswer {
    let name = entry.target.fingerprint(&authority.store.filter_key());
    let clocks = authority.clocks.verdict(Instant::now());
    let is_doubtful = entry.target.kind.is_cut_off() && clocks.is_off;
    RevocationAnswer {
        id: Some(to_hex(&name.0)),
        sequence: Some(entry.sequence),
        not_before: not_before(entry),
        kept_until: Some(entry.expires_at.seconds()),
        clock_difference: is_doubtful.then(|| clocks.seconds()),
        ..RevocationAnswer::of(outcome)
    }
}

fn describe(name: Fingerprint, entry: &Entry, now: UnixTime) -> EntryAnswer {
    let except = entry.except.as_ref();
    EntryAnswer {
        id: to_hex(&name.0),
        kind: entry.target.kind,
        issuer: entry.target.issuer.clone(),
        value: entry.target.value.clone(),
        claim: qualifier(entry, Kind::Claim),
        client: qualifier(entry, Kind::SubjectAndClient),
        in_force: entry.is_in_force(now),
        not_before: not_before(entry),
        except_session: except.map(|except| except.session.clone()),
        except_from: except
            .map(|except| except.from.seconds())
            .filter(|from| *from > 0),
        cause: entry.cause,
        subject: entry.subject.clone(),
        origins: entry.origins.iter().map(|it| it.name.clone()).collect(),
        kept_until: entry.expires_at.seconds(),
        sequence: entry.sequence,
        history: entry.events.iter().map(describe_event).collect(),
    }
}

/// When it came into force: just now, or with the first revocation since it was last restored. A
/// cut-off's history does not say since when it has reached as far as it does.
fn refused_from(revoked: &Revoked) -> Option<u64> {
    let event = match revoked {
        Revoked::Newly(entry) => entry.events.last(),
        Revoked::Already(entry) if !entry.target.kind.is_cut_off() => {
            let latest = entry.events.iter().rev();
            let latest = latest.take_while(|event| event.action == Action::Revoked);
            latest.last()
        }
        Revoked::Already(_) | Revoked::Expired => None,
    };
    event.map(|event| event.time / 1_000)
}

fn not_before(entry: &Entry) -> Option<u64> {
    let is_cut_off = entry.target.kind.is_cut_off();
    let ends = is_cut_off || entry.signed_in_from() > UnixTime::EPOCH;
    ends.then(|| entry.not_before.seconds())
}

fn qualifier(entry: &Entry, kind: Kind) -> Option<String> {
    let target = &entry.target;
    (target.kind == kind).then(|| target.qualifier.clone())
}

fn describe_event(event: &Event) -> EventAnswer {
    // The time comes from the clock, and a time past the year 9999 cannot be written.
    let milliseconds = event.time.min(LAST_MILLISECOND);
    let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
    EventAnswer {
        time: humantime::format_rfc3339_millis(time).to_string(),
        action: match event.action {
            Action::Revoked => OutcomeName::Revoked,
            Action::Restored => OutcomeName::Restored,
            Action::Withdrawn => OutcomeName::Withdrawn,
        },
        actor: event.actor.clone(),
        reason: event.reason.clone(),
    }
}
