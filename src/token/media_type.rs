//! What kind of token one says that it is.

/// Whether `typ` of a token means this type. Media types may be written in any case, and `application/`
/// may be left out of those that have no other `/` (RFC 7515 section 4.1.9), in either of the two.
#[must_use]
pub fn is_type(found: &str, expected: &str) -> bool {
    bare(found).eq_ignore_ascii_case(bare(expected))
}

fn bare(name: &str) -> &str {
    const MEDIA: &str = "application/";
    match name.split_at_checked(MEDIA.len()) {
        Some((media, rest)) if media.eq_ignore_ascii_case(MEDIA) => rest,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn a_type_is_known_in_any_case_with_and_without_the_word_application() {
        for found in [
            "at+jwt",
            "AT+JWT",
            "application/at+jwt",
            "Application/At+Jwt",
        ] {
            assert!(is_type(found, "at+jwt"), "{found}");
            assert!(is_type(found, "application/at+jwt"), "{found}");
        }
        for found in [
            "",
            "jwt",
            "at+jwt ",
            "text/at+jwt",
            "application/",
            "applicationat+jwt",
        ] {
            assert!(!is_type(found, "at+jwt"), "{found}");
        }
        // A letter of several bytes is not split.
        assert!(!is_type("applicatiön/at+jwt", "at+jwt"));
    }
}
