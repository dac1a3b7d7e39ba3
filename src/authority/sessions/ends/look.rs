//! What has to end, as far as the registry tells at one moment.

use std::collections::HashMap;
use std::time::Duration;

use super::{End, Subject};
use crate::authority::sessions::policy::{self, SessionPolicy};
use crate::authority::sessions::registry::{MAX_SESSIONS_OF_SUBJECT, Registry, RegistryError};
use crate::authority::sessions::session::Session;
use crate::revocation::Cause;
use crate::time::UnixTime;

/// Sessions of one name that are looked at. Where a name has more, it is none that a session could be
/// ended by.
const NAMESAKES: usize = 64;

/// The rules, with what they are applied to.
pub(super) struct Look<'l> {
    pub(super) registry: &'l dyn Registry,
    pub(super) policies: &'l HashMap<String, SessionPolicy>,
    /// Before when a session was last seen that has been idle for a timeout; nothing for those of which
    /// that is not known.
    pub(super) idle_since: &'l HashMap<Duration, UnixTime>,
    /// Why the newest tokens of a session are revoked by its name, if they are: the registry hears of it
    /// later.
    pub(super) revoked: &'l dyn Fn(&Session) -> Option<Cause>,
    pub(super) now: UnixTime,
    /// How long edges may let a token pass after its end.
    pub(super) clock_skew: Duration,
}

impl Look<'_> {
    /// The end of a session that is idle or too old.
    pub(super) fn end_of(&self, session: Session) -> Option<End> {
        let cause = self.cause(&session)?;
        Some(End { session, cause })
    }

    /// The ends of those sessions of a subject that are too many.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub(super) fn crowd(&self, subject: &Subject) -> Result<Vec<End>, RegistryError> {
        let Some(policy) = self.policies.get(&*subject.issuer) else {
            return Ok(Vec::new());
        };
        let Subject { issuer, subject } = subject;
        let page = self
            .registry
            .of_subject(issuer, subject, None, MAX_SESSIONS_OF_SUBJECT)?;
        let mut sessions = page.sessions;
        sessions.retain(|session| (self.revoked)(session).is_none());
        let excess = policy::excess(&sessions, policy, self.good_until());
        let ends = excess.into_iter().map(|session| End {
            session: session.clone(),
            cause: Cause::Displaced,
        });
        Ok(ends.collect())
    }

    /// What a session counts as one of, where there may be too many: its subject, with how many there
    /// may be.
    pub(super) fn counted<'s>(&self, session: &'s Session) -> Option<(Counted<'s>, u32)> {
        let policy = self.policies.get(&*session.issuer)?;
        let client = session.client.as_deref();
        let most = policy.rules(client).max_sessions?;
        let subject = session.subject.as_deref()?;
        let counted = (&*session.issuer, subject, policy.counted_with(client));
        policy::counts(session, self.good_until()).then_some((counted, most.get()))
    }

    /// Whether the end would reach a session of another subject that goes on. A revocation names a
    /// `sid`, and nothing names the session of one subject only: its tokens have names of their own,
    /// which are not known, and a cut-off of the subject would end all of its other sessions. So such
    /// a session is left, rather than that another user is signed out.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub(super) fn hits_another(&self, end: &End) -> Result<bool, RegistryError> {
        let namesakes = self.registry.named(end.session.id, NAMESAKES)?;
        if namesakes.len() >= NAMESAKES {
            return Ok(true);
        }
        for other in namesakes {
            if other.subject != end.session.subject && !self.has_to_end(&other)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn has_to_end(&self, session: &Session) -> Result<bool, RegistryError> {
        if self.cause(session).is_some() || (self.revoked)(session).is_some() {
            return Ok(true);
        }
        let Some(subject) = Subject::of(session) else {
            return Ok(false);
        };
        let crowd = self.crowd(&subject)?;
        Ok(crowd.iter().any(|end| end.session.id == session.id))
    }

    fn cause(&self, session: &Session) -> Option<Cause> {
        let policy = self.policies.get(&*session.issuer)?;
        let idle_since = |timeout| self.idle_since.get(&timeout).copied();
        policy::due(session, policy, idle_since, self.now)
    }

    fn good_until(&self) -> UnixTime {
        let skew = self.clock_skew.as_secs();
        let seconds = self.now.seconds().saturating_sub(skew);
        UnixTime::from_seconds(seconds).unwrap_or_default()
    }
}

/// An issuer, one of its subjects, and the client if its sessions are counted by themselves.
pub(super) type Counted<'s> = (&'s str, &'s str, Option<&'s str>);
