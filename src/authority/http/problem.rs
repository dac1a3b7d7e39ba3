//! Every answer other than what was asked for, as problem details (RFC 9457).

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::super::credentials::{Permission, Role};
use super::super::feed::PollError;
use super::super::import::{ImportError, LineFault};
use super::super::request::RequestError;
use super::super::signals::Fault;
use super::super::signing::RotationError;
use super::super::status_lists::Unknown;
use super::super::store::{DatabaseError, StoreError};
use super::super::text::counted;
use super::super::writer::WriteError;

const TOO_MANY_CONNECTIONS: &str = "too_many_connections";

/// The code of the answer to plain HTTP on a TLS port.
pub const TLS_EXPECTED: &str = "tls_expected";

/// A problem, with the status it is answered with.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    body: Box<ProblemBody>,
}

/// A problem as it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Always `about:blank`: the title is the status.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status.
    pub status: u16,
    /// For programs to act on.
    pub code: String,
    /// For people to read.
    pub detail: String,
    /// For an import: the first hundred of the lines that are wrong.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<LineFault>,
    /// For an import: how many more lines are wrong than are listed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more_lines: u64,
}

impl Problem {
    fn new(status: StatusCode, code: &str, detail: impl Into<String>) -> Self {
        Self {
            status,
            body: Box::new(ProblemBody {
                kind: "about:blank".to_owned(),
                title: status.canonical_reason().unwrap_or_default().to_owned(),
                status: status.as_u16(),
                code: code.to_owned(),
                detail: detail.into(),
                lines: Vec::new(),
                more_lines: 0,
            }),
        }
    }

    /// What it is answered with.
    pub(in crate::authority) const fn status(&self) -> StatusCode {
        self.status
    }

    /// For programs to act on.
    pub(in crate::authority) fn code(&self) -> &str {
        &self.body.code
    }

    /// For people to read.
    pub(in crate::authority) fn detail(&self) -> &str {
        &self.body.detail
    }

    /// The status in words.
    pub(in crate::authority) fn title(&self) -> &str {
        &self.body.title
    }

    pub(in crate::authority) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "resource not found")
    }

    pub(in crate::authority) fn method_not_allowed() -> Self {
        let detail = "this path does not support the method";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
    }

    pub(super) fn unauthorized() -> Self {
        let detail = "expected a credential as bearer token, found none that is known";
        Self::new(StatusCode::UNAUTHORIZED, "credential_missing", detail)
    }

    /// Something that a page is about.
    pub(in crate::authority) fn not_found_here(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(in crate::authority) fn forbidden(role: Role) -> Self {
        let detail = format!("expected a credential with the role `{}`", role.name());
        Self::new(StatusCode::FORBIDDEN, "role_missing", detail)
    }

    pub(super) fn not_permitted(permission: Permission) -> Self {
        let name = permission.name();
        let detail = format!("expected a credential with `edge+{name}`");
        Self::new(StatusCode::FORBIDDEN, "permission_missing", detail)
    }

    /// A request without TLS where there is TLS.
    pub(super) fn tls_expected() -> Self {
        let detail = "expected TLS, as in `https://`; found a request without. If it had a credential, \
                      that was sent for everybody on the way to read: replace it";
        Self::new(StatusCode::BAD_REQUEST, TLS_EXPECTED, detail)
    }

    pub(super) fn not_a_loopback_name() -> Self {
        let detail = "expected a loopback name such as `localhost` or 127.0.0.1 in `Host`: without \
                      credentials, the authority is for this machine only";
        Self::new(StatusCode::MISDIRECTED_REQUEST, "host_not_loopback", detail)
    }

    pub(in crate::authority) fn cross_site() -> Self {
        let detail = "refused a request that a browser says a page of another site has sent: \
                      there are no credentials that could show who asks";
        Self::new(StatusCode::FORBIDDEN, "cross_site", detail)
    }

    /// A form of the console that was not sent by the page that shows it.
    pub(in crate::authority) fn not_from_the_console(detail: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "form_refused", detail)
    }

    /// Too many attempts to sign in at the console.
    pub(in crate::authority) fn too_many_attempts(wait_seconds: u64) -> Self {
        let detail = format!(
            "too many credentials that are not known came from this network: try again in {}",
            counted(wait_seconds, "second", "seconds")
        );
        Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_attempts", detail)
    }

    pub(in crate::authority) fn too_many_connections(limit: usize) -> Self {
        let detail = format!(
            "{limit} connections with this credential, or of this kind, are being answered \
             already; that is all there may be"
        );
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            TOO_MANY_CONNECTIONS,
            detail,
        )
    }

    pub(in crate::authority) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "request_invalid", detail)
    }

    pub(super) fn media_type(expected: &str) -> Self {
        let detail = format!("expected `Content-Type: {expected}`");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media_type", detail)
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("expected a body of at most {limit} bytes");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    }

    /// A body that is cut off, or whose chunks are malformed.
    pub(super) fn broken_off(error: &(dyn std::error::Error + 'static)) -> Self {
        let detail = format!("the body: {}", super::super::text::chain_of(error));
        Self::new(StatusCode::BAD_REQUEST, "body_broken_off", detail)
    }

    /// A request that matches its schema and still cannot be carried out.
    pub(in crate::authority) fn out_of_bounds(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "out_of_bounds", detail)
    }

    pub(super) fn other_cursor() -> Self {
        Self::out_of_bounds("`cursor`: expected `next_cursor` of a page of the same search")
    }

    pub(super) fn timeout() -> Self {
        let detail = "the body did not arrive in time";
        Self::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", detail)
    }

    pub(super) fn gone() -> Self {
        let detail = "fetch the manifest and its segments: the changes are not kept any more, or \
                      belong to another epoch";
        Self::new(StatusCode::GONE, "feed_gone", detail)
    }

    pub(super) fn no_generation() -> Self {
        let detail = "the first generation is being built";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "feed_not_ready", detail)
    }

    /// A user's token that is no evidence. Why is in the log.
    pub(super) fn token_refused() -> Self {
        let detail = "the token was not verified here; the authority's log says why";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "token_refused", detail)
    }

    /// A user's token that has no name for what is to be revoked.
    pub(super) fn token_unnamed(lack: &str) -> Self {
        let detail = format!("there is nothing in the token to revoke by: {lack}");
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "token_unnamed", detail)
    }

    /// A user's token of which it is not known whether it is good.
    pub(super) fn keys_unavailable() -> Self {
        let detail = "the keys of the token's issuer are not known at present";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "keys_unavailable", detail)
    }

    /// A session that is not the user's, or does not exist.
    pub(in crate::authority) fn session_not_found() -> Self {
        let detail = "the user has no such session";
        Self::new(StatusCode::NOT_FOUND, "session_not_found", detail)
    }

    /// A stream that the signals file does not name.
    pub(super) fn stream_not_found() -> Self {
        let detail = "the signals file has no stream of this name";
        Self::new(StatusCode::NOT_FOUND, "stream_not_found", detail)
    }

    /// A stream that someone else has made.
    pub(super) fn stream_not_managed() -> Self {
        let detail = "the stream is not managed from here: in the signals file, it has no \
                      `transmitter`, or one with `manage: false`";
        Self::new(StatusCode::CONFLICT, "stream_not_managed", detail)
    }

    pub(super) fn overloaded(detail: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail)
    }

    /// An authority in another epoch of the feed than the edge.
    pub(super) fn other_epoch() -> Self {
        let detail = "this authority is in another epoch of the feed than the edge that asks, and \
                      cannot answer yet";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "feed_other_epoch", detail)
    }

    /// A replica that is behind the edge.
    pub(super) fn behind() -> Self {
        let detail = "this authority is behind the edge that asks, and cannot answer yet";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "feed_behind", detail)
    }

    /// A status of which nothing is known here. Where it may be known a moment later, it may be asked for
    /// again.
    pub(super) fn status_unknown(unknown: Unknown) -> Self {
        let status = if unknown.may_pass() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::UNPROCESSABLE_ENTITY
        };
        let detail = format!("`status`: {unknown}");
        Self::new(status, "status_unknown", detail)
    }

    /// A registry of sessions that cannot be reached.
    pub(super) fn no_registry() -> Self {
        let detail = "the registry of sessions is not available";
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "registry_unavailable",
            detail,
        )
    }

    pub(super) fn import_in_progress() -> Self {
        let detail = "another import is being read or carried out";
        Self::new(StatusCode::CONFLICT, "import_in_progress", detail)
    }

    /// Why there is no copy of the store. It is the store's own failure only where it is closed.
    pub(super) fn backup(error: StoreError) -> Self {
        match error {
            StoreError::Closed => error.into(),
            StoreError::BackingUp => {
                let detail = error.to_string();
                Self::new(StatusCode::CONFLICT, "backup_in_progress", detail)
            }
            StoreError::Database(DatabaseError::OwnBackup) => {
                let detail = error.to_string();
                Self::new(StatusCode::CONFLICT, "backup_elsewhere", detail)
            }
            _ => {
                tracing::error!(
                    error = %super::super::text::chain_of(&error),
                    "could not make a backup"
                );
                let detail = "the backup could not be made, see the authority's log; the store \
                              is not concerned";
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "backup_failed", detail)
            }
        }
    }

    /// An authority that does not know what is in force. What was asked of it may be done all the same.
    pub(super) fn not_current(error: &StoreError) -> Self {
        let detail = format!("{error}; ask again, or another authority");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_away", detail)
    }

    /// The same, for an edge that waits for what others have committed.
    pub(super) fn database_away() -> Self {
        let detail = "the database cannot be reached, so it is not known what was revoked last; ask \
                      again, or another authority";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "database_away", detail)
    }

    /// Another authority has made a key at the same time.
    pub(super) fn rotated_elsewhere() -> Self {
        let detail =
            "the keys were changed by another authority at the same time; look at them first";
        Self::new(StatusCode::CONFLICT, "keys_changed", detail)
    }

    pub(in crate::authority) fn internal() -> Self {
        let detail = "see the authority's log";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl From<QueryRejection> for Problem {
    fn from(error: QueryRejection) -> Self {
        Self::invalid(error.body_text())
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::TooLong { .. } | RequestError::TooLate { .. } => {
                Self::out_of_bounds(error.to_string())
            }
            RequestError::Clocks(_) => {
                let detail = error.to_string();
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "clocks_disagree", detail)
            }
            RequestError::Missing(_) | RequestError::Empty(_) | RequestError::Unexpected { .. } => {
                Self::invalid(error.to_string())
            }
        }
    }
}

impl From<WriteError> for Problem {
    fn from(error: WriteError) -> Self {
        let code = match error {
            WriteError::Overloaded => "overloaded",
            WriteError::Unavailable => "store_unavailable",
        };
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
    }
}

impl From<PollError> for Problem {
    fn from(error: PollError) -> Self {
        match error {
            PollError::Away => Self::database_away(),
            PollError::Write(error) => error.into(),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(error = %super::super::text::chain_of(&error), "could not read the store");
        let detail = "the store cannot be read";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "store_unavailable", detail)
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let detail = format!("`{}`: {fault}", fault.reason.label());
        Self::new(StatusCode::BAD_GATEWAY, "transmitter_failed", detail)
    }
}

impl From<RotationError> for Problem {
    fn from(error: RotationError) -> Self {
        match error {
            RotationError::TooMany(_) => {
                Self::new(StatusCode::CONFLICT, "too_many_keys", error.to_string())
            }
            RotationError::Store(error) => error.into(),
        }
    }
}

impl From<ImportError> for Problem {
    fn from(error: ImportError) -> Self {
        match error {
            ImportError::Write(error) => error.into(),
            ImportError::InProgress => Self::import_in_progress(),
            ImportError::Lines { faults, count } => {
                let lines = counted(count, "line is", "lines are");
                let detail = format!("{lines} wrong; nothing was revoked");
                let mut problem =
                    Self::new(StatusCode::UNPROCESSABLE_ENTITY, "lines_invalid", detail);
                problem.body.more_lines = count.saturating_sub(faults.len() as u64);
                problem.body.lines = faults;
                problem
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let is_to_end = matches!(&*self.body.code, TOO_MANY_CONNECTIONS | TLS_EXPECTED);
        let mut response = (self.status, Json(self.body)).into_response();
        let headers = response.headers_mut();
        let problem = HeaderValue::from_static("application/problem+json");
        headers.insert("content-type", problem);
        headers.insert("cache-control", HeaderValue::from_static("no-store"));
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static(r#"Bearer realm="portcullis authority""#);
            headers.insert("www-authenticate", challenge);
        }
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert("retry-after", HeaderValue::from_static("1"));
        }
        if is_to_end {
            headers.insert("connection", HeaderValue::from_static("close"));
        }
        response
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "what serde calls it with"
)]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}
