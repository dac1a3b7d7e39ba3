//! The metrics of streams. All label values of a stream of the file are there from the start.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::super::events::StreamStatus;
use super::super::transmitter::FaultReason;

/// The counters.
#[derive(Clone, Debug, Default)]
pub(in crate::authority) struct StreamMetrics {
    calls: Family<Call, Counter>,
    events: Family<Event, Counter>,
    enabled: Family<Of, Gauge>,
    verified: Family<Of, Gauge>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    stream: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    stream: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Event {
    stream: String,
    answer: &'static str,
}

/// What a transmitter is told of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// It is on the disk.
    Acknowledged,
    /// It is refused for good.
    Refused,
    /// Nothing, so that it comes again.
    PutOff,
}

impl Told {
    const ALL: [Self; 3] = [Self::Acknowledged, Self::Refused, Self::PutOff];

    const fn name(self) -> &'static str {
        match self {
            Self::Acknowledged => "acknowledged",
            Self::Refused => "refused",
            Self::PutOff => "put_off",
        }
    }
}

/// The outcome of a call that was answered.
const ANSWERED: &str = "answered";

impl StreamMetrics {
    pub(in crate::authority) fn register(&self, registry: &mut Registry) {
        registry.register(
            "stream_calls",
            "Calls to the transmitter of a stream, by outcome: `answered`, or why it came to nothing",
            self.calls.clone(),
        );
        registry.register(
            "stream_events",
            "Events that polls brought, by what the transmitter is told",
            self.events.clone(),
        );
        registry.register(
            "stream_enabled",
            "1 while the transmitter says that it delivers, 0 otherwise",
            self.enabled.clone(),
        );
        registry.register_with_unit(
            "stream_verified_time",
            "When the last verification event came, in seconds since 1970; 0 if none did",
            Unit::Seconds,
            self.verified.clone(),
        );
    }

    /// There is a stream of this name.
    pub(in crate::authority::signals) fn announce(&self, stream: &str) {
        let reasons = FaultReason::ALL.iter().map(|reason| reason.label());
        for outcome in reasons.chain([ANSWERED]) {
            self.calls.get_or_create(&call(stream, outcome)).inc_by(0);
        }
        for told in Told::ALL {
            self.events.get_or_create(&event(stream, told)).inc_by(0);
        }
        self.enabled.get_or_create(&of(stream)).set(0);
        self.verified.get_or_create(&of(stream)).set(0);
    }

    pub(super) fn answered(&self, stream: &str) {
        self.calls.get_or_create(&call(stream, ANSWERED)).inc();
    }

    pub(super) fn failed(&self, stream: &str, reason: FaultReason) {
        let labels = call(stream, reason.label());
        self.calls.get_or_create(&labels).inc();
    }

    pub(super) fn told(&self, stream: &str, told: Told) {
        self.events.get_or_create(&event(stream, told)).inc();
    }

    pub(in crate::authority::signals) fn status(&self, stream: &str, status: StreamStatus) {
        let is_enabled = status == StreamStatus::Enabled;
        self.enabled
            .get_or_create(&of(stream))
            .set(is_enabled.into());
    }

    /// A verification event came at this time, in milliseconds.
    pub(in crate::authority::signals) fn verified(&self, stream: &str, now: u64) {
        let seconds = i64::try_from(now / 1_000).unwrap_or(i64::MAX);
        self.verified.get_or_create(&of(stream)).set(seconds);
    }
}

fn of(stream: &str) -> Of {
    Of {
        stream: stream.to_owned(),
    }
}

fn call(stream: &str, outcome: &'static str) -> Call {
    Call {
        stream: stream.to_owned(),
        outcome,
    }
}

fn event(stream: &str, told: Told) -> Event {
    Event {
        stream: stream.to_owned(),
        answer: told.name(),
    }
}
