//! `POST /v1/own-sessions` and `POST /v1/own-sessions/end`: a user's own sessions, with a token as
//! evidence. What is of another user is not told from what does not exist.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::body::{JsonBody, ReadJson};
use super::sessions::written;
use super::{NOT_WRITTEN, Problem, ProblemBody, users};
use crate::authority::Authority;
use crate::authority::credentials::Caller;
use crate::authority::entry::Target;
use crate::authority::request::RevocationRequest;
use crate::authority::sessions::{Name, Owned, Session};
use crate::authority::store::{from_hex, to_hex};
use crate::authority::verifier::User;
use crate::revocation::wire::Member;
use crate::revocation::wire::own_sessions::{
    DEFAULT_OWN_SESSIONS, END_OWN_SESSION_PATH, EndSessionRequest, MAX_OWN_SESSIONS,
    OWN_SESSIONS_PATH, OwnSession, OwnSessionsAnswer, OwnSessionsRequest,
};
use crate::revocation::wire::sign_out::DoneAnswer;
use crate::revocation::{Fingerprint, Kind};

/// The sessions of a user that edges have reported, newest first.
#[utoipa::path(
    post,
    path = OWN_SESSIONS_PATH,
    security(("edge-sessions" = [])),
    request_body = OwnSessionsRequest,
    responses(
        (status = 200, body = OwnSessionsAnswer),
        (status = 422, description = "The token is not good (`token_refused`), has no `sub` \
          (`token_unnamed`), or `after` is not of this list (`out_of_bounds`)", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The registry, or the keys of the token's issuer, are not \
          available", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    JsonBody(request): JsonBody<OwnSessionsRequest>,
) -> Result<Json<OwnSessionsAnswer>, Problem> {
    let limit = request.limit.unwrap_or(DEFAULT_OWN_SESSIONS);
    if !(1..=MAX_OWN_SESSIONS).contains(&limit) {
        let detail = format!("`limit`: expected 1 to {MAX_OWN_SESSIONS}");
        return Err(Problem::invalid(detail));
    }
    let user = users::verified(&authority, &caller, request.token).await?;
    users::expect_in_force(&authority, &caller, &user, None)?;
    let subject = subject_of(&user)?;
    let issuer = user.names.issuer.clone();
    let current = current(&authority, &user);
    let is_unusable = user.session_is_unusable();
    let page = tokio::task::spawn_blocking(move || {
        let registry = authority.sessions.registry();
        registry.of_subject(&issuer, &subject, request.after.as_deref(), limit.into())
    });
    let page = page.await.map_err(|_| Problem::internal())??;
    let current = current.filter(|_| !is_unusable).map(|(id, _)| id);
    let sessions = page.sessions.iter();
    Ok(Json(OwnSessionsAnswer {
        sessions: sessions.map(|session| describe(session, current)).collect(),
        next: page.next,
    }))
}

/// Ends one session of a user. When this is answered, it is on the disk.
#[utoipa::path(
    post,
    path = END_OWN_SESSION_PATH,
    security(("edge-sessions" = [])),
    request_body = EndSessionRequest,
    responses(
        (status = 200, body = DoneAnswer),
        (status = 404, description = "The user has no such session (`session_not_found`)",
         body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The token is not good (`token_refused`), or has no `sub` \
          (`token_unnamed`)", body = ProblemBody, content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = NOT_WRITTEN, body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn end(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    ReadJson { value, bytes }: ReadJson<EndSessionRequest>,
) -> Result<Json<DoneAnswer>, Problem> {
    let id = id_in(&value.id)?;
    let user = users::verified(&authority, &caller, value.token).await?;
    let subject = subject_of(&user)?;
    // A repeated request for the user's own session finds the token revoked by the first one.
    let current = current(&authority, &user).filter(|(current, _)| *current == id);
    users::expect_in_force(
        &authority,
        &caller,
        &user,
        current.map(|(_, member)| member),
    )?;
    let is_current = current.is_some();
    if is_current && user.session_is_unusable() {
        return Err(Problem::token_unnamed("`sid` is no name"));
    }
    let signed_in = users::signed_in(&user);
    let (kind, value, signed_in) = match current {
        Some((_, Member::Sid)) => (Kind::Session, user.names.sid.clone(), signed_in),
        Some(_) => (Kind::Token, user.names.jti.clone(), None),
        None => {
            let session = reported(&authority, &user, &subject, id).await?;
            let name = session.name.value().to_string();
            (session.name.kind(), Some(name), session.signed_in())
        }
    };
    let mut request = RevocationRequest::of(Target {
        kind,
        issuer: user.names.issuer,
        value: value.ok_or_else(Problem::session_not_found)?,
        qualifier: String::new(),
    });
    request.subject = Some(subject);
    request.reason = Some("ended by the user, in the list of sessions".to_owned());
    users::until_sign_in(&authority, &mut request, signed_in);
    users::revoke(&authority, &caller, request).await?;
    Ok(Json(DoneAnswer {
        current: is_current,
        ..users::done(&authority, &bytes)
    }))
}

/// A session that was reported, of this user.
async fn reported(
    authority: &Arc<Authority>,
    user: &User,
    subject: &str,
    id: Fingerprint,
) -> Result<Session, Problem> {
    let (issuer, subject) = (user.names.issuer.clone(), subject.to_owned());
    let authority = Arc::clone(authority);
    let found = tokio::task::spawn_blocking(move || {
        authority.sessions.registry().get(Owned {
            issuer: &issuer,
            subject: Some(&subject),
            id,
        })
    });
    let found = found.await.map_err(|_| Problem::internal())??;
    found.ok_or_else(Problem::session_not_found)
}

/// The session of the user's own token, and which of its names that is.
fn current(authority: &Authority, user: &User) -> Option<(Fingerprint, Member)> {
    let names = &user.names;
    let (name, member) = match (&names.sid, &names.jti) {
        (Some(sid), _) => (Name::Session(sid.as_str().into()), Member::Sid),
        (None, Some(jti)) => (Name::Token(jti.as_str().into()), Member::Jti),
        (None, None) => return None,
    };
    Some((
        name.fingerprint(authority.sessions.key(), &names.issuer),
        member,
    ))
}

fn subject_of(user: &User) -> Result<String, Problem> {
    let subject = user.names.subject.clone();
    subject.ok_or_else(|| Problem::token_unnamed("it has no `sub`"))
}

fn id_in(text: &str) -> Result<Fingerprint, Problem> {
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let id = from_hex(text).filter(|_| is_lower).map(Fingerprint);
    id.ok_or_else(|| Problem::invalid("`id`: expected 32 hexadecimal digits"))
}

fn describe(session: &Session, current: Option<Fingerprint>) -> OwnSession {
    let latest = session.sightings.first();
    OwnSession {
        id: to_hex(&session.id.0),
        device: session.device.as_ref().map(ToString::to_string),
        client: session.client.as_ref().map(ToString::to_string),
        first_seen: written(session.first_seen),
        last_seen: written(session.last_seen),
        network: latest.and_then(|sighting| Some(sighting.network?.to_string())),
        user_agent: latest.and_then(|sighting| Some(sighting.user_agent.as_ref()?.to_string())),
        current: current == Some(session.id),
    }
}
