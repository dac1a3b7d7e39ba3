//! The edges that other authorities see, as far as they have said so.
//!
//! An edge polls now this authority and now another one. So each says which edges it sees, and an edge is as
//! far as the one says that has heard of it last, or of the later position.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Edge, Edges, Key, Position, Who};
use crate::time::milliseconds;

/// A poll that another authority has said to be open, and has not confirmed for this long, may be over.
const CONFIRMED: Duration = Duration::from_secs(3);

/// More than any authority has.
const LANES: u32 = 1 << 20;

/// An edge, as authorities tell each other of it. Times are so many milliseconds ago.
#[derive(Debug, Deserialize, Serialize)]
struct Said {
    /// The name of the credential.
    caller: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    process: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lane: Option<u32>,
    address: IpAddr,
    instance: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<(u64, u64)>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    generation: Option<u64>,
    polling: bool,
    level: bool,
    since: u64,
    seen: u64,
    last_level: u64,
}

impl Edges {
    /// The edges that this authority sees, for others.
    pub(super) fn said(&self, now: Instant) -> Vec<u8> {
        let edges = self.known.iter();
        let said: Vec<_> = edges.map(|(key, edge)| Said::of(key, edge, now)).collect();
        // Numbers and strings can be written.
        serde_json::to_vec(&said).unwrap_or_default()
    }

    /// Notes which edges others see: for each authority, how long ago it has said so, and what. What cannot
    /// be read, since another version has written it, is left out.
    pub(super) fn hear(&mut self, others: Vec<(Duration, Vec<u8>)>, now: Instant) {
        self.others.clear();
        for (index, (age, content)) in (1_u32..).zip(others) {
            let said: Vec<Said> = serde_json::from_slice(&content).unwrap_or_default();
            for (key, edge) in said.into_iter().map(|said| said.read(index, age, now)) {
                merge(&mut self.others, key, edge, now);
            }
        }
    }

    /// All edges that any authority sees.
    pub(super) fn all(&self, now: Instant) -> Cow<'_, BTreeMap<Key, Edge>> {
        if self.others.is_empty() {
            return Cow::Borrowed(&self.known);
        }
        let mut all = self.known.clone();
        for (key, edge) in &self.others {
            merge(&mut all, key.clone(), edge.clone(), now);
        }
        Cow::Owned(all)
    }
}

fn merge(edges: &mut BTreeMap<Key, Edge>, key: Key, other: Edge, now: Instant) {
    let Some(edge) = edges.get_mut(&key) else {
        edges.insert(key, other);
        return;
    };
    let level = edge.level.max(other.level);
    let position = later(edge.position, other.position);
    if other.silent_for(now) < edge.silent_for(now) {
        *edge = other;
    }
    edge.level = level;
    edge.position = position;
}

/// Of two positions of an edge, which never goes back in an epoch. Epochs have increasing numbers.
fn later(one: Option<Position>, other: Option<Position>) -> Option<Position> {
    let order = |position: &Position| (position.epoch, position.sequence);
    one.into_iter().chain(other).max_by_key(order)
}

impl Said {
    fn of(key: &Key, edge: &Edge, now: Instant) -> Self {
        let ago = |at: Instant| milliseconds(now.saturating_duration_since(at));
        let (process, lane) = match key.who {
            Who::Process(process) => (Some(process), None),
            Who::Lane(_, lane) => (None, Some(lane)),
        };
        Self {
            caller: key.credential.to_string(),
            process,
            lane,
            address: edge.address,
            instance: edge.instance.clone(),
            version: edge.version.clone(),
            position: edge.position.map(|at| (at.epoch, at.sequence)),
            generation: edge.generation,
            polling: edge.is_polling(),
            level: edge.is_level,
            since: ago(edge.since),
            seen: ago(edge.seen),
            last_level: ago(edge.level),
        }
    }

    /// What authority `index` has said. Each counts lanes by itself, so no lane of one is a lane of another.
    fn read(self, index: u32, age: Duration, now: Instant) -> (Key, Edge) {
        let at = |milliseconds: u64| {
            let ago = Duration::from_millis(milliseconds).saturating_add(age);
            now.checked_sub(ago).unwrap_or(now)
        };
        let who = match (self.process, self.lane) {
            (Some(process), _) => Who::Process(process),
            (None, lane) => {
                let lane = lane.unwrap_or_default();
                Who::Lane(
                    self.address,
                    lane.saturating_add(index.saturating_mul(LANES)),
                )
            }
        };
        let key = Key {
            credential: self.caller.into(),
            who,
        };
        let is_open = self.polling && age < CONFIRMED;
        let edge = Edge {
            address: self.address,
            instance: self.instance,
            version: self.version,
            since: at(self.since),
            position: self
                .position
                .map(|(epoch, sequence)| Position { epoch, sequence }),
            answered: None,
            generation: self.generation,
            open: u32::from(is_open),
            // It was polling when that was said.
            seen: at(if self.polling { 0 } else { self.seen }),
            is_level: self.level && is_open,
            level: at(if self.level { 0 } else { self.last_level }),
        };
        (key, edge)
    }
}
