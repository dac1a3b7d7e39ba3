//! Reading numbers and arrays from the front of bytes, as in all formats of this crate:
//! little-endian, with lengths that are checked before anything is taken.

/// The bytes that are left. If there are not enough, nothing is taken.
#[derive(Debug)]
pub(crate) struct LittleEndian<'b>(pub(crate) &'b [u8]);

impl<'b> LittleEndian<'b> {
    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    /// This many bytes.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn slice(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    /// Everything up to the end.
    pub(crate) const fn rest(self) -> &'b [u8] {
        self.0
    }

    /// The value, if nothing comes after it.
    pub(crate) fn end<T>(self, value: T) -> Option<T> {
        self.0.is_empty().then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn values_are_taken_from_the_front_and_only_whole() {
        let mut bytes = LittleEndian(&[1, 2, 0, 3, 0, 0, 0, 4, 5, 6]);
        assert_eq!(bytes.u64(), Some(0x0400_0000_0300_0201));
        assert_eq!(bytes.u32(), None);
        assert_eq!(bytes.u16(), Some(0x0605));
        assert_eq!((bytes.u8(), bytes.array::<0>()), (None, Some([])));
        assert_eq!(bytes.end(7), Some(7));
        assert_eq!(LittleEndian(&[1]).end(7), None);
        assert_eq!(LittleEndian(&[1]).rest(), [1]);
    }
}
