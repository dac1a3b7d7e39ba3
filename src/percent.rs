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
        }
    }
}
