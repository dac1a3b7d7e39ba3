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

use super::record::{self, Kind};
use crate::token::MAX_JWK_SET_BYTES;

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
    pub(super) fn encode(&self) -> Vec<u8> {
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
        record::seal(Kind::Keys, &payload)
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

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = record::open(Kind::Keys, bytes)?;
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
pub(super) fn encode_wanted(wanted_at: u64) -> Vec<u8> {
    record::seal(Kind::Wanted, &wanted_at.to_le_bytes())
}

pub(super) fn decode_wanted(bytes: &[u8]) -> Option<u64> {
    let mut fields = record::open(Kind::Wanted, bytes)?;
    let wanted_at = fields.u64()?;
    fields.end(wanted_at)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

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
            assert_eq!(Published::decode(&published.encode()), Some(published));
        }
        assert_eq!(decode_wanted(&encode_wanted(7)), Some(7));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn other_records_and_sets_that_are_too_long_are_not_read() {
        let long = Published {
            set: vec![b' '; MAX_JWK_SET_BYTES + 1],
            ..Published::default()
        };
        assert_eq!(Published::decode(&long.encode()), None);
        assert_eq!(Published::decode(&encode_wanted(7)), None);
        assert_eq!(Published::decode(&record::seal(Kind::Keys, &[0; 51])), None);
        assert_eq!(decode_wanted(&record::seal(Kind::Wanted, &[0; 9])), None);
    }
}
