//! The one record that says which generation counts and how far it has come.

use super::{Chain, Evidence, FeedKeys, FilterKey, Signer};
use crate::little_endian::LittleEndian;

/// What every virtual machine of a process agrees on. It stands in shared data, sealed as every
/// record is (see [`crate::namespace`]), as
///
/// ```text
/// struct State {             // little-endian
///     version: u8,           // 3; 2 did not say who has signed
///     slot: u8,              // 0 or 1: which of the two places the generation is in
///     reserved: [u8; 6],     // 0
///     epoch: u64,
///     generation: u64,
///     sequence: u64,
///     load: u64,             // random; names the loading that wrote the generation's records
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
/// # Who believes it?
///
/// Edges that pin the key that has signed the manifest *and* the one that has signed the last batch.
/// Several configurations may follow one feed, before and after an update or in two listeners, and
/// each trusts what its own keys vouch for, no matter which of them has loaded it. The last batch vouches for all
/// before it: it names the chain of the whole history up to there. When the authority has gone over
/// to another key, the manifest is fetched once more: it is the same, under the new signature, and
/// then the old key is not needed any more for what is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedState {
    /// The line of history that the sequence numbers belong to.
    pub epoch: u64,
    /// The generation that is read.
    pub generation: u64,
    /// Which of two places its pages are in.
    pub slot: u8,
    /// Every change up to this one has been applied.
    pub sequence: u64,
    /// The history up to there.
    pub chain: Chain,
    /// What shows that the authority has said so.
    pub evidence: Evidence,
    /// Names the loading that wrote the records. Two loadings of one generation, by a leader that
    /// was stopped and by its successor, do not take each other's records for their own.
    pub load: u64,
    /// How many batches were applied in this process; names the announcement of the last one.
    pub batches: u64,
    /// Everything is in that had been revoked by then, by this edge's clock, in milliseconds: when
    /// the question was sent to which the authority answered that there is no more.
    pub verified_at: u64,
    /// SHA-256 of the manifest of the generation that is read.
    pub manifest: [u8; 32],
    /// Who has signed that manifest.
    pub manifest_signer: Signer,
    /// Who has signed the last batch that was heard, with changes or without.
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

    /// Whether a generation of this number would be news.
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
