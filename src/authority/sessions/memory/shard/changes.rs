//! What snapshots have of sessions: what is loaded from them, and what they are still to have.

use super::super::super::session::Session;
use super::super::super::snapshots::Changes;
use super::super::record::Record;
use super::Shard;

/// Numbers of records that are gone, or are there twice, that the list of changes may have beside as
/// many as there are records.
const SPARE_CHANGES: usize = 1_024;

impl Shard {
    /// Takes in a session of a snapshot. Returns by how many sessions there are more.
    pub(in super::super) fn load(&mut self, row: u64, loaded: &Session) -> usize {
        let Some(slot) = self.find(loaded.id, loaded.subject.as_deref()) else {
            let Some((slot, displaced)) = self.insert(loaded) else {
                return 0;
            };
            self.set_row(slot, row);
            if displaced == Some(slot) {
                self.drop_row(row);
            }
            return usize::from(displaced.is_none());
        };
        let Some(mut session) = self.session(slot) else {
            return 0;
        };
        let known = self.slab.get(slot).map_or(0, |record| record.row);
        if known == 0 {
            // It was reported since the start.
            session.absorb(loaded);
        } else {
            // A snapshot was cut short after this row, and before the other one was removed.
            self.dropped.push(known);
            session.clone_from(loaded);
        }
        self.update(slot, &session);
        if let Some(suspicion) = session.suspicion {
            self.suspicions.insert(slot, suspicion);
        }
        self.set_row(slot, row);
        if known == 0 {
            self.note(slot);
        }
        0
    }

    /// Has the next snapshot remove a row.
    pub(in super::super) fn drop_row(&mut self, row: u64) {
        self.dropped.push(row);
    }

    pub(super) fn set_row(&mut self, slot: u32, row: u64) {
        if let Some(record) = self.slab.get_mut(slot) {
            record.is_written(row);
        }
    }

    /// Has the next snapshot write a record.
    pub(super) fn note(&mut self, slot: u32) {
        if let Some(record) = self.slab.get_mut(slot)
            && !std::mem::replace(&mut record.is_changed, true)
        {
            self.changed.push(slot);
        }
        if self.changed.len() > 2 * self.len() + SPARE_CHANGES {
            self.changed.sort_unstable();
            self.changed.dedup();
            let slab = &self.slab;
            let is_noted = |slot: &u32| slab.get(*slot).is_some_and(|record| record.is_changed);
            self.changed.retain(is_noted);
        }
    }

    /// Has the next snapshots write every record that was used since it was last written.
    pub(in super::super) fn note_all(&mut self) {
        let slots = (0..self.slab.end()).filter_map(|slot| u32::try_from(slot).ok());
        for slot in slots {
            if self.slab.get(slot).is_some_and(Record::is_outdated) {
                self.note(slot);
            }
        }
    }

    /// How many numbers of records are noted for the next snapshot.
    #[cfg(test)]
    pub(in super::super) fn noted(&self) -> usize {
        self.changed.len()
    }

    /// Takes what a snapshot is to write, at most `limit` sessions, as written to rows from `row` on.
    pub(in super::super) fn take_changes(
        &mut self,
        limit: usize,
        row: &mut u64,
        into: &mut Changes,
    ) {
        let room = limit.saturating_sub(into.dropped.len());
        let dropped = self.dropped.len().min(room);
        into.dropped.extend(self.dropped.drain(..dropped));
        while into.rows.len() < limit {
            let Some(slot) = self.changed.pop() else {
                return;
            };
            // The number may have been given to another record meanwhile, which is noted itself.
            let is_noted = self.slab.get(slot).is_some_and(|record| record.is_changed);
            let Some(session) = self.session(slot).filter(|_| is_noted) else {
                continue;
            };
            let before = self.slab.get(slot).map_or(0, |record| record.row);
            into.dropped.extend((before > 0).then_some(before));
            into.rows.push((*row, session));
            self.set_row(slot, *row);
            *row += 1;
        }
    }
}
