//! Reading and writing bytes in the feed's formats: little-endian, lengths checked before anything
//! is allocated, nothing left over.

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end too early.
    #[error("expected {expected} more bytes, found {found}")]
    Truncated {
        /// Bytes that should have followed.
        expected: usize,
        /// Bytes that did.
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

/// Takes values from the front of a slice.
pub(super) struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    pub(super) const fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Truncated {
            expected: N,
            found: self.0.len(),
        })?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, DecodeError> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, DecodeError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Checks magic, version and the reserved byte after it.
    pub(super) fn format(&mut self, expected: [u8; 6]) -> Result<(), DecodeError> {
        match self.array()? {
            found if found == expected => Ok(()),
            _ => Err(DecodeError::Format),
        }
    }

    pub(super) const fn finish(self) -> Result<(), DecodeError> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(DecodeError::Trailing(left)),
        }
    }
}
