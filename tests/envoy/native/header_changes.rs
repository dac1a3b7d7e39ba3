//! The ways in which a header that the upstream sees is meant to differ.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Another spelling of a header that is filled goes through there and not here.
pub(super) fn alias_removed(name: &str, native: &[String], own: &[String]) -> bool {
    name.contains(['_', '.', '!', '~']) && native == ["mallory"] && own.is_empty()
}

/// There, numbers are doubles, and those that are negative or no integers have six decimals.
pub(super) fn digits_kept(_: &str, native: &[String], own: &[String]) -> bool {
    // Twice the same where it is filled twice.
    let ([native, more @ ..], [own]) = (native, own) else {
        return false;
    };
    if more.iter().any(|value| value != native) {
        return false;
    }
    if let Ok(number) = own.parse::<f64>() {
        return *native == as_double(number);
    }
    let decoded = |text: &String| -> Option<Value> {
        serde_json::from_slice(&STANDARD.decode(text).ok()?).ok()
    };
    match (decoded(native), decoded(own)) {
        (Some(native), Some(own)) => native != own && rounded(native) == rounded(own),
        _ => false,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as the native filter does"
)]
fn as_double(number: f64) -> String {
    if number < 0.0 || number.fract() != 0.0 || number >= 18_446_744_073_709_551_616.0 {
        format!("{number:.6}")
    } else {
        (number as u64).to_string()
    }
}

/// With all numbers as doubles.
fn rounded(value: Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().into(),
        Value::Array(values) => values.into_iter().map(rounded).collect(),
        Value::Object(members) => {
            let members = members.into_iter();
            members
                .map(|(name, value)| (name, rounded(value)))
                .collect()
        }
        other => other,
    }
}

/// Only the cookie with the token is gone.
pub(super) fn cookie_removed(name: &str, native: &[String], own: &[String]) -> bool {
    let cookies = |lines: &[String]| -> Vec<String> {
        let cookies = lines.iter().flat_map(|line| line.split(';'));
        cookies.map(|cookie| cookie.trim().to_owned()).collect()
    };
    let mut expected = cookies(native);
    expected.retain(|cookie| !cookie.starts_with("session="));
    name == "cookie" && native != own && cookies(own) == expected
}

/// There, what is left of the query is decoded.
pub(super) fn query_unchanged(name: &str, native: &[String], own: &[String]) -> bool {
    let ([native], [own]) = (native, own) else {
        return false;
    };
    name == ":path" && *native == decoded(own)
}

/// There, a header that two requirements fill has two values.
pub(super) fn filled_once(_: &str, native: &[String], own: &[String]) -> bool {
    native.len() > 1 && own.len() == 1 && native.iter().all(|value| *value == own[0])
}

/// There, a copy of the token with another spelling of its scheme does not count as one and goes on
/// to the upstream.
pub(super) fn scheme_recognised(name: &str, native: &[String], own: &[String]) -> bool {
    let [native] = native else {
        return false;
    };
    name == "authorization" && native.contains(".ey") && own.is_empty()
}

/// Portcullis has not taken the token that the native filter has: it is still where it was, and the
/// upstream is not told what it says.
pub(super) fn token_left(name: &str, native: &[String], own: &[String]) -> bool {
    is_left(name, own, native)
}

/// The same the other way round.
pub(super) fn token_taken(name: &str, native: &[String], own: &[String]) -> bool {
    is_left(name, native, own)
}

/// What the upstream sees of a header when a token is left, and when it is taken.
fn is_left(name: &str, left: &[String], taken: &[String]) -> bool {
    let has_token = |values: &[String]| values.concat().contains(".ey");
    let canonical = name.replace(|letter: char| !letter.is_ascii_alphanumeric(), "-");
    match &*canonical {
        "authorization" | "x-token" | "x-prefixed" => taken.is_empty() && !left.is_empty(),
        "cookie" | "-path" => has_token(left) && !has_token(taken),
        // Of two tokens the other one may have filled it too.
        _ => {
            is_filled(name)
                && left.len() < taken.len()
                && left.iter().all(|value| taken.contains(value))
        }
    }
}

/// Whether the generated configurations fill a header of this name.
fn is_filled(name: &str) -> bool {
    let mut providers = ["x-alpha-", "x-beta-", "x-gamma-"].iter();
    providers.any(|prefix| name.starts_with(prefix))
}

/// The query with its parameters decoded, each with a `=`.
fn decoded(target: &str) -> String {
    let Some((path, query)) = target.split_once('?') else {
        return target.to_owned();
    };
    let parameters = query.split('&').map(|parameter| {
        let decoded = parameter
            .replace("%26", "&")
            .replace("%2f", "/")
            .replace("%6c", "l");
        if parameter.contains('=') {
            decoded
        } else {
            format!("{decoded}=")
        }
    });
    format!("{path}?{}", parameters.collect::<Vec<_>>().join("&"))
}
