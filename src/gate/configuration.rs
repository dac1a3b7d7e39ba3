//! From the operator's configuration to a [`Policy`].
//!
//! The schema is that of Envoy's `JwtAuthentication` (snake case, JSON or YAML), with keys of our
//! own beside it. Unknown keys are refused, every fault is reported, and a configuration with a
//! fault gives no policy at all.

mod answers;
mod claims;
mod encoding;
#[cfg(not(target_family = "wasm"))]
mod inspection;
mod keys;
mod matchers;
mod provider;
mod reader;
mod records;
mod requirement;
#[cfg(not(target_family = "wasm"))]
mod review;
mod revocation;
mod rules;

#[cfg(not(target_family = "wasm"))]
pub use inspection::{Inspection, inspect};
pub use reader::{Fault, Variable};
use reader::{Fields, Node, Read, Reading, boolean_or, joined};
#[cfg(not(any(target_family = "wasm", fuzzing)))]
pub(crate) use reader::{boolean, joined as joined_path, whole};

use serde_json::Value;

use super::alias::{canonical_name, is_alias, starts_as};
use super::extraction::Location;
use super::own_headers::OwnHeaders;
use super::policy::{FilterStateRules, IssuedAhead, Policy, Provider, Requirement, Routes, Rule};
use super::session::{SessionHeaders, Unfit};

/// Prefix of the standard session headers.
const DEFAULT_SESSION_HEADER_PREFIX: &str = "x-session-";

/// Headers that requests are not to lose, beside those that carry them: one of every family that
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
/// Every [`Fault`], in the order of the text where that is known. Whatever stands in a
/// configuration and cannot be read is one, `null` and a variable that is not set included.
pub fn read(
    bytes: &[u8],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Configured, Vec<Fault>> {
    let value = decoded(bytes).map_err(|fault| vec![fault])?;
    let environment = |name: &str| environment(name).map_or(Variable::Unset, Variable::Set);
    let reading = Reading::new(&environment);
    let policy = policy(&Node::root(&value, &reading));
    let (faults, warnings) = reading.into_findings();
    match policy {
        Ok(policy) if faults.is_empty() => Ok(Configured { policy, warnings }),
        _ => Err(faults),
    }
}

fn decoded(bytes: &[u8]) -> Result<Value, Fault> {
    encoding::decode(bytes).map_err(|error| Fault {
        path: String::new(),
        message: format!("expected a JSON object or a `google.protobuf.Struct`: {error}"),
    })
}

fn policy(root: &Node<'_>) -> Read<Policy> {
    root.object(|fields| {
        let answers = answers::answers(fields);
        let session_headers = session_headers(fields);
        let providers = providers(fields);
        let names: Vec<_> = providers.iter().map(|(name, _)| name.clone()).collect();
        let routes = rules::routes(fields, &names);
        let rules = rules::rules(fields, &names, &routes.requirements);
        let filter_state_rules = rules::filter_state_rules(fields, &names);
        let allow_unmatched = boolean_or(fields.nullable("allow_unmatched"), false);
        let revocation = fields.optional_as("revocation", revocation::settings);
        let record_secret = fields.optional_as("shared_data_secret", records::secret);
        if !matches!(revocation, Ok(None)) {
            revocation::refuse_long_skews(fields.node(), &providers);
        }
        let bypass_cors_preflight = boolean_or(fields.nullable("bypass_cors_preflight"), false);
        ignored(fields);
        // Places in requirements are only right when no provider is left out.
        let providers = providers.into_iter().map(|(_, provider)| provider);
        let mut providers: Vec<_> = providers.collect::<Read<_>>()?;
        if !matches!(revocation, Ok(None)) {
            for provider in &mut providers {
                provider.issued_ahead = IssuedAhead::Refused;
            }
        }
        let (rules, filter_state_rules) = (rules?, filter_state_rules?);
        let session_headers = session_headers?;
        let mut revocation = revocation?;
        let record_secret = records::secret_or_credential(record_secret?, revocation.as_ref());
        if let Some(settings) = &mut revocation {
            settings.record_secret = record_secret;
        }
        let own_headers = own_headers(&providers, session_headers.as_ref());
        refuse_collisions(
            fields.node(),
            &providers,
            session_headers.as_ref(),
            &own_headers,
        );
        if session_headers.is_some() {
            refuse_uncertain_sessions(fields, &rules, &routes, filter_state_rules.as_ref());
        }
        let used = rules.iter().map(|rule| &rule.requirement);
        let by_filter_state = filter_state_rules.iter();
        let mapped = by_filter_state.flat_map(|rules| &rules.requirements);
        let mapped = mapped.chain(&routes.requirements);
        let used = used.chain(mapped.map(|(_, requirement)| requirement));
        for requirement in used {
            refuse_joint_headers(fields.node(), requirement, &providers);
        }
        Ok(Policy {
            own_headers,
            providers,
            rules,
            routes,
            filter_state_rules,
            allow_unmatched,
            bypass_cors_preflight,
            session_headers,
            revocation,
            record_secret,
            refusals: answers?,
        })
    })
}

/// Keys of `jwt_authn` that change nothing here.
fn ignored(fields: &mut Fields<'_>) {
    // What a pasted configuration was packed in (`typed_config`).
    if let Some(node) = fields.optional("@type")
        && node
            .string()
            .is_ok_and(|name| !name.ends_with(".JwtAuthentication"))
    {
        node.fault("expected the type of `jwt_authn`'s configuration; hint: leave it out");
    }
    if let Some(node) = fields.nullable("stat_prefix") {
        node.warning("has no effect: counters are told apart by provider and reason");
    }
}

/// Names with what could be made of them, so that rules can be checked against the names even
/// where a provider has a fault.
fn providers(fields: &mut Fields<'_>) -> Vec<(String, Read<Provider>)> {
    let entries = fields.required("providers").and_then(|node| {
        let entries: Vec<_> = node.entries()?.collect();
        if entries.is_empty() {
            return Err(node.fault("expected at least one provider"));
        }
        Ok(entries)
    });
    let entries = entries.unwrap_or_default().into_iter();
    entries
        .map(|(name, node)| (name.to_owned(), provider::provider(name, &node)))
        .collect()
}

fn session_headers(fields: &mut Fields<'_>) -> Read<Option<SessionHeaders>> {
    let is_on = fields.flag("session_headers", false);
    let prefix = fields.optional("session_header_prefix");
    let unfit = fields.nullable("unfit_session_headers");
    for node in prefix.iter().chain(&unfit).filter(|_| !is_on) {
        node.fault("has no effect without `session_headers: true`");
    }
    let unfit = unfit.map_or(Ok(Unfit::Refuse), |node| match node.string()? {
        "refuse" => Ok(Unfit::Refuse),
        "omit" => Ok(Unfit::Omit),
        _ => Err(node.fault("expected `refuse` or `omit`")),
    });
    let prefix = match prefix {
        Some(node) => {
            let prefix = header_name(&node)?;
            if is_on {
                refuse_wide_prefix(&node, &prefix);
            }
            prefix
        }
        None => DEFAULT_SESSION_HEADER_PREFIX.to_owned(),
    };
    let unfit = unfit?;
    Ok(is_on.then(|| SessionHeaders::new(&prefix, unfit)))
}

/// Everything below the prefix is taken off every request, which must not lose what it is made of.
fn refuse_wide_prefix(node: &Node<'_>, prefix: &str) {
    let mut needed = NEEDED_HEADERS.iter().chain(&claims::RESERVED_HEADERS);
    if let Some(name) = needed.find(|name| starts_as(prefix, name.as_bytes())) {
        node.fault(format!(
            "everything that begins with `{prefix}` would be taken off every request, `{name}` too"
        ));
    }
}

/// A field name (RFC 9110 section 5.1) in lower case.
fn header_name(node: &Node<'_>) -> Read<String> {
    let name = node.text()?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if !name.bytes().all(is_token) {
        return Err(node.fault("expected the name of a header"));
    }
    Ok(name.to_ascii_lowercase())
}

/// Every header that may be injected, with what else lies below the prefix of the session headers.
fn own_headers(providers: &[Provider], session: Option<&SessionHeaders>) -> OwnHeaders {
    let prefix = session.map(|session| &*session.prefix);
    OwnHeaders::new(
        prefix,
        providers.iter().flat_map(injected_by),
        providers.iter().flat_map(token_headers),
    )
}

/// The headers in which a provider's tokens come.
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

/// A header cannot be both: where tokens come in and where claims go out. The client's token would
/// be stripped as a spoofed claim. Nor can it be filled twice.
fn refuse_collisions(
    root: &Node<'_>,
    providers: &[Provider],
    session: Option<&SessionHeaders>,
    own: &OwnHeaders,
) {
    for provider in providers {
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
fn refuse_joint_headers(root: &Node<'_>, requirement: &Requirement, providers: &[Provider]) {
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
        let places = child.providers(true).into_iter();
        let used = places.filter_map(|place| Some((place, providers.get(place)?)));
        let named = used.flat_map(|(place, provider)| {
            injected_by(provider).map(move |name| (place, canonical_name(name)))
        });
        named.collect::<Vec<_>>()
    };
    let mut earlier: Vec<(usize, String)> = Vec::new();
    for child in children {
        let names = names(child);
        for (place, name) in &names {
            if earlier
                .iter()
                .any(|(other, known)| other != place && known == name)
            {
                root.fault(format!(
                    "`{name}` would be filled from two tokens that `requires_all` asks for"
                ));
            }
        }
        earlier.extend(names);
    }
}

/// The session is that of the first token. Where that one may be missing, whoever leaves it out
/// would choose which of their tokens counts.
fn refuse_uncertain_sessions(
    fields: &Fields<'_>,
    rules: &[Rule],
    routes: &Routes,
    filter_state_rules: Option<&FilterStateRules>,
) {
    let rules = rules.iter().enumerate();
    let rules = rules.map(|(place, rule)| (format!("rules[{place}]"), &rule.requirement));
    let mapped = routes.requirements.iter();
    let mapped = mapped.map(|(name, one)| (joined("requirement_map", name), one));
    let by_filter_state = filter_state_rules.into_iter();
    let by_filter_state = by_filter_state.flat_map(|rules| &rules.requirements);
    let by_filter_state =
        by_filter_state.map(|(name, one)| (joined("filter_state_rules.requires", name), one));
    for (path, requirement) in rules.chain(mapped).chain(by_filter_state) {
        if requirement.has_uncertain_session() {
            fields.fault_at(
                path,
                "the session would be the one of another token when the first token of \
                 `requires_all`, which is optional, is missing; hint: put it behind the others",
            );
        }
    }
}

#[cfg(test)]
mod tests;
