//! Who is signed in: the registry of sessions.
//!
//! | | |
//! |---|---|
//! | `session` | a session, and what an edge has seen of one |
//! | `reports` | what edges send → what they have seen |
//! | `registry` | the contract with what keeps sessions |
//! | `memory` | the engine for one authority |
//! | `shared` | the engine for several, in Redis |
//! | `policy`, `coverage`, `outbox`, `ends` | which sessions end by themselves, for which time that is known, and how |
//! | `displaced` | what a full registry drops, and how that is told |
//! | `snapshots`, `codec` | what of that survives a restart |
//! | `metrics` | what is counted |
//! | `session_ends` | for how long they end |
//! | `suspicion` | what looks stolen |
//!
//! Edges report what they have seen of sessions ([`crate::revocation::wire::activity`]). The registry
//! is for people who want to know who is signed in, and for rules about idle and old sessions. It is
//! never asked about a token, and nothing is refused because a session is not in it.
//!
//! A revocation goes store → `Sessions::work` → registry once it is on the disk. So a session may be
//! listed for a moment after it was revoked.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};
use std::{io, thread};

use tokio::runtime::Handle;

use super::clock;
use crate::revocation::wire::activity::Report;
use crate::revocation::{Cause, FilterKey};
use crate::time::UnixTime;

mod codec;
#[cfg(test)]
mod conformance;
mod coverage;
mod cursor;
mod displaced;
mod ends;
mod memory;
mod metrics;
mod network;
mod outbox;
mod policy;
mod registry;
mod reports;
mod session;
mod session_ends;
mod shared;
mod snapshots;
pub(super) mod suspicion;

pub use policy::{ClientRules, OnExcess, SessionPolicy, SessionRules};
pub use shared::{AddressError, RegistryAddress, SharedError};

pub(super) use ends::{Ends, exchange as exchange_coverage, run as end_sessions};
pub(super) use metrics::SessionMetrics;
pub(super) use network::{Network, NetworkError};
pub(super) use registry::{
    Counts, Filter, Limits, MAX_SESSIONS_OF_SUBJECT, Mark, RegistryError, Reported,
};
pub(super) use reports::ReportError;
pub(super) use session::{Ended, Name, Owned, Session, Sighting};
pub(super) use session_ends::{SessionEnds, signed_in};

use coverage::Heard;
use displaced::{Alarm, Lost};
use memory::Memory;
use registry::{IsRevoked, Registry, Told};
use shared::Shared;
use snapshots::Snapshots;
use suspicion::{Responder, Thresholds, Watch};

/// How often sessions that are past their time are looked for.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Revocations that an engine has still to be told of, while it is away.
const MARKS_KEPT: usize = 10_000;

/// How soon it is told again.
const MARKS_PAUSE: Duration = Duration::from_secs(1);

/// The registry, with what happens to it beside requests.
#[derive(Debug)]
pub(super) struct Sessions {
    registry: Arc<dyn Registry>,
    /// Of an engine that has none itself.
    snapshots: Option<Snapshots>,
    key: FilterKey,
    directory: PathBuf,
    /// What the authority before this one has heard of edges, until that is taken.
    heard: Mutex<Option<Heard>>,
    watch: Watch,
    /// Set once there is what it works with.
    responder: OnceLock<Responder>,
    /// What the engine could not be told of new sessions, and is told with the next revocations.
    untold: Mutex<Vec<Mark>>,
    metrics: SessionMetrics,
}

impl Sessions {
    /// A registry at this address, or in memory with what a file in this directory has of it, and the thread
    /// that looks after it. What is revoked has to be sent there. May wait for Redis.
    ///
    /// # Errors
    ///
    /// [`StartError`].
    pub(super) fn start(
        key: FilterKey,
        (limits, thresholds): (Limits, Thresholds),
        (directory, address): (&Path, Option<&RegistryAddress>),
        runtime: Handle,
        metrics: SessionMetrics,
    ) -> Result<(Arc<Self>, Sender<Vec<Mark>>), StartError> {
        let now = clock::now();
        // Used once or not at all, whichever engine there is now.
        let heard = coverage::take(directory, &key, clock::uptime().as_ref());
        let heard = heard.filter(|_| address.is_none());
        let (registry, snapshots): (Arc<dyn Registry>, _) = if let Some(address) = address {
            let settings = (key, limits, name_in(directory));
            let shared = Shared::open(address, settings, (runtime, metrics.clone()), now)?;
            (Arc::new(shared), None)
        } else {
            let since = heard.as_ref().map_or(now, |heard| heard.since);
            let memory = Arc::new(Memory::new(key, limits, since));
            let registry = Arc::clone(&memory) as Arc<dyn Registry>;
            let snapshots = Snapshots::start(memory, key, directory, metrics.clone())?;
            (registry, Some(snapshots))
        };
        let sessions = Arc::new(Self {
            snapshots,
            registry,
            key,
            directory: directory.to_owned(),
            heard: Mutex::new(heard),
            watch: Watch::new(thresholds, key),
            responder: OnceLock::new(),
            untold: Mutex::default(),
            metrics,
        });
        let (sender, marks) = mpsc::channel();
        let kept = Arc::downgrade(&sessions);
        thread::Builder::new()
            .name("sessions".to_owned())
            .spawn(move || Self::look_after(&kept, &marks, limits))?;
        Ok((sessions, sender))
    }

    /// Marks and sweeps until the registry is gone, or the store, which sends the marks.
    fn look_after(sessions: &Weak<Self>, marks: &Receiver<Vec<Mark>>, limits: Limits) {
        let mut alarm = Alarm::default();
        let mut swept = Instant::now();
        let mut waiting = Vec::new();
        loop {
            let pause = if waiting.is_empty() {
                SWEEP_INTERVAL
            } else {
                MARKS_PAUSE
            };
            match marks.recv_timeout(pause) {
                Ok(marks) => waiting.extend(marks),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let Some(sessions) = sessions.upgrade() else {
                return;
            };
            waiting.append(&mut sessions.untold());
            sessions.mark(&mut waiting);
            if swept.elapsed() >= SWEEP_INTERVAL {
                // An engine that is away sweeps when it is back.
                let _ = sessions.registry.sweep(clock::now());
                swept = Instant::now();
                if let Some(lost) = alarm.due(sessions.registry.lost(), swept) {
                    tell(lost, limits);
                }
            }
        }
    }

    /// Tells the registry what was revoked. What it cannot be told now waits; what it never hears of is
    /// revoked all the same.
    fn mark(&self, waiting: &mut Vec<Mark>) {
        if waiting.is_empty() {
            return;
        }
        if let Ok(ended) = self.registry.mark(waiting) {
            for session in &ended {
                self.metrics.ended(session);
            }
            waiting.clear();
        } else {
            let surplus = waiting.len().saturating_sub(MARKS_KEPT);
            waiting.drain(..surplus);
        }
    }

    /// Takes in what an edge has seen, with the time at which it was sent, in milliseconds since the
    /// epoch. Returns the sessions that were not known and are not revoked; `None` where it was not taken,
    /// since the registry is not available. A session that has ended is live again if it was used since and
    /// is not revoked.
    ///
    /// # Errors
    ///
    /// [`ReportError`], and then nothing is taken in.
    pub(super) fn report(
        &self,
        reports: Vec<Report>,
        now: u64,
        is_revoked: IsRevoked<'_>,
    ) -> Result<Option<Vec<Reported>>, ReportError> {
        let observed = reports::observations(reports, now)?;
        let time = UnixTime::from_milliseconds(now);
        let mut taken = self.registry.report(&observed, time, Told::New, is_revoked);
        self.metrics.reported(observed.len(), taken.is_ok());
        // What was not taken is reported again.
        if let Ok(new) = &mut taken {
            self.end_revoked(new, time, is_revoked);
            let found = self.watch.look(&observed, now);
            if let Some(responder) = self.responder.get() {
                responder.take(found);
            }
        }
        Ok(taken.ok())
    }

    /// Marks those of these new sessions that are revoked, and takes them out. Their revocation may have been
    /// committed before they were reported, and its mark has met no session then. One that is committed
    /// from now on meets them.
    fn end_revoked(&self, new: &mut Vec<Reported>, at: UnixTime, is_revoked: IsRevoked<'_>) {
        let mut marks = Vec::new();
        new.retain(|reported| {
            let session = &reported.session;
            let is_revoked = session.is_live() && is_revoked(session);
            if is_revoked {
                marks.push(ends::mark(session, at, Cause::Plain));
            }
            !is_revoked
        });
        self.mark(&mut marks);
        self.untold().append(&mut marks);
    }

    fn untold(&self) -> MutexGuard<'_, Vec<Mark>> {
        self.untold.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the authority before this one has heard of edges, if it was down for a moment only; once.
    #[must_use]
    pub(super) fn take_heard(&self) -> Heard {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.take().unwrap_or_default()
    }

    /// Writes down what survives the end of the process, with what was heard of edges, and takes leave of
    /// others.
    pub(super) fn finish(&self, ends: &Ends) {
        if let Some(snapshots) = &self.snapshots {
            let heard = ends.heard(self.registry.heard_since());
            let stopped = clock::uptime();
            let is_whole = snapshots.finish(heard.is_some());
            if let (Some(heard), Some(stopped), true) = (heard, stopped, is_whole)
                && let Err(error) = coverage::leave(&self.directory, &self.key, heard, &stopped)
            {
                tracing::warn!(%error, "what was heard of edges cannot be written, so time begins anew");
            }
        }
        ends.leave(&*self.registry);
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

    /// Whether other authorities may have the same registry.
    #[must_use]
    pub(super) const fn is_shared(&self) -> bool {
        self.snapshots.is_none()
    }

    /// The key that sessions are named under.
    #[must_use]
    pub(super) const fn key(&self) -> &FilterKey {
        &self.key
    }

    /// How many there are; `None` while the engine is away. Not counted on the caller's thread: an
    /// engine has locks, or a network, between it and its sessions.
    pub(super) async fn counts(sessions: &Arc<Self>, now: UnixTime) -> Option<Counts> {
        let registry = Arc::clone(&sessions.registry);
        let counted = tokio::task::spawn_blocking(move || registry.counts(now)).await;
        counted.ok().and_then(Result::ok)
    }
}

/// Why there is no registry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum StartError {
    /// The system has no thread to give.
    #[error("could not start a thread")]
    Thread(#[from] io::Error),
    /// The one in Redis is not usable.
    #[error(transparent)]
    Shared(#[from] SharedError),
}

/// Tells the operator that the registry is full.
fn tell(lost: Lost, limits: Limits) {
    tracing::error!(
        sessions = lost.sessions,
        tokens = lost.tokens,
        max_sessions = limits.max_sessions,
        "the registry of sessions is full, and the longest idle were dropped: no session policy ends them, \
         and no list has them; raise `sessions.max_sessions` in the authority's file"
    );
}

/// What an authority is called by others: the same after a restart on the same machine with the same data,
/// and without telling which these are.
fn name_in(directory: &Path) -> String {
    let directory = directory.canonicalize();
    let directory = directory.unwrap_or_default();
    let host = nix::unistd::gethostname().unwrap_or_default();
    let both = [
        host.as_encoded_bytes(),
        b"\0",
        directory.as_os_str().as_encoded_bytes(),
    ]
    .concat();
    let hash = ring::digest::digest(&ring::digest::SHA256, &both);
    super::store::to_hex(hash.as_ref().get(..8).unwrap_or_default())
}
#[cfg(test)]
mod tests;
