//! What an authority does in the background, for as long as it runs.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::clock::{self, Trust};
use super::sessions::{end_sessions, exchange_coverage};
use super::text::chain_of;
use super::{Access, Authority, import, store};

/// How often edges' clocks are compared with this one, and how often a difference is logged.
const CLOCKS_INTERVAL: Duration = Duration::from_secs(5);
const WARNING_INTERVAL: Duration = Duration::from_mins(1);

/// Less than a second, including the check itself.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// How often authorities tell each other which edges they see, and how often one looks that waits for them.
const SAYING_INTERVAL: Duration = Duration::from_secs(1);
const HEARING_INTERVAL: Duration = Duration::from_millis(250);

/// How often a store is written to of which it is not known whether it can be: each attempt that fails is an
/// error in the log.
const TRIAL_INTERVAL: Duration = Duration::from_secs(5);

const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// Entries dropped in one commit.
const SWEEP_LENGTH: usize = 2_000;

/// Logged when a row cannot be read.
const DAMAGED: &str = "the store is damaged, and the next start will be refused for it";

impl Authority {
    /// Starts all of it.
    pub(super) fn start_work(self: &Arc<Self>) {
        tokio::spawn(Arc::clone(&self.history).announce());
        tokio::spawn(Arc::clone(&self.feed).maintain());
        tokio::spawn(Arc::clone(self).sweep());
        tokio::spawn(end_sessions(Arc::clone(self)));
        if self.sessions.is_shared() {
            tokio::spawn(exchange_coverage(Arc::clone(self)));
        }
        tokio::spawn(Arc::clone(self).compare_clocks());
        tokio::spawn(Arc::clone(self).watch_store());
        if self.store.is_shared() {
            tokio::spawn(Arc::clone(self).exchange_edges());
        }
        if let Some(receivers) = &self.signals {
            receivers.begin(self);
        }
        if let Some(console) = &self.console {
            console.begin(self);
        }
        import::resume(self);
        if let Access::Credentials(credentials) = &self.access {
            tokio::spawn(Arc::clone(credentials).follow());
        }
    }

    /// Logs now and then, for ever, that edges disagree with this clock.
    async fn compare_clocks(self: Arc<Self>) {
        loop {
            let clocks = self.clocks.verdict(Instant::now());
            if clocks.is_off {
                tracing::warn!(
                    seconds_ahead = clocks.seconds(),
                    voices = clocks.voices,
                    cut_offs_refused = clocks.is_agreed,
                    "edges do not agree with the clock of this machine"
                );
            }
            let pause = if clocks.is_off {
                WARNING_INTERVAL
            } else {
                CLOCKS_INTERVAL
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Checks between commits, for ever, that the store's file is still there, or its database.
    async fn watch_store(self: Arc<Self>) {
        let mut failed: Option<Instant> = None;
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            let store = Arc::clone(&self.store);
            let checked = tokio::task::spawn_blocking(move || store.check()).await;
            match checked {
                Ok(Err(_)) => {
                    self.metrics.store_is_writable(false);
                    failed = None;
                }
                // An empty commit opens a store that was closed meanwhile, and shows that it can be
                // written to.
                Ok(Ok(())) if self.store.awaits_commit() => {
                    if failed.is_none_or(|failed| failed.elapsed() >= TRIAL_INTERVAL) {
                        let written = self.writer.write(store::Nothing).await;
                        failed = written.is_err().then(Instant::now);
                    }
                }
                Ok(Ok(())) => {}
                Err(_) => return,
            }
        }
    }

    /// Tells other authorities which edges this one sees, and hears of theirs, for ever.
    async fn exchange_edges(self: Arc<Self>) {
        let mut said: Option<Instant> = None;
        loop {
            tokio::time::sleep(HEARING_INTERVAL).await;
            let is_due = said.is_none_or(|said| said.elapsed() >= SAYING_INTERVAL);
            if !is_due && !self.edges.is_awaited() {
                continue;
            }
            let own = is_due.then(|| self.edges.said());
            let store = Arc::clone(&self.store);
            let exchange = move || store.exchange_edges(own);
            let Ok(exchanged) = tokio::task::spawn_blocking(exchange).await else {
                return;
            };
            if is_due {
                said = Some(Instant::now());
            }
            match exchanged {
                Ok(others) => {
                    let others = others.into_iter();
                    let others = others.map(|other| (other.age, other.content)).collect();
                    self.edges.hear(others);
                }
                Err(error) => {
                    tracing::debug!(error = %chain_of(&error), "edges of others are not known");
                }
            }
        }
    }

    /// Drops what has expired, a little at a time so that no request waits for it, for ever.
    async fn sweep(self: Arc<Self>) {
        let mut clock = Trust::new(clock::now_milliseconds(), Instant::now());
        loop {
            tokio::time::sleep(SWEEP_INTERVAL).await;
            let is_kept = clock.is_kept(clock::now_milliseconds(), Instant::now());
            let is_ahead = || self.clocks.verdict(Instant::now()).is_ahead();
            if !is_kept || !self.store.is_keeper() || is_ahead() {
                continue;
            }
            loop {
                let index = Arc::clone(&self.index);
                let search = move || index.expired(clock::now(), SWEEP_LENGTH);
                let Ok(expired) = tokio::task::spawn_blocking(search).await else {
                    return;
                };
                let count = expired.len();
                if count == 0 {
                    break;
                }
                let Ok(dropped) = self.writer.write(store::DropExpired(expired)).await else {
                    break;
                };
                tracing::debug!(count, "dropped expired entries");
                if dropped.damaged > 0 {
                    let damaged = dropped.damaged;
                    tracing::error!(damaged, "expired entries cannot be read: {DAMAGED}");
                    self.metrics.rows_damaged(damaged);
                }
            }
        }
    }
}
