//! One JWK Set on a server, and how the copy of it here is kept right.
//!
//! Whoever holds the lease fetches: when the set is about to expire, when a request needs a key
//! that is not in it, and after a failure, later each time. What it gets is read by
//! [`RemoteKeys::read`] before anybody hears of it; garbage changes nothing but the counters.
//! Everybody, the leader included, uses what is published in shared data and reads it again with
//! the same code.
//!
//! Two leaders at once fetch twice and publish by compare-and-swap: the second finds that it is
//! late and takes over what the first has published.

use std::rc::Rc;
use std::time::Duration;

use super::discovery::{self, DiscoveryError};
use super::key_record::{KEYS, Published, WANTED, open_wanted, seal_wanted};
use super::{Lease, Role, backoff, freshness, milliseconds};
use crate::gate::{Location, RemoteKeys, RemoteSource};
use crate::host::{BackgroundHost, Call, CallId, CallOutcome, Expected, HeaderLine, SharedData};
use crate::namespace::{Namespace, RecordSecret};
use crate::time::Interval;
use crate::token::{KeySet, KeySetError};

/// Shortest time between two fetches that requests have asked for. Anybody can make up key ids,
/// so this is all that stands between a flood of them and the identity provider.
const REFETCH_INTERVAL: Duration = Duration::from_secs(10);

/// How long a key id that was not in the set is remembered, so that one client with an old token
/// does not cause a fetch every [`REFETCH_INTERVAL`] for ever. No longer, since an issuer may
/// begin to sign with a key before all its servers publish it.
const ABSENCE: Duration = Duration::from_secs(30);

/// Most key ids that are remembered. A flood pushes out the oldest, and [`REFETCH_INTERVAL`] holds.
const MAX_ABSENT: usize = 64;

/// How long a wish is thought to be on its way. After that it is expressed anew: shared data may
/// have been overwritten by a stranger.
const WISH: Duration = Duration::from_secs(5);

/// How much longer than the time-out of a call its answer is waited for. The host always answers;
/// should it not, the source would be stuck.
const GRACE: Duration = Duration::from_secs(5);

/// Fetches in a row that fail until somebody else tries.
const FAILURES_PER_LEADER: u32 = 3;

/// Shortest time between two fetches that nobody asked for, whatever the configuration says.
const SHORTEST_REFRESH: Duration = Duration::from_secs(1);

/// Why a fetch gave no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The host would not send the call at all.
    #[error("the call was refused; hint: is there a cluster `{0}` with a healthy endpoint?")]
    NotSent(String),
    /// No connection, a reset, or a time-out.
    #[error("no answer")]
    NoAnswer,
    /// An answer with another status than 200. Redirects are not followed: they would lead out of
    /// the cluster that the operator chose.
    #[error("expected status 200, found {0}")]
    Status(u16),
    /// The discovery document leads nowhere.
    #[error("discovery document: {0}")]
    Discovery(#[from] DiscoveryError),
    /// The answer is no usable JWK Set.
    #[error("JWK Set: {0}")]
    KeySet(#[from] KeySetError),
}

/// What has happened since it was last asked, for counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Fetches that gave a usable set, changed or not.
    pub fetched: u32,
    /// Fetches that did not, all their tries included.
    pub failed: u32,
    /// Fetches of either kind that a request with an unknown key had asked for.
    pub refetched: u32,
}

/// What a request that lacks a key should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Wait: a fetch is on its way.
    Wait,
    /// Not wait: a fetch has just been made, or would be of no use.
    Final,
}

/// One source of keys.
#[derive(Debug)]
pub(super) struct KeyRefresh {
    settings: RemoteKeys,
    /// Names of its providers, for the log.
    label: String,
    lease: Lease,
    role: Role,
    space: Namespace,
    published: Published,
    /// Version in shared data of `published`; 0 when nothing has been read.
    version: u32,
    keys: Option<Rc<KeySet>>,
    phase: Phase,
    /// Where the discovery document says that the set is. Forgotten after a failure.
    discovered: Option<Location>,
    /// The last fault, so that it is logged once and not every time.
    complaint: Option<FetchError>,
    counts: Counts,
    /// When this virtual machine last asked for a fetch.
    wished_at: u64,
    /// Hashes of key ids that requests have asked for in vain.
    absent: Vec<Absent>,
}

/// A key id that was not in the set.
#[derive(Clone, Copy, Debug)]
struct Absent {
    key: u64,
    since: u64,
}

#[derive(Debug)]
enum Phase {
    Idle,
    Pausing {
        fetch: Fetch,
        pause: Interval,
    },
    Asking {
        fetch: Fetch,
        call: CallId,
        stage: Stage,
        patience: Interval,
    },
}

/// One fetch with all its tries.
#[derive(Clone, Copy, Debug)]
struct Fetch {
    cause: Cause,
    started_at: u64,
    failed_tries: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Due,
    Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Document,
    Keys,
}

impl KeyRefresh {
    /// Plugins with exactly the same settings share a source, in whatever virtual machines.
    pub(super) fn new(
        settings: RemoteKeys,
        label: String,
        holder: u64,
        secret: &RecordSecret,
    ) -> Self {
        let space = Namespace::new(secret, "keys", &settings);
        Self {
            lease: Lease::new(space.clone(), holder),
            role: Role::Follows,
            space,
            settings,
            label,
            published: Published::default(),
            version: 0,
            keys: None,
            phase: Phase::Idle,
            discovered: None,
            complaint: None,
            counts: Counts::default(),
            wished_at: 0,
            absent: Vec::new(),
        }
    }

    pub(super) const fn settings(&self) -> &RemoteKeys {
        &self.settings
    }

    pub(super) fn add_label(&mut self, label: &str) {
        self.label = format!("{}, {label}", self.label);
    }

    /// Looks at shared data, and does what there is to do if it leads.
    pub(super) fn tick(&mut self, host: &impl BackgroundHost) {
        let now = host.now_milliseconds();
        self.look(host);
        self.role = self.lease.tick(host, now);
        // The host answers by another clock than this one.
        if let Phase::Asking { patience, .. } = &mut self.phase {
            *patience = patience.begun_by(now);
        }
        match (&self.phase, self.role) {
            (
                Phase::Asking {
                    patience, fetch, ..
                },
                _,
            ) if patience.is_over(now) => {
                let fetch = *fetch;
                self.try_again(host, fetch, FetchError::NoAnswer);
            }
            (Phase::Asking { .. }, _) => {}
            (_, Role::Follows) => self.phase = Phase::Idle,
            (Phase::Pausing { pause, fetch }, Role::Leads) => {
                if pause.is_over(now) {
                    let fetch = *fetch;
                    self.ask(host, fetch);
                }
            }
            (Phase::Idle, Role::Leads) => {
                if let Some(cause) = self.due(host, now) {
                    let fetch = Fetch {
                        cause,
                        started_at: now,
                        failed_tries: 0,
                    };
                    self.ask(host, fetch);
                }
            }
        }
    }

    /// Takes the answer to a call; `false` when the call was not this source's.
    pub(super) fn answered(
        &mut self,
        host: &impl BackgroundHost,
        answered: CallId,
        outcome: &CallOutcome,
    ) -> bool {
        let Phase::Asking {
            fetch, call, stage, ..
        } = self.phase
        else {
            return false;
        };
        if call != answered {
            return false;
        }
        self.phase = Phase::Idle;
        match self.read(stage, outcome) {
            Ok(Answer::KeysAreAt(location)) => {
                self.discovered = Some(location);
                self.ask(host, fetch);
            }
            Ok(Answer::Keys(keys, lifetime)) => self.succeed(host, fetch, keys, lifetime, outcome),
            Err(error) => self.try_again(host, fetch, error),
        }
        true
    }

    /// A request lacks a key, or all keys. Says whether a fetch will come that it should wait for,
    /// and sees to it that one comes. `key` is a hash of the key id.
    pub(super) fn want(&mut self, host: &impl SharedData, now: u64, key: u64) -> Asked {
        if self.keys(now).is_none() {
            if self.published.finished_at == 0 {
                return Asked::Wait;
            }
            // There is an outage. Requests are not held up by it, but they keep it short.
            self.wish(host, now);
            return Asked::Final;
        }
        if self.is_known_absent(now, key) {
            return Asked::Final;
        }
        if !self.wish_is_pending(now) && !self.may_refetch(now) {
            return Asked::Final;
        }
        if !self.absent.iter().any(|absent| absent.key == key) {
            if self.absent.len() >= MAX_ABSENT {
                self.absent.remove(0);
            }
            self.absent.push(Absent { key, since: now });
        }
        self.wish(host, now);
        Asked::Wait
    }

    /// Whether a fetch that began after somebody had asked for the key was without it.
    fn is_known_absent(&mut self, now: u64, key: u64) -> bool {
        self.absent
            .retain(|absent| Interval::new(absent.since, ABSENCE).contains(now));
        let noted = self.absent.iter().find(|absent| absent.key == key);
        noted.is_some_and(|absent| absent.since <= self.published.started_at)
    }

    fn may_refetch(&self, now: u64) -> bool {
        Interval::new(self.published.refetched_at, REFETCH_INTERVAL).is_over(now)
    }

    /// The keys that may be used now.
    ///
    /// The one instant that is compared as it is: a clock that was set back must not take away keys
    /// that are good. A fetch is due then, and [`Published::set_back_to`] sees to it that its failure
    /// makes them no younger than they can be.
    pub(super) fn keys(&self, now: u64) -> Option<&Rc<KeySet>> {
        let expires_at = self.published.expires_at;
        let unusable_at = expires_at.saturating_add(milliseconds(self.settings.max_stale));
        self.keys.as_ref().filter(|_| now < unusable_at)
    }

    /// Changes when a fetch has ended, well or not.
    pub(super) const fn finished_at(&self) -> u64 {
        self.published.finished_at
    }

    /// When the set in use was fetched.
    pub(super) const fn fetched_at(&self) -> u64 {
        self.published.fetched_at
    }

    pub(super) const fn role(&self) -> Role {
        self.role
    }

    pub(super) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    pub(super) fn release(&self, host: &impl SharedData) {
        self.lease.release(host);
    }

    /// Takes over what is published, if it is new.
    fn look(&mut self, host: &impl BackgroundHost) {
        let Some(shared) = host.shared(&self.space.key_of(KEYS)) else {
            return;
        };
        if shared.version == self.version {
            return;
        }
        // Remembered also for bytes that are nobody's, so that they can be replaced.
        self.version = shared.version;
        let Some(published) = Published::open(&self.space, &shared.bytes) else {
            return;
        };
        if published.set == self.published.set {
            self.published = published;
        } else if let Ok(keys) = self.settings.read(&published.set) {
            self.published = published;
            self.adopt(host, keys);
        }
    }

    /// The same bytes give the same [`Rc`], so that a holder of keys sees whether they changed.
    fn adopt(&mut self, host: &impl BackgroundHost, keys: KeySet) {
        if self.role == Role::Leads {
            let (usable, left_out) = (keys.keys().len(), keys.unusable());
            let usable = format!("keys of {}: {usable} usable", self.label);
            host.info(&match left_out.first() {
                None => usable,
                Some((index, error)) => {
                    let count = left_out.len();
                    format!("{usable}, {count} left out, the first of them keys[{index}]: {error}")
                }
            });
        }
        self.keys = Some(Rc::new(keys));
    }

    fn due(&self, host: &impl BackgroundHost, now: u64) -> Option<Cause> {
        let published = &self.published;
        if Interval::between(published.finished_at, published.next_at).is_over(now) {
            return Some(Cause::Due);
        }
        let shared = host.shared(&self.space.key_of(WANTED))?;
        let wanted_at = open_wanted(&self.space, &shared.bytes)?;
        let is_unserved = wanted_at > published.started_at;
        // A wish is served a tick later, or when the interval between two fetches is over.
        let counts_for = WISH + REFETCH_INTERVAL;
        let is_recent = Interval::new(wanted_at, counts_for).contains(now);
        (is_unserved && is_recent && self.may_refetch(now)).then_some(Cause::Wanted)
    }

    fn ask(&mut self, host: &impl BackgroundHost, fetch: Fetch) {
        let (stage, location) = match (&self.settings.source, &self.discovered) {
            (RemoteSource::JwkSet(location), _) | (_, Some(location)) => (Stage::Keys, location),
            (RemoteSource::Discovery { document, .. }, None) => (Stage::Document, document),
        };
        let mut headers = vec![("accept", "application/json".to_owned())];
        if fetch.cause == Cause::Wanted {
            // A cache on the way may hold the very set that lacks the key (RFC 9111 section 5.2.1.4).
            headers.push(("cache-control", "no-cache".to_owned()));
        }
        let call = Call {
            cluster: self.settings.cluster.clone(),
            method: "GET",
            authority: location.authority.clone(),
            path: location.path.clone(),
            headers,
            body: None,
            timeout: self.settings.timeout,
        };
        let patience = self.settings.timeout.saturating_add(GRACE);
        match host.call(&call) {
            Ok(call) => {
                self.phase = Phase::Asking {
                    fetch,
                    call,
                    stage,
                    patience: Interval::new(host.now_milliseconds(), patience),
                };
            }
            Err(_) => self.try_again(host, fetch, FetchError::NotSent(call.cluster)),
        }
    }

    fn read(&self, stage: Stage, outcome: &CallOutcome) -> Result<Answer, FetchError> {
        let (status, headers, body) = match outcome {
            CallOutcome::Failed => return Err(FetchError::NoAnswer),
            CallOutcome::Answered {
                status,
                headers,
                body,
            } => (*status, headers, body),
        };
        if status != 200 {
            return Err(FetchError::Status(status));
        }
        match (stage, &self.settings.source) {
            (Stage::Document, RemoteSource::Discovery { document, issuer }) => {
                let location = discovery::jwk_set_location(body, issuer, document)?;
                Ok(Answer::KeysAreAt(location))
            }
            _ => Ok(Answer::Keys(
                self.settings.read(body)?,
                self.lifetime(headers),
            )),
        }
    }

    fn lifetime(&self, headers: &[HeaderLine]) -> Duration {
        freshness::lifetime(headers, self.settings.cache_duration)
    }

    fn succeed(
        &mut self,
        host: &impl BackgroundHost,
        fetch: Fetch,
        keys: KeySet,
        lifetime: Duration,
        outcome: &CallOutcome,
    ) {
        let CallOutcome::Answered { body, .. } = outcome else {
            return;
        };
        let now = host.now_milliseconds();
        let lifetime = milliseconds(lifetime);
        self.finish(now, fetch);
        self.published.failures = 0;
        self.published.fetched_at = now;
        self.published.expires_at = now.saturating_add(lifetime);
        self.published.next_at = now.saturating_add(ahead_of(lifetime, host.random()));
        self.counts.fetched += 1;
        if self.complaint.take().is_some() {
            host.info(&format!("keys of {}: fetched again", self.label));
        }
        if self.published.set != *body {
            self.published.set.clone_from(body);
            self.adopt(host, keys);
        }
        self.publish(host);
    }

    fn try_again(&mut self, host: &impl BackgroundHost, fetch: Fetch, error: FetchError) {
        let now = host.now_milliseconds();
        let retries = self.settings.retries;
        self.discovered = None;
        let failed_tries = fetch.failed_tries.saturating_add(1);
        if failed_tries <= retries.number {
            let pause = backoff::wait(retries.base_interval, failed_tries, host.random());
            let pause = pause.min(milliseconds(retries.max_interval));
            let fetch = Fetch {
                failed_tries,
                ..fetch
            };
            let pause = Interval::new(now, Duration::from_millis(pause));
            self.phase = Phase::Pausing { fetch, pause };
            return;
        }
        self.phase = Phase::Idle;
        self.finish(now, fetch);
        self.published.failures = self.published.failures.saturating_add(1);
        let pause = backoff::wait(
            self.settings.failed_refetch,
            self.published.failures,
            host.random(),
        );
        self.published.next_at = now.saturating_add(pause);
        self.counts.failed += 1;
        // Whoever led before has said it, if this one begins to lead in the middle of an outage.
        let is_inherited = self.complaint.is_none() && self.published.failures > 1;
        if is_inherited {
            self.complaint = Some(error);
        } else if self.complaint.as_ref() != Some(&error) {
            let consequence = match self.keys(now) {
                Some(_) => "the last good ones stay in force",
                None => "there are none",
            };
            host.warn(&format!("keys of {}: {error}; {consequence}", self.label));
            self.complaint = Some(error);
        }
        self.publish(host);
        // In case it is a matter of this worker. The pause until the next fetch is everybody's.
        if self.published.failures.is_multiple_of(FAILURES_PER_LEADER) {
            self.lease.stand_back(host, now, host.random());
        }
    }

    fn finish(&mut self, now: u64, fetch: Fetch) {
        self.published.set_back_to(now);
        self.published.started_at = fetch.started_at.min(now);
        self.published.finished_at = now.max(1);
        if fetch.cause == Cause::Wanted {
            self.published.refetched_at = now;
            self.counts.refetched += 1;
        }
    }

    /// Publishes what is known here, unless somebody else has published since it was last read:
    /// then that is taken over.
    fn publish(&mut self, host: &impl BackgroundHost) {
        let expected = match self.version {
            0 => Expected::Absent,
            version => Expected::Version(version),
        };
        let key = self.space.key_of(KEYS);
        let bytes = self.published.seal(&self.space);
        if host.set_shared(&key, &bytes, expected) {
            // The version that the write made is not told. Somebody who overtook it between the
            // two calls is noticed, since their bytes are others.
            let written = host.shared(&key);
            let written = written.filter(|shared| shared.bytes == bytes);
            self.version = written.map_or(0, |shared| shared.version);
        }
        self.look(host);
    }

    /// Whether a fetch that this virtual machine has asked for is still to come.
    fn wish_is_pending(&self, now: u64) -> bool {
        self.wished_at > self.published.started_at
            && Interval::new(self.wished_at, WISH).contains(now)
    }

    fn wish(&mut self, host: &impl SharedData, now: u64) {
        if !self.wish_is_pending(now) {
            self.wished_at = now.max(self.published.started_at.saturating_add(1));
            let wanted = seal_wanted(&self.space, self.wished_at);
            host.set_shared(&self.space.key_of(WANTED), &wanted, Expected::Anything);
        }
    }
}

/// What an answer was good for.
enum Answer {
    KeysAreAt(Location),
    Keys(KeySet, Duration),
}

/// When to refresh a set that is fresh for so long: after 80 to 90 % of it, as `random` says, so
/// that edges that started together do not stay together.
fn ahead_of(lifetime: u64, random: u64) -> u64 {
    let tenth = lifetime / 10;
    let ahead = lifetime - tenth - random % (tenth + 1);
    ahead.max(milliseconds(SHORTEST_REFRESH))
}

#[cfg(test)]
mod tests;
