//! A logout token: what has to hold once its signature was found good (OpenID Connect Back-Channel
//! Logout 1.0 section 2.6, by the numbers of its steps).
//!
//! Step 1, decryption, is not done: a provider that is asked for encrypted tokens sends nothing that
//! is understood here, and the refusal says so. Steps 8 to 10, whether there is such a session, are
//! not done either: the authority need not have heard of a session to end it.

use std::time::Duration;

use serde_json::Value;

use super::configuration::SignalIssuer;
use super::reason::{Code, Refusal};
use super::statement::{self, Audience};
use super::text::is_name;
use crate::revocation::MAX_NAME_BYTES;
use crate::time::UnixTime;
use crate::token::{Claims, VerifiedToken};

/// The member of `events` that makes a token a logout token.
pub(super) const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A user has signed out at the identity provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Logout {
    /// `jti`, by which it is known when it comes again.
    pub(super) id: String,
    /// `sub`.
    pub(super) subject: Option<String>,
    /// `sid`.
    pub(super) session: Option<String>,
    /// The clients of `aud` that are those of the issuer.
    pub(super) clients: Vec<String>,
    /// `iat`.
    pub(super) issued_at: UnixTime,
    /// From when on it would be refused for its age.
    pub(super) good_until: UnixTime,
}

/// What a logout token with a good signature says, if every step finds it in order.
///
/// # Errors
///
/// The first step that does not.
pub(super) fn read(
    token: &VerifiedToken,
    issuer: &SignalIssuer,
    now: UnixTime,
    clock_skew: Duration,
) -> Result<Logout, Refusal> {
    let claims = token.claims();
    statement::check_type(token.token_type(), "logout+jwt")?;
    // Step 3, with the times.
    let of_issuer = Audience {
        known: &issuer.client_ids,
        one: "client id",
        place: "`client_ids` of its issuer",
    };
    let clients = statement::audience(claims, of_issuer)?;
    let (issued_at, good_until) = statement::times(claims, issuer.max_age, now, clock_skew)?;
    let subject = name(claims, "sub")?;
    let session = name(claims, "sid")?;
    if subject.is_none() && session.is_none() {
        return Err(Code::SubjectMissing.into());
    }
    check_events(claims)?;
    if claims.get("nonce").is_some() {
        return Err(Code::NoncePresent.into());
    }
    Ok(Logout {
        id: statement::id(claims)?,
        subject,
        session,
        clients,
        issued_at,
        good_until,
    })
}

/// Step 5. Others may be there: Keycloak adds `revoke_offline_access` where it also ends offline sessions.
/// They say more of the same sign-out, and not what else it means.
fn check_events(claims: &Claims) -> Result<(), Refusal> {
    let events = claims.get("events").and_then(Value::as_object);
    let events = events.ok_or_else(|| Code::EventsInvalid.because("`events` is no object"))?;
    if !events.get(LOGOUT_EVENT).is_some_and(Value::is_object) {
        let detail = format!("`events` has no object `{LOGOUT_EVENT}`");
        return Err(Code::EventsInvalid.because(detail));
    }
    Ok(())
}

/// `sub` or `sid`, each of which may be absent.
fn name(claims: &Claims, claim: &'static str) -> Result<Option<String>, Refusal> {
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(name)) if is_name(name) => Ok(Some(name.clone())),
        Some(_) => {
            let detail = format!(
                "expected `{claim}` to be a text of 1 to {MAX_NAME_BYTES} bytes, or to be left out"
            );
            Err(Code::SubjectInvalid.because(detail))
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
