//! The thread that writes the ledger: what has come in during a commit goes into the next one.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::file::File;
use super::replays::Replays;
use super::{Command, Note};
use crate::authority::clock;
use crate::authority::signals::configuration::RecordLimits;
use crate::authority::signals::metrics::SignalMetrics;
use crate::authority::store::StoreError;
use crate::authority::text::chain_of;

/// Records in a commit.
const BATCH_LENGTH: usize = 1_024;

/// How often what is too old is dropped.
const SWEEP_INTERVAL: Duration = Duration::from_mins(1);

/// What the thread works on.
pub(super) struct Keeper {
    pub(super) file: Arc<File>,
    pub(super) replays: Arc<Replays>,
    pub(super) limits: RecordLimits,
    pub(super) metrics: SignalMetrics,
}

impl Keeper {
    /// Reads what was accepted.
    pub(super) fn load(&self) {
        let now = clock::now();
        let loaded = self
            .file
            .load(|id, until| self.replays.insert(id, until, now));
        match loaded {
            Ok(0) => {}
            Ok(damaged) => {
                tracing::error!(damaged, "rows of the ledger of signals cannot be read");
                self.metrics.ledger_failed();
            }
            Err(error) => {
                self.failed(
                    &error,
                    "could not read the ledger of signals; a new one is begun",
                );
                self.file.set_aside();
            }
        }
    }

    /// Writes what comes, until there is to be no more.
    pub(super) fn keep(&self, commands: &Receiver<Command>) {
        let mut next_sweep = Instant::now() + SWEEP_INTERVAL;
        loop {
            let pause = next_sweep.saturating_duration_since(Instant::now());
            let first = match commands.recv_timeout(pause) {
                Ok(command) => Some(command),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return self.file.close(),
            };
            let mut batch = Vec::new();
            let mut finished = None;
            let others = commands.try_iter().take(BATCH_LENGTH);
            for command in first.into_iter().chain(others) {
                match command {
                    Command::Keep(note) => batch.push(note),
                    Command::Finish(done) => finished = Some(done),
                }
            }
            self.write(batch);
            if let Some(done) = finished {
                self.file.close();
                let _ = done.send(());
                return;
            }
            if Instant::now() >= next_sweep {
                next_sweep = Instant::now() + SWEEP_INTERVAL;
                self.sweep();
            }
        }
    }

    #[expect(clippy::vec_box, reason = "as they came through the queue")]
    fn write(&self, batch: Vec<Box<Note>>) {
        if batch.is_empty() {
            return;
        }
        if let Err(error) = self.file.write(&batch, &self.limits) {
            self.failed(&error, "could not write the ledger of signals");
            self.file.close();
            // Callers that wait are told by the end of their channels.
            return;
        }
        let now = clock::now();
        for note in batch {
            for (id, until) in note.known() {
                self.replays.insert(id, until, now);
            }
            if let Some(done) = note.done {
                let _ = done.send(());
            }
        }
    }

    fn sweep(&self) {
        let now = clock::now();
        let ids = self.replays.take_expired(now);
        let retention = self.limits.retention;
        if let Err(error) = self.file.sweep(&ids, now, retention) {
            self.failed(&error, "could not drop old records of signals");
            self.file.close();
        }
    }

    fn failed(&self, error: &StoreError, what: &str) {
        tracing::error!(error = %chain_of(error), "{what}");
        self.metrics.ledger_failed();
    }
}
