//! Hearing a short request out, whatever the answer.
//!
//! Who is refused for what stands in the headers may still be sending the body. If the connection is
//! closed with bytes of it unread, the system throws away what it has sent as well (RFC 9112 section
//! 9.6), and the caller sees a connection that broke off in place of the reason. So what a handler has
//! not read of a short body is read here before its answer goes out. A caller who asks first whether
//! the body is wanted (`Expect: 100-continue`) has not sent it, and is told by the answer that it is
//! not.

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

/// More than a round trip, which is what a body needs that is on its way already.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// Answers, and reads what is left of the body first.
pub(super) async fn drain(request: Request, next: Next) -> Response {
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
        // Not all of it came in time: then the caller may miss the answer, and that is all.
        let _ = timeout(DRAIN_TIME, read(body)).await;
    }
    response
}

/// A body that comes back when its reader has done with it.
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

/// No more than any request but an import may have.
async fn read(mut body: Body) {
    let mut length = 0;
    while let Some(Ok(frame)) = body.frame().await {
        length += frame.data_ref().map_or(0, Bytes::len);
        if length > MAX_BODY_BYTES {
            return;
        }
    }
}
