//! Spellings of a name that some server on the way takes for the name itself.
//!
//! CGI and its successors (WSGI, Rack, PHP) read `x_user` as `x-user`, PHP also `x.user`, and
//! lighttpd turns every byte that is neither a letter nor a digit into `_`. So names are compared
//! with all of these bytes as `-`, and without regard to case.

use super::path;

/// Whether the two are spellings of one name.
pub(super) fn is_alias(own: &str, name: &[u8]) -> bool {
    own.len() == name.len() && starts_as(own, name)
}

/// Whether `name` begins with a spelling of `prefix`.
pub(super) fn starts_as(prefix: &str, name: &[u8]) -> bool {
    let bytes = prefix.bytes().map(canonical);
    name.len() >= prefix.len() && bytes.zip(name).all(|(own, byte)| own == canonical(*byte))
}

/// Whether some server reads `written`, the name of a parameter or a cookie, as `own`.
///
/// ASP.NET ignores case; PHP skips leading blanks, ends a name at a zero byte or a `[`, and reads
/// `.` and blanks within as `_`; qs and Rack have taken `[name]` for `name`; Django strips what
/// Unicode calls a blank; Werkzeug has taken `=name` for `name`; `URLSearchParams` drops a leading
/// `?`; and a proxy may have undone percent-encoding before.
pub(super) fn reads_as(own: &str, written: &[u8]) -> bool {
    if is_read_as(own, written) {
        return true;
    }
    if memchr::memchr(b'%', written).is_none() {
        return false;
    }
    // A query can have tens of thousands of names, so short ones are not copied to the heap.
    let mut short = [0; LONGEST_ON_THE_STACK];
    let mut long = Vec::new();
    let mut name = if let Some(short) = short.get_mut(..written.len()) {
        short.copy_from_slice(written);
        short
    } else {
        long.extend_from_slice(written);
        long.as_mut_slice()
    };
    for _ in 0..MAX_DECODING_ROUNDS {
        let Some(length) = path::decode_in_place(name) else {
            return false;
        };
        name = name.get_mut(..length).unwrap_or_default();
        if is_read_as(own, name) {
            return true;
        }
    }
    false
}

fn is_read_as(own: &str, name: &[u8]) -> bool {
    is_alias(own, name) || (name.len() > own.len() && is_alias(own, bare(own, name)))
}

/// What is left of a name after a server has trimmed and cut it.
fn bare<'n>(own: &str, name: &'n [u8]) -> &'n [u8] {
    // Some bytes beyond ASCII are blanks too, in UTF-8 and in Latin-1.
    let is_ascii = own.is_ascii();
    let may_begin_or_end = |byte: u8| byte.is_ascii_graphic() || !(byte.is_ascii() || is_ascii);
    let is_filling =
        |byte: &u8| !may_begin_or_end(*byte) || matches!(byte, b'+' | b'=' | b'?' | b'[' | b']');
    let start = name.iter().position(|byte| !is_filling(byte));
    let name = name.get(start.unwrap_or(name.len())..).unwrap_or_default();
    let end = memchr::memchr3(0, b'[', b']', name).unwrap_or(name.len());
    let name = name.get(..end).unwrap_or(name);
    let end = name.iter().rposition(|byte| !is_filling(byte));
    name.get(..end.map_or(0, |end| end + 1)).unwrap_or(name)
}

/// The spelling that all aliases of a name share.
pub(super) fn canonical_name(name: &str) -> String {
    let bytes = name.bytes().map(canonical);
    bytes.map(char::from).collect()
}

/// Rounds of percent-decoding, as for paths.
const MAX_DECODING_ROUNDS: usize = 4;

/// The longest name that is decoded on the stack, in bytes.
const LONGEST_ON_THE_STACK: usize = 64;

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
    fn names_of_parameters_and_cookies_are_read_as_the_most_lenient_reads_them() {
        for written in [
            "my_tok",
            "MY_TOK",
            "my.tok",
            "my tok",
            "my+tok",
            "my%20tok",
            "my%5ftok",
            "%256dy_tok",
            " my_tok",
            "+my_tok",
            "%20my_tok%09",
            "my_tok[]",
            "my_tok[0][x]",
            "my_tok%5b%5d",
            "my_tok%00",
            "my_tok\0.png",
            "=my_tok",
            "?my_tok",
            "my_tok ",
            "my_tok+",
            "[my_tok]",
            "[[my_tok]][a]",
            "%5Bmy_tok%5D",
            "%255Bmy_tok",
            "]my_tok",
            "my_tok]",
            "my_tok]a",
            "\u{a0}my_tok",
            "my_tok\u{2003}",
            "\u{feff}[ my_tok",
            "%c2%a0my_tok%85",
        ] {
            assert!(reads_as("my_tok", written.as_bytes()), "{written}");
        }
        for byte in 0x80..=u8::MAX {
            assert!(reads_as("my_tok", &[&[byte], &b"my_tok"[..]].concat()));
            assert!(reads_as("my_tok", &[&b"my_tok"[..], &[byte]].concat()));
        }
        let long = "%20".repeat(100) + "%256dy_tok";
        assert!(reads_as("my_tok", long.as_bytes()));
        for written in [
            "",
            "tok",
            "my_toks",
            "xmy_tok",
            "mytok",
            "%6",
            "%00my_tok2",
            "a[my_tok]",
            "my\u{a0}tok",
            "\u{a0}",
            "[]",
        ] {
            assert!(!reads_as("my_tok", written.as_bytes()), "{written}");
        }
        // However odd the configured name is.
        for own in ["a[b]", " a", "a%20b", "\u{e9}", "[a]"] {
            assert!(reads_as(own, own.as_bytes()), "{own}");
        }
        assert!(reads_as("a[b]", b"a%5Bb%5D"));
        assert!(reads_as("\u{e9}", b"%C3%A9 "));
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
