//! One request on its way through the filter.

use std::cell::Cell;
use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext};
use proxy_wasm::types::Action;

use super::background;
use super::shared::Shared;
use crate::gate::{Answers, Verdict};
use crate::host::CallId;
use crate::time::Interval;

/// One per request.
pub(super) struct Request {
    context: u32,
    shared: Option<Rc<Shared>>,
    state: Rc<Cell<State>>,
    has_waited: Cell<bool>,
}

/// A request on its way to a verdict, which may have to wait.
pub(super) struct Held {
    pub(super) context: u32,
    /// How long it may wait for keys, once it has begun to.
    pub(super) patience: Option<Interval>,
    /// What has come of all waiting so far.
    pub(super) answers: Answers,
    pub(super) state: Rc<Cell<State>>,
}

/// What has been decided about a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// It goes on.
    Forwarded,
    /// It waits.
    Held,
    /// It was answered, or nobody can decide about it.
    #[default]
    Stopped,
}

impl Request {
    pub(super) fn new(context: u32, shared: Option<Rc<Shared>>) -> Self {
        Self {
            context,
            shared,
            state: Rc::default(),
            has_waited: Cell::new(false),
        }
    }

    /// Envoy keeps back body and trailers of a request that is paused, unless the operator has
    /// set `allow_on_headers_stop_iteration`: letting them pass would then let the request pass.
    fn action(&self) -> Action {
        match self.state.get() {
            State::Forwarded => Action::Continue,
            State::Held | State::Stopped => Action::Pause,
        }
    }
}

impl Context for Request {
    fn on_http_call_response(&mut self, call: u32, _headers: usize, body: usize, _trailers: usize) {
        if let Some(shared) = &self.shared {
            let outcome = background::call_outcome(body);
            shared.request_call_ended(self.context, CallId(call), &outcome);
        }
    }
}

/// Nobody waits for the verdict any more.
impl Drop for Request {
    fn drop(&mut self) {
        // Also one that has its verdict may own a call that others wait for.
        if let Some(shared) = self.shared.as_ref().filter(|_| self.has_waited.get()) {
            shared.leave(self.context);
        }
    }
}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // Envoy sends no requests to a plugin that is not configured; if it did, they would wait
        // here until the client gives up.
        if let Some(shared) = &self.shared {
            shared.begin(Held {
                context: self.context,
                patience: None,
                answers: Answers::default(),
                state: Rc::clone(&self.state),
            });
            self.has_waited.set(self.state.get() == State::Held);
        }
        self.action()
    }

    fn on_http_request_body(&mut self, _size: usize, _end_of_stream: bool) -> Action {
        self.action()
    }

    fn on_http_request_trailers(&mut self, _count: usize) -> Action {
        // Now, whatever the state: to a request that waits they do not come again.
        if let Some(shared) = &self.shared
            && shared.strip_trailers(self.context) == Verdict::Stop
        {
            self.state.set(State::Stopped);
        }
        self.action()
    }
}
