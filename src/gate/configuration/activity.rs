//! The `activity` key: what the authority is told of the use of sessions.

use std::time::Duration;

use crate::configuration::{Fields, Node, Read};
use crate::gate::policy::{ActivityRules, Detail, StreamUse};

const DEFAULT_INTERVAL: Duration = Duration::from_mins(1);

/// Shorter ones would have the authority write more than there is to know.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// With longer ones, a session in use could be taken for one that is idle.
const LONGEST_INTERVAL: Duration = Duration::from_hours(1);

/// The rules, in a configuration with or without `revocation`; `None` where nothing is told.
pub(super) fn rules(fields: &mut Fields<'_>, has_revocation: bool) -> Read<Option<ActivityRules>> {
    let node = fields.optional("activity");
    node.map_or(Ok(None), |node| rules_of(node, has_revocation))
}

fn rules_of(node: Node<'_>, has_revocation: bool) -> Read<Option<ActivityRules>> {
    node.object(|fields| {
        let reports = fields.required("report").and_then(Node::boolean);
        let rules = ActivityRules {
            interval: interval(fields),
            network: detail(fields, "network", &NETWORKS),
            user_agent: detail(fields, "user_agent", &AGENTS),
            streams: fields.strict_word("streams", &STREAMS, StreamUse::Count),
        };
        let reports = reports?;
        if reports && !has_revocation {
            node.fault("expected `revocation` beside it, whose authority is told");
        }
        Ok(reports.then_some(rules))
    })
}

fn interval(fields: &mut Fields<'_>) -> Duration {
    let Some(node) = fields.optional("interval") else {
        return DEFAULT_INTERVAL;
    };
    let interval = node.duration().unwrap_or(DEFAULT_INTERVAL);
    if !(SHORTEST_INTERVAL..=LONGEST_INTERVAL).contains(&interval) {
        node.fault("expected from `1s` to `3600s`");
    }
    interval
}

/// `null` is a fault: in place of `none` it would tell more than is meant.
fn detail(fields: &mut Fields<'_>, key: &'static str, words: &[(&str, Detail)]) -> Detail {
    fields.strict_word(key, words, Detail::Coarse)
}

const NETWORKS: [(&str, Detail); 3] = [
    ("prefix", Detail::Coarse),
    ("none", Detail::None),
    ("full", Detail::Full),
];

const STREAMS: [(&str, StreamUse); 2] =
    [("count", StreamUse::Count), ("ignore", StreamUse::Ignore)];

const AGENTS: [(&str, Detail); 2] = [("family", Detail::Coarse), ("none", Detail::None)];
