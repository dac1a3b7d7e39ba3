//! `POST /v1/sign-out`: a user signs out, with a token as evidence.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::body::ReadJson;
use super::{NOT_WRITTEN, Problem, ProblemBody, users};
use crate::authority::credentials::Caller;
use crate::authority::entry::Target;
use crate::authority::request::RevocationRequest;
use crate::authority::verifier::User;
use crate::authority::{Authority, clock};
use crate::revocation::Kind;
use crate::revocation::wire::Member;
use crate::revocation::wire::sign_out::{DoneAnswer, SIGN_OUT_PATH, SignOutRequest, SignOutScope};
use crate::time::UnixTime;

/// Signs a user out. When this is answered, it is on the disk; connected edges apply it within 250
/// ms. A repeated `session` or `everywhere` does nothing more; a repeated `others` also ends what has
/// begun in between.
#[utoipa::path(
    post,
    path = SIGN_OUT_PATH,
    security(("edge-sign-out" = [])),
    request_body = SignOutRequest,
    responses(
        (status = 200, body = DoneAnswer),
        (status = 422, description = "The token is not good (`token_refused`), or there is nothing \
          in it to revoke by (`token_unnamed`)", body = ProblemBody,
         content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = NOT_WRITTEN, body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn sign_out(
    State(authority): State<Arc<Authority>>,
    Extension(caller): Extension<Caller>,
    ReadJson { value, bytes }: ReadJson<SignOutRequest>,
) -> Result<Json<DoneAnswer>, Problem> {
    let scope = value.scope;
    let outcome = carried_out(&authority, &caller, value).await;
    let counted = match &outcome {
        Ok(()) => "done",
        Err(problem) => problem.code(),
    };
    authority.metrics.signed_out(scope, counted);
    outcome.map(|()| Json(users::done(&authority, &bytes)))
}

async fn carried_out(
    authority: &Authority,
    caller: &Caller,
    SignOutRequest { token, scope, .. }: SignOutRequest,
) -> Result<(), Problem> {
    let user = users::verified(authority, caller, token).await?;
    let (member, mut request) = revocation(&user, scope)?;
    let standing = standing(authority, &request);
    let repeated = match scope {
        SignOutScope::Session => Some(member),
        SignOutScope::Others | SignOutScope::Everywhere => standing.map(|_| member),
    };
    users::expect_in_force(authority, caller, &user, repeated)?;
    if let Some(standing) = standing
        && users::revoked(authority, &user).contains(&member)
    {
        // Moved on, it would end a sign-in since then. It is written all the same, since it may be
        // restored or lapse before this user's tokens do.
        request.not_before = Some(standing.seconds());
    }
    users::until_sign_in(authority, &mut request, users::signed_in(&user));
    users::revoke(authority, caller, request).await
}

/// The instant of the cut-off of this name that stands, where it does all that can be asked
/// for: it spares no session, and reaches to the present. One that another session has made for all
/// others, or one of earlier, leaves sessions alone that this user wants ended.
fn standing(authority: &Authority, request: &RevocationRequest) -> Option<UnixTime> {
    let (kind, value) = (request.kind, request.value.as_deref()?);
    let key = authority.store.filter_key();
    let name = key.fingerprint(kind, &request.issuer, value);
    let now = clock::now();
    let cut_off = authority.index.cut_off(name, now)?;
    let is_enough = cut_off.except.is_none() && cut_off.not_before > now;
    is_enough.then_some(cut_off.not_before)
}

/// What is to be revoked, and which name of the token is concerned.
fn revocation(user: &User, scope: SignOutScope) -> Result<(Member, RevocationRequest), Problem> {
    let names = &user.names;
    let (member, kind, value) = match scope {
        SignOutScope::Session if user.session_is_unusable() => {
            return Err(Problem::token_unnamed("`sid` is no name"));
        }
        SignOutScope::Session if names.sid.is_some() => (Member::Sid, Kind::Session, &names.sid),
        SignOutScope::Session => (Member::Jti, Kind::Token, &names.jti),
        SignOutScope::Others | SignOutScope::Everywhere => {
            (Member::Subject, Kind::Subject, &names.subject)
        }
    };
    let unnamed = || {
        Problem::token_unnamed(match scope {
            SignOutScope::Session => "it has neither `sid` nor `jti`",
            SignOutScope::Others | SignOutScope::Everywhere => "it has no `sub`",
        })
    };
    let value = value.clone().ok_or_else(unnamed)?;
    let mut request = RevocationRequest::of(Target {
        kind,
        issuer: names.issuer.clone(),
        value,
        qualifier: String::new(),
    });
    if scope == SignOutScope::Others {
        let session = names.sid.clone();
        let session = session.ok_or_else(|| Problem::token_unnamed("it has no `sid`"))?;
        request.except_session = Some(session);
    }
    if !kind.is_cut_off() {
        request.subject.clone_from(&names.subject);
    }
    if kind == Kind::Token {
        request.expires_at = Some(user.expires_at.seconds());
    }
    request.reason = Some(format!("signed out by the user ({})", scope.name()));
    Ok((member, request))
}
