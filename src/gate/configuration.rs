//! From the operator's configuration to a [`Policy`].
//!
//! The schema is that of Envoy's `JwtAuthentication` (snake case, JSON or YAML), with keys of our
//! own beside it. Unknown keys are refused, every fault is reported, and a configuration with a
//! fault gives no policy at all.

mod activity;
mod answers;
mod bound_claim;
mod claims;
mod encoding;
mod headers;
#[cfg(not(target_family = "wasm"))]
mod inspection;
mod keys;
mod matchers;
mod provider;
mod records;
mod requirement;
#[cfg(not(target_family = "wasm"))]
mod review;
mod revocation;
mod rules;
mod session_routes;
mod sources;
mod streams;

#[cfg(not(target_family = "wasm"))]
pub use inspection::{Inspection, inspect};
#[cfg(not(target_family = "wasm"))]
pub(crate) use provider::cut_off_by;
#[cfg(not(target_family = "wasm"))]
pub(crate) use revocation::listed_claims;

use serde_json::Value;

use super::policy::{IssuedAhead, Policy, Provider};
use crate::configuration::{Fault, Fields, Node, Read, Reading, Variable};

/// A policy, and what the operator should know about it although it is not a fault.
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
/// Every [`Fault`], in the order of the text where that is known. Anything that
/// is there and cannot be read is one, including `null` and a variable that is not set.
pub fn read(
    bytes: &[u8],
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Configured, Vec<Fault>> {
    let value = decoded(bytes).map_err(|fault| vec![fault])?;
    let environment = |name: &str| environment(name).map_or(Variable::Unset, Variable::Set);
    let reading = Reading::new(&value, &environment);
    let policy = policy(reading.root());
    let (faults, warnings) = reading.findings();
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

fn policy(root: Node<'_>) -> Read<Policy> {
    root.object(|fields| {
        let answers = answers::answers(fields);
        let session_headers = headers::session_headers(fields);
        let providers = providers(fields);
        let names: Vec<_> = providers.iter().map(|(name, _)| name.clone()).collect();
        let routes = rules::routes(fields, &names);
        let rules = rules::rules(fields, &names, &routes.requirements);
        let filter_state_rules = rules::filter_state_rules(fields, &names);
        let allow_unmatched = fields.nullable_flag("allow_unmatched", false);
        let revocation = revocation::settings(fields, &providers);
        let has_revocation = !matches!(revocation, Ok(None));
        let streams = streams::rules(fields, has_revocation);
        let session_routes = session_routes::routes(fields, has_revocation);
        let activity = activity::rules(fields, has_revocation);
        let record_secret = fields.optional("shared_data_secret").map(records::secret);
        let bypass_cors_preflight = fields.nullable_flag("bypass_cors_preflight", false);
        ignored(fields);
        // The indices in requirements are only right when no provider is left out.
        let providers = providers.into_iter().map(|(_, provider)| provider);
        let mut providers: Vec<_> = providers.collect::<Read<_>>()?;
        let session_headers = session_headers?;
        let mut revocation = revocation?;
        let record_secret =
            records::secret_or_credential(record_secret.transpose()?, revocation.as_ref());
        if let Some(settings) = &mut revocation {
            settings.record_secret = record_secret;
            for provider in &mut providers {
                provider.issued_ahead = IssuedAhead::Refused;
            }
        }
        let policy = Policy {
            own_headers: headers::own_headers(&providers, session_headers.as_ref()),
            providers,
            rules: rules?,
            routes,
            filter_state_rules: filter_state_rules?,
            allow_unmatched,
            bypass_cors_preflight,
            session_headers,
            revocation,
            streams: streams?,
            session_routes: session_routes?,
            activity: activity?,
            record_secret,
            refusals: answers?,
        };
        headers::refuse_ambiguous(fields, &policy);
        answers::refuse_repeated(fields, &policy);
        Ok(policy)
    })
}

/// Keys of `jwt_authn` that change nothing here.
fn ignored(fields: &mut Fields<'_>) {
    // The type that a pasted configuration was packed in (`typed_config`).
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

/// Names with what could be made of them, so that rules can be checked against the names even if a
/// provider has a fault.
fn providers(fields: &mut Fields<'_>) -> Vec<(String, Read<Provider>)> {
    let Ok(node) = fields.required("providers") else {
        return Vec::new();
    };
    let Ok(entries) = node.entries() else {
        return Vec::new();
    };
    if entries.len() == 0 {
        node.fault("expected at least one provider");
    }
    entries
        .map(|(name, node)| (name.to_owned(), provider::provider(name, node)))
        .collect()
}

#[cfg(test)]
mod tests;
