//! From a security event to what is revoked or restored.

use std::borrow::Cow;
use std::time::Duration;

use super::Kept;
use crate::authority::entry::Target;
use crate::authority::request::{Limits, MAX_REASON_BYTES, RestorationRequest, RevocationRequest};
use crate::authority::signals::configuration::{SignalIssuer, Stream};
use crate::authority::signals::events::{
    Action, Compliance, CredentialChange, Direction, Event, EventName, Format, Identifier,
    RiskLevel, SecurityEvent, Subject,
};
use crate::authority::signals::naming::{self, Role};
use crate::authority::signals::reason::{Code, Refusal};
use crate::time::UnixTime;

/// A device is revoked until it is said to be compliant again, or for as long as this.
const DEVICE_LIFE: Duration = Duration::from_hours(366 * 24);

/// The member of a complex subject that has the tenant.
const TENANT: &str = "tenant";

/// What follows from an event. What has an origin may be restored by another event, so that only the
/// latest of both counts.
#[derive(Clone, Debug, Default)]
pub(in crate::authority::signals) struct Consequences {
    /// What is revoked.
    pub(in crate::authority::signals) revoked: Vec<RevocationRequest>,
    /// What is restored.
    pub(in crate::authority::signals) restored: Vec<RestorationRequest>,
}

impl Consequences {
    /// Whether another event may undo them, or be undone by them.
    pub(in crate::authority::signals) fn have_origin(&self) -> bool {
        let mut revoked = self.revoked.iter();
        revoked.any(|request| request.origin.is_some()) || !self.restored.is_empty()
    }
}

/// What follows from an event: nothing where it is only recorded.
///
/// # Errors
///
/// Where something should, and cannot.
pub(in crate::authority::signals) fn of_event(
    event: &SecurityEvent,
    stream: &Stream,
    issuer: &SignalIssuer,
    limits: &Limits,
    now: UnixTime,
) -> Result<Consequences, Refusal> {
    let nothing = Ok(Consequences::default());
    let Some(name) = event.event.name() else {
        return nothing;
    };
    if stream.events.of(name) == Action::Record {
        return nothing;
    }
    let about = About {
        event,
        name,
        stream,
        issuer,
        kept: Kept { limits, now },
    };
    match &event.event {
        Event::CredentialChange(CredentialChange::Create)
        | Event::AssuranceLevel(Direction::Increase)
        | Event::RiskLevel {
            level: RiskLevel::Low | RiskLevel::Medium,
            ..
        }
        | Event::Verification { .. }
        | Event::StreamUpdated { .. }
        | Event::Other => nothing,
        Event::RiskLevel { principal, .. } => about.revoked(*principal, None),
        Event::DeviceCompliance(compliance) => about.device(*compliance),
        Event::AccountDisabled { is_hijacked: false } => {
            about.revoked(Role::User, Some(EventName::AccountDisabled))
        }
        Event::Plain(EventName::AccountEnabled) => {
            let targets = about.targets(Role::User)?;
            Ok(about.restored(targets, EventName::AccountDisabled))
        }
        Event::Plain(EventName::TokenRevoked) if about.is_of_opaque_token() => nothing,
        Event::Plain(EventName::TokenRevoked | EventName::TokensRevoked)
            if about.is_of_client() =>
        {
            about.revoked(Role::Application, None)
        }
        Event::CredentialChange(_)
        | Event::AssuranceLevel(_)
        | Event::AccountDisabled { is_hijacked: true }
        | Event::Plain(_) => about.revoked(Role::User, None),
    }
}

struct About<'a> {
    event: &'a SecurityEvent,
    name: EventName,
    stream: &'a Stream,
    issuer: &'a SignalIssuer,
    kept: Kept<'a>,
}

impl About<'_> {
    fn subject(&self) -> Result<&Subject, Refusal> {
        let subject = self.event.subject.as_ref();
        subject.ok_or_else(|| Code::SubjectMissing.because("there is no `sub_id`"))
    }

    fn targets(&self, role: Role) -> Result<Vec<Target>, Refusal> {
        let subject = self.subject()?;
        let critical = self.critical_of(subject);
        if self.is_of_account() {
            return naming::account(subject, self.issuer, &critical);
        }
        naming::targets(subject, role, self.issuer, &critical)
    }

    /// The members of this subject that have to be taken into account. The tenant is if it is one that all
    /// tokens of the issuer are of: then what is limited to the issuer is limited to it.
    fn critical_of(&self, subject: &Subject) -> Cow<'_, [String]> {
        let Stream {
            critical_subject_members: critical,
            tenants,
            ..
        } = self.stream;
        let is_of_issuer = match subject {
            Subject::Complex(members) => members.iter().any(|member| match member {
                (name, Identifier::Plain(_, tenant)) => name == TENANT && tenants.contains(tenant),
                _ => false,
            }),
            Subject::Simple(_) => false,
        };
        if is_of_issuer {
            let others = critical.iter().filter(|name| *name != TENANT);
            return Cow::Owned(others.cloned().collect());
        }
        Cow::Borrowed(critical)
    }

    /// Whether it is about the user's account, in whichever session or on whichever device it was noticed.
    const fn is_of_account(&self) -> bool {
        matches!(
            self.name,
            EventName::CredentialChange
                | EventName::CredentialCompromise
                | EventName::AccountDisabled
                | EventName::AccountEnabled
                | EventName::AccountPurged
                | EventName::AccountCredentialChangeRequired
                | EventName::IdentifierChanged
                | EventName::IdentifierRecycled
        )
    }

    /// Everything that the subject has until then. What comes from an event of this name can be taken
    /// back by it.
    fn revoked(&self, role: Role, origin: Option<EventName>) -> Result<Consequences, Refusal> {
        let targets = self.targets(role)?.into_iter();
        let revoked = targets.map(|target| RevocationRequest {
            origin: origin.map(|name| self.origin(name)),
            ..self.revocation(target)
        });
        Ok(Consequences {
            revoked: revoked.collect(),
            ..Consequences::default()
        })
    }

    fn device(&self, compliance: Compliance) -> Result<Consequences, Refusal> {
        let subject = self.subject()?;
        let critical = self.critical_of(subject);
        let targets = naming::device(subject, self.issuer, &critical)?;
        if compliance == Compliance::Compliant {
            return Ok(self.restored(targets, EventName::DeviceComplianceChange));
        }
        let until = self.event.happened_at.later_by(DEVICE_LIFE);
        let revoked = targets.into_iter().map(|target| RevocationRequest {
            origin: Some(self.origin(EventName::DeviceComplianceChange)),
            expires_at: Some(until.seconds()),
            ..self.revocation(target)
        });
        Ok(Consequences {
            revoked: revoked.collect(),
            ..Consequences::default()
        })
    }

    fn restored(&self, targets: Vec<Target>, by: EventName) -> Consequences {
        let restored = targets.into_iter().map(|target| RestorationRequest {
            origin: Some(self.origin(by)),
            reason: Some(self.reason()),
            ..RestorationRequest::of(target)
        });
        Consequences {
            restored: restored.collect(),
            ..Consequences::default()
        }
    }

    fn revocation(&self, target: Target) -> RevocationRequest {
        RevocationRequest {
            reason: Some(self.reason()),
            ..self.kept.revocation(self.issuer, target, self.until())
        }
    }

    /// Until when what was issued is revoked. What CAEP says has ended has ended when it happened: what
    /// the user has got by signing in anew since then stays good. Where someone else may be signed in as
    /// the user, that was when it was noticed, and what was issued from then on is the likeliest to be
    /// his, so that it is all that was issued before the event was sent.
    const fn until(&self) -> UnixTime {
        match self.event.event {
            Event::AccountDisabled { is_hijacked: true }
            | Event::RiskLevel { .. }
            | Event::Plain(EventName::CredentialCompromise) => self.event.issued_at,
            _ => self.event.happened_at,
        }
    }

    /// In histories, as the reason.
    fn reason(&self) -> String {
        let (stream, name) = (&self.stream.name, self.name.key());
        let mut text = match &self.event.reason {
            Some(reason) => format!("{name} on the stream {stream}: {reason}"),
            None => format!("{name} on the stream {stream}"),
        };
        // A text that is too long must not lose the event.
        text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
        text
    }

    /// By what the stream knows its own entries again.
    fn origin(&self, by: EventName) -> String {
        format!("stream {}: {}", self.stream.name, by.key())
    }

    /// Whether all tokens of a client are meant, which only the events about tokens may say (OAuth Event
    /// Types 1.0, draft, sections 2 and 3).
    const fn is_of_client(&self) -> bool {
        let subject = &self.event.subject;
        matches!(
            subject,
            Some(Subject::Simple(Identifier::Plain(Format::Client, _)))
        )
    }

    /// Whether a token is meant that is told by its text or a hash of it: the refresh token of a user, as
    /// Google has it, by which no access token can be found.
    fn is_of_opaque_token(&self) -> bool {
        let Some(Subject::Simple(identifier)) = &self.event.subject else {
            return false;
        };
        matches!(identifier, Identifier::Other(format) if format == "oauth_token")
    }
}

#[cfg(test)]
mod tests;
