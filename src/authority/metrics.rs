//! The authority's metrics, in the text format of Prometheus (`OpenMetrics` 1.0).

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::clocks::Verdict;
use super::edges;
use super::sessions::suspicion;
use super::sessions::{Counts, SessionMetrics};
use super::signals::{SignalMetrics, StreamMetrics};
use super::verifier::KeyMetrics;
use super::webhook::Fate;
use crate::revocation::wire::TokenStatus;
use crate::revocation::wire::sign_out::SignOutScope;

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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResponseLabels {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CheckLabels {
    revoked: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
}

impl StatusLabels {
    const fn of(status: Option<TokenStatus>) -> Self {
        let status = match status {
            Some(TokenStatus::Valid) => "valid",
            Some(TokenStatus::Invalid) => "invalid",
            Some(TokenStatus::Suspended) => "suspended",
            None => "unknown",
        };
        Self { status }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FetchLabels {
    result: &'static str,
}

impl FetchLabels {
    const fn of(is_success: bool) -> Self {
        let result = if is_success { "success" } else { "failure" };
        Self { result }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SignOutLabels {
    scope: &'static str,
    outcome: String,
}

impl SignOutLabels {
    fn done(scope: SignOutScope) -> Self {
        Self {
            scope: scope.name(),
            outcome: "done".to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SuspicionLabels {
    kind: &'static str,
    ended: &'static str,
}

impl SuspicionLabels {
    const fn new(kind: suspicion::Kind, is_ended: bool) -> Self {
        Self {
            kind: kind.name(),
            ended: if is_ended { "true" } else { "false" },
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EventLabels {
    outcome: &'static str,
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

    fn register(&mut self) {
        // There from the start, so that the first one is an increase.
        for scope in SignOutScope::ALL {
            let labels = SignOutLabels::done(scope);
            self.sign_outs.get_or_create(&labels).inc_by(0);
        }
        let registry = &mut self.registry;
        self.sessions.register(registry);
        self.signals.register(registry);
        self.streams.register(registry);
        self.keys.register(registry);
        registry.register(
            "http_responses",
            "Answers by route and status",
            self.responses.clone(),
        );
        registry.register("checks", "Exact checks by answer", self.checks.clone());
        registry.register(
            "sign_outs",
            "Users that were to be signed out, by scope and outcome: `done`, or the code of the problem",
            self.sign_outs.clone(),
        );
        registry.register("commits", "Commits to the store", self.commits.clone());
        registry.register("writes", "Requests written", self.writes.clone());
        registry.register("feed_changes", "Changes in the feed", self.changes.clone());
        registry.register(
            "write_failures",
            "Requests refused because the store failed",
            self.write_failures.clone(),
        );
        registry.register(
            "store_writable",
            "1 unless the last attempt to write failed",
            self.writable.clone(),
        );
        registry.register(
            "store_damaged_rows",
            "Rows that could not be read when they had expired; the next start finds them missing",
            self.damaged_rows.clone(),
        );
        registry.register(
            "generations",
            "Generations published",
            self.generations.clone(),
        );
        registry.register(
            "generation_failures",
            "Generations that were not published",
            self.generation_failures.clone(),
        );
        registry.register_with_unit(
            "generation_build",
            "Time to build and read back a generation",
            Unit::Seconds,
            self.generation_seconds.clone(),
        );
        registry.register(
            "epochs",
            "Epochs begun because edges were ahead",
            self.epochs.clone(),
        );
        registry.register(
            "entries",
            "Tokens, sessions and devices revoked",
            self.entries.clone(),
        );
        registry.register("cut_offs", "Cut-offs in force", self.cut_offs.clone());
        registry.register(
            "feed_sequence",
            "Number of the last change",
            self.sequence.clone(),
        );
        // A counter of epochs would begin anew with an authority that starts itself again for one.
        registry.register(
            "feed_epoch",
            "Epoch of the feed; a later one begins when the store has lost something",
            self.epoch.clone(),
        );
        registry.register(
            "edges_waiting",
            "Open long polls",
            self.edges_waiting.clone(),
        );
        registry.register(
            "filter_false_positive_ratio",
            "Share of tokens not revoked that edges ask about, as the newest filter is filled now",
            self.false_positive_ratio.clone(),
        );
        registry.register_with_unit(
            "clock_difference",
            "How far most edges are ahead of this machine, negative when behind",
            Unit::Seconds,
            self.clock_difference.clone(),
        );
        self.register_edges();
        self.register_replica();
        self.register_status_lists();
        self.register_suspicions();
    }

    fn register_edges(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "edges",
            "Edges that have polled in the last minute",
            self.edges.clone(),
        );
        registry.register(
            "edges_behind",
            "Those of them that have lacked changes for a second and longer",
            self.edges_behind.clone(),
        );
        registry.register(
            "slowest_edge_changes",
            "Changes that the slowest of them lacks",
            self.slowest_edge_changes.clone(),
        );
        registry.register_with_unit(
            "slowest_edge",
            "For how long the slowest of them has lacked changes",
            Unit::Seconds,
            self.slowest_edge.clone(),
        );
        registry.register(
            "edges_displaced",
            "Edges that are not watched any more, since there are more than are kept",
            self.edges_displaced.clone(),
        );
    }

    fn register_replica(&mut self) {
        let registry = &mut self.registry;
        registry.register(
            "keeper",
            "1 where this authority builds generations and drops what has expired, else 0",
            self.keeper.clone(),
        );
        registry.register_with_unit(
            "store_age",
            "How long ago what is in memory was all that the database has",
            Unit::Seconds,
            self.store_age.clone(),
        );
    }

    fn register_status_lists(&mut self) {
        // There from the start, so that the first one is an increase.
        let known = [
            TokenStatus::Valid,
            TokenStatus::Invalid,
            TokenStatus::Suspended,
        ];
        for status in known.map(Some).into_iter().chain([None]) {
            let labels = StatusLabels::of(status);
            self.statuses.get_or_create(&labels).inc_by(0);
        }
        for is_success in [true, false] {
            let labels = FetchLabels::of(is_success);
            self.status_list_fetches.get_or_create(&labels).inc_by(0);
        }
        let registry = &mut self.registry;
        registry.register(
            "statuses",
            "Statuses that edges have asked for: `valid`, `invalid`, `suspended`, or `unknown`",
            self.statuses.clone(),
        );
        registry.register(
            "status_list_fetches",
            "Fetches of status lists by result: `success` or `failure`",
            self.status_list_fetches.clone(),
        );
        registry.register(
            "status_lists",
            "Status lists that are watched",
            self.status_lists.clone(),
        );
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

    fn register_suspicions(&mut self) {
        // There from the start, so that the first one is an increase.
        for kind in suspicion::Kind::ALL {
            for is_ended in [false, true] {
                let labels = SuspicionLabels::new(kind, is_ended);
                self.suspicions.get_or_create(&labels).inc_by(0);
            }
        }
        for fate in Fate::ALL {
            let outcome = fate.name();
            let labels = EventLabels { outcome };
            self.webhook_events.get_or_create(&labels).inc_by(0);
        }
        let registry = &mut self.registry;
        registry.register(
            "suspicions",
            "Sessions that looked stolen, by what it was and whether they were ended for it",
            self.suspicions.clone(),
        );
        registry.register(
            "suspicions_dropped",
            "Findings that were not told, because too many were waiting",
            self.suspicions_dropped.clone(),
        );
        registry.register(
            "webhook_events",
            "Events for the webhook by what became of them",
            self.webhook_events.clone(),
        );
        registry.register(
            "webhook_failures",
            "Attempts to deliver an event that failed",
            self.webhook_failures.clone(),
        );
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
