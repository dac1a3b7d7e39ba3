//! From Istio's `RequestAuthentication`, with what an `AuthorizationPolicy` asks of tokens.
//!
//! A `RequestAuthentication` refuses bad tokens and lets requests without one through; policies say
//! that there has to be a token, and what it has to say. They read what Istio's own filter has
//! found, which is nothing once that filter is replaced. So what depends on a token in them is
//! translated too, and the rest stays where it is.

mod policy;
mod target;

use serde_json::{Map, Value, json};

use super::clauses::Clauses;
use super::item::{Item, object, renamed, texts};
use super::jwt_authn;
use target::Target;

/// Claims that Istio always splits at blanks.
const SPLIT: [&str; 2] = ["scope", "permission"];

/// A set of workloads, and what applies to it.
struct Workloads<'i, 'd> {
    target: Target,
    authentications: Vec<&'i Item<'d>>,
    policies: Vec<&'i Item<'d>>,
}

/// Whether the gate decides in place of a policy for all of its workloads.
fn is_replaced(policy: &Item<'_>, sets: &[Workloads<'_, '_>]) -> bool {
    let target = Target::of(policy);
    sets.iter().any(|set| {
        set.target.covers(&target)
            && target.covers(&set.target)
            && policy::is_translated(policy, &set.policies)
    })
}

/// Whether Istio only counts what the policy would refuse.
fn is_dry_run(policy: &Item<'_>) -> bool {
    let metadata = policy.member("metadata");
    let annotations = metadata.and_then(|metadata| metadata.member("annotations"));
    let flag = annotations.and_then(|annotations| annotations.text_of("istio.io/dry-run"));
    // As Go reads it.
    let yes = ["1", "t", "T", "true", "TRUE", "True"];
    flag.is_some_and(|flag| yes.contains(&&*flag))
}

/// A plugin configuration for each set of workloads, with what it is for.
pub(super) fn configurations(
    authentications: &[Item<'_>],
    policies: &[Item<'_>],
) -> Vec<(String, Value)> {
    let (idle, policies): (Vec<_>, Vec<_>) = policies.iter().cloned().partition(is_dry_run);
    for policy in idle {
        policy.note(
            "is in dry-run (`istio.io/dry-run`) and decides nothing, so it counts as absent; hint: \
             once the gate is there, it finds no `requestPrincipals` to count by",
        );
    }
    let mut targets: Vec<Target> = Vec::new();
    let asking = policies.iter().filter(|one| policy::asks_for_tokens(one));
    for resource in authentications.iter().chain(asking) {
        let target = Target::of(resource);
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    let sets = targets.into_iter().map(|target| {
        let is_for = |resource: &&Item<'_>| Target::of(resource).covers(&target);
        Workloads {
            authentications: authentications.iter().filter(is_for).collect(),
            policies: policies.iter().filter(is_for).collect(),
            target,
        }
    });
    let sets = sets.filter(|set| !set.authentications.is_empty());
    let sets: Vec<_> = sets.collect();
    let configurations = sets
        .iter()
        .map(|set| (set.target.name(), configuration(set, &sets)));
    let configurations: Vec<_> = configurations.collect();
    for policy in policies.iter().filter(|one| policy::asks_for_tokens(one)) {
        let target = Target::of(policy);
        let own: Vec<_> = authentications.iter().map(Target::of).collect();
        let counts = |own: &&Target| own.covers(&target) || target.covers(own);
        let mut uncertain = own.iter().filter(|own| !counts(own));
        if uncertain.any(|own| own.may_meet(&target)) {
            policy.opens(
                "is for workloads of which some may have a RequestAuthentication of these files, in \
                 whose configuration it is left out; where the gate is, it finds no tokens any \
                 more, which may OPEN what it closed; hint: let both choose the same workloads, and \
                 convert again",
            );
        } else if !own.iter().any(|own| counts(&own)) {
            policy.differs(
                "asks for tokens where no RequestAuthentication of these files counts, so it is \
                 left out",
            );
        }
    }
    tell_overlaps(authentications);
    configurations
}

/// Warns where two resources may apply to one workload, which would then have both configurations.
fn tell_overlaps(authentications: &[Item<'_>]) {
    let targets: Vec<_> = authentications.iter().map(Target::of).collect();
    for (index, (resource, target)) in authentications.iter().zip(&targets).enumerate() {
        let mut earlier = targets.iter().take(index);
        let overlaps = earlier
            .any(|other| target.may_meet(other) && !target.covers(other) && !other.covers(target));
        if overlaps {
            resource.differs(
                "may be for workloads that an earlier RequestAuthentication is for too: where they \
                 have both configurations, each refuses the tokens of the other; hint: let both \
                 choose the same workloads, and convert again",
            );
        }
    }
}

/// A provider, and its issuer.
pub(super) struct Issuer {
    pub(super) provider: String,
    /// Its `iss`.
    pub(super) name: String,
    /// Claims that are split at blanks.
    pub(super) split: Vec<String>,
}

fn configuration(workloads: &Workloads<'_, '_>, sets: &[Workloads<'_, '_>]) -> Value {
    let (authentications, policies) = (&workloads.authentications, &workloads.policies);
    let mut providers = Map::new();
    let mut issuers = Vec::new();
    for resource in authentications {
        resource.note(
            "once this resource is deleted, `requestPrincipals`, `request.auth` and \
             `@request.auth.claims` are empty in every resource that stays",
        );
        let Some(spec) = resource.member("spec") else {
            continue;
        };
        spec.refuse_others(&["selector", "targetRef", "targetRefs", "jwtRules"]);
        for rule in spec.list("jwtRules") {
            let issuer = rule.text_of("issuer").unwrap_or_default();
            let name = free_name(&issuer, &providers);
            let mut split = rule.texts_of("spaceDelimitedClaims");
            split.extend(SPLIT.map(str::to_owned));
            providers.insert(name.clone(), provider(&name, &issuer, &rule).into());
            issuers.push(Issuer {
                provider: name,
                name: issuer,
                split,
            });
        }
    }
    let named = issuers.iter();
    let named = named.map(|issuer| json!({"provider_name": issuer.provider}));
    let mut alternatives: Vec<_> = named.collect();
    alternatives.push(json!({"allow_missing": {}}));
    let base = json!({"requires_any": {"requirements": alternatives}});
    let clauses = policy::clauses(policies, &issuers, &|policy| is_replaced(policy, sets));
    let Some(first) = authentications.first() else {
        return Value::Null;
    };
    let rules = clauses.rules(&base, policies.first().unwrap_or(first));
    if clauses.demands.is_empty() && clauses.allows.is_none() {
        first.note(
            "a request without a token goes through, as with Istio, since no AuthorizationPolicy in \
             these files asks for one; hint: convert it together with those that count, or take \
             `allow_missing` out of the configuration",
        );
    }
    let mut configuration = object([
        ("providers", Some(providers.into())),
        ("rules", Some(rules.into())),
        ("bypass_cors_preflight", Some(true.into())),
    ]);
    if !issuers.is_empty() {
        preflight(first, &clauses, &mut configuration);
    }
    configuration.into()
}

/// Istio lets preflights past its filter, but not past a policy that asks for a token.
fn preflight(item: &Item<'_>, clauses: &Clauses, configuration: &mut Map<String, Value>) {
    let asks = !clauses.demands.is_empty() || clauses.allows.is_some();
    if asks {
        item.note(
            "CORS preflights, which have no token, are refused as before where a policy asks for \
             one, unless Istio answers them first; hint: `bypass_cors_preflight: true` lets them \
             through",
        );
        configuration.remove("bypass_cors_preflight");
    }
}

/// A name for a provider, derived from its issuer.
fn free_name(issuer: &str, taken: &Map<String, Value>) -> String {
    let bare = issuer.split_once("://").map_or(issuer, |(_, rest)| rest);
    let letters = bare.trim_end_matches('/').chars();
    let letters = letters.map(|letter| {
        if letter.is_ascii_alphanumeric() {
            letter
        } else {
            '-'
        }
    });
    let name: String = letters.collect();
    let name = if name.is_empty() {
        "issuer".to_owned()
    } else {
        name
    };
    let mut free = name.clone();
    let mut number = 2;
    while taken.contains_key(&free) {
        free = format!("{name}-{number}");
        number += 1;
    }
    free
}

fn provider(name: &str, issuer: &str, rule: &Item<'_>) -> Map<String, Value> {
    rule.refuse_others(&[
        "issuer",
        "audiences",
        "jwksUri",
        "jwks_uri",
        "jwks",
        "fromHeaders",
        "fromParams",
        "fromCookies",
        "outputPayloadToHeader",
        "outputClaimToHeaders",
        "forwardOriginalToken",
        "timeout",
        "spaceDelimitedClaims",
    ]);
    if issuer.is_empty() {
        rule.opens(
            "has no `issuer`, which Istio refuses; the tokens' is not checked, which may OPEN what \
             it closed; hint: add it, and convert again",
        );
    }
    let headers = rule.list("fromHeaders");
    let claims = rule.list("outputClaimToHeaders");
    let mut provider = object([
        ("issuer", (!issuer.is_empty()).then(|| issuer.into())),
        ("audiences", texts(rule.texts_of("audiences"))),
        (
            "from_headers",
            renamed(&headers, [("name", "name"), ("prefix", "value_prefix")]),
        ),
        ("from_params", texts(rule.texts_of("fromParams"))),
        ("from_cookies", texts(rule.texts_of("fromCookies"))),
        (
            "forward_payload_header",
            rule.text_of("outputPayloadToHeader").map(Value::from),
        ),
        (
            "claim_to_headers",
            renamed(
                &claims,
                [("header", "header_name"), ("claim", "claim_name")],
            ),
        ),
        (
            "forward",
            rule.flag_of("forwardOriginalToken").then(|| true.into()),
        ),
    ]);
    let (key, keys) = keys(name, issuer, rule);
    provider.insert(key.to_owned(), keys);
    jwt_authn::as_before(rule, &mut provider);
    provider
}

/// In Istio's order: `jwks`, `jwksUri`, what the issuer's discovery says.
fn keys(provider: &str, issuer: &str, rule: &Item<'_>) -> (&'static str, Value) {
    let timeout = rule
        .member("timeout")
        .and_then(|timeout| timeout.duration());
    if let Some(keys) = rule.text_of("jwks") {
        return ("local_jwks", json!({"inline_string": keys}));
    }
    let (source, uri) = match rule.member("jwksUri") {
        Some(uri) => (uri.clone(), uri.text().unwrap_or_default()),
        None => (rule.clone(), issuer.to_owned()),
    };
    let Some(cluster) = cluster(&uri) else {
        let variable = jwt_authn::variable(provider);
        source.differs(format!(
            "there is no URL to fetch keys from; put them into the variable `{variable}`, and name \
             that in `vmConfig.env`"
        ));
        return ("local_jwks", json!({"environment_variable": variable}));
    };
    source.note(format!(
        "the proxy fetches the keys itself from now on, not istiod, through the cluster \
         `{cluster}`, which Istio makes of a Service or a ServiceEntry for that host{}",
        if uri.starts_with("https:") {
            ", with a DestinationRule that has `tls: {mode: SIMPLE}`"
        } else {
            ""
        }
    ));
    let timeout = ("timeout", timeout);
    let cluster = ("cluster", Some(cluster.into()));
    if rule.member("jwksUri").is_some() {
        let uri = object([("uri", Some(uri.into())), cluster, timeout]);
        return ("remote_jwks", json!({"http_uri": uri}));
    }
    let discovery = object([cluster, timeout]);
    ("remote_jwks", json!({"openid_discovery": discovery}))
}

/// `https://a.example/x` → `outbound|443||a.example`.
pub(super) fn cluster(uri: &str) -> Option<String> {
    let (host, port) = host_and_port(uri)?;
    Some(format!("outbound|{port}||{host}"))
}

pub(super) fn host_and_port(uri: &str) -> Option<(&str, u16)> {
    let (rest, usual) = match uri.strip_prefix("https://") {
        Some(rest) => (rest, 443),
        None => (uri.strip_prefix("http://")?, 80),
    };
    let authority = rest
        .split(['/', '?'])
        .next()
        .filter(|host| !host.is_empty())?;
    match authority.rsplit_once(':') {
        Some((host, port)) => Some((host, port.parse().ok()?)),
        None => Some((authority, usual)),
    }
}
