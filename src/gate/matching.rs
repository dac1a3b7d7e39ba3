//! Which requests a rule applies to: Envoy's `RouteMatch`, as far as `jwt_authn` takes it.

use super::path;
use super::request::Request;
use super::text::{TextMatcher, TooLong};

/// What a request has to be like for a rule to apply.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    pub(super) path: PathMatcher,
    pub(super) headers: Vec<HeaderMatcher>,
    pub(super) parameters: Vec<ParameterMatcher>,
}

/// What the path has to be like; always without its query.
#[derive(Clone, Debug)]
pub(super) enum PathMatcher {
    /// `prefix`, `path` or `safe_regex`.
    Text(TextMatcher),
    /// `path_separated_prefix`: the prefix, and then nothing or a `/`.
    Segments {
        /// The prefix as a matcher.
        prefix: TextMatcher,
        /// Its length.
        length: usize,
    },
    /// `connect_matcher`: any request with the method `CONNECT`.
    Connect,
}

/// What one header has to be like.
#[derive(Clone, Debug)]
pub(super) struct HeaderMatcher {
    /// Name in lower case.
    pub(super) name: String,
    pub(super) value: ValueMatcher,
    pub(super) invert: bool,
    /// Whether an absent header counts as an empty one. Otherwise it never matches, not even an
    /// inverted matcher.
    pub(super) missing_is_empty: bool,
}

/// What the values of a header or a parameter have to be like.
#[derive(Clone, Debug)]
pub(super) enum ValueMatcher {
    /// There is one, or there is none.
    Present(bool),
    /// One of them matches.
    Text(TextMatcher),
    /// One of them is a number from the first up to but not including the second.
    Range(i64, i64),
}

/// What one parameter of the query has to be like. Names and values are compared as they are in
/// the request, percent-encoding and all, and only the first value counts, as in `jwt_authn`.
#[derive(Clone, Debug)]
pub(super) struct ParameterMatcher {
    pub(super) name: String,
    pub(super) value: ValueMatcher,
}

impl Matcher {
    /// Whether everything except the path matches.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when that takes a pattern, and a value is too long for one, or everything that
    /// the request was compared with is.
    pub(super) fn matches_beside_the_path(&self, request: &Request) -> Result<bool, TooLong> {
        for header in &self.headers {
            if !header.matches(request)? {
                return Ok(false);
            }
        }
        for parameter in &self.parameters {
            if !parameter.matches(request)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl PathMatcher {
    /// Whether the path of this request matches.
    ///
    /// # Errors
    ///
    /// [`TooLong`] when that takes a pattern, and the path is too long for one, or everything that
    /// the request was compared with is.
    pub(super) fn matches(&self, path: Option<&[u8]>, request: &Request) -> Result<bool, TooLong> {
        match (self, path) {
            (Self::Connect, _) => Ok(request.method() == Some(b"CONNECT")),
            (_, None) => Ok(false),
            (Self::Text(text), Some(path)) => text.matches_within(&request.pattern_bytes, path),
            (Self::Segments { prefix, length }, Some(path)) => {
                let ends = matches!(path.get(*length), None | Some(b'/'));
                Ok(prefix.matches(path)? && ends)
            }
        }
    }

    /// Whether matching takes a pattern.
    pub(super) const fn is_pattern(&self) -> bool {
        matches!(self, Self::Text(text) if text.is_pattern())
    }
}

impl HeaderMatcher {
    fn matches(&self, request: &Request) -> Result<bool, TooLong> {
        let mut values = request.values(&self.name).peekable();
        let is_missing = values.peek().is_none();
        let outcome = match &self.value {
            ValueMatcher::Present(expected) => is_missing != *expected,
            _ if is_missing && !self.missing_is_empty => return Ok(false),
            matcher if is_missing => matcher.accepts(b"", request)?,
            matcher => {
                let mut is_accepted = false;
                for value in values {
                    is_accepted = is_accepted || matcher.accepts(value, request)?;
                }
                is_accepted
            }
        };
        Ok(outcome != self.invert)
    }
}

impl ParameterMatcher {
    fn matches(&self, request: &Request) -> Result<bool, TooLong> {
        let mut parameters = request.parameters().map(path::pair);
        let first = parameters.find(|(name, _)| *name == self.name.as_bytes());
        match (&self.value, first) {
            (ValueMatcher::Present(expected), found) => Ok(found.is_some() == *expected),
            (_, None) => Ok(false),
            (matcher, Some((_, value))) => matcher.accepts(value, request),
        }
    }
}

impl ValueMatcher {
    fn accepts(&self, value: &[u8], request: &Request) -> Result<bool, TooLong> {
        match self {
            Self::Present(expected) => Ok(*expected),
            Self::Text(text) => text.matches_within(&request.pattern_bytes, value),
            Self::Range(start, end) => {
                let number = std::str::from_utf8(value)
                    .ok()
                    .and_then(|text| text.parse().ok());
                Ok(number.is_some_and(|number: i64| (*start..*end).contains(&number)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::gate::text::Pattern;

    fn request(lines: &[(&str, &str)]) -> Request {
        Request::new(lines.iter().copied().collect())
    }

    fn header(value: ValueMatcher) -> HeaderMatcher {
        HeaderMatcher {
            name: "x-kind".into(),
            value,
            invert: false,
            missing_is_empty: false,
        }
    }

    fn fits(matcher: &HeaderMatcher, request: &Request) -> bool {
        matcher.matches(request).unwrap()
    }

    fn exact(text: &str) -> ValueMatcher {
        ValueMatcher::Text(TextMatcher::exact(text, false))
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn each_value_of_a_repeated_header_is_tested() {
        let twice = request(&[("x-kind", "a"), ("x-kind", "b")]);
        assert!(fits(&header(exact("b")), &twice));
        assert!(!fits(&header(exact("a,b")), &twice));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_absent_header_matches_only_where_absence_is_asked_for() {
        let absent = request(&[]);
        let inverted = HeaderMatcher {
            invert: true,
            ..header(exact("a"))
        };
        let lenient = HeaderMatcher {
            missing_is_empty: true,
            ..inverted.clone()
        };
        assert!(!fits(&inverted, &absent));
        assert!(fits(&lenient, &absent));
        assert!(fits(&inverted, &request(&[("x-kind", "b")])));
        assert!(!fits(&inverted, &request(&[("x-kind", "a")])));
        assert!(fits(&header(ValueMatcher::Present(false)), &absent));
        assert!(!fits(&header(ValueMatcher::Present(true)), &absent));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn ranges_leave_out_their_end_and_everything_that_is_no_number() {
        let range = header(ValueMatcher::Range(-1, 10));
        for (value, expected) in [
            ("-1", true),
            ("9", true),
            ("10", false),
            ("", false),
            ("5x", false),
            ("99999999999999999999", false),
        ] {
            assert_eq!(
                fits(&range, &request(&[("x-kind", value)])),
                expected,
                "{value}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_first_value_of_a_parameter_counts_as_it_is_written() {
        let parameter = |value| ParameterMatcher {
            name: "a".into(),
            value,
        };
        let matches = |matcher: &ParameterMatcher, path: &str| {
            matcher.matches(&request(&[(":path", path)])).unwrap()
        };
        assert!(matches(&parameter(exact("1")), "/x?a=1&a=2"));
        assert!(!matches(&parameter(exact("2")), "/x?a=1&a=2"));
        assert!(!matches(&parameter(exact("1")), "/x?%61=1"));
        assert!(!matches(&parameter(exact("1")), "/x?a=%31"));
        assert!(matches(&parameter(ValueMatcher::Present(true)), "/x?b&a"));
        assert!(matches(&parameter(ValueMatcher::Present(false)), "/x?b#a"));
        assert!(!matches(&parameter(exact("")), "/x"));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_prefix_of_segments_ends_where_a_segment_ends() {
        let matcher = PathMatcher::Segments {
            prefix: TextMatcher::prefix("/api", false),
            length: 4,
        };
        for (path, expected) in [
            ("/api", true),
            ("/api/x", true),
            ("/apis", false),
            ("/ap", false),
        ] {
            assert_eq!(
                matcher.matches(Some(path.as_bytes()), &request(&[])),
                Ok(expected),
                "{path}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn only_the_connect_matcher_takes_a_request_without_a_path() {
        let connect = request(&[(":method", "CONNECT")]);
        assert_eq!(PathMatcher::Connect.matches(None, &connect), Ok(true));
        let get = request(&[(":method", "GET")]);
        assert_eq!(PathMatcher::Connect.matches(Some(b"/"), &get), Ok(false));
        let anything = PathMatcher::Text(TextMatcher::pattern(Pattern::new(".*").unwrap()));
        assert_eq!(anything.matches(None, &connect), Ok(false));
    }
}
