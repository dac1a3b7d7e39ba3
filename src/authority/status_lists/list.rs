//! The statuses in a list, unpacked.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use miniz_oxide::inflate::decompress_to_vec_zlib_with_limit;

use super::reading::ListFault;
use crate::revocation::wire::TokenStatus;

/// The longest list, in bytes, unpacked: 128 million tokens with a bit each. A few bytes may be packed so
/// that they come to a thousand times as much.
pub(super) const MAX_BYTES: usize = 16 << 20;

/// The statuses of many tokens, each in one, two, four or eight bits (draft-ietf-oauth-status-list
/// section 4.1).
#[derive(Clone, PartialEq, Eq)]
pub(super) struct StatusList {
    bits: u8,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for StatusList {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut shown = formatter.debug_struct("StatusList");
        shown.field("bits", &self.bits).finish_non_exhaustive()
    }
}

impl StatusList {
    /// Unpacks `lst`, which has this many `bits` for each token.
    ///
    /// # Errors
    ///
    /// [`ListFault`].
    pub(super) fn unpack(bits: u64, lst: &str) -> Result<Self, ListFault> {
        let bits = match bits {
            1 => 1,
            2 => 2,
            4 => 4,
            8 => 8,
            _ => return Err(ListFault::Bits),
        };
        let packed = URL_SAFE_NO_PAD
            .decode(lst)
            .map_err(|_| ListFault::Packing)?;
        let bytes = decompress_to_vec_zlib_with_limit(&packed, MAX_BYTES);
        let mut bytes = bytes.map_err(|_| ListFault::Packing)?;
        bytes.shrink_to_fit();
        Ok(Self { bits, bytes })
    }

    /// The list of these bytes.
    #[cfg(any(test, fuzzing))]
    pub(super) const fn of(bits: u8, bytes: Vec<u8>) -> Self {
        Self { bits, bytes }
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The status with this index, if there is one. Those that are not known here are no good ones.
    pub(super) fn status(&self, index: u64) -> Option<TokenStatus> {
        Some(match self.value(index)? {
            0 => TokenStatus::Valid,
            2 => TokenStatus::Suspended,
            _ => TokenStatus::Invalid,
        })
    }

    /// From the least significant bits of a byte to the most significant ones.
    fn value(&self, index: u64) -> Option<u8> {
        let in_byte = self.in_byte();
        let byte = self.bytes.get(usize::try_from(index / in_byte).ok()?)?;
        let shift = u32::try_from(index % in_byte).ok()? * u32::from(self.bits);
        let mask = u8::MAX >> (8 - self.bits);
        Some((byte >> shift) & mask)
    }

    pub(super) fn in_byte(&self) -> u64 {
        u64::from(8 / self.bits)
    }

    /// The indices whose status is another one in `newer`, or that it does not have. What only `newer` has
    /// is no change: nothing was said of it.
    pub(super) fn changes<'l>(&'l self, newer: &'l Self) -> impl Iterator<Item = u64> + 'l {
        let is_alike = self.bits == newer.bits;
        let bytes = self.bytes.iter().enumerate();
        // Few bytes are others, and most lists are long.
        let changed =
            bytes.filter(move |(at, byte)| !is_alike || newer.bytes.get(*at) != Some(*byte));
        let indices = changed.flat_map(|(at, _)| {
            let first = at as u64 * self.in_byte();
            first..first + self.in_byte()
        });
        indices.filter(|index| self.status(*index) != newer.status(*index))
    }
}

#[cfg(test)]
mod tests;
