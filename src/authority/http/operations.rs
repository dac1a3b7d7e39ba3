//! Requests of operators and their monitoring.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::JsonBody;
use super::{Problem, ProblemBody};
use crate::authority::sessions::Sessions;
use crate::authority::signing::FeedKey;
use crate::authority::store::Backup;
use crate::authority::{Authority, clock};
use crate::time::UnixTime;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A rotation that takes longer than a quarter of a year is a mistake.
pub const MAX_OVERLAP: Duration = Duration::from_hours(90 * 24);

/// The authority's state.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct Stats {
    /// Tokens, sessions and devices revoked; expired ones are counted until they are dropped.
    pub entries: u64,
    /// Cut-offs, likewise.
    pub cut_offs: u64,
    /// Number of the last change in the feed.
    pub sequence: u64,
    /// The feed's epoch.
    pub epoch: u64,
    /// Newest generation; absent while the first is being built.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<GenerationStats>,
    /// Long polls that are open, so about as many as there are edges.
    pub edges_waiting: usize,
    /// Whether the last attempt to write to the store succeeded.
    pub store_writable: bool,
    /// Public keys for the filter's configuration.
    pub feed_keys: Vec<FeedKeyAnswer>,
}

/// A generation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct GenerationStats {
    /// Its number.
    pub number: u64,
    /// Every change up to this one is in it.
    pub sequence: u64,
    /// Entries in its filter.
    pub entries: u64,
    /// Entries that its filter has room for.
    pub capacity: u64,
    /// Bytes of all its segments.
    pub bytes: u64,
}

/// A key of the feed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct FeedKeyAnswer {
    /// The public half, 32 bytes in base64url without padding.
    pub public_key: String,
    /// When it begins to sign, in seconds since 1970; 0 for the first key of all.
    pub signs_from: u64,
    /// When the next one takes over; absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signs_until: Option<u64>,
    /// When filters may drop it from their configuration; absent while no other key follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published_until: Option<u64>,
}

/// A copy of the store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct BackupAnswer {
    /// Where it is, on the authority's disk.
    pub path: String,
    /// Number of the last change that is in it.
    pub sequence: u64,
}

/// A request for a copy: an empty object.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {}

/// A request for a new key.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationRequest {
    /// Seconds until the new key signs, at most 90 days; a day by default. Until then it has to be
    /// in every filter's configuration.
    #[serde(default = "default_overlap")]
    #[schema(maximum = 7_776_000)]
    pub overlap_seconds: u64,
}

/// The authority's state.
#[utoipa::path(
    get,
    path = "/v1/stats",
    security(("viewer" = [])),
    responses((status = 200, body = Stats))
)]
pub(in crate::authority) async fn stats(State(authority): State<Arc<Authority>>) -> Json<Stats> {
    let readings = authority.readings();
    let generation = authority.feed.current().map(|generation| GenerationStats {
        number: generation.manifest.generation,
        sequence: generation.manifest.sequence,
        entries: generation.manifest.entries,
        capacity: generation.capacity,
        bytes: generation
            .segments
            .iter()
            .map(|bytes| bytes.len() as u64)
            .sum(),
    });
    Json(Stats {
        entries: readings.entries,
        cut_offs: readings.cut_offs,
        sequence: readings.sequence,
        epoch: authority.feed.epoch(),
        generation,
        edges_waiting: readings.edges_waiting,
        store_writable: authority.metrics.is_store_writable(),
        feed_keys: describe(&authority.signer.published(clock::now())),
    })
}

/// The public keys that a filter should accept.
#[utoipa::path(
    get,
    path = "/v1/feed/keys",
    security(("edge" = [])),
    responses((status = 200, body = Vec<FeedKeyAnswer>))
)]
pub(super) async fn keys(State(authority): State<Arc<Authority>>) -> Json<Vec<FeedKeyAnswer>> {
    Json(describe(&authority.signer.published(clock::now())))
}

/// Makes a new key for the feed. It signs after the overlap, and the old one is accepted for as
/// long again.
#[utoipa::path(
    post,
    path = "/v1/feed/keys",
    security(("admin" = [])),
    request_body = RotationRequest,
    responses(
        (status = 200, body = Vec<FeedKeyAnswer>),
        (status = 409, description = "`too_many_keys`: there are as many as there may be. \
                                      `keys_changed`: another authority on the same database has \
                                      made one at the same time; look at the keys first",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`store_unavailable`, `overloaded`: the new key is not in force. \
         A start may find it in the store all the same and print it, unless a rotation that succeeds \
         replaces it",
         body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn rotate(
    State(authority): State<Arc<Authority>>,
    JsonBody(request): JsonBody<RotationRequest>,
) -> Result<Json<Vec<FeedKeyAnswer>>, Problem> {
    let most = MAX_OVERLAP.as_secs();
    if request.overlap_seconds > most {
        let detail = format!("`overlap_seconds`: expected at most {most}");
        return Err(Problem::invalid(detail));
    }
    // Runs to its end even when the caller hangs up: otherwise the new key could be on the disk but
    // not in force until the next start.
    let overlap = Duration::from_secs(request.overlap_seconds);
    let rotated = tokio::spawn(replace_keys(authority, overlap)).await;
    let rotated = rotated.map_err(|_| Problem::internal())??;
    Ok(Json(describe(&rotated)))
}

async fn replace_keys(
    authority: Arc<Authority>,
    overlap: Duration,
) -> Result<Vec<FeedKey>, Problem> {
    // Two at once would start from the same keys, and one of the new keys would be lost.
    let _turn = authority.rotating.lock().await;
    let rotated = authority.signer.rotated(clock::now(), overlap)?;
    let replacement = authority.signer.replacement(&rotated);
    if !authority.writer.write(replacement).await? {
        return Err(Problem::rotated_elsewhere());
    }
    authority.signer.replace(rotated.clone());
    tracing::warn!(
        overlap_seconds = overlap.as_secs(),
        "made a new key for the feed"
    );
    Ok(rotated)
}

/// Copies the store, as it is at one instant, into a file beside it. The signing key is in it.
#[utoipa::path(
    post,
    path = "/v1/backup",
    security(("admin" = [])),
    request_body = BackupRequest,
    responses(
        (status = 200, description = "The copy is on the authority's disk", body = BackupAnswer),
        (status = 409, description = "`backup_in_progress`: another is being made. \
                                      `backup_elsewhere`: the store is in a database, which has \
                                      tools of its own",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "`backup_failed`: it could not be made, or was broken off; \
                                      the store is not concerned. `store_unavailable`: the store \
                                      is closed after an error. The last one is still there",
         body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn back_up(
    State(authority): State<Arc<Authority>>,
    JsonBody(BackupRequest {}): JsonBody<BackupRequest>,
) -> Result<Json<BackupAnswer>, Problem> {
    let backup = tokio::task::spawn_blocking(move || {
        let is_stopping = || *authority.stopping.borrow();
        authority.store.back_up(&is_stopping)
    });
    let backup = backup.await.map_err(|_| Problem::internal())?;
    let Backup { path, sequence } = backup.map_err(Problem::backup)?;
    let path = path.to_string_lossy().into_owned();
    tracing::info!(path, sequence, "made a backup");
    Ok(Json(BackupAnswer { path, sequence }))
}

/// Counters and gauges for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    security(("scrape" = [])),
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = OPEN_METRICS))
)]
pub(super) async fn metrics(State(authority): State<Arc<Authority>>) -> Response {
    let sessions = Sessions::counts(&authority.sessions, clock::now()).await;
    let text = authority
        .metrics
        .encode(&authority.readings(), sessions.as_ref());
    ([("content-type", OPEN_METRICS)], text).into_response()
}

/// Whether the process is healthy; if not, it has to be restarted.
#[utoipa::path(
    get,
    path = "/healthz",
    security(()),
    responses(
        (status = 200, description = "It is", body = String),
        (status = 503, description = "A part of it has ended by a fault", body = String),
    )
)]
pub(super) async fn healthz(State(authority): State<Arc<Authority>>) -> (StatusCode, &'static str) {
    if authority.writer.is_running() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the writer has ended\n")
    }
}

/// Whether edges can be served. They are served even from a store that cannot be written to, since
/// they go on with what is known; not from one whose file was taken away, since an operator has to
/// act before the next start, nor while the database that it is in was not seen for as long as
/// `--lease`, since others may have revoked something meanwhile.
#[utoipa::path(
    get,
    path = "/readyz",
    security(()),
    responses(
        (status = 200, description = "They can", body = String),
        (status = 503, description = "Not yet, or not any more, or not at present; with the reason",
         body = String),
    )
)]
pub(super) async fn readyz(
    State(authority): State<Arc<Authority>>,
) -> (StatusCode, Cow<'static, str>) {
    let not_ready = |why: &'static str| (StatusCode::SERVICE_UNAVAILABLE, why.into());
    if *authority.stopping.borrow() {
        return not_ready("stopping\n");
    }
    if let Err(error) = authority.store.check_recent() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n").into());
    }
    // One in a database has no file, and may be back since it was looked for last.
    if !authority.store.is_shared() && authority.store.is_taken() {
        return not_ready("the store's file was taken away\n");
    }
    match authority.feed.current() {
        Some(_) => (StatusCode::OK, "ready\n".into()),
        None => not_ready("building the first generation\n"),
    }
}

fn describe(keys: &[FeedKey]) -> Vec<FeedKeyAnswer> {
    let describe = |(index, key): (usize, &FeedKey)| {
        let later = keys.iter().skip(index + 1).map(|later| later.signs_from);
        FeedKeyAnswer {
            public_key: key.public_text(),
            signs_from: key.signs_from.seconds(),
            signs_until: later.min().map(UnixTime::seconds),
            published_until: key.ends_at.map(UnixTime::seconds),
        }
    };
    keys.iter().enumerate().map(describe).collect()
}

const fn default_overlap() -> u64 {
    24 * 60 * 60
}

#[cfg(test)]
mod tests;
