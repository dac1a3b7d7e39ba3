//! The requests that are watched, in the order in which they came.
//!
//! A list in an array: every place knows the one before and the one after it, and places that are
//! free are chained as well. So a request comes and goes in a few steps, however many there are, and
//! the oldest is at hand when there is no more room. The array is as long as there were ever requests at
//! the same time.

use crate::edge::ContextId;

/// Most requests that are watched. Beyond that the oldest goes on unwatched: it has been there for
/// the longest, and most likely not for much longer.
pub(super) const MOST_WATCHED: usize = 100_000;

/// Bytes of memory that their tokens may take. 100,000 tokens of ordinary size take 150 MB; only larger
/// ones come to this. A token that several requests have counts once.
pub(super) const MOST_BYTES: u64 = 192 * 1024 * 1024;

/// Requests that make room for one more at most. Those that share a token give no memory back until the
/// last of them has gone, and a new request does not wait for thousands of them.
const MOST_REMOVED: u32 = 16;

/// What is known of a request, which takes memory for as long as it is kept.
pub(super) trait Kept {
    /// Notes that it is kept. The bytes that are taken for it.
    fn begin(&self) -> u64;

    /// Notes that it is kept no longer. The bytes that are given back.
    fn end(&self) -> u64;
}

/// The place of a watched request. It may be that of another one by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::edge) struct Ticket(u32);

/// A request at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    pub(super) ticket: Ticket,
    pub(super) context: ContextId,
}

/// Requests, each with what is known of it.
#[derive(Debug)]
pub(super) struct Register<T> {
    places: Vec<Place<T>>,
    len: usize,
    oldest: u32,
    newest: u32,
    free: u32,
    most: usize,
    bytes: u64,
    most_bytes: u64,
}

#[derive(Debug)]
struct Place<T> {
    /// What stands here, if anything does.
    entry: Option<Entry<T>>,
    before: u32,
    /// Of a free place, the next free one.
    after: u32,
}

#[derive(Debug)]
struct Entry<T> {
    context: ContextId,
    since: u32,
    /// Whether it waits for the authority to be asked about it again.
    waits: bool,
    known: T,
}

/// No place.
const NONE: u32 = u32::MAX;

impl<T: Kept> Default for Register<T> {
    fn default() -> Self {
        Self::with_room_for(MOST_WATCHED, MOST_BYTES)
    }
}

impl<T: Kept> Register<T> {
    const fn with_room_for(most: usize, most_bytes: u64) -> Self {
        Self {
            places: Vec::new(),
            len: 0,
            oldest: NONE,
            newest: NONE,
            free: NONE,
            most,
            bytes: 0,
            most_bytes,
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    const fn is_full(&self) -> bool {
        self.len >= self.most || self.bytes >= self.most_bytes
    }

    /// Removes the oldest as long as there is no room for another. Gives how many.
    pub(super) fn make_room(&mut self) -> u32 {
        let mut removed = 0;
        while removed < MOST_REMOVED && self.is_full() && self.remove_oldest() {
            removed += 1;
        }
        removed
    }

    /// Adds the newest, with the number of the tick at which it came.
    pub(super) fn add(&mut self, context: ContextId, since: u32, known: T) -> Ticket {
        let index = self.take_place();
        let newest = self.newest;
        self.bytes += known.begin();
        if let Some(place) = self.place(index) {
            place.entry = Some(Entry {
                context,
                since,
                waits: false,
                known,
            });
            (place.before, place.after) = (newest, NONE);
        }
        match self.place(newest) {
            Some(place) => place.after = index,
            None => self.oldest = index,
        }
        self.newest = index;
        self.len += 1;
        Ticket(index)
    }

    /// Takes one out; `false` when it is not there any more.
    pub(super) fn remove(&mut self, watched: Watched) -> bool {
        self.get(watched).is_some() && self.clear(watched.ticket.0)
    }

    /// Takes out the oldest; `false` when there is none.
    fn remove_oldest(&mut self) -> bool {
        self.clear(self.oldest)
    }

    /// What is known of a request, if it is there.
    pub(super) fn get(&self, Watched { ticket, context }: Watched) -> Option<&T> {
        let entry = self.places.get(ticket.0 as usize)?.entry.as_ref()?;
        (entry.context == context).then_some(&entry.known)
    }

    /// Notes whether a request waits for the authority to be asked about it again. `false` when that
    /// was so already, or it is not there: what has two tokens that are in doubt is to wait once.
    pub(super) fn mark_waiting(&mut self, watched: Watched, waits: bool) -> bool {
        let place = self.place(watched.ticket.0);
        let entry = place.and_then(|place| place.entry.as_mut());
        let entry = entry.filter(|entry| entry.context == watched.context);
        entry.is_some_and(|entry| std::mem::replace(&mut entry.waits, waits) != waits)
    }

    /// The number of the tick at which a request came, if it is there.
    pub(super) fn since(&self, Watched { ticket, context }: Watched) -> Option<u32> {
        let entry = self.places.get(ticket.0 as usize)?.entry.as_ref()?;
        (entry.context == context).then_some(entry.since)
    }

    /// The first request at this place or behind it, by places, and the place behind that.
    pub(super) fn from(&self, index: u32) -> Option<(Watched, u32)> {
        let places = self.places.iter().enumerate().skip(index as usize);
        let mut watched = places.filter_map(|(index, place)| watched(index, place));
        let watched = watched.next()?;
        Some((watched, watched.ticket.0 + 1))
    }

    /// What is known of those at so many places, beginning with this one, and the place behind them;
    /// `None` behind the last.
    pub(super) fn some(
        &self,
        first: usize,
        most: usize,
    ) -> (impl Iterator<Item = &T>, Option<usize>) {
        let places = self.places.iter().skip(first).take(most);
        let entries = places.filter_map(|place| place.entry.as_ref());
        let next = Some(first + most).filter(|next| *next < self.places.len());
        (entries.map(|entry| &entry.known), next)
    }

    /// Those of which this holds, so many at most.
    pub(super) fn find(&self, holds: impl Fn(&T) -> bool, most: usize) -> Vec<Watched> {
        let places = self.places.iter().enumerate();
        let found = places.filter(|(_, place)| {
            let entry = place.entry.as_ref();
            entry.is_some_and(|entry| holds(&entry.known))
        });
        let found = found.filter_map(|(index, place)| watched(index, place));
        found.take(most).collect()
    }

    /// What is known of all of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        let entries = self.places.iter().filter_map(|place| place.entry.as_ref());
        entries.map(|entry| &entry.known)
    }

    fn place(&mut self, index: u32) -> Option<&mut Place<T>> {
        self.places.get_mut(index as usize)
    }

    fn take_place(&mut self) -> u32 {
        let free = self.free;
        if let Some(place) = self.place(free) {
            self.free = place.after;
            return free;
        }
        let index = u32::try_from(self.places.len()).unwrap_or(NONE);
        self.places.push(Place {
            entry: None,
            before: NONE,
            after: NONE,
        });
        index
    }

    fn clear(&mut self, index: u32) -> bool {
        let free = self.free;
        let Some(place) = self.place(index) else {
            return false;
        };
        let (before, after) = (place.before, place.after);
        let Some(entry) = place.entry.take() else {
            return false;
        };
        place.after = free;
        self.free = index;
        match self.place(before) {
            Some(place) => place.after = after,
            None => self.oldest = after,
        }
        match self.place(after) {
            Some(place) => place.before = before,
            None => self.newest = before,
        }
        self.len -= 1;
        self.bytes = self.bytes.saturating_sub(entry.known.end());
        true
    }
}

fn watched<T>(index: usize, place: &Place<T>) -> Option<Watched> {
    let entry = place.entry.as_ref()?;
    Some(Watched {
        ticket: Ticket(u32::try_from(index).ok()?),
        context: entry.context,
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::VecDeque;

    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    impl Kept for () {
        fn begin(&self) -> u64 {
            0
        }

        fn end(&self) -> u64 {
            0
        }
    }

    /// A token that several requests may have.
    struct Token<'c>(&'c Cell<u64>);

    impl Kept for Token<'_> {
        fn begin(&self) -> u64 {
            self.0.set(self.0.get() + 1);
            if self.0.get() == 1 { 10 } else { 0 }
        }

        fn end(&self) -> u64 {
            self.0.set(self.0.get() - 1);
            if self.0.get() == 0 { 10 } else { 0 }
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_watched_takes_no_more_bytes_than_it_may_and_shared_ones_count_once() {
        let [shared, one, two] = [const { Cell::new(0) }; 3];
        let mut register = Register::with_room_for(100, 25);
        for number in 0..50 {
            assert!(!register.is_full());
            register.add(ContextId(number), 0, Token(&shared));
        }
        assert_eq!(register.bytes, 10);
        for (number, token) in [(50, &one), (51, &two)] {
            assert!(!register.is_full());
            register.add(ContextId(number), 0, Token(token));
        }
        assert!(register.is_full(), "30 bytes of 25");
        // The fifty give back nothing until the last of them has gone.
        let removed = [0; 4].map(|_| register.make_room());
        assert_eq!(removed, [16, 16, 16, 2]);
        assert_eq!((register.len(), register.bytes), (2, 20));
        assert_eq!([&shared, &one, &two].map(Cell::get), [0, 1, 1]);
    }

    fn contexts(register: &Register<()>) -> Vec<u32> {
        let mut index = register.oldest;
        let mut found = Vec::new();
        while let Some(place) = register.places.get(index as usize) {
            found.push(place.entry.as_ref().unwrap().context.0);
            index = place.after;
        }
        found
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_million_short_requests_take_no_more_places_than_there_are_at_once() {
        let mut register = Register::default();
        for number in 0..1_000_000 {
            let context = ContextId(number);
            let ticket = register.add(context, 0, ());
            assert!(register.remove(Watched { ticket, context }));
        }
        assert_eq!((register.len(), register.places.len()), (0, 1));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_waits_once_and_not_in_the_place_of_another() {
        let mut register = Register::default();
        let [first, second] = [ContextId(1), ContextId(2)];
        let ticket = register.add(first, 0, ());
        let [gone, there] = [first, second].map(|context| Watched { ticket, context });
        assert!(register.mark_waiting(gone, true));
        assert!(!register.mark_waiting(gone, true), "it does already");
        assert!(register.remove(gone));
        assert_eq!(register.add(second, 0, ()), ticket);
        assert!(!register.mark_waiting(gone, false));
        assert!(!register.mark_waiting(there, false), "it does not");
        assert!(register.mark_waiting(there, true));
        assert!(register.mark_waiting(there, false));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn whatever_comes_and_goes_the_order_is_that_of_coming_and_the_oldest_makes_room() {
        let mut register = Register::with_room_for(7, MOST_BYTES);
        let mut expected: VecDeque<Watched> = VecDeque::new();
        let mut random = 1_u64;
        for number in 0..20_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let draw = (random >> 33) as usize;
            if draw % 5 < 3 {
                if register.is_full() {
                    let oldest = expected.pop_front().unwrap();
                    assert!(register.remove_oldest());
                    assert!(!register.remove(oldest), "it has gone");
                }
                let context = ContextId(number);
                let ticket = register.add(context, 0, ());
                expected.push_back(Watched { ticket, context });
            } else if !expected.is_empty() {
                let gone = expected.remove(draw % expected.len()).unwrap();
                assert!(register.remove(gone));
                assert!(!register.remove(gone), "once");
            }
            let order = expected.iter().map(|watched| watched.context.0);
            assert_eq!(contexts(&register), order.collect::<Vec<_>>());
            assert_eq!(register.len(), expected.len());
            assert!(
                expected
                    .iter()
                    .all(|watched| register.get(*watched).is_some())
            );
            assert_eq!(register.find(|()| true, 100).len(), expected.len());
        }
        assert_eq!(register.places.len(), 7);
    }
}
