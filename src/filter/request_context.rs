//! The context of one request.

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::envoy::{self, Envoy};
use crate::edge::{ContextId, Edge, Progress, State};
use crate::host::CallId;

/// Hands one request to the edge, and tells Envoy whether it may go on.
pub(super) struct RequestContext {
    context: ContextId,
    edge: Option<Rc<Edge<Envoy>>>,
    progress: Progress,
}

impl RequestContext {
    pub(super) fn new(context: u32, edge: Option<Rc<Edge<Envoy>>>) -> Self {
        Self {
            context: ContextId(context),
            edge,
            progress: Progress::default(),
        }
    }

    /// Envoy keeps back body and trailers of a paused request, unless the operator has set
    /// `allow_on_headers_stop_iteration`: then letting them pass would let the request pass.
    fn action(&self) -> Action {
        match self.progress.state() {
            State::Forwarded => Action::Continue,
            State::Held | State::Stopped => Action::Pause,
        }
    }
}

impl Context for RequestContext {
    fn on_http_call_response(&mut self, call: u32, _headers: usize, body: usize, _trailers: usize) {
        if let Some(edge) = &self.edge {
            let outcome = envoy::call_outcome(body);
            edge.on_call_ended(self.context, CallId(call), &outcome);
        }
    }
}

/// Called when Envoy drops the request.
impl Drop for RequestContext {
    fn drop(&mut self) {
        if let Some(edge) = &self.edge {
            edge.on_gone(self.context, &self.progress);
        }
    }
}

impl HttpContext for RequestContext {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // Envoy sends no requests to a plugin that is not configured; if it did, they would wait
        // here until the client gives up.
        if let Some(edge) = &self.edge {
            edge.on_request(self.context, &self.progress);
        }
        self.action()
    }

    fn on_http_request_body(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        self.action()
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        if let Some(edge) = &self.edge {
            edge.on_trailers(self.context, &self.progress);
        }
        self.action()
    }
}
