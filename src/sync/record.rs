//! The envelope of every record in shared data.
//!
//! ```text
//! struct Record {            // little endian
//!     version:  u8 = 1,
//!     kind:     u8,          // Kind
//!     reserved: u16 = 0,
//!     length:   u32,         // of the payload
//!     checksum: u64,         // FNV-1a over kind and payload
//!     payload:  [u8; length],
//! }
//! ```
//!
//! The checksum tells our records from the bytes of a plugin that uses the same key by accident.
//! It is no protection against one that means harm: that one runs in the same process and may as
//! well answer the requests itself.

use std::hash::Hasher;

/// Version of the envelope and of all payloads.
const VERSION: u8 = 1;

/// Bytes before the payload.
const HEADER_BYTES: usize = 16;

/// What a record is about, so that one cannot be taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Who leads: [`super::lease`].
    Lease = 1,
    /// A JWK Set: [`super::key_record`].
    Keys = 2,
    /// Somebody needs a newer JWK Set.
    Wanted = 3,
}

/// Puts a payload into an envelope.
pub(super) fn seal(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::with_capacity(HEADER_BYTES + payload.len());
    bytes.extend([VERSION, kind as u8, 0, 0]);
    bytes.extend(length.to_le_bytes());
    bytes.extend(checksum(kind, payload).to_le_bytes());
    bytes.extend(payload);
    bytes
}

/// Takes the payload out, if everything about the envelope is right.
pub(super) fn open(kind: Kind, bytes: &[u8]) -> Option<Fields<'_>> {
    let mut fields = Fields(bytes);
    let head: [u8; 4] = fields.array()?;
    let length = fields.u32()?;
    let expected = fields.u64()?;
    let payload = fields.0;
    let is_ours = head == [VERSION, kind as u8, 0, 0]
        && u32::try_from(payload.len()) == Ok(length)
        && checksum(kind, payload) == expected;
    is_ours.then_some(fields)
}

/// What is left of a payload.
#[derive(Debug)]
pub(super) struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Everything up to the end.
    pub(super) const fn rest(self) -> &'b [u8] {
        self.0
    }

    /// The value, if nothing comes after it.
    pub(super) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }
}

fn checksum(kind: Kind, payload: &[u8]) -> u64 {
    fnv1a([&[kind as u8], payload])
}

fn fnv1a<'b>(parts: impl IntoIterator<Item = &'b [u8]>) -> u64 {
    let mut hasher = Fnv1a::default();
    parts.into_iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// FNV-1a (draft-eastlake-fnv). Chosen for its size: nothing depends on nobody finding collisions.
pub(super) struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        Self(OFFSET_BASIS)
    }
}

impl Hasher for Fnv1a {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn what_was_sealed_can_be_opened() {
        let bytes = seal(Kind::Lease, &7_u64.to_le_bytes());
        let mut fields = open(Kind::Lease, &bytes).unwrap();
        assert_eq!(fields.u64(), Some(7));
        assert_eq!(fields.end(()), Some(()));
        assert!(open(Kind::Wanted, &bytes).is_none());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_record_with_any_byte_changed_missing_or_added_is_nobodys() {
        let bytes = seal(Kind::Keys, b"{\"keys\":[]}");
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            assert!(open(Kind::Keys, &changed).is_none(), "byte {place}");
            assert!(
                open(Kind::Keys, &bytes[..place]).is_none(),
                "cut at {place}"
            );
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert!(open(Kind::Keys, &longer).is_none());
    }
}
