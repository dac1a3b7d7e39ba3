//! `POST /v1/sign-out`: a user signs out, with a token as evidence.

use std::sync::Arc;

use axum::extract::State;
use axum::{Extension, Json};

use super::body::ReadJson;
use super::{Problem, ProblemBody, users};
use crate::authority::Authority;
use crate::authority::credentials::Caller;
use crate::authority::entry::Target;
use crate::authority::request::RevocationRequest;
use crate::authority::verifier::User;
use crate::revocation::Kind;
use crate::revocation::wire::Member;
use crate::revocation::wire::sign_out::{DoneAnswer, SIGN_OUT_PATH, SignOutRequest, SignOutScope};

/// Signs a user out. When this is answered, it is on the disk; connected edges apply it within 250
/// ms. A repeated request does nothing more.
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
        (status = 503, description = "Nothing was changed", body = ProblemBody,
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
    let (member, request) = revocation(&user, scope)?;
    users::expect_in_force(authority, caller, &user, Some(member))?;
    // A cut-off that has revoked this token would be moved on by another, and with it a sign-in
    // since then ended.
    let is_cut_off = request.kind.is_cut_off();
    if is_cut_off && users::revoked(authority, &user).contains(&member) {
        return Ok(());
    }
    users::revoke(authority, caller, request).await
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
