//! Every way in which a server between here and the upstream may read a path.
//!
//! What becomes of `/public/../admin/..;/public/x` depends on whether `..;` is taken for `..`, and
//! one reading of a whole path hides another: it leads back to `/public` for a server that drops
//! path parameters, and to `/admin` for one that does not. A row of proxies makes it worse, since
//! each undoes a part: one resolves dot segments, and another undoes percent-encoding, which gives
//! new dot segments. So each single step of reading is tried on the result of every other, in every
//! order, until nothing new comes out.
//!
//! Some paths are refused unread: those with control characters, at which some servers end a path
//! and others trim it; with bytes that are not UTF-8, among them the overlong forms in which `/`
//! and `.` have been hidden from filters; with the `%u002e` of IIS; and with the full-width forms
//! of `/`, `\` and `.`, which Windows and servers that normalise (NFKC) take for these.

use super::percent_decoded;

/// Rounds of percent-decoding. Doubly encoded paths exist; one that is still encoded after four
/// rounds means nothing good.
const MAX_DECODING_ROUNDS: usize = 4;

/// Readings of one path. Paths with one oddity have two or three, and only an attacker puts all of
/// them into one path.
const MAX_READINGS: usize = 128;

/// Bytes of all readings of one path together: two of the longest path that Envoy takes by default
/// (60 KiB of headers), and all of [`MAX_READINGS`] for one of 1 KiB. Every byte is copied a few
/// times and matched with every rule, so this is what a request can cost at most.
pub(in crate::gate) const MAX_BYTES: usize = 128 * 1024;

/// A step of reading, which may change nothing.
type Step = fn(&[u8]) -> Vec<u8>;

const STEPS: [Step; 7] = [
    with_slashes,
    without_path_parameters,
    without_empty_segments,
    trimmed,
    in_ascii,
    resolved,
    cut,
];

/// Whether `is_same` holds for every reading of the path, which is itself the first. It does not
/// for a path that is refused unread, is encoded too often or has too many readings.
pub(in crate::gate) fn all(path: &[u8], is_same: impl FnMut(&[u8]) -> bool) -> bool {
    all_within(MAX_BYTES, path, is_same)
}

/// The same, where all readings together may have fewer bytes than [`MAX_BYTES`].
pub(in crate::gate) fn all_within(
    max_bytes: usize,
    path: &[u8],
    is_same: impl FnMut(&[u8]) -> bool,
) -> bool {
    let mut known = Known {
        readings: Vec::new(),
        bytes: 0,
        max_bytes,
        is_same,
    };
    let mut first = 0;
    let mut decoded = vec![path.to_vec()];
    for _ in 0..=MAX_DECODING_ROUNDS {
        if !known.add_all(decoded) {
            return false;
        }
        let mut index = first;
        while let Some(reading) = known.readings.get(index) {
            let next = STEPS.iter().map(|step| step(reading)).collect();
            if !known.add_all(next) {
                return false;
            }
            index += 1;
        }
        let undone = known.readings.iter().skip(first);
        decoded = undone.filter_map(|it| percent_decoded(it)).collect();
        first = known.readings.len();
    }
    decoded.is_empty()
}

/// The readings of one path so far.
struct Known<F> {
    readings: Vec<Vec<u8>>,
    /// Their lengths together.
    bytes: usize,
    max_bytes: usize,
    is_same: F,
}

impl<F: FnMut(&[u8]) -> bool> Known<F> {
    /// Keeps those that are new; `false` as soon as one of them is not the same, or too much.
    fn add_all(&mut self, readings: Vec<Vec<u8>>) -> bool {
        for reading in readings {
            if self.readings.contains(&reading) {
                continue;
            }
            self.bytes += reading.len();
            let is_within_limits =
                self.readings.len() < MAX_READINGS && self.bytes <= self.max_bytes;
            if !is_within_limits || !is_readable(&reading) || !(self.is_same)(&reading) {
                return false;
            }
            self.readings.push(reading);
        }
        true
    }
}

/// Whether the path is one of those that are not refused unread, see the module.
fn is_readable(path: &[u8]) -> bool {
    let hides_a_separator = |letter: char| matches!(letter, '\u{ff0e}' | '\u{ff0f}' | '\u{ff3c}');
    let is_escape_of_iis =
        |bytes: &[u8]| matches!(bytes, [b'%', b'u' | b'U', digit] if digit.is_ascii_hexdigit());
    str::from_utf8(path).is_ok_and(|text| {
        !text.contains(|letter: char| letter.is_control() || hides_a_separator(letter))
    }) && !path.windows(3).any(is_escape_of_iis)
}

/// `\` is `/`, as on Windows and for browsers.
fn with_slashes(path: &[u8]) -> Vec<u8> {
    let slash = |byte: &u8| if *byte == b'\\' { b'/' } else { *byte };
    path.iter().map(slash).collect()
}

/// Without `;name=value` at the ends of segments (RFC 3986 section 3.3), as servlets see it.
fn without_path_parameters(path: &[u8]) -> Vec<u8> {
    let segments = path.split(|byte| *byte == b'/');
    let names = segments.map(|segment| {
        let end = memchr::memchr(b';', segment).unwrap_or(segment.len());
        segment.get(..end).unwrap_or(segment)
    });
    names.collect::<Vec<_>>().join(&b'/')
}

/// With one `/` for several.
fn without_empty_segments(path: &[u8]) -> Vec<u8> {
    let mut merged = path.to_vec();
    merged.dedup_by(|byte, before| *byte == b'/' && *before == b'/');
    merged
}

/// Without blanks around segments and dots after them, as Windows and servers that trim what they
/// have decoded see it. A segment of nothing but dots goes up: `.. ` does, and so did `...` on some
/// Windows.
fn trimmed(path: &[u8]) -> Vec<u8> {
    let Ok(path) = str::from_utf8(path) else {
        return path.to_vec();
    };
    let segments = path.split('/').map(|segment| {
        let is_trimmed = |letter: char| letter == '.' || letter.is_whitespace();
        let name = segment.trim_start().trim_end_matches(is_trimmed);
        match segment.matches('.').count() {
            _ if !name.is_empty() => name,
            0 => "",
            1 => ".",
            _ => "..",
        }
    });
    segments.collect::<Vec<_>>().join("/").into_bytes()
}

/// With characters of Unicode as the ASCII that they stand for, for servers that normalise (NFKC)
/// or have an encoding that lacks them (the best fit of Windows), and without invisible ones. All
/// that NFKC turns into something with a separator, a dot, `%`, `?` or `#` in it, and of letters
/// and digits the full-width ones only: another alphabet leads to another name, which rules for one
/// name need not cover, but not out of a directory.
fn in_ascii(path: &[u8]) -> Vec<u8> {
    let Ok(text) = str::from_utf8(path) else {
        return path.to_vec();
    };
    if text.is_ascii() {
        return path.to_vec();
    }
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        let code = u32::from(letter);
        let ascii = match letter {
            '\u{ff01}'..='\u{ff5e}' => {
                plain.extend(char::from_u32(code - FULL_WIDTH));
                ""
            }
            '\u{2488}'..='\u{249b}' => {
                plain.push_str(&(code - BEFORE_ONE_AND_A_DOT).to_string());
                "."
            }
            '\u{1f100}' => "0.",
            '\u{2024}' | '\u{3002}' | '\u{fe12}' | '\u{fe52}' | '\u{ff61}' => ".",
            '\u{2025}' | '\u{fe30}' => "..",
            '\u{2026}' | '\u{fe19}' => "...",
            '\u{2044}' | '\u{2215}' | '\u{29f8}' => "/",
            '\u{2216}' | '\u{29f5}' | '\u{fe68}' => "\\",
            '\u{2100}' => "a/c",
            '\u{2101}' => "a/s",
            '\u{2105}' => "c/o",
            '\u{2106}' => "c/u",
            '\u{33c2}' => "a.m.",
            '\u{33c7}' => "Co.",
            '\u{33d8}' => "p.m.",
            '\u{37e}' | '\u{fe14}' | '\u{fe54}' => ";",
            '\u{fe6a}' => "%",
            '\u{fe16}' | '\u{fe56}' => "?",
            '\u{2047}' => "??",
            '\u{2048}' => "?!",
            '\u{2049}' => "!?",
            '\u{fe5f}' => "#",
            '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2064}'
            | '\u{feff}' => "",
            other => {
                plain.push(other);
                ""
            }
        };
        plain.push_str(ascii);
    }
    plain.into_bytes()
}

/// From a number with a dot, all in one character, to the number.
const BEFORE_ONE_AND_A_DOT: u32 = 0x2487;

/// From a full-width form to the character itself.
const FULL_WIDTH: u32 = 0xfee0;

/// With `.` and `..` resolved (RFC 3986 section 5.2.4), and a `/` at the beginning.
fn resolved(path: &[u8]) -> Vec<u8> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path
        .strip_prefix(b"/")
        .unwrap_or(path)
        .split(|byte| *byte == b'/')
    {
        ends_in_directory = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    if ends_in_directory {
        segments.push(b"");
    }
    let mut whole = vec![b'/'];
    whole.extend(segments.join(&b'/'));
    whole
}

/// Up to where a decoded query or fragment ends the path for a server that decodes too early.
fn cut(path: &[u8]) -> Vec<u8> {
    let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'));
    let end = end.unwrap_or(path.len());
    path.get(..end).unwrap_or(path).to_vec()
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    /// Whether no server can read the path as one outside of `/public`.
    fn is_public(path: &str) -> bool {
        let is_below = |path: &[u8]| {
            let rest = path.strip_prefix(b"/public");
            rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'/')))
        };
        is_below(path.as_bytes()) && all(path.as_bytes(), is_below)
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn servers_that_read_a_part_of_it_differently_are_thought_of() {
        for (path, reader) in [
            ("/public/../admin/x", "resolves"),
            ("/public/%2e%2E/admin/x", "decodes and resolves"),
            ("/public/..%5cadmin\\x", "takes backslashes"),
            ("/public/../admin/..;/public/x", "keeps parameters"),
            ("/public/..;/admin/x", "drops parameters"),
            ("/public/../admin//../public/x", "keeps empty segments"),
            ("/public//../admin", "merges empty segments"),
            ("/public/../admin/..\\public/x", "keeps backslashes"),
            ("/public/%2e%2e/admin/%252e%252e/public/x", "decodes once"),
            (
                "/public/..%2fadmin/users;a=%252f%252e%252e%252f%252e%252e%252fpublic%252fx",
                "drops parameters between two rounds of decoding",
            ),
            (
                "/public/%2e%2e;%2f..%2fpublic/admin",
                "drops parameters, then decodes",
            ),
            (
                "/public/%2e%2e/admin/%2e%2e/../public/x",
                "decodes what another has resolved",
            ),
            ("/public/..%20/admin", "trims blanks"),
            ("/public/%20.%2e%20/admin", "trims blanks on both sides"),
            ("/public/..%c2%a0/admin", "trims blanks of Unicode"),
            ("/public/...../admin", "goes up for any number of dots"),
            ("/public/.%20./admin", "has no eye for blanks between dots"),
            ("/public/..%e2%81%84admin", "has no fraction slash"),
            ("/public/%e2%80%a5/admin", "splits a leader of two dots"),
            ("/public/%ef%bc%852e%2e/admin", "has no full-width letters"),
            (
                "/public/%ef%b8%b0/admin",
                "splits two dots above one another",
            ),
            (
                "/public/%ef%b8%99/admin",
                "splits three dots above one another",
            ),
            ("/public/..%ef%b9%94/admin", "drops small parameters"),
            ("/public/..%ef%b8%94x/admin", "drops upright parameters"),
            ("/public/..%cd%be/admin", "drops Greek questions"),
            ("/public/.%ef%b9%92%ef%b9%a8admin", "has no small forms"),
            ("/public/..%ef%b9%96/x", "has no small question mark"),
            (
                "/public/.%e2%80%8b./admin",
                "sees no letter without a width",
            ),
            (
                "/public/../admin%3f/../../public/x",
                "decodes before the query is cut",
            ),
        ] {
            assert!(!is_public(path), "{path}: {reader}");
        }
    }

    /// Every character that Unicode (14.0, `UnicodeData.txt`) decomposes into something with one of
    /// `/`, `\\`, `.`, `;`, `%`, `?` and `#` in it.
    #[wasm_bindgen_test(unsupported = test)]
    fn what_nfkc_makes_into_separators_and_dots_is_read_as_these() {
        for (letters, expected) in [
            ("\u{37e}\u{fe14}\u{fe54}\u{ff1b}", ";;;;"),
            ("\u{2024}\u{fe52}\u{ff0e}", "..."),
            ("\u{2025}\u{fe30}", "...."),
            ("\u{2026}\u{fe19}", "......"),
            ("\u{2047}\u{2048}\u{2049}", "???!!?"),
            ("\u{fe16}\u{fe56}\u{ff1f}", "???"),
            ("\u{2100}\u{2101}\u{2105}\u{2106}", "a/ca/sc/oc/u"),
            ("\u{2488}\u{2489}\u{248a}\u{248b}\u{248c}", "1.2.3.4.5."),
            ("\u{248d}\u{248e}\u{248f}\u{2490}\u{2491}", "6.7.8.9.10."),
            (
                "\u{2492}\u{2493}\u{2494}\u{2495}\u{2496}",
                "11.12.13.14.15.",
            ),
            (
                "\u{2497}\u{2498}\u{2499}\u{249a}\u{249b}",
                "16.17.18.19.20.",
            ),
            ("\u{1f100}", "0."),
            ("\u{33c2}\u{33c7}\u{33d8}", "a.m.Co.p.m."),
            ("\u{fe68}\u{ff3c}", "\\\\"),
            ("\u{fe6a}\u{ff05}", "%%"),
            ("\u{fe5f}\u{ff03}", "##"),
            ("\u{ff0f}", "/"),
        ] {
            let read = in_ascii(letters.as_bytes());
            assert_eq!(String::from_utf8(read).unwrap(), expected, "{letters}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn oddities_that_lead_nowhere_else_are_put_up_with() {
        for path in [
            "/public",
            "/public/.well-known/x",
            "/public/caf%C3%A9/100%/%zz",
            "/public/a;b=c//d/./e/../f%2520g\\h",
            "/public/what%3f",
            "/public/why%3f/%20/and so on ...",
            "/public/v1./x...",
            "/public/wait%e2%80%a6/%e3%80%82/%ef%bc%a1%ef%bc%85",
            "/public/100%25us/%unit",
            "/public/\u{e9}",
        ] {
            assert!(is_public(path), "{path}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_nobody_honest_writes_is_read_by_nobody() {
        for odd in [
            "%00",
            "a%00.png",
            ".%09.",
            ".%0a.",
            "%0d%0ax",
            "%7f",
            "%c2%85",
            "%2500",
            "%c0%ae%c0%ae",
            "%c1%9c",
            "%e0%80%af",
            "%f0%80%80%ae",
            "%ed%a0%80",
            "%ff",
            "caf%e9",
            "%25c0%25ae",
            "%u002e%u002e",
            "%U2215",
            "%25u002e",
            "%u2e",
            "%ef%bc%8f",
            "%ef%bc%bc",
            "..%ef%bc%8e",
            "\u{ff0f}",
        ] {
            let path = format!("/public/{odd}/x");
            assert!(!is_public(&path), "{path}");
        }
        assert!(!all(b"/public/\xff", |_| true));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_is_encoded_too_often_or_has_too_many_readings_has_none() {
        let encoded = |times: usize| format!("/public/%{}41", "25".repeat(times - 1));
        assert!(is_public(&encoded(MAX_DECODING_ROUNDS)));
        assert!(!is_public(&encoded(MAX_DECODING_ROUNDS + 1)));
        let odd = "/public/a/b/c/d/e;x//..\\%2f;%5c%3f%252f;%255c%253f..%25252f;%25255c/../f";
        let mut readings = 0;
        let count = |_: &[u8]| {
            readings += 1;
            true
        };
        assert!(!all(odd.as_bytes(), count));
        assert_eq!(readings, MAX_READINGS);
        // As long as Envoy allows, and as odd as many are; then a little odder.
        let long = format!("/public/caf%C3%A9/{}", "x".repeat(60_000));
        assert!(is_public(&long));
        assert!(!is_public(&format!("{long}//;x")));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn dot_segments_are_resolved_as_in_rfc_3986() {
        for (path, expected) in [
            ("/a/b/c/./../../g", "/a/g"),
            ("/a//../b", "/a/b"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/../../a/", "/a/"),
            ("a", "/a"),
            ("", "/"),
        ] {
            assert_eq!(resolved(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }
}
