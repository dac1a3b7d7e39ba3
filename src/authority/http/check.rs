//! `POST /v1/check`: the exact answer for one token.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::ReadJson;
use super::revocations::{IssuerAnswer, known_issuer};
use super::{Problem, ProblemBody};
use crate::authority::credentials::{Caller, Role};
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
    /// Every member of the question that a revocation names, in the order of `by`. For questions
    /// without a nonce.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// Whether anything of the issuer was ever revoked. For admins whose question has no nonce,
    /// when the token is not revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<IssuerAnswer>,
    /// The same, signed with a key of the feed: base64url of SHA-256 of the question's body, one
    /// byte that is 1 for revoked, eight bytes that name the key, and an Ed25519 signature over
    /// `portcullis check 1`, a zero byte and what is before the key. For questions with a nonce.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// A member of the question that a revocation can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Member {
    /// `jti`.
    Jti,
    /// `sid`.
    Sid,
    /// The claim that names the device.
    Device,
    /// `sub`.
    Subject,
    /// `client_id`.
    Client,
    /// `azp`.
    Azp,
    /// `iss`.
    Issuer,
}

impl Member {
    /// What the member names.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Jti => Kind::Token,
            Self::Sid => Kind::Session,
            Self::Device => Kind::Device,
            Self::Subject => Kind::Subject,
            Self::Client | Self::Azp => Kind::Client,
            Self::Issuer => Kind::Issuer,
        }
    }
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
    Extension(caller): Extension<Caller>,
    ReadJson { value, bytes }: ReadJson<CheckRequest>,
) -> Result<Json<CheckAnswer>, Problem> {
    let issued_at = value.issued_at.map(|seconds| {
        let too_late = || Problem::invalid("`issued_at`: expected a time before the year 10000");
        UnixTime::from_seconds(seconds).ok_or_else(too_late)
    });
    let now = clock::now();
    let mut members = revoked_members(&authority, &value, issued_at.transpose()?, now);
    let first = members.next();
    authority.metrics.checked(first.is_some());
    let mut answer = CheckAnswer {
        revoked: first.is_some(),
        by: first.map(Member::kind),
        members: Vec::new(),
        issuer: None,
        proof: None,
    };
    // A question with a nonce is an edge's, which reads nothing but the proof.
    if value.nonce.is_some() {
        let statement = proof::statement(&bytes, answer.revoked);
        let statement = authority.signer.sign(Signable::Check, statement, now);
        answer.proof = Some(proof::encode(&statement));
        return Ok(Json(answer));
    }
    answer.members = first.into_iter().chain(members).collect();
    if !answer.revoked && caller.role == Role::Admin {
        answer.issuer = Some(known_issuer(&authority, value.issuer).await?);
    }
    Ok(Json(answer))
}

fn revoked_members(
    authority: &Authority,
    request: &CheckRequest,
    issued_at: Option<UnixTime>,
    now: UnixTime,
) -> impl Iterator<Item = Member> {
    let key = authority.store.filter_key();
    let name =
        move |member: Member, value: &str| key.fingerprint(member.kind(), &request.issuer, value);
    let session = request.sid.as_deref();
    let session = session.map(|session| name(Member::Sid, session));
    let members = [
        (Member::Jti, request.jti.as_deref()),
        (Member::Sid, request.sid.as_deref()),
        (Member::Device, request.device.as_deref()),
        (Member::Subject, request.subject.as_deref()),
        (Member::Client, request.client.as_deref()),
        (Member::Azp, request.azp.as_deref()),
        (Member::Issuer, Some("")),
    ];
    members.into_iter().filter_map(move |(member, value)| {
        let name = name(member, value?);
        let is_revoked = if member.kind().is_cut_off() {
            let cut_off = authority.index.cut_off(name, now);
            cut_off.is_some_and(|cut_off| cut_off.revokes(issued_at, session))
        } else {
            authority.index.is_revoked(name, now)
        };
        is_revoked.then_some(member)
    })
}
