//! Requests and tokens.

use serde_json::json;

use crate::process::{Lines, NOW};
use crate::support::Token;

/// `client_id` of every token.
pub(crate) const CLIENT: &str = "mobile";

/// A request as a mobile application sends it.
pub(crate) fn request(path: &str) -> Lines {
    let line = |(name, value): (&str, &str)| (name.to_owned(), value.as_bytes().to_vec());
    let lines = [
        (":authority", "api.example"),
        (":path", path),
        (":method", "GET"),
        (":scheme", "http"),
        ("user-agent", "MobileApp/7.1 (iPhone; iOS 19.2)"),
        ("accept", "application/json"),
        ("accept-encoding", "gzip, br"),
        ("accept-language", "en-GB"),
        ("x-forwarded-proto", "http"),
        ("x-request-id", "0b9a1e1c-6f53-4b0a-9b8c-0d5b6d0f3a11"),
    ];
    lines.into_iter().map(line).collect()
}

pub(crate) fn with(token: impl Into<String>) -> Lines {
    let mut lines = request("/orders/1");
    let value = format!("Bearer {}", token.into());
    lines.push(("authorization".to_owned(), value.into_bytes()));
    lines
}

/// A genuine token, another one for each number.
pub(crate) fn token(key: &'static str, number: u64) -> Token {
    Token::signed_by(key)
        .claim("iat", NOW)
        .claim("exp", NOW + 3_600)
        .claim("sub", format!("user-{number:08}"))
        .claim("sid", format!("{number:032x}"))
        .claim("jti", format!("{:032x}", number << 32))
        .claim("scope", "read write")
        .claim("client_id", CLIENT)
        .claim("email", format!("user-{number:08}@example.com"))
}

/// One that was good until an hour ago.
pub(crate) fn expired(key: &'static str, number: u64) -> Token {
    token(key, number)
        .claim("iat", NOW - 7_200)
        .claim("exp", NOW - 3_600)
}

/// A genuine one of about 12 KB: a user in 220 groups.
pub(crate) fn long(key: &'static str, number: u64) -> Token {
    const GROUPS: u64 = 220;
    let group = |index| format!("0b9a1e1c-6f53-4b0a-9b8c-{:012x}", index * 7_919);
    let groups: Vec<_> = (0..GROUPS).map(group).collect();
    token(key, number).claim("groups", json!(groups))
}

/// With the genuine signature of another token.
pub(crate) fn forged(key: &'static str, number: u64) -> String {
    with_signature_of_another(key, &token(key, number))
}

/// The same, and it does not say which key is to be tried.
pub(crate) fn forged_without_key(key: &'static str, number: u64) -> String {
    with_signature_of_another(key, &token(key, number).without_header("kid"))
}

fn with_signature_of_another(key: &'static str, own: &Token) -> String {
    let own = own.to_string();
    let other = token(key, u64::from(u32::MAX)).to_string();
    let (signed, _) = own.rsplit_once('.').expect("three parts");
    let (_, signature) = other.rsplit_once('.').expect("three parts");
    format!("{signed}.{signature}")
}
