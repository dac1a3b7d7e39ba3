//! Which representation of a refusal a client understands (RFC 9110 section 12.5.1).

use super::super::request::Request;

/// A representation of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Representation {
    /// `application/problem+json`; unless the client asks for something else.
    Problem,
    /// `text/plain`.
    Text,
}

/// The representation that the client likes better; the problem document if it likes both alike, or
/// neither.
pub(super) fn representation(request: &Request) -> Representation {
    let problem = || weight(request, "application", &["problem+json", "json"]);
    let text = weight(request, "text", &["plain"]);
    // Most clients do not like text at all, and need no second look.
    if text > 0 && text > problem() {
        Representation::Text
    } else {
        Representation::Problem
    }
}

/// Whether a browser loads a page by reading it, so that it can be sent to another one instead.
pub(super) fn is_page_load(request: &Request) -> bool {
    matches!(request.method(), Some(b"GET" | b"HEAD")) && is_navigation(request)
}

/// Whether a browser shows its user what comes back, also for a form that was sent: it asks for
/// HTML by name and, where it tells (Fetch Metadata), navigates at the top. Scripts that call an API
/// do neither, and a redirect would only hide the answer from them.
pub(in crate::gate) fn is_navigation(request: &Request) -> bool {
    let tells = |name, expected: &[u8]| {
        let mut values = request.values(name);
        values.all(|value| value == expected)
    };
    let wants_html = request.values("accept").any(|line| {
        let mut ranges = line.split(|byte| *byte == b',');
        ranges.any(|range| media_type(range).eq_ignore_ascii_case(b"text/html"))
    });
    wants_html && tells("sec-fetch-mode", b"navigate") && tells("sec-fetch-dest", b"document")
}

/// How much the client likes the best of these media types, in thousandths. Without `Accept` all
/// are liked alike. The most specific range for a type counts.
fn weight(request: &Request, kind: &str, subtypes: &[&str]) -> u16 {
    let mut is_said = false;
    let mut best = (0, 0);
    for line in request.values("accept") {
        for range in line.split(|byte| *byte == b',') {
            is_said = true;
            let Some((main, sub)) = std::str::from_utf8(media_type(range))
                .ok()
                .and_then(|range| range.split_once('/'))
            else {
                continue;
            };
            let names_it = |name: &&str| sub.eq_ignore_ascii_case(name);
            let closeness = match (main, sub) {
                ("*", "*") => 1,
                (main, "*") if main.eq_ignore_ascii_case(kind) => 2,
                (main, _) if main.eq_ignore_ascii_case(kind) && subtypes.iter().any(names_it) => 3,
                _ => continue,
            };
            best = best.max((closeness, quality(range)));
        }
    }
    if is_said { best.1 } else { 1000 }
}

fn media_type(range: &[u8]) -> &[u8] {
    let mut parts = range.split(|byte| *byte == b';');
    parts.next().unwrap_or_default().trim_ascii()
}

/// `q`, in thousandths; 1000 when it is absent and 0 when it makes no sense.
fn quality(range: &[u8]) -> u16 {
    let mut parameters = range.split(|byte| *byte == b';').skip(1);
    let value = parameters.find_map(|parameter| {
        let parameter = parameter.trim_ascii();
        parameter
            .strip_prefix(b"q=")
            .or_else(|| parameter.strip_prefix(b"Q="))
    });
    let Some(value) = value else {
        return 1000;
    };
    // RFC 9110 section 12.4.2: at most three decimals.
    match value {
        [b'0'] | [b'0', b'.'] => 0,
        [b'1'] | [b'1', b'.', ..] => 1000,
        [b'0', b'.', decimals @ ..] if decimals.len() <= 3 => {
            let digits = decimals.iter().chain(b"000").take(3);
            digits
                .map(|digit| char::from(*digit).to_digit(10))
                .try_fold(0, |sum, digit| Some(sum * 10 + u16::try_from(digit?).ok()?))
                .unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn request(lines: &[(&str, &str)]) -> Request {
        let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        Request::new(lines.iter().map(line).collect())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn plain_text_is_for_those_who_like_it_better() {
        use Representation::{Problem, Text};
        for (accept, expected) in [
            ("text/plain", Text),
            ("TEXT/Plain; charset=utf-8, */*;q=0.1", Text),
            ("text/*", Text),
            ("application/json;q=0.5, text/plain;q=0.9", Text),
            ("*/*", Problem),
            ("application/json", Problem),
            ("text/plain, application/json", Problem),
            ("text/plain;q=0, */*", Problem),
            ("text/plain;q=x", Problem),
            ("image/png", Problem),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Problem,
            ),
            (",;,/", Problem),
        ] {
            let request = request(&[("accept", accept)]);
            assert_eq!(representation(&request), expected, "{accept}");
        }
        assert_eq!(representation(&request(&[])), Problem);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn only_a_browser_that_loads_a_page_is_one() {
        let html = ("accept", "text/html,*/*;q=0.8");
        let get = (":method", "GET");
        for (lines, expected) in [
            (&[get, html][..], true),
            (
                &[
                    get,
                    html,
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document"),
                ],
                true,
            ),
            (&[get, html, ("sec-fetch-mode", "cors")], false),
            (&[get, html, ("sec-fetch-dest", "iframe")], false),
            (&[(":method", "POST"), html], false),
            (&[get, ("accept", "*/*")], false),
            (&[get], false),
        ] {
            assert_eq!(is_page_load(&request(lines)), expected, "{lines:?}");
        }
    }
}
