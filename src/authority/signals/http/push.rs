//! `POST /ssf/streams/{name}`: a transmitter sends a security event token (RFC 8935).

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::description::SilentlyNotNow;
use super::{ErrorAnswer, STREAM_PATH, arrival, body, in_time, no_store, plain};
use crate::authority::signals::configuration::Delivery;
use crate::authority::signals::ledger::Record;
use crate::authority::signals::reason::{Code, Receiver, Refusal};
use crate::authority::signals::reception::{Claimed, Reception};
use crate::authority::signals::secret::Presented;
use crate::authority::signals::streams::Open;

/// The media type of a token (RFC 8417 section 7.2).
const MEDIA_TYPE: &str = "application/secevent+jwt";

/// Why an event is not taken.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub(super) struct EventErrorAnswer {
    /// For programs to act on: `invalid_request`, `invalid_key`, `invalid_issuer`, `invalid_audience`,
    /// `authentication_failed`, `access_denied`, or `invalid_state`.
    err: &'static str,
    /// For people to read.
    description: &'static str,
}

/// A transmitter sends a security event token to the stream of this name (RFC 8935). A token that comes
/// again has the same answer, and nothing more follows from it.
#[utoipa::path(
    post,
    path = STREAM_PATH,
    security((), ("stream" = [])),
    params(("name" = String, Path, description = "`streams[].name` in the signals file", min_length = 1)),
    request_body(content = String, content_type = MEDIA_TYPE,
     description = "A security event token in the compact form"),
    responses(
        (status = 202, description = "What follows from it is on the disk, and so is that it was \
          taken"),
        (status = 400, description = "The request, or the token, is not in order",
         body = EventErrorAnswer, headers(("content-language" = String, description = "`en`"))),
        (status = 401, description = "`Authorization` is not that of the stream",
         body = EventErrorAnswer, headers(("content-language" = String, description = "`en`"))),
        (status = 404, description = "No stream that is pushed has this name", body = ErrorAnswer),
        SilentlyNotNow,
    )
)]
pub(super) async fn take(
    State(reception): State<Reception>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    // One that cannot be read is that of no stream.
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    let stream = reception.receivers.streams.get(&name);
    let Some(stream) = stream.filter(|open| is_pushed(open)) else {
        return plain(StatusCode::NOT_FOUND, "nothing is received at this path");
    };
    let (receiver, mut arrival) = (Receiver::Push, arrival(&request));
    let token = read(stream, request, &reception).await;
    let token = token.and_then(|token| Ok((Arc::new(Claimed::read(&token)?), token)));
    let (claimed, token) = match token {
        Ok(token) => token,
        Err(refusal) => {
            let mut record = arrival.record(receiver);
            record.stream = Some(name);
            reception.refused(receiver, &refusal, &arrival, record);
            return refused(&refusal);
        }
    };
    arrival.is_authorized = stream.authorization().is_some();
    let describe = |record: &mut Record| {
        record.stream = Some(stream.stream.name.clone());
        reception.note_unchecked(&claimed, record);
    };
    let (worker, claims) = (reception.clone(), Arc::clone(&claimed));
    let work = async move {
        match worker.receivers.streams.get(&name) {
            Some(stream) => worker.take_pushed(stream, (token, &claims), arrival).await,
            None => Err(Code::ReceiverOff.into()),
        }
    };
    let room = &stream.room;
    match in_time(&reception, room, (receiver, arrival), describe, work).await {
        Ok(()) => no_store(StatusCode::ACCEPTED.into_response()),
        Err(refusal) => refused(&refusal),
    }
}

fn is_pushed(open: &Open) -> bool {
    matches!(open.stream.delivery, Delivery::Push(_))
}

/// The token, of a request that is authorised.
async fn read(stream: &Open, request: Request, reception: &Reception) -> Result<String, Refusal> {
    let name = &stream.stream.name;
    if stream.authorization().is_some() {
        let mut offered = request.headers().get_all("authorization").iter();
        let (Some(offered), None) = (offered.next(), offered.next()) else {
            let detail = format!("there is not one `Authorization`, which the stream `{name}` has");
            return Err(Code::AuthorizationInvalid.because(detail));
        };
        let offered = Presented::new(offered.as_bytes());
        if !stream.is_authorized_by(offered, Instant::now()) {
            let detail = format!("`Authorization` is not the one of the stream `{name}`");
            return Err(Code::AuthorizationInvalid.because(detail));
        }
    }
    let limits = &reception.receivers.configuration.limits;
    let body = body(request, MEDIA_TYPE, limits).await?;
    let token = String::from_utf8(body.to_vec());
    let token = token.map_err(|_| Code::TokenMalformed)?;
    Ok(token.trim_ascii().to_owned())
}

/// The answer of RFC 8935 section 2.3. Where the transmitter may try again there is nothing to say of the
/// token, so that such an answer is that of HTTP alone.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let code = refusal.code;
    let Some(error) = code.of_event() else {
        let mut response = no_store(code.status().into_response());
        let headers = response.headers_mut();
        headers.insert("retry-after", HeaderValue::from_static("2"));
        return response;
    };
    let body = EventErrorAnswer {
        err: error,
        description: code.description(),
    };
    let mut response = no_store((code.status(), Json(body)).into_response());
    let headers = response.headers_mut();
    headers.insert("content-language", HeaderValue::from_static("en"));
    if code.status() == StatusCode::UNAUTHORIZED {
        headers.insert("www-authenticate", HeaderValue::from_static("Bearer"));
    }
    response
}
