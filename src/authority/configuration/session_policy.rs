//! `session_policy` of an issuer: when its sessions end by themselves.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::duration::duration;
use crate::authority::sessions::MAX_SESSIONS_OF_SUBJECT;
use crate::authority::{ClientRules, OnExcess, SessionPolicy, SessionRules};
use crate::configuration::{Fields, Node, Read};

/// Edges report once a minute, and what they have reported counts some minutes later.
const SHORT: Duration = Duration::from_mins(5);

/// The registry does not know whether a subject has more.
const MOST_SESSIONS: u32 = 999;

const _: () = assert!(MAX_SESSIONS_OF_SUBJECT == MOST_SESSIONS as usize + 1);

/// The policy of an issuer; without the key no session ends by itself.
pub(super) fn session_policy(fields: &mut Fields<'_>) -> Read<Option<SessionPolicy>> {
    fields.optional("session_policy").map(policy).transpose()
}

fn policy(node: Node<'_>) -> Read<SessionPolicy> {
    node.object(|fields| {
        let clients = fields.optional("clients");
        let (general, _) = rules(fields, &SessionRules::default())?;
        let policy = SessionPolicy {
            general,
            clients: match clients {
                Some(node) => of_clients(node, &general)?,
                None => BTreeMap::new(),
            },
        };
        let ends_nothing = |rules: &SessionRules| *rules == SessionRules::default();
        if policy.all().all(ends_nothing) {
            let expected = "expected `idle_timeout`, `max_session_age` or `max_sessions`";
            return Err(fields.node().fault(expected));
        }
        Ok(policy)
    })
}

fn of_clients(node: Node<'_>, general: &SessionRules) -> Read<BTreeMap<String, ClientRules>> {
    let mut clients = BTreeMap::new();
    for (client, node) in node.entries()? {
        let rules = node.object(|fields| {
            let (rules, own_number) = rules(fields, general)?;
            Ok(ClientRules {
                rules,
                is_counted_alone: own_number.is_some(),
            })
        });
        clients.insert(client.to_owned(), rules?);
    }
    Ok(clients)
}

/// What counts here, by what is written here or else otherwise, and the number of sessions if it is
/// written here.
fn rules(
    fields: &mut Fields<'_>,
    otherwise: &SessionRules,
) -> Read<(SessionRules, Option<NonZeroU32>)> {
    let idle_timeout = fields.optional("idle_timeout").map(idle_timeout);
    let max_session_age = fields.optional("max_session_age").map(duration);
    let max_sessions = fields.optional("max_sessions").map(max_sessions);
    let own_number = max_sessions.transpose()?;
    let max_sessions = own_number.or(otherwise.max_sessions);
    if max_sessions.is_none() {
        fields.refused("on_excess", "expected `max_sessions` beside it");
    }
    let rules = SessionRules {
        idle_timeout: idle_timeout.transpose()?.or(otherwise.idle_timeout),
        max_session_age: max_session_age.transpose()?.or(otherwise.max_session_age),
        max_sessions,
        on_excess: fields.strict_word("on_excess", &ON_EXCESS, otherwise.on_excess),
    };
    Ok((rules, own_number))
}

fn idle_timeout(node: Node<'_>) -> Read<Duration> {
    let timeout = duration(node)?;
    if timeout < SHORT {
        node.warning(
            "is less than five minutes; edges report once a minute unless told otherwise, and a \
             session ends some minutes after its timeout",
        );
    }
    Ok(timeout)
}

fn max_sessions(node: Node<'_>) -> Read<NonZeroU32> {
    let number = NonZeroU32::new(node.whole_number()?);
    let number = number.filter(|number| number.get() <= MOST_SESSIONS);
    number.ok_or_else(|| node.fault(format!("expected a number from 1 to {MOST_SESSIONS}")))
}

const ON_EXCESS: [(&str, OnExcess); 2] = [
    ("end_oldest", OnExcess::EndOldest),
    ("refuse", OnExcess::Refuse),
];
