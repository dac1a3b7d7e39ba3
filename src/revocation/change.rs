//! What changed since: batches of changes, chained and signed.
//!
//! An edge polls for what came after the last change that it has, and names the history that ends
//! with that change ([`DeltaQuery`](super::wire::DeltaQuery)).
//!
//! The answer is 200 with a batch, or 410: the epoch is another one, the changes after `after` are
//! no longer kept, there is no such number yet, or the chain at that number is another one. The
//! last two mean that the authority was restored from a backup, and in the last one it has since
//! given the numbers to other changes. Then a new epoch begins, if the [evidence](super::Evidence)
//! shows that the authority itself has told the edge so. An edge that is told 410 fetches the
//! manifest.
//!
//! Without `chain` only the edge notices, by the chain in the batch, and the authority does not.
//!
//! ```text
//! struct Batch {                  // little-endian
//!     magic: [u8; 4],             // "PCDB"
//!     version: u8,                // 3; 1 had no `except_from`, 2 no `head` and no `evidence`
//!     reserved: u8,               // 0
//!     nonce: u64,                 // what the edge sent: the batch answers this poll
//!     time: u64,                  // the authority's clock, milliseconds
//!     epoch: u64,                 // the history that sequence numbers belong to
//!     generation: u64,            // the newest that is published
//!     head: u64,                  // the last sequence number that there is, at this moment
//!     after: u64,                 // the sequence number before the first change
//!     chain: [u8; 32],            // the chain at `after`
//!     count: u32,                 // at most 256; the last sequence number is below 2^64
//!     changes: [Change; count],
//!     evidence: Evidence,         // of the position of an edge that has all of them
//!     key: [u8; 8],               // beginning of the public key
//!     signature: [u8; 64],        // Ed25519 over "portcullis batch 1\0" and all before `key`
//! }
//! struct Change {
//!     operation: u8,              // 1 add, 2 restore, 3 set cut-off, 4 clear cut-off
//!     fingerprint: [u8; 16],
//!     // and for 3 only:
//!     not_before: u64,            // seconds
//!     except: [u8; 16],           // zeros for none
//!     except_from: u64,           // seconds; 0 for none
//! }
//! ```
//!
//! A batch without changes is the heartbeat. The nonce makes both fresh: an answer that was
//! recorded earlier, or is held back, has the nonce of another poll.
//!
//! # Why does a batch contain the head of the feed?
//!
//! An edge's staleness is the time since it last had everything. A batch alone does not tell when
//! that was, however fresh it is: there may be thousands of changes after it. If its last change is
//! the `head`, the edge has everything that was revoked when it sent the poll.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::codec::{DecodeError, Reader};
use super::cut_off::CutOff;
use super::evidence::Evidence;
use super::feed_key::{FeedKeys, FeedSignatureError, Signable, Signer};
use super::name::Fingerprint;

/// Longest batch; the edge buffers it whole.
pub const MAX_BATCH_BYTES: usize = 1 << 20;

/// Most changes of one batch. Applying a change in a page of its own takes an edge some five
/// microseconds, and the worker serves no request meanwhile; more changes come in the next batch.
pub const MAX_BATCH_CHANGES: u32 = 256;

/// Changes that an authority keeps, and so how far an edge may fall behind before it has to fetch
/// the whole filter again. Half a million changes take as many bytes as a filter of three million
/// entries.
pub const KEPT_CHANGES: u32 = 500_000;

const FORMAT: [u8; 6] = *b"PCDB\x03\x00";
const ADD: u8 = 1;
const RESTORE: u8 = 2;
const SET_CUT_OFF: u8 = 3;
const CLEAR_CUT_OFF: u8 = 4;

/// One committed change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// A token, session or device was revoked.
    Add(Fingerprint),
    /// A token, session or device was restored.
    Restore(Fingerprint),
    /// A cut-off was set, or replaced.
    SetCutOff(CutOff),
    /// A cut-off was restored.
    ClearCutOff(Fingerprint),
}

impl Change {
    /// The name that it changes.
    #[must_use]
    pub const fn fingerprint(&self) -> Fingerprint {
        match self {
            Self::Add(name) | Self::Restore(name) | Self::ClearCutOff(name) => *name,
            Self::SetCutOff(cut_off) => cut_off.key,
        }
    }

    /// Appends the change.
    pub fn encode_to(&self, bytes: &mut Vec<u8>) {
        let (operation, name) = match self {
            Self::Add(name) => (ADD, name),
            Self::Restore(name) => (RESTORE, name),
            Self::ClearCutOff(name) => (CLEAR_CUT_OFF, name),
            Self::SetCutOff(cut_off) => {
                bytes.push(SET_CUT_OFF);
                cut_off.encode_to(bytes);
                return;
            }
        };
        bytes.push(operation);
        bytes.extend(name.0);
    }

    /// Reads a change with nothing after it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let change = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(change)
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, DecodeError> {
        match reader.u8()? {
            ADD => Ok(Self::Add(Fingerprint(reader.array()?))),
            RESTORE => Ok(Self::Restore(Fingerprint(reader.array()?))),
            SET_CUT_OFF => CutOff::read(reader).map(Self::SetCutOff),
            CLEAR_CUT_OFF => Ok(Self::ClearCutOff(Fingerprint(reader.array()?))),
            _ => Err(DecodeError::Value("operation")),
        }
    }
}

/// The history up to a sequence number, as one hash: `SHA-256(chain before ‖ encoded change)` for
/// every change. Two histories that differ anywhere have different chains from there on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chain(pub [u8; 32]);

impl Chain {
    /// The chain of a history without changes.
    pub const EMPTY: Self = Self([0; 32]);

    /// The chain after one more change.
    #[must_use]
    pub fn followed_by(self, change: &Change) -> Self {
        let mut bytes = Vec::with_capacity(72);
        change.encode_to(&mut bytes);
        let mut hasher = Sha256::new();
        hasher.update(self.0);
        hasher.update(&bytes);
        Self(hasher.finalize().into())
    }

    /// Its text form in a poll.
    #[must_use]
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The chain in a poll.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

/// Why a batch is not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// Longer than [`MAX_BATCH_BYTES`].
    #[error("expected at most {MAX_BATCH_BYTES} bytes, found {0}")]
    TooLarge(usize),
    /// Not signed by the authority.
    #[error(transparent)]
    Signature(#[from] FeedSignatureError),
    /// Signed, and still not the format.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Changes that follow one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// What the edge sent.
    pub nonce: u64,
    /// The authority's clock, milliseconds since the epoch.
    pub time: u64,
    /// The epoch.
    pub epoch: u64,
    /// The newest published generation.
    pub generation: u64,
    /// The last sequence number that there was when the batch was made.
    pub head: u64,
    /// Sequence number before the first change.
    pub after: u64,
    /// Chain at `after`.
    pub chain: Chain,
    /// The changes.
    pub changes: Vec<Change>,
    /// Proof for an edge that has all of them.
    pub evidence: Evidence,
}

impl Batch {
    /// Sequence number of the last change.
    #[must_use]
    pub const fn through(&self) -> u64 {
        self.after.saturating_add(self.changes.len() as u64)
    }

    /// Whether an edge that has these changes has all that there were when the batch was made.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        self.through() >= self.head
    }

    /// The chain at a sequence number from [`after`](Self::after) to [`through`](Self::through).
    #[must_use]
    pub fn chain_at(&self, sequence: u64) -> Option<Chain> {
        let count = usize::try_from(sequence.checked_sub(self.after)?).ok()?;
        self.changes
            .get(..count)
            .map(|first| self.chain_over(first))
    }

    /// The chain after the last change.
    #[must_use]
    pub fn chain_through(&self) -> Chain {
        self.chain_over(&self.changes)
    }

    fn chain_over(&self, first: &[Change]) -> Chain {
        first.iter().fold(self.chain, Chain::followed_by)
    }

    /// Everything that is signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = FORMAT.to_vec();
        for number in [
            self.nonce,
            self.time,
            self.epoch,
            self.generation,
            self.head,
            self.after,
        ] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.chain.0);
        let count = u32::try_from(self.changes.len()).unwrap_or(u32::MAX);
        bytes.extend(count.to_le_bytes());
        for change in &self.changes {
            change.encode_to(&mut bytes);
        }
        bytes.extend(self.evidence.0);
        bytes
    }

    /// Verifies the signature, then reads the batch. The caller has to compare whether it answers
    /// the right poll and continues the right history.
    ///
    /// # Errors
    ///
    /// [`BatchError`].
    pub fn decode(message: &[u8], keys: &FeedKeys) -> Result<Self, BatchError> {
        Self::decode_signed(message, keys).map(|(batch, _)| batch)
    }

    /// The same, with the signer.
    ///
    /// # Errors
    ///
    /// [`BatchError`].
    pub fn decode_signed(message: &[u8], keys: &FeedKeys) -> Result<(Self, Signer), BatchError> {
        if message.len() > MAX_BATCH_BYTES {
            return Err(BatchError::TooLarge(message.len()));
        }
        let (body, signer) = keys.verified_by(Signable::Batch, message)?;
        let mut reader = Reader::new(body);
        reader.format(FORMAT)?;
        let nonce = reader.u64()?;
        let time = reader.u64()?;
        let epoch = reader.u64()?;
        let generation = reader.u64()?;
        let head = reader.u64()?;
        let after = reader.u64()?;
        let chain = Chain(reader.array()?);
        let count = reader.u32()?;
        if count > MAX_BATCH_CHANGES || after.checked_add(count.into()).is_none() {
            return Err(DecodeError::Value("count").into());
        }
        let mut changes = Vec::new();
        for _ in 0..count {
            changes.push(Change::read(&mut reader)?);
        }
        let evidence = Evidence(reader.array()?);
        reader.finish()?;
        let batch = Self {
            nonce,
            time,
            epoch,
            generation,
            head,
            after,
            chain,
            changes,
            evidence,
        };
        if batch.through() > head {
            return Err(DecodeError::Value("head").into());
        }
        Ok((batch, signer))
    }
}

#[cfg(test)]
mod tests;
