//! One provider: `JwtProvider`.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::reader::{Fields, Node, Read, boolean_or};
use super::{claims, header_name, keys, matchers};
use crate::gate::extraction::{CookieLocation, Duplicates, HeaderLocation, Location};
use crate::gate::policy::{IssuedAhead, Provider, comparable_audience};
use crate::token::{
    Algorithm, DEFAULT_MAX_CANDIDATES, KeyRules, LARGEST_MAX_TOKEN_BYTES, MAX_KEYS, MAX_TOKEN_BYTES,
};

/// From what no ordinary token exceeds by itself up to what can be had at all.
const MAX_TOKEN_BYTES_RANGE: RangeInclusive<usize> = 1024..=LARGEST_MAX_TOKEN_BYTES;

/// No more than there are keys to try.
const MAX_CANDIDATES_RANGE: RangeInclusive<usize> = 1..=MAX_KEYS;

/// Difference between the clocks of issuer and edge that is put up with, as in `jwt_authn`.
const DEFAULT_CLOCK_SKEW_SECONDS: u32 = 60;

pub(super) fn provider(name: &str, node: &Node<'_>) -> Read<Provider> {
    node.object(|fields| {
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) || name.is_empty() {
            fields
                .node()
                .fault("expected a name of printable ASCII characters");
        }
        let issuer = fields.unset_if_empty("issuer");
        let issuer = issuer.as_ref().map(Node::text).transpose();
        let issuer_pattern = fields.optional_as("issuer_pattern", matchers::text);
        let audiences = fields.texts("audiences");
        let subjects = fields.optional_as("subjects", matchers::text);
        let rules = key_rules(fields);
        let keys = keys::source(fields, issuer, &rules);
        let locations = locations(fields);
        let max_token_bytes = fields.optional_as("max_token_bytes", |node| {
            number_within(node, &MAX_TOKEN_BYTES_RANGE)
        });
        let forward = boolean_or(fields.nullable("forward"), false);
        let claim_headers = claims::claim_headers(fields);
        let payload_header = claims::payload_header(fields);
        let filter_state = claims::filter_state(fields);
        let clock_skew = fields.optional_as("clock_skew_seconds", Node::whole_number);
        let require_expiration = boolean_or(fields.nullable("require_expiration"), true);
        let max_lifetime = fields.optional_as("max_lifetime", Node::duration);
        let max_token_age = fields.optional_as("max_token_age", Node::duration);
        let allow_bound_tokens = boolean_or(fields.nullable("allow_bound_tokens"), false);
        ignored(fields);
        let clock_skew = clock_skew?.unwrap_or(DEFAULT_CLOCK_SKEW_SECONDS);
        let max_token_age = max_token_age?;
        Ok(Provider {
            name: name.to_owned(),
            issuer: issuer?.map(str::to_owned),
            issuer_pattern: issuer_pattern?,
            audiences: comparable(&audiences?),
            subjects: subjects?,
            keys: keys?,
            locations: locations?,
            max_token_bytes: max_token_bytes?.unwrap_or(MAX_TOKEN_BYTES),
            forward,
            claim_headers,
            payload_header: payload_header?,
            filter_state: filter_state?,
            clock_skew: Duration::from_secs(clock_skew.into()),
            require_expiration,
            max_lifetime: max_lifetime?,
            max_token_age,
            allow_bound_tokens,
            issued_ahead: match max_token_age {
                Some(_) => IssuedAhead::Refused,
                None => IssuedAhead::Accepted,
            },
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
    if let Some(node) = fields.nullable("clear_route_cache")
        && let Ok(false) = node.boolean()
    {
        node.warning("Envoy chooses the route again whenever a module has changed headers");
    }
    if let Some(node) = fields.nullable("jwt_cache_config") {
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
            Ok(Some(algorithm)) => algorithms.push(algorithm),
            Ok(None) => {
                node.fault("expected the name of an algorithm, `RS256` for instance");
            }
            Err(_) => {}
        }
    }
    let allow_symmetric = boolean_or(fields.nullable("allow_symmetric_keys"), false);
    let max_candidates = fields.optional_as("max_candidate_keys", |node| {
        number_within(node, &MAX_CANDIDATES_RANGE)
    });
    // What cannot be read is a fault, which gives no policy.
    let max_candidates = max_candidates.unwrap_or_default();
    KeyRules {
        algorithms,
        allow_symmetric,
        max_candidates: max_candidates.unwrap_or(DEFAULT_MAX_CANDIDATES),
    }
}

/// `Authorization: Bearer` when nothing is said. `jwt_authn` takes the query parameter
/// `access_token` then too, which RFC 9700 section 4.3.2 advises against: addresses stand in logs
/// and histories, and whoever makes somebody follow a link could put their own token into it.
fn locations(fields: &mut Fields<'_>) -> Read<Vec<Location>> {
    let headers = fields.each("from_headers", header_location);
    let parameters = fields.texts("from_params");
    let cookies = fields.texts("from_cookies");
    let duplicates = fields.nullable("duplicate_cookies");
    let (mut locations, cookies) = (headers?, cookies?);
    let duplicates = match &duplicates {
        Some(node) if cookies.is_empty() => {
            return Err(node.fault("has no effect without `from_cookies`"));
        }
        Some(node) => duplicate_cookies(node)?,
        None => Duplicates::Refused,
    };
    locations.extend(parameters?.into_iter().map(Location::Parameter));
    locations.extend(
        cookies
            .into_iter()
            .map(|name| Location::Cookie(CookieLocation { name, duplicates })),
    );
    if locations.is_empty() {
        locations.push(Location::Header(HeaderLocation::authorization()));
    }
    Ok(locations)
}

fn duplicate_cookies(node: &Node<'_>) -> Read<Duplicates> {
    match node.string()? {
        "refuse" => Ok(Duplicates::Refused),
        "first_genuine" => Ok(Duplicates::FirstGenuine),
        _ => Err(node.fault("expected `refuse` or `first_genuine`")),
    }
}

fn number_within(node: &Node<'_>, range: &RangeInclusive<usize>) -> Read<usize> {
    let number = usize::try_from(node.whole_number()?).ok();
    let number = number.filter(|number| range.contains(number));
    let (least, most) = (range.start(), range.end());
    number.ok_or_else(|| node.fault(format!("expected a number from {least} to {most}")))
}

fn header_location(node: &Node<'_>) -> Read<Location> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| {
            let name = header_name(&node)?;
            claims::refuse_reserved(&node, &name, "a token");
            Ok(name)
        });
        let prefix = match fields.optional("value_prefix") {
            Some(node) => node.string(),
            None => Ok(""),
        };
        Ok(Location::Header(HeaderLocation {
            name: name?,
            prefix: prefix?.to_owned(),
        }))
    })
}
