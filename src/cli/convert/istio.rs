//! From Istio's `RequestAuthentication`, with what an `AuthorizationPolicy` asks of tokens.
//!
//! A `RequestAuthentication` refuses bad tokens and lets requests without one through; that a token
//! has to be there, and what it has to say, is for policies. Those read what Istio's own filter has
//! found, which is nothing once that is replaced, so whatever in them needs a token is translated
//! along with it, and whatever does not stays where it is.

mod policy;

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::clauses::Clauses;
use super::item::{Item, object, renamed, texts};
use super::jwt_authn;

/// Where Istio keeps what counts for every namespace, unless it was installed otherwise.
const ROOT_NAMESPACE: &str = "istio-system";

/// Claims that Istio splits at blanks whatever it is told.
const SPLIT: [&str; 2] = ["scope", "permission"];

/// Which workloads a resource is for.
#[derive(Clone, Debug, PartialEq)]
struct Target {
    namespace: String,
    /// What their labels are, all of these.
    labels: Map<String, Value>,
    /// What they stand behind, one of these (`targetRefs`); anything if there are none.
    references: BTreeSet<String>,
}

/// A reference in one spelling: of the core group without it.
fn reference(one: &Item<'_>) -> String {
    one.refuse_others(&["group", "kind", "name", "namespace", "sectionName"]);
    let mut members = one.value.clone();
    if let Some(members) = members.as_object_mut() {
        members.retain(|name, value| name != "group" || *value != "");
    }
    members.to_string()
}

impl Target {
    fn of(resource: &Item<'_>) -> Self {
        let namespace = resource
            .member("metadata")
            .and_then(|metadata| metadata.text_of("namespace"));
        let spec = resource.member("spec");
        let selector = spec.as_ref().and_then(|spec| spec.member("selector"));
        let labels = selector.and_then(|selector| {
            selector.refuse_others(&["matchLabels"]);
            selector.member("matchLabels")?.value.as_object().cloned()
        });
        let references = spec.iter().flat_map(|spec| {
            let keys = ["targetRef", "targetRefs"].into_iter();
            keys.flat_map(|key| spec.list(key))
        });
        Self {
            namespace: namespace.unwrap_or_default(),
            labels: labels.unwrap_or_default(),
            references: references.map(|one| reference(&one)).collect(),
        }
    }

    /// Whether a resource for this target counts for all that is in the other one.
    fn covers(&self, other: &Self) -> bool {
        let mut labels = self.labels.iter();
        let by_reference = self.references.is_empty()
            || (!other.references.is_empty() && other.references.is_subset(&self.references));
        (self.is_everywhere() || self.namespace == other.namespace)
            && by_reference
            && labels.all(|(name, value)| other.labels.get(name) == Some(value))
    }

    /// Whether there may be a workload for which both count.
    fn may_meet(&self, other: &Self) -> bool {
        let mut labels = self.labels.iter();
        let by_reference = self.references.is_empty()
            || other.references.is_empty()
            || !self.references.is_disjoint(&other.references);
        (self.is_everywhere() || other.is_everywhere() || self.namespace == other.namespace)
            && by_reference
            && labels.all(|(name, value)| other.labels.get(name).is_none_or(|own| own == value))
    }

    /// Whether it is for every namespace. In the root one, labels choose among the workloads of all
    /// of them, and references do not.
    fn is_everywhere(&self) -> bool {
        self.namespace == ROOT_NAMESPACE && self.references.is_empty()
    }

    fn name(&self) -> String {
        let place = match self.namespace.as_str() {
            "" => "the namespace it is applied to".to_owned(),
            namespace => format!("namespace {namespace}"),
        };
        let labels = self.labels.iter().map(|(name, value)| match value {
            Value::String(value) => format!("{name}={value}"),
            other => format!("{name}={other}"),
        });
        let chosen: Vec<_> = labels.chain(self.references.iter().cloned()).collect();
        if chosen.is_empty() {
            return format!("all workloads of {place}");
        }
        format!("workloads of {place} with {}", chosen.join(", "))
    }
}

/// A set of workloads, and what counts there.
struct Place<'i, 'd> {
    target: Target,
    authentications: Vec<&'i Item<'d>>,
    policies: Vec<&'i Item<'d>>,
}

/// Whether the gate decides in the place of a policy for all of its workloads.
fn is_replaced(policy: &Item<'_>, places: &[Place<'_, '_>]) -> bool {
    let target = Target::of(policy);
    places.iter().any(|place| {
        place.target.covers(&target)
            && target.covers(&place.target)
            && policy::is_translated(policy, &place.policies)
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
    let places = targets.into_iter().map(|target| {
        let is_for = |resource: &&Item<'_>| Target::of(resource).covers(&target);
        Place {
            authentications: authentications.iter().filter(is_for).collect(),
            policies: policies.iter().filter(is_for).collect(),
            target,
        }
    });
    let places = places.filter(|place| !place.authentications.is_empty());
    let places: Vec<_> = places.collect();
    let configurations = places
        .iter()
        .map(|place| (place.target.name(), configuration(place, &places)));
    let configurations: Vec<_> = configurations.collect();
    for policy in policies.iter().filter(|one| policy::asks_for_tokens(one)) {
        let target = Target::of(policy);
        let own: Vec<_> = authentications.iter().map(Target::of).collect();
        let mut covering = own.iter();
        if covering.any(|own| own.covers(&target) || target.covers(own)) {
            continue;
        }
        if own.iter().any(|own| own.may_meet(&target)) {
            policy.opens(
                "is for workloads of which some may have a RequestAuthentication of these files, and \
                 is left out; where the gate is, it finds no tokens any more, which may OPEN what it \
                 closed; hint: let both choose the same workloads, and convert again",
            );
        } else {
            policy.differs(
                "asks for tokens where no RequestAuthentication of these files counts, so it is \
                 left out",
            );
        }
    }
    configurations
}

/// A provider of tokens, and what it calls itself.
pub(super) struct Issuer {
    pub(super) provider: String,
    /// Its `iss`.
    pub(super) name: String,
    /// Claims that are split at blanks.
    pub(super) split: Vec<String>,
}

fn configuration(place: &Place<'_, '_>, places: &[Place<'_, '_>]) -> Value {
    let (authentications, policies) = (&place.authentications, &place.policies);
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
    let clauses = policy::clauses(policies, &issuers, &|policy| is_replaced(policy, places));
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

/// A name for a provider, made of its issuer's.
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

/// In the order in which Istio looks: `jwks`, `jwksUri`, what the issuer's discovery says.
fn keys(provider: &str, issuer: &str, rule: &Item<'_>) -> (&'static str, Value) {
    let timeout = rule
        .member("timeout")
        .and_then(|timeout| timeout.duration());
    if let Some(keys) = rule.text_of("jwks") {
        return ("local_jwks", json!({"inline_string": keys}));
    }
    let (place, uri) = match rule.member("jwksUri") {
        Some(uri) => (uri.clone(), uri.text().unwrap_or_default()),
        None => (rule.clone(), issuer.to_owned()),
    };
    let Some(cluster) = cluster(&uri) else {
        let variable = jwt_authn::variable(provider);
        place.differs(format!(
            "there is no URL to fetch keys from; put them into the variable `{variable}`, and name \
             that in `vmConfig.env`"
        ));
        return ("local_jwks", json!({"environment_variable": variable}));
    };
    place.note(format!(
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
