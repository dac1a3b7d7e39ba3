//! `streams`: streams of security events (OpenID Shared Signals Framework 1.0): who sends them, how they
//! come, and which of them end what.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::SignalIssuer;
use super::secrets::{SecretSource, secret_source};
use super::transmitter::{Poll, TransmitterSettings, poll, transmitter};
use crate::authority::configuration::{duration, name};
use crate::authority::signals::events::{Action, EventName};
use crate::configuration::{Fields, Node, Read, all, each_once};

/// One stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stream {
    /// What it is called here, in paths, records and metrics.
    pub name: String,
    /// `iss` of its tokens, one of the issuers of the file.
    pub issuer: String,
    /// `aud` of its tokens has to have one of these.
    pub audiences: Vec<String>,
    /// How its tokens come.
    pub delivery: Delivery,
    /// Where they come from. None where that sends them, and is managed elsewhere.
    pub transmitter: Option<TransmitterSettings>,
    /// Members of complex subjects that its transmitter calls critical: an event with one of them to
    /// which what is revoked cannot be limited is refused.
    pub critical_subject_members: Vec<String>,
    /// What its transmitter calls the tenants whose users have all tokens of the issuer: limited to one of
    /// them is what is limited to the issuer.
    pub tenants: Vec<String>,
    /// How old a token may be.
    pub max_age: Duration,
    /// What is done about events.
    pub events: EventActions,
}

/// How the tokens of a stream come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The transmitter sends them (RFC 8935).
    Push(Push),
    /// The transmitter is asked for them (RFC 8936).
    Poll(Poll),
}

impl Delivery {
    /// Where the transmitter is asked, if the file says so.
    #[must_use]
    pub fn poll_endpoint(&self) -> Option<&str> {
        match self {
            Self::Push(_) => None,
            Self::Poll(poll) => poll.endpoint.as_deref(),
        }
    }
}

/// A stream whose transmitter sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Where the value is that `Authorization` has to have, where one was agreed on.
    pub authorization: Option<SecretSource>,
}

/// What is done about events of each type.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventActions {
    /// Those that are not as they are by default.
    changed: Vec<(EventName, Action)>,
}

impl EventActions {
    /// What is done about events of this type.
    #[must_use]
    pub(in crate::authority::signals) fn of(&self, event: EventName) -> Action {
        let mut changed = self.changed.iter();
        let changed = changed.find(|(name, _)| *name == event);
        changed.map_or_else(|| event.default_action(), |(_, action)| *action)
    }

    #[cfg(test)]
    pub(in crate::authority::signals) fn with(changed: &[(EventName, Action)]) -> Self {
        Self {
            changed: changed.to_vec(),
        }
    }
}

/// A transmitter that was out of reach delivers what it has kept, for some days as a rule.
const DEFAULT_MAX_AGE: Duration = Duration::from_hours(7 * 24);

/// What is remembered of every token is remembered for as long.
const MAX_AGES: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(31 * 24);

/// The longest name of a stream.
const MOST_NAME_BYTES: usize = 64;

/// The section. Of issuers in which there is a fault, none are known.
pub(super) fn streams(
    fields: &mut Fields<'_>,
    issuers: Option<&[SignalIssuer]>,
    directory: &Path,
) -> Read<Vec<Stream>> {
    let Some(node) = fields.optional("streams") else {
        return Ok(Vec::new());
    };
    each_once(
        node.some_elements("stream")?,
        |node| stream(node, issuers, directory),
        |stream| stream.name.as_str(),
    )
}

fn stream(node: Node<'_>, issuers: Option<&[SignalIssuer]>, directory: &Path) -> Read<Stream> {
    node.object(|fields| {
        let name = fields.required("name").and_then(stream_name);
        let issuer = fields.required("issuer").and_then(|node| {
            let issuer = node.text()?;
            let is_known = |all: &[SignalIssuer]| all.iter().any(|known| known.issuer == issuer);
            if issuers.is_none_or(is_known) {
                return Ok(issuer.to_owned());
            }
            Err(node.fault("expected one of `issuers`, whose keys its tokens are signed with"))
        });
        let audiences = audiences(fields);
        let delivery = fields
            .required("delivery")
            .and_then(|node| node.object(|fields| delivery(fields, directory)));
        let transmitter = transmitter_of(fields, directory);
        if let (Ok(delivery), Ok(transmitter)) = (&delivery, &transmitter) {
            check_transmitter(fields, delivery, transmitter.as_ref());
        }
        let critical_subject_members = fields.texts("critical_subject_members");
        let tenants = fields.texts("tenants");
        let max_age = max_age(fields);
        let events = events(fields);
        Ok(Stream {
            name: name?,
            issuer: issuer?,
            audiences: audiences?,
            delivery: delivery?,
            transmitter: transmitter?,
            critical_subject_members,
            tenants,
            max_age: max_age?,
            events: events?,
        })
    })
}

/// What can stand in a path and in a label as it is.
fn stream_name(node: Node<'_>) -> Read<String> {
    let text = node.text()?;
    let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if text.len() <= MOST_NAME_BYTES && text.bytes().all(is_fit) {
        return Ok(text.to_owned());
    }
    Err(node.fault("expected at most 64 of `a` to `z`, `0` to `9` and `-`"))
}

fn audiences(fields: &mut Fields<'_>) -> Read<Vec<String>> {
    let node = fields.required("audiences")?;
    let nodes = node.some_elements("audience")?;
    all(nodes, name)
}

fn delivery(fields: &mut Fields<'_>, directory: &Path) -> Read<Delivery> {
    let (is_pushed, node) = fields.one_of(&[("push", true), ("poll", false)])?;
    if !is_pushed {
        return poll(node).map(Delivery::Poll);
    }
    node.object(|fields| {
        let authorization = fields.optional("authorization");
        let authorization = authorization.map(|node| secret_source(node, directory));
        Ok(Delivery::Push(Push {
            authorization: authorization.transpose()?,
        }))
    })
}

fn transmitter_of(fields: &mut Fields<'_>, directory: &Path) -> Read<Option<TransmitterSettings>> {
    let node = fields.optional("transmitter");
    node.map(|node| transmitter(node, directory)).transpose()
}

/// What is polled has to be known, and what would have no effect is a fault.
fn check_transmitter(
    fields: &Fields<'_>,
    delivery: &Delivery,
    transmitter: Option<&TransmitterSettings>,
) {
    let node = fields.node();
    let is_managed = transmitter.is_some_and(|transmitter| transmitter.manage);
    match delivery {
        Delivery::Poll(_) if transmitter.is_none() => {
            let message = "`transmitter` is missing: whom to poll, and what to show it";
            let _ = node.fault(message);
        }
        Delivery::Poll(poll) if !is_managed && poll.endpoint.is_none() => {
            let message = "`delivery.poll.endpoint` is missing, which only the transmitter of a \
                           stream that is managed from here can tell";
            let _ = node.fault(message);
        }
        Delivery::Push(_) if transmitter.is_some() && !is_managed => {
            let message = "`transmitter` has no effect on a stream that is pushed and not managed";
            let _ = node.fault(message);
        }
        _ => {}
    }
}

fn max_age(fields: &mut Fields<'_>) -> Read<Duration> {
    let Some(node) = fields.optional("max_age") else {
        return Ok(DEFAULT_MAX_AGE);
    };
    let max_age = duration(node)?;
    if !MAX_AGES.contains(&max_age) {
        return Err(node.fault("expected a duration from a minute to 31 days"));
    }
    Ok(max_age)
}

fn events(fields: &mut Fields<'_>) -> Read<EventActions> {
    let Some(node) = fields.optional("events") else {
        return Ok(EventActions::default());
    };
    node.object(|fields| {
        let mut changed = Vec::new();
        for event in EventName::all_that_may_act() {
            if let Some(node) = fields.optional(event.key())
                && let Ok(action) = node.word(&ACTIONS)
            {
                changed.push((event, action));
            }
        }
        Ok(EventActions { changed })
    })
}

const ACTIONS: [(&str, Action); 2] = [("revoke", Action::Revoke), ("record", Action::Record)];
