//! `POST /v1/check`: the exact answer for one token.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::ReadJson;
use super::{Problem, ProblemBody};
use crate::authority::{Authority, clock};
use crate::revocation::{Kind, Signable, proof};
use crate::time::UnixTime;

/// The claims of a token that a revocation could name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckRequest {
    /// `iss`.
    pub issuer: String,
    /// `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// `sid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// The claim that names the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// `sub`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `client_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// `azp`, which names a client as well; a token may have both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub azp: Option<String>,
    /// `iat`; without it, any cut-off holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 253_402_300_799_isize)]
    pub issued_at: Option<u64>,
    /// A random number, below 2^63; with it the answer has a proof, which serves for this question
    /// only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<u64>,
}

/// Whether it is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct CheckAnswer {
    /// Whether it is.
    pub revoked: bool,
    /// What kind of revocation names it: the first of token, session, device, subject, client,
    /// issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Kind>,
    /// The same, signed with a key of the feed: base64url of SHA-256 of the question's body, one
    /// byte that is 1 for revoked, eight bytes that name the key, and an Ed25519 signature over
    /// `portcullis check 1`, a zero byte and what is before the key. For questions with a nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// Whether a token with these claims is revoked, exactly.
#[utoipa::path(
    post,
    path = "/v1/check",
    security(("edge" = [])),
    request_body = CheckRequest,
    responses(
        (status = 200, body = CheckAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn check(
    State(authority): State<Arc<Authority>>,
    ReadJson { value, bytes }: ReadJson<CheckRequest>,
) -> Result<Json<CheckAnswer>, Problem> {
    let issued_at = value.issued_at.map(|seconds| {
        let too_late = || Problem::invalid("`issued_at`: expected a time before the year 10000");
        UnixTime::from_seconds(seconds).ok_or_else(too_late)
    });
    let now = clock::now();
    let by = revoked_by(&authority, &value, issued_at.transpose()?, now);
    authority.metrics.checked(by.is_some());
    let proof = value.nonce.map(|_| {
        let statement = proof::statement(&bytes, by.is_some());
        proof::encode(&authority.signer.sign(Signable::Check, statement, now))
    });
    Ok(Json(CheckAnswer {
        revoked: by.is_some(),
        by,
        proof,
    }))
}

fn revoked_by(
    authority: &Authority,
    request: &CheckRequest,
    issued_at: Option<UnixTime>,
    now: UnixTime,
) -> Option<Kind> {
    let key = authority.store.filter_key();
    let name = |kind, value: &str| key.fingerprint(kind, &request.issuer, value);
    let entries = [
        (Kind::Token, &request.jti),
        (Kind::Session, &request.sid),
        (Kind::Device, &request.device),
    ];
    for (kind, value) in entries {
        if let Some(value) = value
            && authority.index.is_revoked(name(kind, value), now)
        {
            return Some(kind);
        }
    }
    let session = request.sid.as_deref();
    let session = session.map(|session| name(Kind::Session, session));
    let cut_offs = [
        (Kind::Subject, request.subject.as_deref()),
        (Kind::Client, request.client.as_deref()),
        (Kind::Client, request.azp.as_deref()),
        (Kind::Issuer, Some("")),
    ];
    cut_offs.into_iter().find_map(|(kind, value)| {
        let cut_off = authority.index.cut_off(name(kind, value?), now)?;
        cut_off.revokes(issued_at, session).then_some(kind)
    })
}
