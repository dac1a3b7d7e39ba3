//! `POST /v1/check`: the exact answer for one token.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::{Extension, Json};

use super::body::ReadJson;
use super::revocations::known_issuer;
use super::{Problem, ProblemBody};
use crate::authority::credentials::{Caller, Role};
use crate::authority::entry::Target;
use crate::authority::status_lists::Unknown;
use crate::authority::store::Store;
use crate::authority::{Authority, clock};
use crate::revocation::wire::{
    CHECK_PATH, CheckAnswer, CheckRequest, MAX_CLAIMS, Member, STATUS_INDEX_LIMIT, StatusReference,
    TokenStatus,
};
use crate::revocation::{
    Cause, FilterKey, Fingerprint, Issuance, Kind, MAX_NAME_BYTES, Settled, Signable, proof,
};
use crate::time::UnixTime;

/// How long a check waits for what other authorities have committed, at most: an edge asks once more soon
/// after.
const HEARING_LIMIT: Duration = Duration::from_millis(500);

/// How long a check waits to be told whether its issuer is known: a database that does not answer would
/// hold its answer up for longer than the lease runs.
const ISSUER_LIMIT: Duration = Duration::from_millis(500);

/// Whether a token with these claims is revoked, exactly.
#[utoipa::path(
    post,
    path = CHECK_PATH,
    security(("edge" = [])),
    request_body = CheckRequest,
    responses(
        (status = 200, body = CheckAnswer),
        (status = 422, description = "Not known to be revoked, and no more will be known of its \
          `status`: the authority's file does not permit the list, or it has no such entry \
          (`status_unknown`)", body = ProblemBody, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "Not known to be revoked, and the authority cannot tell: it is \
          in another epoch than `epoch` (`feed_other_epoch`), has not come as far as `at_least` \
          (`feed_behind`), or does not know the list of `status` at present (`status_unknown`)",
         body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(in crate::authority) async fn check(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    ReadJson { value, bytes }: ReadJson<CheckRequest>,
) -> Result<Json<CheckAnswer>, Problem> {
    let issuance = issuance(&value)?;
    if value.claims.len() > MAX_CLAIMS {
        let detail = format!("`claims`: expected at most {MAX_CLAIMS}");
        return Err(Problem::invalid(detail));
    }
    let is_sound = |status: &StatusReference| {
        (1..=MAX_NAME_BYTES).contains(&status.uri.len()) && status.idx < STATUS_INDEX_LIMIT
    };
    if !value.status.as_ref().is_none_or(is_sound) {
        let detail = "`status`: expected `uri` of 1 to 1024 bytes, and `idx` below 2^53";
        return Err(Problem::invalid(detail));
    }
    if doubt(&authority, &value).is_some() {
        // Another authority may have told the edge what this one has not heard of yet.
        let asked = Store::moment();
        authority.store.has_seen(asked, HEARING_LIMIT).await;
    }
    // Before everything else is read, since it may take a while.
    let status = status(&authority, &value).await;
    let now = clock::now();
    // Read before the index, which is told of every change before the history is.
    let doubt = doubt(&authority, &value);
    let mut revocations = revocations(&authority, &value, issuance, now);
    let first = revocations.next();
    let status = match (&first, status, doubt) {
        (None, Err(unknown), _) => return Err(Problem::status_unknown(unknown)),
        (None, Ok(status), Some(doubt)) if cause_of(status).is_none() => return Err(doubt),
        (_, status, _) => status.ok().flatten(),
    };
    let for_status = cause_of(status);
    let is_revoked = first.is_some() || for_status.is_some();
    authority.metrics.checked(is_revoked);
    let mut answer = CheckAnswer {
        revoked: is_revoked,
        by: first.as_ref().map(|found| found.member.kind()),
        cause: Cause::Plain,
        members: Vec::new(),
        claims: Vec::new(),
        status: None,
        issuer: None,
        proof: None,
    };
    // A check with a nonce comes from an edge, which reads nothing but the proof.
    if value.nonce.is_some() {
        let all = first.into_iter().chain(revocations);
        let causes = all.map(|found| found.cause).chain(for_status);
        let cause = causes.reduce(Cause::and);
        let cause = cause.filter(|_| value.with_cause).unwrap_or_default();
        let settled = if is_revoked {
            Settled::Revoked(cause)
        } else {
            Settled::NotRevoked
        };
        let statement = proof::statement(&bytes, settled);
        let statement = authority.signer.sign(Signable::Check, statement, now);
        answer.proof = Some(proof::encode(&statement));
        return Ok(Json(answer));
    }
    let all: Vec<_> = first.into_iter().chain(revocations).collect();
    let causes = all.iter().map(|found| found.cause).chain(for_status);
    answer.status = status;
    answer.cause = causes.reduce(Cause::and).unwrap_or_default();
    answer.members = all.iter().map(|found| found.member).collect();
    answer.members.dedup();
    let claims = all.iter().filter_map(|found| found.claim);
    answer.claims = claims.map(str::to_owned).collect();
    if !answer.revoked && caller.role == Role::Admin {
        // The answer comes from memory; without a readable store it only lacks this.
        let asked = known_issuer(&authority, value.issuer);
        let known = tokio::time::timeout(ISSUER_LIMIT, asked).await;
        answer.issuer = known.ok().and_then(Result::ok);
    }
    Ok(Json(answer))
}

/// What the list says that the token refers to, if it does.
async fn status(
    authority: &Authority,
    request: &CheckRequest,
) -> Result<Option<TokenStatus>, Unknown> {
    let Some(reference) = &request.status else {
        return Ok(None);
    };
    let lists = &authority.status_lists;
    lists.status(&request.issuer, reference).await.map(Some)
}

fn cause_of(status: Option<TokenStatus>) -> Option<Cause> {
    status.and_then(TokenStatus::cause)
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

/// When the token was issued that is asked about.
pub(super) fn issuance(request: &CheckRequest) -> Result<Issuance, Problem> {
    let time = |member, seconds: Option<u64>| {
        let too_late =
            || Problem::invalid(format!("`{member}`: expected a time before the year 10000"));
        let time = seconds.map(|seconds| UnixTime::from_seconds(seconds).ok_or_else(too_late));
        time.transpose()
    };
    Ok(Issuance::new(
        time("issued_at", request.issued_at)?,
        time("auth_time", request.auth_time)?,
    ))
}

/// Whether a token with these names is revoked, by whatever names it. A time that is none counts as
/// one that every cut-off applies to.
pub(in crate::authority) fn is_revoked(
    authority: &Authority,
    request: &CheckRequest,
    now: UnixTime,
) -> bool {
    let issuance = issuance(request).unwrap_or_default();
    revocations(authority, request, issuance, now)
        .next()
        .is_some()
}

/// A name of the token that is asked about.
struct Asked<'r> {
    member: Member,
    /// Which claim it is, where it is one.
    claim: Option<&'r str>,
    name: Fingerprint,
}

/// A name of the token that is revoked.
pub(super) struct Found<'r> {
    pub(super) member: Member,
    /// Which claim it is, where it is one.
    claim: Option<&'r str>,
    /// Why it is.
    cause: Cause,
}

/// The names that are revoked, in the order in which they are told.
pub(super) fn revocations<'r>(
    authority: &'r Authority,
    request: &'r CheckRequest,
    issuance: Issuance,
    now: UnixTime,
) -> impl Iterator<Item = Found<'r>> {
    let key = authority.store.filter_key();
    let session = request.sid.as_deref();
    let session = session.map(|sid| key.fingerprint(Kind::Session, &request.issuer, sid));
    let names = names(&key, request).into_iter();
    names.filter_map(
        move |Asked {
                  member,
                  claim,
                  name,
              }| {
            let kind = member.kind();
            let issued = issuance.for_kind(kind);
            let cause = if kind.is_cut_off() {
                let cut_off = authority.index.cut_off(name, now);
                let cut_off = cut_off.filter(|cut_off| cut_off.revokes(issued, session));
                cut_off.map(|_| Cause::Plain)
            } else {
                let cause = authority.index.revokes(name, issued, now);
                cause.filter(|cause| !request.in_progress || cause.ends_streams())
            };
            Some(Found {
                member,
                claim,
                cause: cause?,
            })
        },
    )
}

/// Every name that is asked about.
fn names<'r>(key: &FilterKey, request: &'r CheckRequest) -> Vec<Asked<'r>> {
    let issuer = &request.issuer;
    let clients = [
        (Member::Client, request.client.as_deref()),
        (Member::Azp, request.azp.as_deref()),
    ];
    let plain = [
        (Member::Jti, request.jti.as_deref()),
        (Member::Sid, request.sid.as_deref()),
        (Member::Device, request.device.as_deref()),
        (Member::Subject, request.subject.as_deref()),
    ];
    let asked = |member, name| Asked {
        member,
        claim: None,
        name,
    };
    let plain = plain
        .into_iter()
        .chain(clients)
        .filter_map(|(member, value)| {
            let name = key.fingerprint(member.kind(), issuer, value?);
            Some(asked(member, name))
        });
    let pairs = clients.into_iter().filter_map(|(_, client)| {
        let kind = Kind::SubjectAndClient;
        let name = key.compound(kind, issuer, client?, request.subject.as_deref()?);
        Some(asked(Member::SubjectAndClient, name))
    });
    let claims = request.claims.iter().map(|claim| Asked {
        claim: Some(&claim.name),
        ..asked(
            Member::Claim,
            key.compound(Kind::Claim, issuer, &claim.name, &claim.value),
        )
    });
    let own_issuer = asked(Member::Issuer, Target::issuer(issuer).fingerprint(key));
    let all = plain.chain(pairs).chain(claims).chain([own_issuer]);
    all.collect()
}
