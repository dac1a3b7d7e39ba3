//! `/v1/streams`: the streams of events that the signals file names, and what can be done about them at
//! their transmitters.

use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::time::timeout_at;
use utoipa::{IntoResponses, ToSchema};

use super::body::JsonBody;
use super::{Problem, ProblemBody};
use crate::authority::Authority;
use crate::authority::signals::{Fault, KeptStream, Receivers, StreamStatus, StreamView};

/// How long a verification event is waited for.
const DEFAULT_WAIT: u64 = 10;

/// The longest that it can be.
pub const MAX_VERIFICATION_WAIT: u64 = 60;

/// A stream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct StreamAnswer {
    /// Its name in the signals file.
    pub name: String,
    /// The issuer of its events.
    pub issuer: String,
    /// `push` where its transmitter sends, `poll` where it is asked.
    pub delivery: String,
    /// Whether it is created and watched from here.
    pub managed: bool,
    /// What its transmitter calls it; absent until it is created, and of one that is not managed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<String>,
    /// It was deleted, and is not created again unless that is asked for.
    pub deleted: bool,
    /// `enabled`, `paused` or `disabled`, by what its transmitter said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Why, where the transmitter has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_reason: Option<String>,
    /// The types of events that its transmitter says it delivers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events_delivered: Vec<String>,
    /// When the last verification event came, as in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<String>,
    /// When the last event was accepted, as in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event: Option<String>,
    /// When its transmitter last answered, as in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered: Option<String>,
    /// What is wrong with it, although it works: subjects that could not be added, events that were
    /// asked for and do not come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// How many calls in a row came to nothing.
    pub failures: u32,
    /// The last call that came to nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<StreamFault>,
}

/// A call to a transmitter that came to nothing.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct StreamFault {
    /// When, as in RFC 3339.
    pub time: String,
    /// Why, `unauthorized` for instance.
    pub reason: String,
    /// What an operator should know about it.
    pub detail: String,
}

/// The streams of the signals file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct StreamsAnswer {
    /// In the order of the file.
    pub streams: Vec<StreamAnswer>,
}

/// A stream of the signals file.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamRequest {
    /// Its name.
    pub name: String,
}

/// A new status of a stream.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamStatusRequest {
    /// The stream's name.
    pub name: String,
    /// What it is to be.
    pub status: StreamStatusName,
    /// Why, for those who keep the transmitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What a stream can be made to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum StreamStatusName {
    /// Deliver events.
    Enabled,
    /// Keep them for later.
    Paused,
}

/// A verification event to be asked for.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerificationRequest {
    /// The stream's name.
    pub name: String,
    /// For how many seconds it is waited for, at most 60; 10 by default.
    #[serde(default = "default_wait")]
    #[schema(maximum = 60)]
    pub wait_seconds: u64,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct VerificationAnswer {
    /// Whether it has come, signed and with the `state` that was asked for.
    pub arrived: bool,
    /// How long that took, or how long it was waited for, in milliseconds.
    pub took_milliseconds: u64,
}

/// Why nothing was done at a transmitter, in the description.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "every answer is a `Problem`")]
enum Undone {
    /// There is no such stream
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
    /// The stream is not managed from here
    #[response(status = 409, content_type = "application/problem+json")]
    NotManaged(ProblemBody),
    /// The request is not in order, or its credential is not enough
    #[response(status = "4XX", content_type = "application/problem+json")]
    Refused(ProblemBody),
    /// The transmitter did not do it
    #[response(status = 502, content_type = "application/problem+json")]
    TransmitterFailed(ProblemBody),
}

const fn default_wait() -> u64 {
    DEFAULT_WAIT
}

/// The streams of events that the signals file names. Empty where there are none.
#[utoipa::path(
    get,
    path = "/v1/streams",
    security(("viewer" = [])),
    responses(
        (status = 200, body = StreamsAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(State(authority): State<Arc<Authority>>) -> Json<StreamsAnswer> {
    let streams = authority.signals.iter();
    let views = streams.flat_map(|receivers| {
        let streams = receivers.upkeep().all().iter();
        streams.map(|stream| stream.view(receivers))
    });
    Json(StreamsAnswer {
        streams: views.map(describe).collect(),
    })
}

/// Creates a stream at its transmitter, or finds the one that there is and brings it in order, now.
/// The authority does so by itself at its start; this is for one that was deleted, or for not waiting.
#[utoipa::path(
    post,
    path = "/v1/streams",
    security(("admin" = [])),
    request_body = StreamRequest,
    responses(
        (status = 200, body = StreamAnswer),
        Undone,
    )
)]
pub(super) async fn create(
    State(authority): State<Arc<Authority>>,
    JsonBody(request): JsonBody<StreamRequest>,
) -> Result<Json<StreamAnswer>, Problem> {
    manage(&authority, &request.name, |stream, receivers| {
        stream.create(receivers)
    })
    .await
}

/// Deletes a stream at its transmitter. It is not created again by itself, until that is asked for.
#[utoipa::path(
    post,
    path = "/v1/streams/deletion",
    security(("admin" = [])),
    request_body = StreamRequest,
    responses(
        (status = 200, body = StreamAnswer),
        Undone,
    )
)]
pub(super) async fn delete(
    State(authority): State<Arc<Authority>>,
    JsonBody(request): JsonBody<StreamRequest>,
) -> Result<Json<StreamAnswer>, Problem> {
    manage(&authority, &request.name, |stream, receivers| {
        stream.delete(receivers)
    })
    .await
}

/// Has a transmitter keep the events of a stream for later, or deliver them again.
#[utoipa::path(
    post,
    path = "/v1/streams/status",
    security(("admin" = [])),
    request_body = StreamStatusRequest,
    responses(
        (status = 200, body = StreamAnswer),
        Undone,
    )
)]
pub(super) async fn set_status(
    State(authority): State<Arc<Authority>>,
    JsonBody(request): JsonBody<StreamStatusRequest>,
) -> Result<Json<StreamAnswer>, Problem> {
    let status = match request.status {
        StreamStatusName::Enabled => StreamStatus::Enabled,
        StreamStatusName::Paused => StreamStatus::Paused,
    };
    manage(&authority, &request.name, move |stream, receivers| {
        stream.set_status(receivers, status, request.reason.as_deref())
    })
    .await
}

/// Asks a transmitter for a verification event, and waits for it.
#[utoipa::path(
    post,
    path = "/v1/streams/verification",
    security(("admin" = [])),
    request_body = VerificationRequest,
    responses(
        (status = 200, body = VerificationAnswer),
        Undone,
    )
)]
pub(super) async fn verify(
    State(authority): State<Arc<Authority>>,
    JsonBody(request): JsonBody<VerificationRequest>,
) -> Result<Json<VerificationAnswer>, Problem> {
    if request.wait_seconds > MAX_VERIFICATION_WAIT {
        let detail = format!("`wait_seconds`: expected at most {MAX_VERIFICATION_WAIT}");
        return Err(Problem::out_of_bounds(detail));
    }
    let (stream, receivers) = found(&authority, &request.name)?;
    let begun = Instant::now();
    let asked = tokio::task::spawn_blocking(move || stream.verify(&receivers));
    let shown = asked.await.map_err(|_| Problem::internal())??;
    let deadline = begun + Duration::from_secs(request.wait_seconds);
    let arrived = timeout_at(deadline.into(), shown).await;
    Ok(Json(VerificationAnswer {
        arrived: matches!(arrived, Ok(Ok(()))),
        took_milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
    }))
}

/// Does something at a transmitter, where others do not wait for it, and tells how the stream is then.
async fn manage(
    authority: &Authority,
    name: &str,
    work: impl FnOnce(&KeptStream, &Receivers) -> Result<(), Fault> + Send + 'static,
) -> Result<Json<StreamAnswer>, Problem> {
    let (stream, receivers) = found(authority, name)?;
    let done = tokio::task::spawn_blocking(move || {
        work(&stream, &receivers)?;
        Ok::<_, Fault>(stream.view(&receivers))
    });
    let view = done.await.map_err(|_| Problem::internal())??;
    Ok(Json(describe(view)))
}

fn found(authority: &Authority, name: &str) -> Result<(Arc<KeptStream>, Arc<Receivers>), Problem> {
    let receivers = authority.signals.clone();
    let receivers = receivers.ok_or_else(Problem::stream_not_found)?;
    let stream = receivers.upkeep().of(name);
    let stream = stream.ok_or_else(Problem::stream_not_found)?;
    if !stream.is_managed() {
        return Err(Problem::stream_not_managed());
    }
    Ok((stream, receivers))
}

fn describe(view: StreamView) -> StreamAnswer {
    StreamAnswer {
        name: view.name,
        issuer: view.issuer,
        delivery: view.delivery.to_owned(),
        managed: view.is_managed,
        stream_id: view.stream_id,
        deleted: view.is_deleted,
        status: view.status.map(str::to_owned),
        status_reason: view.status_reason,
        events_delivered: view.events_delivered,
        verified: view.verified_at.map(written),
        last_event: view.last_event.map(written),
        answered: view.last_answer.map(written),
        warnings: view.warnings,
        failures: view.failures,
        fault: view.last_fault.map(|(time, fault)| StreamFault {
            time: written(time),
            reason: fault.reason.label().to_owned(),
            detail: fault.detail,
        }),
    }
}

fn written(milliseconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
    humantime::format_rfc3339_millis(time).to_string()
}
