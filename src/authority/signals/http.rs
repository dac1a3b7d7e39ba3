//! The interface of the listener for signals: the receivers' paths, and nothing else.
//!
//! Every route is registered together with its description, as those of operators and edges are. The
//! `OpenAPI` document is on their interface (`/v1/openapi-signals.json`) and not on this one: a provider
//! is set up with a URL and asks for no description, so that here it would serve strangers alone.

mod description;
mod global_revocation;
mod push;

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use http_body_util::LengthLimitError;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use utoipa::{OpenApi as _, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::configuration::SignalLimits;
use super::ledger::Record;
use super::reason::{Code, Receiver, Refusal};
use super::reception::{Arrival, Claimed, Reception};
use super::{Receivers, form, oauth};
use crate::authority::Authority;
use crate::authority::http::{count, drain};
use crate::authority::server::Peer;
use crate::authority::text::causes;
use description::Description;
pub(super) use description::NotNow;

/// Where identity providers send logout tokens (Back-Channel Logout 1.0 section 2.5).
pub(super) const LOGOUT_PATH: &str = "/backchannel-logout";

/// Where transmitters send the events of the stream of this name (RFC 8935).
const STREAM_PATH: &str = "/ssf/streams/{name}";

/// Where requests to revoke everything of a user are sent, with the name that the signals file gives.
const GLOBAL_REVOCATION_PATH: &str = "/global-token-revocation/{name}";

/// The path of the receiver of requests to revoke everything with this name.
pub(super) fn endpoint(name: &str) -> String {
    GLOBAL_REVOCATION_PATH.replace("{name}", name)
}

/// The path of the stream with this name.
pub(super) fn stream_endpoint(name: &str) -> String {
    STREAM_PATH.replace("{name}", name)
}

/// The interface.
pub(in crate::authority) fn router(authority: Arc<Authority>, receivers: Arc<Receivers>) -> Router {
    let (routes, _) = routes(receivers.oauth.is_some()).split_for_parts();
    let reception = Reception {
        authority: Arc::clone(&authority),
        receivers,
    };
    routes
        .fallback(async || plain(StatusCode::NOT_FOUND, "nothing is received at this path"))
        .method_not_allowed_fallback(async || {
            plain(StatusCode::METHOD_NOT_ALLOWED, "expected another method")
        })
        .layer(middleware::from_fn_with_state(
            Arc::clone(&authority),
            expect_current,
        ))
        .layer(middleware::from_fn_with_state(authority, count))
        .layer(middleware::from_fn(drain))
        .with_state(reception)
}

/// What is answered from memory is not answered once that is too old: a token may have been revoked
/// meanwhile. The others write, and are refused by that, with a record of who was not signed out.
async fn expect_current(
    State(authority): State<Arc<Authority>>,
    request: Request,
    next: Next,
) -> Response {
    let is_from_memory = request.uri().path() == oauth::http::INTROSPECT_PATH;
    let response = next.run(request).await;
    if is_from_memory && response.status().is_success() && authority.store.check_recent().is_err() {
        return Code::StoreUnavailable.into_response();
    }
    response
}

/// The description of the interface as JSON.
pub(in crate::authority) fn describe(receivers: &Receivers) -> String {
    let (_, document) = routes(receivers.oauth.is_some()).split_for_parts();
    description::complete(&document, receivers.configuration.public_url.as_deref())
}

fn routes(for_clients: bool) -> OpenApiRouter<Reception> {
    let routes = OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(log_out))
        .routes(routes!(push::take))
        .routes(routes!(global_revocation::revoke));
    if for_clients {
        routes.merge(oauth::http::routes())
    } else {
        routes
    }
}

/// What comes with a logout token. Other parameters are ignored.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a form is read from its bytes")]
struct LogoutForm {
    /// A logout token in the compact form, once.
    logout_token: String,
}

/// An identity provider tells that a user has signed out (OpenID Connect Back-Channel Logout 1.0). A token
/// that comes again has the same answer, and nothing more follows from it.
#[utoipa::path(
    post,
    path = LOGOUT_PATH,
    security(()),
    request_body(content = LogoutForm, content_type = FORM),
    responses(
        (status = 200, description = "The revocation is on the disk, and so is that the token was \
          accepted"),
        (status = 400, description = "The request, or the token, is not in order, or its issuer is \
          not listened to", body = ErrorAnswer),
        NotNow,
    )
)]
async fn log_out(State(reception): State<Reception>, request: Request) -> Response {
    let receiver = Receiver::BackChannelLogout;
    let arrival = arrival(&request);
    let limits = reception.receivers.configuration.limits;
    let token = match body(request, FORM, &limits).await {
        Ok(body) => form::logout_token(&body),
        Err(refusal) => Err(refusal),
    };
    let token = token.and_then(|token| Ok((Arc::new(Claimed::read(&token)?), token)));
    let (claimed, token) = match token {
        Ok(token) => token,
        Err(refusal) => {
            reception.turned_away(receiver, &refusal, &arrival);
            return refusal.code.into_response();
        }
    };
    let room = reception.receivers.logouts.of(&claimed.issuer);
    let describe = |record: &mut Record| reception.note_unchecked(&claimed, record);
    let (worker, claims) = (reception.clone(), Arc::clone(&claimed));
    let work = async move { worker.log_out((token, &claims), arrival).await };
    match in_time(&reception, room, (receiver, arrival), describe, work).await {
        Ok(()) => no_store(StatusCode::OK.into_response()),
        Err(refusal) => refusal.code.into_response(),
    }
}

/// The media type of a logout token's request.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

pub(super) fn arrival(request: &Request) -> Arrival {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0);
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Arrival::now(Some(peer.unwrap_or(unknown)))
}

/// Waits for room and for the end of the work, as long as the sender is to wait. The work goes on in any
/// case: what is half done when a caller hangs up is a revocation without its record. `describe` adds to
/// the record of what is turned away whom it claims to be about.
pub(super) async fn in_time<T: Send + 'static>(
    reception: &Reception,
    room: &Arc<Semaphore>,
    (receiver, arrival): (Receiver, Arrival),
    describe: impl FnOnce(&mut Record),
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    let limit = reception.receivers.configuration.limits.timeout;
    let turned_away = |code: Code| {
        let refusal = code.into();
        let mut record = arrival.record(receiver);
        describe(&mut record);
        reception.refused(receiver, &refusal, &arrival, record);
        Err(refusal)
    };
    // A provider that signs out more users at once than there is room for tries once.
    let left = limit.saturating_sub(arrival.instant.elapsed());
    let Ok(Ok(room)) = timeout(left, Arc::clone(room).acquire_owned()).await else {
        return turned_away(Code::Overloaded);
    };
    let work = tokio::spawn(async move {
        let done = work.await;
        drop(room);
        done
    });
    let left = limit.saturating_sub(arrival.instant.elapsed());
    match timeout(left, work).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => turned_away(Code::StoreUnavailable),
        Err(_) => turned_away(Code::TimedOut),
    }
}

/// The bytes of a body of this media type.
pub(super) async fn body(
    request: Request,
    expected: &str,
    limits: &SignalLimits,
) -> Result<Bytes, Refusal> {
    let found = request.headers().get("content-type");
    let found = found.and_then(|value| value.to_str().ok());
    let found = found.and_then(|value| value.split(';').next());
    if !found.is_some_and(|found| found.trim().eq_ignore_ascii_case(expected)) {
        let detail = format!("expected `Content-Type: {expected}`");
        return Err(Code::BodyInvalid.because(detail));
    }
    let longest = limits.body;
    match timeout(limits.timeout, to_bytes(request.into_body(), longest)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if causes(&error).any(<dyn Error>::is::<LengthLimitError>) => {
            let detail = format!("the body is longer than `limits.body` ({longest} bytes)");
            Err(Code::BodyInvalid.because(detail))
        }
        Ok(Err(_)) => Err(Code::BodyInvalid.because("the body breaks off")),
        Err(_) => Err(Code::BodyTimeout.into()),
    }
}

/// Why something is not done.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct ErrorAnswer {
    /// For programs to act on: `invalid_request`, `invalid_token`, `invalid_client`, `invalid_grant`,
    /// `unauthorized_client`, `unsupported_token_type`, or `temporarily_unavailable`.
    error: &'static str,
    /// For people to read.
    error_description: &'static str,
}

/// The answer of Back-Channel Logout 1.0 section 2.8, with the members of RFC 6749 section 5.2.
impl IntoResponse for Code {
    fn into_response(self) -> Response {
        let mut response = answer(self.status(), self.error(), self.description());
        let headers = response.headers_mut();
        if self.is_temporary() {
            headers.insert("retry-after", HeaderValue::from_static("2"));
        }
        if self.status() == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Basic realm=\"portcullis\"");
            headers.insert("www-authenticate", challenge);
        }
        response
    }
}

fn plain(status: StatusCode, description: &'static str) -> Response {
    answer(status, "invalid_request", description)
}

fn answer(status: StatusCode, error: &'static str, error_description: &'static str) -> Response {
    let body = ErrorAnswer {
        error,
        error_description,
    };
    no_store((status, Json(body)).into_response())
}

pub(super) fn no_store(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    response
}
