//! Reading bodies, within bounds of length and time.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use http_body_util::LengthLimitError;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::Problem;
use crate::authority::strict;
use crate::authority::text::causes;

/// Every member of a revocation at its longest, every character escaped as `\u0000`.
pub(in crate::authority) const MAX_BODY_BYTES: usize = 64 * 1024;

/// How long a body may take; for an import, how long it may pause.
pub(super) const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A JSON body.
///
/// Its content type must be JSON, the one type that a page in a browser cannot send to a loopback
/// address without a preflight.
#[derive(Debug)]
pub(in crate::authority) struct JsonBody<T>(pub(in crate::authority) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let ReadJson { value, .. } = ReadJson::from_request(request, state).await?;
        Ok(Self(value))
    }
}

/// The same, together with its bytes.
pub(in crate::authority) struct ReadJson<T> {
    pub(in crate::authority) value: T,
    pub(in crate::authority) bytes: Bytes,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ReadJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let bytes = read_bytes(request, MAX_BODY_BYTES).await?;
        let value = strict::from_slice(&bytes);
        let value = value.map_err(|error| Problem::invalid(error.to_string()))?;
        Ok(Self { value, bytes })
    }
}

/// Refuses a request whose body is of another type; parameters like `charset` do not matter.
pub(in crate::authority) fn expect_type(request: &Request, expected: &str) -> Result<(), Problem> {
    let found = request.headers().get("content-type");
    let found = found
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let found = found.split(';').next().unwrap_or_default().trim();
    if found.eq_ignore_ascii_case(expected) {
        Ok(())
    } else {
        Err(Problem::media_type(expected))
    }
}

/// The bytes of a JSON body of at most `limit` bytes.
pub(super) async fn read_bytes(request: Request, limit: usize) -> Result<Bytes, Problem> {
    expect_type(&request, "application/json")?;
    read(request.into_body(), limit).await
}

/// The bytes of a body of at most `limit` bytes.
pub(in crate::authority) async fn read(body: Body, limit: usize) -> Result<Bytes, Problem> {
    match timeout(BODY_TIMEOUT, to_bytes(body, limit)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(Problem::too_large(limit)),
        Ok(Err(error)) => Err(Problem::broken_off(&error)),
        Err(_) => Err(Problem::timeout()),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    causes(error).any(<dyn Error>::is::<LengthLimitError>)
}
