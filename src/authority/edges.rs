//! Which edges there are, and how far each of them has come.
//!
//! An edge polls for what comes after the last change that it has, so each poll says how far it is. What
//! an answer has brought it counts only when it polls again: the answer may have been lost, or its process
//! may have been stopped.
//!
//! # How is one edge told from another?
//!
//! By its credential and the random number of its process ([`Introduction`]), which every leader of the
//! process sends. Edges of before that header have only credential and address, which a hundred of them
//! may share. So of these, each *lane* counts as an edge: an answer takes one of them to some position,
//! and its next poll starts there. When two are at the same position it does not matter which is which.
//!
//! # When is an edge gone?
//!
//! The authority cannot tell an edge that has been stopped for good from one that the network keeps away,
//! and the second may let revoked tokens pass. So each counts for [`LATELY`] after its last poll, is listed
//! for [`REMEMBERED`], and is known as the same again when it polls. There are [`MOST_EDGES`] at most. Where
//! one of those that count has to make room for another, it is not known of all edges how far they are,
//! and [`Reach`] says so.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::revocation::wire::Introduction;

mod others;
mod watch;

pub(super) use watch::EdgeWatch;

/// An edge that has not polled for this long does not count.
pub(super) const LATELY: Duration = Duration::from_mins(1);

/// An edge that has not polled for this long is forgotten.
const REMEMBERED: Duration = Duration::from_mins(15);

/// The limit of connections.
pub(super) const MOST_EDGES: usize = 10_000;

/// How often those that are to be forgotten are looked for.
const SWEPT_EVERY: Duration = Duration::from_secs(10);

/// Every change makes all edges be behind for some milliseconds.
const LATE: Duration = Duration::from_secs(1);

/// How long an edge that was there before may need to come back to an authority that was started again:
/// its longest pause, and a call that is lost.
pub(super) const COMES_BACK: Duration = Duration::from_secs(15);

/// A point in the history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) epoch: u64,
    pub(super) sequence: u64,
}

/// A poll, as far as it tells of the edge.
#[derive(Clone, Debug)]
pub(super) struct Sight {
    /// The name of the credential.
    pub(super) credential: Arc<str>,
    /// Where the connection comes from.
    pub(super) address: IpAddr,
    /// What the edge says of itself, and the version of its module.
    pub(super) introduction: Option<(Introduction, String)>,
    /// Where it polls from.
    pub(super) position: Position,
}

/// Names an edge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    credential: Arc<str>,
    who: Who,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Who {
    /// The random number of the process.
    Process(u64),
    /// One of those without a number.
    Lane(IpAddr, u32),
}

/// What is known of the edges.
#[derive(Debug)]
pub(super) struct Edges {
    known: BTreeMap<Key, Edge>,
    /// Those that other authorities see.
    others: BTreeMap<Key, Edge>,
    most: usize,
    began: Instant,
    swept: Instant,
    /// Those that had to make room for others.
    displaced: u64,
    /// When one that counted had to.
    displaced_lately: Option<Instant>,
}

#[derive(Clone, Debug)]
struct Edge {
    address: IpAddr,
    instance: String,
    version: Option<String>,
    /// Since when it follows the feed.
    since: Instant,
    /// What it has, if anything that is in this history.
    position: Option<Position>,
    /// What the last answer has brought.
    answered: Option<Position>,
    generation: Option<u64>,
    /// Polls without an answer.
    open: u32,
    /// When its last poll came or ended.
    seen: Instant,
    /// Whether the open poll came when there was nothing more to have.
    is_level: bool,
    /// When it was last known to lack nothing.
    level: Instant,
}

/// An edge, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    /// What the operator calls it; empty where it has no name.
    pub(super) instance: String,
    /// The number of its process.
    pub(super) process: Option<u64>,
    /// Where its last poll came from.
    pub(super) address: IpAddr,
    /// The name of its credential.
    pub(super) credential: Arc<str>,
    /// The version of its module.
    pub(super) version: Option<String>,
    /// What it has.
    pub(super) position: Option<Position>,
    /// How many changes it lacks; `None` where it has none of this history.
    pub(super) lacks: Option<u64>,
    /// For how long it has lacked something.
    pub(super) late: Duration,
    /// The generation in use.
    pub(super) generation: Option<u64>,
    /// Whether it waits for an answer.
    pub(super) is_polling: bool,
    /// How long ago it was last heard.
    pub(super) seen_ago: Duration,
    /// For how long it has followed the feed.
    pub(super) age: Duration,
}

/// All edges that count, in figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// How many there are.
    pub(super) edges: usize,
    /// How many have lacked something for a second and longer.
    pub(super) behind: usize,
    /// How many changes the slowest lacks of this history.
    pub(super) most_changes: u64,
    /// For how long the slowest has lacked something.
    pub(super) longest: Duration,
    /// How many had to make room for others, ever.
    pub(super) displaced: u64,
}

/// How far one change has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// How many edges count.
    pub(super) edges: usize,
    /// Those of them that lack it, the ones that were silent longest first.
    pub(super) lacking: Vec<View>,
    /// Why there may be more edges than these.
    pub(super) unknown: Option<Unknown>,
}

/// Why it is not known of all edges how far they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    /// The authority has just been started, and an edge may not have come back yet.
    Started,
    /// There are more than are kept.
    TooMany,
}

impl Reach {
    /// Whether all edges that there may be have the change.
    pub(super) const fn is_whole(&self) -> bool {
        self.lacking.is_empty() && self.unknown.is_none()
    }
}

impl Edges {
    /// None yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            known: BTreeMap::new(),
            others: BTreeMap::new(),
            most: MOST_EDGES,
            began: now,
            swept: now,
            displaced: 0,
            displaced_lately: None,
        }
    }

    /// An edge polls, while the history has come to `head`. Gives the name for [`Edges::answered`].
    pub(super) fn ask(&mut self, sight: Sight, head: Position, now: Instant) -> Key {
        let key = self.key_of(&sight);
        if now.saturating_duration_since(self.swept) >= SWEPT_EVERY {
            self.forget(now);
        }
        if self.known.len() >= self.most && !self.known.contains_key(&key) {
            self.make_room(now);
        }
        let edge = self.known.entry(key.clone());
        let edge = edge.or_insert_with(|| Edge::new(sight.address, now));
        edge.open = edge.open.saturating_add(1);
        edge.seen = now;
        edge.address = sight.address;
        let mut is_in_use = true;
        if let Some((introduction, version)) = sight.introduction {
            let age = Duration::from_secs(introduction.age_seconds);
            edge.since = now.checked_sub(age).unwrap_or(edge.since);
            edge.instance = introduction.instance;
            edge.version = Some(version);
            is_in_use = introduction.generation.is_some();
            edge.generation = introduction.generation.or(edge.generation);
        }
        if is_in_use {
            edge.move_to(sight.position, head, now);
        }
        key
    }

    /// A poll was answered with everything up to `through`, or given up.
    pub(super) fn answered(&mut self, key: &Key, through: Option<Position>, now: Instant) {
        let Some(edge) = self.known.get_mut(key) else {
            return;
        };
        edge.open = edge.open.saturating_sub(1);
        edge.seen = now;
        edge.answered = through.or(edge.answered);
        if edge.is_level {
            edge.is_level = false;
            edge.level = now;
        }
    }

    /// All that are remembered, those that lack most first.
    pub(super) fn views(&self, head: Position, now: Instant) -> Vec<View> {
        let all = self.all(now);
        let edges = all.iter();
        let kept = edges.filter(|(_, edge)| edge.silent_for(now) < REMEMBERED);
        let mut views: Vec<_> = kept.map(|(key, edge)| edge.view(key, head, now)).collect();
        views.sort_by(View::slowest_first);
        views
    }

    /// The figures of those that count.
    pub(super) fn counts(&self, head: Position, now: Instant) -> Counts {
        let mut counts = Counts {
            displaced: self.displaced,
            ..Counts::default()
        };
        let all = self.all(now);
        for edge in all.values().filter(|edge| edge.silent_for(now) <= LATELY) {
            let late = edge.late(head, now);
            counts.edges += 1;
            counts.behind += usize::from(late >= LATE);
            counts.longest = counts.longest.max(late);
            let lacks = edge.lacks(head).unwrap_or_default();
            counts.most_changes = counts.most_changes.max(lacks);
        }
        counts
    }

    /// Which of the edges that counted at `begun` have come to this point of the history.
    pub(super) fn reach(&self, target: Position, begun: Instant, now: Instant) -> Reach {
        let counts = |edge: &Edge| edge.silent_for(begun) <= LATELY;
        let mut edges = 0;
        let mut lacking = Vec::new();
        let all = self.all(now);
        for (key, edge) in all.iter().filter(|(_, edge)| counts(edge)) {
            edges += 1;
            if edge.lacks(target) != Some(0) {
                lacking.push(edge.view(key, target, now));
            }
        }
        lacking.sort_by(View::slowest_first);
        Reach {
            edges,
            lacking,
            unknown: self.unknown(begun, now),
        }
    }

    fn unknown(&self, begun: Instant, now: Instant) -> Option<Unknown> {
        let displaced = self.displaced_lately;
        if displaced.is_some_and(|at| begun.saturating_duration_since(at) <= LATELY) {
            return Some(Unknown::TooMany);
        }
        let is_new = now.saturating_duration_since(self.began) < COMES_BACK;
        is_new.then_some(Unknown::Started)
    }

    fn key_of(&self, sight: &Sight) -> Key {
        let who = match &sight.introduction {
            Some((introduction, _)) => Who::Process(introduction.process),
            None => Who::Lane(sight.address, self.lane_of(sight)),
        };
        Key {
            credential: Arc::clone(&sight.credential),
            who,
        }
    }

    /// The lane of an edge without a number: one whose last answer has brought it here, or one that is
    /// where it was, since the answer was lost. Else a new one, unless there is only one, whose edge has
    /// loaded a generation.
    fn lane_of(&self, sight: &Sight) -> u32 {
        let lane = |lane| Key {
            credential: Arc::clone(&sight.credential),
            who: Who::Lane(sight.address, lane),
        };
        let lanes = self.known.range(lane(0)..=lane(u32::MAX));
        let lanes = lanes.filter_map(|(key, edge)| match key.who {
            Who::Lane(_, lane) => Some((lane, edge)),
            Who::Process(_) => None,
        });
        let (mut free, mut count, mut next) = (None, 0, 0);
        for (lane, edge) in lanes {
            count += 1;
            next = lane.saturating_add(1);
            let is_here = [edge.answered, edge.position].contains(&Some(sight.position));
            if edge.open == 0 && is_here && free.is_none_or(|(_, seen)| seen < edge.seen) {
                free = Some((lane, edge.seen));
            }
        }
        match free {
            Some((lane, _)) => lane,
            None if count == 1 && self.is_free(&lane(next - 1)) => next - 1,
            None => next,
        }
    }

    fn is_free(&self, key: &Key) -> bool {
        self.known.get(key).is_some_and(|edge| edge.open == 0)
    }

    fn forget(&mut self, now: Instant) {
        self.swept = now;
        self.known
            .retain(|_, edge| edge.silent_for(now) < REMEMBERED);
    }

    /// Drops the edge that has been silent longest.
    fn make_room(&mut self, now: Instant) {
        self.forget(now);
        if self.known.len() < self.most {
            return;
        }
        let edges = self.known.iter();
        let oldest = edges.min_by_key(|(_, edge)| (edge.open > 0, edge.seen));
        let Some(key) = oldest.map(|(key, _)| key.clone()) else {
            return;
        };
        self.displaced = self.displaced.saturating_add(1);
        let edge = self.known.remove(&key);
        if edge.is_some_and(|edge| edge.silent_for(now) <= LATELY) {
            self.displaced_lately = Some(now);
        }
    }
}

impl Edge {
    const fn new(address: IpAddr, now: Instant) -> Self {
        Self {
            address,
            instance: String::new(),
            version: None,
            since: now,
            position: None,
            answered: None,
            generation: None,
            open: 0,
            seen: now,
            is_level: false,
            level: now,
        }
    }

    /// It has everything up to a position, as it says. There may be no such position.
    fn move_to(&mut self, position: Position, head: Position, now: Instant) {
        let is_ahead = position.epoch == head.epoch && position.sequence > head.sequence;
        self.position = Some(position).filter(|_| !is_ahead);
        self.is_level = position == head;
        if self.is_level {
            self.level = now;
        }
    }

    const fn is_polling(&self) -> bool {
        self.open > 0
    }

    fn silent_for(&self, now: Instant) -> Duration {
        if self.is_polling() {
            Duration::ZERO
        } else {
            now.saturating_duration_since(self.seen)
        }
    }

    /// How many changes are missing up to a position; `None` where all may be.
    fn lacks(&self, target: Position) -> Option<u64> {
        let position = self.position?;
        (position.epoch == target.epoch).then(|| target.sequence.saturating_sub(position.sequence))
    }

    /// For how long it has lacked something. A change that was made while its poll was open is on its
    /// way.
    fn late(&self, head: Position, now: Instant) -> Duration {
        if self.is_level || self.lacks(head) == Some(0) {
            Duration::ZERO
        } else {
            now.saturating_duration_since(self.level)
        }
    }

    fn view(&self, key: &Key, head: Position, now: Instant) -> View {
        View {
            instance: self.instance.clone(),
            process: match key.who {
                Who::Process(process) => Some(process),
                Who::Lane(..) => None,
            },
            address: self.address,
            credential: Arc::clone(&key.credential),
            version: self.version.clone(),
            position: self.position,
            lacks: self.lacks(head),
            late: self.late(head, now),
            generation: self.generation,
            is_polling: self.is_polling(),
            seen_ago: self.silent_for(now),
            age: now.saturating_duration_since(self.since),
        }
    }
}

impl View {
    /// Those that lack everything, then those that lack most, then those that were silent longest.
    fn slowest_first(&self, other: &Self) -> std::cmp::Ordering {
        let order = |view: &Self| (view.lacks.unwrap_or(u64::MAX), view.seen_ago);
        order(other).cmp(&order(self))
    }
}

#[cfg(test)]
mod tests;
