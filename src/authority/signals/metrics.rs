//! The metrics of signals. All label values are there from the start, so that the first signal of a
//! kind is an increase.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use super::ledger::{ACCEPTED, IGNORED, RECORDED, REPEATED};
use super::reason::{Code, Receiver};

/// The counters.
#[derive(Clone, Debug)]
pub(in crate::authority) struct SignalMetrics {
    signals: Family<Labels, Counter>,
    seconds: Histogram,
    records_dropped: Counter,
    ledger_failures: Counter,
}

/// A token was found active.
const ACTIVE: &str = "active";

/// It was found not to be.
const INACTIVE: &str = "inactive";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    receiver: &'static str,
    outcome: &'static str,
}

impl SignalMetrics {
    /// All at zero.
    pub(in crate::authority) fn new() -> Self {
        let signals = Family::<Labels, Counter>::default();
        let codes = Code::ALL.iter().map(|code| code.label());
        for outcome in [ACCEPTED, RECORDED, REPEATED].into_iter().chain(codes) {
            for receiver in Receiver::ALL.map(Receiver::name) {
                let labels = Labels { receiver, outcome };
                signals.get_or_create(&labels).inc_by(0);
            }
        }
        let introspected = [ACTIVE, INACTIVE];
        let introspected = introspected.map(|outcome| (Receiver::OAuthIntrospect, outcome));
        let ignored = [(Receiver::OAuthRevoke, IGNORED)];
        for (receiver, outcome) in introspected.into_iter().chain(ignored) {
            let receiver = receiver.name();
            let labels = Labels { receiver, outcome };
            signals.get_or_create(&labels).inc_by(0);
        }
        Self {
            signals,
            // From half a millisecond to eight seconds.
            seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 15)),
            records_dropped: Counter::default(),
            ledger_failures: Counter::default(),
        }
    }

    pub(in crate::authority) fn register(&self, registry: &mut Registry) {
        registry.register(
            "signals",
            "Signals received, by receiver and outcome: `accepted`, `recorded`, `repeated`, or why it was refused",
            self.signals.clone(),
        );
        registry.register_with_unit(
            "signal_duration",
            "From a signal's arrival to its revocations on the disk, of those that were accepted",
            Unit::Seconds,
            self.seconds.clone(),
        );
        registry.register(
            "signal_records_dropped",
            "Records of signals that were not kept, because too many were waiting",
            self.records_dropped.clone(),
        );
        registry.register(
            "signal_ledger_failures",
            "Times that the ledger of signals could not be read or written",
            self.ledger_failures.clone(),
        );
    }

    /// A signal was accepted.
    pub(super) fn accepted(&self, receiver: Receiver, took: Duration) {
        self.count(receiver, ACCEPTED);
        self.seconds.observe(took.as_secs_f64());
    }

    /// A signal was in order, and nothing had to be done.
    pub(super) fn recorded(&self, receiver: Receiver) {
        self.count(receiver, RECORDED);
    }

    /// A signal has come once more.
    pub(super) fn repeated(&self, receiver: Receiver) {
        self.count(receiver, REPEATED);
    }

    /// There was nothing to do.
    pub(super) fn ignored(&self, receiver: Receiver) {
        self.count(receiver, IGNORED);
    }

    /// A resource server was told whether a token is active.
    pub(super) fn introspected(&self, is_active: bool) {
        let outcome = if is_active { ACTIVE } else { INACTIVE };
        self.count(Receiver::OAuthIntrospect, outcome);
    }

    /// A signal was refused.
    pub(super) fn refused(&self, receiver: Receiver, code: Code) {
        self.count(receiver, code.label());
    }

    fn count(&self, receiver: Receiver, outcome: &'static str) {
        let labels = Labels {
            receiver: receiver.name(),
            outcome,
        };
        self.signals.get_or_create(&labels).inc();
    }

    /// A record was not kept.
    pub(super) fn record_dropped(&self) {
        self.records_dropped.inc();
    }

    /// The ledger could not be read or written.
    pub(super) fn ledger_failed(&self) {
        self.ledger_failures.inc();
    }
}
