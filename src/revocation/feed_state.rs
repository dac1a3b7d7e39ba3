//! The record that says which generation is in use and how far it has come.

use super::{Chain, Evidence, FeedKeys, FilterKey, Signer};
use crate::little_endian::LittleEndian;

/// What all virtual machines of a process agree on. It is in shared data, sealed like every record
/// (see [`crate::namespace`]), as
///
/// ```text
/// struct State {             // little-endian
///     version: u8,           // 3; 2 did not say who has signed
///     slot: u8,              // 0 or 1: which of the two slots the generation is in
///     reserved: [u8; 6],     // 0
///     epoch: u64,
///     generation: u64,
///     sequence: u64,
///     load: u64,             // random; identifies the load that wrote the generation's records
///     batches: u64,          // that were applied in this process
///     verified_at: u64,      // milliseconds of this edge's clock
///     page_count: u32,
///     bucket_count: u32,
///     chain: [u8; 32],
///     evidence: [u8; 72],
///     filter_key: [u8; 16],
///     manifest: [u8; 32],    // SHA-256 of the manifest, without its signature
///     manifest_signer: [u8; 32],
///     batch_signer: [u8; 32],
/// }
/// ```
///
/// # Which edges believe it?
///
/// Edges that pin the key that signed the manifest *and* the one that signed the last batch.
/// Several configurations may follow one feed, before and after an update or in two listeners, and
/// each trusts what its own keys vouch for, no matter which of them has loaded it. The last batch
/// vouches for all before it: it contains the chain of the whole history up to there. When the
/// authority has switched to another key, the manifest is fetched once more: it is the same, under
/// the new signature, and then the old key is no longer needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedState {
    /// The history that the sequence numbers belong to.
    pub epoch: u64,
    /// The generation in use.
    pub generation: u64,
    /// Which of the two slots its pages are in.
    pub slot: u8,
    /// Every change up to this one has been applied.
    pub sequence: u64,
    /// The chain up to there.
    pub chain: Chain,
    /// Proof that the authority has said so.
    pub evidence: Evidence,
    /// Identifies the load that wrote the records. Two loads of one generation, by a leader that
    /// was stopped and by its successor, do not mistake each other's records for their own.
    pub load: u64,
    /// How many batches were applied in this process; identifies the announcement of the last one.
    pub batches: u64,
    /// Everything revoked by this time is applied, by this edge's clock, in milliseconds: it is
    /// when the poll was sent to which the authority answered that there is no more.
    pub verified_at: u64,
    /// SHA-256 of the manifest of the generation in use.
    pub manifest: [u8; 32],
    /// The signer of that manifest.
    pub manifest_signer: Signer,
    /// The signer of the last batch that was received, with or without changes.
    pub batch_signer: Signer,
    /// The secret under which names are hashed.
    pub filter_key: FilterKey,
    /// Pages of the filter.
    pub page_count: u32,
    /// Buckets of the table of cut-offs.
    pub bucket_count: u32,
}

const VERSION: u8 = 3;
const STATE_BYTES: usize = 8 + 6 * 8 + 2 * 4 + 32 + 72 + 16 + 3 * 32;

impl FeedState {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(STATE_BYTES);
        bytes.extend([VERSION, self.slot, 0, 0, 0, 0, 0, 0]);
        let numbers = [
            self.epoch,
            self.generation,
            self.sequence,
            self.load,
            self.batches,
            self.verified_at,
        ];
        for number in numbers {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.page_count.to_le_bytes());
        bytes.extend(self.bucket_count.to_le_bytes());
        bytes.extend(self.chain.0);
        bytes.extend(self.evidence.0);
        bytes.extend(self.filter_key.bytes());
        bytes.extend(self.manifest);
        bytes.extend(self.manifest_signer.0);
        bytes.extend(self.batch_signer.0);
        bytes
    }

    /// The state in the payload of a record; `None` for anything else, which is treated as if
    /// nothing were there.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = LittleEndian(payload);
        let [version, slot, reserved @ ..] = fields.array::<8>()?;
        if version != VERSION || slot > 1 || reserved != [0; 6] {
            return None;
        }
        let (epoch, generation, sequence) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let (load, batches, verified_at) = (fields.u64()?, fields.u64()?, fields.u64()?);
        let state = Self {
            epoch,
            generation,
            slot,
            sequence,
            load,
            batches,
            verified_at,
            page_count: fields.u32()?,
            bucket_count: fields.u32()?,
            chain: Chain(fields.array()?),
            evidence: Evidence(fields.array()?),
            filter_key: FilterKey::new(fields.array()?),
            manifest: fields.array()?,
            manifest_signer: Signer(fields.array()?),
            batch_signer: Signer(fields.array()?),
        };
        fields.end(state)
    }

    /// Whether these keys vouch for all of it.
    #[must_use]
    pub fn is_trusted_by(&self, keys: &FeedKeys) -> bool {
        keys.has(self.manifest_signer) && keys.has(self.batch_signer)
    }

    /// Whether a generation of this number would be newer.
    #[must_use]
    pub fn is_older_than(&self, epoch: u64, generation: u64) -> bool {
        (self.epoch, self.generation) < (epoch, generation)
    }
}

#[cfg(test)]
pub(crate) fn example() -> FeedState {
    FeedState {
        epoch: 1,
        generation: 2,
        slot: 1,
        sequence: 3,
        chain: Chain([4; 32]),
        evidence: Evidence([9; 72]),
        load: 10,
        batches: 9,
        verified_at: 5,
        filter_key: FilterKey::new([6; 16]),
        manifest: [11; 32],
        manifest_signer: Signer([12; 32]),
        batch_signer: Signer([13; 32]),
        page_count: 7,
        bucket_count: 8,
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn the_record_comes_back_as_it_was() {
        assert_eq!(FeedState::decode(&example().encode()), Some(example()));
        assert_eq!(example().encode().len(), STATE_BYTES);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn other_lengths_versions_and_slots_are_nothing() {
        let state = example().encode();
        for index in [0, 1, 2, 7] {
            let mut changed = state.clone();
            changed[index] ^= 2;
            assert_eq!(FeedState::decode(&changed), None, "byte {index}");
        }
        for length in 0..state.len() {
            assert_eq!(FeedState::decode(&state[..length]), None, "{length} bytes");
        }
        assert_eq!(FeedState::decode(&[state, vec![0]].concat()), None);
    }
}
