//! A security event token: what has to hold once its signature was found good (RFC 8417, and the profile
//! of it in Shared Signals Framework 1.0 section 4.1).
//!
//! Members that are not known are ignored, as the framework demands. What is known has to be as its
//! definition says, and is refused otherwise: an event is never half understood. An event from which
//! nothing follows need not be understood. It is recorded with what is wrong with it, so that a stream can
//! be looked at first, whatever its transmitter sends.

use std::time::Duration;

use serde_json::{Map, Value};

use super::configuration::Stream;
use super::reason::{Code, Refusal};
use super::statement::{self, Audience};
use super::text::shown;
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
    /// What is not as its definition demands, of an event that is only recorded.
    pub(super) flaw: Option<String>,
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
    // The framework demands explicit typing (section 4.1.1).
    statement::demand_type(token.token_type(), "secevent+jwt")?;
    check_not_another(claims)?;
    let of_stream = Audience {
        known: &stream.audiences,
        one: "audience",
        place: "`audiences` of the stream",
    };
    statement::audience(claims, of_stream)?;
    let (issued_at, good_until) = statement::times(claims, stream.max_age, now, clock_skew)?;
    let id = statement::id(claims)?;
    let (uri, payload) = one_event(claims)?;
    let mut event = SecurityEvent {
        id,
        event: Event::unread(uri),
        uri: shown(uri),
        reason: reason_of(payload),
        subject: None,
        happened_at: issued_at,
        issued_at,
        good_until,
        flaw: None,
    };
    match event.understand(claims, uri, payload) {
        Err(refusal) if is_only_recorded(uri, stream) => event.flaw = Some(refusal.detail),
        understood => understood?,
    }
    Ok(event)
}

/// Whether nothing follows from an event of this type, whatever it says. What the transmitter says of the
/// stream itself is not only recorded.
fn is_only_recorded(uri: &str, stream: &Stream) -> bool {
    match EventName::of_uri(uri) {
        None => true,
        Some(EventName::Verification | EventName::StreamUpdated) => false,
        Some(name) => stream.events.of(name) == Action::Record,
    }
}

impl SecurityEvent {
    /// Reads what the event says, as far as it is as its definition demands.
    fn understand(
        &mut self,
        claims: &Claims,
        uri: &str,
        payload: &Map<String, Value>,
    ) -> Result<(), Refusal> {
        // At the top as the framework has it, or inside the event, where drafts before it had it.
        let subject = claims.get("sub_id").or_else(|| payload.get("subject"));
        self.subject = subject.map(Subject::read).transpose()?;
        if let Some(time) = happened_at(claims, payload)? {
            self.happened_at = time.min(self.issued_at);
        }
        self.event = Event::read(uri, payload)?;
        Ok(())
    }
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
