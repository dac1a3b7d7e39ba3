//! A security event token: what has to hold once its signature was found good (RFC 8417, and the profile
//! of it in Shared Signals Framework 1.0 section 4.1).
//!
//! Members that are not known are ignored, as the framework demands. What is known has to be as its
//! definition says, and is refused otherwise: an event is never half understood.

use std::time::Duration;

use serde_json::{Map, Value};

use super::configuration::Stream;
use super::reason::{Code, Refusal};
use super::text::{is_name, shown};
use crate::time::UnixTime;
use crate::token::{Claims, VerifiedToken};

mod event;
mod name;
mod subject;

pub(in crate::authority) use event::StreamStatus;
pub(super) use event::{Compliance, CredentialChange, Direction, Event, RiskLevel};
pub use name::{Action, EventName};
pub(super) use subject::{Format, Identifier, Subject};

use event::invalid;

/// Something has happened to a user, a session, a device or a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecurityEvent {
    /// `jti`, by which it is known when it comes again.
    pub(super) id: String,
    /// The URI of its type.
    pub(super) uri: String,
    /// What has happened.
    pub(super) event: Event,
    /// Whom or what to, where that is said.
    pub(super) subject: Option<Subject>,
    /// Why, for administrators.
    pub(super) reason: Option<String>,
    /// When: `event_timestamp`, else `toe`, else `iat`, and never after that.
    pub(super) happened_at: UnixTime,
    /// `iat`: when it was sent, by the clock of the transmitter.
    pub(super) issued_at: UnixTime,
    /// From when on it would be refused for its age.
    pub(super) good_until: UnixTime,
}

/// What a token with a good signature says, if every step finds it in order.
///
/// # Errors
///
/// The first step that does not.
pub(super) fn read(
    token: &VerifiedToken,
    stream: &Stream,
    now: UnixTime,
    clock_skew: Duration,
) -> Result<SecurityEvent, Refusal> {
    let claims = token.claims();
    check_type(token.token_type())?;
    check_not_another(claims)?;
    check_audience(claims, stream)?;
    let (issued_at, good_until) = check_times(claims, stream, now, clock_skew)?;
    let id = claims.string("jti").unwrap_or_default();
    if !is_name(id) {
        return Err(Code::IdMissing.into());
    }
    let (uri, payload) = one_event(claims)?;
    // At the top as the framework has it, or inside the event, where drafts before it had it.
    let subject = claims.get("sub_id").or_else(|| payload.get("subject"));
    let happened_at = happened_at(claims, payload)?;
    Ok(SecurityEvent {
        id: id.to_owned(),
        event: Event::read(uri, payload)?,
        uri: shown(uri),
        reason: reason_of(payload),
        subject: subject.map(Subject::read).transpose()?,
        happened_at: happened_at.map_or(issued_at, |time| time.min(issued_at)),
        issued_at,
        good_until,
    })
}

/// The framework demands explicit typing (section 4.1.1). Media types may be written in any case, and
/// without `application/`.
fn check_type(found: Option<&str>) -> Result<(), Refusal> {
    let expected = "expected `secevent+jwt`";
    let Some(found) = found else {
        return Err(Code::TypeMismatch.because(format!("there is no `typ`, {expected}")));
    };
    let plain = found.to_ascii_lowercase();
    let plain = plain.strip_prefix("application/").unwrap_or(&plain);
    if plain == "secevent+jwt" {
        return Ok(());
    }
    Err(Code::TypeMismatch.because(format!("`typ` is `{}`, {expected}", shown(found))))
}

/// What tells the token from those of other kinds (sections 4.1.2, 4.1.3 and 4.1.7).
fn check_not_another(claims: &Claims) -> Result<(), Refusal> {
    for (claim, code) in [("exp", Code::ExpiryPresent), ("sub", Code::SubPresent)] {
        if claims.get(claim).is_some() {
            return Err(code.into());
        }
    }
    Ok(())
}

fn check_audience(claims: &Claims, stream: &Stream) -> Result<(), Refusal> {
    let is_ours = |audience: &str| stream.audiences.iter().any(|known| known == audience);
    if claims.audiences().any(is_ours) {
        return Ok(());
    }
    let found: Vec<_> = claims.audiences().take(4).map(shown).collect();
    let known = stream.audiences.join("`, `");
    Err(Code::AudienceMismatch.because(if found.is_empty() {
        format!("there is no `aud`, expected one of the `audiences` of the stream: `{known}`")
    } else {
        let found = found.join("`, `");
        format!("`aud` is `{found}`, expected one of the `audiences` of the stream: `{known}`")
    }))
}

fn check_times(
    claims: &Claims,
    stream: &Stream,
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
    let good_until = issued_at.later_by(stream.max_age + clock_skew);
    if good_until < now {
        return Err(Code::TooOld.because(format!(
            "it was issued {} seconds ago; `max_age` of the stream allows {}",
            now.seconds().saturating_sub(issued_at.seconds()),
            stream.max_age.as_secs()
        )));
    }
    Ok((issued_at, good_until))
}

/// The one event of a token. Several would be alternative names of the same one (section 4.2.1), which
/// the profile for interoperability of CAEP does not allow.
fn one_event(claims: &Claims) -> Result<(&str, &Map<String, Value>), Refusal> {
    let events = claims.get("events").and_then(Value::as_object);
    let events = events.ok_or_else(|| Code::EventsInvalid.because("`events` is no object"))?;
    let mut all = events.iter();
    let (Some((uri, payload)), None) = (all.next(), all.next()) else {
        let detail = format!("`events` has {} members, expected one", events.len());
        return Err(Code::EventsInvalid.because(detail));
    };
    let payload = payload.as_object();
    let payload = payload.ok_or_else(|| Code::EventsInvalid.because("the event is no object"))?;
    Ok((uri, payload))
}

/// When it has happened, where the event or the token says so.
fn happened_at(claims: &Claims, payload: &Map<String, Value>) -> Result<Option<UnixTime>, Refusal> {
    for (name, value) in [
        ("event_timestamp", payload.get("event_timestamp")),
        ("toe", claims.get("toe")),
    ] {
        if let Some(value) = value {
            let time = instant(value);
            let time = time.ok_or_else(|| invalid(&format!("`{name}` is no time")))?;
            return Ok(Some(time));
        }
    }
    Ok(None)
}

/// A number of seconds (CAEP 1.0 section 2, RFC 8417 section 2.2). Drafts had milliseconds, and some
/// transmitters still send them. One that lies after the year 9999 cannot be a number of seconds, so
/// that no number has two meanings.
fn instant(value: &Value) -> Option<UnixTime> {
    if let Some(whole) = value.as_u64()
        && let Some(time) = UnixTime::from_seconds(whole)
    {
        return Some(time);
    }
    let number = value.as_f64()?;
    let time = UnixTime::from_fractional_seconds(number);
    time.or_else(|| UnixTime::from_fractional_seconds(number / 1_000.0))
}

/// Why, for administrators: in English where it is there, else in any language.
fn reason_of(payload: &Map<String, Value>) -> Option<String> {
    let reasons = payload.get("reason_admin")?;
    let reason = match reasons {
        Value::Object(reasons) => {
            let reason = reasons.get("en").or_else(|| reasons.values().next())?;
            reason.as_str()?
        }
        // As in drafts.
        Value::String(reason) => reason,
        _ => return None,
    };
    Some(shown(reason)).filter(|reason| !reason.is_empty())
}

#[cfg(test)]
pub(super) mod tests;
