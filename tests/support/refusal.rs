//! What every refusal has in common.

use super::http::Response;

/// Asserts that the gate, and not the upstream or Envoy itself, refused the request with this
/// status and code, in the form that the documentation promises.
pub(crate) fn assert_refused(reply: &Response, status: u16, code: &str) {
    assert_eq!(reply.status, status, "expected {code}, found {reply:?}");
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let problem = reply.json();
    let title = match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        503 => "Service Unavailable",
        other => panic!("the gate does not answer with {other}"),
    };
    assert_eq!(problem["code"], code, "{problem}");
    assert_eq!(problem["status"], status, "{problem}");
    assert_eq!(problem["title"], title, "{problem}");
    assert_eq!(problem["type"], "about:blank", "{problem}");
    assert!(problem["detail"].is_string(), "{problem}");
    assert!(problem["action"].is_string(), "{problem}");
}
