//! The `streams` key: what becomes of requests in progress whose token ends.

use crate::configuration::{Fields, Node, Read};
use crate::gate::policy::{StreamRule, StreamRules};

/// The rules, in a configuration with or without `revocation`.
pub(super) fn rules(fields: &mut Fields<'_>, has_revocation: bool) -> Read<StreamRules> {
    let node = fields.optional("streams");
    node.map_or_else(
        || Ok(StreamRules::default()),
        |node| rules_of(node, has_revocation),
    )
}

fn rules_of(node: Node<'_>, has_revocation: bool) -> Read<StreamRules> {
    node.object(|fields| {
        let defaults = StreamRules::default();
        let on_revocation = rule(fields, "on_revocation", defaults.on_revocation);
        if !has_revocation && on_revocation == StreamRule::Close {
            let hint = "expected `revocation` beside it, without which no token is revoked";
            fields.refused("on_revocation", hint);
        }
        let on_expiry = rule(fields, "on_expiry", defaults.on_expiry);
        if on_expiry == StreamRule::Keep {
            fields.refused("expiry_grace", "expected `on_expiry: close` beside it");
        }
        let expiry_grace = fields.grace("expiry_grace", defaults.expiry_grace);
        Ok(StreamRules {
            on_revocation,
            on_expiry,
            expiry_grace,
        })
    })
}

/// `null` is a fault: in place of `close` it would keep streams that are meant to end.
fn rule(fields: &mut Fields<'_>, key: &'static str, default: StreamRule) -> StreamRule {
    fields.strict_word(key, &WORDS, default)
}

const WORDS: [(&str, StreamRule); 2] = [("close", StreamRule::Close), ("keep", StreamRule::Keep)];
