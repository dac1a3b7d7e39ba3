//! The signals that were accepted and would still be good, in memory.

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{ReplayId, SOURCE_BYTES};
use crate::time::UnixTime;

/// A quarter of a gigabyte. Beyond these, the source with the most of them makes room for itself and the
/// others: so however much one sends, what others have sent is known again. Of that source, the ones that
/// would be refused for their age first are not known any more, which for a signal only matters where what
/// it revoked was restored.
const MOST: usize = 2_000_000;

/// What is good for no longer is known all the same: assertions of clients, which count once. So no
/// number of signals, which are good for days, pushes them out.
const SHORT_LIFE: Duration = Duration::from_hours(1);

/// What is known again.
#[derive(Debug)]
pub(super) struct Replays(Mutex<State>);

#[derive(Debug)]
struct State {
    most: usize,
    until: HashMap<ReplayId, UnixTime>,
    order: HashMap<Source, BTreeSet<(UnixTime, ReplayId)>>,
    /// Dropped for want of room.
    surplus: Vec<ReplayId>,
}

impl Default for Replays {
    fn default() -> Self {
        Self::of(MOST)
    }
}

impl Replays {
    /// With room for so many.
    pub(super) fn of(most: usize) -> Self {
        Self(Mutex::new(State {
            most,
            until: HashMap::new(),
            order: HashMap::new(),
            surplus: Vec::new(),
        }))
    }

    pub(super) fn contains(&self, id: &ReplayId) -> bool {
        self.lock().until.contains_key(id)
    }

    /// Until when it is known.
    pub(super) fn until(&self, id: &ReplayId) -> Option<UnixTime> {
        self.lock().until.get(id).copied()
    }

    pub(super) fn insert(&self, id: ReplayId, until: UnixTime, now: UnixTime) {
        self.lock().insert(id, until, now);
    }

    /// Removes those that would be refused for their age. Gives all that are not known any more.
    pub(super) fn take_expired(&self, now: UnixTime) -> Vec<ReplayId> {
        let mut state = self.lock();
        let mut expired = mem::take(&mut state.surplus);
        let State { until, order, .. } = &mut *state;
        for of_source in order.values_mut() {
            while let Some((_, id)) = of_source.first().filter(|(good, _)| *good < now).copied() {
                of_source.pop_first();
                until.remove(&id);
                expired.push(id);
            }
        }
        order.retain(|_, of_source| !of_source.is_empty());
        expired
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn insert(&mut self, id: ReplayId, until: UnixTime, now: UnixTime) {
        let of_source = self.order.entry(source_of(&id)).or_default();
        if let Some(before) = self.until.insert(id, until) {
            of_source.remove(&(before, id));
        }
        of_source.insert((until, id));
        if self.until.len() > self.most
            && let Some(id) = self.take_superfluous(now)
        {
            self.until.remove(&id);
            self.surplus.push(id);
        }
    }

    /// One of the source that has the most. There are as many sources as are configured.
    fn take_superfluous(&mut self, now: UnixTime) -> Option<ReplayId> {
        let sources = self.order.values_mut();
        let largest = sources.max_by_key(|of_source| of_source.len())?;
        let short_lived = (now.later_by(SHORT_LIFE), [u8::MAX; 16]);
        let mut others = largest.range(short_lived..);
        let first = others.next().or_else(|| largest.first()).copied()?;
        largest.remove(&first);
        Some(first.1)
    }
}

/// Of which source something is.
type Source = [u8; SOURCE_BYTES];

fn source_of(id: &ReplayId) -> Source {
    id.first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(source: u8, number: u16) -> ReplayId {
        let mut id = [0; 16];
        id[0] = source;
        id[14..].copy_from_slice(&number.to_be_bytes());
        id
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    #[test]
    fn a_source_that_sends_more_than_there_is_room_for_pushes_out_its_own() {
        let replays = Replays::of(100);
        let (now, days) = (at(1_000), at(1_000_000));
        // They end before all that comes later.
        for number in 0..10 {
            replays.insert(id(1, number), at(900_000), now);
        }
        for number in 0..1_000 {
            replays.insert(id(2, number), days, now);
        }
        assert!((0..10).all(|number| replays.contains(&id(1, number))));
        let kept = (0..1_000).filter(|number| replays.contains(&id(2, *number)));
        assert_eq!(kept.count(), 90);
        // Another one finds room too, and what was dropped is told.
        replays.insert(id(3, 0), at(2_000), now);
        assert!(replays.contains(&id(3, 0)));
        assert_eq!(replays.take_expired(now).len(), 911);
        assert_eq!(replays.take_expired(at(2_001)), [id(3, 0)]);
        assert!(!replays.contains(&id(3, 0)));
        assert_eq!(replays.lock().order.len(), 2);
    }
}
