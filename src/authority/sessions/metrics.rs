//! What is counted of sessions.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::registry::Counts;
use super::session::Session;
use crate::revocation::Cause;

/// The counters.
#[derive(Clone, Debug)]
pub(in crate::authority) struct SessionMetrics {
    reports: Family<ReportLabels, Counter>,
    incomplete: Counter,
    ended: Family<EndLabels, Counter>,
    durations: Histogram,
    snapshot_failures: Counter,
    kept: Gauge,
    displaced: Gauge,
    active: Family<WindowLabels, Gauge>,
    active_users: Family<WindowLabels, Gauge>,
    waiting_to_end: Gauge,
    held: Gauge,
    silent_credentials: Gauge,
    engine_seconds: Histogram,
    engine_failures: Counter,
    connected: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReportLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    cause: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WindowLabels {
    window: &'static str,
}

/// The names of [`Counts::WINDOWS`].
const WINDOW_NAMES: [&str; Counts::WINDOWS.len()] = ["5m", "1h", "24h"];

impl SessionMetrics {
    /// All counters at zero.
    #[must_use]
    pub(in crate::authority) fn new() -> Self {
        let metrics = Self {
            reports: Family::default(),
            incomplete: Counter::default(),
            ended: Family::default(),
            // From a minute to 45 days.
            durations: Histogram::new(exponential_buckets(60.0, 4.0, 9)),
            snapshot_failures: Counter::default(),
            kept: Gauge::default(),
            displaced: Gauge::default(),
            active: Family::default(),
            active_users: Family::default(),
            waiting_to_end: Gauge::default(),
            held: Gauge::default(),
            silent_credentials: Gauge::default(),
            // From a fifth of a millisecond to six seconds.
            engine_seconds: Histogram::new(exponential_buckets(0.000_2, 2.0, 16)),
            engine_failures: Counter::default(),
            connected: Gauge::default(),
        };
        metrics.connected(true);
        // Shown at zero, so that the first one is a step that alerts see.
        for are_taken in [true, false] {
            metrics.reported(0, are_taken);
        }
        for cause in Cause::ALL.map(name_of) {
            metrics.ended.get_or_create(&EndLabels { cause }).inc_by(0);
        }
        metrics.show(&Counts::default());
        metrics
    }

    /// Makes them known.
    pub(in crate::authority) fn register(&self, registry: &mut Registry) {
        registry.register(
            "session_reports",
            "Reports of sessions by edges; `dropped` while the registry is not available, or the clock behind",
            self.reports.clone(),
        );
        registry.register(
            "session_reports_incomplete",
            "Times that an edge said that it had seen more than it told, so that no session becomes idle",
            self.incomplete.clone(),
        );
        registry.register(
            "sessions_ended",
            "Sessions that edges had reported and that were revoked, by cause",
            self.ended.clone(),
        );
        registry.register(
            "session_snapshot_failures",
            "Times that the registry's file could not be read or written",
            self.snapshot_failures.clone(),
        );
        registry.register_with_unit(
            "session_duration",
            "From the sign-in to the last request of sessions that were revoked",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register("sessions", "Sessions in the registry", self.kept.clone());
        registry.register(
            "sessions_displaced",
            "Sessions dropped from the registry since the start, for want of room",
            self.displaced.clone(),
        );
        registry.register(
            "sessions_active",
            "Sessions not revoked that were seen lately",
            self.active.clone(),
        );
        registry.register(
            "session_users_active",
            "Subjects with such a session",
            self.active_users.clone(),
        );
        registry.register(
            "session_ends_waiting",
            "Sessions that a session policy ends and that are still to be revoked",
            self.waiting_to_end.clone(),
        );
        registry.register(
            "session_ends_held",
            "Sessions that a session policy would end, were a session of another subject with the same `sid` not in use",
            self.held.clone(),
        );
        registry.register(
            "sessions_silent_credentials",
            "Credentials that have reported sessions and are silent, so that no session becomes idle",
            self.silent_credentials.clone(),
        );
        registry.register_with_unit(
            "session_registry",
            "What was asked of the registry in Redis, and how long that took",
            Unit::Seconds,
            self.engine_seconds.clone(),
        );
        registry.register(
            "session_registry_failures",
            "What was asked of the registry in Redis in vain",
            self.engine_failures.clone(),
        );
        registry.register(
            "session_registry_connected",
            "1 while the registry is available, as one in memory always is; 0 while Redis is not",
            self.connected.clone(),
        );
    }

    /// The registry in Redis was asked for something.
    pub(super) fn asked(&self, took: Duration, has_answered: bool) {
        self.engine_seconds.observe(took.as_secs_f64());
        if !has_answered {
            self.engine_failures.inc();
        }
    }

    /// Whether the registry is available.
    pub(super) fn connected(&self, is_connected: bool) {
        self.connected.set(i64::from(is_connected));
    }

    /// So many reports came in.
    pub(in crate::authority) fn reported(&self, count: usize, are_taken: bool) {
        let outcome = if are_taken { "taken" } else { "dropped" };
        let labels = ReportLabels { outcome };
        self.reports.get_or_create(&labels).inc_by(count as u64);
    }

    /// A snapshot could not be read, or not be written.
    pub(super) fn snapshot_failed(&self) {
        self.snapshot_failures.inc();
    }

    /// A session ended.
    pub(super) fn ended(&self, session: &Session) {
        let cause = session.ended.map_or(Cause::Plain, |ended| ended.cause);
        self.ended
            .get_or_create(&EndLabels {
                cause: name_of(cause),
            })
            .inc();
        let seconds = session.last_seen.seconds();
        let lasted = seconds.saturating_sub(session.started().seconds());
        self.durations
            .observe(Duration::from_secs(lasted).as_secs_f64());
    }

    /// All sessions were looked at: so many are still to end, and so many are left because of others.
    pub(super) fn walked(&self, left: usize, held: usize) {
        let number = |sessions: usize| i64::try_from(sessions).unwrap_or(i64::MAX);
        self.waiting_to_end.set(number(left));
        if held > 0 && self.held.get() == 0 {
            tracing::warn!(
                held,
                "sessions are not ended, since others of the same `sid` are in use"
            );
        }
        self.held.set(number(held));
    }

    /// An edge has seen more than it tells.
    pub(in crate::authority) fn incomplete(&self) {
        self.incomplete.inc();
    }

    /// So many credentials are silent.
    pub(super) fn silent(&self, credentials: usize) {
        let credentials = i64::try_from(credentials).unwrap_or(i64::MAX);
        self.silent_credentials.set(credentials);
    }

    /// Shows these counts.
    pub(in crate::authority) fn show(&self, counts: &Counts) {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.kept.set(number(counts.sessions));
        self.displaced.set(number(counts.displaced));
        let active = counts.active_sessions.iter().zip(&counts.active_subjects);
        for (window, (sessions, users)) in WINDOW_NAMES.into_iter().zip(active) {
            let labels = WindowLabels { window };
            self.active.get_or_create(&labels).set(number(*sessions));
            self.active_users.get_or_create(&labels).set(number(*users));
        }
    }
}

/// The word for a cause, as in the interface.
const fn name_of(cause: Cause) -> &'static str {
    match cause {
        Cause::Plain => "plain",
        Cause::Rotated => "rotated",
        Cause::Idle => "idle",
        Cause::TooOld => "too_old",
        Cause::Displaced => "displaced",
        Cause::Suspicious => "suspicious",
        Cause::Suspended => "suspended",
    }
}
