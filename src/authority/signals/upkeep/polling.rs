//! Polls a transmitter (RFC 8936).
//!
//! | the event | the transmitter is told | then |
//! |---|---|---|
//! | is on the disk, now or since earlier | `ack` | it does not come again |
//! | is refused for what it is | `setErrs` | it does not come again |
//! | could not be carried out at present | nothing | it comes again, after a pause |
//!
//! What is owed goes with the next poll. It is dropped once that was answered: also where the answer is
//! a refusal of what was sent, since an event that was not acknowledged comes again.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::super::configuration::Poll;
use super::super::reason::{Code, Refusal};
use super::super::recent::Recent;
use super::super::reception::Arrival;
use super::super::transmitter::{Fault, FaultReason, PollAnswer, SetError, Transmitter};
use super::acknowledgements::Acknowledgements;
use super::bell::Woken;
use super::keeper::random;
use super::metrics::Told;
use super::state::Purpose;
use super::turns::turns;
use super::{Distant, KeptStream};
use crate::backoff;

/// An empty answer that comes sooner was not held back.
const AT_ONCE: Duration = Duration::from_secs(1);

/// The first and the longest pause after answers that bring nothing new of a transmitter that holds none
/// back, and after events that could not be carried out.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Events that are known when they come again: of a hundred answers, or of ten of the largest.
const MOST_TOLD: usize = 10_000;

/// What polls go on with from one to the next.
pub(super) struct Polling {
    reception: Distant,
    runtime: Handle,
    owed: Acknowledgements,
    /// How many events are asked for, less than configured while answers are too large.
    max_events: u32,
    /// Pauses in a row that were not for a fault.
    pauses: u32,
    /// Events of which the transmitter was told lately what became of them.
    told: Recent<u64>,
    hasher: RandomState,
    /// Whether it was said that it brings nothing new at once.
    has_warned: bool,
}

impl Polling {
    pub(super) fn new(reception: Distant, runtime: Handle) -> Self {
        Self {
            reception,
            runtime,
            owed: Acknowledgements::default(),
            max_events: u32::MAX,
            pauses: 0,
            told: Recent::new(MOST_TOLD),
            hasher: RandomState::new(),
            has_warned: false,
        }
    }

    /// Polls for so long, or until the stream has to be looked at.
    pub(super) fn run(&mut self, stream: &KeptStream, poll: &Poll, limit: Duration) {
        let until = Instant::now() + limit;
        let Some(transmitter) = &stream.transmitter else {
            return;
        };
        while !stream.bell.is_stopped() && !stream.bell.is_rung() && Instant::now() < until {
            let Some(endpoint) = stream.endpoint(poll) else {
                let detail = "the transmitter does not say where it is polled; hint: \
                              `delivery.poll.endpoint`";
                stream.pause_after(Purpose::Events, &FaultReason::AnswerInvalid.because(detail));
                return;
            };
            if let Err(fault) = self.once(stream, poll, transmitter, &endpoint) {
                let is_gone = fault.reason == FaultReason::NotFound;
                stream.pause_after(Purpose::Events, &fault);
                if is_gone {
                    return;
                }
            }
        }
        // Otherwise it would end the next wait.
        if stream.bell.is_rung() {
            stream.bell.wait(Duration::ZERO);
        }
    }

    fn once(
        &mut self,
        stream: &KeptStream,
        poll: &Poll,
        transmitter: &Transmitter,
        endpoint: &str,
    ) -> Result<(), Fault> {
        self.max_events = self.max_events.min(poll.max_events);
        let begun = Instant::now();
        let request = self.owed.poll(self.max_events);
        let answer = match transmitter.poll(endpoint, &request, poll.timeout) {
            Ok(answer) => answer,
            Err(fault) => return self.unanswered(fault, begun, poll, stream),
        };
        let is_held_back = begun.elapsed() >= AT_ONCE;
        self.owed.clear();
        stream.answered(Purpose::Events);
        self.max_events = self.max_events.saturating_mul(2).min(poll.max_events);
        let has_new = self.has_new(stream, &answer);
        let put_off = self.take(stream, answer);
        if put_off > 0 {
            // They would come again at once.
            self.acknowledge(stream, transmitter, endpoint, poll.timeout)?;
            self.pause(stream);
        } else if has_new || is_held_back {
            self.pauses = 0;
        } else {
            self.pause(stream);
        }
        Ok(())
    }

    /// Whether an answer has brought an event of which the transmitter was not told yet what became of it.
    /// Without, it is not asked at once again, even if it says that there are more.
    fn has_new(&mut self, stream: &KeptStream, answer: &PollAnswer) -> bool {
        let sets = answer.sets.iter();
        let again = sets.filter(|(id, _)| self.told.contains(&self.hasher.hash_one(id)));
        let again = again.count();
        let is_empty_promise = answer.more_available && answer.sets.is_empty();
        if !self.has_warned && (again > 0 || is_empty_promise) {
            self.has_warned = true;
            let what = if is_empty_promise {
                "says that there are more events (`moreAvailable`) and sends none"
            } else {
                "sends events again that were acknowledged or refused; it should drop them by `ack` and \
                 `setErrs` of a poll"
            };
            tracing::warn!(stream = stream.name, "the transmitter {what}");
        }
        answer.sets.len() > again
    }

    /// A poll that was not answered with events.
    fn unanswered(
        &mut self,
        fault: Fault,
        begun: Instant,
        poll: &Poll,
        stream: &KeptStream,
    ) -> Result<(), Fault> {
        match fault.reason {
            // It was held back for longer than is waited for, which is no fault. Whatever it has
            // brought is not acknowledged.
            FaultReason::TimedOut if begun.elapsed() >= poll.timeout => {
                stream.answered(Purpose::Events);
                self.pause(stream);
                Ok(())
            }
            // Nothing is wrong with the transmitter.
            FaultReason::AnswerTooLarge if self.max_events > 1 => {
                self.max_events /= 2;
                stream.failed(Purpose::Events, &fault);
                Ok(())
            }
            FaultReason::Rejected => {
                self.owed.clear();
                Err(fault)
            }
            _ => Err(fault),
        }
    }

    /// Says what is owed and asks for nothing.
    fn acknowledge(
        &mut self,
        stream: &KeptStream,
        transmitter: &Transmitter,
        endpoint: &str,
        timeout: Duration,
    ) -> Result<(), Fault> {
        if self.owed.is_empty() {
            return Ok(());
        }
        transmitter.poll(endpoint, &self.owed.alone(), timeout)?;
        self.owed.clear();
        stream.answered(Purpose::Events);
        Ok(())
    }

    fn pause(&mut self, stream: &KeptStream) -> Woken {
        self.pauses = self.pauses.saturating_add(1);
        let wait = backoff::wait(FIRST_PAUSE, LONGEST_PAUSE, self.pauses, random());
        stream.bell.wait(wait)
    }

    /// Carries out the events of an answer. Gives how many could not be at present.
    fn take(&mut self, stream: &KeptStream, answer: PollAnswer) -> usize {
        let mut put_off = 0;
        let mut sets: Vec<_> = answer.sets.into_iter().map(Some).collect();
        let tokens: Vec<_> = sets.iter().flatten().cloned().collect();
        for turn in turns(&tokens) {
            let _working = stream
                .working
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if stream.bell.is_stopped() {
                return put_off;
            }
            let sets = sets.get_mut(turn).into_iter().flatten();
            let turn: Vec<_> = sets.filter_map(Option::take).collect();
            let count = turn.len();
            let outcomes = self.carried_out(stream, turn);
            // One whose work broke off comes again too.
            put_off += count - outcomes.len();
            for (id, outcome) in outcomes {
                let hash = self.hasher.hash_one(&id);
                let told = self.owe(id, outcome);
                if told != Told::PutOff {
                    self.told.insert(hash);
                }
                stream.metrics.told(&stream.name, told);
                put_off += usize::from(told == Told::PutOff);
            }
        }
        put_off
    }

    /// What becomes of each event of one turn.
    fn carried_out(
        &self,
        stream: &KeptStream,
        turn: Vec<(String, Option<String>)>,
    ) -> Vec<(String, Outcome)> {
        let mut outcomes = Vec::new();
        let mut work = JoinSet::new();
        let Some(reception) = self.reception.near() else {
            return outcomes;
        };
        for (id, token) in turn {
            let Some(token) = token else {
                outcomes.push((id, Outcome::NoText));
                continue;
            };
            let (reception, name) = (reception.clone(), stream.name.clone());
            let task = async move {
                let outcome = match reception.receivers.streams.get(&name) {
                    Some(open) => reception.take_event(open, token, Arrival::now(None)).await,
                    None => Err(Code::ReceiverOff.into()),
                };
                (id, Outcome::Taken(outcome))
            };
            work.spawn_on(task, &self.runtime);
        }
        self.runtime.block_on(async {
            // One that is cancelled, because the authority ends, is not acknowledged.
            while let Some(done) = work.join_next().await {
                outcomes.extend(done.ok());
            }
        });
        outcomes
    }

    fn owe(&mut self, id: String, outcome: Outcome) -> Told {
        match outcome {
            Outcome::Taken(Ok(())) => {
                self.owed.acknowledge(id);
                Told::Acknowledged
            }
            Outcome::Taken(Err(refusal)) => {
                let Some(err) = refusal.code.of_event() else {
                    return Told::PutOff;
                };
                let error = SetError {
                    err,
                    description: refusal.code.description().to_owned(),
                };
                self.owed.refuse(id, &error);
                Told::Refused
            }
            Outcome::NoText => {
                let error = SetError {
                    err: "invalid_request",
                    description: "expected a security event token, which is a text".to_owned(),
                };
                self.owed.refuse(id, &error);
                Told::Refused
            }
        }
    }
}

/// What became of an event.
#[derive(Debug)]
enum Outcome {
    Taken(Result<(), Refusal>),
    /// It is no token at all.
    NoText,
}

#[cfg(test)]
mod tests;
