//! What is published about a source of keys, in shared data.
//!
//! ```text
//! struct Published {         // little endian, instants in milliseconds since the epoch
//!     finished_at: u64,      // end of the last fetch, good or bad; 0: there was none
//!     failures:    u32,      // fetches that have failed since the last good one
//!     complaint:   u32,      // what was last said of them in the log; 0: nothing since the last good one
//!     next_at:     u64,      // when the next fetch is due
//!     spent_until: u64,      // when all fetches that requests have asked for are paid for
//!     began_at:    u64,      // start of the last good fetch; 0: there was none
//!     fetched_at:  u64,      // its end; 0: there was none, and no set
//!     expires_at:  u64,      // when the set is no longer fresh
//!     set:         [u8],     // the JWK Set as it was fetched, up to the end
//! }
//! ```
//!
//! All of it is one value, so that it changes at once and a reader never sees halves of two.
//!
//! # How often may requests have keys fetched?
//!
//! A client can make up key ids, so only this limit stands between a flood of them and the identity
//! provider. Every such fetch costs [`PRICE`], up to [`CREDIT`] may be owed, and there is [`REST`]
//! after every fetch: four fetches in as many seconds, then one in five. So whatever is sent, a new
//! key is here within five seconds and a fetch. Credit is for servers that answer: while fetches
//! fail there is one every [`PRICE`], besides those that the pauses after a failure allow.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::little_endian::LittleEndian;
use crate::namespace::Namespace;
use crate::time::milliseconds;
use crate::token::MAX_JWK_SET_BYTES;

/// The name of the record with the keys.
pub(super) const KEYS: &str = "keys";

/// The time in which a fetch for requests is paid off.
const PRICE: Duration = Duration::from_secs(5);

/// How much may be owed when the next one begins: three fetches.
const CREDIT: Duration = Duration::from_secs(15);

/// Time between the end of a fetch and the next one for requests, as long as anything is owed.
/// Requests that come meanwhile are served by one fetch.
const REST: Duration = Duration::from_secs(1);

/// The state of a source, as far as all virtual machines need to know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Published {
    pub(super) finished_at: u64,
    pub(super) failures: u32,
    /// What the log says of the source at present, so that another leader does not say it again.
    pub(super) complaint: Option<NonZeroU32>,
    pub(super) next_at: u64,
    pub(super) spent_until: u64,
    pub(super) began_at: u64,
    pub(super) fetched_at: u64,
    pub(super) expires_at: u64,
    pub(super) set: Vec<u8>,
}

impl Published {
    /// The record, sealed for the namespace of its source.
    pub(super) fn seal(&self, space: &Namespace) -> Vec<u8> {
        let mut payload = Vec::with_capacity(56 + self.set.len());
        payload.extend(self.finished_at.to_le_bytes());
        payload.extend(self.failures.to_le_bytes());
        let complaint = self.complaint.map_or(0, NonZeroU32::get);
        payload.extend(complaint.to_le_bytes());
        for instant in [
            self.next_at,
            self.spent_until,
            self.began_at,
            self.fetched_at,
            self.expires_at,
        ] {
            payload.extend(instant.to_le_bytes());
        }
        payload.extend(&self.set);
        space.seal(KEYS, &payload)
    }

    /// Corrects times that lie after `now`, since the clock was set back. How old the set is cannot
    /// be told then, so it counts as fetched now, and is fresh for as long as a new one; and it may
    /// lack whatever is asked for. To be called before the end of another fetch is noted.
    pub(super) fn set_back_to(&mut self, now: u64) {
        let ahead = self.fetched_at.saturating_sub(now);
        self.fetched_at = self.fetched_at.saturating_sub(ahead);
        self.expires_at = self.expires_at.saturating_sub(ahead);
        self.began_at = self.believed(now);
        let ahead = self.finished_at.saturating_sub(now);
        self.spent_until = self.spent_until.saturating_sub(ahead);
    }

    /// Start of the last good fetch; 0 if the clock was set back to before it: everything that the
    /// clock shows then comes before the fetch, which tells nothing about it.
    pub(super) const fn believed(&self, now: u64) -> u64 {
        if self.began_at > now {
            0
        } else {
            self.began_at
        }
    }

    /// When requests may have the next fetch made. At once if the clock was set back to before the
    /// last one: the next puts everything right.
    pub(super) fn grants_at(&self, now: u64) -> u64 {
        if self.finished_at > now {
            return now;
        }
        let after = |pause| self.finished_at.saturating_add(milliseconds(pause));
        if self.failures > 0 {
            return after(PRICE);
        }
        if self.spent_until <= self.finished_at {
            return self.finished_at;
        }
        let paid = self.spent_until.saturating_sub(milliseconds(CREDIT));
        paid.max(after(REST))
    }

    /// Notes a fetch for requests.
    pub(super) fn spend(&mut self, now: u64) {
        // While fetches fail they are not paid for in advance. That is not made up for later.
        let most = now.saturating_add(milliseconds(CREDIT));
        let owed = self.spent_until.clamp(now, most);
        self.spent_until = owed.saturating_add(milliseconds(PRICE));
    }

    pub(super) fn open(space: &Namespace, bytes: &[u8]) -> Option<Self> {
        let mut fields = LittleEndian(space.open(KEYS, bytes)?);
        let published = Self {
            finished_at: fields.u64()?,
            failures: fields.u32()?,
            complaint: NonZeroU32::new(fields.u32()?),
            next_at: fields.u64()?,
            spent_until: fields.u64()?,
            began_at: fields.u64()?,
            fetched_at: fields.u64()?,
            expires_at: fields.u64()?,
            set: fields.rest().to_vec(),
        };
        (published.set.len() <= MAX_JWK_SET_BYTES).then_some(published)
    }
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
        for (complaint, set) in [(0, &b""[..]), (7, b"{\"keys\":[]}")] {
            let published = Published {
                finished_at: 1,
                failures: 2,
                complaint: NonZeroU32::new(complaint),
                next_at: 3,
                spent_until: 4,
                began_at: 8,
                fetched_at: 5,
                expires_at: 6,
                set: set.to_vec(),
            };
            let record = published.seal(&space());
            assert_eq!(Published::open(&space(), &record), Some(published));
        }
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
        assert_eq!(opened(&space.seal("wishes", &[0; 64])), None);
        assert_eq!(opened(&space.seal(KEYS, &[0; 55])), None);
    }

    const NOW: u64 = 1_800_000_000_000;

    /// Makes a fetch, as requests ask for it, as soon as it is granted, for so many seconds. Gives
    /// when, after the start.
    fn granted(failures: u32, seconds: u64) -> Vec<u64> {
        let mut published = Published {
            failures,
            finished_at: NOW - 60_000,
            ..Published::default()
        };
        assert!(published.grants_at(NOW) <= NOW);
        let mut fetches = Vec::new();
        for now in (NOW..NOW + seconds * 1_000).step_by(100) {
            if published.grants_at(now) <= now {
                published.spend(now);
                published.finished_at = now;
                fetches.push(now - NOW);
            }
        }
        fetches
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn requests_get_four_fetches_in_as_many_seconds_and_then_one_in_five() {
        assert_eq!(
            granted(0, 21),
            [0, 1_000, 2_000, 3_000, 5_000, 10_000, 15_000, 20_000]
        );
        assert_eq!(granted(0, 3_600).len(), 723);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_server_that_fails_gives_no_credit() {
        assert_eq!(granted(1, 21), [0, 5_000, 10_000, 15_000, 20_000]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_clock_that_was_set_back_leaves_no_debt_that_is_never_paid() {
        let mut published = Published {
            finished_at: NOW,
            spent_until: NOW + 20_000,
            began_at: NOW,
            ..Published::default()
        };
        let now = NOW - 86_400_000;
        assert_eq!(published.believed(now), 0);
        assert_eq!(published.grants_at(now), now);
        published.set_back_to(now);
        assert_eq!(published.began_at, 0);
        assert_eq!(published.spent_until, now + 20_000);
        published.spend(now);
        assert_eq!(published.spent_until, now + 20_000);
    }
}
