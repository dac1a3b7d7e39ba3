//! One provider: `JwtProvider`.

use std::time::Duration;

use super::reader::{Fields, Node};
use super::{claims, header_name, keys, matchers};
use crate::gate::extraction::{HeaderLocation, Location};
use crate::gate::policy::{Provider, comparable_audience};
use crate::token::{Algorithm, KeyRules};

/// Difference between the clocks of issuer and edge that is put up with, as in `jwt_authn`.
const DEFAULT_CLOCK_SKEW_SECONDS: u32 = 60;

pub(super) fn provider(name: &str, node: &Node<'_>) -> Option<Provider> {
    node.object(|fields| {
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) || name.is_empty() {
            fields
                .node()
                .fault("expected a name of printable ASCII characters");
        }
        let issuer = fields.optional("issuer").and_then(|node| node.text());
        let issuer_pattern = fields.optional("issuer_pattern");
        let issuer_pattern = issuer_pattern.and_then(|node| matchers::text(&node));
        let audiences = fields.texts("audiences");
        let subjects = fields.optional("subjects");
        let subjects = subjects.and_then(|node| matchers::text(&node));
        let rules = key_rules(fields);
        let keys = keys::source(fields, issuer, &rules);
        let locations = locations(fields);
        let forward = fields.flag("forward", false);
        let claim_headers = claims::claim_headers(fields);
        let payload_header = claims::payload_header(fields);
        let filter_state = claims::filter_state(fields);
        let clock_skew = match fields.optional("clock_skew_seconds") {
            Some(node) => node.whole_number(),
            None => Some(DEFAULT_CLOCK_SKEW_SECONDS),
        };
        let require_expiration = fields.flag("require_expiration", true);
        let max_lifetime = fields
            .optional("max_lifetime")
            .and_then(|node| node.duration());
        let max_token_age = fields
            .optional("max_token_age")
            .and_then(|node| node.duration());
        let allow_bound_tokens = fields.flag("allow_bound_tokens", false);
        ignored(fields);
        Some(Provider {
            name: name.to_owned(),
            issuer: issuer.map(str::to_owned),
            issuer_pattern,
            audiences: comparable(&audiences),
            subjects,
            keys: keys?,
            locations: locations?,
            forward,
            claim_headers,
            payload_header,
            filter_state,
            clock_skew: Duration::from_secs(clock_skew?.into()),
            require_expiration,
            max_lifetime,
            max_token_age,
            allow_bound_tokens,
        })
    })
}

/// Keys of `jwt_authn` that change nothing here, and those that cannot be had.
fn ignored(fields: &mut Fields<'_>) {
    for key in [
        "payload_in_metadata",
        "header_in_metadata",
        "failed_status_in_metadata",
        "normalize_payload_in_metadata",
    ] {
        fields.refused(
            key,
            "a WebAssembly module cannot write dynamic metadata; hint: \
             `claims_to_filter_state` for access logs, `claim_to_headers` for later filters",
        );
    }
    if let Some(node) = fields.optional("clear_route_cache")
        && node.boolean() == Some(false)
    {
        node.warning("Envoy chooses the route again whenever a module has changed headers");
    }
    if let Some(node) = fields.optional("jwt_cache_config") {
        node.warning("has no effect: verified tokens are always remembered, within fixed limits");
    }
}

pub(super) fn comparable(audiences: &[String]) -> Vec<String> {
    let audiences = audiences.iter();
    audiences
        .map(|audience| comparable_audience(audience).to_owned())
        .collect()
}

fn key_rules(fields: &mut Fields<'_>) -> KeyRules {
    let mut algorithms = Vec::new();
    for node in fields.list("algorithms") {
        match node.text().map(Algorithm::from_name) {
            Some(Some(algorithm)) => algorithms.push(algorithm),
            Some(None) => node.fault("expected the name of an algorithm, `RS256` for instance"),
            None => {}
        }
    }
    KeyRules {
        algorithms,
        allow_symmetric: fields.flag("allow_symmetric_keys", false),
    }
}

/// `Authorization: Bearer` when nothing is said. `jwt_authn` takes the query parameter
/// `access_token` then too, which RFC 9700 section 4.3.2 advises against: addresses stand in logs
/// and histories, and whoever makes somebody follow a link could put their own token into it.
fn locations(fields: &mut Fields<'_>) -> Option<Vec<Location>> {
    let headers = fields.list("from_headers");
    // All of them first, so that a fault in one does not hide those in the next.
    let headers: Vec<_> = headers.iter().map(header_location).collect();
    let parameters = fields.texts("from_params").into_iter();
    let parameters = parameters.map(|name| Some(Location::Parameter(name)));
    let cookies = fields.texts("from_cookies").into_iter();
    let cookies = cookies.map(|name| Some(Location::Cookie(name)));
    let places = headers.into_iter().chain(parameters).chain(cookies);
    let locations: Option<Vec<_>> = places.collect();
    match locations?.as_slice() {
        [] => Some(vec![Location::Header(HeaderLocation::authorization())]),
        locations => Some(locations.to_vec()),
    }
}

fn header_location(node: &Node<'_>) -> Option<Location> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| header_name(&node));
        let prefix = match fields.optional("value_prefix") {
            Some(node) => node.string(),
            None => Some(""),
        };
        Some(Location::Header(HeaderLocation {
            name: name?,
            prefix: prefix?.to_owned(),
        }))
    })
}
