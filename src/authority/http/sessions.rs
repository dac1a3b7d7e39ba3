//! `POST /v1/activity` and `GET /v1/sessions`: what edges have seen of sessions, and who is signed in.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, Query, Request, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::read_bytes;
use super::{Problem, ProblemBody, is_revoked};
use crate::authority::credentials::Caller;
use crate::authority::sessions::{self, Filter, Name, RegistryError, ReportError, Session};
use crate::authority::store::to_hex;
use crate::authority::{Authority, clock, strict};
use crate::revocation::Cause;
use crate::revocation::wire::CheckRequest;
use crate::revocation::wire::activity::{
    ACTIVITY_PATH, ACTIVITY_VERSION, ActivityRequest, MAX_ACTIVITY_BYTES,
};
use crate::time::UnixTime;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// The body of a report as it came: a megabyte of JSON is not read on a thread that others wait for.
#[derive(Debug)]
pub(super) struct Activity(axum::body::Bytes);

impl<S: Send + Sync> FromRequest<S> for Activity {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read_bytes(request, MAX_ACTIVITY_BYTES).await?;
        Ok(Self(bytes))
    }
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct SessionAnswer {
    /// Names the session, in this installation.
    pub id: String,
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `sid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// `jti` of the only token, where there is no `sid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The client that it was last used by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// The device that it was last used on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The latest `auth_time`, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<u64>,
    /// The latest `iat`, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued_at: Option<u64>,
    /// The latest `exp`, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<u64>,
    /// Its first request, as in RFC 3339.
    pub first_seen: String,
    /// Its last request, as in RFC 3339.
    pub last_seen: String,
    /// How many requests there were; 4,294,967,295 for any more.
    pub requests: u32,
    /// From where it was used lately, the most recent first.
    pub sightings: Vec<SightingAnswer>,
    /// Since when it is revoked, as in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Why it is, where there is more to say than that it is.
    #[serde(default, skip_serializing_if = "Cause::is_plain")]
    pub cause: Cause,
    /// What looks stolen about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspicion: Option<SuspicionAnswer>,
}

/// Requests from one network with one kind of client.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct SightingAnswer {
    /// Where they came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The kind of client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// How many.
    pub requests: u32,
    /// The first of them, as in RFC 3339.
    pub first_seen: String,
    /// The last of them, as in RFC 3339.
    pub last_seen: String,
}

/// What looks stolen about a session.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct SuspicionAnswer {
    /// When it was last noticed, as in RFC 3339.
    pub at: String,
    /// What was noticed.
    pub evidence: String,
}

/// Some sessions.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct SessionsAnswer {
    /// The sessions, in no particular order.
    pub sessions: Vec<SessionAnswer>,
    /// What to ask for as `after` to see the next ones; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Which sessions to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::authority) struct SessionsQuery {
    /// Only of this issuer.
    pub(in crate::authority) issuer: Option<String>,
    /// Only of this subject.
    pub(in crate::authority) subject: Option<String>,
    /// Only those that were not seen for so many seconds.
    pub(in crate::authority) idle_for: Option<u64>,
    /// Only those that looked stolen.
    #[serde(default)]
    pub(in crate::authority) suspicious: bool,
    /// Also those that were revoked lately.
    #[serde(default)]
    pub(in crate::authority) include_ended: bool,
    /// `next` of the page before, of the same search.
    #[param(pattern = "^[0-9a-f]{1,16}(-[0-9a-f]{1,16}){0,3}$")]
    pub(in crate::authority) after: Option<String>,
    /// Sessions on a page, 1 to 1000; 100 by default. There may be fewer although there are more
    /// pages.
    #[param(minimum = 1, maximum = 1000)]
    pub(in crate::authority) limit: Option<usize>,
}

/// Takes in what an edge has seen of sessions, unless most edges agree that the clock is behind: a session
/// would be too old as soon as that is put right.
#[utoipa::path(
    post,
    path = ACTIVITY_PATH,
    security(("edge-activity" = [])),
    request_body = ActivityRequest,
    responses(
        (status = 204, description = "Taken in"),
        (status = "4XX", description = "Nothing was taken in", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = 503, description = "The registry is not available; what was reported is to be sent \
          again", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn report(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    Activity(bytes): Activity,
) -> Result<StatusCode, Problem> {
    let now = clock::now_milliseconds();
    let taken = tokio::task::spawn_blocking(move || {
        let request: ActivityRequest =
            strict::from_slice(&bytes).map_err(|error| Problem::invalid(error.to_string()))?;
        if request.version != ACTIVITY_VERSION {
            let detail = format!("`version`: expected {ACTIVITY_VERSION}");
            return Err(Problem::invalid(detail));
        }
        if request.interval == 0 {
            return Err(Problem::invalid("`interval`: expected at least 1"));
        }
        if authority.clocks.verdict(Instant::now()).is_behind() {
            let metrics = &authority.metrics.sessions;
            metrics.reported(request.reports.len(), false);
            authority.ends.lose();
            return Ok(());
        }
        let time = UnixTime::from_milliseconds(now);
        let is_revoked = |session: &Session| is_revoked(&authority, &check_of(session), time);
        let sessions = &authority.sessions;
        let new = sessions.report(request.reports, now, &is_revoked)?;
        // What was not taken was not heard, and is told again.
        let new = new.ok_or_else(Problem::no_registry)?;
        let interval = Duration::from_millis(request.interval);
        authority.ends.hear(&caller.name, interval);
        if request.incomplete {
            authority.metrics.sessions.incomplete();
            authority.ends.lose();
        }
        authority.ends.came(&new);
        Ok(())
    });
    taken.await.map_err(|_| Problem::internal())??;
    Ok(StatusCode::NO_CONTENT)
}

/// What would be asked about the newest token of a session, as far as it is known.
fn check_of(session: &Session) -> CheckRequest {
    let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
    let seconds = |time: Option<UnixTime>| time.map(UnixTime::seconds);
    let (sid, jti) = match &session.name {
        Name::Session(sid) => (Some(sid.as_ref().to_owned()), None),
        Name::Token(jti) => (None, Some(jti.as_ref().to_owned())),
    };
    CheckRequest {
        issuer: session.issuer.as_ref().to_owned(),
        jti,
        sid,
        device: text(&session.device),
        subject: text(&session.subject),
        client: text(&session.client),
        issued_at: seconds(session.issued_at),
        auth_time: seconds(session.auth_time),
        ..CheckRequest::default()
    }
}

/// Sessions that edges have reported: all of them, or those that are searched for.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    security(("viewer" = [])),
    params(SessionsQuery),
    responses(
        (status = 200, body = SessionsAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The registry is not available", body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(in crate::authority) async fn list(
    State(authority): State<Arc<Authority>>,
    query: Result<Query<SessionsQuery>, QueryRejection>,
) -> Result<Json<SessionsAnswer>, Problem> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("`limit`: expected 1 to {MAX_PAGE}");
        return Err(Problem::invalid(detail));
    }
    let not_seen_since = query.idle_for.map(|seconds| {
        let since = clock::now().seconds().saturating_sub(seconds);
        UnixTime::from_seconds(since).unwrap_or_default()
    });
    let filter = Filter {
        issuer: query.issuer,
        subject: query.subject,
        not_seen_since,
        suspicious: query.suspicious,
        ended: query.include_ended,
    };
    // A search for what is rare looks at every session there is.
    let page = tokio::task::spawn_blocking(move || {
        let registry = authority.sessions.registry();
        registry.search(&filter, query.after.as_deref(), limit)
    });
    let page = page.await.map_err(|_| Problem::internal())??;
    Ok(Json(SessionsAnswer {
        sessions: page.sessions.iter().map(describe).collect(),
        next: page.next,
    }))
}

/// The session, as the interface has it.
pub(in crate::authority) fn describe(session: &sessions::Session) -> SessionAnswer {
    let text = |text: &Arc<str>| text.to_string();
    let (sid, jti) = match &session.name {
        Name::Session(sid) => (Some(text(sid)), None),
        Name::Token(jti) => (None, Some(text(jti))),
    };
    SessionAnswer {
        id: to_hex(&session.id.0),
        issuer: text(&session.issuer),
        subject: session.subject.as_ref().map(text),
        sid,
        jti,
        client: session.client.as_ref().map(text),
        device: session.device.as_ref().map(text),
        auth_time: session.auth_time.map(UnixTime::seconds),
        issued_at: session.issued_at.map(UnixTime::seconds),
        expires_at: session.expires_at.map(UnixTime::seconds),
        first_seen: written(session.first_seen),
        last_seen: written(session.last_seen),
        requests: session.requests,
        sightings: session.sightings.iter().map(describe_sighting).collect(),
        ended: session.ended.map(|ended| written(ended.at)),
        cause: session.ended.map(|ended| ended.cause).unwrap_or_default(),
        suspicion: session.suspicion.as_ref().map(|suspicion| SuspicionAnswer {
            at: written(suspicion.at),
            evidence: text(&suspicion.evidence),
        }),
    }
}

fn describe_sighting(sighting: &sessions::Sighting) -> SightingAnswer {
    SightingAnswer {
        network: sighting.network.map(|network| network.to_string()),
        user_agent: sighting.user_agent.as_ref().map(ToString::to_string),
        requests: sighting.requests,
        first_seen: written(sighting.first_seen),
        last_seen: written(sighting.last_seen),
    }
}

/// An instant as in RFC 3339.
pub(in crate::authority) fn written(time: UnixTime) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(time.seconds());
    humantime::format_rfc3339_seconds(time).to_string()
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Away => Self::no_registry(),
            RegistryError::Cursor => Self::out_of_bounds(format!("`after`: {error}")),
        }
    }
}

impl From<ReportError> for Problem {
    fn from(error: ReportError) -> Self {
        if error.is_of_bounds() {
            Self::out_of_bounds(error.to_string())
        } else {
            Self::invalid(error.to_string())
        }
    }
}
