//! `/v1/feed/…`: what edges fetch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Problem, ProblemBody, precondition};
use crate::authority::credentials::Caller;
use crate::authority::feed::{Answer, Question};
use crate::authority::server::Peer;
use crate::authority::{Authority, SegmentCaching, clock};
use crate::revocation::{Chain, Evidence};

const BINARY: (&str, &str) = ("content-type", "application/octet-stream");

/// Load balancers cut connections that are silent for longer.
const MAX_WAIT: Duration = Duration::from_mins(1);

/// The signed manifest of the newest generation.
#[utoipa::path(
    get,
    path = "/v1/feed/manifest",
    security(("edge" = [])),
    responses(
        (status = 200, description = "`PCMF`, see the feed's format", body = Vec<u8>,
         content_type = "application/octet-stream"),
        (status = 503, description = "The first generation is being built", body = ProblemBody,
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
    path = "/v1/feed/segments/{generation}/{index}",
    security(("edge" = [])),
    params(
        ("generation" = u64, Path, description = "Number of the generation"),
        ("index" = usize, Path, description = "Place in the manifest's list, from 0"),
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
    // A number is given out once, so it names the bytes.
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

/// What an edge knows, and how long it waits.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct DeltaQuery {
    /// The epoch it follows.
    epoch: u64,
    /// The last change it knows.
    after: u64,
    /// The chain at that change: 32 bytes in base64url without padding. An edge that knows another
    /// history than the authority is told so.
    #[param(pattern = "^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$")]
    chain: Option<String>,
    /// What the last batch said of that place: 72 bytes in base64url without padding. Only an edge
    /// that has it is believed that it knows more than the authority.
    #[param(pattern = "^[A-Za-z0-9_-]{96}$")]
    evidence: Option<String>,
    /// The newest generation that it knows of. The answer comes at once when there is a newer one.
    generation: Option<u64>,
    /// What time it is for the edge, in milliseconds since 1970. An authority whose clock is off from
    /// most of them refuses cut-offs that are made by it.
    time: Option<u64>,
    /// A random number; it is signed with the answer.
    #[serde(default)]
    nonce: u64,
    /// Seconds to wait for a change; 25 by default, and more than 60 are 60.
    #[serde(default = "default_wait")]
    wait: u64,
}

/// The changes after a sequence number, as soon as there are some; none when the time is up.
#[utoipa::path(
    get,
    path = "/v1/feed/deltas",
    security(("edge" = [])),
    params(DeltaQuery),
    responses(
        (status = 200, description = "`PCDB`, see the feed's format", body = Vec<u8>,
         content_type = "application/octet-stream"),
        (status = 410, description = "Fetch the manifest and its segments", body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn deltas(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    peer: Option<Extension<Peer>>,
    query: Result<Query<DeltaQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query?;
    if let (Some(time), Some(Extension(Peer(address)))) = (query.time, peer) {
        let own = clock::now_milliseconds();
        let clocks = &authority.clocks;
        clocks.hear(&caller.name, address, time, own, Instant::now());
    }
    let chain = query.chain.as_deref().map(|text| {
        let not_a_chain = || Problem::invalid("`chain`: expected 32 bytes in base64url".to_owned());
        Chain::from_text(text).ok_or_else(not_a_chain)
    });
    let evidence = query.evidence.as_deref().map(|text| {
        let not_evidence =
            || Problem::invalid("`evidence`: expected 72 bytes in base64url".to_owned());
        Evidence::from_text(text).ok_or_else(not_evidence)
    });
    let question = Question {
        epoch: query.epoch,
        after: query.after,
        chain: chain.transpose()?,
        evidence: evidence.transpose()?,
        generation: query.generation,
        nonce: query.nonce,
        wait: Duration::from_secs(query.wait).min(MAX_WAIT),
    };
    let stopping = authority.stopping.clone();
    match authority.feed.poll(question, stopping).await? {
        Answer::Batch(message) => {
            Ok(([BINARY, ("cache-control", "no-store")], message).into_response())
        }
        Answer::Gone => Err(Problem::gone()),
    }
}

const fn default_wait() -> u64 {
    25
}
