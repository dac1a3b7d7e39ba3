//! The path that rules are matched against.
//!
//! Rules match the path as it was sent, as Envoy's own filter does. But an upstream may read
//! `/public/../admin`, `/public/%2e%2e/admin` or `/public/..;/admin` as `/admin`, and a rule that
//! opens `/public` would let the request through. So a path that is not in its normal form is also
//! read in every way that is known, and if one of these readings falls under another rule, the
//! request is refused: it means one thing here and another there, and no honest client needs that.

pub(super) mod readings;

use std::borrow::Cow;

/// The path without its query and fragment.
pub(super) fn without_query(target: &[u8]) -> &[u8] {
    let end = target.iter().position(|byte| matches!(byte, b'?' | b'#'));
    end.and_then(|end| target.get(..end)).unwrap_or(target)
}

/// The query without its `?`; empty when there is none.
pub(super) fn query(target: &[u8]) -> &[u8] {
    let end = target.iter().position(|byte| *byte == b'#');
    let target = end.and_then(|end| target.get(..end)).unwrap_or(target);
    let start = target.iter().position(|byte| *byte == b'?');
    let query = start.and_then(|start| target.get(start + 1..));
    query.unwrap_or_default()
}

/// Name and value of `name=value`, of a parameter or a cookie. Without `=` the value is empty.
pub(super) fn pair(pair: &[u8]) -> (&[u8], &[u8]) {
    let equals = pair.iter().position(|byte| *byte == b'=');
    let parts = equals.and_then(|equals| Some((pair.get(..equals)?, pair.get(equals + 1..)?)));
    parts.unwrap_or((pair, b""))
}

/// A name or a value of the query with its percent-encoding undone, once.
pub(super) fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    percent_decoded(text).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The parts of a parameter for servers that take `;` for `&`, as HTML 4 recommended (appendix
/// B.2.2) and Python, Rack and Perl did for a long time.
pub(super) fn parts(parameter: &[u8]) -> impl Iterator<Item = &[u8]> {
    parameter.split(|byte| *byte == b';')
}

/// The path with its query, without the parameters whose names, still encoded, `is_dropped` knows,
/// as names of the whole or of a part. Nothing else changes.
pub(super) fn without_parameters(target: &[u8], is_dropped: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let is_dropped = |part: &[u8]| is_dropped(pair(part).0);
    let path = without_query(target);
    let mut rebuilt = Vec::with_capacity(target.len());
    rebuilt.extend_from_slice(path);
    let mut separator = b'?';
    for parameter in query(target).split(|byte| *byte == b'&') {
        if is_dropped(parameter) {
            continue;
        }
        let is_whole = |part: &[u8]| part.len() == parameter.len();
        let (start, mut before) = (rebuilt.len(), separator);
        for part in parts(parameter).filter(|part| is_whole(part) || !is_dropped(part)) {
            rebuilt.push(before);
            rebuilt.extend_from_slice(part);
            before = b';';
        }
        let rest = rebuilt.get(start + 1..);
        if rest.is_some_and(|rest| !is_whole(rest) && is_dropped(rest)) {
            // What surrounded a part that is gone is a name of its own now.
            rebuilt.truncate(start);
        } else if rest.is_some() {
            separator = b'&';
        }
    }
    if rebuilt.len() == path.len() + 1 {
        rebuilt.truncate(path.len());
    }
    rebuilt
}

/// Whether there is one way to read a path, as there is for nearly all of them: it is printable
/// ASCII, nothing in it is encoded, it starts at the root, and it has no `\`, path parameters
/// (`;name=value`), empty segments or segments that begin or end with a dot.
pub(super) fn is_normal(path: &[u8]) -> bool {
    let starts_at_the_root = path.first() == Some(&b'/');
    let special = |byte: &u8| !byte.is_ascii_graphic() || matches!(byte, b'%' | b'\\' | b';');
    let odd_pair = |pair: &[u8]| matches!(pair, b"//" | b"/." | b"./");
    let ends_in_a_dot = path.last() == Some(&b'.');
    starts_at_the_root
        && !ends_in_a_dot
        && !path.iter().any(special)
        && !path.windows(2).any(odd_pair)
}

/// Whether a segment of the path is `..`.
pub(super) fn climbs(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/')
        .any(|segment| segment == b"..")
}

/// One round of percent-decoding; `None` when there was nothing to decode. A `%` without two hex
/// digits after it stays.
pub(super) fn percent_decoded(path: &[u8]) -> Option<Vec<u8>> {
    memchr::memchr(b'%', path)?;
    let mut decoded = path.to_vec();
    let length = decode_in_place(&mut decoded)?;
    decoded.truncate(length);
    Some(decoded)
}

/// As [`percent_decoded`]; tells how many bytes of `text` are left.
pub(super) fn decode_in_place(text: &mut [u8]) -> Option<usize> {
    let mut from = memchr::memchr(b'%', text)?;
    let mut to = from;
    while let Some(&byte) = text.get(from) {
        let pair = match text.get(from..) {
            Some([b'%', high, low, ..]) => hex(*high).zip(hex(*low)),
            _ => None,
        };
        let (byte, length) = pair.map_or((byte, 1), |(high, low)| (high << 4 | low, 3));
        if let Some(slot) = text.get_mut(to) {
            *slot = byte;
        }
        from += length;
        to += 1;
    }
    (to < text.len()).then_some(to)
}

/// The value of a hexadecimal digit.
pub(super) fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn ordinary_paths_are_normal() {
        for path in ["/", "/a/b.c", "/a/b/", "/well-known/x_y~z"] {
            assert!(is_normal(path.as_bytes()), "{path}");
        }
        for path in [
            "", "a", "//", "/a/..", "/a/.b", "/%61", "/a;b", "/a\\b", "/a./b", "/a.", "/a b",
            "/\u{e9}",
        ] {
            assert!(!is_normal(path.as_bytes()), "{path}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_lone_percent_sign_is_not_an_escape() {
        assert_eq!(percent_decoded(b"/100%/%zz/%4"), None);
        assert_eq!(
            percent_decoded(b"%%41%4%42%").as_deref(),
            Some(&b"%A%4B%"[..])
        );
        assert_eq!(percent_decoded(b""), None);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn parameters_are_dropped_and_nothing_else_changes() {
        let dropped = |target: &str| {
            let is_token = |name: &[u8]| name == b"token" || name == b"to;ken";
            let rebuilt = without_parameters(target.as_bytes(), is_token);
            String::from_utf8(rebuilt).unwrap()
        };
        for (target, expected) in [
            ("/x?token=abc", "/x"),
            ("/x?a=%41&token=abc&b", "/x?a=%41&b"),
            ("/x?a=1;token=abc;b&c", "/x?a=1;b&c"),
            ("/x?token=1;token=2&c", "/x?c"),
            ("/x?a;b&token", "/x?a;b"),
            ("/x?token=1&token=2&&a", "/x?&a"),
            ("/x?to;ken=1", "/x"),
            ("/x?to;token=1;ken=2&a", "/x?a"),
            ("/x?a&to;ken=1&b;c", "/x?a&b;c"),
            ("/x?token=1;a", "/x"),
            ("/x?a;token=1;", "/x?a;"),
            ("/x?&token=1", "/x"),
            ("/x?tokens=1", "/x?tokens=1"),
            ("/x?", "/x"),
            ("/x", "/x"),
        ] {
            assert_eq!(dropped(target), expected, "{target}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_query_is_what_stands_between_question_mark_and_fragment() {
        assert_eq!(query(b"/a?b=c?d#e?f"), b"b=c?d");
        assert_eq!(query(b"/a#?b"), b"");
        assert_eq!(pair(b"a=b=c"), (&b"a"[..], &b"b=c"[..]));
        assert_eq!(pair(b"a"), (&b"a"[..], &b""[..]));
        assert_eq!(decoded(b"a%2Eb").as_ref(), b"a.b");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn query_and_fragment_are_cut() {
        assert_eq!(without_query(b"/a?b=/c"), b"/a");
        assert_eq!(without_query(b"/a#?b"), b"/a");
        assert_eq!(without_query(b"/a"), b"/a");
    }
}
