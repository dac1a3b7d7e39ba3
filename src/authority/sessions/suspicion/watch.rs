//! Looking at what edges report, session by session.

use std::sync::{Mutex, PoisonError};

use quick_cache::unsync::Cache;

use super::trace::Trace;
use super::{Finding, Thresholds};
use crate::authority::sessions::session::{Name, Observation};
use crate::revocation::{FilterKey, Fingerprint, Kind};

/// Sessions whose past is kept: those that are in use, of which there are fewer than there are in the
/// registry. 64 bytes each, and about as many to find them by.
const MAX_TRACES: usize = 262_144;

/// Parts with a lock of their own.
const SHARDS: usize = 16;

/// The past of all sessions.
#[derive(Debug)]
pub(in crate::authority) struct Watch {
    thresholds: Thresholds,
    key: FilterKey,
    shards: [Mutex<Traces>; SHARDS],
}

/// By the fingerprint of a session's name with that of its subject.
struct Traces(Cache<u128, Trace>);

/// A session about which something looks stolen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Suspect {
    /// `iss`.
    pub issuer: String,
    /// `sub`.
    pub subject: Option<String>,
    /// What it is called.
    pub name: Name,
    /// The fingerprint of its name.
    pub id: Fingerprint,
    /// What it is.
    pub finding: Finding,
    /// When it was found, in milliseconds since the epoch.
    pub at: u64,
}

impl Watch {
    #[must_use]
    pub(in crate::authority) fn new(thresholds: Thresholds, key: FilterKey) -> Self {
        let shards = std::array::from_fn(|_| Mutex::new(Traces(Cache::new(MAX_TRACES / SHARDS))));
        Self {
            thresholds,
            key,
            shards,
        }
    }

    /// Takes in what edges have seen, and says what looks stolen: each kind at most once an hour of
    /// a session.
    #[must_use]
    pub(in crate::authority) fn look(&self, seen: &[Observation], now: u64) -> Vec<Suspect> {
        let found = seen.iter().flat_map(|observation| {
            let id = observation.name.fingerprint(&self.key, &observation.issuer);
            let findings = self.observe(id, observation, now).into_iter();
            findings.map(move |finding| Suspect {
                issuer: observation.issuer.clone(),
                subject: observation.subject.clone(),
                name: observation.name.clone(),
                id,
                finding,
                at: now,
            })
        });
        found.collect()
    }

    fn observe(&self, id: Fingerprint, observation: &Observation, now: u64) -> Vec<Finding> {
        let subject = observation.subject.as_deref().unwrap_or_default();
        let subject = self
            .key
            .fingerprint(Kind::Subject, &observation.issuer, subject);
        let key = u128::from_be_bytes(id.0) ^ u128::from_be_bytes(subject.0);
        let shard = self.shards.get((key % SHARDS as u128) as usize);
        let Some(shard) = shard else {
            return Vec::new();
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let traces = &mut shard.0;
        if let Some(mut trace) = traces.get_mut(&key) {
            return trace.observe(observation, &self.thresholds, now);
        }
        let mut trace = Trace::default();
        let findings = trace.observe(observation, &self.thresholds, now);
        traces.insert(key, trace);
        findings
    }
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Traces({})", self.0.len())
    }
}
