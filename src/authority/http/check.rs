//! `POST /v1/check`: the exact answer for one token.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::body::ReadJson;
use super::revocations::known_issuer;
use super::{Problem, ProblemBody};
use crate::authority::credentials::{Caller, Role};
use crate::authority::entry::Target;
use crate::authority::{Authority, clock};
use crate::revocation::wire::{CHECK_PATH, CheckAnswer, CheckRequest, Member};
use crate::revocation::{Cause, Settled, Signable, proof};
use crate::time::UnixTime;

/// Whether a token with these claims is revoked, exactly.
#[utoipa::path(
    post,
    path = CHECK_PATH,
    security(("edge" = [])),
    request_body = CheckRequest,
    responses(
        (status = 200, body = CheckAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not known to be revoked, and the authority cannot tell: it is \
          in another epoch than `epoch` (`feed_other_epoch`), or has not come as far as `at_least` \
          (`feed_behind`)", body = ProblemBody, content_type = "application/problem+json"),
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
    // Read before the index, which is told of every change before the history is.
    let doubt = doubt(&authority, &value);
    let mut revocations = revocations(&authority, &value, issued_at.transpose()?, now);
    let first = revocations.next();
    if let (None, Some(doubt)) = (&first, doubt) {
        return Err(doubt);
    }
    authority.metrics.checked(first.is_some());
    let mut answer = CheckAnswer {
        revoked: first.is_some(),
        by: first.map(|(member, _)| member.kind()),
        cause: Cause::Plain,
        members: Vec::new(),
        issuer: None,
        proof: None,
    };
    // A check with a nonce comes from an edge, which reads nothing but the proof.
    if value.nonce.is_some() {
        let settled = match first {
            None => Settled::NotRevoked,
            Some(_) if !value.with_cause => Settled::Revoked(Cause::Plain),
            Some((_, cause)) => {
                let causes = revocations.map(|(_, cause)| cause);
                Settled::Revoked(causes.fold(cause, Cause::and))
            }
        };
        let statement = proof::statement(&bytes, settled);
        let statement = authority.signer.sign(Signable::Check, statement, now);
        answer.proof = Some(proof::encode(&statement));
        return Ok(Json(answer));
    }
    let all: Vec<_> = first.into_iter().chain(revocations).collect();
    let causes = all.iter().map(|(_, cause)| *cause);
    answer.cause = causes.reduce(Cause::and).unwrap_or_default();
    answer.members = all.into_iter().map(|(member, _)| member).collect();
    if !answer.revoked && caller.role == Role::Admin {
        // The answer comes from memory; without a readable store it only lacks this.
        answer.issuer = known_issuer(&authority, value.issuer).await.ok();
    }
    Ok(Json(answer))
}

/// Why this authority cannot say that a token is not revoked, where it cannot: the asker may have
/// been told of a revocation that is not in this history.
fn doubt(authority: &Authority, request: &CheckRequest) -> Option<Problem> {
    let is_other = |epoch| epoch != authority.feed.epoch();
    if request.epoch.is_some_and(is_other) {
        return Some(Problem::other_epoch());
    }
    let is_ahead = |known| known > authority.history.head().sequence;
    request.at_least.is_some_and(is_ahead).then(Problem::behind)
}

/// The members that are revoked, and why each is.
pub(super) fn revocations(
    authority: &Authority,
    request: &CheckRequest,
    issued_at: Option<UnixTime>,
    now: UnixTime,
) -> impl Iterator<Item = (Member, Cause)> {
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
    ];
    let named = members
        .into_iter()
        .filter_map(move |(member, value)| Some((member, name(member, value?))));
    let issuer = Target::issuer(&request.issuer).fingerprint(&key);
    let named = named.chain([(Member::Issuer, issuer)]);
    named.filter_map(move |(member, name)| {
        let cause = if member.kind().is_cut_off() {
            let cut_off = authority.index.cut_off(name, now);
            let cut_off = cut_off.filter(|cut_off| cut_off.revokes(issued_at, session));
            cut_off.map(|_| Cause::Plain)
        } else {
            let cause = authority.index.revoked(name, now);
            cause.filter(|cause| !request.in_progress || cause.ends_streams())
        };
        Some((member, cause?))
    })
}
