//! Some of the subjects, with all of their sessions.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hasher as _;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

mod changes;
mod ends;
mod search;

use super::super::registry::{Counts, ENDED_KEPT, IsRevoked, Limits, MAX_SESSIONS_OF_SUBJECT};
use super::super::session::{Observation, Session, Suspicion};
use super::list::{List, Which};
use super::minutes::Minutes;
use super::record::{Place, Record};
use super::slab::Slab;
use super::texts::Texts;
use crate::identity_hash::Identity;
use crate::revocation::{FilterKey, Fingerprint};
use crate::time::UnixTime;

/// Sessions, and what they are found by.
#[derive(Debug)]
pub(super) struct Shard {
    key: FilterKey,
    slab: Slab,
    texts: Texts,
    /// Numbers of records, by the record's fingerprint.
    ids: HashTable<u32>,
    /// By the subject's fingerprint.
    subjects: HashTable<Subject>,
    live: Minutes,
    ended: Minutes,
    /// How many subjects there are whose last session was last seen in a minute.
    subject_minutes: BTreeMap<u32, u32>,
    suspicions: HashMap<u32, Suspicion>,
    /// Numbers of records that the next snapshot is to have.
    changed: Vec<u32>,
    /// Rows of the last snapshots that are not needed any more.
    dropped: Vec<u64>,
}

/// The sessions of a subject: live ones first, those that were seen last before the others.
#[derive(Clone, Copy, Debug, Default)]
struct Subject {
    list: List,
    /// When it was last seen; 0 when no session is live.
    minute: u32,
}

/// A session that was reported.
#[derive(Debug)]
pub(super) struct Merged {
    pub(super) session: Session,
    pub(super) is_new: bool,
    /// Whether another one had to go, as its subject had too many.
    pub(super) has_displaced: bool,
}

impl Shard {
    pub(super) fn new(key: FilterKey) -> Self {
        Self {
            key,
            slab: Slab::default(),
            texts: Texts::default(),
            ids: HashTable::new(),
            subjects: HashTable::new(),
            live: Minutes::default(),
            ended: Minutes::default(),
            subject_minutes: BTreeMap::new(),
            suspicions: HashMap::new(),
            changed: Vec::new(),
            dropped: Vec::new(),
        }
    }

    /// How many sessions there are.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Takes in what was seen of a session; `None` when there is no number left for a new one.
    pub(super) fn report(
        &mut self,
        id: Fingerprint,
        observation: &Observation,
        is_revoked: IsRevoked<'_>,
    ) -> Option<Merged> {
        if let Some(slot) = self.find(id, observation.subject.as_deref()) {
            let mut session = self.session(slot)?;
            session.merge(observation, is_revoked);
            self.update(slot, &session);
            return Some(Merged {
                session,
                is_new: false,
                has_displaced: false,
            });
        }
        let session = Session::begin(id, observation);
        let (slot, displaced) = self.insert(&session)?;
        self.note(slot);
        Some(Merged {
            session,
            is_new: true,
            has_displaced: displaced.is_some(),
        })
    }

    /// Puts a session that is not there. Returns its number, and that of the one of its subject that had
    /// to go, which may be the same.
    fn insert(&mut self, session: &Session) -> Option<(u32, Option<u32>)> {
        let record = Record::new(session, &mut self.texts);
        let place = record.place();
        let slot = self.slab.insert(record)?;
        let slab = &self.slab;
        let hash_of = |slot: &u32| slab.get(*slot).map_or(0, |record| hash(record.id));
        self.ids.insert_unique(hash(session.id), slot, hash_of);
        if let Some(suspicion) = &session.suspicion {
            self.suspicions.insert(slot, suspicion.clone());
        }
        self.file(slot, place);
        let displaced = self.join(slot);
        Some((slot, displaced))
    }

    /// Files a record in the list of its minute.
    fn file(&mut self, slot: u32, place: Place) {
        match place {
            Place::Live(minute) => self.live.insert(&mut self.slab, minute, slot),
            Place::Ended(minute) => self.ended.insert(&mut self.slab, minute, slot),
        }
    }

    fn unfile(&mut self, slot: u32, place: Place) {
        match place {
            Place::Live(minute) => self.live.remove(&mut self.slab, minute, slot),
            Place::Ended(minute) => self.ended.remove(&mut self.slab, minute, slot),
        }
    }

    /// Adds a record to those of its subject, which has to let one go if it has too many. Returns that.
    fn join(&mut self, slot: u32) -> Option<u32> {
        let mut displaced = None;
        self.with_subject(slot, |list, slab| {
            push(list, slab, slot);
            if list.count() as usize > MAX_SESSIONS_OF_SUBJECT {
                displaced = list.last();
            }
        });
        displaced.filter(|slot| self.remove(*slot).is_some())
    }

    /// Moves a record within the list of its subject.
    fn rejoin(&mut self, slot: u32) {
        self.with_subject(slot, |list, slab| {
            list.remove(slab, Which::Subject, slot);
            push(list, slab, slot);
        });
    }

    /// Changes the list of a record's subject, if it has a subject.
    fn with_subject(&mut self, slot: u32, change: impl FnOnce(&mut List, &mut Slab)) {
        let Self {
            key,
            slab,
            texts,
            subjects,
            subject_minutes,
            ..
        } = self;
        let Some(record) = slab.get(slot).filter(|record| record.subject().is_some()) else {
            return;
        };
        let owner = record.owner(key, texts);
        let owner_of = |subject: &Subject| {
            let first = subject.list.first().and_then(|first| slab.get(first));
            first.map(|first| first.owner(key, texts))
        };
        let entry = subjects.entry(
            hash(owner),
            |subject| owner_of(subject) == Some(owner),
            |subject| owner_of(subject).map_or(0, hash),
        );
        let mut subject = match &entry {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(_) => Subject::default(),
        };
        let before = subject.minute;
        change(&mut subject.list, slab);
        let first = subject.list.first().and_then(|first| slab.get(first));
        subject.minute = match first.map(Record::place) {
            Some(Place::Live(minute)) => minute,
            Some(Place::Ended(_)) | None => 0,
        };
        recount(subject_minutes, before, subject.minute);
        match entry {
            Entry::Occupied(entry) if first.is_none() => {
                entry.remove();
            }
            Entry::Occupied(mut entry) => *entry.get_mut() = subject,
            Entry::Vacant(entry) => {
                entry.insert(subject);
            }
        }
    }

    fn update(&mut self, slot: u32, session: &Session) {
        let Some(record) = self.slab.get_mut(slot) else {
            return;
        };
        let before = record.place();
        record.update(session, &mut self.texts);
        let after = record.place();
        if record.is_stale() || before.is_live() != after.is_live() {
            self.note(slot);
        }
        if before != after {
            self.unfile(slot, before);
            self.file(slot, after);
            self.rejoin(slot);
        }
    }

    /// Drops a record, and returns its session.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Session> {
        let session = self.session(slot);
        let record = self.slab.get(slot)?;
        let (id, place) = (record.id, record.place());
        self.with_subject(slot, |list, slab| list.remove(slab, Which::Subject, slot));
        self.unfile(slot, place);
        if let Ok(entry) = self.ids.find_entry(hash(id), |other| *other == slot) {
            entry.remove();
        }
        self.suspicions.remove(&slot);
        let record = self.slab.remove(slot)?;
        record.put_back(&mut self.texts);
        if record.row > 0 {
            self.dropped.push(record.row);
        }
        session
    }

    /// The number of a session of this subject.
    pub(super) fn find(&self, id: Fingerprint, subject: Option<&str>) -> Option<u32> {
        let is_it = |record: &Record| record.id == id && record.subject() == subject;
        let found = self
            .ids
            .find(hash(id), |slot| self.slab.get(*slot).is_some_and(is_it));
        found.copied()
    }

    /// A session.
    pub(super) fn session(&self, slot: u32) -> Option<Session> {
        let session = self.slab.get(slot)?.session(&self.texts)?;
        Some(Session {
            suspicion: self.suspicions.get(&slot).cloned(),
            ..session
        })
    }

    /// The sessions of a subject, with their numbers.
    pub(super) fn of_subject(&self, owner: Fingerprint) -> Vec<(u32, Session)> {
        let Some(subject) = self.subject(owner) else {
            return Vec::new();
        };
        let records = subject.list.iter(&self.slab, Which::Subject);
        records
            .filter_map(|(slot, _)| Some((slot, self.session(slot)?)))
            .collect()
    }

    fn subject(&self, owner: Fingerprint) -> Option<&Subject> {
        self.subjects.find(hash(owner), |subject| {
            let first = subject.list.first().and_then(|slot| self.slab.get(slot));
            first.is_some_and(|first| first.owner(&self.key, &self.texts) == owner)
        })
    }

    /// Remembers what looks stolen about a session.
    pub(super) fn suspect(&mut self, slot: u32, suspicion: Suspicion) {
        self.suspicions.insert(slot, suspicion);
        self.note(slot);
    }

    /// The record to drop first, and how urgent that is: those that have ended go first, then tokens
    /// without `sid`, of each those that were not seen for longest. There is a new one of those with every
    /// token of a service, and a session policy leaves them alone.
    pub(super) fn first_to_go(&self) -> Option<(Rank, u32)> {
        let ended = self.ended.first();
        let ended = ended.map(|(minute, slot)| (Rank::Ended(minute), slot));
        let token = || self.live.first_token();
        let token = || token().map(|(minute, slot)| (Rank::Token(minute), slot));
        let live = || self.live.first();
        let live = || live().map(|(minute, slot)| (Rank::Live(minute), slot));
        ended.or_else(token).or_else(live)
    }

    /// Drops what is past its time, at most `limit` sessions. Returns how many it dropped.
    pub(super) fn sweep(&mut self, now: UnixTime, limits: &Limits, limit: usize) -> usize {
        let last_minute = |kept: u64| minute_of_seconds(now.seconds().saturating_sub(kept));
        let past_live = last_minute(limits.retention.as_secs());
        let past_ended = last_minute(ENDED_KEPT.as_secs());
        let mut dropped = 0;
        while dropped < limit {
            let is_past =
                |first: Option<(u32, u32)>, past: u32| first.filter(|(minute, _)| *minute < past);
            let next = is_past(self.ended.first(), past_ended)
                .or_else(|| is_past(self.live.first(), past_live));
            let Some((_, slot)) = next else {
                break;
            };
            if self.remove(slot).is_none() {
                break;
            }
            dropped += 1;
        }
        dropped
    }

    /// Adds its sessions to the counts.
    pub(super) fn count(&self, now: UnixTime, counts: &mut Counts) {
        counts.sessions += self.len() as u64;
        let windows = Counts::WINDOWS.iter();
        let active = counts.active_sessions.iter_mut();
        let active = active.zip(&mut counts.active_subjects);
        for (window, (sessions, subjects)) in windows.zip(active) {
            let since = now.seconds().saturating_sub(window.as_secs());
            let minute = minute_of_seconds(since);
            *sessions += self.live.count_from(minute);
            let of_minutes = self.subject_minutes.range(minute.max(1)..);
            *subjects += of_minutes.map(|(_, count)| u64::from(*count)).sum::<u64>();
        }
    }
}

/// How soon a session has to go for want of room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// It ended in this minute.
    Ended(u32),
    /// It is a token without `sid`, and was last seen in this minute.
    Token(u32),
    /// It was last seen in this minute.
    Live(u32),
}

/// Puts a record where it belongs in the list of its subject. Nearly always that is one of its ends.
fn push(list: &mut List, slab: &mut Slab, slot: u32) {
    let rank = |record: &Record| record.is_live().then(|| record.last_seen());
    let Some(own) = slab.get(slot).map(rank) else {
        return;
    };
    let first = list.first().and_then(|first| slab.get(first)).map(rank);
    if own.is_some() && first.is_none_or(|first| first <= own) {
        return list.push_first(slab, Which::Subject, slot);
    }
    let previous = list
        .iter_back(slab, Which::Subject)
        .find(|(_, other)| rank(other) >= own)
        .map(|(previous, _)| previous);
    match previous {
        Some(previous) => list.insert_after(slab, Which::Subject, previous, slot),
        None => list.push_last(slab, Which::Subject, slot),
    }
}

fn recount(minutes: &mut BTreeMap<u32, u32>, before: u32, after: u32) {
    if before == after {
        return;
    }
    if let Some(count) = minutes.get_mut(&before) {
        *count -= 1;
        if *count == 0 {
            minutes.remove(&before);
        }
    }
    if after > 0 {
        *minutes.entry(after).or_default() += 1;
    }
}

/// Half of a fingerprint, which is a hash already.
fn hash(name: Fingerprint) -> u64 {
    let mut hasher = Identity::default();
    hasher.write_u128(u128::from_le_bytes(name.0));
    hasher.finish()
}

fn minute_of(time: UnixTime) -> u32 {
    minute_of_seconds(time.seconds())
}

fn minute_of_seconds(seconds: u64) -> u32 {
    u32::try_from(seconds / 60).unwrap_or(u32::MAX)
}
