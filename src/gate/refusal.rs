//! The answer to a refused request, in the form that the client understands.

use serde_json::json;

use super::reason::{Answer, Challenge, Reason};
use crate::host::Response;

/// When a client should ask again after a 503. Keys are fetched again within a second or two.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Builds the answer: `application/problem+json` (RFC 9457) with a challenge (RFC 6750), or a
/// gRPC status. Nothing of the request is repeated in it.
pub(super) fn response(reason: Reason, realm: &str, is_grpc: bool) -> Response {
    let answer = reason.answer();
    // As `jwt_authn` does, whose details are `jwt_authn_access_denied{…}`.
    let details = format!("portcullis_denied{{{}}}", reason.label());
    let mut headers = vec![("cache-control", "no-store".to_owned())];
    if answer.status == 503 {
        headers.push(("retry-after", RETRY_AFTER_SECONDS.to_string()));
    }
    if is_grpc {
        return Response {
            status: 200,
            grpc_status: Some(grpc_status(answer.status)),
            headers,
            body: format!("{}: {}", answer.code, answer.detail).into_bytes(),
            details,
        };
    }
    headers.push(("content-type", "application/problem+json".to_owned()));
    if let Some(challenge) = challenge(&answer, realm) {
        headers.push(("www-authenticate", challenge));
    }
    let problem = json!({
        "type": "about:blank",
        "title": title(answer.status),
        "status": answer.status,
        "code": answer.code,
        "detail": answer.detail,
        "action": answer.action.label(),
    });
    Response {
        status: answer.status,
        grpc_status: None,
        headers,
        body: problem.to_string().into_bytes(),
        details,
    }
}

/// `realm` comes from the configuration, which has checked that it needs no escape.
fn challenge(answer: &Answer, realm: &str) -> Option<String> {
    let error = match answer.challenge {
        Challenge::Absent => return None,
        Challenge::Bare => return Some(format!("Bearer realm=\"{realm}\"")),
        Challenge::InvalidRequest => "invalid_request",
        Challenge::InvalidToken => "invalid_token",
    };
    let detail = answer.detail;
    Some(format!(
        "Bearer realm=\"{realm}\", error=\"{error}\", error_description=\"{detail}\""
    ))
}

/// The reason phrase of a status that the gate answers with (RFC 9110 section 15).
const fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        _ => "Service Unavailable",
    }
}

/// gRPC's status codes by their numbers (grpc/grpc doc/statuscodes.md).
const fn grpc_status(status: u16) -> u8 {
    const INVALID_ARGUMENT: u8 = 3;
    const PERMISSION_DENIED: u8 = 7;
    const UNAVAILABLE: u8 = 14;
    const UNAUTHENTICATED: u8 = 16;
    match status {
        400 => INVALID_ARGUMENT,
        401 => UNAUTHENTICATED,
        403 => PERMISSION_DENIED,
        _ => UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn header<'r>(response: &'r Response, name: &str) -> Option<&'r str> {
        let line = response.headers.iter().find(|(line, _)| *line == name);
        line.map(|(_, value)| value.as_str())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_missing_token_gets_a_challenge_without_an_error() {
        let response = response(Reason::TokenMissing, "api", false);
        assert_eq!(response.status, 401);
        assert_eq!(
            header(&response, "www-authenticate"),
            Some("Bearer realm=\"api\"")
        );
        assert_eq!(header(&response, "cache-control"), Some("no-store"));
        assert_eq!(
            header(&response, "content-type"),
            Some("application/problem+json")
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_expired_token_is_named_in_challenge_and_problem() {
        let response = response(Reason::TokenExpired, "api", false);
        assert_eq!(
            header(&response, "www-authenticate"),
            Some(
                "Bearer realm=\"api\", error=\"invalid_token\", \
                 error_description=\"the token has expired\""
            )
        );
        let problem: Value = serde_json::from_slice(&response.body).unwrap();
        assert_eq!(
            problem,
            json!({
                "type": "about:blank", "title": "Unauthorized", "status": 401,
                "code": "token_expired", "detail": "the token has expired", "action": "refresh",
            })
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn grpc_clients_get_a_grpc_status() {
        for (reason, status) in [
            (Reason::TokenMissing, 16),
            (Reason::AudienceMismatch, 7),
            (Reason::TokenAmbiguous, 3),
        ] {
            let response = response(reason, "api", true);
            assert_eq!(response.grpc_status, Some(status), "{reason:?}");
            let code = reason.answer().code;
            assert!(String::from_utf8(response.body).unwrap().starts_with(code));
        }
    }
}
