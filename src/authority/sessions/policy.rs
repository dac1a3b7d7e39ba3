//! Which sessions have to end by themselves.
//!
//! Pure: sessions and the policy of their issuer go in, and what has to end comes out. Only sessions
//! with a `sid` are looked at: what has none is the token of a service, or nothing that a user could
//! sign out of. A session that is not in the registry does not end, whatever the policy says.
//!
//! # Which sessions count as too many?
//!
//! Those that can be used: of which a token is known that is still good. A session whose last token
//! has expired may be an abandoned one, which would take the place of another for as long as the
//! registry keeps it, and with `refuse` keep its user out. If it was not, a refresh gives it a new
//! token, and it counts again, with the age that it has. Idle and old sessions end whether they can
//! be used or not, since a refresh would bring them back.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

use super::session::{Name, Session};
use crate::revocation::Cause;
use crate::time::UnixTime;

/// When sessions of an issuer end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionPolicy {
    /// For all other clients.
    pub general: SessionRules,
    /// For these clients.
    pub clients: BTreeMap<String, ClientRules>,
}

/// What holds for a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionRules {
    /// How long it may be unused.
    pub idle_timeout: Option<Duration>,
    /// How long after the sign-in it ends.
    pub max_session_age: Option<Duration>,
    /// How many a subject may have.
    pub max_sessions: Option<NonZeroU32>,
    /// Which one ends if there are more.
    pub on_excess: OnExcess,
}

/// What holds for a client's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientRules {
    /// What holds for the issuer, with what the client has of its own in its place.
    pub rules: SessionRules,
    /// Whether its sessions are counted by themselves, since it has a number of its own.
    pub is_counted_alone: bool,
}

/// Which session ends if a subject has too many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExcess {
    /// The one that has been there for longest.
    #[default]
    EndOldest,
    /// The one that came last.
    Refuse,
}

impl SessionPolicy {
    /// What holds for a session that was last used by this client.
    #[must_use]
    pub fn rules(&self, client: Option<&str>) -> &SessionRules {
        let of_client = client.and_then(|client| self.clients.get(client));
        of_client.map_or(&self.general, |client| &client.rules)
    }

    /// Everything that holds for some session.
    pub fn all(&self) -> impl Iterator<Item = &SessionRules> {
        let clients = self.clients.values().map(|client| &client.rules);
        std::iter::once(&self.general).chain(clients)
    }

    /// The client whose sessions are counted with one of this client, if they are not counted with
    /// those of all others.
    pub(super) fn counted_with<'c>(&self, client: Option<&'c str>) -> Option<&'c str> {
        client.filter(|client| {
            let rules = self.clients.get(*client);
            rules.is_some_and(|rules| rules.is_counted_alone)
        })
    }
}

/// Why a session has to end now, if it has to. `idle_since` says before when a session was last
/// seen that has been idle for a timeout, where that is known.
pub(super) fn due(
    session: &Session,
    policy: &SessionPolicy,
    idle_since: impl Fn(Duration) -> Option<UnixTime>,
    now: UnixTime,
) -> Option<Cause> {
    if !may_end(session) {
        return None;
    }
    let rules = policy.rules(session.client.as_deref());
    let is_over = |age| session.started().later_by(age) <= now;
    if rules.max_session_age.is_some_and(is_over) {
        return Some(Cause::TooOld);
    }
    let since = rules.idle_timeout.and_then(idle_since)?;
    (session.last_seen < since).then_some(Cause::Idle)
}

/// Which of a subject's sessions are too many: those that would have ended, had they come one after
/// the other in the order in which they were first seen. `good_until` is when a token has to expire
/// at the earliest to be good.
pub(super) fn excess<'s>(
    sessions: &'s [Session],
    policy: &SessionPolicy,
    good_until: UnixTime,
) -> Vec<&'s Session> {
    let counted = sessions.iter().filter(|other| counts(other, good_until));
    let mut counted: Vec<&Session> = counted.collect();
    counted.sort_by_key(|session| (session.first_seen, session.id));
    let mut kept: BTreeMap<Option<&str>, VecDeque<&Session>> = BTreeMap::new();
    let mut ended = Vec::new();
    for session in counted {
        let client = session.client.as_deref();
        let rules = policy.rules(client);
        let Some(most) = rules.max_sessions else {
            continue;
        };
        let kept = kept.entry(policy.counted_with(client)).or_default();
        kept.push_back(session);
        if kept.len() > usize::try_from(most.get()).unwrap_or(usize::MAX) {
            ended.extend(match rules.on_excess {
                OnExcess::EndOldest => kept.pop_front(),
                OnExcess::Refuse => kept.pop_back(),
            });
        }
    }
    ended
}

/// Whether a session is one of those of which there may be too many.
pub(super) fn counts(session: &Session, good_until: UnixTime) -> bool {
    may_end(session) && session.expires_at.is_none_or(|end| end >= good_until)
}

fn may_end(session: &Session) -> bool {
    matches!(session.name, Name::Session(_)) && session.is_live()
}

#[cfg(test)]
mod tests;
