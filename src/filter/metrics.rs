//! Names and ids of everything that is counted or measured.
//!
//! A module can give a metric a name, but no labels, so the labels are parts of the name, the
//! provider last: its name may have dots in it. `stats_tags` in `envoy/envoy.yaml` make them
//! labels again. Envoy puts `wasmcustom.` before all of them.
//!
//! | name | |
//! |---|---|
//! | `portcullis.build_info.<version>` | gauge: 1 |
//! | `portcullis.requests.<verdict>.<reason or service>[.<provider>]` | counter |
//! | `portcullis.keys.fetches.<success or failure>.<provider>` | counter |
//! | `portcullis.keys.unknown_key_refetches.<provider>` | counter |
//! | `portcullis.keys.age_seconds.<provider>` | gauge: time since the set was fetched |
//! | `portcullis.keys.usable.<provider>` | gauge: keys that may be used; 0 when they are too old |
//! | `portcullis.keys.left_out.<provider>` | gauge: keys of the set that cannot be used |
//! | `portcullis.feed.<batches, changes, heartbeats or generations>` | counter |
//! | `portcullis.feed.failures.<fault>` | counter: calls that failed |
//! | `portcullis.feed.loaded` | gauge: 1 while a feed is held; if one is configured |
//! | `portcullis.feed.staleness_milliseconds` | gauge: time since the authority was last heard, or since the start |
//! | `portcullis.feed.sequence` | gauge: changes that have been applied |
//! | `portcullis.feed.pages` | gauge: pages of the filter, 4 KiB each |
//! | `portcullis.feed.false_positives_per_billion` | gauge: names not revoked that the filter takes for revoked |
//! | `portcullis.confirmations.<revoked, not_revoked or unanswered>` | counter: checks, one for each request that waited |
//! | `portcullis.token_cache.<hits, misses or void>` | counter: look-ups of tokens verified before |
//! | `portcullis.token_cache.entries` | gauge: tokens held, of all virtual machines together |
//! | `portcullis.streams.watched` | gauge: requests in progress that can be ended, of all virtual machines together |
//! | `portcullis.streams.unwatched` | counter: those that cannot any more, for want of room |
//! | `portcullis.streams.closed.<revoked, expired, stale or unconfirmed>` | counter: those that were ended |
//! | `portcullis.activity.reported` | counter: reports of sessions that the authority has taken |
//! | `portcullis.activity.dropped` | counter: requests that are in no report, for want of room or because the authority refused it |
//! | `portcullis.activity.sessions` | gauge: sessions in use, of all virtual machines, each of which counts its own |
//! | `portcullis.verification_microseconds` | histogram, of one verification in sixteen |

use std::cell::Cell;

use proxy_wasm::types::MetricType;

use super::raw;
use crate::edge::{End, Metric, StreamCounts};
use crate::gate::{ActivityCounts, CacheCounts, CheckOutcome, Outcome, Policy};
use crate::keys::{Counts, KeySource, Sight};
use crate::revocation::{FeedState, Fill, Settled};
use crate::sync::{Fault, FeedCounts};

/// One verification in this many is measured. Reading the clock twice costs as much as everything
/// else that is done for a cached token.
const SAMPLE: u32 = 16;

const NANOSECONDS_PER_MICROSECOND: u64 = 1_000;

/// Envoy's ids of the metrics of one virtual machine. All of them feed the same metrics.
pub(super) struct Metrics {
    providers: Vec<String>,
    /// For every outcome: first without a provider, then with each. Those with a provider are
    /// defined when first needed, since most pairs never occur.
    requests: Vec<Vec<Cell<Option<u32>>>>,
    /// By provider index; only for keys that are fetched.
    keys: Vec<Option<KeyMetrics>>,
    feed: FeedMetrics,
    cache: CacheMetrics,
    streams: StreamMetrics,
    activity: ActivityMetrics,
    verification: u32,
    verifications: Cell<u32>,
}

struct CacheMetrics {
    hits: u32,
    misses: u32,
    void: u32,
    entries: u32,
    /// The number of entries that this virtual machine has reported.
    told: Cell<usize>,
}

struct StreamMetrics {
    watched: u32,
    unwatched: u32,
    closed: [u32; End::ALL.len()],
    /// How many this virtual machine has told of.
    told: Cell<usize>,
}

struct ActivityMetrics {
    reported: u32,
    dropped: u32,
    sessions: u32,
    /// How many this virtual machine has told of.
    told: Cell<usize>,
}

struct FeedMetrics {
    batches: u32,
    changes: u32,
    heartbeats: u32,
    generations: u32,
    failures: [u32; Fault::ALL.len()],
    /// [`MISSING`] if no feed is configured: 0 would raise an alarm.
    loaded: u32,
    staleness: u32,
    sequence: u32,
    pages: u32,
    false_positives: u32,
    revoked: u32,
    not_revoked: u32,
    unanswered: u32,
}

struct KeyMetrics {
    succeeded: u32,
    failed: u32,
    refetched: u32,
    age: u32,
    usable: u32,
    left_out: u32,
}

impl Metrics {
    pub(super) fn new(policy: &Policy) -> Self {
        let build = concat!("portcullis.build_info.", env!("CARGO_PKG_VERSION"));
        record(define(MetricType::Gauge, build), 1);
        let sources: Vec<_> = policy.key_sources().collect();
        let row = |outcome: Outcome| {
            let total = define(MetricType::Counter, &outcome.metric_name());
            let others = sources.iter().map(|_| Cell::new(None));
            [Cell::new(Some(total))].into_iter().chain(others).collect()
        };
        let keys = |(name, source): &(&str, &KeySource)| match source {
            KeySource::Remote(_) => Some(KeyMetrics::new(name)),
            _ => None,
        };
        Self {
            requests: Outcome::all().map(row).collect(),
            providers: sources.iter().map(|(name, _)| (*name).to_owned()).collect(),
            keys: sources.iter().map(keys).collect(),
            feed: FeedMetrics::new(policy.has_feed()),
            cache: CacheMetrics::new(),
            streams: StreamMetrics::new(policy.watches_streams()),
            activity: ActivityMetrics::new(policy.reports_activity()),
            verification: define(
                MetricType::Histogram,
                "portcullis.verification_microseconds",
            ),
            verifications: Cell::new(0),
        }
    }

    /// Counts, or writes into gauges, what does not belong to a request.
    pub(super) fn measure(&self, metric: Metric<'_>) {
        match metric {
            Metric::Fetches { provider, counts } => self.count_fetches(provider, counts),
            Metric::Keys { provider, sight } => self.show_keys(provider, sight),
            Metric::FeedCounts { before, now } => self.count_feed(before, now),
            Metric::Feed {
                state,
                fill,
                staleness,
            } => self.show_feed(state, fill, staleness),
            Metric::Cache(counts) => self.count_cache(&counts),
            Metric::Check(outcome) => self.count_check(outcome),
            Metric::Streams(counts) => self.streams.count(&counts),
            Metric::Activity(counts) => self.activity.count(&counts),
        }
    }

    pub(super) fn count_request(&self, outcome: Outcome, provider: Option<usize>) {
        let column = provider.map_or(0, |index| index + 1);
        let row = self.requests.get(outcome.index());
        let Some(cell) = row.and_then(|row| row.get(column)) else {
            return;
        };
        let id = cell
            .get()
            .unwrap_or_else(|| self.define_request(outcome, provider));
        cell.set(Some(id));
        increment(id, 1);
    }

    fn define_request(&self, outcome: Outcome, provider: Option<usize>) -> u32 {
        let mut name = outcome.metric_name();
        if let Some(provider) = provider.and_then(|index| self.providers.get(index)) {
            name.extend([".", provider]);
        }
        define(MetricType::Counter, &name)
    }

    fn count_fetches(&self, provider: usize, counts: Counts) {
        let Some(Some(keys)) = self.keys.get(provider) else {
            return;
        };
        increment(keys.succeeded, counts.fetched);
        increment(keys.failed, counts.failed);
        increment(keys.refetched, counts.refetched);
    }

    fn show_keys(&self, provider: usize, sight: Sight) {
        let Some(Some(keys)) = self.keys.get(provider) else {
            return;
        };
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        record(keys.age, sight.age_seconds);
        record(keys.usable, number(sight.usable));
        record(keys.left_out, number(sight.left_out));
    }

    fn count_feed(&self, before: &FeedCounts, now: &FeedCounts) {
        let more = |id, field: fn(&FeedCounts) -> u64| {
            let by = field(now).saturating_sub(field(before));
            increment(id, u32::try_from(by).unwrap_or(u32::MAX));
        };
        more(self.feed.batches, |counts| counts.batches);
        more(self.feed.changes, |counts| counts.changes);
        more(self.feed.heartbeats, |counts| counts.heartbeats);
        more(self.feed.generations, |counts| counts.generations);
        for ((id, before), now) in self.feed.failures.iter().zip(before.faults).zip(now.faults) {
            increment(
                *id,
                u32::try_from(now.saturating_sub(before)).unwrap_or(u32::MAX),
            );
        }
    }

    fn show_feed(&self, state: Option<&FeedState>, fill: Option<Fill>, staleness: u64) {
        record(self.feed.staleness, staleness);
        record(self.feed.loaded, u64::from(state.is_some()));
        if let Some(fill) = fill {
            record(self.feed.false_positives, fill.false_positives_per_billion);
        }
        if let Some(state) = state {
            record(self.feed.sequence, state.sequence);
            record(self.feed.pages, state.page_count.into());
        }
    }

    /// Counts look-ups of tokens. The number of entries is a sum over all virtual machines, so each
    /// adds the difference.
    fn count_cache(&self, counts: &CacheCounts) {
        increment(self.cache.hits, counts.hits);
        increment(self.cache.misses, counts.misses);
        increment(self.cache.void, counts.void);
        show_sum(self.cache.entries, &self.cache.told, counts.entries);
    }

    fn count_check(&self, outcome: &CheckOutcome) {
        let id = match outcome.answer {
            Some(Settled::Revoked(_)) => self.feed.revoked,
            Some(Settled::NotRevoked) => self.feed.not_revoked,
            None => self.feed.unanswered,
        };
        increment(id, 1);
    }

    /// Runs the verification, and measures one in [`SAMPLE`].
    pub(super) fn timed<T>(&self, verification: impl FnOnce() -> T) -> T {
        let count = self.verifications.get();
        self.verifications.set(count.wrapping_add(1));
        if !count.is_multiple_of(SAMPLE) {
            return verification();
        }
        let start = raw::now();
        let outcome = verification();
        if let (Ok(start), Ok(end)) = (start, raw::now())
            && let Some(elapsed) = end.checked_sub(start)
        {
            record(self.verification, elapsed / NANOSECONDS_PER_MICROSECOND);
        }
        outcome
    }
}

impl CacheMetrics {
    fn new() -> Self {
        let counter = |name| define(MetricType::Counter, name);
        Self {
            hits: counter("portcullis.token_cache.hits"),
            misses: counter("portcullis.token_cache.misses"),
            void: counter("portcullis.token_cache.void"),
            entries: define(MetricType::Gauge, "portcullis.token_cache.entries"),
            told: Cell::new(0),
        }
    }
}

impl StreamMetrics {
    fn new(are_watched: bool) -> Self {
        let define = |kind, name: &str| {
            if are_watched {
                define(kind, &format!("portcullis.streams.{name}"))
            } else {
                MISSING
            }
        };
        let closed = |end: End| define(MetricType::Counter, &format!("closed.{}", end.name()));
        Self {
            watched: define(MetricType::Gauge, "watched"),
            unwatched: define(MetricType::Counter, "unwatched"),
            closed: End::ALL.map(closed),
            told: Cell::new(0),
        }
    }

    fn count(&self, counts: &StreamCounts) {
        increment(self.unwatched, counts.unwatched);
        for (id, count) in self.closed.into_iter().zip(counts.closed) {
            increment(id, count);
        }
        show_sum(self.watched, &self.told, counts.watched);
    }
}

impl ActivityMetrics {
    fn new(is_reported: bool) -> Self {
        let define = |kind, name: &str| {
            if is_reported {
                define(kind, &format!("portcullis.activity.{name}"))
            } else {
                MISSING
            }
        };
        Self {
            reported: define(MetricType::Counter, "reported"),
            dropped: define(MetricType::Counter, "dropped"),
            sessions: define(MetricType::Gauge, "sessions"),
            told: Cell::new(0),
        }
    }

    fn count(&self, counts: &ActivityCounts) {
        increment(self.reported, counts.reported);
        increment(self.dropped, counts.dropped);
        show_sum(self.sessions, &self.told, counts.sessions);
    }
}

impl FeedMetrics {
    fn new(has_feed: bool) -> Self {
        let counter = |name: &str| define(MetricType::Counter, &format!("portcullis.{name}"));
        let gauge = |name: &str| define(MetricType::Gauge, &format!("portcullis.feed.{name}"));
        let failures = Fault::ALL.map(|fault| counter(&format!("feed.failures.{}", fault.name())));
        Self {
            batches: counter("feed.batches"),
            changes: counter("feed.changes"),
            heartbeats: counter("feed.heartbeats"),
            generations: counter("feed.generations"),
            failures,
            loaded: if has_feed { gauge("loaded") } else { MISSING },
            staleness: gauge("staleness_milliseconds"),
            sequence: gauge("sequence"),
            pages: gauge("pages"),
            false_positives: gauge("false_positives_per_billion"),
            revoked: counter("confirmations.revoked"),
            not_revoked: counter("confirmations.not_revoked"),
            unanswered: counter("confirmations.unanswered"),
        }
    }
}

impl KeyMetrics {
    fn new(provider: &str) -> Self {
        let name = |name: &str| format!("portcullis.keys.{name}.{provider}");
        Self {
            succeeded: define(MetricType::Counter, &name("fetches.success")),
            failed: define(MetricType::Counter, &name("fetches.failure")),
            refetched: define(MetricType::Counter, &name("unknown_key_refetches")),
            age: define(MetricType::Gauge, &name("age_seconds")),
            usable: define(MetricType::Gauge, &name("usable")),
            left_out: define(MetricType::Gauge, &name("left_out")),
        }
    }
}

// A metric that the host refuses is missing, and requests go on.

/// The id of a metric that the host has refused. Any other number may be the id of another metric.
const MISSING: u32 = u32::MAX;

fn define(kind: MetricType, name: &str) -> u32 {
    raw::define_metric(kind, name).unwrap_or(MISSING)
}

fn increment(id: u32, by: u32) {
    if by > 0 {
        add(id, by.into());
    }
}

fn add(id: u32, by: i64) {
    if id != MISSING {
        let _ = raw::increment_metric(id, by);
    }
}

/// Writes a number of this virtual machine into a gauge that is the sum of all of them. `told` is what
/// it has in the sum already.
fn show_sum(id: u32, told: &Cell<usize>, count: usize) {
    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let more = signed(count) - signed(told.replace(count));
    if more != 0 {
        add(id, more);
    }
}

fn record(id: u32, value: u64) {
    if id != MISSING {
        let _ = raw::record_metric(id, value);
    }
}
