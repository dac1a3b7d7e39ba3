//! Which keys requests have asked for, in shared data.
//!
//! ```text
//! struct Wishes {              // little endian
//!     wishes: [Wish],          // at most 64, up to the end
//! }
//! struct Wish {
//!     key:   u64,              // hash of the key's id
//!     since: u64,              // when it was first asked for, in milliseconds since the epoch
//! }
//! ```
//!
//! # Why can a flood of made-up ids not push out the others?
//!
//! It does no harm if an id is missing here: its request is judged by the time when it came itself.
//! But a client that comes again and again with a key that is gone is answered at once only as long
//! as it is known that there was a fetch since its first request. So a wish stays until a fetch has
//! served it, and what does not fit in meanwhile is left out: the fetch that is to come serves it
//! as well. That also bounds what a flood makes all virtual machines write.

use std::time::Duration;

use crate::little_endian::LittleEndian;
use crate::namespace::Namespace;
use crate::time::Interval;

/// The name of the record.
pub(super) const WISHES: &str = "wishes";

/// Most wishes that are held.
pub(super) const MAX_WISHES: usize = 64;

/// How long a wish is held. A client with an old token causes one fetch in this time; it is no
/// longer, since an issuer may begin to sign with a key before all its servers publish it.
const LIFETIME: Duration = Duration::from_secs(30);

/// The wishes of all virtual machines, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes(Vec<Wish>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    key: u64,
    since: u64,
}

impl Wishes {
    /// Those that still count; none if the record is not ours.
    pub(super) fn open(space: &Namespace, bytes: &[u8], now: u64) -> Self {
        let mut fields = LittleEndian(space.open(WISHES, bytes).unwrap_or_default());
        let next = || {
            let (key, since) = (fields.u64()?, fields.u64()?);
            Some(Wish { key, since })
        };
        let wishes = std::iter::from_fn(next).take(MAX_WISHES);
        let counts = |wish: &Wish| Interval::new(wish.since, LIFETIME).contains(now);
        Self(wishes.filter(counts).collect())
    }

    pub(super) fn seal(&self, space: &Namespace) -> Vec<u8> {
        let mut payload = Vec::with_capacity(16 * self.0.len());
        for wish in &self.0 {
            payload.extend(wish.key.to_le_bytes());
            payload.extend(wish.since.to_le_bytes());
        }
        space.seal(WISHES, &payload)
    }

    /// When this key was first asked for, as far as that is known.
    pub(super) fn since(&self, key: u64) -> Option<u64> {
        let wish = self.0.iter().find(|wish| wish.key == key)?;
        Some(wish.since)
    }

    /// Whether there is one that a fetch which began at `began_at` has not served.
    pub(super) fn want_later_than(&self, began_at: u64) -> bool {
        self.0.iter().any(|wish| wish.since > began_at)
    }

    /// Adds a wish, if need be instead of one that a fetch which began at `began_at` has served.
    /// Says whether anything changed.
    pub(super) fn add(&mut self, key: u64, now: u64, began_at: u64) -> bool {
        if self.since(key).is_some() {
            return false;
        }
        if self.0.len() >= MAX_WISHES {
            let served = self.0.iter().position(|wish| wish.since <= began_at);
            let Some(served) = served else {
                return false;
            };
            self.0.remove(served);
        }
        self.0.push(Wish { key, since: now });
        true
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn full() -> Wishes {
        let mut wishes = Wishes::default();
        for key in 0..MAX_WISHES as u64 {
            assert!(wishes.add(key, NOW + key, 0));
        }
        wishes
    }

    fn read(wishes: &Wishes, now: u64) -> Wishes {
        let space = Namespace::example();
        Wishes::open(&space, &wishes.seal(&space), now)
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn wishes_are_read_back_as_long_as_they_count() {
        let wishes = full();
        assert_eq!(read(&wishes, NOW + 63), wishes);
        assert_eq!(read(&wishes, NOW + 30_010).since(10), None);
        assert_eq!(read(&wishes, NOW + 30_010).since(11), Some(NOW + 11));
        for other in [NOW - 1, NOW + 60_000] {
            assert_eq!(read(&wishes, other), Wishes::default(), "{other}");
        }
        let space = Namespace::example();
        for bytes in [&b""[..], &space.seal("keys", &[0; 16])] {
            assert_eq!(Wishes::open(&space, bytes, NOW), Wishes::default());
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn wishes_that_no_fetch_has_served_are_not_pushed_out() {
        let mut wishes = full();
        assert!(!wishes.add(1_000, NOW + 100, NOW - 1), "all are unserved");
        assert!(!wishes.add(7, NOW + 100, NOW + 100), "it is there");
        assert!(wishes.add(1_000, NOW + 100, NOW), "the first was served");
        assert_eq!(wishes.since(0), None);
        assert_eq!(wishes.since(1_000), Some(NOW + 100));
        assert!(wishes.want_later_than(NOW + 99));
        assert!(!wishes.want_later_than(NOW + 100));
    }
}
