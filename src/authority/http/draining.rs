//! Reading a short request to its end, whatever the answer.
//!
//! A caller that is refused because of its headers may still be sending the body. If the connection
//! is closed with part of the body unread, the system discards the answer as well (RFC 9112 section
//! 9.6), and the caller sees a broken connection instead of the reason. So what a handler has not
//! read of a short body is read here before its answer goes out. A caller that asks first whether
//! the body is wanted (`Expect: 100-continue`) has not sent it, and learns from the answer that it
//! is not.

use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::timeout;

use super::body::MAX_BODY_BYTES;

/// More than a round trip, so that a body that is already on its way arrives.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Reads what is left of the body, then answers.
pub(in crate::authority) async fn drain(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let asks_first = request.headers().contains_key("expect");
    let returned = Arc::new(Mutex::new(None));
    let (parts, body) = request.into_parts();
    let lent = Lent {
        body,
        was_read: false,
        returned: Arc::clone(&returned),
    };
    let request = Request::from_parts(parts, Body::new(lent));
    let response = next.run(request).await;
    let rest = returned
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .take();
    if let Some(Left { body, was_read }) = rest
        && (was_read || !asks_first)
    {
        // If not all of it comes in time, the worst case is that the caller misses the answer.
        let _ = timeout(DRAIN_TIME, read(body)).await;
    }
    response
}

/// A body that is given back when its reader drops it.
struct Lent {
    body: Body,
    was_read: bool,
    returned: Arc<Mutex<Option<Left>>>,
}

/// What its reader has left of a body.
struct Left {
    body: Body,
    was_read: bool,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.was_read = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            return;
        }
        let left = Left {
            body: mem::take(&mut self.body),
            was_read: self.was_read,
        };
        *self.returned.lock().unwrap_or_else(PoisonError::into_inner) = Some(left);
    }
}

/// Reads as much as any request but an import may have.
async fn read(mut body: Body) {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
        if length > MAX_BODY_BYTES {
            return;
        }
    }
}
