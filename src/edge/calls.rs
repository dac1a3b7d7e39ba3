//! Which part of the edge a call belongs to.
//!
//! A part makes its calls through a [`Caller`], which records whose they are. Calls are few: one or
//! two for each source of keys, three for the feed, and one for each check.

use std::cell::{OnceCell, RefCell};

use super::{ContextId, EdgeHost, Metric};
use crate::host::{
    BackgroundHost, Call, CallHost, CallId, Expected, NotSent, SharedData, SharedValue,
};

/// The part of the edge that is told how a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The keeper of keys.
    Keys,
    /// The keeper of the revocation feed.
    Feed,
    /// What requests wait for at the authority: checks, and what users want.
    Checks,
    /// Those about requests in progress.
    Streams,
    /// The reports of sessions in use.
    Activity,
}

/// The calls that have not ended. The end of every call is reported, unless the context has gone
/// whose callback made it.
#[derive(Debug, Default)]
pub(super) struct Calls {
    open: RefCell<Vec<OpenCall>>,
}

#[derive(Clone, Copy, Debug)]
struct OpenCall {
    id: CallId,
    owner: Owner,
    context: ContextId,
}

/// The host, as one part of the edge calls it.
pub(super) struct Caller<'e, H> {
    host: &'e H,
    calls: &'e Calls,
    owner: Owner,
    context: ContextId,
    /// The time, read once for everything that follows from one callback of the host.
    now_milliseconds: OnceCell<u64>,
}

impl Calls {
    /// The host for one part of the edge, in a callback of this context.
    pub(super) const fn caller<'e, H>(
        &'e self,
        host: &'e H,
        owner: Owner,
        context: ContextId,
    ) -> Caller<'e, H> {
        Caller {
            host,
            calls: self,
            owner,
            context,
            now_milliseconds: OnceCell::new(),
        }
    }

    /// Removes a call that has ended, and says whose it was.
    pub(super) fn close(&self, id: CallId) -> Option<Owner> {
        let mut open = self.open.borrow_mut();
        let index = open.iter().position(|call| call.id == id)?;
        Some(open.swap_remove(index).owner)
    }

    /// Removes the calls of a context that has gone, whose ends will not be reported.
    pub(super) fn take_of(&self, context: ContextId) -> Vec<(CallId, Owner)> {
        let mut open = self.open.borrow_mut();
        let lost = open.extract_if(.., |call| call.context == context);
        lost.map(|call| (call.id, call.owner)).collect()
    }
}

impl<H: EdgeHost> Caller<'_, H> {
    /// [`EdgeHost::measure`].
    pub(super) fn measure(&self, metric: Metric<'_>) {
        self.host.measure(metric);
    }
}

impl<H: SharedData> SharedData for Caller<'_, H> {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.host.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        self.host.set_shared(key, value, expected)
    }
}

impl<H: CallHost> CallHost for Caller<'_, H> {
    fn call(&self, call: &Call) -> Result<CallId, NotSent> {
        let id = self.host.call(call)?;
        self.calls.open.borrow_mut().push(OpenCall {
            id,
            owner: self.owner,
            context: self.context,
        });
        Ok(id)
    }
}

impl<H: BackgroundHost> BackgroundHost for Caller<'_, H> {
    fn now_milliseconds(&self) -> u64 {
        *self
            .now_milliseconds
            .get_or_init(|| self.host.now_milliseconds())
    }

    fn random(&self) -> u64 {
        self.host.random()
    }

    fn instance(&self) -> Vec<u8> {
        self.host.instance()
    }

    fn warn(&self, message: &str) {
        self.host.warn(message);
    }

    fn info(&self, message: &str) {
        self.host.info(message);
    }
}
