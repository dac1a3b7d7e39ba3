//! Lists of records, each of which is in two: of those last seen in the same minute, and of those of the
//! same subject. The links are in the records, so that one is moved without a search.

use super::record::Record;
use super::slab::Slab;

/// No record.
const NONE: u32 = u32::MAX;

/// Which list.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Minute,
    Subject,
}

/// A record's neighbours in a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    previous: u32,
    next: u32,
}

/// A list.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    first: u32,
    last: u32,
    count: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            previous: NONE,
            next: NONE,
        }
    }
}

impl Default for List {
    fn default() -> Self {
        Self {
            first: NONE,
            last: NONE,
            count: 0,
        }
    }
}

impl List {
    pub(super) fn first(&self) -> Option<u32> {
        some(self.first)
    }

    pub(super) fn last(&self) -> Option<u32> {
        some(self.last)
    }

    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// Puts a record, which is in no such list, at the front.
    pub(super) fn push_first(&mut self, slab: &mut Slab, which: Which, slot: u32) {
        let next = self.first;
        set(slab, which, slot, |links| {
            *links = Links {
                previous: NONE,
                next,
            };
        });
        set(slab, which, next, |links| links.previous = slot);
        self.first = slot;
        if self.last == NONE {
            self.last = slot;
        }
        self.count = self.count.saturating_add(1);
    }

    /// Puts a record, which is in no such list, at the end.
    pub(super) fn push_last(&mut self, slab: &mut Slab, which: Which, slot: u32) {
        match self.last() {
            None => self.push_first(slab, which, slot),
            Some(last) => self.insert_after(slab, which, last, slot),
        }
    }

    /// Puts a record, which is in no such list, behind one that is in this one.
    pub(super) fn insert_after(&mut self, slab: &mut Slab, which: Which, previous: u32, slot: u32) {
        let mut next = NONE;
        set(slab, which, previous, |links| {
            next = std::mem::replace(&mut links.next, slot);
        });
        set(slab, which, slot, |links| *links = Links { previous, next });
        set(slab, which, next, |links| links.previous = slot);
        if next == NONE {
            self.last = slot;
        }
        self.count = self.count.saturating_add(1);
    }

    /// Takes a record, which is in this list, out of it.
    pub(super) fn remove(&mut self, slab: &mut Slab, which: Which, slot: u32) {
        let Some(record) = slab.get_mut(slot) else {
            return;
        };
        let Links { previous, next } = std::mem::take(record.links(which));
        if previous == NONE {
            self.first = next;
        }
        if next == NONE {
            self.last = previous;
        }
        set(slab, which, previous, |links| links.next = next);
        set(slab, which, next, |links| links.previous = previous);
        self.count = self.count.saturating_sub(1);
    }

    /// Every record of it with its number.
    pub(super) fn iter<'s>(
        &self,
        slab: &'s Slab,
        which: Which,
    ) -> impl Iterator<Item = (u32, &'s Record)> + use<'s> {
        let first = self.first().and_then(|slot| Some((slot, slab.get(slot)?)));
        std::iter::successors(first, move |(_, record)| {
            let slot = some(record.links_of(which).next)?;
            Some((slot, slab.get(slot)?))
        })
    }

    /// The same from its end.
    pub(super) fn iter_back<'s>(
        &self,
        slab: &'s Slab,
        which: Which,
    ) -> impl Iterator<Item = (u32, &'s Record)> + use<'s> {
        let last = self.last().and_then(|slot| Some((slot, slab.get(slot)?)));
        std::iter::successors(last, move |(_, record)| {
            let slot = some(record.links_of(which).previous)?;
            Some((slot, slab.get(slot)?))
        })
    }
}

fn set(slab: &mut Slab, which: Which, slot: u32, change: impl FnOnce(&mut Links)) {
    if let Some(record) = slab.get_mut(slot) {
        change(record.links(which));
    }
}

fn some(slot: u32) -> Option<u32> {
    (slot != NONE).then_some(slot)
}
