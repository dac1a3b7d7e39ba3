//! `suspicion`: from where on a session looks stolen, and what is done then.

use std::time::Duration;

use super::duration::duration;
use crate::authority::sessions::Network;
use crate::authority::sessions::suspicion::{
    Alternation, MAX_MINUTES, MAX_RATE_MINUTES, Policy, Rate, Reaction, Reactions, Thresholds,
};
use crate::configuration::{Fields, Node, Read};

/// Bits of an address, as far as networks are compared.
const PREFIXES: (usize, usize) = (8, 32);

/// Changes of network, and of how many minutes they are counted.
const CHANGES: (usize, usize) = (2, MAX_MINUTES as usize);

/// Fewer requests than a person makes would find everybody.
const REQUESTS: (usize, usize) = (60, 60_000);

const TIMES: (usize, usize) = (1, 1_000);

/// The section. Without it, or what is left out of it, the defaults count.
pub(super) fn suspicion(fields: &mut Fields<'_>) -> Read<Policy> {
    let Some(node) = fields.optional("suspicion") else {
        return Ok(Policy::default());
    };
    node.object(|fields| {
        let general = fields.strict_word("on_suspicion", &REACTIONS, Reaction::Report);
        let Thresholds {
            networks,
            clients,
            rate,
            ipv4_prefix,
            ipv6_prefix,
            ..
        } = Thresholds::default();
        let networks = alternation(fields, "networks", networks, general);
        let clients = alternation(fields, "clients", clients, general);
        let rate = self::rate(fields, rate, general);
        let thresholds = Thresholds {
            networks: networks.0,
            clients: clients.0,
            rate: rate.0,
            ipv4_prefix: small(fields, "ipv4_prefix", PREFIXES, ipv4_prefix),
            ipv6_prefix: small(fields, "ipv6_prefix", PREFIXES, ipv6_prefix),
            ignored_networks: fields.each("ignore_networks", network),
            ignored_user_agents: fields.texts("ignore_user_agents"),
        };
        Ok(Policy {
            thresholds,
            reactions: Reactions {
                networks: networks.1,
                clients: clients.1,
                rate: rate.1,
            },
        })
    })
}

const REACTIONS: [(&str, Reaction); 2] = [("report", Reaction::Report), ("end", Reaction::End)];

/// What may be said for one kind, where it may be left alone too.
const REACTIONS_OR_NONE: [(&str, Option<Reaction>); 3] = [
    ("report", Some(Reaction::Report)),
    ("end", Some(Reaction::End)),
    ("ignore", None),
];

/// What counts for a kind, with what is done about it; `None` where it is ignored.
fn kind<T: Copy>(
    fields: &mut Fields<'_>,
    key: &'static str,
    default: Option<T>,
    general: Reaction,
    read: impl FnOnce(&mut Fields<'_>, T) -> Read<T>,
) -> (Option<T>, Reaction) {
    let Some((node, default)) = fields.optional(key).zip(default) else {
        return (default, general);
    };
    let outcome = node.object(|fields| {
        let reaction = fields.strict_word("on_suspicion", &REACTIONS_OR_NONE, Some(general));
        let threshold = read(fields, default)?;
        Ok((reaction.map(|_| threshold), reaction.unwrap_or(general)))
    });
    outcome.unwrap_or((Some(default), general))
}

fn alternation(
    fields: &mut Fields<'_>,
    key: &'static str,
    default: Option<Alternation>,
    general: Reaction,
) -> (Option<Alternation>, Reaction) {
    kind(fields, key, default, general, |fields, default| {
        Ok(Alternation {
            changes: small(fields, "changes", CHANGES, default.changes),
            minutes: minutes(fields, MAX_MINUTES, default.minutes)?,
        })
    })
}

fn rate(
    fields: &mut Fields<'_>,
    default: Option<Rate>,
    general: Reaction,
) -> (Option<Rate>, Reaction) {
    kind(fields, "rate", default, general, |fields, default| {
        let mut number = |key, bounds, default: u16| {
            let number = fields.number(key, bounds, default.into());
            u16::try_from(number).unwrap_or(u16::MAX)
        };
        Ok(Rate {
            requests_per_minute: number(
                "requests_per_minute",
                REQUESTS,
                default.requests_per_minute,
            ),
            times_usual: number("times_usual", TIMES, default.times_usual),
            minutes: minutes(fields, MAX_RATE_MINUTES, default.minutes)?,
        })
    })
}

/// `within`, in whole minutes.
fn minutes(fields: &mut Fields<'_>, most: u8, default: u8) -> Read<u8> {
    let Some(node) = fields.optional("within") else {
        return Ok(default);
    };
    let within = duration(node)?;
    let minutes = (1..=most).find(|minutes| Duration::from_mins((*minutes).into()) == within);
    minutes.ok_or_else(|| node.fault(format!("expected whole minutes from 1m to {most}m")))
}

fn small(fields: &mut Fields<'_>, key: &'static str, bounds: (usize, usize), default: u8) -> u8 {
    let number = fields.number(key, bounds, default.into());
    u8::try_from(number).unwrap_or(default)
}

fn network(node: Node<'_>) -> Read<Network> {
    let network = node.text()?.parse();
    network.map_err(|error: crate::authority::sessions::NetworkError| node.fault(error.to_string()))
}

#[cfg(test)]
mod tests;
