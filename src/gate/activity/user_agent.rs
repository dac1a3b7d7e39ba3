//! The kind of software that a request comes from.
//!
//! A user agent tells itself in products, `name/version`, with remarks between them (RFC 9110
//! section 10.1.5). Browsers name all those that they want to be taken for, and libraries stand
//! behind the name of the application.

/// Products by which a kind is known, wherever they stand. What comes earlier here counts more:
/// Edge says that it is Chrome too, and Chrome that it is Safari.
const KINDS: [(&str, &str); 14] = [
    ("Edg", "Edge"),
    ("EdgA", "Edge"),
    ("EdgiOS", "Edge"),
    ("OPR", "Opera"),
    ("SamsungBrowser", "SamsungBrowser"),
    ("FxiOS", "Firefox"),
    ("Firefox", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
    ("okhttp", "okhttp"),
    ("CFNetwork", "CFNetwork"),
    ("Dart", "Dart"),
    ("Dalvik", "Dalvik"),
];

/// Bytes of a user agent that are looked at. Those of browsers have less than 300.
const MOST_BYTES: usize = 512;

/// The longest name that is told of software that is not known here.
const LONGEST_NAME: usize = 32;

/// The kind: `Chrome`, for instance; of what is not known, the name of the first product. Never a
/// version, and no remark, which can tell a device.
pub(super) fn family(value: &[u8]) -> Option<String> {
    let value = value.get(..MOST_BYTES).unwrap_or(value);
    let (mut first, mut known) = (None, KINDS.len());
    for product in value.split(|byte| b" ();".contains(byte)) {
        let slash = product.iter().position(|byte| *byte == b'/');
        let name = slash.and_then(|slash| product.get(..slash));
        let rank = KINDS
            .iter()
            .position(|(kind, _)| name == Some(kind.as_bytes()));
        known = rank.unwrap_or(known).min(known);
        if !product.is_empty() {
            first.get_or_insert(product);
        }
    }
    if let Some((_, kind)) = KINDS.get(known) {
        return Some((*kind).to_owned());
    }
    let name = first?;
    let visible = |byte: &&u8| byte.is_ascii_graphic() && **byte != b'/';
    let name = name.iter().take_while(visible).take(LONGEST_NAME);
    let name: String = name.copied().map(char::from).collect();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn software_is_known_by_what_it_is_and_not_by_what_it_wants_to_be_taken_for() {
        let webkit = "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko)";
        let ios = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 \
                   (KHTML, like Gecko)";
        for (value, kind) in [
            (
                format!("{webkit} Chrome/131.0.0.0 Mobile Safari/537.36"),
                "Chrome",
            ),
            (
                format!("{webkit} Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0"),
                "Edge",
            ),
            (
                format!("{webkit} Chrome/131.0.0.0 Safari/537.36 OPR/116.0"),
                "Opera",
            ),
            (
                format!("{webkit} SamsungBrowser/26.0 Chrome/122.0.0.0 Mobile Safari/537.36"),
                "SamsungBrowser",
            ),
            (
                format!("{ios} CriOS/131.0 Mobile/15E148 Safari/604.1"),
                "Chrome",
            ),
            (
                format!("{ios} FxiOS/133.0 Mobile/15E148 Safari/605.1.15"),
                "Firefox",
            ),
            (
                format!("{ios} Version/18.1 Mobile/15E148 Safari/604.1"),
                "Safari",
            ),
            (format!("{ios} Mobile/15E148"), "Mozilla"),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0".to_owned(),
                "Firefox",
            ),
            ("okhttp/4.12.0".to_owned(), "okhttp"),
            ("MyBank/7.1 (build 5) okhttp/4.12.0".to_owned(), "okhttp"),
            (
                "MyBank/7.1 CFNetwork/1568.200.51 Darwin/24.1.0".to_owned(),
                "CFNetwork",
            ),
            ("Dart/3.5 (dart:io)".to_owned(), "Dart"),
            (
                "Dalvik/2.1.0 (Linux; U; Android 15; Pixel 9)".to_owned(),
                "Dalvik",
            ),
            ("curl/8.9.1".to_owned(), "curl"),
            ("MobileApp/7.1 (iPhone; iOS 19.2)".to_owned(), "MobileApp"),
            ("Chrome".to_owned(), "Chrome"),
            ("Chromex/1".to_owned(), "Chromex"),
            ("  x".to_owned(), "x"),
            ("a\"b\\c/1".to_owned(), "a\"b\\c"),
        ] {
            assert_eq!(family(value.as_bytes()).as_deref(), Some(kind), "{value}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn whatever_a_client_sends_a_kind_is_short_and_visible() {
        for value in [
            &b""[..],
            b" ",
            b"/1",
            b"\xff",
            b"(;)",
            "\u{e9}/1".as_bytes(),
        ] {
            assert_eq!(family(value), None, "{}", value.escape_ascii());
        }
        let long = family("x".repeat(100_000).as_bytes()).unwrap();
        assert_eq!(long.len(), LONGEST_NAME);
        assert_eq!(family(b"ab\xffcd/1").as_deref(), Some("ab"));
        let late = [&[b'('; MOST_BYTES][..], b"Chrome/1"].concat();
        assert_eq!(family(&late), None);
    }
}
