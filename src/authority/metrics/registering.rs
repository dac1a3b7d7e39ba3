//! Under which names metrics are shown, and what is said of each.

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Unit;

use super::Metrics;
use super::labels::{EventLabels, FetchLabels, SignOutLabels, StatusLabels, SuspicionLabels};
use crate::authority::sessions::suspicion;
use crate::authority::webhook::Fate;
use crate::revocation::wire::TokenStatus;
use crate::revocation::wire::sign_out::SignOutScope;

impl Metrics {
    pub(super) fn register(&mut self) {
        // There from the start, so that the first one is an increase.
        for scope in SignOutScope::ALL {
            let labels = SignOutLabels::done(scope);
            self.sign_outs.get_or_create(&labels).inc_by(0);
        }
        let registry = &mut self.registry;
        registry.register(
            "build",
            "The version of the program",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
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
        // Without TLS, there is none.
        registry.register_with_unit(
            "certificate_expiry_timestamp",
            "When the certificate of a listener, `main` or `signals`, or one of its chain expires, since 1970; 0 if that cannot be read",
            Unit::Seconds,
            self.certificates.clone(),
        );
        self.register_store();
        self.register_edges();
        self.register_replica();
        self.register_status_lists();
        self.register_suspicions();
    }

    fn register_store(&mut self) {
        let registry = &mut self.registry;
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
}
