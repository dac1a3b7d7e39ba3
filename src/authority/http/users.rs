//! Users whose token an edge shows: the token is verified here again, since a stolen credential must
//! not be enough to act for any user.

use std::time::Instant;

use super::Problem;
use super::check::revocations;
use crate::authority::credentials::Caller;
use crate::authority::request::RevocationRequest;
use crate::authority::verifier::{Doubt, User};
use crate::authority::{Authority, clock};
use crate::gate::Reason;
use crate::revocation::wire::Member;
use crate::revocation::wire::sign_out::{DoneAnswer, UserToken};
use crate::revocation::{Signable, proof};
use crate::time::UnixTime;

/// In histories, after the name of the edge's credential.
const ACTOR: &str = "the user";

/// The user whose token this is.
///
/// # Errors
///
/// 422 `token_refused`, or 503 where it is not known whether the token is good. Why is in the log.
pub(super) async fn verified(
    authority: &Authority,
    caller: &Caller,
    UserToken(token): UserToken,
) -> Result<User, Problem> {
    let verified = authority.verifier.verify(token).await;
    verified.map_err(|doubt| authority.doubted(caller, doubt))
}

/// The names of the user's token that are revoked.
pub(super) fn revoked(authority: &Authority, user: &User) -> Vec<Member> {
    let issued_at = user.names.issued_at.and_then(UnixTime::from_seconds);
    let revoked = revocations(authority, &user.names, issued_at, clock::now());
    revoked.map(|(member, _)| member).collect()
}

/// Refuses a token that is revoked, by anything but this.
pub(super) fn expect_in_force(
    authority: &Authority,
    caller: &Caller,
    user: &User,
    but: Option<Member>,
) -> Result<(), Problem> {
    let revoked = revoked(authority, user);
    if revoked.is_empty() || but.is_some_and(|but| revoked.contains(&but)) {
        return Ok(());
    }
    Err(authority.doubted(caller, Doubt::Refused(Reason::TokenRevoked)))
}

/// Carries out what a user asks for, and waits until it is on the disk.
pub(super) async fn revoke(
    authority: &Authority,
    caller: &Caller,
    mut request: RevocationRequest,
) -> Result<(), Problem> {
    request.actor = Some(ACTOR.to_owned());
    let revocation = request.check(&caller.name, clock::now(), &authority.limits())?;
    authority.writer.write(revocation).await?;
    Ok(())
}

/// The answer to a request with this body, once what it asks for is on the disk.
pub(super) fn done(authority: &Authority, body: &[u8]) -> DoneAnswer {
    let statement = proof::completion(body);
    let now = clock::now();
    let signed = authority.signer.sign(Signable::SignOut, statement, now);
    DoneAnswer {
        proof: proof::encode(&signed),
    }
}

impl Authority {
    /// The answer where a token is no evidence. Says in the log once in a while why, and nothing of
    /// the token.
    fn doubted(&self, caller: &Caller, doubt: Doubt) -> Problem {
        let reason = match doubt {
            Doubt::Refused(reason) | Doubt::Unknown(reason) => reason.label(),
            Doubt::StrangeIssuer => "strange_issuer",
            Doubt::Overloaded => "overloaded",
        };
        if let Some(times) = self.refusals.take(reason, None, Instant::now()) {
            tracing::warn!(
                credential = &*caller.name,
                reason,
                times,
                "a user's token was not verified: {doubt}"
            );
        }
        match doubt {
            Doubt::Refused(_) | Doubt::StrangeIssuer => Problem::token_refused(),
            Doubt::Unknown(_) => Problem::keys_unavailable(),
            Doubt::Overloaded => Problem::overloaded(&doubt.to_string()),
        }
    }
}
