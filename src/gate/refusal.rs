//! The answer to a refused request, in the form that the client understands.

mod negotiation;

use std::fmt::Write as _;

use serde_json::json;

use super::extraction::Location;
use super::path;
use super::reason::{Action, Answer, Challenge, Reason};
use super::request::Request;
use crate::host::Response;
use negotiation::Representation;

/// What the operator decided about answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answers {
    /// `realm` of challenges; needs no escape in a quoted string.
    pub(super) realm: String,
    /// URL of the protected resource's metadata (RFC 9728 section 5.1); needs no escape either.
    pub(super) resource_metadata: Option<String>,
    /// Where browsers are sent that load a page and have to sign in.
    pub(super) login: Option<Login>,
    /// `strip_failure_response`: neither a body nor a challenge.
    pub(super) is_stripped: bool,
}

/// Where browsers are sent to sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Login {
    /// URL or path of the page, without a fragment.
    pub(super) url: String,
    /// The parameter that tells it where to send the browser back to.
    pub(super) parameter: String,
}

/// When a client should ask again after a 503. Keys are fetched again within a second or two.
const RETRY_AFTER_SECONDS: u32 = 5;

/// Longest return address; one that is longer is left out.
const MAX_RETURN_BYTES: usize = 2 * 1024;

/// Builds the answer: a gRPC status, a redirect to the login page, or a problem document (RFC
/// 9457) or plain text with a challenge (RFC 6750). Nothing of the request is repeated in it but
/// the return address of a redirect, without the tokens that `locations` may have put there.
pub(super) fn response<'l>(
    reason: Reason,
    scopes: &str,
    answers: &Answers,
    request: &Request,
    locations: impl Iterator<Item = &'l Location>,
) -> Response {
    let answer = reason.answer();
    // As `jwt_authn` does, whose details are `jwt_authn_access_denied{…}`.
    let details = format!("portcullis_denied{{{}}}", reason.label());
    let mut headers = vec![("cache-control", "no-store".to_owned())];
    if answer.status == 503 {
        headers.push(("retry-after", RETRY_AFTER_SECONDS.to_string()));
    }
    if request.is_grpc() {
        return grpc(&answer, answers, headers, details);
    }
    if let Some(login) = &answers.login
        && matches!(answer.action, Action::SignIn | Action::Refresh)
        && negotiation::is_page_load(request)
    {
        headers.push(("location", login.address(request, locations)));
        return Response {
            status: 302,
            grpc_status: None,
            headers,
            body: Vec::new(),
            details,
        };
    }
    if answers.is_stripped {
        return Response {
            status: answer.status,
            grpc_status: None,
            headers,
            body: Vec::new(),
            details,
        };
    }
    if let Some(challenge) = challenge(&answer, scopes, answers) {
        headers.push(("www-authenticate", challenge));
    }
    let (content_type, body) = match negotiation::representation(request) {
        Representation::Problem => ("application/problem+json", problem(&answer)),
        Representation::Text => (
            "text/plain; charset=utf-8",
            format!("{}: {}\n", answer.code, answer.detail),
        ),
    };
    headers.push(("content-type", content_type.to_owned()));
    headers.push(("vary", "accept".to_owned()));
    Response {
        status: answer.status,
        grpc_status: None,
        headers,
        body: body.into_bytes(),
        details,
    }
}

fn grpc(
    answer: &Answer,
    answers: &Answers,
    headers: Vec<(&'static str, String)>,
    details: String,
) -> Response {
    let message = if answers.is_stripped {
        String::new()
    } else {
        format!("{}: {}", answer.code, answer.detail)
    };
    Response {
        status: 200,
        grpc_status: Some(grpc_status(answer.status)),
        headers,
        body: message.into_bytes(),
        details,
    }
}

fn problem(answer: &Answer) -> String {
    let problem = json!({
        "type": "about:blank",
        "title": title(answer.status),
        "status": answer.status,
        "code": answer.code,
        "detail": answer.detail,
        "action": answer.action.label(),
    });
    problem.to_string()
}

/// What stands in it comes from the configuration, which has checked that it needs no escape.
fn challenge(answer: &Answer, scopes: &str, answers: &Answers) -> Option<String> {
    let error = match answer.challenge {
        Challenge::Absent => return None,
        Challenge::Bare => None,
        Challenge::InvalidRequest => Some("invalid_request"),
        Challenge::InvalidToken => Some("invalid_token"),
        Challenge::InsufficientScope => Some("insufficient_scope"),
    };
    let mut challenge = format!("Bearer realm=\"{}\"", answers.realm);
    let mut add = |name: &str, value: &str| {
        challenge.extend([", ", name, "=\"", value, "\""]);
    };
    if let Some(error) = error {
        add("error", error);
        add("error_description", answer.detail);
    }
    if answer.challenge == Challenge::InsufficientScope && !scopes.is_empty() {
        add("scope", scopes);
    }
    if let Some(url) = &answers.resource_metadata {
        add("resource_metadata", url);
    }
    Some(challenge)
}

impl Login {
    /// The page's address with the way back in it: the path and query of the request, so that it
    /// can lead nowhere but here, and every byte of it encoded that could mean something else.
    fn address<'l>(
        &self,
        request: &Request,
        locations: impl Iterator<Item = &'l Location>,
    ) -> String {
        let tokens: Vec<&[u8]> = locations
            .filter_map(|location| match location {
                Location::Parameter(name) => Some(name.as_bytes()),
                _ => None,
            })
            .collect();
        let target = request.target().unwrap_or(b"/");
        let target = path::without_parameters(target, |name| tokens.contains(&name));
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let mut address = format!("{}{separator}{}=", self.url, self.parameter);
        for byte in return_path(&target) {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    address.push(char::from(*byte));
                }
                _ => {
                    // Writing into a string cannot fail.
                    let _ = write!(address, "%{byte:02X}");
                }
            }
        }
        address
    }
}

/// `/` in place of whatever a browser might take for another site: `//host`, `/\host`, and what
/// does not begin with `/` or has control characters, which browsers drop before they look.
fn return_path(target: &[u8]) -> &[u8] {
    let leads_away = match target {
        [b'/', b'/' | b'\\', ..] => true,
        [b'/', ..] => false,
        _ => true,
    };
    let is_odd = target
        .iter()
        .any(|byte| byte.is_ascii_control() || *byte == b'\\');
    if leads_away || is_odd || target.len() > MAX_RETURN_BYTES {
        b"/"
    } else {
        target
    }
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
mod tests;
