//! Proofs that were used, in memory that all workers of the process share.
//!
//! They are kept by the time at which they say that they were made: in slots of a ring, each for a slice of
//! time, and each slot in shards. A proof is kept until its slot is needed for a later slice, when it is too
//! old to be used.
//!
//! ```text
//! key:  proofs/<seconds of a slice>/<slot>/<shard>
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
//! Only proofs of genuine tokens with good signatures are kept, so only users who are signed in can. With
//! the usual 60 s (`max_age`, and as much for clocks), a slice has 6 s and room for 524,288 proofs. When a
//! shard is full, proofs that fall into it are refused, since nothing would tell them from used ones, until the
//! next slice: 503, counted as `proofs_unavailable`. All slots together are at most 134 MB.

use super::Proof;
use crate::gate::reason::Reason;
use crate::host::{Expected, SharedData};
use crate::little_endian::LittleEndian;
use crate::namespace::Namespace;

/// Slots in the ring.
const SLOTS: u64 = 32;

/// Slices that the longest life of a proof has, so that the slot of a proof in use is never needed: one slice
/// may have begun before the proof was made, and one is for rounding.
const SLICES_IN_USE: u64 = SLOTS - 2;

/// Shards of a slot.
const SHARDS: u64 = 1024;

/// Most proofs in a shard.
const MOST: usize = 512;

/// How often a shard is written anew when other workers were faster.
const ATTEMPTS: usize = 16;

/// The proofs of one slice in one shard.
struct Shard {
    slice: u64,
    is_closed: bool,
    names: Vec<u64>,
}

/// Notes that a proof is used; the first time, that is no fault.
pub(super) fn note(host: &impl SharedData, space: &Namespace, proof: Proof) -> Result<(), Reason> {
    let seconds = proof.window.as_secs().div_ceil(SLICES_IN_USE).max(1);
    let slice = proof.issued_at.seconds() / seconds;
    #[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
    let (name, shard) = ((proof.id >> 64) as u64, proof.id as u64 % SHARDS);
    let record = format!("{seconds}/{}/{shard}", slice % SLOTS);
    let key = space.key_of(&record);
    for _ in 0..ATTEMPTS {
        let found = host.shared(&key);
        let kept = match &found {
            None => Shard::of(slice),
            Some(value) => {
                let kept = space.open(&record, &value.bytes).and_then(Shard::read);
                kept.map_or(Shard::closed(slice), |kept| kept.in_slice(slice))
            }
        };
        let (kept, outcome) = kept.with(slice, name);
        if outcome == Err(Reason::ProofReplayed) {
            return outcome;
        }
        let expected = found.map_or(Expected::Absent, |value| Expected::Version(value.version));
        if host.set_shared(&key, &space.seal(&record, &kept.bytes()), expected) {
            return outcome;
        }
    }
    Err(Reason::ProofsUnavailable)
}

impl Shard {
    const fn of(slice: u64) -> Self {
        Self {
            slice,
            is_closed: false,
            names: Vec::new(),
        }
    }

    /// For what another plugin has written over: nothing tells used proofs of this slice from others.
    const fn closed(slice: u64) -> Self {
        Self {
            slice,
            is_closed: true,
            names: Vec::new(),
        }
    }

    /// The same, or an empty one where this slice is a later one.
    fn in_slice(self, slice: u64) -> Self {
        if self.slice < slice {
            Self::of(slice)
        } else {
            self
        }
    }

    /// With one more proof of this slice, if it is new and can be kept.
    fn with(mut self, slice: u64, name: u64) -> (Self, Result<(), Reason>) {
        let outcome = if self.is_closed || self.slice != slice {
            Err(Reason::ProofsUnavailable)
        } else if self.names.contains(&name) {
            Err(Reason::ProofReplayed)
        } else if self.names.len() >= MOST {
            Err(Reason::ProofsUnavailable)
        } else {
            self.names.push(name);
            Ok(())
        };
        (self, outcome)
    }

    fn read(payload: &[u8]) -> Option<Self> {
        let mut bytes = LittleEndian(payload);
        let (slice, is_closed) = (bytes.u64()?, bytes.u8()? != 0);
        let mut names = Vec::with_capacity(payload.len() / 8);
        while let Some(name) = bytes.u64() {
            names.push(name);
        }
        Some(Self {
            slice,
            is_closed,
            names,
        })
    }

    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(9 + 8 * self.names.len());
        bytes.extend(self.slice.to_le_bytes());
        bytes.push(u8::from(self.is_closed));
        bytes.extend(self.names.iter().flat_map(|name| name.to_le_bytes()));
        bytes
    }
}
