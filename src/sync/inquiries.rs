//! Questions to the authority that requests wait for.
//!
//! The same question is asked once, however many requests of this virtual machine have it; a call
//! that fails is made once more, within the time that was allowed for it.
//!
//! # Whose call is it?
//!
//! Envoy cancels the calls of a request that has gone, and does not say so. So a call belongs to a
//! context, its owner. When the owner goes and others wait for the same answer, the question is an
//! orphan, and is asked again by whoever comes next and does not go: the root context, on its next
//! tick.

use std::time::Duration;

use crate::host::{BackgroundHost, Call, CallId, CallOutcome};
use crate::time::Interval;

/// Most requests of one virtual machine that wait for the authority. Each holds a stream of Envoy;
/// the ones beyond are decided as if it had not answered.
pub const MAX_ASKING: usize = 1024;

/// A call that has less time than this is not worth making.
const SHORTEST_CALL: Duration = Duration::from_millis(5);

/// The questions, `Q`, of one virtual machine that have not been answered. `W` is who waits.
#[derive(Debug)]
pub struct Inquiries<Q, W> {
    pending: Vec<Inquiry<Q, W>>,
}

/// A question that has its answer, be it only that there is none, and who has waited for it.
pub type Ended<Q, W> = (Q, Vec<W>);

#[derive(Debug)]
struct Inquiry<Q, W> {
    question: Q,
    call: Call,
    waiting: Vec<W>,
    flight: Flight,
}

/// How it is being asked.
#[derive(Clone, Copy, Debug)]
enum Flight {
    /// By a call of this context.
    Under {
        id: CallId,
        owner: u32,
        /// The time that was allowed for the answer when it was asked first.
        allowed: Interval,
        is_retry: bool,
    },
    /// Not at all, since its owner has gone.
    Orphan,
}

impl<Q, W> Default for Inquiries<Q, W> {
    fn default() -> Self {
        Self {
            pending: Vec::new(),
        }
    }
}

impl<Q: Clone + PartialEq, W> Inquiries<Q, W> {
    /// Lets `waiter` wait for the answer to a question, which is asked by `call` unless it has been
    /// already. `owner` is the context that the host takes the call for. Gives the waiter back when
    /// there is no room or the call cannot be made.
    ///
    /// # Errors
    ///
    /// The waiter.
    pub fn ask(
        &mut self,
        host: &impl BackgroundHost,
        owner: u32,
        question: &Q,
        call: impl FnOnce() -> Option<Call>,
        waiter: W,
    ) -> Result<(), W> {
        if self.waiting() >= MAX_ASKING {
            return Err(waiter);
        }
        let mut pending = self.pending.iter_mut();
        if let Some(same) = pending.find(|inquiry| inquiry.question == *question) {
            same.waiting.push(waiter);
            return Ok(());
        }
        let started = call().and_then(|call| Some((host.call(&call).ok()?, call)));
        let Some((id, call)) = started else {
            return Err(waiter);
        };
        let allowed = Interval::new(host.now_milliseconds(), call.timeout);
        self.pending.push(Inquiry {
            question: question.clone(),
            call,
            waiting: vec![waiter],
            flight: Flight::Under {
                id,
                owner,
                allowed,
                is_retry: false,
            },
        });
        Ok(())
    }

    /// Takes the end of a call; `None` when it was somebody else's. Nobody is in the answer when the
    /// question has been asked once more.
    pub fn answered(
        &mut self,
        host: &impl BackgroundHost,
        id: CallId,
        outcome: &CallOutcome,
    ) -> Option<Ended<Q, W>> {
        let is_it = |inquiry: &Inquiry<Q, W>| match inquiry.flight {
            Flight::Under { id: under, .. } => under == id,
            Flight::Orphan => false,
        };
        let place = self.pending.iter().position(is_it)?;
        let inquiry = self.pending.get_mut(place)?;
        if has_failed(outcome) && inquiry.retry(host) {
            return Some((inquiry.question.clone(), Vec::new()));
        }
        let inquiry = self.pending.swap_remove(place);
        Some((inquiry.question, inquiry.waiting))
    }

    /// Forgets a context that has gone, as an owner and as one who waits.
    pub fn leave(&mut self, context: u32, is_of: impl Fn(&W, u32) -> bool) {
        for inquiry in &mut self.pending {
            inquiry.waiting.retain(|waiter| !is_of(waiter, context));
            if matches!(inquiry.flight, Flight::Under { owner, .. } if owner == context) {
                inquiry.flight = Flight::Orphan;
            }
        }
        // Who owns nothing that others wait for leaves nothing behind.
        self.pending.retain(|inquiry| !inquiry.waiting.is_empty());
    }

    /// Asks orphans again, for `owner`, a context that stays. Gives those back that cannot be asked.
    pub fn adopt(&mut self, host: &impl BackgroundHost, owner: u32) -> Vec<Ended<Q, W>> {
        for inquiry in &mut self.pending {
            if matches!(inquiry.flight, Flight::Orphan)
                && let Ok(id) = host.call(&inquiry.call)
            {
                inquiry.flight = Flight::Under {
                    id,
                    owner,
                    allowed: Interval::new(host.now_milliseconds(), inquiry.call.timeout),
                    is_retry: true,
                };
            }
        }
        let lost = self
            .pending
            .extract_if(.., |inquiry| matches!(inquiry.flight, Flight::Orphan));
        lost.map(|inquiry| (inquiry.question, inquiry.waiting))
            .collect()
    }

    fn waiting(&self) -> usize {
        let waiting = self.pending.iter().map(|inquiry| inquiry.waiting.len());
        waiting.sum()
    }
}

impl<Q, W> Inquiry<Q, W> {
    /// Makes the call once more, in what is left of its time. `false` when that has been done, or
    /// cannot be.
    fn retry(&mut self, host: &impl BackgroundHost) -> bool {
        let Flight::Under {
            owner,
            allowed,
            is_retry: false,
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
        self.flight = Flight::Under {
            id,
            owner,
            allowed,
            is_retry: true,
        };
        true
    }
}

/// Whether asking again may help: a connection that broke, an authority that is just starting or
/// stopping. One that refuses the credential or the question will do so again.
fn has_failed(outcome: &CallOutcome) -> bool {
    match outcome {
        CallOutcome::Answered { status, .. } => *status >= 500,
        CallOutcome::Failed => true,
    }
}

#[cfg(test)]
mod tests;
