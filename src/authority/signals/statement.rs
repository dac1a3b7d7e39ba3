//! What every signed statement has to be, whatever it states: of the right type, for this receiver, of
//! its time, and with a name by which it is known when it comes again.

use std::time::Duration;

use super::reason::{Code, Refusal};
use super::text::{is_name, shown};
use crate::time::UnixTime;
use crate::token::{Claims, is_type};

/// Explicit typing is recommended, and not everybody does it. `JWT` says nothing (RFC 8725 section
/// 3.11), so that it has to be something else then which tells such a token from others.
///
/// # Errors
///
/// [`Code::TypeMismatch`].
pub(super) fn check_type(found: Option<&str>, expected: &str) -> Result<(), Refusal> {
    match found {
        Some(found) if is_type(found, expected) || is_type(found, "jwt") => Ok(()),
        None => Ok(()),
        Some(found) => Err(Code::TypeMismatch.because(format!(
            "`typ` is `{}`, expected `{expected}` or none",
            shown(found)
        ))),
    }
}

/// The same where explicit typing is demanded.
///
/// # Errors
///
/// [`Code::TypeMismatch`].
pub(super) fn demand_type(found: Option<&str>, expected: &str) -> Result<(), Refusal> {
    match found {
        Some(found) if is_type(found, expected) => Ok(()),
        Some(found) => Err(Code::TypeMismatch.because(format!(
            "`typ` is `{}`, expected `{expected}`",
            shown(found)
        ))),
        None => {
            Err(Code::TypeMismatch.because(format!("there is no `typ`, expected `{expected}`")))
        }
    }
}

/// Who may be meant by `aud`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Audience<'a> {
    /// Any of these.
    pub(super) known: &'a [String],
    /// What one is called.
    pub(super) one: &'static str,
    /// Where they are in the signals file.
    pub(super) place: &'static str,
}

/// Those of `aud` that are known.
///
/// # Errors
///
/// [`Code::AudienceMismatch`] where there are none.
pub(super) fn audience(claims: &Claims, audience: Audience<'_>) -> Result<Vec<String>, Refusal> {
    let Audience { known, one, place } = audience;
    let named = known.iter();
    let named = named.filter(|known| claims.audiences().any(|found| found == **known));
    let named: Vec<_> = named.cloned().collect();
    if !named.is_empty() {
        return Ok(named);
    }
    let found: Vec<_> = claims.audiences().take(4).map(shown).collect();
    let known = known.join("`, `");
    Err(Code::AudienceMismatch.because(if found.is_empty() {
        format!("there is no `aud`, expected one of the {place}: `{known}`")
    } else {
        let found = found.join("`, `");
        format!("{one} `{found}` is not among the {place}: `{known}`")
    }))
}

/// `jti`, by which a statement is known when it comes again.
///
/// # Errors
///
/// [`Code::IdMissing`].
pub(super) fn id(claims: &Claims) -> Result<String, Refusal> {
    let id = claims.string("jti").unwrap_or_default();
    if !is_name(id) {
        return Err(Code::IdMissing.into());
    }
    Ok(id.to_owned())
}

/// `iat`, and from when on the statement would be refused for its age. Not every issuer sends `exp`, so
/// `max_age` counts as well.
///
/// # Errors
///
/// [`Code::IssueTimeMissing`], [`Code::IssuedAhead`], [`Code::NotYetValid`], [`Code::TooOld`],
/// [`Code::Expired`].
pub(super) fn times(
    claims: &Claims,
    max_age: Duration,
    now: UnixTime,
    clock_skew: Duration,
) -> Result<(UnixTime, UnixTime), Refusal> {
    let issued_at = claims.issued_at().ok_or(Code::IssueTimeMissing)?;
    let latest = now.later_by(clock_skew);
    if issued_at > latest {
        return Err(Code::IssuedAhead.because(format!(
            "`iat` is {} seconds ahead of the clock here; `--clock-skew` allows {}",
            issued_at.seconds().saturating_sub(now.seconds()),
            clock_skew.as_secs()
        )));
    }
    if claims.not_before().is_some_and(|time| time > latest) {
        return Err(Code::NotYetValid.into());
    }
    let oldest = issued_at.later_by(max_age + clock_skew);
    if oldest < now {
        return Err(Code::TooOld.because(format!(
            "it was issued {} seconds ago; `max_age` allows {}",
            now.seconds().saturating_sub(issued_at.seconds()),
            max_age.as_secs()
        )));
    }
    let expires_at = claims.expires_at().map(|time| time.later_by(clock_skew));
    match expires_at {
        Some(time) if time <= now => Err(Code::Expired.into()),
        Some(time) => Ok((issued_at, oldest.min(time))),
        None => Ok((issued_at, oldest)),
    }
}
