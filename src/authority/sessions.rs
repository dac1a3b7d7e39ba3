//! Who is signed in: the registry of sessions.
//!
//! | | |
//! |---|---|
//! | `session` | a session, and what an edge has seen of one |
//! | `reports` | what edges send → what they have seen |
//! | `registry` | the contract with what keeps sessions |
//! | `memory` | the engine for one authority |
//! | `policy`, `coverage`, `ends` | which sessions end by themselves, for which time that is known, and how |
//! | `snapshots`, `codec` | what of that survives a restart |
//! | `metrics` | what is counted |
//! | `suspicion` | what looks stolen |
//!
//! Edges report what they have seen of sessions ([`crate::revocation::wire::activity`]). The registry
//! is for people who want to know who is signed in, and for rules about idle and old sessions. It is
//! never asked about a token, and nothing is refused because a session is not in it.
//!
//! A revocation goes store → `Sessions::work` → registry once it is on the disk. So a session may be
//! listed for a moment after it was revoked.

use std::path::Path;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};
use std::{io, thread};

use super::clock;
use crate::revocation::FilterKey;
use crate::revocation::wire::activity::Report;
use crate::time::UnixTime;

mod codec;
#[cfg(test)]
mod conformance;
mod coverage;
mod ends;
mod memory;
mod metrics;
mod network;
mod policy;
mod registry;
mod reports;
mod session;
mod snapshots;
pub(super) mod suspicion;

pub use policy::{ClientRules, OnExcess, SessionPolicy, SessionRules};

pub(super) use ends::{Ends, run as end_sessions};
pub(super) use metrics::SessionMetrics;
pub(super) use network::{Network, NetworkError};
pub(super) use registry::{Counts, Filter, Limits, Mark, RegistryError, Reported};
pub(super) use reports::ReportError;
pub(super) use session::{Ended, Name, Owned, Session, Sighting};

use memory::Memory;
use registry::{Registry, Told};
use snapshots::Snapshots;
use suspicion::{Responder, Thresholds, Watch};

/// How often sessions that are past their time are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// The registry, with what happens to it beside requests.
#[derive(Debug)]
pub(super) struct Sessions {
    registry: Arc<dyn Registry>,
    snapshots: Snapshots,
    key: FilterKey,
    watch: Watch,
    /// Set once there is what it works with.
    responder: OnceLock<Responder>,
    metrics: SessionMetrics,
}

impl Sessions {
    /// A registry in memory, with what a file in this directory has of it, and the thread that looks
    /// after it. What is revoked has to be sent there.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub(super) fn start(
        key: FilterKey,
        (limits, thresholds): (Limits, Thresholds),
        directory: &Path,
        metrics: SessionMetrics,
    ) -> io::Result<(Arc<Self>, Sender<Vec<Mark>>)> {
        let memory = Arc::new(Memory::new(key, limits, clock::now()));
        let registry = Arc::clone(&memory) as Arc<dyn Registry>;
        let sessions = Arc::new(Self {
            snapshots: Snapshots::start(memory, key, directory, metrics.clone())?,
            registry,
            key,
            watch: Watch::new(thresholds, key),
            responder: OnceLock::new(),
            metrics,
        });
        let (sender, marks) = mpsc::channel();
        let kept = Arc::downgrade(&sessions);
        thread::Builder::new()
            .name("sessions".to_owned())
            .spawn(move || Self::look_after(&kept, &marks))?;
        Ok((sessions, sender))
    }

    /// Marks and sweeps until the registry is gone, or the store, which sends the marks.
    fn look_after(sessions: &Weak<Self>, marks: &Receiver<Vec<Mark>>) {
        let mut swept = Instant::now();
        loop {
            let marks = match marks.recv_timeout(SWEEP_INTERVAL) {
                Ok(marks) => marks,
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let Some(sessions) = sessions.upgrade() else {
                return;
            };
            sessions.mark(&marks);
            if swept.elapsed() >= SWEEP_INTERVAL {
                // An engine that is away sweeps when it is back.
                let _ = sessions.registry.sweep(clock::now());
                swept = Instant::now();
            }
        }
    }

    fn mark(&self, marks: &[Mark]) {
        if marks.is_empty() {
            return;
        }
        // What an engine that is away does not hear of is revoked all the same.
        for session in self.registry.mark(marks).unwrap_or_default() {
            self.metrics.ended(&session);
        }
    }

    /// Takes in what an edge has seen, with the time at which it was sent, in milliseconds since the
    /// epoch. Returns the sessions that were not known; `None` where all of it is lost, since the
    /// registry is not available.
    ///
    /// # Errors
    ///
    /// [`ReportError`], and then nothing is taken in.
    pub(super) fn report(
        &self,
        reports: Vec<Report>,
        now: u64,
    ) -> Result<Option<Vec<Reported>>, ReportError> {
        let observed = reports::observations(reports, now)?;
        let count = observed.len();
        let found = self.watch.look(&observed, now);
        let taken = self
            .registry
            .report(observed, UnixTime::from_milliseconds(now), Told::New);
        self.metrics.reported(count, taken.is_ok());
        if let Some(responder) = self.responder.get() {
            responder.take(found);
        }
        Ok(taken.ok())
    }

    /// Writes down what survives the end of the process.
    pub(super) fn finish(&self) {
        self.snapshots.finish();
    }

    /// Has something done about sessions that look stolen, from now on.
    pub(super) fn respond_with(&self, responder: Responder) {
        // There is one for as long as the authority runs.
        let _ = self.responder.set(responder);
    }

    /// What keeps the sessions.
    #[must_use]
    pub(super) fn registry(&self) -> &dyn Registry {
        &*self.registry
    }

    /// The key that sessions are named under.
    #[must_use]
    pub(super) const fn key(&self) -> &FilterKey {
        &self.key
    }

    /// How many there are; nothing of an engine that is away.
    #[must_use]
    pub(super) fn counts(&self, now: UnixTime) -> Counts {
        self.registry.counts(now).unwrap_or_default()
    }
}
