//! Users whose token an edge shows: the token is verified here again, since a stolen credential must
//! not be enough to act for any user.

use std::time::Instant;

use super::Problem;
use crate::authority::Authority;
use crate::authority::credentials::Caller;
use crate::authority::verifier::{Doubt, User};
use crate::revocation::wire::sign_out::UserToken;

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
    let doubt = match authority.verifier.verify(token).await {
        Ok(user) => return Ok(user),
        Err(doubt) => doubt,
    };
    authority.note_doubt(caller, doubt);
    Err(match doubt {
        Doubt::Refused(_) | Doubt::StrangeIssuer => Problem::token_refused(),
        Doubt::Unknown(_) => Problem::keys_unavailable(),
        Doubt::Overloaded => Problem::overloaded(&doubt.to_string()),
    })
}

impl Authority {
    /// Says in the log once in a while why tokens are refused, and nothing of the tokens.
    pub(super) fn note_doubt(&self, caller: &Caller, doubt: Doubt) {
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
    }
}
