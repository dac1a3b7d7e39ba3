//! A session as the registry tells of it, and what an edge has seen of one.

use std::sync::Arc;

use super::Network;
use super::registry::{IsRevoked, REVIVED_AFTER};
use super::session_ends::signed_in;
use crate::revocation::{Cause, FilterKey, Fingerprint, Issuance, Kind};
use crate::time::UnixTime;

/// How many of a session's sightings are kept, the most recent ones.
pub(in crate::authority) const KEPT_SIGHTINGS: usize = 6;

/// A session that edges have reported.
///
/// It belongs to the subject that its tokens name: should tokens of two subjects have the same `sid`,
/// these are two sessions, and neither subject sees the other's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Session {
    /// The fingerprint of its name, by which it is found.
    pub id: Fingerprint,
    /// `iss`.
    pub issuer: Arc<str>,
    /// `sub`.
    pub subject: Option<Arc<str>>,
    /// What it is called by its issuer.
    pub name: Name,
    /// The client that it was last used by.
    pub client: Option<Arc<str>>,
    /// The device that it was last used on.
    pub device: Option<Arc<str>>,
    /// The latest `auth_time` of its tokens.
    pub auth_time: Option<UnixTime>,
    /// The latest `iat`.
    pub issued_at: Option<UnixTime>,
    /// The latest `exp`.
    pub expires_at: Option<UnixTime>,
    /// Its first request that was reported.
    pub first_seen: UnixTime,
    /// Its last request that was reported.
    pub last_seen: UnixTime,
    /// How many requests were reported.
    pub requests: u32,
    /// From where it was used lately, the most recent first.
    pub sightings: Vec<Sighting>,
    /// Since when it is revoked, and why. It is kept for a while after that.
    pub ended: Option<Ended>,
    /// What looks stolen about it.
    pub suspicion: Option<Suspicion>,
}

/// What a session is called by its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) enum Name {
    /// By its `sid`.
    Session(Arc<str>),
    /// By the `jti` of its only token, which has no `sid`.
    Token(Arc<str>),
}

/// Requests from one network with one kind of client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Sighting {
    /// Where they came from.
    pub network: Option<Network>,
    /// The kind of client.
    pub user_agent: Option<Arc<str>>,
    /// How many.
    pub requests: u32,
    /// The first report of these.
    pub first_seen: UnixTime,
    /// The last of them.
    pub last_seen: UnixTime,
}

/// The end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Ended {
    /// When it was revoked.
    pub at: UnixTime,
    /// Why.
    pub cause: Cause,
}

/// What looks stolen about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Suspicion {
    /// When it was last noticed.
    pub at: UnixTime,
    /// What was noticed, for people to read.
    pub evidence: Arc<str>,
}

/// A session's name with the subject that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(in crate::authority) struct Owned<'s> {
    /// `iss`.
    pub issuer: &'s str,
    /// `sub`.
    pub subject: Option<&'s str>,
    /// The fingerprint of the session's name.
    pub id: Fingerprint,
}

/// What an edge has seen of a session, checked, with instants in place of ages.
#[derive(Clone, Debug)]
pub(in crate::authority) struct Observation {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: Option<String>,
    /// What the session is called.
    pub name: Name,
    /// The client.
    pub client: Option<String>,
    /// The device.
    pub device: Option<String>,
    /// `auth_time`.
    pub auth_time: Option<UnixTime>,
    /// `iat`.
    pub issued_at: Option<UnixTime>,
    /// `exp`.
    pub expires_at: Option<UnixTime>,
    /// The first request, in milliseconds since the epoch by the authority's clock.
    pub first_seen: u64,
    /// The last request, likewise.
    pub last_seen: u64,
    /// How many requests.
    pub requests: u32,
    /// From where.
    pub sightings: Vec<ObservedSighting>,
}

/// Requests from one network with one kind of client, as an edge has seen them.
#[derive(Clone, Debug)]
pub(in crate::authority) struct ObservedSighting {
    /// Where they came from.
    pub network: Option<Network>,
    /// The kind of client.
    pub user_agent: Option<String>,
    /// How many.
    pub requests: u32,
    /// The last of them, in milliseconds since the epoch by the authority's clock.
    pub last_seen: u64,
}

impl Session {
    /// Whether its tokens were not revoked, as far as is known.
    #[must_use]
    pub(in crate::authority) const fn is_live(&self) -> bool {
        self.ended.is_none()
    }

    /// When the user signed in, as far as is known.
    #[must_use]
    pub(in crate::authority) fn started(&self) -> UnixTime {
        self.auth_time.unwrap_or(self.first_seen)
    }

    /// When the user signed in, where that is known and a revocation of the session compares with it.
    #[must_use]
    pub(in crate::authority) fn signed_in(&self) -> Option<UnixTime> {
        signed_in(self.auth_time, self.issuance())
    }

    /// When its newest token was issued.
    #[must_use]
    pub(in crate::authority) fn issuance(&self) -> Issuance {
        Issuance::new(self.issued_at, self.auth_time)
    }
}

impl Name {
    /// What kind of thing a revocation of it names.
    #[must_use]
    pub(in crate::authority) const fn kind(&self) -> Kind {
        match self {
            Self::Session(_) => Kind::Session,
            Self::Token(_) => Kind::Token,
        }
    }

    /// The `sid` or `jti`.
    #[must_use]
    pub(in crate::authority) const fn value(&self) -> &Arc<str> {
        match self {
            Self::Session(value) | Self::Token(value) => value,
        }
    }

    /// The fingerprint, which revocations of it have as well.
    #[must_use]
    pub(in crate::authority) fn fingerprint(&self, key: &FilterKey, issuer: &str) -> Fingerprint {
        key.fingerprint(self.kind(), issuer, self.value())
    }
}

impl Session {
    /// A session that was not known before.
    #[must_use]
    pub(super) fn begin(id: Fingerprint, observation: &Observation) -> Self {
        let first_seen = UnixTime::from_milliseconds(observation.first_seen);
        let mut session = Self {
            id,
            issuer: observation.issuer.as_str().into(),
            subject: observation.subject.as_deref().map(Arc::from),
            name: observation.name.clone(),
            client: None,
            device: None,
            auth_time: None,
            issued_at: None,
            expires_at: None,
            first_seen,
            last_seen: first_seen,
            requests: 0,
            sightings: Vec::new(),
            ended: None,
            suspicion: None,
        };
        session.take_in(observation);
        session
    }

    /// Takes in what was seen of it, in whichever order reports come, and revives it if it was used
    /// after its end and is not revoked: restored, or its user has signed in again.
    pub(super) fn merge(&mut self, observation: &Observation, is_revoked: IsRevoked<'_>) {
        self.take_in(observation);
        let Some(ended) = self.ended else {
            return;
        };
        let last_seen = UnixTime::from_milliseconds(observation.last_seen);
        let is_late = last_seen > ended.at.later_by(REVIVED_AFTER);
        if is_late || last_seen >= ended.at && !is_revoked(self) {
            self.ended = None;
            if self.auth_time.is_some_and(|time| time >= ended.at) {
                // Another session in all but its name, which is not the oldest of its subject.
                self.first_seen = UnixTime::from_milliseconds(observation.first_seen);
                self.requests = observation.requests;
            }
        }
    }

    fn take_in(&mut self, observation: &Observation) {
        let first_seen = UnixTime::from_milliseconds(observation.first_seen);
        let last_seen = UnixTime::from_milliseconds(observation.last_seen);
        self.issued_at = self.issued_at.max(observation.issued_at);
        self.expires_at = self.expires_at.max(observation.expires_at);
        self.auth_time = self.auth_time.max(observation.auth_time);
        let is_latest = last_seen >= self.last_seen;
        replace(&mut self.client, observation.client.as_deref(), is_latest);
        replace(&mut self.device, observation.device.as_deref(), is_latest);
        self.first_seen = self.first_seen.min(first_seen);
        self.last_seen = self.last_seen.max(last_seen);
        self.requests = self.requests.saturating_add(observation.requests);
        for sighting in &observation.sightings {
            self.sight(sighting);
        }
        self.keep_recent_sightings();
    }

    /// Takes in what was known of it before a restart.
    pub(super) fn absorb(&mut self, earlier: &Self) {
        self.first_seen = self.first_seen.min(earlier.first_seen);
        self.last_seen = self.last_seen.max(earlier.last_seen);
        self.requests = self.requests.saturating_add(earlier.requests);
        self.issued_at = self.issued_at.max(earlier.issued_at);
        self.expires_at = self.expires_at.max(earlier.expires_at);
        self.auth_time = self.auth_time.max(earlier.auth_time);
        replace(&mut self.client, earlier.client.as_deref(), false);
        replace(&mut self.device, earlier.device.as_deref(), false);
        let is_known = |sighting: &Sighting| {
            let mut known = self.sightings.iter();
            known.any(|known| {
                known.network == sighting.network && known.user_agent == sighting.user_agent
            })
        };
        let others = earlier.sightings.iter().filter(|other| !is_known(other));
        let others: Vec<Sighting> = others.cloned().collect();
        self.sightings.extend(others);
        self.keep_recent_sightings();
        let revived = |ended: &Ended| self.last_seen > ended.at.later_by(REVIVED_AFTER);
        let ended = earlier.ended.filter(|ended| !revived(ended));
        self.ended = self.ended.or(ended);
        if self.suspicion.is_none() {
            self.suspicion.clone_from(&earlier.suspicion);
        }
    }

    fn keep_recent_sightings(&mut self) {
        // Stable, so that of two in the same second the one that was reported first stays first.
        self.sightings
            .sort_by_key(|sighting| std::cmp::Reverse(sighting.last_seen));
        self.sightings.truncate(KEPT_SIGHTINGS);
    }

    fn sight(&mut self, observed: &ObservedSighting) {
        let seen = UnixTime::from_milliseconds(observed.last_seen);
        let is_same = |sighting: &&mut Sighting| {
            sighting.network == observed.network
                && sighting.user_agent.as_deref() == observed.user_agent.as_deref()
        };
        if let Some(sighting) = self.sightings.iter_mut().find(is_same) {
            sighting.requests = sighting.requests.saturating_add(observed.requests);
            sighting.first_seen = sighting.first_seen.min(seen);
            sighting.last_seen = sighting.last_seen.max(seen);
            return;
        }
        self.sightings.push(Sighting {
            network: observed.network,
            user_agent: observed.user_agent.as_deref().map(Arc::from),
            requests: observed.requests,
            first_seen: seen,
            last_seen: seen,
        });
    }
}

fn replace(known: &mut Option<Arc<str>>, observed: Option<&str>, is_latest: bool) {
    let is_better = known.is_none() || is_latest && known.as_deref() != observed;
    if is_better && observed.is_some() {
        *known = observed.map(Arc::from);
    }
}
