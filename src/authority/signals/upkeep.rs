//! The upkeep of streams: those whose transmitters are spoken to are made and watched, and polled where
//! their events do not come by themselves.
//!
//! | | |
//! |---|---|
//! | `plan` | what is asked of a transmitter: pure |
//! | `keeper` | makes a stream, and sees to it that it stays as it should be |
//! | `commands` | what an operator asks for |
//! | `polling` | asks for events, and acknowledges what is on the disk |
//! | `acknowledgements`, `turns` | what is owed to the transmitter, and in which order events are carried out: pure |
//! | `state` | what is known of a stream, for the operator |
//! | `bell` | waiting that ends when something has to be done, or the authority stops |
//! | `metrics` | what is counted |
//!
//! Each stream has a thread of its own, since its transmitter holds answers back and nothing else should
//! wait for that. What an operator asks for is done on the operator's request, not on that thread.
//!
//! # What if the process dies between the commit and the acknowledgement?
//!
//! Then the event comes again, is known by its `jti`, and is acknowledged. Nothing of what is owed is
//! kept on the disk: what was never acknowledged always comes again.

mod acknowledgements;
mod bell;
mod commands;
mod keeper;
mod metrics;
mod plan;
mod polling;
mod state;
mod turns;

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::watch;

use super::configuration::{Delivery, Poll, SignalsConfiguration};
use super::ledger::Ledger;
use super::reception::Reception;
use super::secret::Presented;
use super::streams::{Open, Streams};
use super::transmitter::{Fault, FaultReason, Transmitter};
use super::{Receivers, SignalsError};
use crate::authority::{Authority, clock};
use bell::Bell;
pub(in crate::authority) use metrics::StreamMetrics;
use plan::Plan;
pub(super) use state::StreamRow;
pub(in crate::authority) use state::View;
use state::{Purpose, State};
#[cfg(any(test, fuzzing))]
pub(super) use turns::turns;

/// How long the authority waits at its end for an event that is being carried out.
const LAST_LIMIT: Duration = Duration::from_secs(5);

/// What events are received with, seen from a thread that may wait for a transmitter while the authority
/// ends, and must not keep its files open then.
#[derive(Clone, Debug)]
struct Distant {
    authority: Weak<Authority>,
    receivers: Weak<Receivers>,
}

impl Distant {
    fn of(reception: &Reception) -> Self {
        Self {
            authority: Arc::downgrade(&reception.authority),
            receivers: Arc::downgrade(&reception.receivers),
        }
    }

    /// None once the authority has ended.
    fn near(&self) -> Option<Reception> {
        let (authority, receivers) = (self.authority.upgrade()?, self.receivers.upgrade()?);
        Some(Reception {
            authority,
            receivers,
        })
    }
}

/// Every stream of the file, whether or not its transmitter is spoken to.
#[derive(Debug, Default)]
pub(in crate::authority) struct Upkeep(Vec<Arc<KeptStream>>);

/// One stream.
#[derive(Debug)]
pub(in crate::authority) struct KeptStream {
    name: String,
    issuer: String,
    delivery: Delivery,
    /// What is asked of its transmitter. None where someone else has made the stream.
    plan: Option<Plan>,
    /// Who is asked. None where only pushes are waited for.
    transmitter: Option<Transmitter>,
    state: Mutex<State>,
    /// Held while the stream is made, changed or taken away.
    managing: Mutex<()>,
    /// Held while events are carried out.
    working: Mutex<()>,
    bell: Bell,
    metrics: StreamMetrics,
}

impl Upkeep {
    /// The streams of the file, of which nothing is known yet.
    ///
    /// # Errors
    ///
    /// What is wrong with one: a secret, or certificate authorities, that cannot be read.
    pub(super) fn open(
        configuration: &SignalsConfiguration,
        ledger: &Ledger,
        metrics: &StreamMetrics,
    ) -> Result<Self, SignalsError> {
        let kept = ledger.kept_streams();
        let mut streams = Vec::new();
        for described in &configuration.streams {
            let failed = |fault: Fault| SignalsError::Stream {
                stream: described.name.clone(),
                detail: fault.detail,
            };
            let transmitter = described.transmitter.as_ref().map(|settings| {
                let endpoint = described.delivery.poll_endpoint();
                Transmitter::open(&described.issuer, settings, endpoint)
            });
            let plan = Plan::of(described, configuration.public_url.as_deref());
            let (name, issuer) = (&described.name, &described.issuer);
            let kept = kept.iter().find(|kept| kept.name == *name);
            let kept = kept.filter(|kept| kept.issuer == *issuer).cloned();
            let state = State::new(kept.unwrap_or_else(|| StreamRow {
                name: name.clone(),
                issuer: issuer.clone(),
                ..StreamRow::default()
            }));
            streams.push(Arc::new(KeptStream {
                name: described.name.clone(),
                issuer: described.issuer.clone(),
                delivery: described.delivery.clone(),
                plan: plan.map_err(failed)?,
                transmitter: transmitter.transpose().map_err(failed)?,
                state: Mutex::new(state),
                managing: Mutex::default(),
                working: Mutex::default(),
                bell: Bell::default(),
                metrics: metrics.clone(),
            }));
        }
        Ok(Self(streams))
    }

    /// Tells streams what is on the disk of their transmitters: by what they authorize pushes, as far as
    /// that was told from here, and which members of subjects they call critical.
    pub(super) fn remind(&self, streams: &Streams) {
        for stream in self.0.iter().filter(|stream| stream.plan.is_some()) {
            let Some(open) = streams.get(&stream.name) else {
                continue;
            };
            let row = stream.state().row.clone();
            let told = row.authorization.as_deref().and_then(Presented::read);
            if let Some(told) = told {
                open.is_told(told, Instant::now());
            }
            if let Some(members) = &row.critical_members {
                open.calls_critical(members);
            }
        }
    }

    /// Starts a thread for each stream whose transmitter is spoken to. They end when the authority is
    /// about to stop. Must be called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub(super) fn start(
        self: &Arc<Self>,
        reception: &Reception,
        mut stopping: watch::Receiver<bool>,
    ) -> io::Result<()> {
        for stream in &self.0 {
            if stream.transmitter.is_none() {
                continue;
            }
            let (stream, reception) = (Arc::clone(stream), Distant::of(reception));
            let runtime = Handle::current();
            thread::Builder::new()
                .name("stream".to_owned())
                .spawn(move || stream.keep(&reception, &runtime))?;
        }
        let streams = Arc::clone(self);
        tokio::spawn(async move {
            // It stops, or what would tell has gone.
            let _ = stopping.wait_for(|is_stopping| *is_stopping).await;
            streams.stop();
        });
        Ok(())
    }

    fn stop(&self) {
        for stream in &self.0 {
            stream.bell.stop();
        }
    }

    /// Lets no event begin any more, and waits for those that have. An answer that a transmitter holds
    /// back is not waited for: what it would bring is acknowledged by nothing, and comes again.
    pub(in crate::authority) fn finish(&self) {
        self.stop();
        let begun = Instant::now();
        for stream in &self.0 {
            while stream.is_working() && begun.elapsed() < LAST_LIMIT {
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    /// All of them, in the order of the file.
    pub(in crate::authority) fn all(&self) -> &[Arc<KeptStream>] {
        &self.0
    }

    /// The one of this name.
    pub(in crate::authority) fn of(&self, name: &str) -> Option<Arc<KeptStream>> {
        self.0.iter().find(|stream| stream.name == name).cloned()
    }
}

impl KeptStream {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_working(&self) -> bool {
        self.working.try_lock().is_err()
    }

    /// As the operator sees it, also by what has come through it.
    pub(in crate::authority) fn view(&self, receivers: &Receivers) -> View {
        let news = receivers.streams.get(&self.name).map(Open::news);
        View::of(self, &self.state(), news.unwrap_or_default())
    }

    /// Whether it is made and watched from here.
    pub(in crate::authority) const fn is_managed(&self) -> bool {
        self.plan.is_some()
    }

    /// What is asked of its transmitter.
    fn managed(&self) -> Result<(&Transmitter, &Plan), Fault> {
        let managed = self.transmitter.as_ref().zip(self.plan.as_ref());
        managed.ok_or_else(|| {
            FaultReason::Unsupported.because(
                "the stream is not managed from here: it has no `transmitter` in the signals file, \
                 or one with `manage: false`",
            )
        })
    }

    /// Where it is polled, if that is known.
    fn endpoint(&self, poll: &Poll) -> Option<String> {
        let said = || self.state().row.endpoint.clone();
        poll.endpoint.clone().or_else(said)
    }

    /// Notes that a call came to nothing, and says so in the log when that is new.
    fn failed(&self, purpose: Purpose, fault: &Fault) -> u32 {
        let mut state = self.state();
        let failures = state.failures(purpose);
        let last = failures.last.as_ref().map(|(_, fault)| fault.reason);
        let is_new = last != Some(fault.reason) || failures.count == 0;
        failures.count = failures.count.saturating_add(1);
        failures.last = Some((clock::now_milliseconds(), fault.clone()));
        let count = failures.count;
        drop(state);
        self.metrics.failed(&self.name, fault.reason);
        // An outage of hours is one line, and one more for each hundred attempts.
        if is_new || count.is_multiple_of(100) {
            let (stream, reason) = (self.name.as_str(), fault.reason.label());
            let consequence = self.consequence();
            tracing::warn!(
                stream,
                reason,
                failures = count,
                "a transmitter: {fault}; {consequence}"
            );
        }
        count
    }

    /// What becomes of events while something does not work.
    fn consequence(&self) -> &'static str {
        match &self.delivery {
            Delivery::Push(_) => "events are taken if it sends them",
            Delivery::Poll(poll) => {
                if self.endpoint(poll).is_some() && self.state().polls.count == 0 {
                    "events are fetched all the same"
                } else {
                    "no events are fetched"
                }
            }
        }
    }

    /// Notes that the transmitter has answered.
    fn answered(&self, purpose: Purpose) {
        let mut state = self.state();
        state.last_answer = Some(clock::now_milliseconds());
        let failures = std::mem::take(&mut state.failures(purpose).count);
        drop(state);
        if failures > 0 {
            tracing::info!(stream = self.name, failures, "a transmitter answers again");
        }
        self.metrics.answered(&self.name);
    }

    /// Replaces what is wrong with a stream that works. What is new of it is logged.
    fn warn(&self, warnings: Vec<String>) {
        let mut state = self.state();
        let is_new = |warning: &&String| !state.warnings.contains(warning);
        let new: Vec<_> = warnings.iter().filter(is_new).cloned().collect();
        state.warnings = warnings;
        drop(state);
        for warning in new {
            tracing::warn!(stream = self.name, "{warning}");
        }
    }
}
