//! Matching text as Envoy's `StringMatcher` does.

use std::borrow::Cow;

use regex_lite::Regex;

/// What a text has to be like. Without regard to case means that of ASCII letters, as in Envoy.
#[derive(Clone, Debug)]
pub(super) struct TextMatcher {
    kind: Kind,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Kind {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
    Pattern(Pattern),
}

impl TextMatcher {
    pub(super) fn exact(text: &str, ignore_case: bool) -> Self {
        Self::new(Kind::Exact(folded(text, ignore_case)), ignore_case)
    }

    pub(super) fn prefix(text: &str, ignore_case: bool) -> Self {
        Self::new(Kind::Prefix(folded(text, ignore_case)), ignore_case)
    }

    pub(super) fn suffix(text: &str, ignore_case: bool) -> Self {
        Self::new(Kind::Suffix(folded(text, ignore_case)), ignore_case)
    }

    pub(super) fn contains(text: &str, ignore_case: bool) -> Self {
        Self::new(Kind::Contains(folded(text, ignore_case)), ignore_case)
    }

    /// A pattern says itself whether case matters.
    pub(super) const fn pattern(pattern: Pattern) -> Self {
        Self::new(Kind::Pattern(pattern), false)
    }

    const fn new(kind: Kind, ignore_case: bool) -> Self {
        Self { kind, ignore_case }
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let text = if self.ignore_case {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
        match &self.kind {
            Kind::Exact(expected) => *text == *expected.as_bytes(),
            Kind::Prefix(prefix) => text.starts_with(prefix.as_bytes()),
            Kind::Suffix(suffix) => text.ends_with(suffix.as_bytes()),
            Kind::Contains(part) => {
                let mut windows = text.windows(part.len().max(1));
                part.is_empty() || windows.any(|window| window == part.as_bytes())
            }
            Kind::Pattern(pattern) => pattern.matches(&text),
        }
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
    /// `None` for what is no pattern.
    pub(super) fn new(pattern: &str) -> Option<Self> {
        // Alone first: `a)|(b` would be a pattern only inside the group. A comment, which the flag
        // `x` allows and RE2 does not know, would swallow the end of the group: no pattern either.
        Regex::new(pattern).ok()?;
        Regex::new(&format!("^(?:{pattern})$")).ok().map(Self)
    }

    /// Bytes that are not UTF-8 count as U+FFFD, so that `.` matches them: a rule that they evade
    /// would be a hole.
    fn matches(&self, text: &[u8]) -> bool {
        self.0.is_match(&String::from_utf8_lossy(text))
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

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
            assert!(matcher.matches(fits.as_bytes()), "{matcher:?}");
            assert!(!matcher.matches(fits_not.as_bytes()), "{matcher:?}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_pattern_matches_the_whole_text_or_not_at_all() {
        for (text, other) in [("/a", "/a\n"), ("/a", "/b\n/a"), ("/a", "x/a")] {
            assert!(pattern("/a").matches(text.as_bytes()));
            assert!(!pattern("/a").matches(other.as_bytes()), "{other:?}");
        }
        for broken in ["a)|(b", "[", "(?", r"\p{Greek}"] {
            assert!(Pattern::new(broken).is_none(), "{broken}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn bytes_that_are_not_text_cannot_evade_a_pattern() {
        assert!(pattern("/admin/.*").matches(b"/admin/\xff\xfe"));
        assert!(!TextMatcher::exact("\u{fffd}", false).matches(b"\xff"));
    }
}
