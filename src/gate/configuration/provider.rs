//! One provider: `JwtProvider`.

use std::time::Duration;

use super::bound_claim::bound_claims;
use super::headers::header_name;
use super::{claims, keys, matchers};
use crate::configuration::{Fields, Node, Read, all};
use crate::gate::dpop::LONGEST_AGE;
use crate::gate::extraction::{CookieLocation, Duplicates, HeaderLocation, Location};
use crate::gate::policy::{
    Dpop, Forwarders, IssuedAhead, Nonces, Possession, Provider, Verified, comparable_audience,
};
use crate::revocation::CutOffBy;
use crate::token::{
    Algorithm, DEFAULT_MAX_CANDIDATES, KeyRules, LARGEST_MAX_TOKEN_BYTES, MAX_KEYS, MAX_TOKEN_BYTES,
};

/// From what ordinary tokens stay below up to the most that is possible.
const MAX_TOKEN_BYTES_RANGE: (usize, usize) = (1024, LARGEST_MAX_TOKEN_BYTES);

/// No more than there are keys to try.
const MAX_CANDIDATES_RANGE: (usize, usize) = (1, MAX_KEYS);

/// Default of the accepted difference between the clocks of issuer and edge, as in `jwt_authn`.
const DEFAULT_CLOCK_SKEW_SECONDS: u32 = 60;

pub(super) fn provider(name: &str, node: Node<'_>) -> Read<Provider> {
    node.object(|fields| {
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) || name.is_empty() {
            node.fault("expected a name of printable ASCII characters");
        }
        let issuer = fields.unset_if_empty("issuer");
        let issuer = issuer.map(Node::text).transpose();
        let issuer_pattern = fields.optional("issuer_pattern").map(matchers::text);
        let audiences = fields.texts("audiences");
        let subjects = fields.optional("subjects").map(matchers::text);
        let rules = key_rules(fields);
        let keys = keys::source(fields, issuer, &rules);
        let possession = possession(fields);
        let bound_claims = bound_claims(fields);
        let takes_dpop = possession.as_ref().is_ok_and(|it| it.dpop().is_some());
        let locations = locations(fields, takes_dpop);
        let max_token_bytes =
            fields.number("max_token_bytes", MAX_TOKEN_BYTES_RANGE, MAX_TOKEN_BYTES);
        let forward = fields.nullable_flag("forward", false);
        let claim_headers = claims::claim_headers(fields);
        let payload_header = claims::payload_header(fields);
        let filter_state = claims::filter_state(fields);
        let clock_skew = fields
            .optional("clock_skew_seconds")
            .map(Node::whole_number);
        let require_expiration = fields.nullable_flag("require_expiration", true);
        let max_lifetime = fields.optional_duration("max_lifetime");
        let max_token_age = fields.optional_duration("max_token_age");
        let cut_off_by = cut_off_by(fields);
        let honours_status = fields.strict_word("status_list", &STATUS_LIST, false);
        ignored(fields);
        let clock_skew = clock_skew.unwrap_or(Ok(DEFAULT_CLOCK_SKEW_SECONDS))?;
        Ok(Provider {
            name: name.to_owned(),
            issuer: issuer?.map(str::to_owned),
            issuer_pattern: issuer_pattern.transpose()?,
            audiences: comparable(&audiences),
            subjects: subjects.transpose()?,
            keys: keys?,
            locations,
            max_token_bytes,
            forward,
            claim_headers,
            payload_header,
            filter_state: filter_state?,
            clock_skew: Duration::from_secs(clock_skew.into()),
            require_expiration,
            max_lifetime,
            max_token_age,
            possession: possession?,
            bound_claims,
            issued_ahead: match max_token_age {
                Some(_) => IssuedAhead::Refused,
                None => IssuedAhead::Accepted,
            },
            cut_off_by,
            honours_status,
        })
    })
}

/// `proof_of_possession`, or `allow_bound_tokens`, beside which nothing is verified.
fn possession(fields: &mut Fields<'_>) -> Read<Possession> {
    let allows = fields.nullable_flag("allow_bound_tokens", false);
    let Some(node) = fields.optional("proof_of_possession") else {
        return Ok(if allows {
            Possession::ProvedElsewhere
        } else {
            Possession::Unproved
        });
    };
    let verified = node.object(|fields| {
        let certificate = fields.optional("mtls").map(forwarders).transpose();
        let dpop = fields.optional("dpop").map(dpop).transpose();
        let is_required = fields.strict_word("required", &REQUIRED, false);
        let (certificate, dpop) = (certificate?, dpop?);
        if certificate.is_none() && dpop.is_none() {
            return Err(node.fault("expected `dpop` or `mtls`"));
        }
        Ok(Possession::Verified(Verified {
            is_required,
            certificate,
            dpop,
        }))
    });
    if allows {
        return Err(node.fault(
            "verifies what `allow_bound_tokens` lets through unverified; hint: one of the two",
        ));
    }
    verified
}

/// How proofs of keys are verified.
fn dpop(node: Node<'_>) -> Read<Dpop> {
    node.object(|fields| {
        let algorithms = fields.some("algorithms", "algorithm", |node| {
            let algorithm = algorithm(node)?;
            if algorithm.is_symmetric() {
                return Err(node.fault("expected an algorithm with a public key"));
            }
            Ok(algorithm)
        });
        let max_age = fields.optional("max_age").map(|node| {
            let age = node.duration()?;
            if age > LONGEST_AGE {
                return Err(
                    node.fault("expected at most `120s`, for which used proofs are remembered")
                );
            }
            Ok(age)
        });
        Ok(Dpop {
            rules: KeyRules {
                algorithms: if algorithms.is_empty() {
                    // Any client chooses how long its own proofs take.
                    let usual = KeyRules::asymmetric().algorithms.into_iter();
                    usual.filter(|algorithm| !algorithm.is_pss()).collect()
                } else {
                    algorithms
                },
                ..KeyRules::default()
            },
            max_age: max_age.unwrap_or(Ok(DEFAULT_PROOF_AGE))?,
            nonces: fields.strict_word("nonce", &NONCE, Nonces::Optional),
            trusts_forwarded_proto: fields.flag("trust_forwarded_proto", false),
        })
    })
}

/// Proxies that are believed when they say which certificate their client has shown; none without `xfcc`.
fn forwarders(node: Node<'_>) -> Read<Forwarders> {
    node.object(|fields| {
        let Some(node) = fields.optional("xfcc") else {
            return Ok(Forwarders::default());
        };
        node.object(|fields| {
            fields.required("trusted")?.object(|fields| {
                let uri_sans = sans(fields, "uri_sans", "a URI", |name| name.contains(':'));
                let dns_sans = sans(fields, "dns_sans", "a DNS name without `*`", is_host);
                let (uri_sans, dns_sans) = (uri_sans?, dns_sans?);
                if uri_sans.is_empty() && dns_sans.is_empty() {
                    return Err(fields.node().fault("expected `uri_sans` or `dns_sans`"));
                }
                Ok(Forwarders { uri_sans, dns_sans })
            })
        })
    })
}

/// Names in certificates, which are compared as they are.
fn sans(
    fields: &mut Fields<'_>,
    key: &'static str,
    kind: &str,
    is_one: fn(&str) -> bool,
) -> Read<Vec<String>> {
    let Some(node) = fields.optional(key) else {
        return Ok(Vec::new());
    };
    all(node.some_elements("name")?, |node| {
        let name = node.text()?;
        if is_one(name) {
            return Ok(name.to_owned());
        }
        Err(node.fault(format!("expected {kind}")))
    })
}

fn is_host(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    name.bytes().all(is_plain)
}

/// Whether proofs have to have a nonce.
const NONCE: [(&str, Nonces); 2] = [("off", Nonces::Optional), ("required", Nonces::Own)];

/// How long ago a proof may have been made, unless the operator says otherwise.
const DEFAULT_PROOF_AGE: Duration = Duration::from_mins(1);

/// Which tokens have to be bound to a key.
const REQUIRED: [(&str, bool); 2] = [("when_bound", false), ("always", true)];

/// Whether the status lists that tokens refer to count.
const STATUS_LIST: [(&str, bool); 2] = [("ignore", false), ("honour", true)];

const CUT_OFF_BY: [(&str, CutOffBy); 2] = [
    ("auth_time_or_iat", CutOffBy::AuthTimeOrIssuedAt),
    ("iat", CutOffBy::IssuedAt),
];

/// What cut-offs compare with. `null` is a fault: by another claim than is meant, they would end less.
pub(crate) fn cut_off_by(fields: &mut Fields<'_>) -> CutOffBy {
    fields.strict_word("cut_off_by", &CUT_OFF_BY, CutOffBy::default())
}

/// Keys of `jwt_authn` that change nothing here, and those that are not supported.
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
    KeyRules {
        algorithms: fields.each("algorithms", algorithm),
        allow_symmetric: fields.nullable_flag("allow_symmetric_keys", false),
        max_candidates: fields.number(
            "max_candidate_keys",
            MAX_CANDIDATES_RANGE,
            DEFAULT_MAX_CANDIDATES,
        ),
    }
}

fn algorithm(node: Node<'_>) -> Read<Algorithm> {
    let algorithm = Algorithm::from_name(node.text()?);
    algorithm.ok_or_else(|| node.fault("expected the name of an algorithm, `RS256` for instance"))
}

/// `Authorization: Bearer` by default, and `DPoP` as well where tokens may be bound to a key. `jwt_authn` takes
/// the query parameter `access_token` then too, which RFC 9700 section 4.3.2 advises against: URLs are kept
/// in logs and histories, and a link could carry a token of the one who made it to the one who follows it.
fn locations(fields: &mut Fields<'_>, takes_dpop: bool) -> Vec<Location> {
    let mut locations = fields.each("from_headers", header_location);
    let parameters = fields.texts("from_params");
    let cookies = fields.texts("from_cookies");
    let duplicates = duplicate_cookies(fields, !cookies.is_empty());
    locations.extend(parameters.into_iter().map(Location::Parameter));
    locations.extend(
        cookies
            .into_iter()
            .map(|name| Location::Cookie(CookieLocation { name, duplicates })),
    );
    if locations.is_empty() {
        let dpop = takes_dpop.then(HeaderLocation::dpop);
        let headers = [HeaderLocation::authorization()].into_iter().chain(dpop);
        locations.extend(headers.map(Location::Header));
    }
    locations
}

fn duplicate_cookies(fields: &mut Fields<'_>, has_cookies: bool) -> Duplicates {
    let words = [
        ("refuse", Duplicates::Refused),
        ("first_genuine", Duplicates::FirstGenuine),
    ];
    let Some(node) = fields.nullable("duplicate_cookies") else {
        return Duplicates::Refused;
    };
    if !has_cookies {
        node.fault("has no effect without `from_cookies`");
    }
    node.word(&words).unwrap_or(Duplicates::Refused)
}

fn header_location(node: Node<'_>) -> Read<Location> {
    node.object(|fields| {
        let name = fields.required("name").and_then(|node| {
            let name = header_name(node)?;
            claims::refuse_reserved(node, &name, "a token");
            Ok(name)
        });
        let prefix = fields.optional("value_prefix").map(Node::string);
        let prefix = prefix.unwrap_or(Ok(""))?;
        Ok(Location::Header(HeaderLocation {
            name: name?,
            prefix: prefix.to_owned(),
        }))
    })
}
