//! `/v1/feed/…`: what edges fetch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::{Problem, ProblemBody, precondition};
use crate::authority::credentials::Caller;
use crate::authority::edges::{Position, Sight};
use crate::authority::feed::{Poll, PollAnswer};
use crate::authority::server::Peer;
use crate::authority::store::Store;
use crate::authority::{Authority, SegmentCaching, clock};
use crate::revocation::wire::{
    DELTAS_PATH, DeltaQuery, EDGE_HEADER, Introduction, MANIFEST_PATH, SEGMENT_PATH,
};

const BINARY: (&str, &str) = ("content-type", "application/octet-stream");

/// Load balancers close connections that are silent for longer.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// The signed manifest of the newest generation.
#[utoipa::path(
    get,
    path = MANIFEST_PATH,
    security(("edge" = [])),
    responses(
        (status = 200, description = "`PCMF`, see the feed's format", body = Vec<u8>,
         content_type = "application/octet-stream"),
        (status = 503, description = "`feed_not_ready`: the first generation is being built", body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn manifest(State(authority): State<Arc<Authority>>) -> Result<Response, Problem> {
    let (_, message) = authority
        .feed
        .manifest()
        .ok_or_else(Problem::no_generation)?;
    let headers = [BINARY, ("cache-control", "no-store")];
    Ok((headers, message).into_response())
}

/// A segment of a generation. It never changes, so caches may keep it for ever: only the caller's
/// own, unless the authority was started with `--allow-shared-caches`.
#[utoipa::path(
    get,
    path = SEGMENT_PATH,
    security(("edge" = [])),
    params(
        ("generation" = u64, Path, description = "Number of the generation"),
        ("index" = usize, Path, description = "Position in the manifest's list, from 0"),
    ),
    responses(
        (status = 200, description = "At most 1 MiB", body = Vec<u8>,
         content_type = "application/octet-stream"),
        (status = 304, description = "The caller has it, by its `If-None-Match`"),
        (status = 404, description = "No such segment, or not any more", body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn segment(
    State(authority): State<Arc<Authority>>,
    Path((generation, index)): Path<(String, String)>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let numbers = generation.parse().ok().zip(index.parse().ok());
    let segment = numbers.and_then(|(generation, index)| authority.feed.segment(generation, index));
    let segment = segment.ok_or_else(Problem::not_found)?;
    // A generation number is given out once, so it identifies the bytes.
    let tag = format!("{generation}-{index}");
    let is_held = precondition::is_held(&request, &tag);
    let tag = format!("\"{tag}\"");
    let headers = [
        BINARY,
        ("etag", tag.as_str()),
        ("cache-control", cache_control(authority.segment_caching)),
    ];
    Ok(if is_held {
        (StatusCode::NOT_MODIFIED, headers).into_response()
    } else {
        (headers, segment).into_response()
    })
}

const fn cache_control(caching: SegmentCaching) -> &'static str {
    match caching {
        SegmentCaching::Private => "private, max-age=31536000, immutable",
        SegmentCaching::Shared => "public, max-age=31536000, immutable",
    }
}

/// The changes after a sequence number, as soon as there are some; none when the time is up.
#[utoipa::path(
    get,
    path = DELTAS_PATH,
    security(("edge" = [])),
    params(
        DeltaQuery,
        ("portcullis-edge" = Option<String>, Header,
         description = "Which edge polls: `1`, the version of its module, a random number of its process, \
                        seconds since it began to follow the feed, the generation in use, and its name. \
                        Anything else is ignored"),
    ),
    responses(
        (status = 200, description = "`PCDB`, see the feed's format", body = Vec<u8>,
         content_type = "application/octet-stream"),
        (status = 410, description = "Fetch the manifest and its segments", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = 503, description = "`database_away`: what other authorities have committed since \
         the edge has asked is not known here. `store_unavailable`, `overloaded`: a new epoch should \
         begin, and cannot be kept", body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn deltas(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    peer: Option<Extension<Peer>>,
    headers: HeaderMap,
    query: Result<Query<DeltaQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let asked = Store::moment();
    let Query(query) = query?;
    let address = peer.map(|Extension(Peer(address))| address);
    if let Some((time, address)) = query.time.zip(address) {
        let own = clock::now_milliseconds();
        let clocks = &authority.clocks;
        clocks.hear(&caller.name, address, time, own, Instant::now());
    }
    let poll = Poll {
        epoch: query.epoch,
        after: query.after,
        chain: query.chain,
        evidence: query.evidence,
        generation: query.generation,
        nonce: query.nonce,
        asked,
        wait: Duration::from_secs(query.wait).min(MAX_WAIT),
    };
    // Before it is noted where the edge is: one that is further than this authority counts as lost.
    let poll = authority.feed.catch_up(poll).await?;
    let asking = address.map(|address| {
        let introduction = headers.get(EDGE_HEADER);
        let sight = Sight {
            credential: caller.name,
            address: address.to_canonical(),
            introduction: introduction
                .and_then(|value| Introduction::from_header(value.as_bytes())),
            position: Position {
                epoch: query.epoch,
                sequence: query.after,
            },
        };
        authority.edges.ask(sight, authority.feed.position())
    });
    let stopping = authority.stopping.clone();
    match authority.feed.poll(poll, stopping).await? {
        PollAnswer::Batch { message, through } => {
            if let Some(asking) = asking {
                asking.answered(Position {
                    epoch: query.epoch,
                    sequence: through,
                });
            }
            Ok(([BINARY, ("cache-control", "no-store")], message).into_response())
        }
        PollAnswer::Gone => Err(Problem::gone()),
    }
}
