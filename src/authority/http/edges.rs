//! `GET /v1/edges`, and how far a change has come.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Problem, ProblemBody, written};
use crate::authority::edges::{MOST_EDGES, Position, Unknown, View};
use crate::authority::request::EdgeWait;
use crate::authority::{Authority, clock};
use crate::time::{UnixTime, milliseconds};

const DEFAULT_LIMIT: usize = 100;

/// The most edges that an answer to a revocation names. Where more lack it, something is wrong with all.
const MOST_NAMED: usize = 20;

/// An edge: an Envoy process that follows the feed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct EdgeAnswer {
    /// Its `node.id`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<String>,
    /// Tells its process from others: 16 hexadecimal digits. Absent for versions that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
    /// Where its last poll came from.
    pub address: String,
    /// The name of its credential.
    pub credential: String,
    /// The version of its module, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The last change that it has; absent while it has nothing of the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// How many changes it lacks, in the answer to a revocation up to that one; absent where it has
    /// nothing of this epoch of the feed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<u64>,
    /// For how long it has lacked something.
    pub behind_for_milliseconds: u64,
    /// The generation that it uses, where it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
    /// Whether it waits for changes at this moment.
    pub polling: bool,
    /// When it was last heard, as in RFC 3339.
    pub last_seen: String,
    /// Since when its process has followed the feed, as in RFC 3339; for versions that do not say, when it
    /// was first heard.
    pub since: String,
}

/// The edges.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct EdgesAnswer {
    /// The epoch of the feed.
    pub epoch: u64,
    /// Number of the last change in the feed.
    pub sequence: u64,
    /// How many edges have polled in the last minute.
    pub seen: usize,
    /// How many of these have lacked changes for a second and longer.
    pub behind: usize,
    /// Those that have polled in the last quarter of an hour: first those that lack most, then those that
    /// were silent longest.
    pub edges: Vec<EdgeAnswer>,
    /// How many more there are.
    pub more: usize,
}

/// How far a change has come.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct ReachAnswer {
    /// Whether every edge that was seen in the last minute has it.
    pub complete: bool,
    /// How many edges were seen in the last minute.
    pub seen: usize,
    /// How many of them have it.
    pub having: usize,
    /// How long they were waited for, once it was on the disk.
    pub waited_milliseconds: u64,
    /// Those that lack it, at most 20: first those that lack most, then those that were silent longest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lacking: Vec<EdgeAnswer>,
    /// Why there may be others that lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<UnknownEdges>,
}

/// Why there may be more edges than the authority knows of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnknownEdges {
    /// The authority was started less than 15 seconds ago, and some may not have come back yet.
    JustStarted,
    /// There are more than 10,000.
    TooMany,
}

/// How many edges to list.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::authority) struct EdgesQuery {
    /// How many at most, 1 to 10000; 100 by default.
    #[param(minimum = 1, maximum = 10000)]
    pub(in crate::authority) limit: Option<usize>,
}

/// The edges that follow the feed, and how far each has come.
#[utoipa::path(
    get,
    path = "/v1/edges",
    security(("viewer" = [])),
    params(EdgesQuery),
    responses(
        (status = 200, body = EdgesAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(in crate::authority) async fn list(
    State(authority): State<Arc<Authority>>,
    query: Result<Query<EdgesQuery>, QueryRejection>,
) -> Result<Json<EdgesAnswer>, Problem> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MOST_EDGES).contains(&limit) {
        let detail = format!("`limit`: expected 1 to {MOST_EDGES}");
        return Err(Problem::invalid(detail));
    }
    let head = authority.feed.position();
    let counts = authority.edges.counts(head);
    let views = authority.edges.views(head);
    Ok(Json(EdgesAnswer {
        epoch: head.epoch,
        sequence: head.sequence,
        seen: counts.edges,
        behind: counts.behind,
        edges: described(&views, limit),
        more: views.len().saturating_sub(limit),
    }))
}

/// Waits until edges have a change, as a request says.
pub(in crate::authority) async fn reached(
    authority: &Authority,
    sequence: u64,
    wait: Option<EdgeWait>,
) -> Option<ReachAnswer> {
    let wait = wait?.duration();
    let target = Position {
        sequence,
        ..authority.feed.position()
    };
    let stopping = authority.stopping.clone();
    let (reach, waited) = authority.edges.reached(target, wait, stopping).await;
    Some(ReachAnswer {
        complete: reach.is_whole(),
        seen: reach.edges,
        having: reach.edges.saturating_sub(reach.lacking.len()),
        waited_milliseconds: milliseconds(waited),
        lacking: described(&reach.lacking, MOST_NAMED),
        unknown: reach.unknown.map(|unknown| match unknown {
            Unknown::Started => UnknownEdges::JustStarted,
            Unknown::TooMany => UnknownEdges::TooMany,
        }),
    })
}

fn described(views: &[View], limit: usize) -> Vec<EdgeAnswer> {
    let now = clock::now_milliseconds();
    let views = views.iter().take(limit);
    views.map(|view| describe(view, now)).collect()
}

fn describe(view: &View, now: u64) -> EdgeAnswer {
    let instance = Some(&view.instance).filter(|instance| !instance.is_empty());
    EdgeAnswer {
        instance: instance.cloned(),
        process: view.process.map(|process| format!("{process:016x}")),
        address: view.address.to_string(),
        credential: view.credential.to_string(),
        version: view.version.clone(),
        sequence: view.position.map(|position| position.sequence),
        behind: view.lacks,
        behind_for_milliseconds: milliseconds(view.late),
        generation: view.generation,
        polling: view.is_polling,
        last_seen: before(now, view.seen_ago),
        since: before(now, view.age),
    }
}

/// The instant that was so long ago, as in RFC 3339.
fn before(now: u64, ago: Duration) -> String {
    let seconds = now.saturating_sub(milliseconds(ago)) / 1_000;
    written(UnixTime::from_seconds(seconds).unwrap_or(UnixTime::MAX))
}
