//! Spellings of a name that somebody on the way takes for the name itself.
//!
//! CGI and what came after it (WSGI, Rack, PHP) read `x_user` as `x-user`, PHP also `x.user`, and
//! lighttpd makes `_` of every byte that is neither a letter nor a digit. So names are compared
//! with all of these bytes as `-`, and without regard to case.

/// Whether the two are spellings of one name.
pub(super) fn is_alias(own: &str, name: &[u8]) -> bool {
    own.len() == name.len() && starts_as(own, name)
}

/// Whether `name` begins with a spelling of `prefix`.
pub(super) fn starts_as(prefix: &str, name: &[u8]) -> bool {
    let bytes = prefix.bytes().map(canonical);
    name.len() >= prefix.len() && bytes.zip(name).all(|(own, byte)| own == canonical(*byte))
}

/// The spelling that all aliases of a name share.
pub(super) fn canonical_name(name: &str) -> String {
    let bytes = name.bytes().map(canonical);
    bytes.map(char::from).collect()
}

const fn canonical(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn every_byte_that_is_neither_letter_nor_digit_is_the_same() {
        for byte in 0..=u8::MAX {
            let name = [&b"X-Session"[..], &[byte], b"id"].concat();
            let is_same = !byte.is_ascii_alphanumeric();
            assert_eq!(is_alias("x-session-id", &name), is_same, "{byte}");
            assert_eq!(starts_as("x-session-", &name), is_same, "{byte}");
        }
        assert!(is_alias("x_user", b"x.user"));
        assert_eq!(canonical_name("X_User~\u{e9}"), "x-user---");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn names_of_other_lengths_are_other_names() {
        for other in ["x-session-i", "x-session-idd", "xsession-id", ""] {
            assert!(!is_alias("x-session-id", other.as_bytes()), "{other}");
        }
        assert!(!starts_as("x-session-", b"x-session"));
        assert!(starts_as("x-session-", b"x-session-"));
    }
}
