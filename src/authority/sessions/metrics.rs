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
    ended: Family<EndLabels, Counter>,
    durations: Histogram,
    snapshot_failures: Counter,
    kept: Gauge,
    displaced: Gauge,
    active: Family<WindowLabels, Gauge>,
    active_users: Family<WindowLabels, Gauge>,
    waiting_to_end: Gauge,
    silent_credentials: Gauge,
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
            ended: Family::default(),
            // From a minute to 45 days.
            durations: Histogram::new(exponential_buckets(60.0, 4.0, 9)),
            snapshot_failures: Counter::default(),
            kept: Gauge::default(),
            displaced: Gauge::default(),
            active: Family::default(),
            active_users: Family::default(),
            waiting_to_end: Gauge::default(),
            silent_credentials: Gauge::default(),
        };
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
            "Reports of sessions by edges; `dropped` while the registry is not available",
            self.reports.clone(),
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
            "sessions_silent_credentials",
            "Credentials that have reported sessions and are silent, so that no session becomes idle",
            self.silent_credentials.clone(),
        );
    }

    /// So many reports came in.
    pub(super) fn reported(&self, count: usize, are_taken: bool) {
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

    /// So many sessions are still to end.
    pub(super) fn wait_to_end(&self, sessions: usize) {
        let sessions = i64::try_from(sessions).unwrap_or(i64::MAX);
        self.waiting_to_end.set(sessions);
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
    }
}
