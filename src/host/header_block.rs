//! The header lines of a request or an answer in one piece of memory, as the host hands them over
//! and takes them.
//!
//! Copying every name and every value into a string costs more than everything else that is done
//! for a cached token, so they are read in place:
//!
//! ```text
//! struct HeaderBlock {               // little-endian; proxy-wasm ABI 0.2.1
//!     count: u32,
//!     lengths: [(u32, u32); count],  // of name and value, without the NULs
//!     text: [u8],                    // name NUL value NUL, line after line
//! }
//! ```

use std::fmt;

/// The header lines of one request or answer, in their order.
///
/// A block that ends too early, which no host makes, has only the lines before its end.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HeaderBlock(Vec<u8>);

/// Bytes of the count.
const COUNT_BYTES: usize = 4;

/// Bytes of one pair of lengths.
const LENGTHS_BYTES: usize = 8;

impl HeaderBlock {
    /// A block as the host has written it.
    #[must_use]
    pub const fn from_host(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The name under which a block has the header with this name, in lower case. Envoy keeps
    /// `Host` as `:authority`, whatever the version of HTTP, and its own filters find it under both.
    #[must_use]
    pub fn kept_name(name: &str) -> &str {
        match name {
            "host" => ":authority",
            other => other,
        }
    }

    /// Whether it has exactly the lines that it says it has. A block without lines may be no bytes
    /// at all.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let Some(count) = word(&self.0) else {
            return self.0.is_empty();
        };
        let lengths_end = count
            .checked_mul(LENGTHS_BYTES)
            .and_then(|bytes| bytes.checked_add(COUNT_BYTES));
        let lengths = lengths_end.and_then(|end| self.0.get(COUNT_BYTES..end));
        let text = lengths.and_then(|lengths| {
            // With the NUL after each.
            let length = |each| word(each)?.checked_add(1);
            let mut all = lengths.chunks_exact(COUNT_BYTES).map(length);
            all.try_fold(0_usize, |sum, length| sum.checked_add(length?))
        });
        let whole = lengths_end.and_then(|end| end.checked_add(text?));
        whole == Some(self.0.len())
    }

    /// The lengths of name and value of the line with this index, as the block tells them. None of
    /// the lines is read for that.
    #[must_use]
    pub fn lengths_at(&self, index: usize) -> Option<(usize, usize)> {
        let start = index.checked_mul(LENGTHS_BYTES)?.checked_add(COUNT_BYTES)?;
        let pair = self.0.get(start..start.checked_add(LENGTHS_BYTES)?)?;
        let is_there = word(&self.0).is_some_and(|count| index < count);
        is_there.then_some((word(pair)?, word(pair.get(4..)?)?))
    }

    /// Names, in lower case, and values. Values need not be UTF-8.
    pub fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        let count = word(&self.0).unwrap_or(0);
        let lengths_end = count
            .checked_mul(LENGTHS_BYTES)
            .and_then(|bytes| bytes.checked_add(COUNT_BYTES));
        let parts = lengths_end.and_then(|end| self.0.split_at_checked(end));
        let (lengths, mut text) = parts.unwrap_or_default();
        let lengths = lengths.get(COUNT_BYTES..).unwrap_or_default();
        lengths.chunks_exact(LENGTHS_BYTES).map_while(move |pair| {
            let (name, rest) = text.split_at_checked(word(pair)?)?;
            let (value, rest) = rest.get(1..)?.split_at_checked(word(pair.get(4..)?)?)?;
            text = rest.get(1..)?;
            Some((name, value))
        })
    }

    /// The values of all lines with this name, which is in lower case.
    pub fn values<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b [u8]> {
        let lines = self
            .lines()
            .filter(move |(line, _)| *line == name.as_bytes());
        lines.map(|(_, value)| value)
    }
}

/// The names alone: a request's credentials are among the values.
impl fmt::Debug for HeaderBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self
            .lines()
            .map(|(name, _)| name.escape_ascii().to_string());
        formatter.debug_list().entries(names).finish()
    }
}

/// A block as a host would write it.
impl<Name: AsRef<[u8]>, Value: AsRef<[u8]>> FromIterator<(Name, Value)> for HeaderBlock {
    fn from_iter<Lines: IntoIterator<Item = (Name, Value)>>(lines: Lines) -> Self {
        let length = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut count = 0_u32;
        let (mut lengths, mut text) = (Vec::with_capacity(64), Vec::with_capacity(512));
        for (name, value) in lines {
            count += 1;
            let name = match name.as_ref() {
                b"host" => b":authority",
                other => other,
            };
            for part in [name, value.as_ref()] {
                lengths.extend(length(part));
                text.extend(part);
                text.push(0);
            }
        }
        Self([&count.to_le_bytes()[..], &lengths, &text].concat())
    }
}

impl AsRef<[u8]> for HeaderBlock {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// The number at the beginning.
fn word(bytes: &[u8]) -> Option<usize> {
    let bytes = bytes.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*bytes)).ok()
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    const LINES: [(&[u8], &[u8]); 4] = [
        (b":path", b"/"),
        (b"a", b""),
        (b"a", b"\xff\0b"),
        (b"empty-name", b"c"),
    ];

    #[wasm_bindgen_test(unsupported = test)]
    fn lines_come_back_in_their_order_and_byte_by_byte() {
        let block: HeaderBlock = LINES.into_iter().collect();
        assert!(block.lines().eq(LINES));
        assert_eq!(HeaderBlock::default().lines().count(), 0);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_lengths_of_every_line_are_at_hand() {
        let block: HeaderBlock = LINES.into_iter().collect();
        let lengths: Vec<_> = (0..9).map(|index| block.lengths_at(index)).collect();
        let lines = LINES.map(|(name, value)| Some((name.len(), value.len())));
        assert_eq!(lengths[..LINES.len()], lines);
        assert_eq!(lengths[LINES.len()..], [None; 5]);
        for index in [0, usize::MAX / 8, usize::MAX] {
            assert_eq!(HeaderBlock::default().lengths_at(index), None);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_host_of_a_request_has_one_name() {
        let block: HeaderBlock = [("host", "a"), ("hosts", "b")].into_iter().collect();
        assert!(
            block
                .lines()
                .eq([(&b":authority"[..], &b"a"[..]), (b"hosts", b"b")])
        );
        assert_eq!(HeaderBlock::kept_name("host"), ":authority");
        assert_eq!(HeaderBlock::kept_name("hosts"), "hosts");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_layout_is_that_of_the_host() {
        let block: HeaderBlock = [("ab", "c")].into_iter().collect();
        assert_eq!(
            block.as_ref(),
            b"\x01\0\0\0\x02\0\0\0\x01\0\0\0ab\0c\0",
            "count, lengths, name, value"
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_block_that_is_cut_off_anywhere_has_fewer_lines_and_does_no_harm() {
        let block: HeaderBlock = LINES.into_iter().collect();
        for end in 0..block.0.len() {
            let cut = HeaderBlock::from_host(block.0[..end].to_vec());
            assert!(cut.lines().count() < LINES.len(), "cut at {end}");
        }
        let huge = HeaderBlock::from_host(b"\xff\xff\xff\xff\xff\xff\xff\xff".to_vec());
        assert_eq!(huge.lines().count(), 0);
    }
}
