//! The engine for one authority: sessions in memory.
//!
//! # How much memory?
//!
//! About 330 bytes for a session with a UUID as its name and as its subject's, seen from one network:
//! a million sessions in a third of a gigabyte. `./build.sh bench sessions` measures it. A record has
//! 136 bytes with its fingerprint, its times and its links; the names are one piece of text; issuers,
//! clients and kinds of client are numbers; a sighting has 36 bytes; the two tables, by session and by
//! subject, hold numbers of records and compare with the records themselves.
//!
//! # Why are shards divided by subject?
//!
//! Then what concerns a subject is done under one lock: listing its sessions, ending them, counting
//! them, and keeping them in order. A report names the subject, and so does a user who asks for a session
//! of his own. Only a revocation by `sid` or `jti` does not, and looks into every shard: 64 look-ups,
//! three microseconds.
//!
//! # How is the longest idle session found?
//!
//! By the minute in which it was last seen. Every minute that has any sessions has a list of them, and
//! a report moves a session to another list at most once in a minute, by its links. An order to the
//! second would move it with every report, and serve no purpose.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cursor::{cursor, cursor_text, position, position_of};
use super::displaced::{Displaced, Lost};
use super::registry::{
    Counts, Filter, IsRevoked, Limits, Mark, Page, Registry, RegistryError, Reported, Told,
};
use super::session::{Observation, Owned, Session, Suspicion};
use super::snapshots::Changes;
use crate::revocation::{FilterKey, Fingerprint, Kind};
use crate::time::UnixTime;

mod list;
mod minutes;
mod record;
mod shard;
mod slab;
mod texts;

use shard::Shard;

/// A lock is held for one report, and for a millisecond when the table of a shard grows.
const SHARDS: usize = 64;

/// Records examined under one lock.
const EXAMINED: usize = 1_024;

/// Sessions in memory.
pub(in crate::authority) struct Memory {
    shards: Box<[Mutex<Shard>]>,
    key: FilterKey,
    limits: Limits,
    heard_since: UnixTime,
    count: AtomicUsize,
    displaced: Displaced,
    /// While a snapshot is loaded, it is not known which sessions there are.
    is_loading: AtomicBool,
    /// Number of the next row in a snapshot.
    next_row: AtomicU64,
}

impl Memory {
    /// No sessions yet.
    #[must_use]
    pub(in crate::authority) fn new(key: FilterKey, limits: Limits, now: UnixTime) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Shard::new(key))).collect(),
            key,
            limits,
            heard_since: now,
            count: AtomicUsize::new(0),
            displaced: Displaced::default(),
            is_loading: AtomicBool::new(false),
            next_row: AtomicU64::new(1),
        }
    }

    /// Sessions of a snapshot will be loaded; until they are, nothing is told of any.
    pub(super) fn begin_loading(&self) {
        self.is_loading.store(true, Ordering::Relaxed);
    }

    /// Takes in a session of a snapshot, with the number of its row.
    pub(super) fn load(&self, row: u64, session: &Session) {
        let owner = self.owner(&Owned {
            issuer: &session.issuer,
            subject: session.subject.as_deref(),
            id: session.id,
        });
        let more = self.shard(owner).map(|mut shard| shard.load(row, session));
        self.count
            .fetch_add(more.unwrap_or_default(), Ordering::Relaxed);
        self.next_row.fetch_max(next_row(row), Ordering::Relaxed);
        // The file may be of a time in which there could be more.
        self.make_room();
    }

    /// Has the next snapshot remove a row that cannot be read.
    pub(super) fn drop_row(&self, row: u64) {
        if let Some(shard) = self.shards.first() {
            lock(shard).drop_row(row);
        }
        self.next_row.fetch_max(next_row(row), Ordering::Relaxed);
    }

    /// All of a snapshot is loaded.
    pub(super) fn end_loading(&self) {
        self.is_loading.store(false, Ordering::Relaxed);
    }

    /// Takes what the next snapshot is to write, at most `limit` sessions and as many rows to remove. Only
    /// the thread that writes snapshots asks for it.
    pub(super) fn take_changes(&self, limit: usize) -> Changes {
        let mut changes = Changes::default();
        let mut row = self.next_row.load(Ordering::Relaxed);
        for shard in &self.shards {
            lock(shard).take_changes(limit, &mut row, &mut changes);
        }
        self.next_row.store(row, Ordering::Relaxed);
        changes
    }

    /// Has the next snapshots write every session that was used since it was last written.
    pub(super) fn note_all(&self) {
        for shard in &self.shards {
            lock(shard).note_all();
        }
    }

    fn expect_loaded(&self) -> Result<(), RegistryError> {
        if self.is_loading.load(Ordering::Relaxed) {
            return Err(RegistryError::Away);
        }
        Ok(())
    }

    fn owner(&self, owned: &Owned<'_>) -> Fingerprint {
        owned.subject.map_or(owned.id, |subject| {
            self.key.fingerprint(Kind::Subject, owned.issuer, subject)
        })
    }

    fn shard(&self, owner: Fingerprint) -> Option<MutexGuard<'_, Shard>> {
        // Bytes that the tables do not use.
        let [.., byte] = owner.0;
        self.shards.get(usize::from(byte) % SHARDS).map(lock)
    }

    fn merge(&self, observation: &Observation, is_revoked: IsRevoked<'_>) -> Option<Reported> {
        let id = observation.name.fingerprint(&self.key, &observation.issuer);
        let owner = self.owner(&Owned {
            issuer: &observation.issuer,
            subject: observation.subject.as_deref(),
            id,
        });
        let merged = self.shard(owner)?.report(id, observation, is_revoked)?;
        if merged.is_new && !merged.has_displaced {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        if merged.has_displaced {
            self.displaced.of_subject(1);
        }
        Some(Reported {
            session: merged.session,
            is_new: merged.is_new,
        })
    }

    /// Drops sessions until there are no more than there may be.
    fn make_room(&self) {
        while self.count.load(Ordering::Relaxed) > self.limits.max_sessions {
            let shards = self.shards.iter();
            let first = shards.min_by_key(|shard| {
                let first = lock(shard).first_to_go().map(|(rank, _)| rank);
                (first.is_none(), first)
            });
            let Some(mut shard) = first.map(lock) else {
                return;
            };
            let first = shard.first_to_go();
            let Some(dropped) = first.and_then(|(_, slot)| shard.remove(slot)) else {
                return;
            };
            self.count.fetch_sub(1, Ordering::Relaxed);
            self.displaced.for_room(&dropped);
        }
    }

    /// All sessions of a subject that a filter lets through, in the order of their numbers.
    fn search_subject(&self, owner: Fingerprint, filter: &Filter) -> Vec<(u32, Session)> {
        let sessions = self.shard(owner).map(|shard| shard.of_subject(owner));
        let mut sessions = sessions.unwrap_or_default();
        sessions.retain(|(_, session)| filter.matches(session));
        sessions.sort_unstable_by_key(|(slot, _)| *slot);
        sessions
    }
}

impl Registry for Memory {
    fn report(
        &self,
        observations: &[Observation],
        _: UnixTime,
        told: Told,
        is_revoked: IsRevoked<'_>,
    ) -> Result<Vec<Reported>, RegistryError> {
        let merged = observations
            .iter()
            .filter_map(|seen| self.merge(seen, is_revoked));
        let reported = merged.filter(|reported| told == Told::All || reported.is_new);
        let reported = reported.collect();
        self.make_room();
        Ok(reported)
    }

    fn of_subject(
        &self,
        issuer: &str,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        self.expect_loaded()?;
        let after = after.map(position_of).transpose()?;
        let owner = self.key.fingerprint(Kind::Subject, issuer, subject);
        let sessions = self.shard(owner).map(|shard| shard.of_subject(owner));
        let sessions = sessions.unwrap_or_default().into_iter();
        let mut sessions: Vec<Session> = sessions
            .map(|(_, session)| session)
            .filter(Session::is_live)
            .filter(|session| after.is_none_or(|after| position(session) > after))
            .collect();
        sessions.sort_unstable_by_key(position);
        let is_more = sessions.len() > limit;
        sessions.truncate(limit);
        let next = sessions.last().filter(|_| is_more);
        let next = next.map(|last| cursor_text(&position(last)));
        Ok(Page { sessions, next })
    }

    fn get(&self, owned: Owned<'_>) -> Result<Option<Session>, RegistryError> {
        self.expect_loaded()?;
        let Some(shard) = self.shard(self.owner(&owned)) else {
            return Ok(None);
        };
        let slot = shard.find(owned.id, owned.subject);
        let session = slot.and_then(|slot| shard.session(slot));
        Ok(session.filter(|session| *session.issuer == *owned.issuer))
    }

    fn last_seen_between(
        &self,
        from: UnixTime,
        to: UnixTime,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        self.expect_loaded()?;
        let after = after.map(numbers::<3>).transpose()?;
        let [first, minute, slot] = after.unwrap_or_default();
        let mut after = after.map(|_| (minute, slot));
        let mut page = Page::default();
        for (number, shard) in (0_u32..).zip(&self.shards).skip(first as usize) {
            let left = limit - page.sessions.len();
            let found = lock(shard).last_seen_between((from, to), after.take(), left);
            let last = found
                .last()
                .map(|(minute, slot, _)| [number, *minute, *slot]);
            let sessions = found.into_iter().map(|(_, _, session)| session);
            page.sessions.extend(sessions);
            if page.sessions.len() >= limit {
                page.next = last.map(|last| cursor_text(&last.map(u64::from)));
                break;
            }
        }
        Ok(page)
    }

    fn search(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError> {
        self.expect_loaded()?;
        let after = after.map(numbers::<2>).transpose()?;
        let [mut number, mut slot] = after.unwrap_or_default();
        if number as usize >= self.shards.len() {
            return Err(RegistryError::Cursor);
        }
        let mut found = Vec::new();
        if let (Some(issuer), Some(subject)) = (&filter.issuer, &filter.subject) {
            let owner = self.key.fingerprint(Kind::Subject, issuer, subject);
            let mut sessions = self.search_subject(owner, filter);
            sessions.retain(|(other, _)| *other >= slot);
            let next = sessions.get(limit).map(|(slot, _)| [0, *slot]);
            sessions.truncate(limit);
            return Ok(page(sessions, next));
        }
        while let Some(shard) = self.shards.get(number as usize) {
            let is_wanted = |session: &Session| filter.matches(session);
            let next = lock(shard).search(slot, EXAMINED, is_wanted, &mut found, limit);
            (number, slot) = next.map_or((number + 1, 0), |next| (number, next));
            if found.len() >= limit {
                break;
            }
        }
        let is_more = (number as usize) < self.shards.len();
        Ok(page(found, is_more.then_some([number, slot])))
    }

    fn named(&self, id: Fingerprint, limit: usize) -> Result<Vec<Session>, RegistryError> {
        self.expect_loaded()?;
        let mut sessions = Vec::new();
        for shard in &self.shards {
            lock(shard).named(id, &mut sessions, limit);
        }
        Ok(sessions)
    }

    fn mark(&self, marks: &[Mark]) -> Result<Vec<Session>, RegistryError> {
        let mut ended = Vec::new();
        let mut others = HashMap::new();
        for mark in marks {
            match mark.kind {
                Kind::Token | Kind::Session => {
                    for shard in &self.shards {
                        lock(shard).end_named(mark, &mut ended);
                    }
                }
                Kind::Subject => {
                    if let Some(mut shard) = self.shard(mark.name) {
                        shard.end_of_subject(mark, &mut ended);
                    }
                }
                Kind::Device | Kind::Client | Kind::Issuer | Kind::SubjectAndClient => {
                    others.insert(mark.name, *mark);
                }
                // Nothing here knows which claims its sessions have. They end for their next request.
                Kind::Claim => {}
            }
        }
        if !others.is_empty() {
            for shard in &self.shards {
                let mut next = Some(0);
                while let Some(first) = next {
                    next = lock(shard).end_matching(&others, first, EXAMINED, &mut ended);
                }
            }
        }
        Ok(ended)
    }

    fn suspect(&self, owned: Owned<'_>, suspicion: Suspicion) -> Result<(), RegistryError> {
        if let Some(mut shard) = self.shard(self.owner(&owned))
            && let Some(slot) = shard.find(owned.id, owned.subject)
        {
            shard.suspect(slot, suspicion);
        }
        Ok(())
    }

    fn sweep(&self, now: UnixTime) -> Result<(), RegistryError> {
        for shard in &self.shards {
            loop {
                let dropped = lock(shard).sweep(now, &self.limits, EXAMINED);
                self.count.fetch_sub(dropped, Ordering::Relaxed);
                if dropped < EXAMINED {
                    break;
                }
            }
        }
        Ok(())
    }

    fn counts(&self, now: UnixTime) -> Result<Counts, RegistryError> {
        let mut counts = Counts {
            displaced: self.displaced.total(),
            ..Counts::default()
        };
        for shard in &self.shards {
            lock(shard).count(now, &mut counts);
        }
        Ok(counts)
    }

    fn lost(&self) -> Lost {
        self.displaced.lost()
    }

    fn heard_since(&self) -> UnixTime {
        self.heard_since
    }
}

impl std::fmt::Debug for Memory {
    /// Without the sessions.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Memory")
            .field("limits", &self.limits)
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

/// The number after this one, as far as numbers go: a file that was changed may have any.
fn next_row(row: u64) -> u64 {
    row.saturating_add(1).min(1 << 62)
}

// A thread that panicked while it held a lock has left at worst one session half changed, of which
// nothing follows for any token.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn page(sessions: Vec<(u32, Session)>, next: Option<[u32; 2]>) -> Page {
    Page {
        sessions: sessions.into_iter().map(|(_, session)| session).collect(),
        next: next.map(|next| cursor_text(&next.map(u64::from))),
    }
}

fn numbers<const N: usize>(text: &str) -> Result<[u32; N], RegistryError> {
    let mut numbers = [0; N];
    for (to, from) in numbers.iter_mut().zip(cursor::<N>(text)?) {
        *to = u32::try_from(from).map_err(|_| RegistryError::Cursor)?;
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests;
