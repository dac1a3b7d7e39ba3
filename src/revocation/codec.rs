//! Reading and writing bytes in the feed's formats: little-endian, lengths checked before anything
//! is allocated, nothing left over.

use crate::little_endian::LittleEndian;

/// Why bytes could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("expected {expected} more bytes, found {found}")]
    Truncated {
        /// Bytes that were expected.
        expected: usize,
        /// Bytes that followed.
        found: usize,
    },
    /// There are bytes after the end.
    #[error("{0} bytes left over")]
    Trailing(usize),
    /// Not the format, or a version of it that is not known.
    #[error("not this format, or not this version of it")]
    Format,
    /// A value that the format does not allow.
    #[error("`{0}` has a value that is not allowed")]
    Value(&'static str),
}

/// Takes values from the front of a slice, or says what is wrong.
pub(super) struct Reader<'b>(LittleEndian<'b>);

impl<'b> Reader<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self(LittleEndian(bytes))
    }

    fn take<T>(
        &mut self,
        read: impl FnOnce(&mut LittleEndian<'b>) -> Option<T>,
    ) -> Result<T, DecodeError> {
        read(&mut self.0).ok_or(DecodeError::Truncated {
            expected: size_of::<T>(),
            found: self.0.0.len(),
        })
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.take(LittleEndian::array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.take(LittleEndian::u8)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.take(LittleEndian::u16)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.take(LittleEndian::u32)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.take(LittleEndian::u64)
    }

    /// Checks magic, version and the reserved byte after it.
    pub(super) fn format(&mut self, expected: [u8; 6]) -> Result<(), DecodeError> {
        match self.array()? {
            found if found == expected => Ok(()),
            _ => Err(DecodeError::Format),
        }
    }

    pub(super) const fn finish(self) -> Result<(), DecodeError> {
        match self.0.rest().len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}
