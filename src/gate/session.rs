//! The headers that tell the upstream who is calling.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::policy::{Policy, Provider};
use super::reason::Reason;
use super::request::Request;
use crate::token::Claims;

/// Longest value that is put into a header. Upstreams commonly refuse header blocks of 8 KiB.
const MAX_VALUE_BYTES: usize = 4 * 1024;

/// The standard set: what stands after the prefix, and the claim that it is taken from. Where two
/// claims are named, the first that is present counts.
const STANDARD_SET: [(&str, &[&str]); 12] = [
    ("subject", &["sub"]),
    ("id", &["sid"]),
    ("issuer", &["iss"]),
    ("audience", &["aud"]),
    ("scope", &["scope", "scp"]),
    ("client", &["client_id", "azp"]),
    ("token-id", &["jti"]),
    ("expires-at", &["exp"]),
    ("issued-at", &["iat"]),
    ("authenticated-at", &["auth_time"]),
    ("authentication-class", &["acr"]),
    ("authentication-methods", &["amr"]),
];

/// What the provider's name goes by, after the prefix.
const PROVIDER: &str = "provider";

/// One entry of `claim_to_headers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimHeader {
    /// Name in lower case.
    pub(super) header: String,
    /// Names of the members that lead to the value, outermost first.
    pub(super) path: Vec<String>,
}

/// The standard set under one prefix, with the names made once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SessionHeaders {
    claims: Vec<(String, &'static [&'static str])>,
    provider: String,
}

impl SessionHeaders {
    pub(super) fn new(prefix: &str) -> Self {
        let name = |suffix: &str| format!("{prefix}{suffix}").to_ascii_lowercase();
        Self {
            claims: STANDARD_SET
                .map(|(suffix, claims)| (name(suffix), claims))
                .to_vec(),
            provider: name(PROVIDER),
        }
    }

    /// Names of all headers of the set.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let claims = self.claims.iter().map(|(name, _)| name.as_str());
        claims.chain([self.provider.as_str()])
    }
}

/// A header name and its value.
pub(super) type Injection<'p> = (&'p str, String);

/// All headers for a request with these verified claims. Claims that are absent, `null` or empty
/// give no header.
///
/// # Errors
///
/// [`Reason::ClaimNotForwardable`] when a value would not reach the upstream as it is: leaving
/// the header out, or changing the value, could make one user look like another.
pub(super) fn injections<'p>(
    policy: &'p Policy,
    provider: &'p Provider,
    claims: &Claims,
) -> Result<Vec<Injection<'p>>, Reason> {
    let mut injections = Vec::new();
    for ClaimHeader { header, path } in &provider.claim_headers {
        let value = lookup(claims, path).map(header_value).unwrap_or_default();
        add(&mut injections, header, value)?;
    }
    if let Some(session) = &policy.session_headers {
        for (header, names) in &session.claims {
            let claim = names.iter().find_map(|name| claims.get(name));
            let value = claim.map(standard_value).unwrap_or_default();
            add(&mut injections, header, value)?;
        }
        add(&mut injections, &session.provider, provider.name.clone())?;
    }
    Ok(injections)
}

fn add<'p>(
    injections: &mut Vec<Injection<'p>>,
    header: &'p str,
    value: String,
) -> Result<(), Reason> {
    if !is_forwardable(&value) {
        return Err(Reason::ClaimNotForwardable);
    }
    if !value.is_empty() {
        injections.push((header, value));
    }
    Ok(())
}

fn lookup<'c>(claims: &'c Claims, path: &[String]) -> Option<&'c Value> {
    let (first, rest) = path.split_first()?;
    rest.iter()
        .try_fold(claims.get(first)?, |value, name| value.get(name))
}

/// A claim as `jwt_authn` writes it: text and scalars as they are, lists and objects as base64
/// of their JSON. Numbers keep all their digits, which `jwt_authn` does not promise.
fn header_value(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Array(_) | Value::Object(_) => STANDARD.encode(value.to_string()),
        scalar => scalar_value(scalar),
    }
}

/// A claim of the standard set: lists of words (`aud`, `scp`, `amr`) with spaces between them, as
/// `scope` itself is written (RFC 6749 section 3.3).
fn standard_value(value: &Value) -> String {
    match value {
        Value::Array(values) if values.iter().all(is_word) => {
            let words: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            words.join(" ")
        }
        other => header_value(other),
    }
}

fn is_word(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|word| !word.is_empty() && !word.contains(' '))
}

fn scalar_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Whether a header carries the value to the upstream byte by byte.
///
/// Control characters end or split a header (RFC 9110 section 5.5), and so do those of Unicode in
/// upstreams that decode first; blanks at the ends are trimmed on the way, which would make
/// ` alice` into `alice`.
fn is_forwardable(value: &str) -> bool {
    let breaks =
        |character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}');
    value.len() <= MAX_VALUE_BYTES && value.trim() == value && !value.contains(breaks)
}

/// The request's headers that have the name of an injectable one, or an alias of it: CGI-like
/// upstreams read `x_user` and `x.user` as `x-user`.
pub(super) fn spoofed<'r>(
    injectable: &'r [String],
    request: &'r Request,
) -> impl Iterator<Item = &'r str> {
    let names = request.lines().iter().map(|(name, _)| name.as_str());
    names.filter(|name| injectable.iter().any(|own| is_alias(own, name)))
}

/// Whether `name` is `own`, a name in lower case with `-`, or differs from it only by case and by
/// `_` or `.` in the place of `-`.
pub(super) fn is_alias(own: &str, name: &str) -> bool {
    own.len() == name.len()
        && own
            .bytes()
            .zip(name.bytes())
            .all(|(own, byte)| own == canonical(byte))
}

/// A header name in the spelling that all its aliases share.
pub(super) fn canonical_name(name: &str) -> String {
    name.bytes()
        .map(|byte| char::from(canonical(byte)))
        .collect()
}

const fn canonical(byte: u8) -> u8 {
    match byte {
        b'_' | b'.' => b'-',
        other => other.to_ascii_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn values_that_would_change_on_the_way_are_not_forwardable() {
        for value in [
            "a\r\nx-admin: 1",
            "a\nb",
            "a\0b",
            "a\u{7f}",
            "a\u{85}b",
            "a\u{2028}b",
            " alice",
            "alice\t",
            "alice\u{a0}",
            &"a".repeat(MAX_VALUE_BYTES + 1),
        ] {
            assert!(!is_forwardable(value), "{}", value.escape_debug());
        }
        for value in [
            "",
            "alice",
            "José, O'Neil",
            "日本語",
            &"a".repeat(MAX_VALUE_BYTES),
        ] {
            assert!(is_forwardable(value), "{value}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn scalars_keep_their_digits_and_structures_are_base64_of_their_json() {
        for (value, expected) in [
            (json!("text"), "text"),
            (json!(9_007_199_254_740_993_u64), "9007199254740993"),
            (json!(-7), "-7"),
            (json!(1.5), "1.5"),
            (json!(true), "true"),
            (json!(null), ""),
            (json!(["a", "b"]), "WyJhIiwiYiJd"),
            (json!({"a": 1}), "eyJhIjoxfQ=="),
        ] {
            assert_eq!(header_value(&value), expected, "{value}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn lists_of_words_are_joined_only_when_they_can_be_told_apart_again() {
        assert_eq!(standard_value(&json!(["read", "write"])), "read write");
        assert_eq!(
            standard_value(&json!(["read all", "x"])),
            STANDARD.encode(r#"["read all","x"]"#)
        );
        assert_eq!(standard_value(&json!("read write")), "read write");
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn aliases_of_a_header_are_known() {
        for alias in [
            "x-session-id",
            "x_session_id",
            "x.session-id",
            "X-Session-Id",
        ] {
            assert!(is_alias("x-session-id", alias), "{alias}");
            assert_eq!(canonical_name(alias), "x-session-id");
        }
        for other in [
            "x-session-i",
            "x-session-idd",
            "xsession-id",
            "x-session+id",
        ] {
            assert!(!is_alias("x-session-id", other), "{other}");
        }
    }
}
