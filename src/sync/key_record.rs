//! What is published about a source of keys, in shared data.
//!
//! ```text
//! struct Published {         // little endian, instants in milliseconds since the epoch
//!     started_at:   u64,     // start of the last fetch that has ended, good or bad
//!     finished_at:  u64,     // its end; 0: there was none
//!     failures:     u32,     // fetches that have failed since the last good one
//!     next_at:      u64,     // when the next fetch is due
//!     refetched_at: u64,     // end of the last fetch that a request asked for; 0: there was none
//!     fetched_at:   u64,     // end of the last good fetch; 0: there was none, and no set
//!     expires_at:   u64,     // when the set is no longer fresh
//!     set:          [u8],    // the JWK Set as it was fetched, up to the end
//! }
//! ```
//!
//! All of it is one value, so that it changes at once and a reader never sees halves of two.

use crate::namespace::{Fields, Namespace};
use crate::token::MAX_JWK_SET_BYTES;

/// The name of the record with the keys.
pub(super) const KEYS: &str = "keys";

/// The name of the record that says when somebody wanted newer ones.
pub(super) const WANTED: &str = "wanted";

/// The state of a source, as far as all virtual machines need to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) started_at: u64,
    pub(super) finished_at: u64,
    pub(super) failures: u32,
    pub(super) next_at: u64,
    pub(super) refetched_at: u64,
    pub(super) fetched_at: u64,
    pub(super) expires_at: u64,
    pub(super) set: Vec<u8>,
}

impl Published {
    /// The record, as it stands in the namespace of its source.
    pub(super) fn seal(&self, space: &Namespace) -> Vec<u8> {
        let mut payload = Vec::with_capacity(52 + self.set.len());
        payload.extend(self.started_at.to_le_bytes());
        payload.extend(self.finished_at.to_le_bytes());
        payload.extend(self.failures.to_le_bytes());
        for instant in [
            self.next_at,
            self.refetched_at,
            self.fetched_at,
            self.expires_at,
        ] {
            payload.extend(instant.to_le_bytes());
        }
        payload.extend(&self.set);
        space.seal(KEYS, &payload)
    }

    /// Takes back what it says of a time that the clock, which shows `now`, has not reached: it was
    /// set back since. How old the set is cannot be told then, so it counts as fetched now, and is as
    /// long fresh as one that was; and no request has asked for a fetch.
    pub(super) fn set_back_to(&mut self, now: u64) {
        let ahead = self.fetched_at.saturating_sub(now);
        self.fetched_at = self.fetched_at.saturating_sub(ahead);
        self.expires_at = self.expires_at.saturating_sub(ahead);
        if self.refetched_at > now {
            self.refetched_at = 0;
        }
    }

    pub(super) fn open(space: &Namespace, bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(space.open(KEYS, bytes)?);
        let published = Self {
            started_at: fields.u64()?,
            finished_at: fields.u64()?,
            failures: fields.u32()?,
            next_at: fields.u64()?,
            refetched_at: fields.u64()?,
            fetched_at: fields.u64()?,
            expires_at: fields.u64()?,
            set: fields.rest().to_vec(),
        };
        (published.set.len() <= MAX_JWK_SET_BYTES).then_some(published)
    }
}

/// When somebody wanted newer keys: `wanted_at: u64`.
pub(super) fn seal_wanted(space: &Namespace, wanted_at: u64) -> Vec<u8> {
    space.seal(WANTED, &wanted_at.to_le_bytes())
}

pub(super) fn open_wanted(space: &Namespace, bytes: &[u8]) -> Option<u64> {
    let mut fields = Fields(space.open(WANTED, bytes)?);
    let wanted_at = fields.u64()?;
    fields.end(wanted_at)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::namespace::RecordSecret;

    fn space() -> Namespace {
        Namespace::new(&RecordSecret::of("test", "secret"), "keys", &())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_was_published_is_read_back() {
        for set in [&b""[..], b"{\"keys\":[]}"] {
            let published = Published {
                started_at: 8,
                finished_at: 1,
                failures: 2,
                next_at: 3,
                refetched_at: 4,
                fetched_at: 5,
                expires_at: 6,
                set: set.to_vec(),
            };
            let record = published.seal(&space());
            assert_eq!(Published::open(&space(), &record), Some(published));
        }
        let record = seal_wanted(&space(), 7);
        assert_eq!(open_wanted(&space(), &record), Some(7));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn other_records_and_sets_that_are_too_long_are_not_read() {
        let long = Published {
            set: vec![b' '; MAX_JWK_SET_BYTES + 1],
            ..Published::default()
        };
        let space = space();
        let opened = |record: &[u8]| Published::open(&space, record);
        assert_eq!(opened(&long.seal(&space)), None);
        assert_eq!(opened(&seal_wanted(&space, 7)), None);
        assert_eq!(opened(&space.seal(KEYS, &[0; 51])), None);
        assert_eq!(open_wanted(&space, &space.seal(WANTED, &[0; 9])), None);
    }
}
