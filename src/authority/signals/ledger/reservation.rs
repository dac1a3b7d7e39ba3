//! What counts once: signals, the JWTs of callers and the assertions of clients. All of them go the
//! same way.
//!
//! | | then the id is |
//! |---|---|
//! | [`Ledger::reserve`], before anything is done | reserved: another request with it waits |
//! | a refusal, a write that fails, or work that breaks off | free: it may come again |
//! | [`Ledger::accept`] or [`Ledger::use_up`] has written it | known, also after a restart, for as long as it would be good |
//!
//! A signal is written with its record, after what follows from it: what comes to nothing has to come
//! again. So is the JWT of a caller, which stands for one request. The assertion of a client shows who
//! it is, whatever becomes of the request, so that it is written before anything is done.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::{Ledger, ReplayId};
use crate::time::UnixTime;

/// The ids that are reserved. What is at an id ends with its reservation.
pub(super) type Reserved = Arc<Mutex<HashMap<ReplayId, watch::Sender<()>>>>;

/// An id that is being worked on, until this is dropped.
#[derive(Debug)]
pub(in crate::authority) struct Reservation {
    id: ReplayId,
    good_until: UnixTime,
    reserved: Reserved,
}

impl Ledger {
    /// Reserves an id, which is refused for its age from then on. While another request works on it,
    /// that is waited for, since it may come to nothing. `None` once it is known.
    pub(in crate::authority::signals) async fn reserve(
        &self,
        id: ReplayId,
        good_until: UnixTime,
    ) -> Option<Reservation> {
        loop {
            let mut other = {
                let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
                // What is known is so before its reservation ends, and is looked for within the lock.
                if self.is_known(&id) {
                    return None;
                }
                match reserved.entry(id) {
                    Entry::Occupied(other) => other.get().subscribe(),
                    Entry::Vacant(place) => {
                        place.insert(watch::Sender::default());
                        let reserved = Arc::clone(&self.reserved);
                        return Some(Reservation {
                            id,
                            good_until,
                            reserved,
                        });
                    }
                }
            };
            // Nothing is ever sent: it ends.
            let _ = other.changed().await;
        }
    }
}

impl Reservation {
    /// What is to be known.
    pub(super) const fn row(&self) -> (ReplayId, UnixTime) {
        (self.id, self.good_until)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let mut reserved = self.reserved.lock().unwrap_or_else(PoisonError::into_inner);
        reserved.remove(&self.id);
    }
}
