//! The one record that says which generation counts and how far it has come.

use super::{Chain, Evidence, FilterKey};
use crate::host::{Expected, SharedData};

/// What every virtual machine of a process agrees on. It stands in shared data as
///
/// ```text
/// struct Record {            // little-endian
///     magic: [u8; 4],        // "PCFS"
///     version: u8,           // 2; 1 had no `evidence`
///     slot: u8,              // 0 or 1: which of the two places the generation is in
///     reserved: [u8; 2],     // 0
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
///     checksum: u64,         // SipHash-1-3 of all before, under the filter key
/// }
/// ```
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
    /// The secret under which names are hashed.
    pub filter_key: FilterKey,
    /// Pages of the filter.
    pub page_count: u32,
    /// Buckets of the table of cut-offs.
    pub bucket_count: u32,
}

const MAGIC: &[u8; 6] = b"PCFS\x02\x00";
const RECORD_BYTES: usize = 8 + 6 * 8 + 2 * 4 + 32 + 72 + 16 + 8;

impl FeedState {
    /// Writes the record over the one of `expected`.
    pub(crate) fn write(&self, host: &impl SharedData, key: &str, expected: Expected) -> bool {
        host.set_shared(key, &self.encode(), expected)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(RECORD_BYTES);
        bytes.extend(MAGIC.get(..5).unwrap_or_default());
        bytes.extend([self.slot, 0, 0]);
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
        let checksum = self.filter_key.checksum(&[&bytes]);
        bytes.extend(checksum.to_le_bytes());
        bytes
    }

    /// The record in these bytes; `None` for anything else, which is treated as if nothing were
    /// there.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, checksum) = bytes.split_last_chunk::<8>()?;
        let mut rest = body.strip_prefix(MAGIC.get(..5)?)?;
        let [slot, reserved @ ..] = take::<3>(&mut rest)?;
        let mut number = || take(&mut rest).map(u64::from_le_bytes);
        let (epoch, generation, sequence) = (number()?, number()?, number()?);
        let (load, batches, verified_at) = (number()?, number()?, number()?);
        let page_count = take(&mut rest).map(u32::from_le_bytes)?;
        let bucket_count = take(&mut rest).map(u32::from_le_bytes)?;
        let chain = Chain(take(&mut rest)?);
        let evidence = Evidence(take(&mut rest)?);
        let filter_key = FilterKey::new(take(&mut rest)?);
        let is_whole = rest.is_empty() && reserved == [0, 0] && slot < 2;
        let is_intact = filter_key.checksum(&[body]) == u64::from_le_bytes(*checksum);
        (is_whole && is_intact).then_some(Self {
            epoch,
            generation,
            slot,
            sequence,
            chain,
            evidence,
            load,
            batches,
            verified_at,
            filter_key,
            page_count,
            bucket_count,
        })
    }

    /// Whether a generation of this number would be news.
    #[must_use]
    pub fn is_older_than(&self, epoch: u64, generation: u64) -> bool {
        (self.epoch, self.generation) < (epoch, generation)
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
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
        assert_eq!(example().encode().len(), RECORD_BYTES);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn foreign_bytes_are_nothing() {
        let record = example().encode();
        for place in 0..record.len() {
            let mut changed = record.clone();
            changed[place] ^= 1;
            assert_eq!(FeedState::decode(&changed), None, "byte {place}");
            assert_eq!(FeedState::decode(&record[..place]), None, "{place} bytes");
        }
        assert_eq!(FeedState::decode(&[record, vec![0]].concat()), None);
    }
}
