//! How long a fetched JWK Set is fresh, from what the server says and the operator allows.

use std::time::Duration;

use crate::host::HeaderLine;

/// Shortest freshness that a server can ask for. With less, it could turn every edge into a load
/// test of itself.
const SHORTEST: Duration = Duration::from_secs(30);

/// The freshness lifetime (RFC 9111 section 4.2): `max-age` minus the `Age` that the response
/// already has, at most `cache_duration` and at least 30 seconds, or `cache_duration` if that is
/// less. `cache_duration` itself when the server says nothing.
///
/// `no-store`, `no-cache` and a `max-age` that is not a number count as 0: the server wants to be
/// asked again soon.
pub(super) fn lifetime(headers: &[HeaderLine], cache_duration: Duration) -> Duration {
    let Some(max_age) = max_age(headers) else {
        return cache_duration;
    };
    let age = values(headers, "age").find_map(seconds).unwrap_or(0);
    Duration::from_secs(max_age.saturating_sub(age))
        .max(SHORTEST)
        .min(cache_duration)
}

/// The smallest one, if there are several.
fn max_age(headers: &[HeaderLine]) -> Option<u64> {
    let directives =
        values(headers, "cache-control").flat_map(|value| value.split(|byte| *byte == b','));
    directives.filter_map(freshness).min()
}

/// What one directive says about freshness, if it does.
fn freshness(directive: &[u8]) -> Option<u64> {
    let mut parts = directive.splitn(2, |byte| *byte == b'=');
    let name = parts.next()?.trim_ascii();
    let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
    if is(b"no-store") || is(b"no-cache") {
        return Some(0);
    }
    is(b"max-age").then(|| parts.next().and_then(seconds).unwrap_or(0))
}

fn values<'h>(headers: &'h [HeaderLine], name: &'h str) -> impl Iterator<Item = &'h [u8]> {
    let lines = headers.iter().filter(move |(line, _)| line == name);
    lines.map(|(_, value)| value.as_slice())
}

/// `delta-seconds` (RFC 9111 section 1.2.2), which may be in quotes.
fn seconds(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let text = text
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(text);
    let digits = str::from_utf8(text).ok()?;
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too long to parse counts as forever.
    is_number.then(|| digits.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn of(lines: &[(&str, &str)], cache_duration: u64) -> u64 {
        let line = |(name, value): &(&str, &str)| ((*name).to_owned(), value.as_bytes().to_vec());
        let lines: Vec<_> = lines.iter().map(line).collect();
        lifetime(&lines, Duration::from_secs(cache_duration)).as_secs()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_server_may_shorten_the_configured_time_but_not_below_half_a_minute() {
        for (value, expected) in [
            ("max-age=300", 300),
            ("public, MAX-AGE=\"120\" , must-revalidate", 120),
            ("max-age=300, max-age=60", 60),
            ("max-age=86400", 600),
            ("max-age=99999999999999999999999", 600),
            ("max-age=0", 30),
            ("max-age=5", 30),
            ("max-age=-1", 30),
            ("max-age", 30),
            ("max-age=soon", 30),
            ("no-store", 30),
            ("private, no-cache", 30),
            ("public", 600),
            ("x-max-age=60", 600),
            ("", 600),
        ] {
            assert_eq!(of(&[("cache-control", value)], 600), expected, "{value}");
        }
        assert_eq!(of(&[], 600), 600);
        assert_eq!(of(&[("cache-control", "max-age=300")], 5), 5);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn time_spent_in_caches_on_the_way_counts() {
        let lines = [("cache-control", "max-age=300"), ("age", "100")];
        assert_eq!(of(&lines, 600), 200);
        let lines = [("cache-control", "max-age=300"), ("age", "100000")];
        assert_eq!(of(&lines, 600), 30);
        let lines = [("cache-control", "max-age=300"), ("age", "old")];
        assert_eq!(of(&lines, 600), 300);
    }
}
