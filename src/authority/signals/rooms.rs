//! Room for work in progress, of which each party has its own.
//!
//! What is carried out waits for the disk, and events of one stream wait for one another. In one room for
//! all, a transmitter that sends faster than that goes takes every place, and a logout of another issuer,
//! whose provider tries once, finds none. So there is no such room: a stream, an issuer, a caller and an
//! OAuth client each wait for themselves. All of them together are bounded by the connections of the
//! listener.
//!
//! # Why by whom a token claims to be of, before that is verified?
//!
//! Because nothing else is known of it yet. What a forger takes is room of that one issuer, for as long as
//! a signature takes to be checked, and [`Admission`](super::admission::Admission) says how often that is.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// The rooms of several parties.
#[derive(Debug)]
pub(super) struct Rooms {
    of_parties: HashMap<String, Arc<Semaphore>>,
    /// Of any other, who is refused as soon as that is seen.
    of_strangers: Arc<Semaphore>,
}

impl Rooms {
    /// A room for each of these, with so many places.
    pub(super) fn new<'a>(parties: impl IntoIterator<Item = &'a str>, places: usize) -> Self {
        let room = || Arc::new(Semaphore::new(places));
        let parties = parties.into_iter();
        Self {
            of_parties: parties.map(|party| (party.to_owned(), room())).collect(),
            of_strangers: room(),
        }
    }

    /// The room of this party.
    pub(super) fn of(&self, party: &str) -> &Arc<Semaphore> {
        self.of_parties.get(party).unwrap_or(&self.of_strangers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_party_that_fills_its_room_leaves_every_other_its_own() {
        let rooms = Rooms::new(["a", "b"], 2);
        let of = |party: &str| Arc::clone(rooms.of(party)).try_acquire_owned();
        let taken = [of("a"), of("a"), of("stranger"), of("another stranger")];
        assert!(taken.iter().all(Result::is_ok));
        assert!(of("a").is_err() && of("stranger").is_err());
        let others = [of("b"), of("b")];
        assert!(others.iter().all(Result::is_ok));
        drop(taken);
        assert!(of("a").is_ok());
    }
}
