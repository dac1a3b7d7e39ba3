//! Checks at the authority that requests wait for.
//!
//! The same check is made once, however many requests of this virtual machine wait for its answer; a
//! call that fails is made once more, within the time that was allowed for it. Where there are several
//! authorities, Envoy gives the second call to the next of them.
//!
//! # Why may the first call not take all of the time?
//!
//! A machine that has lost its power refuses no connection: the call ends with its time. With a quarter
//! of it left, the request is answered by another authority, or, with HTTP/1.1, over a new connection. Where
//! there is one authority that is only slow, it is asked twice, which is why the first call has most of the
//! time.
//!
//! # Why does Envoy not repeat it?
//!
//! It would: it honours `x-envoy-retry-on` in the headers of a module's call, and since 1.37 a
//! `retry_policy` of the cluster. But then checks would be repeated only where the cluster is written so,
//! and with the header twice where it is. What the cluster in `envoy/envoy-replicas.yaml` repeats has not
//! reached an authority.
//!
//! # What if the call is lost?
//!
//! The end of a call is reported to the request whose callback made it, and if that has gone, to
//! none. If others wait for the same answer, the check is repeated in the plugin's context, which
//! stays, on the next tick.

use std::time::Duration;

use crate::host::{BackgroundHost, Call, CallId, CallOutcome};
use crate::time::Interval;

/// Most requests of one virtual machine that wait for the authority. Each holds a stream of Envoy;
/// further ones are decided as if the authority had not answered.
pub(super) const MAX_CHECKING: usize = 1024;

/// A call with less time left than this is not worth making.
const SHORTEST_CALL: Duration = Duration::from_millis(5);

/// The checks of one virtual machine that have not been answered. `C` is a check, `W` a request that
/// waits.
#[derive(Debug)]
pub(super) struct Checks<C, W> {
    pending: Vec<Pending<C, W>>,
}

/// A check that has ended, and the requests that have waited for its answer.
pub(super) type Ended<C, W> = (C, Vec<W>);

#[derive(Debug)]
struct Pending<C, W> {
    check: C,
    call: Call,
    waiting: Vec<W>,
    flight: Flight,
}

#[derive(Clone, Copy, Debug)]
enum Flight {
    /// The call is under way.
    Sent {
        id: CallId,
        /// The time that is allowed for the answer, as long as the call may be made once more.
        allowed: Option<Interval>,
    },
    /// The end of the call will not be reported.
    Lost,
}

impl<C, W> Default for Checks<C, W> {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
        }
    }
}

impl<C: Clone + PartialEq, W> Checks<C, W> {
    /// Lets `waiter` wait for the answer to a check, which is made by `call` unless it is pending
    /// already.
    ///
    /// # Errors
    ///
    /// The waiter, when there is no room or the call cannot be made.
    pub(super) fn make(
        &mut self,
        host: &impl BackgroundHost,
        check: &C,
        call: impl FnOnce() -> Option<Call>,
        waiter: W,
    ) -> Result<(), W> {
        if self.waiting() >= MAX_CHECKING {
            return Err(waiter);
        }
        let mut pending = self.pending.iter_mut();
        if let Some(same) = pending.find(|pending| pending.check == *check) {
            same.waiting.push(waiter);
            return Ok(());
        }
        let sent = call().and_then(|mut call| {
            let allowed = Interval::new(host.now_milliseconds(), call.timeout);
            call.timeout = call.timeout * 3 / 4;
            Some((host.call(&call).ok()?, call, allowed))
        });
        let Some((id, call, allowed)) = sent else {
            return Err(waiter);
        };
        self.pending.push(Pending {
            check: check.clone(),
            call,
            waiting: vec![waiter],
            flight: Flight::Sent {
                id,
                allowed: Some(allowed),
            },
        });
        Ok(())
    }

    /// Takes the end of a call. `None` when no request waits for it any more, or when the call is
    /// made once more.
    pub(super) fn answered(
        &mut self,
        host: &impl BackgroundHost,
        id: CallId,
        outcome: &CallOutcome,
    ) -> Option<Ended<C, W>> {
        let index = self.index_of(id)?;
        if has_failed(outcome) && self.pending.get_mut(index)?.retry(host) {
            return None;
        }
        let ended = self.pending.swap_remove(index);
        Some((ended.check, ended.waiting))
    }

    /// Notes that the end of a call will not be reported.
    pub(super) fn lose(&mut self, id: CallId) {
        let index = self.index_of(id);
        if let Some(pending) = index.and_then(|index| self.pending.get_mut(index)) {
            pending.flight = Flight::Lost;
        }
    }

    /// Drops the requests that have gone, and the checks that no request waits for.
    pub(super) fn leave(&mut self, has_gone: impl Fn(&W) -> bool) {
        for pending in &mut self.pending {
            pending.waiting.retain(|waiter| !has_gone(waiter));
        }
        self.pending.retain(|pending| !pending.waiting.is_empty());
    }

    /// Makes lost calls again. Gives back the checks whose calls cannot be made.
    pub(super) fn send_again(&mut self, host: &impl BackgroundHost) -> Vec<Ended<C, W>> {
        for pending in &mut self.pending {
            if matches!(pending.flight, Flight::Lost)
                && let Ok(id) = host.call(&pending.call)
            {
                pending.flight = Flight::Sent { id, allowed: None };
            }
        }
        let lost = self
            .pending
            .extract_if(.., |pending| matches!(pending.flight, Flight::Lost));
        lost.map(|lost| (lost.check, lost.waiting)).collect()
    }

    /// Whether so many questions are being asked, or all requests wait that may.
    pub(super) fn is_busy(&self, most: usize) -> bool {
        self.pending.len() >= most || self.waiting() >= MAX_CHECKING
    }

    /// How many of those that are pending are like this.
    pub(super) fn count(&self, is_it: impl Fn(&C) -> bool) -> usize {
        let pending = self.pending.iter();
        pending.filter(|pending| is_it(&pending.check)).count()
    }

    fn index_of(&self, id: CallId) -> Option<usize> {
        let is_it = |pending: &Pending<C, W>| match pending.flight {
            Flight::Sent { id: sent, .. } => sent == id,
            Flight::Lost => false,
        };
        self.pending.iter().position(is_it)
    }

    fn waiting(&self) -> usize {
        let waiting = self.pending.iter().map(|pending| pending.waiting.len());
        waiting.sum()
    }
}

impl<C, W> Pending<C, W> {
    /// Makes the call once more, in what is left of its time. `false` when it was already repeated,
    /// or cannot be.
    fn retry(&mut self, host: &impl BackgroundHost) -> bool {
        let Flight::Sent {
            allowed: Some(allowed),
            ..
        } = self.flight
        else {
            return false;
        };
        let timeout = allowed.remaining(host.now_milliseconds());
        if timeout < SHORTEST_CALL {
            return false;
        }
        let call = Call {
            timeout,
            ..self.call.clone()
        };
        let Ok(id) = host.call(&call) else {
            return false;
        };
        self.flight = Flight::Sent { id, allowed: None };
        true
    }
}

/// Whether another try may help: the connection broke, nothing came back, or the authority is just
/// starting or stopping.
/// An authority that refuses the credential or the check will do so again.
fn has_failed(outcome: &CallOutcome) -> bool {
    match outcome {
        CallOutcome::Answered { status, .. } => *status >= 500,
        CallOutcome::Failed => true,
    }
}

#[cfg(test)]
mod tests;
