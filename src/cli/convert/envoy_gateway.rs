//! From Envoy Gateway's `SecurityPolicy`: `jwt`, and what `authorization` asks of tokens.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::clauses::{Clause, Clauses, Demand, Need, Region, Text, both};
use super::istio::host_and_port;
use super::item::{Item, object, renamed, texts};
use super::jwt_authn;

/// How long Envoy Gateway waits for keys.
const TIMEOUT: &str = "10s";

/// How long it uses a set.
const CACHE_DURATION: &str = "300s";

/// The claim that it splits at blanks.
const SCOPE: &str = "scope";

/// The parts of a policy's `spec` that are translated, or that say what the policy is for;
/// `mergeType` by [`merges`].
const TRANSLATED: [&str; 6] = [
    "jwt",
    "authorization",
    "targetRef",
    "targetRefs",
    "targetSelectors",
    "mergeType",
];

/// The parts of it that have nothing to do with tokens.
const STAYING: [&str; 6] = ["apiKeyAuth", "basicAuth", "cors", "csrf", "extAuth", "oidc"];

/// Warns of a policy that Envoy Gateway merges with one of its Gateway, which is not done here,
/// even if it has no `jwt`.
pub(super) fn merges(policy: &Item<'_>) {
    let spec = policy.member("spec");
    if let Some(merge) = spec.and_then(|spec| spec.member("mergeType")) {
        merge.opens(
            "the policy is merged with the one of its Gateway there, and not here, which may OPEN what \
             that one closes; hint: write the two as one policy, and convert that",
        );
    }
}

/// A plugin configuration for this policy; `maps` are the `ConfigMap`s of the same files.
pub(super) fn policy(item: &Item<'_>, maps: &[Item<'_>]) -> Value {
    let spec = item.member("spec").unwrap_or_else(|| item.clone());
    let Some(jwt) = spec.member("jwt") else {
        return Value::Null;
    };
    jwt.refuse_others(&["optional", "failOpen", "providers"]);
    let listed = jwt.list("providers");
    let mut providers = Map::new();
    let mut names = Vec::new();
    for (index, one) in listed.iter().enumerate() {
        let name = one
            .text_of("name")
            .unwrap_or_else(|| format!("provider-{index}"));
        providers.insert(name.clone(), provider(&name, one, item, maps).into());
        names.push(name);
    }
    let base = base(&jwt, &names);
    let mut clauses = Clauses::default();
    if let Some(authorization) = spec.member("authorization") {
        translate(&authorization, &names, &mut clauses);
    }
    let rules = clauses.rules(&base, &spec);
    spec.refuse_others(&[&TRANSLATED[..], &STAYING[..]].concat());
    for name in STAYING {
        if let Some(member) = spec.member(name) {
            member.note("stays as it is: it is not about tokens");
        }
    }
    jwt.note(
        "take it out of the policy when the gate is in place; an EnvoyExtensionPolicy needs the \
         same `targetRefs`",
    );
    object([
        ("providers", Some(providers.into())),
        ("rules", Some(rules.into())),
    ])
    .into()
}

fn base(jwt: &Item<'_>, providers: &[String]) -> Value {
    let named = providers.iter();
    let mut alternatives: Vec<_> = named.map(|name| json!({"provider_name": name})).collect();
    if jwt.flag_of("failOpen") {
        alternatives.push(json!({"allow_missing_or_failed": {}}));
    } else if jwt.flag_of("optional") {
        alternatives.push(json!({"allow_missing": {}}));
    }
    match alternatives.as_slice() {
        [one] => one.clone(),
        _ => json!({"requires_any": {"requirements": alternatives}}),
    }
}

fn provider(
    name: &str,
    one: &Item<'_>,
    policy: &Item<'_>,
    maps: &[Item<'_>],
) -> Map<String, Value> {
    one.refuse_others(&[
        "name",
        "issuer",
        "audiences",
        "remoteJWKS",
        "localJWKS",
        "claimToHeaders",
        "recomputeRoute",
        "extractFrom",
    ]);
    let claims = one.list("claimToHeaders");
    let locations = one.member("extractFrom");
    let locations = locations.as_ref();
    if let Some(locations) = locations {
        locations.refuse_others(&["headers", "params", "cookies"]);
    }
    let headers = locations.map_or_else(Vec::new, |from| from.list("headers"));
    let listed = |key: &str| texts(locations.map_or_else(Vec::new, |from| from.texts_of(key)));
    let mut provider = object([
        ("issuer", one.text_of("issuer").map(Value::from)),
        ("audiences", texts(one.texts_of("audiences"))),
        (
            "claim_to_headers",
            renamed(
                &claims,
                [("header", "header_name"), ("claim", "claim_name")],
            ),
        ),
        (
            "from_headers",
            renamed(
                &headers,
                [("name", "name"), ("valuePrefix", "value_prefix")],
            ),
        ),
        ("from_params", listed("params")),
        ("from_cookies", listed("cookies")),
        // Envoy Gateway lets every token go on to the upstream.
        ("forward", Some(true.into())),
    ]);
    one.note(
        "the token goes on to the upstream, as before; hint: take `forward` out if it does not need \
         it, since the gate tells it who is calling",
    );
    if let Some(remote) = one.member("remoteJWKS") {
        provider.insert("remote_jwks".to_owned(), remote_keys(&remote));
    } else if let Some(local) = one.member("localJWKS") {
        provider.insert(
            "local_jwks".to_owned(),
            local_keys(name, &local, policy, maps),
        );
    }
    jwt_authn::as_before(one, &mut provider);
    provider
}

fn remote_keys(remote: &Item<'_>) -> Value {
    remote.refuse_others(&[
        "uri",
        "cacheDuration",
        "failedRefetchDuration",
        "backendRef",
        "backendRefs",
        "backendSettings",
    ]);
    let uri = remote.text_of("uri").unwrap_or_default();
    let cluster =
        host_and_port(&uri).map(|(host, port)| format!("{}_{port}", host.replace('.', "_")));
    let cluster = cluster.unwrap_or_else(|| "keys".to_owned());
    remote.differs(format!(
        "Envoy Gateway makes no cluster for a filter in WebAssembly, and the one of this policy goes \
         with it; `{cluster}` is expected to be one that leads there; hint: the `bootstrap` of an \
         EnvoyProxy can add it, and `localJWKS` needs none"
    ));
    for key in ["backendRef", "backendRefs", "backendSettings"] {
        if let Some(member) = remote.member(key) {
            member.note("is left out: what it says belongs to that cluster");
        }
    }
    let duration = |key: &str| remote.member(key).and_then(|member| member.duration());
    let refetch = duration("failedRefetchDuration");
    let refetch = refetch.map(|pause| json!({"failed_refetch_duration": pause}));
    let cache = duration("cacheDuration").unwrap_or_else(|| CACHE_DURATION.into());
    object([
        (
            "http_uri",
            Some(json!({"uri": uri, "cluster": cluster, "timeout": TIMEOUT})),
        ),
        ("cache_duration", Some(cache)),
        ("async_fetch", refetch),
        ("retry_policy", Some(json!({}))),
    ])
    .into()
}

/// Keys in the policy, or in a `ConfigMap` of the same files.
fn local_keys(provider: &str, local: &Item<'_>, policy: &Item<'_>, maps: &[Item<'_>]) -> Value {
    local.refuse_others(&["type", "inline", "valueRef"]);
    if let Some(keys) = local.text_of("inline") {
        return json!({"inline_string": keys});
    }
    let reference = local.member("valueRef").unwrap_or_else(|| local.clone());
    let name = reference.text_of("name");
    let of = |item: &Item<'_>, key: &str| {
        let metadata = item.member("metadata");
        metadata.and_then(|metadata| metadata.text_of(key))
    };
    let map = maps.iter().find(|map| {
        let namespace = of(map, "namespace");
        of(map, "name") == name && (namespace.is_none() || namespace == of(policy, "namespace"))
    });
    let data = map.and_then(|map| map.member("data"));
    let keys = data.and_then(|data| {
        let first = || data.members().into_iter().next().map(|(_, value)| value);
        data.member("jwks").or_else(first)?.text()
    });
    if let Some(keys) = keys {
        reference.note(
            "the keys are copied from the ConfigMap; when they change, so must the configuration",
        );
        return json!({"inline_string": keys.trim()});
    }
    let variable = jwt_authn::variable(provider);
    reference.differs(format!(
        "no file here has this ConfigMap; hint: name it too, or put the keys into the variable \
         `{variable}` and name that in `env.hostKeys`"
    ));
    json!({"environment_variable": variable})
}

/// Its rules are ordered: the first one that matches decides.
fn translate(authorization: &Item<'_>, providers: &[String], clauses: &mut Clauses) {
    let rules = authorization.list("rules");
    let asks = |rule: &Item<'_>| {
        let principal = rule.member("principal");
        principal.is_some_and(|principal| principal.member("jwt").is_some())
    };
    if !rules.iter().any(asks) {
        authorization.note("stays as it is: no token decides in it");
        return;
    }
    authorization.refuse_others(&["defaultAction", "rules"]);
    authorization.note(
        "the gate decides in its place from now on: take it out of the policy, or it goes by claims \
         that it does not find any more",
    );
    let mut allows = Vec::new();
    for rule in &rules {
        rule.refuse_others(&["name", "action", "operation", "principal"]);
        let region = region(rule);
        if rule.text_of("action").as_deref() == Some("Allow") {
            if let (Some(region), Some(demand)) = (region, demand(rule, providers)) {
                allows.push(Clause {
                    region,
                    except: Vec::new(),
                    demand,
                });
            }
            continue;
        }
        rule.differs(
            "refuses more than before: the gate cannot tell what a token must not be like, so nothing \
             gets past this rule",
        );
        clauses.allows = Some(allows);
        return;
    }
    if authorization.text_of("defaultAction").as_deref() == Some("Allow") {
        allows.push(Clause {
            region: Region::all(),
            except: Vec::new(),
            demand: Demand::Base,
        });
    }
    clauses.allows = Some(allows);
}

fn region(rule: &Item<'_>) -> Option<Region> {
    let Some(operation) = rule.member("operation") else {
        return Some(Region::all());
    };
    let mut region = Region::all();
    for (name, member) in operation.members() {
        if name != "methods" {
            member.differs("the gate does not know it, so the rule lets nothing through");
            return None;
        }
        let methods = member.elements();
        let methods: BTreeSet<_> = methods.iter().filter_map(Item::text).collect();
        region.methods = (!methods.is_empty()).then_some(methods);
    }
    Some(region)
}

/// What a token has to say; `None` for a rule that depends on something else.
fn demand(rule: &Item<'_>, providers: &[String]) -> Option<Demand> {
    let mut demand = Demand::Base;
    let Some(principal) = rule.member("principal") else {
        rule.differs("is for no `principal`, so it lets nothing through");
        return None;
    };
    for (name, member) in principal.members() {
        if name != "jwt" {
            member.differs(
                "the gate does not know it, so the rule lets nothing through; hint: a rule without \
                 `jwt` can stay in the policy, where it decides after the gate",
            );
            return None;
        }
        member.refuse_others(&["provider", "claims", "scopes"]);
        let named = member.text_of("provider");
        let named = named.map_or_else(|| providers.to_vec(), |name| vec![name]);
        let scopes = member.list("scopes").into_iter().filter_map(|scope| {
            let name = scope.text()?;
            Some(Text::Split.condition(("claim_name", &SCOPE.into()), &name, &scope))
        });
        let claims: Vec<_> = scopes.collect();
        if !claims.is_empty() {
            member.note(
                "the scopes are looked for in `scope` alone, as before; hint: `scopes` in place of \
                 these `claims` takes `scp` too, and the challenge names them",
            );
        }
        demand = both(
            demand,
            Demand::OneOf(vec![Need {
                providers: named,
                claims,
            }]),
        );
        for claim in member.list("claims") {
            demand = both(demand, Demand::OneOf(claim_needs(&claim, providers)));
        }
    }
    Some(demand)
}

/// One of these: a text has to be one of the values, and a list has to have one of them.
fn claim_needs(claim: &Item<'_>, providers: &[String]) -> Vec<Need> {
    claim.refuse_others(&["name", "valueType", "values"]);
    let name = claim.text_of("name").unwrap_or_default();
    let values = claim.texts_of("values");
    let kind = claim.text_of("valueType");
    if let Some(kind) = &kind
        && !["String", "StringArray"].contains(&kind.as_str())
    {
        claim.opens(format!(
            "`{kind}` is no `valueType` that is known here, so a text is looked for, which may OPEN \
             what it closed"
        ));
    }
    let need = |claim: Value| Need {
        providers: providers.to_vec(),
        claims: vec![claim],
    };
    if kind.as_deref() != Some("StringArray") {
        if name == SCOPE {
            claim.note(
                "`scope` is a list of words there, which is like no text, so the rule lets nothing \
                 through, as before; hint: `scopes`",
            );
            return Vec::new();
        }
        return vec![need(json!({"claim_name": name, "one_of": values}))];
    }
    let way = if name == SCOPE {
        Text::Split
    } else {
        Text::Never
    };
    let named = ("claim_name", &name.into());
    let values = values.iter();
    values
        .map(|value| need(way.condition(named, value, claim)))
        .collect()
}
