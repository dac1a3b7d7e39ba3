//! Which sessions have to end by themselves.
//!
//! Pure: sessions and the policy of their issuer go in, and what has to end comes out. Only sessions
//! with a `sid` are looked at: what has none is the token of a service, or nothing that a user could
//! sign out of. A session that is not in the registry does not end, whatever the policy says.

use std::collections::BTreeMap;
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
    fn counted_with<'c>(&self, client: Option<&'c str>) -> Option<&'c str> {
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

/// Which of a subject's sessions have to end now that this one has come.
pub(super) fn excess<'s>(
    sessions: &'s [Session],
    new: &Session,
    policy: &SessionPolicy,
) -> Vec<&'s Session> {
    let rules = policy.rules(new.client.as_deref());
    let Some(most) = rules.max_sessions.filter(|_| may_end(new)) else {
        return Vec::new();
    };
    let scope = |session: &Session| {
        policy
            .counted_with(session.client.as_deref())
            .map(str::to_owned)
    };
    let of_new = scope(new);
    let mut counted: Vec<&Session> = sessions
        .iter()
        .filter(|session| may_end(session) && scope(session) == of_new)
        .collect();
    counted.sort_by_key(|session| (session.first_seen, session.id));
    let most = usize::try_from(most.get()).unwrap_or(usize::MAX);
    let surplus = counted.len().saturating_sub(most);
    match rules.on_excess {
        OnExcess::EndOldest => counted.truncate(surplus),
        OnExcess::Refuse => {
            counted.drain(..counted.len() - surplus);
        }
    }
    counted
}

fn may_end(session: &Session) -> bool {
    matches!(session.name, Name::Session(_)) && session.is_live()
}

#[cfg(test)]
mod tests;
