//! Sessions by what is asked for.

use super::super::super::session::Session;
use super::super::record::Record;
use super::{Shard, hash, minute_of};
use crate::revocation::Fingerprint;
use crate::time::UnixTime;

impl Shard {
    /// Sessions from this number on that were let through, of at most `examined` numbers, and the next
    /// number; `None` when that was the last.
    pub(in super::super) fn search(
        &self,
        first: u32,
        examined: usize,
        is_wanted: impl Fn(&Session) -> bool,
        found: &mut Vec<(u32, Session)>,
        limit: usize,
    ) -> Option<u32> {
        let start = usize::try_from(first).ok()?;
        let end = self.slab.end().min(start.saturating_add(examined));
        for slot in (start..end).filter_map(|slot| u32::try_from(slot).ok()) {
            if found.len() >= limit {
                return Some(slot);
            }
            if let Some(session) = self.session(slot).filter(&is_wanted) {
                found.push((slot, session));
            }
        }
        (end < self.slab.end()).then(|| u32::try_from(end).ok())?
    }

    /// Live sessions that were last seen in a range, with the minute and the number of each, in their
    /// order, after a given one; at most `limit` of them.
    pub(in super::super) fn last_seen_between(
        &self,
        (from, to): (UnixTime, UnixTime),
        after: Option<(u32, u32)>,
        limit: usize,
    ) -> Vec<(u32, u32, Session)> {
        let mut found = Vec::new();
        let first = minute_of(from).max(after.map_or(0, |(minute, _)| minute));
        for (minute, records) in self.live.between(&self.slab, first, minute_of(to)) {
            let is_after = |slot: u32| after.is_none_or(|after| (minute, slot) > after);
            let is_within = |record: &Record| (from..to).contains(&record.last_seen());
            let records = records.filter(|(slot, record)| is_after(*slot) && is_within(record));
            let mut slots: Vec<u32> = records.map(|(slot, _)| slot).collect();
            slots.sort_unstable();
            let sessions = slots
                .into_iter()
                .filter_map(|slot| Some((minute, slot, self.session(slot)?)));
            found.extend(sessions.take(limit - found.len()));
            if found.len() >= limit {
                break;
            }
        }
        found
    }

    /// Adds the live sessions of this name, of whichever subjects, until there are so many.
    pub(in super::super) fn named(&self, id: Fingerprint, into: &mut Vec<Session>, limit: usize) {
        let is_it = |record: &Record| record.id == id && record.is_live();
        for slot in self.ids.iter_hash(hash(id)) {
            if into.len() >= limit {
                return;
            }
            if self.slab.get(*slot).is_some_and(is_it) {
                into.extend(self.session(*slot));
            }
        }
    }
}
