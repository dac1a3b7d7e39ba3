//! How policies write names and patterns.

use serde_json::{Value, json};

/// `name[a][b]` → `a`, `b`.
pub(super) fn bracketed(key: &str, name: &str) -> Option<Vec<String>> {
    let inside = key
        .strip_prefix(name)?
        .strip_prefix('[')?
        .strip_suffix(']')?;
    Some(inside.split("][").map(str::to_owned).collect())
}

pub(super) fn header(name: &str, value: &str) -> Value {
    match text_match(value, false) {
        Some(matcher) => json!({"name": name, "string_match": matcher}),
        None => json!({"name": name, "present_match": true}),
    }
}

/// A `StringMatcher` for text in which `*` stands for any text at one end; `None` for `*` alone.
pub(super) fn text_match(value: &str, ignore_case: bool) -> Option<Value> {
    let (key, text) = match (value.strip_prefix('*'), value.strip_suffix('*')) {
        (Some(""), _) => return None,
        (Some(end), _) => ("suffix", end),
        (None, Some(begin)) => ("prefix", begin),
        (None, None) => ("exact", value),
    };
    let mut matcher = json!({key: text});
    if ignore_case && let Some(members) = matcher.as_object_mut() {
        members.insert("ignore_case".to_owned(), true.into());
    }
    Some(matcher)
}
