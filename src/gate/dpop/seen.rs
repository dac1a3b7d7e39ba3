//! Proofs that were used, in memory that all workers of the process share.
//!
//! They are kept by the time at which they say that they were made: in slots of a ring, each for a slice of
//! time, and each slot in shards. A proof is kept until its slot is needed for a later slice, when it is too
//! old to be used. The ring is the same whatever the settings, so that a proof that was used under some
//! counts as used under all.
//!
//! ```text
//! key:  <slot>/<shard>
//!
//! struct Shard {             // little-endian
//!     slice: u64,            // number of the slice
//!     is_closed: u8,         // 1 when what was kept of this slice was lost
//!     proofs: [u64; n],      // names; at most 512
//! }
//! ```
//!
//! # What does it take to fill this?
//!
//! Only proofs of genuine tokens with good signatures are kept, so only users who are signed in can. A slice
//! has room for 524,288 proofs, 65,536 for each second; since shards do not fill evenly, one proof in a million
//! finds its own full at 55,000 a second, and one in seventy at 65,000. When a shard is full, proofs that fall
//! into it are refused, since nothing would tell them from used ones, until the next slice: 503, counted as
//! `proofs_unavailable`. All shards of all slots are at most 150 MB, of which Envoy gives none back.

use super::{LONGEST_LIFE, Proof};
use crate::gate::reason::Reason;
use crate::host::{Expected, SharedData};
use crate::little_endian::LittleEndian;
use crate::namespace::Namespace;

/// Slots in the ring.
const SLOTS: u64 = 32;

/// Length of a slice, in seconds. Of two proofs in one slot that can be used at the same time, the slices would
/// have to lie a whole ring apart, which is more than a proof's life.
const SLICE: u64 = 8;

const _: () = assert!((SLOTS - 1) * SLICE >= LONGEST_LIFE.as_secs());

/// Shards of a slot.
const SHARDS: u64 = 1024;

/// Most proofs in a shard.
const MOST: usize = 512;

/// How often a shard is written anew when other workers were faster.
const ATTEMPTS: usize = 16;

/// The proofs of one slice in one shard, as they are kept.
#[derive(Clone, Copy)]
struct Shard<'b> {
    slice: u64,
    is_closed: bool,
    names: &'b [[u8; 8]],
}

/// Notes that a proof is used; the first time, that is no fault.
pub(super) fn note(host: &impl SharedData, space: &Namespace, proof: Proof) -> Result<(), Reason> {
    let slice = proof.issued_at.seconds() / SLICE;
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    let (name, shard) = ((proof.id >> 64) as u64, proof.id as u64 % SHARDS);
    let record = format!("{}/{shard}", slice % SLOTS);
    let key = space.key_of(&record);
    for _ in 0..ATTEMPTS {
        let found = host.shared(&key);
        let (kept, expected) = match &found {
            None => (Some(Shard::of(slice)), Expected::Absent),
            Some(value) => {
                let payload = space.open(&record, &value.bytes);
                (
                    payload.and_then(Shard::read),
                    Expected::Version(value.version),
                )
            }
        };
        let Some(kept) = kept else {
            // What another plugin has written over: nothing tells used proofs of this slice from others.
            let closed = Shard {
                is_closed: true,
                ..Shard::of(slice)
            };
            host.set_shared(&key, &space.seal(&record, &closed.with(&[])), expected);
            return Err(Reason::ProofsUnavailable);
        };
        let kept = if kept.slice < slice {
            Shard::of(slice)
        } else {
            kept
        };
        let name = name.to_le_bytes();
        kept.check(slice, name)?;
        if host.set_shared(&key, &space.seal(&record, &kept.with(&name)), expected) {
            return Ok(());
        }
    }
    Err(Reason::ProofsUnavailable)
}

impl<'b> Shard<'b> {
    /// An empty one.
    const fn of(slice: u64) -> Self {
        Self {
            slice,
            is_closed: false,
            names: &[],
        }
    }

    fn read(payload: &'b [u8]) -> Option<Self> {
        let mut bytes = LittleEndian(payload);
        let (slice, is_closed) = (bytes.u64()?, bytes.u8()? != 0);
        let (names, rest) = bytes.0.as_chunks();
        rest.is_empty().then_some(Self {
            slice,
            is_closed,
            names,
        })
    }

    /// Whether a proof of this slice is new and can be kept.
    fn check(self, slice: u64, name: [u8; 8]) -> Result<(), Reason> {
        if self.is_closed || self.slice != slice {
            Err(Reason::ProofsUnavailable)
        } else if self.names.contains(&name) {
            Err(Reason::ProofReplayed)
        } else if self.names.len() >= MOST {
            Err(Reason::ProofsUnavailable)
        } else {
            Ok(())
        }
    }

    /// What is to be kept, with this name behind the others.
    fn with(self, name: &[u8]) -> Vec<u8> {
        let is_closed = [u8::from(self.is_closed)];
        let slice = self.slice.to_le_bytes();
        [&slice, &is_closed[..], self.names.as_flattened(), name].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::host::mock::{MockHost, MockProcess};
    use crate::time::UnixTime;

    const NOW: u64 = 1_767_225_600;

    fn proof(id: u128, seconds: u64) -> Proof {
        Proof {
            id: id << 64,
            issued_at: UnixTime::from_seconds(seconds).unwrap(),
        }
    }

    fn host() -> MockHost {
        MockHost::get("/", UnixTime::EPOCH).in_process(&Rc::new(MockProcess::default()))
    }

    fn noted(host: &MockHost, proof: Proof) -> Result<(), Reason> {
        note(host, &Namespace::example(), proof)
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_proof_is_new_once_and_remembered_for_its_whole_life() {
        let host = host();
        let first = proof(1, NOW);
        assert_eq!(noted(&host, first), Ok(()));
        let replayed = Err(Reason::ProofReplayed);
        // Whatever is used meanwhile, until no proof of that time can be used.
        for later in 0..=LONGEST_LIFE.as_secs() {
            assert_eq!(noted(&host, first), replayed, "{later}");
            let other = proof(1_000 + u128::from(later), NOW + later);
            assert_eq!(noted(&host, other), Ok(()), "{later}");
        }
        // Another one of the same key, and the same name at another time, are others.
        assert_eq!(noted(&host, proof(3, NOW)), Ok(()));
        assert_eq!(noted(&host, proof(1, NOW + SLICE)), Ok(()));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_slot_is_used_again_for_a_later_slice_and_never_for_an_earlier_one() {
        let host = host();
        let round = SLOTS * SLICE;
        assert_eq!(noted(&host, proof(1, NOW)), Ok(()));
        assert_eq!(noted(&host, proof(1, NOW + round)), Ok(()));
        let unavailable = Err(Reason::ProofsUnavailable);
        assert_eq!(noted(&host, proof(1, NOW)), unavailable);
        assert_eq!(noted(&host, proof(2, NOW)), unavailable);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_full_shard_refuses_what_is_new_and_knows_what_is_not() {
        let host = host();
        for id in 0..MOST as u128 {
            assert_eq!(noted(&host, proof(id, NOW)), Ok(()));
        }
        let writes = host.process.writes.get();
        let unavailable = Err(Reason::ProofsUnavailable);
        assert_eq!(noted(&host, proof(MOST as u128, NOW)), unavailable);
        assert_eq!(noted(&host, proof(0, NOW)), Err(Reason::ProofReplayed));
        assert_eq!(host.process.writes.get(), writes);
        assert_eq!(noted(&host, proof(0, NOW + SLICE)), Ok(()));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_another_plugin_writes_over_is_closed_until_the_slice_is_over() {
        let host = host();
        assert_eq!(noted(&host, proof(1, NOW)), Ok(()));
        let record = format!("{}/0", NOW / SLICE % SLOTS);
        let key = Namespace::example().key_of(&record);
        assert!(host.set_shared(&key, b"rubbish", Expected::Anything));
        let unavailable = Err(Reason::ProofsUnavailable);
        for _ in 0..2 {
            assert_eq!(noted(&host, proof(1, NOW)), unavailable);
            assert_eq!(noted(&host, proof(2, NOW)), unavailable);
        }
        assert_eq!(noted(&host, proof(1, NOW + SLOTS * SLICE)), Ok(()));
    }
}
