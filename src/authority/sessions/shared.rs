//! The engine for several authorities: sessions in Redis.
//!
//! # How do reports of several authorities come together?
//!
//! A session is read, changed here, and written back by a script that compares: what another authority
//! has changed meanwhile is read again. So what a report does to a session is said once, in
//! [`Session`], whichever engine keeps it: the earliest request counts as the first, the latest as the
//! last, and numbers add up.
//!
//! # What if an answer is lost?
//!
//! The same commit is sent again, with the same number, and a shard that has it does nothing. So it
//! counts once. But an edge that was answered 503 sends its report again, and what a part of a cluster
//! had taken of it counts twice then: numbers of requests, and never times.
//!
//! # What if Redis loses something?
//!
//! After a restart with an old snapshot, or with none, or when a replica takes over that had not
//! everything, sessions look as if they had not been used for a while. Every commit to a shard is counted
//! in it, by the process that it comes from. One that finds a smaller number than it has seen says so to
//! all, and every session counts as used at that moment.
//!
//! # Why is a session not a hash with a field for each time?
//!
//! It would take more than twice the memory, and the rules for merging reports would stand in Lua a second
//! time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::runtime::Handle;

use super::displaced::{Displaced, Lost};
use super::metrics::SessionMetrics;
use super::registry::{
    Counts, Filter, IsRevoked, Limits, Mark, Others, Page, Registry, RegistryError, Reported,
    Tidings, Told,
};
use super::session::{Observation, Owned, Session, Suspicion};
use crate::revocation::{Cause, FilterKey, Fingerprint};
use crate::time::UnixTime;

mod address;
mod beats;
mod bucket;
mod claims;
mod connection;
mod coverage;
mod error;
mod keys;
mod lists;
mod marks;
mod room;
mod scripts;
mod writing;

pub use address::{AddressError, RegistryAddress};
pub use error::SharedError;

use bucket::Bucket;
use connection::{Command, Connection};
use error::expect_unreachable;
use keys::{Keys, SHARDS};

/// Sessions in Redis.
pub(in crate::authority) struct Shared {
    connection: Connection,
    keys: Keys,
    limits: Limits,
    /// Tells this process from others, and from those before it.
    process: u64,
    /// Tells this authority from others, also after a restart.
    name: String,
    writers: Mutex<writing::Writers>,
    next_stamp: AtomicU64,
    /// Of each shard, what was last heard.
    shards: Box<[Shard]>,
    displaced: Displaced,
    /// In seconds.
    heard_since: AtomicU64,
    /// Whether Redis has lost something of which the others have not been told.
    has_lost: AtomicBool,
    /// As other authorities have told.
    losses: Mutex<Option<String>>,
    /// What other authorities have heard of edges, as of the last time.
    heard: Mutex<HashMap<Vec<u8>, Vec<u8>>>,
    /// Authorities among these that were missing the last time.
    missing: Mutex<HashSet<Vec<u8>>>,
}

/// What is known of a shard.
#[derive(Debug, Default)]
struct Shard {
    /// Sessions in it.
    count: AtomicU64,
    /// The highest number of commits of this process.
    commits: AtomicU64,
}

impl Shared {
    /// Sessions at this address. A server that cannot be reached is no error: no user is signed out for
    /// it, and it is tried again. Must not be called by a task of the runtime.
    ///
    /// # Errors
    ///
    /// [`SharedError`], if the address or the server is not the right one.
    pub(super) fn open(
        address: &RegistryAddress,
        (key, limits, name): (FilterKey, Limits, String),
        (runtime, metrics): (Handle, SessionMetrics),
        now: UnixTime,
    ) -> Result<Self, SharedError> {
        let servers = {
            // The client of a cluster looks for its runtime.
            let _entered = runtime.enter();
            address.servers()
        };
        let servers = servers.map_err(|error| SharedError::Unusable {
            address: address.to_string(),
            text: error.to_string(),
        })?;
        let process = getrandom::u64().unwrap_or_else(|_| std::process::id().into());
        let shared = Self {
            connection: Connection::new(servers, runtime, metrics),
            keys: Keys::new(key),
            limits,
            process,
            name,
            writers: Mutex::default(),
            next_stamp: AtomicU64::new(getrandom::u64().unwrap_or(process)),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            displaced: Displaced::default(),
            heard_since: AtomicU64::new(now.seconds()),
            has_lost: AtomicBool::new(false),
            losses: Mutex::default(),
            heard: Mutex::default(),
            missing: Mutex::default(),
        };
        let before = shared.commits_before();
        match shared.connection.try_call(shared.beats()) {
            Ok(answers) if shared.note_beats(&before, &answers) < OLDEST_VERSION => {
                let address = address.to_string();
                return Err(SharedError::Old { address });
            }
            Ok(_) => {}
            Err(failure) => expect_unreachable(address, &failure)?,
        }
        Ok(shared)
    }

    fn stamp(&self) -> u64 {
        self.next_stamp.fetch_add(1, Ordering::Relaxed)
    }

    /// Reads these, those of one shard together.
    fn read(&self, wanted: &[Place]) -> Result<HashMap<Place, Bucket>, RegistryError> {
        let mut by_shard: BTreeMap<usize, Vec<Fingerprint>> = BTreeMap::new();
        for (shard, id) in wanted {
            by_shard.entry(*shard).or_default().push(*id);
        }
        let mut places = Vec::new();
        let mut commands = Vec::new();
        for (shard, ids) in by_shard {
            for ids in ids.chunks(READ_TOGETHER) {
                let keys = ids.iter().map(|id| self.keys.session(shard, *id));
                commands.push(Command::script(&scripts::READ, keys.collect(), Vec::new()));
                places.push((shard, ids.to_vec()));
            }
        }
        let answers = self.connection.call(commands)?;
        let mut buckets = HashMap::new();
        for ((shard, ids), answer) in places.into_iter().zip(answers) {
            for (id, value) in ids.into_iter().zip(list(answer)?) {
                let bucket = match value {
                    ::redis::Value::BulkString(value) => Bucket::read(&value),
                    _ => Bucket::default(),
                };
                buckets.insert((shard, id), bucket);
            }
        }
        Ok(buckets)
    }
}

/// A shard with the fingerprint of a session's name.
type Place = (usize, Fingerprint);

/// As many as a script can name at once, and more.
const READ_TOGETHER: usize = 1_000;

/// 7.0, in the form in which Redis gives it to scripts.
const OLDEST_VERSION: i64 = 0x0007_0000;

impl Registry for Shared {
    fn report(
        &self,
        observations: &[Observation],
        now: UnixTime,
        told: Told,
        is_revoked: IsRevoked<'_>,
    ) -> Result<Vec<Reported>, RegistryError> {
        let reported = self.merge(observations, now, is_revoked)?;
        self.make_room(now)?;
        let reported = reported.into_iter();
        Ok(reported
            .filter(|reported| told == Told::All || reported.is_new)
            .collect())
    }

    fn of_subject(
        &self,
        issuer: &str,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        self.list_of_subject(issuer, subject, after, limit)
    }

    fn get(&self, owned: Owned<'_>) -> Result<Option<Session>, RegistryError> {
        let place = (Keys::shard(self.keys.owner(&owned)), owned.id);
        let buckets = self.read(&[place])?;
        let found = buckets.get(&place).and_then(|bucket| bucket.find(&owned));
        Ok(found.cloned())
    }

    fn last_seen_between(
        &self,
        from: UnixTime,
        to: UnixTime,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        self.list_last_seen(from, to, after, limit)
    }

    fn search(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        self.list_all(filter, after, limit)
    }

    fn named(&self, id: Fingerprint, limit: usize) -> Result<Vec<Session>, RegistryError> {
        let places: Vec<Place> = (0..SHARDS).map(|shard| (shard, id)).collect();
        let buckets = self.read(&places)?.into_values();
        let sessions = buckets.flat_map(|bucket| bucket.sessions);
        Ok(sessions.filter(Session::is_live).take(limit).collect())
    }

    fn mark(&self, marks: &[Mark]) -> Result<Vec<Session>, RegistryError> {
        self.end(marks)
    }

    fn suspect(&self, owned: Owned<'_>, suspicion: Suspicion) -> Result<(), RegistryError> {
        let place = (Keys::shard(self.keys.owner(&owned)), owned.id);
        let now = suspicion.at;
        self.modify(vec![place], now, |_, session| {
            let is_it = session.subject.as_deref() == owned.subject
                && *session.issuer == *owned.issuer
                && session.suspicion.as_ref() != Some(&suspicion);
            is_it.then(|| {
                let mut session = session.clone();
                session.suspicion = Some(suspicion.clone());
                Some(session)
            })
        })?;
        Ok(())
    }

    fn sweep(&self, now: UnixTime) -> Result<(), RegistryError> {
        self.drop_past(now)?;
        // A server that is full takes no report, after which this would happen otherwise.
        self.make_room(now)
    }

    fn counts(&self, now: UnixTime) -> Result<Counts, RegistryError> {
        self.count(now)
    }

    fn lost(&self) -> Lost {
        self.displaced.lost()
    }

    fn heard_since(&self) -> UnixTime {
        UnixTime::from_seconds(self.heard_since.load(Ordering::Relaxed)).unwrap_or(UnixTime::MAX)
    }

    fn claim(&self, ends: &[(&Session, Cause)]) -> Result<Vec<bool>, RegistryError> {
        self.claim_ends(ends)
    }

    fn exchange(&self, tidings: &Tidings, now: UnixTime) -> Result<Option<Others>, RegistryError> {
        self.exchange_coverage(tidings, now).map(Some)
    }

    fn leave(&self) {
        self.withdraw();
    }
}

impl fmt::Debug for Shared {
    /// Without the sessions.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Shared")
            .field("connection", &self.connection)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The elements of an answer that is a list.
fn list(answer: ::redis::Value) -> Result<Vec<::redis::Value>, RegistryError> {
    match answer {
        ::redis::Value::Array(values) => Ok(values),
        _ => Err(RegistryError::Away),
    }
}

fn number(answer: &::redis::Value) -> Option<i64> {
    match answer {
        ::redis::Value::Int(number) => Some(*number),
        ::redis::Value::BulkString(text) => str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

fn bytes(answer: ::redis::Value) -> Option<Vec<u8>> {
    match answer {
        ::redis::Value::BulkString(bytes) => Some(bytes),
        _ => None,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
