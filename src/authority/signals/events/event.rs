//! What has happened, by the event's type and payload.

use serde_json::{Map, Value};

use super::name::EventName;
use crate::authority::signals::naming::Role;
use crate::authority::signals::reason::{Code, Refusal};

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) enum Event {
    /// One of the types about which nothing more has to be known.
    Plain(EventName),
    /// A credential was created, or is another one now, or none any more.
    CredentialChange(CredentialChange),
    /// A device keeps the rules of its organisation, or does not.
    DeviceCompliance(Compliance),
    /// How surely a user is who he is.
    AssuranceLevel(Direction),
    /// How likely it is that something is wrong.
    RiskLevel {
        /// How much is at risk now.
        level: RiskLevel,
        /// What a subject is that is simple.
        principal: Role,
    },
    /// An account was disabled.
    AccountDisabled {
        /// Because it was taken over.
        is_hijacked: bool,
    },
    /// The transmitter shows that the stream works.
    Verification {
        /// What it was asked to show.
        state: Option<String>,
    },
    /// The transmitter has changed the stream.
    StreamUpdated {
        /// `enabled`, `paused` or `disabled`.
        status: StreamStatus,
        /// Why.
        reason: Option<String>,
    },
    /// A type that is not known here.
    Other,
}

/// What became of a credential (CAEP 1.0 section 3.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) enum CredentialChange {
    Create,
    Revoke,
    Update,
    Delete,
}

/// Whether a device keeps the rules (CAEP 1.0 section 3.5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) enum Compliance {
    Compliant,
    NotCompliant,
}

/// Where a level went (CAEP 1.0 section 3.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) enum Direction {
    Increase,
    Decrease,
    /// It is not said.
    Unknown,
}

/// How much is at risk (CAEP 1.0 section 3.8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) enum RiskLevel {
    Low,
    Medium,
    High,
}

/// What a transmitter does with a stream (Shared Signals Framework 1.0 section 8.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) enum StreamStatus {
    Enabled,
    Paused,
    Disabled,
}

impl StreamStatus {
    /// As it stands in the protocol.
    pub(in crate::authority) fn name(self) -> &'static str {
        let mut words = STREAM_STATUSES.iter();
        let word = words.find(|(_, status)| *status == self);
        word.map_or("", |(word, _)| word)
    }

    /// What a word of the protocol means.
    pub(in crate::authority::signals) fn of(word: &str) -> Option<Self> {
        let mut words = STREAM_STATUSES.iter();
        words
            .find(|(known, _)| *known == word)
            .map(|(_, status)| *status)
    }
}

impl Event {
    /// Its type, if it is one that is known here.
    pub(in crate::authority::signals) const fn name(&self) -> Option<EventName> {
        Some(match self {
            Self::Plain(name) => *name,
            Self::CredentialChange(_) => EventName::CredentialChange,
            Self::DeviceCompliance(_) => EventName::DeviceComplianceChange,
            Self::AssuranceLevel(_) => EventName::AssuranceLevelChange,
            Self::RiskLevel { .. } => EventName::RiskLevelChange,
            Self::AccountDisabled { .. } => EventName::AccountDisabled,
            Self::Verification { .. } => EventName::Verification,
            Self::StreamUpdated { .. } => EventName::StreamUpdated,
            Self::Other => return None,
        })
    }

    /// One with this URI, of which nothing more is known.
    pub(super) fn unread(uri: &str) -> Self {
        EventName::of_uri(uri).map_or(Self::Other, Self::Plain)
    }

    /// What an event with this URI and payload says, if it has what its definition demands of it.
    ///
    /// # Errors
    ///
    /// [`Code::EventInvalid`].
    pub(super) fn read(uri: &str, payload: &Map<String, Value>) -> Result<Self, Refusal> {
        let Some(name) = EventName::of_uri(uri) else {
            return Ok(Self::Other);
        };
        Ok(match name {
            EventName::CredentialChange => {
                // Which one it was makes no difference here.
                text(payload, "credential_type")?;
                Self::CredentialChange(word(payload, "change_type", &CREDENTIAL_CHANGES)?)
            }
            EventName::DeviceComplianceChange => {
                Self::DeviceCompliance(word(payload, "current_status", &COMPLIANCES)?)
            }
            EventName::AssuranceLevelChange => {
                text(payload, "current_level")?;
                let is_there = payload.contains_key("change_direction");
                let direction = is_there.then(|| word(payload, "change_direction", &DIRECTIONS));
                Self::AssuranceLevel(direction.transpose()?.unwrap_or(Direction::Unknown))
            }
            EventName::RiskLevelChange => Self::RiskLevel {
                level: word(payload, "current_level", &RISK_LEVELS)?,
                principal: principal(payload)?,
            },
            EventName::TokenClaimsChange => {
                if !payload.get("claims").is_some_and(Value::is_object) {
                    return Err(invalid("`claims` of the event is no object"));
                }
                Self::Plain(name)
            }
            EventName::AccountDisabled => Self::AccountDisabled {
                is_hijacked: payload.get("reason").and_then(Value::as_str) == Some("hijacking"),
            },
            EventName::Verification => Self::Verification {
                state: optional_text(payload, "state")?,
            },
            EventName::StreamUpdated => Self::StreamUpdated {
                status: word(payload, "status", &STREAM_STATUSES)?,
                reason: optional_text(payload, "reason")?,
            },
            _ => Self::Plain(name),
        })
    }
}

/// What is at risk, in capitals (CAEP 1.0 section 3.8.1).
fn principal(payload: &Map<String, Value>) -> Result<Role, Refusal> {
    let principal = text(payload, "principal")?.to_ascii_lowercase();
    let role = Role::from_name(&principal);
    role.ok_or_else(|| invalid("`principal` of the event is not one that is known here"))
}

/// One of these words, in any case: CAEP has some in small letters and some in capitals, and transmitters
/// take the one for the other.
fn word<T: Copy>(
    payload: &Map<String, Value>,
    member: &str,
    words: &[(&str, T)],
) -> Result<T, Refusal> {
    let found = payload.get(member).and_then(Value::as_str);
    let known = found.and_then(|found| {
        let mut words = words.iter();
        words.find(|(word, _)| word.eq_ignore_ascii_case(found))
    });
    known.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let words = words.join("`, `");
        invalid(&format!("`{member}` of the event is none of `{words}`"))
    })
}

fn text<'p>(payload: &'p Map<String, Value>, member: &str) -> Result<&'p str, Refusal> {
    let text = payload.get(member).and_then(Value::as_str);
    text.ok_or_else(|| invalid(&format!("`{member}` of the event is no text")))
}

fn optional_text(payload: &Map<String, Value>, member: &str) -> Result<Option<String>, Refusal> {
    if !payload.contains_key(member) {
        return Ok(None);
    }
    text(payload, member).map(|text| Some(text.to_owned()))
}

pub(super) fn invalid(detail: &str) -> Refusal {
    Code::EventInvalid.because(detail)
}

const CREDENTIAL_CHANGES: [(&str, CredentialChange); 4] = [
    ("create", CredentialChange::Create),
    ("revoke", CredentialChange::Revoke),
    ("update", CredentialChange::Update),
    ("delete", CredentialChange::Delete),
];

const COMPLIANCES: [(&str, Compliance); 2] = [
    ("compliant", Compliance::Compliant),
    ("not-compliant", Compliance::NotCompliant),
];

const DIRECTIONS: [(&str, Direction); 2] = [
    ("increase", Direction::Increase),
    ("decrease", Direction::Decrease),
];

const RISK_LEVELS: [(&str, RiskLevel); 3] = [
    ("LOW", RiskLevel::Low),
    ("MEDIUM", RiskLevel::Medium),
    ("HIGH", RiskLevel::High),
];

const STREAM_STATUSES: [(&str, StreamStatus); 3] = [
    ("enabled", StreamStatus::Enabled),
    ("paused", StreamStatus::Paused),
    ("disabled", StreamStatus::Disabled),
];
