//! Invariants of the forms that OAuth clients send.

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::form::{Asked, Credentials};

/// The body of a request, with credentials beside it where they stand in front of a line break. What is
/// found in it is found again where it is written out plainly, and not where it is there twice.
pub fn oauth_form(bytes: &[u8]) {
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let (authorization, body) = match line {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (&[][..], bytes),
    };
    let header = format!("Basic {}", STANDARD.encode(authorization));
    let header = line.map(|_| HeaderValue::from_str(&header).unwrap());
    let header: Vec<_> = header.into_iter().collect();
    let Ok(asked) = Asked::read(body, &header) else {
        return;
    };
    assert!(!asked.token.is_empty());
    let twice = [body, b"&token=x"].concat();
    assert!(Asked::read(&twice, &header).is_err());
    if header.is_empty() {
        let beside = HeaderValue::from_static("Basic YTpi");
        assert!(Asked::read(body, &[beside]).is_err());
    }
    let escaped = asked.token.bytes().map(|byte| format!("%{byte:02x}"));
    let plain = format!("token={}&x=1", escaped.collect::<Vec<_>>().concat());
    let one = HeaderValue::from_static("Basic YTpi");
    let again = Asked::read(plain.as_bytes(), &[one]).unwrap();
    assert_eq!(again.token, asked.token);
    match again.credentials {
        Credentials::Secret { client_id, .. } => assert_eq!(client_id, "a"),
        Credentials::Assertion { .. } => panic!("an assertion"),
    }
}
