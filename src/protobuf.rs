//! The wire format of protobuf, as far as messages from and to Envoy need it.
//!
//! A message is a sequence of fields. Each begins with a key, which is the field's number and its
//! wire type; a string, a byte string or a message is preceded by its length. Numbers of variable
//! length (`varint`) have seven bits in a byte, the lowest first, and the eighth bit says that more
//! follow.
//!
//! A protobuf crate is made for generated code: two messages with a handful of fields use a tenth
//! of what it adds to the module.

/// The key of field `number` if its value is a varint.
pub(crate) const fn varint_key(number: u8) -> u64 {
    key(number, 0)
}

/// The key of field `number` if its value is eight bytes.
pub(crate) const fn fixed64_key(number: u8) -> u64 {
    key(number, 1)
}

/// The key of field `number` if its value is preceded by its length.
pub(crate) const fn bytes_key(number: u8) -> u64 {
    key(number, 2)
}

const fn key(number: u8, wire_type: u64) -> u64 {
    (number as u64) << 3 | wire_type
}

/// Adds a string, a byte string or a message to a message.
pub(crate) fn write_bytes(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    write_varint(message, bytes_key(number));
    write_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

#[expect(clippy::cast_possible_truncation, reason = "seven bits of it")]
fn write_varint(message: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        message.push(value as u8 | 0x80);
        value >>= 7;
    }
    message.push(value as u8);
}

/// The rest of a message that is being read. A value that is not there is `None`.
#[derive(Clone, Copy)]
pub(crate) struct Message<'b>(pub(crate) &'b [u8]);

impl<'b> Message<'b> {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A varint: the key of a field, a number or a boolean.
    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if *byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    /// Eight bytes, as a double.
    pub(crate) fn double(&mut self) -> Option<f64> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(f64::from_le_bytes(*bytes))
    }

    /// A value that is preceded by its length.
    pub(crate) fn bytes(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.varint()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use prost::encoding::{encode_varint, string};
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_written_is_read_and_is_what_others_write() {
        for length in [0, 1, 127, 128, 300, 16_383, 16_384] {
            let text = "x".repeat(length);
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            write_bytes(&mut ours, 3, text.as_bytes());
            string::encode(3, &text, &mut theirs);
            assert_eq!(ours, theirs, "{length}");
            let mut message = Message(&ours);
            assert_eq!(message.varint(), Some(bytes_key(3)));
            assert_eq!(message.bytes(), Some(text.as_bytes()));
            assert!(message.is_empty());
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn every_number_is_read_and_none_that_breaks_off() {
        for value in [0, 1, 0x7f, 0x80, 0x4000, u64::from(u32::MAX), u64::MAX] {
            let mut encoded = Vec::new();
            encode_varint(value, &mut encoded);
            assert_eq!(Message(&encoded).varint(), Some(value));
            encoded.pop();
            assert_eq!(Message(&encoded).varint(), None, "{value}");
        }
        assert_eq!(Message(&[0xff; 11]).varint(), None);
        assert_eq!(Message(&[0; 7]).double(), None);
        assert_eq!(Message(b"\x02a").bytes(), None);
        // A length beyond any memory.
        let mut long = Vec::new();
        encode_varint(u64::MAX, &mut long);
        assert_eq!(Message(&long).bytes(), None);
    }
}
