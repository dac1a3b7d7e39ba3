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
use super::text::{is_name, shown};
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
    expect_type(token.token_type(), "logout+jwt")?;
    let clients = check_audience(claims, issuer)?;
    let (issued_at, good_until) = check_times(claims, issuer, now, clock_skew)?;
    let subject = name(claims, "sub")?;
    let session = name(claims, "sid")?;
    if subject.is_none() && session.is_none() {
        return Err(Code::SubjectMissing.into());
    }
    check_events(claims)?;
    if claims.get("nonce").is_some() {
        return Err(Code::NoncePresent.into());
    }
    let id = id(claims)?;
    Ok(Logout {
        id,
        subject,
        session,
        clients,
        issued_at,
        good_until,
    })
}

/// Explicit typing is recommended, and not everybody does it. `JWT` says nothing (RFC 8725 section
/// 3.11), so that what tells a logout token from others is `events` then. Media types may be written
/// in any case, and without `application/`.
pub(super) fn expect_type(found: Option<&str>, expected: &str) -> Result<(), Refusal> {
    let Some(found) = found else {
        return Ok(());
    };
    let plain = found.to_ascii_lowercase();
    let plain = plain.strip_prefix("application/").unwrap_or(&plain);
    if plain == expected || plain == "jwt" {
        return Ok(());
    }
    Err(Code::TypeMismatch.because(format!(
        "`typ` is `{}`, expected `{expected}` or none",
        shown(found)
    )))
}

/// Step 3, `aud`.
fn check_audience(claims: &Claims, issuer: &SignalIssuer) -> Result<Vec<String>, Refusal> {
    let clients = issuer.client_ids.iter();
    let clients = clients.filter(|client| claims.audiences().any(|found| found == **client));
    let clients: Vec<_> = clients.cloned().collect();
    if !clients.is_empty() {
        return Ok(clients);
    }
    let found: Vec<_> = claims.audiences().take(4).map(shown).collect();
    let known = issuer.client_ids.join("`, `");
    Err(Code::AudienceMismatch.because(if found.is_empty() {
        format!("there is no `aud`, expected one of the `client_ids` of its issuer: `{known}`")
    } else {
        let found = found.join("`, `");
        format!("client id `{found}` is not among the `client_ids` of its issuer: `{known}`")
    }))
}

/// `jti`, by which a token is known when it comes again.
pub(super) fn id(claims: &Claims) -> Result<String, Refusal> {
    let id = claims.string("jti").unwrap_or_default();
    if !is_name(id) {
        return Err(Code::IdMissing.into());
    }
    Ok(id.to_owned())
}

/// Step 3, `iat` and `exp`. Not every provider sends `exp`, so `max_age` counts as well. Gives back `iat`
/// and until when the token is good.
pub(super) fn check_times(
    claims: &Claims,
    issuer: &SignalIssuer,
    now: UnixTime,
    clock_skew: Duration,
) -> Result<(UnixTime, UnixTime), Refusal> {
    let issued_at = claims.issued_at().ok_or(Code::IssueTimeMissing)?;
    let latest = now.later_by(clock_skew);
    let ahead = |time: UnixTime| time.seconds().saturating_sub(now.seconds());
    if issued_at > latest {
        return Err(Code::IssuedAhead.because(format!(
            "`iat` is {} seconds ahead of the clock here; `--clock-skew` allows {}",
            ahead(issued_at),
            clock_skew.as_secs()
        )));
    }
    if let Some(not_before) = claims.not_before()
        && not_before > latest
    {
        return Err(Code::NotYetValid.into());
    }
    let ago = |time: UnixTime| now.seconds().saturating_sub(time.seconds());
    let oldest = issued_at.later_by(issuer.max_age + clock_skew);
    if oldest < now {
        return Err(Code::TooOld.because(format!(
            "it was issued {} seconds ago; `max_age` allows {}",
            ago(issued_at),
            issuer.max_age.as_secs()
        )));
    }
    let expires_at = claims.expires_at().map(|time| time.later_by(clock_skew));
    match expires_at {
        Some(time) if time <= now => Err(Code::Expired.into()),
        Some(time) => Ok((issued_at, oldest.min(time))),
        None => Ok((issued_at, oldest)),
    }
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
