//! Percent-encoding that can be read in one way only.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::Problem;

/// Refuses a path or query that is not percent-encoded UTF-8, before a lossy decoder reads it:
/// `%ff` would become some other name.
pub(super) async fn expect_well_encoded(request: Request, next: Next) -> Response {
    let uri = request.uri();
    if is_well_encoded(uri.path()) && uri.query().is_none_or(is_well_encoded) {
        next.run(request).await
    } else {
        let detail = "expected path and query as UTF-8, percent-encoded";
        Problem::invalid(detail).into_response()
    }
}

/// Whether every `%` has its two digits, and the decoded bytes are UTF-8. Separators are ASCII, so
/// if the whole is UTF-8, so is each parameter.
fn is_well_encoded(text: &str) -> bool {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
                return false;
            };
            // Two digits are a byte.
            decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
        } else {
            decoded.push(byte);
        }
    }
    str::from_utf8(&decoded).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_characters_are_well_encoded() {
        for text in [
            "",
            "/v1/stats",
            "a=b+c&d=%C3%A9%e2%82%ac",
            "%00",
            "%25",
            "é",
        ] {
            assert!(is_well_encoded(text), "{text}");
        }
        for text in [
            "%",
            "a%2",
            "%zz",
            "%+1",
            "%ff",
            "%C3",
            "%C3&%A9",
            "%c0%af",
            "%ed%a0%80",
        ] {
            assert!(!is_well_encoded(text), "{text}");
        }
    }
}
