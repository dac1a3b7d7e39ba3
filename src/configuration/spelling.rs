//! How names and values may be written in protobuf's JSON, which is what Envoy takes: a pasted
//! `jwt_authn` configuration may have any of these spellings, and so may every key of our own.

use std::time::Duration;

use serde_json::Value;

use crate::token::parse_json;

/// Seconds in 10,000 years, the longest duration of protobuf.
const MOST_SECONDS: u64 = 315_576_000_000;

/// Whether this is the key as protobuf's JSON writes it: `fromHeaders` for `from_headers`.
pub(super) fn is_camel_case(name: &str, key: &str) -> bool {
    let mut letters = name.bytes();
    let mut is_first = false;
    for letter in key.bytes() {
        if letter == b'_' {
            is_first = true;
            continue;
        }
        let expected = if is_first {
            letter.to_ascii_uppercase()
        } else {
            letter
        };
        is_first = false;
        if letters.next() != Some(expected) {
            return false;
        }
    }
    letters.next().is_none()
}

/// A whole number of either sign: an integer, a double (a `google.protobuf.Struct` has nothing
/// else), or either in quotes.
pub(crate) fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| integral(number.as_f64()?)),
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_graphic()) => {
            text.parse().ok().or_else(|| {
                let number = parse_json(text.as_bytes()).ok()?;
                number.is_number().then(|| whole(&number)).flatten()
            })
        }
        _ => None,
    }
}

/// The number, if it is whole and no other number comes to the same double.
#[expect(
    clippy::cast_possible_truncation,
    reason = "only of numbers that have no fraction and fit"
)]
fn integral(number: f64) -> Option<i64> {
    const LARGEST_EXACT: f64 = 9_007_199_254_740_991.0;
    #[expect(clippy::float_cmp, reason = "equality is what makes it a whole number")]
    let is_whole = number.trunc() == number;
    (is_whole && number.abs() <= LARGEST_EXACT).then_some(number as i64)
}

/// `true` or `false`, or what protobuf reads as one of them in quotes.
pub(crate) fn boolean(value: &Value) -> Option<bool> {
    let text = match value {
        Value::Bool(boolean) => return Some(*boolean),
        Value::String(text) => text,
        _ => return None,
    };
    let is_one_of = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_one_of(["true", "t", "yes", "y", "1"]) {
        Some(true)
    } else {
        is_one_of(["false", "f", "no", "n", "0"]).then_some(false)
    }
}

/// `300s` or `0.25s`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let digits = text.strip_suffix('s')?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    if !is_digits(whole) || !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = format!("{fraction:0<9}").parse().ok()?;
    duration_of(whole.parse().ok()?, nanoseconds)
}

/// Of these seconds and nanoseconds.
pub(super) fn duration_of(seconds: i64, nanoseconds: i64) -> Option<Duration> {
    let seconds = u64::try_from(seconds).ok()?;
    let nanoseconds = u32::try_from(nanoseconds).ok()?;
    let is_sound = seconds <= MOST_SECONDS && nanoseconds < 1_000_000_000;
    is_sound.then(|| Duration::new(seconds, nanoseconds))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn durations_are_those_of_protobuf_json() {
        for (text, expected) in [
            ("300s", Duration::from_mins(5)),
            ("0.5s", Duration::from_millis(500)),
            ("1.000000001s", Duration::new(1, 1)),
            ("0s", Duration::ZERO),
            ("05s", Duration::from_secs(5)),
        ] {
            assert_eq!(duration(text), Some(expected), "{text}");
        }
        for text in [
            "",
            "s",
            "300",
            "5m",
            "-1s",
            ".5s",
            "1.s",
            "1.0000000001s",
            "1e3s",
            "+1s",
            " 1s",
            "315576000001s",
            "99999999999999999999s",
        ] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    /// As Envoy 1.40 reads them.
    #[wasm_bindgen_test(unsupported = test)]
    fn numbers_and_booleans_are_those_of_protobuf_json() {
        for (value, expected) in [
            (json!(30), 30),
            (json!(30.0), 30),
            (json!(-0.0), 0),
            (json!(-4_294_967_297.0), -4_294_967_297),
            (json!("30"), 30),
            (json!("030"), 30),
            (json!("+30"), 30),
            (json!("30.0"), 30),
            (json!("1.5e1"), 15),
            (json!("-4294967296"), -4_294_967_296),
        ] {
            assert_eq!(whole(&value), Some(expected), "{value}");
        }
        for value in [
            json!(30.5),
            json!(9_007_199_254_740_992.0),
            json!("30.5"),
            json!("1e-1"),
            json!(""),
            json!(" 30"),
            json!("30 "),
            json!("3_0"),
            json!("\"30\""),
            json!("thirty"),
            json!(true),
            json!("true"),
            json!([30]),
        ] {
            assert_eq!(whole(&value), None, "{value}");
        }
        for (value, expected) in [
            (json!(true), Some(true)),
            (json!("true"), Some(true)),
            (json!("FALSE"), Some(false)),
            (json!("Yes"), Some(true)),
            (json!("n"), Some(false)),
            (json!("1"), Some(true)),
            (json!(1), None),
            (json!("on"), None),
            (json!("true "), None),
            (json!(""), None),
        ] {
            assert_eq!(boolean(&value), expected, "{value}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_key_has_one_spelling_in_camel_case() {
        for (name, key, expected) in [
            ("fromHeaders", "from_headers", true),
            ("googleRe2", "google_re2", true),
            ("issuer", "issuer", true),
            ("from_headers", "from_headers", false),
            ("FromHeaders", "from_headers", false),
            ("fromheaders", "from_headers", false),
            ("fromHeader", "from_headers", false),
            ("fromHeadersX", "from_headers", false),
            ("from_Headers", "from_headers", false),
        ] {
            assert_eq!(is_camel_case(name, key), expected, "{name}");
        }
    }
}
