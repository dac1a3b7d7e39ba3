//! Telling another system what happened, as Standard Webhooks 1.0 has it.
//!
//! An event is a `POST` with a JSON body, signed with a secret that both sides have. One thread sends
//! one event at a time. Nothing ever waits for it: an event that does not fit into the queue is dropped
//! and counted.
//!
//! # Why is the queue in memory only?
//!
//! An event is also a line in the log and a mark on the session in the registry, so what is lost with
//! the process can be found. A queue on the disk would make every event a commit, and would deliver
//! after a restart what was true hours ago.
//!
//! # Why one at a time?
//!
//! All events have the same receiver. While it is down, trying the others as well only adds to its
//! troubles when it comes back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use super::metrics::Metrics;

mod delivery;
mod secret;

pub use secret::SecretError;

use delivery::Courier;

/// Events that may wait. Of each session there is at most one of each kind in an hour.
const QUEUE_LENGTH: usize = 1_000;

/// Where events go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Receiver {
    /// Its URL, of `https` unless the host is on loopback.
    pub url: String,
    /// The file with the secret, or with two of them while one replaces the other.
    pub secret_file: PathBuf,
    /// The file with the certificate authorities to trust, in place of the public ones.
    pub certificate_authority: Option<PathBuf>,
    /// How long an attempt may take.
    pub timeout: Duration,
}

/// How often, and for how long, an event is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Pace {
    /// The wait after the first failure, doubled with each further one.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// How old an event may become. It is tried once however old it is.
    pub given_up_after: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_mins(1),
            given_up_after: Duration::from_hours(1),
        }
    }
}

/// Takes events, and has them sent.
#[derive(Clone, Debug)]
pub(super) struct Webhook {
    queue: SyncSender<Queued>,
    metrics: Arc<Metrics>,
}

/// Something to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// By which the receiver tells a repetition: the same in every attempt.
    pub id: String,
    /// JSON.
    pub body: Vec<u8>,
}

/// An event on its way.
#[derive(Debug)]
struct Queued {
    event: Event,
    since: Instant,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// The receiver has it.
    Delivered,
    /// The receiver answered that it never takes this one.
    Refused,
    /// It was tried for long enough.
    GivenUp,
    /// The queue was full.
    Dropped,
}

impl Fate {
    pub(super) const ALL: [Self; 4] =
        [Self::Delivered, Self::Refused, Self::GivenUp, Self::Dropped];

    /// Its name in metrics.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Refused => "refused",
            Self::GivenUp => "given_up",
            Self::Dropped => "dropped",
        }
    }
}

impl Webhook {
    /// Starts the thread, which ends when the last of these is dropped.
    ///
    /// # Errors
    ///
    /// [`WebhookError`].
    pub(super) fn start(
        receiver: &Receiver,
        pace: Pace,
        metrics: &Arc<Metrics>,
    ) -> Result<Self, WebhookError> {
        let mut courier = Courier::new(receiver, pace, Arc::clone(metrics))?;
        let (queue, events) = sync_channel(QUEUE_LENGTH);
        thread::Builder::new()
            .name("webhook".to_owned())
            .spawn(move || {
                for queued in events {
                    courier.deliver(&queued);
                }
            })
            .map_err(WebhookError::Thread)?;
        Ok(Self {
            queue,
            metrics: Arc::clone(metrics),
        })
    }

    /// Hands an event over, or drops it. Never waits.
    pub(super) fn send(&self, event: Event) {
        let since = Instant::now();
        match self.queue.try_send(Queued { event, since }) {
            Ok(()) => {}
            Err(TrySendError::Full(queued) | TrySendError::Disconnected(queued)) => {
                tracing::error!(id = queued.event.id, "an event for the webhook was dropped");
                self.metrics.webhook_event(Fate::Dropped);
            }
        }
    }
}

/// Why events cannot be sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WebhookError {
    /// There is no usable secret.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The certificate authorities are not usable.
    #[error(
        "`webhook.certificate_authority` of the authority's file: could not read certificates from `{}`",
        path.display()
    )]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What the system said; nothing if there is no certificate in it.
        source: Option<std::io::Error>,
    },
    /// The system has no thread to give.
    #[error("could not start a thread")]
    Thread(#[source] std::io::Error),
}

#[cfg(test)]
mod tests;
