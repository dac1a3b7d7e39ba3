//! The outcomes of one request under two filters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use regex_lite::Regex;

use crate::support::{Listener, Response};

/// The outcome of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: u16,
    /// The filter's own reason for the refusal: `Jwt_is_expired`, `token_expired`. [`ACCEPTED`]
    /// where the upstream has answered.
    pub(super) reason: String,
    /// What the upstream saw: the values of each header, method and path among them.
    pub(super) seen: BTreeMap<String, Vec<String>>,
    /// Whether the client was told anything but the status.
    is_told: bool,
}

/// The reason for a request that went through.
pub(super) const ACCEPTED: &str = "accepted";

/// The difference of two outcomes: first that of the native filter, then that of Portcullis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// The status of the reply.
    Status(u16, u16),
    /// A header that the upstream sees, with all its values.
    Header(String, Vec<String>, Vec<String>),
    /// Whether a refusal comes with a body or a challenge.
    Told(bool, bool),
}

impl Outcome {
    pub(super) fn of(reply: &Response) -> Self {
        if reply.status == 200 && reply.header(Listener::REASON).is_none() {
            return Self {
                status: 200,
                reason: ACCEPTED.to_owned(),
                seen: seen(reply),
                is_told: true,
            };
        }
        let details = reply.header(Listener::REASON).unwrap_or_default();
        let inner = details
            .split_once('{')
            .map(|(_, inner)| inner.trim_end_matches('}'));
        Self {
            status: reply.status,
            reason: inner.unwrap_or(details).to_owned(),
            seen: BTreeMap::new(),
            is_told: !reply.body.is_empty() || reply.header("www-authenticate").is_some(),
        }
    }

    pub(super) const fn is_accepted(&self) -> bool {
        self.status == 200
    }
}

impl Difference {
    /// With `<token>` where a token stands, so that it is the same on every run.
    pub(super) fn without_tokens(self) -> Self {
        let token = Regex::new(r"ey[\w-]+\.ey[\w-]+\.[\w-]+").expect("a pattern");
        let replaced = |values: Vec<String>| {
            let values = values.into_iter();
            let values = values.map(|value| token.replace_all(&value, "<token>").into_owned());
            values.collect()
        };
        match self {
            Self::Header(name, native, own) => Self::Header(name, replaced(native), replaced(own)),
            other => other,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.status, self.reason)
    }
}

pub(super) fn differences(native: &Outcome, own: &Outcome) -> Vec<Difference> {
    if native.status != own.status {
        return vec![Difference::Status(native.status, own.status)];
    }
    if native.is_told != own.is_told {
        return vec![Difference::Told(native.is_told, own.is_told)];
    }
    let names: BTreeSet<_> = native.seen.keys().chain(own.seen.keys()).collect();
    let values = |outcome: &Outcome, name: &str| outcome.seen.get(name).cloned();
    let difference = |name: &String| {
        let native = values(native, name).unwrap_or_default();
        let own = values(own, name).unwrap_or_default();
        (native != own).then(|| Difference::Header(name.clone(), native, own))
    };
    names.into_iter().filter_map(difference).collect()
}

/// Without the header that Envoy makes up for each request.
fn seen(reply: &Response) -> BTreeMap<String, Vec<String>> {
    let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in reply.forwarded().headers {
        if name != "x-request-id" {
            seen.entry(name).or_default().push(value);
        }
    }
    let line = reply.json();
    for part in ["method", "path"] {
        let text = line[part].as_str().expect("text").to_owned();
        seen.insert(format!(":{part}"), vec![text]);
    }
    seen
}
