//! Matching text as Envoy's `StringMatcher` does.

use std::borrow::Cow;
use std::cell::Cell;

use regex_lite::Regex;

/// What a text has to be like. If case is ignored, that is only for ASCII letters, as in Envoy.
#[derive(Clone, Debug)]
pub(super) struct TextMatcher {
    comparison: Comparison,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Comparison {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Pattern(Pattern),
}

impl TextMatcher {
    pub(super) fn exact(text: &str, ignore_case: bool) -> Self {
        Self::new(Comparison::Exact(folded(text, ignore_case)), ignore_case)
    }

    pub(super) fn prefix(text: &str, ignore_case: bool) -> Self {
        Self::new(Comparison::Prefix(folded(text, ignore_case)), ignore_case)
    }

    pub(super) fn suffix(text: &str, ignore_case: bool) -> Self {
        Self::new(Comparison::Suffix(folded(text, ignore_case)), ignore_case)
    }

    pub(super) fn contains(text: &str, ignore_case: bool) -> Self {
        Self::new(Comparison::Contains(folded(text, ignore_case)), ignore_case)
    }

    /// A pattern says itself whether case matters.
    pub(super) const fn pattern(pattern: Pattern) -> Self {
        Self::new(Comparison::Pattern(pattern), false)
    }

    const fn new(comparison: Comparison, ignore_case: bool) -> Self {
        Self {
            comparison,
            ignore_case,
        }
    }

    /// Whether the text matches.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when that takes a pattern, and the text is longer than
    /// [`MAX_PATTERN_TEXT_BYTES`].
    pub(super) fn matches(&self, text: &[u8]) -> Result<bool, TooLong> {
        self.matches_within(&Cell::new(MAX_PATTERN_TEXT_BYTES), text)
    }

    /// The same, where patterns may be compared with this many more bytes, from which the text's
    /// are deducted.
    ///
    /// # Errors
    ///
    /// [`TooLong`] also when fewer bytes are left.
    pub(super) fn matches_within(&self, left: &Cell<usize>, text: &[u8]) -> Result<bool, TooLong> {
        let text = if self.ignore_case {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
        Ok(match &self.comparison {
            Comparison::Exact(expected) => *text == *expected.as_bytes(),
            Comparison::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Comparison::Suffix(suffix) => text.ends_with(suffix.as_bytes()),
            Comparison::Contains(part) => {
                let mut windows = text.windows(part.len().max(1));
                part.is_empty() || windows.any(|window| window == part.as_bytes())
            }
            Comparison::Pattern(pattern) => return pattern.matches(left, &text),
        })
    }

    /// Whether matching takes a pattern.
    pub(super) const fn is_pattern(&self) -> bool {
        matches!(self.comparison, Comparison::Pattern(_))
    }
}

fn folded(text: &str, ignore_case: bool) -> String {
    if ignore_case {
        text.to_ascii_lowercase()
    } else {
        text.to_owned()
    }
}

/// A regular expression that has to match the whole text, as Envoy's `RegexMatcher` does.
///
/// Envoy uses RE2; the engine here runs in linear time too and reads the same syntax, but for
/// `\p{…}`, `\Q…\E` and `\C`, which it refuses. Its classes `\d`, `\w`, `\s` and its case folding
/// are ASCII, as in RE2.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Regex);

impl Pattern {
    /// `None` for what is not a pattern.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        // Alone first: `a)|(b` would be a pattern only inside the group. A comment, which the flag
        // `x` allows and RE2 does not know, would swallow the end of the group, so it is not a
        // pattern either.
        Regex::new(pattern).ok()?;
        Regex::new(&format!("^(?:{pattern})$")).ok().map(Self)
    }

    /// Bytes that are not UTF-8 count as U+FFFD, so that `.` matches them: otherwise they would
    /// evade the rule.
    ///
    /// # Errors
    ///
    /// [`TooLong`] above [`MAX_PATTERN_TEXT_BYTES`], or above what is left.
    fn matches(&self, left: &Cell<usize>, text: &[u8]) -> Result<bool, TooLong> {
        if text.len() > MAX_PATTERN_TEXT_BYTES {
            return Err(TooLong);
        }
        left.set(left.get().checked_sub(text.len()).ok_or(TooLong)?);
        #[cfg(test)]
        tests::COMPARED.set(tests::COMPARED.get() + text.len());
        Ok(self.0.is_match(&String::from_utf8_lossy(text)))
    }
}

/// The text is too long to be compared with a pattern, so it is not known whether it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Longest text that is compared with a pattern. The engine takes more than a hundred nanoseconds
/// for a byte, at no cost to the sender; servers commonly take no longer paths than this (nginx
/// `large_client_header_buffers`, Apache `LimitRequestLine`).
pub(super) const MAX_PATTERN_TEXT_BYTES: usize = 8 * 1024;

/// Bytes of all comparisons with patterns that one request may cause, whatever it repeats and
/// however many rules have one: some ten milliseconds. Fifty rules and a path of 500 bytes come to
/// 25,000.
pub(super) const MAX_PATTERN_BYTES: usize = 64 * 1024;

#[cfg(test)]
pub(super) mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    thread_local! {
        /// Bytes that have been compared with patterns: what they cost, on any machine.
        pub(in crate::gate) static COMPARED: Cell<usize> = const { Cell::new(0) };
    }

    fn pattern(text: &str) -> TextMatcher {
        TextMatcher::pattern(Pattern::new(text).unwrap())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn each_kind_of_matcher_looks_where_its_name_says() {
        for (matcher, fits, fits_not) in [
            (TextMatcher::exact("abc", false), "abc", "ABC"),
            (TextMatcher::exact("aBc", true), "AbC", "abcd"),
            (TextMatcher::prefix("ab", false), "abc", "cab"),
            (TextMatcher::prefix("AB", true), "abc", "cab"),
            (TextMatcher::suffix("bc", false), "abc", "abcd"),
            (TextMatcher::contains("b", false), "abc", "ac"),
            (TextMatcher::contains("B", true), "abc", "ac"),
            (TextMatcher::contains("bc", false), "abc", "b"),
            (pattern("a.c"), "abc", "abcd"),
            (pattern("a|bc"), "bc", "ac"),
            (pattern("(?i)abc"), "ABC", "ab"),
        ] {
            assert_eq!(matcher.matches(fits.as_bytes()), Ok(true), "{matcher:?}");
            assert_eq!(
                matcher.matches(fits_not.as_bytes()),
                Ok(false),
                "{matcher:?}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_pattern_matches_the_whole_text_or_not_at_all() {
        for (text, other) in [("/a", "/a\n"), ("/a", "/b\n/a"), ("/a", "x/a")] {
            assert_eq!(pattern("/a").matches(text.as_bytes()), Ok(true));
            assert_eq!(
                pattern("/a").matches(other.as_bytes()),
                Ok(false),
                "{other:?}"
            );
        }
        for broken in ["a)|(b", "[", "(?", r"\p{Greek}"] {
            assert!(Pattern::new(broken).is_none(), "{broken}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn bytes_that_are_not_text_cannot_evade_a_pattern() {
        assert_eq!(pattern("/admin/.*").matches(b"/admin/\xff\xfe"), Ok(true));
        assert_eq!(
            TextMatcher::exact("\u{fffd}", false).matches(b"\xff"),
            Ok(false)
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn no_pattern_looks_at_a_text_above_its_limit() {
        let text = "a".repeat(MAX_PATTERN_TEXT_BYTES + 1);
        let (_, longest) = text.split_at(1);
        assert_eq!(pattern("a*").matches(longest.as_bytes()), Ok(true));
        let before = COMPARED.get();
        assert_eq!(pattern("a*").matches(text.as_bytes()), Err(TooLong));
        assert_eq!(COMPARED.get(), before);
        assert_eq!(
            TextMatcher::prefix("a", false).matches(text.as_bytes()),
            Ok(true)
        );
    }
}
