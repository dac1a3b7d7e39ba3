//! The headers that the gate sets, and what cannot be one of them.

use super::claims::RESERVED_HEADERS;
use crate::configuration::{Fields, Node, Read, joined};
use crate::gate::alias::{canonical_name, is_alias, starts_as};
use crate::gate::dpop;
use crate::gate::extraction::Location;
use crate::gate::own_headers::OwnHeaders;
use crate::gate::policy::{BoundTo, Policy, Provider, Requirement, SessionHeaders, Unfit};
use crate::gate::xfcc;

/// Prefix of the standard session headers.
const DEFAULT_SESSION_HEADER_PREFIX: &str = "x-session-";

/// Headers that requests must not lose, besides those that carry them: one of every family that
/// clients, proxies and Envoy itself set.
const NEEDED_HEADERS: [&str; 22] = [
    "accept-encoding",
    "access-control-request-method",
    "authorization",
    "b3",
    "cache-control",
    "content-type",
    "cookie",
    "forwarded",
    "if-none-match",
    "origin",
    "range",
    "referer",
    "sec-websocket-key",
    "traceparent",
    "user-agent",
    "via",
    "x-b3-traceid",
    "x-envoy-original-path",
    "x-forwarded-for",
    "x-ot-span-context",
    "x-real-ip",
    "x-request-id",
];

pub(super) fn session_headers(fields: &mut Fields<'_>) -> Read<Option<SessionHeaders>> {
    let is_on = fields.flag("session_headers", false);
    let prefix = fields.optional("session_header_prefix");
    let unfit = fields.nullable("unfit_session_headers");
    for node in prefix.iter().chain(&unfit).filter(|_| !is_on) {
        node.fault("has no effect without `session_headers: true`");
    }
    let words = [("refuse", Unfit::Refuse), ("omit", Unfit::Omit)];
    let unfit = unfit.map_or(Ok(Unfit::Refuse), |node| node.word(&words));
    let prefix = match prefix {
        Some(node) => {
            let prefix = header_name(node)?;
            if is_on {
                refuse_wide_prefix(node, &prefix);
            }
            prefix
        }
        None => DEFAULT_SESSION_HEADER_PREFIX.to_owned(),
    };
    let unfit = unfit?;
    Ok(is_on.then(|| SessionHeaders::new(&prefix, unfit)))
}

/// Everything with the prefix is removed from every request, which must not lose what it is made
/// of.
fn refuse_wide_prefix(node: Node<'_>, prefix: &str) {
    let mut needed = NEEDED_HEADERS.iter().chain(&RESERVED_HEADERS);
    if let Some(name) = needed.find(|name| starts_as(prefix, name.as_bytes())) {
        node.fault(format!(
            "everything that begins with `{prefix}` would be removed from every request, \
             `{name}` too"
        ));
    }
}

/// A field name (RFC 9110 section 5.1) in lower case.
pub(super) fn header_name(node: Node<'_>) -> Read<String> {
    let name = node.text_of("the name of a header", |byte| {
        byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
    });
    name.map(str::to_ascii_lowercase)
}

/// Every header that may be set, and everything else with the prefix of the session headers.
pub(super) fn own_headers(providers: &[Provider], session: Option<&SessionHeaders>) -> OwnHeaders {
    let prefix = session.map(|session| &*session.prefix);
    OwnHeaders::new(
        prefix,
        providers.iter().flat_map(injected_by),
        providers.iter().flat_map(token_headers),
    )
}

/// The headers by which it is known that a token is its sender's.
fn headers_that_are_looked_at(provider: &Provider) -> impl Iterator<Item = &str> {
    let bound = provider.bound_claims.iter();
    let bound = bound.filter_map(|claim| match &claim.to {
        BoundTo::Header(name) => Some(name.as_str()),
        BoundTo::Connection(_) | BoundTo::FilterState(_) => None,
    });
    let proof = provider.possession.dpop().map(|_| dpop::HEADER);
    let forwarded = provider.possession.believes_forwarders();
    let forwarded = forwarded.then_some(xfcc::HEADER);
    bound.chain(proof).chain(forwarded)
}

/// The headers that carry a provider's tokens.
fn token_headers(provider: &Provider) -> impl Iterator<Item = &str> {
    let locations = provider.locations.iter();
    locations.filter_map(|location| match location {
        Location::Header(header) => Some(header.name.as_str()),
        _ => None,
    })
}

fn injected_by(provider: &Provider) -> impl Iterator<Item = &str> {
    let claims = provider.claim_headers.iter();
    let payload = provider.payload_header.iter();
    claims
        .map(|header| header.header.as_str())
        .chain(payload.map(|header| header.name.as_str()))
}

/// What a header says, and whose session it is, must not depend on which token of a request counts.
pub(super) fn refuse_ambiguous(fields: &Fields<'_>, policy: &Policy) {
    let Policy {
        providers,
        filter_state_rules,
        routes,
        ..
    } = policy;
    refuse_collisions(fields.node(), policy);
    let rules = policy.rules.iter().enumerate();
    let rules = rules.map(|(index, rule)| (format!("rules[{index}]"), &rule.requirement));
    let mapped = routes.requirements.iter();
    let mapped = mapped.map(|(name, one)| (joined("requirement_map", name), one));
    let by_filter_state = filter_state_rules.iter();
    let by_filter_state = by_filter_state.flat_map(|rules| &rules.requirements);
    let by_filter_state =
        by_filter_state.map(|(name, one)| (joined("filter_state_rules.requires", name), one));
    for (path, requirement) in rules.chain(mapped).chain(by_filter_state) {
        if policy.session_headers.is_some() && requirement.has_uncertain_session() {
            // The session is that of the first token. If that one may be missing, the sender
            // chooses by leaving it out which token counts.
            fields.fault_at(
                path,
                "the session would be the one of another token when the first token of \
                 `requires_all`, which is optional, is missing; hint: put it behind the others",
            );
        }
        refuse_joint_headers(fields.node(), requirement, providers);
    }
}

/// A header cannot both carry tokens in and carry claims out: the client's token would be stripped
/// as a spoofed claim. Nor can it be filled twice.
fn refuse_collisions(root: Node<'_>, policy: &Policy) {
    let session = policy.session_headers.as_ref();
    let own = &policy.own_headers;
    for provider in &policy.providers {
        for name in token_headers(provider).filter(|name| own.has(name.as_bytes())) {
            let below = session.filter(|session| starts_as(&session.prefix, name.as_bytes()));
            let why = match below {
                Some(session) => {
                    format!("and `{}` begins what only the gate may set", session.prefix)
                }
                None => "so no claim can go there".to_owned(),
            };
            root.fault(format!(
                "`{name}` is where provider `{}` looks for tokens, {why}",
                provider.name
            ));
        }
        let carries_tokens = |name: &str| {
            let mut tokens = policy.providers.iter().flat_map(token_headers);
            tokens.any(|token| is_alias(token, name.as_bytes()))
        };
        for name in headers_that_are_looked_at(provider) {
            if own.has(name.as_bytes()) || carries_tokens(name) {
                root.fault(format!(
                    "`{name}` carries tokens or is one that only the gate may set, and provider `{}` looks at it \
                     for what proves that a token is the sender's",
                    provider.name
                ));
            }
        }
        let payload = provider.payload_header.as_ref().map(|header| &header.name);
        let mut claims = provider.claim_headers.iter();
        if let Some(name) = payload
            && claims.any(|claim| is_alias(&claim.header, name.as_bytes()))
        {
            root.fault(format!(
                "`{name}` is filled by `forward_payload_header` and by `claim_to_headers` of \
                 provider `{}`",
                provider.name
            ));
        }
        for name in injected_by(provider) {
            let mut names = session.into_iter().flat_map(SessionHeaders::names);
            if names.any(|session| is_alias(session, name.as_bytes())) {
                let name = canonical_name(name);
                root.fault(format!(
                    "`{name}` is filled by `session_headers` and by provider `{}`",
                    provider.name
                ));
            }
        }
    }
}

/// Two tokens of one request must not go into one header: which of them would an upstream read?
fn refuse_joint_headers(root: Node<'_>, requirement: &Requirement, providers: &[Provider]) {
    let children = match requirement {
        Requirement::All(children) => children,
        Requirement::Any(alternatives) => &alternatives.requirements,
        _ => return,
    };
    for child in children {
        refuse_joint_headers(root, child, providers);
    }
    if let Requirement::Any(_) = requirement {
        return;
    }
    let names = |child: &Requirement| {
        let indices = child.providers(true).into_iter();
        let used = indices.filter_map(|index| Some((index, providers.get(index)?)));
        let named = used.flat_map(|(index, provider)| {
            injected_by(provider).map(move |name| (index, canonical_name(name)))
        });
        named.collect::<Vec<_>>()
    };
    let mut earlier: Vec<(usize, String)> = Vec::new();
    for child in children {
        let names = names(child);
        for (index, name) in &names {
            if earlier
                .iter()
                .any(|(other, known)| other != index && known == name)
            {
                root.fault(format!(
                    "`{name}` would be filled from two tokens that `requires_all` asks for"
                ));
            }
        }
        earlier.extend(names);
    }
}
