//! Percent-encoding for what stands in a URL or a form.

use std::fmt::Write as _;

/// Appends bytes, all of them escaped but the unreserved characters (RFC 3986 section 2.3) and `*`, which
/// forms leave alone. None that is left means anything in either.
pub(crate) fn encode(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'*' => {
                text.push(char::from(*byte));
            }
            _ => {
                // Writing into a string cannot fail.
                let _ = write!(text, "%{byte:02X}");
            }
        }
    }
}

/// The same of a text.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    encode(&mut encoded, text.as_bytes());
    encoded
}

/// Bytes without their escapes; `None` where one has not two hexadecimal digits. The gate, which has to read paths as
/// any server may, leaves such a one as it is (`gate::path`).
#[cfg(not(target_family = "wasm"))]
pub(crate) fn decoded(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut bytes = bytes.iter().copied();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' {
            let (high, low) = bytes.next().zip(bytes.next())?;
            digit(high)? << 4 | digit(low)?
        } else {
            byte
        });
    }
    Some(decoded)
}

/// The same of a text; `None` also where that is none any more.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn decoded_text(text: &str) -> Option<String> {
    String::from_utf8(decoded(text.as_bytes())?).ok()
}

#[cfg(not(target_family = "wasm"))]
fn digit(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_a_url_or_a_form_is_encoded() {
        for (text, expected) in [
            (
                "https://a/b?c=d&e é",
                "https%3A%2F%2Fa%2Fb%3Fc%3Dd%26e%20%C3%A9",
            ),
            ("a+b%2B;#\0", "a%2Bb%252B%3B%23%00"),
            ("Az09-._~*", "Az09-._~*"),
        ] {
            assert_eq!(encoded(text), expected);
            assert_eq!(decoded_text(expected).as_deref(), Some(text));
        }
    }

    #[test]
    fn an_escape_has_two_hexadecimal_digits() {
        assert_eq!(decoded_text("%2f%2F+").as_deref(), Some("//+"));
        for text in ["%", "a%4", "%+4", "%zz", "%%41", "%ff"] {
            assert_eq!(decoded_text(text), None, "{text}");
        }
    }
}
