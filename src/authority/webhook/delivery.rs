//! Delivering one event after the other.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::secret::Secrets;
use super::{Fate, Pace, Queued, Receiver, WebhookError};
use crate::authority::clock;
use crate::authority::metrics::Metrics;
use crate::authority::text::chain_of;
use crate::authority::verifier::trusted_certificates;
use crate::backoff;

/// The most that is read of an answer, so that its connection can be used again.
const MAX_ANSWER_BYTES: u64 = 64 << 10;

/// Sends events, each until it is delivered or given up.
#[derive(Debug)]
pub(super) struct Courier {
    receiver: Receiver,
    pace: Pace,
    agent: Agent,
    /// Read again for each event.
    secrets: Secrets,
    metrics: Arc<Metrics>,
}

impl Courier {
    pub(super) fn new(
        receiver: &Receiver,
        pace: Pace,
        metrics: Arc<Metrics>,
    ) -> Result<Self, WebhookError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // The receiver is the one that is configured. An answer cannot name another, such as a
            // server that only this machine reaches.
            .max_redirects(0)
            .https_only(receiver.url.starts_with("https:"))
            .timeout_global(Some(receiver.timeout));
        if let Some(path) = &receiver.certificate_authority {
            let roots = RootCerts::new_with_certs(&certificates(path)?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            receiver: receiver.clone(),
            pace,
            agent: config.build().into(),
            secrets: Secrets::read(&receiver.secret_file)?,
            metrics,
        })
    }

    /// Tries an event until something has become of it.
    pub(super) fn deliver(&mut self, queued: &Queued) {
        match Secrets::read(&self.receiver.secret_file) {
            Ok(secrets) => self.secrets = secrets,
            Err(error) => {
                let error = chain_of(&error);
                tracing::error!(
                    error,
                    "the webhook's secret stays the one that was read before"
                );
            }
        }
        let mut failures = 0;
        let fate = loop {
            let fault = match self.attempt(queued) {
                Ok(()) => break Fate::Delivered,
                Err(fault) => fault,
            };
            failures += 1;
            self.metrics.webhook_failure();
            let id = queued.event.id.as_str();
            if let Fault::Status(status) = fault
                && is_final(status)
            {
                tracing::error!(id, status, "the webhook's receiver refused an event");
                break Fate::Refused;
            }
            if queued.since.elapsed() >= self.pace.given_up_after {
                tracing::error!(id, %fault, failures, "an event for the webhook was given up");
                break Fate::GivenUp;
            }
            if failures == 1 {
                tracing::warn!(id, %fault, "an event did not reach the webhook's receiver");
            }
            thread::sleep(self.wait(failures));
        };
        self.metrics.webhook_event(fate);
    }

    fn wait(&self, failures: u32) -> std::time::Duration {
        let mut random = [0; 8];
        // Without randomness the waits are only less spread.
        let _ = getrandom::fill(&mut random);
        let Pace {
            first_wait,
            longest_wait,
            ..
        } = self.pace;
        backoff::wait(
            first_wait,
            longest_wait,
            failures,
            u64::from_ne_bytes(random),
        )
    }

    /// Sends an event once. Its signature is of this attempt, so that an old one cannot be replayed.
    fn attempt(&self, queued: &Queued) -> Result<(), Fault> {
        let event = &queued.event;
        let timestamp = clock::now().seconds();
        let signatures = self.secrets.signatures(&event.id, timestamp, &event.body);
        let answer = self
            .agent
            .post(&self.receiver.url)
            .header("content-type", "application/json")
            .header("user-agent", USER_AGENT)
            .header("webhook-id", &event.id)
            .header("webhook-timestamp", timestamp.to_string())
            .header("webhook-signature", signatures)
            .send(&event.body);
        let answer = answer.map_err(Box::new).map_err(Fault::Connection)?;
        let status = answer.status();
        let body = answer.into_body().into_reader();
        // What it says besides is of no interest.
        let _ = std::io::copy(&mut body.take(MAX_ANSWER_BYTES), &mut std::io::sink());
        if status.is_success() {
            Ok(())
        } else {
            Err(Fault::Status(status.as_u16()))
        }
    }
}

const USER_AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));

/// Whether an answer is about the event itself, so that it would be the same another time. A receiver
/// that is being set up may answer 401 or 404 for a while.
const fn is_final(status: u16) -> bool {
    matches!(status, 400 | 410 | 413 | 415 | 422)
}

/// Why an attempt failed.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{}", chain_of(.0.as_ref()))]
    Connection(Box<ureq::Error>),
    #[error("the answer was {0}")]
    Status(u16),
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, WebhookError> {
    let fault = |source| WebhookError::Certificates {
        path: path.to_owned(),
        source,
    };
    let pem = fs::read(path).map_err(|source| fault(Some(source)))?;
    trusted_certificates(&pem).ok_or_else(|| fault(None))
}
