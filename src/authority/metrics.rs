//! The authority's metrics, in the text format of Prometheus (`OpenMetrics` 1.0).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use super::clocks::Verdict;
use super::edges;
use super::sessions::suspicion;
use super::sessions::{Counts, SessionMetrics};
use super::signals::{SignalMetrics, StreamMetrics};
use super::verifier::KeyMetrics;
use super::webhook::Fate;
use crate::revocation::wire::TokenStatus;
use crate::revocation::wire::sign_out::SignOutScope;

mod labels;
mod registering;

use labels::{
    CheckLabels, EventLabels, FetchLabels, ListenerLabels, ResponseLabels, SignOutLabels,
    StatusLabels, SuspicionLabels,
};

/// The counters.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    /// Of the registry of sessions.
    pub(super) sessions: SessionMetrics,
    /// Of what is received from identity providers.
    pub(super) signals: SignalMetrics,
    /// Of streams whose transmitters are spoken to.
    pub(super) streams: StreamMetrics,
    /// Those of issuers' keys.
    pub(super) keys: KeyMetrics,
    responses: Family<ResponseLabels, Counter>,
    checks: Family<CheckLabels, Counter>,
    statuses: Family<StatusLabels, Counter>,
    status_list_fetches: Family<FetchLabels, Counter>,
    status_lists: Gauge,
    sign_outs: Family<SignOutLabels, Counter>,
    certificates: Family<ListenerLabels, Gauge>,
    commits: Counter,
    writes: Counter,
    changes: Counter,
    write_failures: Counter,
    writable: Gauge,
    damaged_rows: Counter,
    generations: Counter,
    generation_failures: Counter,
    generation_seconds: Histogram,
    epochs: Counter,
    entries: Gauge,
    cut_offs: Gauge,
    sequence: Gauge<u64, AtomicU64>,
    epoch: Gauge<u64, AtomicU64>,
    edges_waiting: Gauge,
    edges: Gauge,
    edges_behind: Gauge,
    slowest_edge_changes: Gauge<u64, AtomicU64>,
    slowest_edge: Gauge<f64, AtomicU64>,
    edges_displaced: Counter,
    keeper: Gauge,
    store_age: Gauge<f64, AtomicU64>,
    false_positive_ratio: Gauge<f64, AtomicU64>,
    clock_difference: Gauge<f64, AtomicU64>,
    suspicions: Family<SuspicionLabels, Counter>,
    suspicions_dropped: Counter,
    webhook_events: Family<EventLabels, Counter>,
    webhook_failures: Counter,
}

/// Values that are read when metrics are scraped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Readings {
    /// Tokens, sessions and devices in force.
    pub entries: u64,
    /// Cut-offs in force.
    pub cut_offs: u64,
    /// Of the last change.
    pub sequence: u64,
    /// The epoch that is in force.
    pub epoch: u64,
    /// Long polls that are open.
    pub edges_waiting: usize,
    /// The edges that were seen lately.
    pub edges: edges::Counts,
    /// The false-positive rate of the newest filter.
    pub false_positive_ratio: f64,
    /// Whether this authority does what only one should do.
    pub is_keeper: bool,
    /// How long ago what it knows was all that there is.
    pub store_age: Duration,
    /// How far the edges' clocks are ahead.
    pub clock_difference: Verdict,
}

impl Metrics {
    /// All counters at zero.
    #[must_use]
    pub(super) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("portcullis"),
            sessions: SessionMetrics::new(),
            signals: SignalMetrics::new(),
            streams: StreamMetrics::default(),
            keys: KeyMetrics::default(),
            responses: Family::default(),
            checks: Family::default(),
            statuses: Family::default(),
            status_list_fetches: Family::default(),
            status_lists: Gauge::default(),
            sign_outs: Family::default(),
            certificates: Family::default(),
            commits: Counter::default(),
            writes: Counter::default(),
            changes: Counter::default(),
            write_failures: Counter::default(),
            writable: Gauge::default(),
            damaged_rows: Counter::default(),
            generations: Counter::default(),
            generation_failures: Counter::default(),
            // From ten milliseconds to five minutes.
            generation_seconds: Histogram::new(exponential_buckets(0.01, 2.0, 16)),
            epochs: Counter::default(),
            entries: Gauge::default(),
            cut_offs: Gauge::default(),
            sequence: Gauge::default(),
            epoch: Gauge::default(),
            edges_waiting: Gauge::default(),
            edges: Gauge::default(),
            edges_behind: Gauge::default(),
            slowest_edge_changes: Gauge::default(),
            slowest_edge: Gauge::default(),
            edges_displaced: Counter::default(),
            keeper: Gauge::default(),
            store_age: Gauge::default(),
            false_positive_ratio: Gauge::default(),
            clock_difference: Gauge::default(),
            suspicions: Family::default(),
            suspicions_dropped: Counter::default(),
            webhook_events: Family::default(),
            webhook_failures: Counter::default(),
        };
        metrics.writable.set(1);
        metrics.register();
        metrics
    }

    /// Where the end of a listener's certificate is shown.
    pub(super) fn certificate(&self, listener: &'static str) -> Gauge {
        let labels = ListenerLabels { listener };
        self.certificates.get_or_create(&labels).clone()
    }

    /// A status was asked for; `None` where it is not known.
    pub(super) fn status_asked(&self, status: Option<TokenStatus>) {
        self.statuses.get_or_create(&StatusLabels::of(status)).inc();
    }

    /// A status list was fetched and counts, or was not.
    pub(super) fn status_list_fetched(&self, is_success: bool) {
        let labels = FetchLabels::of(is_success);
        self.status_list_fetches.get_or_create(&labels).inc();
    }

    /// So many status lists are watched.
    pub(super) fn status_lists_watched(&self, lists: usize) {
        let lists = i64::try_from(lists).unwrap_or(i64::MAX);
        self.status_lists.set(lists);
    }

    /// An answer was given.
    pub(super) fn answered(&self, route: &str, status: u16) {
        let labels = ResponseLabels {
            route: route.to_owned(),
            status,
        };
        self.responses.get_or_create(&labels).inc();
    }

    /// A session looked stolen.
    pub(super) fn suspected(&self, kind: suspicion::Kind, is_ended: bool) {
        let labels = SuspicionLabels::new(kind, is_ended);
        self.suspicions.get_or_create(&labels).inc();
    }

    /// A finding was not told.
    pub(super) fn suspicion_dropped(&self) {
        self.suspicions_dropped.inc();
    }

    /// Something became of an event.
    pub(super) fn webhook_event(&self, fate: Fate) {
        let outcome = fate.name();
        self.webhook_events
            .get_or_create(&EventLabels { outcome })
            .inc();
    }

    /// An attempt to deliver an event failed.
    pub(super) fn webhook_failure(&self) {
        self.webhook_failures.inc();
    }

    /// How many events ended so.
    #[cfg(test)]
    pub(super) fn webhook_events(&self, fate: Fate) -> u64 {
        let outcome = fate.name();
        self.webhook_events
            .get_or_create(&EventLabels { outcome })
            .get()
    }

    /// How many attempts failed.
    #[cfg(test)]
    pub(super) fn webhook_failures(&self) -> u64 {
        self.webhook_failures.get()
    }

    /// A check was answered.
    pub(super) fn checked(&self, is_revoked: bool) {
        let revoked = if is_revoked { "true" } else { "false" };
        self.checks.get_or_create(&CheckLabels { revoked }).inc();
    }

    /// How many checks have found a token revoked.
    pub(super) fn revoked_checks(&self) -> u64 {
        let revoked = "true";
        self.checks.get_or_create(&CheckLabels { revoked }).get()
    }

    /// A request to sign a user out was answered: `done`, or with the code of a problem.
    pub(super) fn signed_out(&self, scope: SignOutScope, outcome: &str) {
        let labels = SignOutLabels {
            outcome: outcome.to_owned(),
            ..SignOutLabels::done(scope)
        };
        self.sign_outs.get_or_create(&labels).inc();
    }

    /// A commit is on the disk.
    pub(super) fn committed(&self, writes: usize, changes: usize) {
        self.commits.inc();
        self.writes.inc_by(writes as u64);
        self.changes.inc_by(changes as u64);
    }

    /// Whether writing works.
    pub(super) fn store_is_writable(&self, is_writable: bool) {
        self.writable.set(i64::from(is_writable));
    }

    /// Whether the last attempt to write succeeded.
    #[must_use]
    pub(super) fn is_store_writable(&self) -> bool {
        self.writable.get() == 1
    }

    /// Counts requests that were not written.
    pub(super) fn write_failed(&self, requests: usize) {
        self.write_failures.inc_by(requests as u64);
        self.store_is_writable(false);
    }

    /// Counts rows that cannot be read.
    pub(super) fn rows_damaged(&self, rows: u64) {
        self.damaged_rows.inc_by(rows);
    }

    /// A generation is published.
    pub(super) fn generation_published(&self, took: Duration) {
        self.generations.inc();
        self.generation_seconds.observe(took.as_secs_f64());
    }

    /// A generation could not be.
    pub(super) fn generation_failed(&self) {
        self.generation_failures.inc();
    }

    /// An epoch began.
    pub(super) fn epoch_began(&self) {
        self.epochs.inc();
    }

    /// Everything as text. Sessions are counted where that may block.
    #[must_use]
    pub(super) fn encode(&self, readings: &Readings, sessions: Option<&Counts>) -> String {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.entries.set(number(readings.entries));
        self.cut_offs.set(number(readings.cut_offs));
        self.sequence.set(readings.sequence);
        self.epoch.set(readings.epoch);
        self.edges_waiting
            .set(number(readings.edges_waiting as u64));
        self.show_edges(&readings.edges);
        self.keeper.set(i64::from(readings.is_keeper));
        self.store_age.set(readings.store_age.as_secs_f64());
        self.false_positive_ratio.set(readings.false_positive_ratio);
        let difference = Duration::from_millis(
            readings
                .clock_difference
                .difference_milliseconds
                .unsigned_abs(),
        );
        let is_behind = readings.clock_difference.difference_milliseconds < 0;
        let sign = if is_behind { -1.0 } else { 1.0 };
        self.clock_difference.set(sign * difference.as_secs_f64());
        // Those from before stay while there are none.
        if let Some(sessions) = sessions {
            self.sessions.show(sessions);
        }
        let mut output = String::new();
        // Writing to a string does not fail.
        let _ = text::encode(&mut output, &self.registry);
        output
    }

    fn show_edges(&self, counts: &edges::Counts) {
        let number = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        self.edges.set(number(counts.edges));
        self.edges_behind.set(number(counts.behind));
        self.slowest_edge_changes.set(counts.most_changes);
        self.slowest_edge.set(counts.longest.as_secs_f64());
        let displaced = self.edges_displaced.inner();
        displaced.store(counts.displaced, Ordering::Relaxed);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}
