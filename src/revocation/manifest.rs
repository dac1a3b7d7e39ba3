//! A generation: the whole filter and the whole table of cut-offs at one sequence number.
//!
//! ```text
//! struct Manifest {               // little-endian
//!     magic: [u8; 4],             // "PCMF"
//!     version: u8,                // 2; 1 had segments of 256 pages, and a table in another form
//!     reserved: u8,               // 0
//!     created: u64,               // the authority's clock, milliseconds
//!     epoch: u64,                 // the history that sequence numbers belong to
//!     generation: u64,            // grows from one to the next, within an epoch
//!     sequence: u64,              // every change up to this one is in it
//!     chain: [u8; 32],            // the chain at `sequence`
//!     filter_key: [u8; 16],       // secret
//!     entries: u64,               // in the filter
//!     page_count: u32,
//!     bucket_count: u32,
//!     filter_segments: u16,
//!     cut_off_segments: u16,
//!     segments: [Segment; filter_segments + cut_off_segments],
//!     key: [u8; 8],               // beginning of the public key
//!     signature: [u8; 64],        // Ed25519 over "portcullis manifest 1\0" and all before `key`
//! }
//! struct Segment {
//!     length: u32,
//!     sha256: [u8; 32],
//! }
//! ```
//!
//! A segment of the filter is 64 pages, one after the other, the last one fewer; a segment of the
//! table is records in the order of their buckets (see [`super::cut_off`]).

use sha2::{Digest as _, Sha256};

use super::change::Chain;
use super::codec::{DecodeError, Reader};
use super::cut_off::{MAX_BUCKETS, RECORD_BYTES};
use super::feed_key::{FeedKeys, FeedSignatureError, Signable, Signer};
use super::name::FilterKey;
use super::page::{MAX_PAGES, PAGE_BYTES};

/// Pages of one segment.
///
/// A worker that receives a segment hashes it and writes its pages, and serves no request
/// meanwhile, for about a millisecond.
const SEGMENT_PAGES: usize = 64;

/// Longest segment; the edge buffers it whole.
pub const SEGMENT_BYTES: usize = SEGMENT_PAGES * PAGE_BYTES;

const FORMAT: [u8; 6] = *b"PCMF\x02\x00";

/// Longest manifest that is read: room for as many segments as [`MAX_PAGES`] and [`MAX_BUCKETS`]
/// need.
const MAX_MANIFEST_BYTES: usize = 832 * 1024;

/// Why a manifest is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestError {
    /// Longer than 832 KiB.
    #[error("expected at most {MAX_MANIFEST_BYTES} bytes, found {0}")]
    TooLarge(usize),
    /// Not signed by the authority.
    #[error(transparent)]
    Signature(#[from] FeedSignatureError),
    /// Signed, and still not the format.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// An immutable part of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Length in bytes.
    pub length: u32,
    /// SHA-256 of the bytes.
    pub sha256: [u8; 32],
}

impl Segment {
    /// The segment with these bytes; `None` for more than [`SEGMENT_BYTES`].
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let length = u32::try_from(bytes.len()).ok()?;
        (bytes.len() <= SEGMENT_BYTES).then(|| Self {
            length,
            sha256: Sha256::digest(bytes).into(),
        })
    }

    /// Whether these are its bytes.
    #[must_use]
    pub fn matches(&self, bytes: &[u8]) -> bool {
        Self::of(bytes).as_ref() == Some(self)
    }
}

/// The table of contents of a generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The authority's clock, milliseconds since the epoch.
    pub created: u64,
    /// The epoch.
    pub epoch: u64,
    /// Number of the generation.
    pub generation: u64,
    /// Every change up to this one is in it.
    pub sequence: u64,
    /// Chain at `sequence`.
    pub chain: Chain,
    /// The secret under which names are hashed.
    pub filter_key: FilterKey,
    /// Entries in the filter.
    pub entries: u64,
    /// Pages of the filter.
    pub page_count: u32,
    /// Buckets of the table of cut-offs.
    pub bucket_count: u32,
    /// The pages.
    pub filter_segments: Vec<Segment>,
    /// The cut-offs.
    pub cut_off_segments: Vec<Segment>,
}

impl Manifest {
    /// Everything that is signed.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = FORMAT.to_vec();
        for number in [self.created, self.epoch, self.generation, self.sequence] {
            bytes.extend(number.to_le_bytes());
        }
        bytes.extend(self.chain.0);
        bytes.extend(self.filter_key.bytes());
        bytes.extend(self.entries.to_le_bytes());
        bytes.extend(self.page_count.to_le_bytes());
        bytes.extend(self.bucket_count.to_le_bytes());
        for segments in [&self.filter_segments, &self.cut_off_segments] {
            let count = u16::try_from(segments.len()).unwrap_or(u16::MAX);
            bytes.extend(count.to_le_bytes());
        }
        for segment in self.filter_segments.iter().chain(&self.cut_off_segments) {
            bytes.extend(segment.length.to_le_bytes());
            bytes.extend(segment.sha256);
        }
        bytes
    }

    /// Verifies the signature, then reads the manifest and checks that its parts fit together:
    /// there are as many segments, of such lengths, as the pages need.
    ///
    /// # Errors
    ///
    /// [`ManifestError`].
    pub fn decode(message: &[u8], keys: &FeedKeys) -> Result<Self, ManifestError> {
        Self::decode_signed(message, keys).map(|(manifest, _)| manifest)
    }

    /// The same, with the signer.
    ///
    /// # Errors
    ///
    /// [`ManifestError`].
    pub fn decode_signed(message: &[u8], keys: &FeedKeys) -> Result<(Self, Signer), ManifestError> {
        if message.len() > MAX_MANIFEST_BYTES {
            return Err(ManifestError::TooLarge(message.len()));
        }
        let (body, signer) = keys.verified_by(Signable::Manifest, message)?;
        Ok((Self::read(body)?, signer))
    }

    /// Reads what [`encode`](Self::encode) has written, from a place that is trusted.
    ///
    /// # Errors
    ///
    /// [`DecodeError`].
    pub fn read(body: &[u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        reader.format(FORMAT)?;
        let created = reader.u64()?;
        let epoch = reader.u64()?;
        let generation = reader.u64()?;
        let sequence = reader.u64()?;
        let chain = Chain(reader.array()?);
        let filter_key = FilterKey::new(reader.array()?);
        let entries = reader.u64()?;
        let page_count = reader.u32()?;
        let bucket_count = reader.u32()?;
        let (filter_count, cut_off_count) = (reader.u16()?, reader.u16()?);
        let manifest = Self {
            created,
            epoch,
            generation,
            sequence,
            chain,
            filter_key,
            entries,
            page_count,
            bucket_count,
            filter_segments: read_segments(&mut reader, filter_count)?,
            cut_off_segments: read_segments(&mut reader, cut_off_count)?,
        };
        reader.finish()?;
        manifest.check()?;
        Ok(manifest)
    }

    /// Identifies the manifest, whichever key has signed it.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.encode()).into()
    }

    fn check(&self) -> Result<(), DecodeError> {
        if self.page_count == 0 || self.page_count > MAX_PAGES {
            return Err(DecodeError::Value("page_count"));
        }
        if self.bucket_count == 0 || self.bucket_count > MAX_BUCKETS {
            return Err(DecodeError::Value("bucket_count"));
        }
        let mut left = self.page_count as usize * PAGE_BYTES;
        for segment in &self.filter_segments {
            if segment.length as usize != left.min(SEGMENT_BYTES) {
                return Err(DecodeError::Value("length"));
            }
            left -= segment.length as usize;
        }
        if left != 0 {
            return Err(DecodeError::Value("filter_segments"));
        }
        let is_table = |segment: &Segment| {
            let length = segment.length as usize;
            length <= SEGMENT_BYTES && length.is_multiple_of(RECORD_BYTES)
        };
        if !self.cut_off_segments.iter().all(is_table) {
            return Err(DecodeError::Value("length"));
        }
        Ok(())
    }
}

fn read_segments(reader: &mut Reader<'_>, count: u16) -> Result<Vec<Segment>, DecodeError> {
    let segment = |_| {
        Ok(Segment {
            length: reader.u32()?,
            sha256: reader.array()?,
        })
    };
    (0..count).map(segment).collect()
}

#[cfg(test)]
mod tests;
