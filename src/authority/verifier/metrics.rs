//! The metrics of issuers' keys, so that a server of keys that is out of reach is seen while the last keys
//! are still good.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::keys::{Counts, Sight};

/// The metrics.
#[derive(Clone, Debug, Default)]
pub(in crate::authority) struct KeyMetrics {
    age: Family<Of, Gauge>,
    usable: Family<Of, Gauge>,
    fetches: Family<Fetch, Counter>,
}

/// Whose keys, and what they verify: one issuer may have others for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Of {
    pub(super) issuer: String,
    pub(super) of: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Fetch {
    issuer: String,
    of: &'static str,
    outcome: &'static str,
}

/// Users' tokens, and status lists.
pub(super) const TOKENS: &str = "tokens";

/// Signals.
pub(super) const SIGNALS: &str = "signals";

/// The assertions of an OAuth client.
pub(super) const ASSERTIONS: &str = "assertions";

impl KeyMetrics {
    pub(in crate::authority) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "issuer_keys_age",
            "Time since the keys of an issuer were fetched; 0 of keys in a file, and before the first fetch",
            Unit::Seconds,
            self.age.clone(),
        );
        registry.register(
            "issuer_keys_usable",
            "How many keys of an issuer are in force; at 0, nothing that it has signed is accepted",
            self.usable.clone(),
        );
        registry.register(
            "issuer_keys_fetches",
            "Fetches of the keys of an issuer, by outcome: `success` or `failure`",
            self.fetches.clone(),
        );
    }

    /// How old keys are that come from a server, and how many are in force, wherever they come from.
    pub(super) fn seen(&self, of: &Of, sight: Sight, usable: usize) {
        let gauge = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.age.get_or_create(of).set(gauge(sight.age_seconds));
        let usable = u64::try_from(usable).unwrap_or(u64::MAX);
        self.usable.get_or_create(of).set(gauge(usable));
    }

    /// What has been done for these keys since the last time.
    pub(super) fn fetched(&self, of: &Of, counts: Counts) {
        for (outcome, count) in [("success", counts.fetched), ("failure", counts.failed)] {
            let fetch = Fetch {
                issuer: of.issuer.clone(),
                of: of.of,
                outcome,
            };
            self.fetches.get_or_create(&fetch).inc_by(count.into());
        }
    }
}
