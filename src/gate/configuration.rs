//! From the operator's configuration to a [`Policy`].
//!
//! The schema is that of Envoy's `JwtAuthentication` (snake case, JSON or YAML), with keys of our
//! own beside it. Unknown keys are refused, every fault is reported, and a configuration with a
//! fault gives no policy at all.

mod encoding;
mod keys;
mod reader;
mod revocation;

use std::time::Duration;

pub use reader::Fault;
use reader::{Fields, Node, Reading};

use super::extraction::HeaderLocation;
use super::policy::{Matcher, Policy, Provider, Requirement, Rule, comparable_audience};
use super::session::{ClaimHeader, SessionHeaders, canonical_name};
use crate::token::KeyRules;

/// Difference between the clocks of issuer and edge that is put up with, as in `jwt_authn`.
const DEFAULT_CLOCK_SKEW_SECONDS: u32 = 60;

/// What names the protection space in challenges (RFC 9110 section 11.5).
const DEFAULT_REALM: &str = "portcullis";

/// Prefix of the standard session headers.
const DEFAULT_SESSION_HEADER_PREFIX: &str = "x-session-";

/// Headers that carry the request itself. A claim must not be written over them.
const RESERVED_HEADERS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A policy, and what the operator should know about it although it is no fault.
#[derive(Debug)]
pub struct Configured {
    /// The policy.
    pub policy: Policy,
    /// Remarks, with their paths.
    pub warnings: Vec<Fault>,
}

/// Reads a configuration: JSON text, or an encoded `google.protobuf.Struct`. `environment` looks
/// up an environment variable of the virtual machine.
///
/// # Errors
///
/// Every [`Fault`], in the order of the text where that is known.
pub fn read(
    bytes: &[u8],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Configured, Vec<Fault>> {
    let value = encoding::decode(bytes).map_err(|error| {
        vec![Fault {
            path: String::new(),
            message: format!("expected a JSON object or a `google.protobuf.Struct`: {error}"),
        }]
    })?;
    let reading = Reading::new(environment);
    let policy = policy(&Node::root(&value, &reading));
    match (policy, reading.into_findings()) {
        (Some(policy), (faults, warnings)) if faults.is_empty() => {
            Ok(Configured { policy, warnings })
        }
        (_, (faults, _)) => Err(faults),
    }
}

fn policy(root: &Node<'_>) -> Option<Policy> {
    root.object(|fields| {
        let realm = fields.optional("realm").map(|node| realm(&node));
        let session_headers = session_headers(fields);
        let providers = providers(fields);
        let names: Vec<_> = providers.iter().map(|(name, _)| name.clone()).collect();
        let rules = rules(fields, &names);
        let allow_unmatched = fields.flag("allow_unmatched", false);
        let revocation = revocation::settings(fields);
        let providers: Vec<_> = providers
            .into_iter()
            .filter_map(|(_, provider)| provider)
            .collect();
        refuse_collisions(fields.node(), &providers, session_headers.as_ref());
        Some(Policy {
            injectable: injectable(&providers, session_headers.as_ref()),
            providers,
            rules,
            allow_unmatched,
            session_headers,
            revocation,
            realm: realm.unwrap_or_else(|| Some(DEFAULT_REALM.to_owned()))?,
        })
    })
}

/// Names with what could be made of them, so that rules can be checked against the names even
/// where a provider has a fault.
fn providers(fields: &mut Fields<'_>) -> Vec<(String, Option<Provider>)> {
    let entries = fields.required("providers").and_then(|node| {
        let entries: Vec<_> = node.entries()?.collect();
        if entries.is_empty() {
            node.fault("expected at least one provider");
        }
        Some(entries)
    });
    let entries = entries.unwrap_or_default().into_iter();
    entries
        .map(|(name, node)| (name.to_owned(), provider(name, &node)))
        .collect()
}

fn provider(name: &str, node: &Node<'_>) -> Option<Provider> {
    node.object(|fields| {
        let issuer = fields
            .optional("issuer")
            .map(|node| node.text().map(str::to_owned));
        let audiences = fields.texts("audiences");
        let rules = KeyRules::default();
        let keys = keys::source(fields, issuer.clone().flatten().as_deref(), &rules);
        let locations = locations(fields);
        let forward = fields.flag("forward", false);
        let claim_headers = claim_headers(fields);
        let clock_skew = fields.optional("clock_skew_seconds");
        let clock_skew =
            clock_skew.map_or(Some(DEFAULT_CLOCK_SKEW_SECONDS), |node| node.whole_number());
        let require_expiration = fields.flag("require_expiration", true);
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) || name.is_empty() {
            fields
                .node()
                .fault("expected a name of printable ASCII characters");
        }
        Some(Provider {
            name: name.to_owned(),
            issuer: issuer
                .unwrap_or(Some(String::new()))
                .filter(|issuer| !issuer.is_empty()),
            audiences: audiences
                .iter()
                .map(|text| comparable_audience(text).into())
                .collect(),
            keys: keys?,
            locations,
            forward,
            claim_headers,
            clock_skew: Duration::from_secs(clock_skew?.into()),
            require_expiration,
        })
    })
}

/// `realm` stands in a quoted string, in the characters that need no escape there.
fn realm(node: &Node<'_>) -> Option<String> {
    let text = node.text()?;
    let is_plain = |byte: u8| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\';
    if !text.bytes().all(is_plain) {
        node.fault("expected printable ASCII characters without `\"` and `\\`");
        return None;
    }
    Some(text.to_owned())
}

fn session_headers(fields: &mut Fields<'_>) -> Option<SessionHeaders> {
    let is_on = fields.flag("session_headers", false);
    let prefix = fields.optional("session_header_prefix");
    if let (false, Some(node)) = (is_on, &prefix) {
        node.fault("has no effect without `session_headers: true`");
    }
    let prefix = match prefix {
        Some(node) => header_name(&node)?,
        None => DEFAULT_SESSION_HEADER_PREFIX.to_owned(),
    };
    is_on.then(|| SessionHeaders::new(&prefix))
}

/// A field name (RFC 9110 section 5.1) in lower case.
fn header_name(node: &Node<'_>) -> Option<String> {
    let name = node.text()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        node.fault("expected the name of a header");
        return None;
    }
    Some(name.to_ascii_lowercase())
}

fn locations(fields: &mut Fields<'_>) -> Vec<HeaderLocation> {
    let locations: Vec<_> = fields
        .list("from_headers")
        .iter()
        .filter_map(location)
        .collect();
    if locations.is_empty() {
        return vec![HeaderLocation::authorization()];
    }
    locations
}

fn location(node: &Node<'_>) -> Option<HeaderLocation> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| header_name(&node));
        let prefix = fields
            .optional("value_prefix")
            .map(|node| node.string().map(str::to_owned));
        Some(HeaderLocation {
            name: name?,
            prefix: prefix.unwrap_or(Some(String::new()))?,
        })
    })
}

fn claim_headers(fields: &mut Fields<'_>) -> Vec<ClaimHeader> {
    let mut headers: Vec<ClaimHeader> = Vec::new();
    for node in fields.list("claim_to_headers") {
        let Some(header) = claim_header(&node) else {
            continue;
        };
        let name = canonical_name(&header.header);
        if RESERVED_HEADERS.contains(&name.as_str()) {
            node.fault(format!(
                "`{name}` carries the request itself and cannot hold a claim"
            ));
        } else if headers
            .iter()
            .any(|earlier| canonical_name(&earlier.header) == name)
        {
            node.fault(format!("`{name}` is already filled from another claim"));
        }
        headers.push(header);
    }
    headers
}

fn claim_header(node: &Node<'_>) -> Option<ClaimHeader> {
    node.object(|fields| {
        let header = fields
            .required("header_name")
            .and_then(|node| header_name(&node));
        let claim = fields.required("claim_name").and_then(|node| node.text());
        Some(ClaimHeader {
            header: header?,
            path: claim?.split('.').map(str::to_owned).collect(),
        })
    })
}

fn rules(fields: &mut Fields<'_>, providers: &[String]) -> Vec<Rule> {
    let elements = fields.list("rules");
    elements
        .iter()
        .filter_map(|node| rule(node, providers))
        .collect()
}

fn rule(node: &Node<'_>, providers: &[String]) -> Option<Rule> {
    node.object(|fields| {
        let matcher = fields.required("match").and_then(|node| matcher(&node));
        let requirement = fields.optional("requires");
        let requirement = requirement.map_or(Some(Requirement::Nothing), |node| {
            requirement_of(&node, providers)
        });
        Some(Rule {
            matcher: matcher?,
            requirement: requirement?,
        })
    })
}

fn matcher(node: &Node<'_>) -> Option<Matcher> {
    node.object(|fields| {
        let prefix = fields.optional("prefix");
        let path = fields.optional("path");
        match (prefix, path) {
            (Some(node), None) => Some(Matcher::Prefix(node.string()?.to_owned())),
            (None, Some(node)) => Some(Matcher::Path(node.text()?.to_owned())),
            _ => {
                fields.node().fault("expected either `prefix` or `path`");
                None
            }
        }
    })
}

/// `requires: {}` asks for nothing, as in `jwt_authn`.
fn requirement_of(node: &Node<'_>, providers: &[String]) -> Option<Requirement> {
    node.object(|fields| {
        let Some(node) = fields.optional("provider_name") else {
            return Some(Requirement::Nothing);
        };
        let name = node.text()?;
        let place = providers.iter().position(|provider| provider == name);
        if place.is_none() {
            node.fault(format!("no provider is called `{}`", name.escape_debug()));
        }
        place.map(Requirement::Provider)
    })
}

/// The names that headers are injected under, in the spelling that their aliases share.
fn injectable(providers: &[Provider], session: Option<&SessionHeaders>) -> Vec<String> {
    let claims = providers
        .iter()
        .flat_map(|provider| &provider.claim_headers);
    let claims = claims.map(|header| header.header.as_str());
    let session = session.into_iter().flat_map(SessionHeaders::names);
    let mut names: Vec<_> = claims.chain(session).map(canonical_name).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// A header cannot be both: where tokens come in and where claims go out. The client's token would
/// be stripped as a spoofed claim. Nor can it be filled twice.
fn refuse_collisions(root: &Node<'_>, providers: &[Provider], session: Option<&SessionHeaders>) {
    let injected = injectable(providers, session);
    for provider in providers {
        for location in &provider.locations {
            if injected.contains(&canonical_name(&location.name)) {
                root.fault(format!(
                    "`{}` is where provider `{}` looks for tokens, so no claim can go there",
                    location.name, provider.name
                ));
            }
        }
        for header in &provider.claim_headers {
            let name = canonical_name(&header.header);
            let names = session.into_iter().flat_map(SessionHeaders::names);
            if names.map(canonical_name).any(|session| session == name) {
                root.fault(format!(
                    "`{name}` is filled by `session_headers` and by provider `{}`",
                    provider.name
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests;
