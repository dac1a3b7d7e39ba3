//! What a policy asks of tokens, as a requirement can say it.

use serde_json::{Value, json};

use super::words::bracketed;
use crate::cli::convert::clauses::{Need, Text};
use crate::cli::convert::istio::Issuer;
use crate::cli::convert::item::Item;

const CLAIMS: &str = "request.auth.claims";

/// Tokens whose issuer and subject are like this; `*` stands for any text, at one end. `None` for
/// what a requirement cannot say.
pub(super) fn principal(value: &Item<'_>, issuers: &[Issuer]) -> Option<Vec<Need>> {
    let text = value.text()?;
    if text.starts_with("*/") {
        value.note("means subjects that are this, and no longer those that only end so");
    }
    let mut needs = Vec::new();
    let mut is_more = false;
    for issuer in issuers {
        match subjects(&text, &issuer.name) {
            Some(subjects) => needs.extend(subjects.into_iter().map(|claim| Need {
                providers: vec![issuer.provider.clone()],
                claims: vec![claim],
            })),
            None => is_more = true,
        }
    }
    if is_more {
        value.differs("a requirement cannot say how `sub` begins or ends");
        return (!needs.is_empty()).then_some(needs);
    }
    let takes_any = |need: &Need| need.claims.iter().any(|claim| claim["present"] == true);
    if needs.iter().any(takes_any) {
        value.note("a token with an empty `sub` is let through as well, which Istio refuses");
    }
    if needs.is_empty() {
        value.note("no provider here has such an issuer, so nobody is meant");
    }
    Some(needs)
}

/// What `sub` has to be so that a token of this issuer is like this text. Istio takes what follows
/// the last slash for the subject; before 1.22 it compared issuer, slash and subject as one text,
/// which let through what this does and more. `None` for what a requirement cannot say.
fn subjects(text: &str, issuer: &str) -> Option<Vec<Value>> {
    let there = || vec![json!({"claim_name": "sub", "present": true})];
    let is = |subject: &str| vec![json!({"claim_name": "sub", "equals": subject})];
    let only_if = |is_meant: bool, claims: Vec<Value>| if is_meant { claims } else { Vec::new() };
    if text == "*" {
        return Some(there());
    }
    match (text.strip_prefix('*'), text.rsplit_once('/')) {
        (Some(end), Some((_, subject))) => {
            let of_issuer = end.strip_suffix(subject)?.strip_suffix('/')?;
            Some(only_if(issuer.ends_with(of_issuer), is(subject)))
        }
        (Some(_), None) => None,
        (None, Some((of_issuer, _))) if of_issuer != issuer => Some(Vec::new()),
        (None, Some((_, subject))) => match subject.strip_suffix('*') {
            Some("") => Some(there()),
            Some(_) => None,
            None => Some(is(subject)),
        },
        (None, None) => {
            let begin = text.strip_suffix('*');
            let is_meant = begin.is_some_and(|begin| issuer.starts_with(begin));
            Some(only_if(is_meant, there()))
        }
    }
}

/// Tokens that a condition is for.
pub(super) fn condition(key: &str, value: &Item<'_>, issuers: &[Issuer]) -> Option<Vec<Need>> {
    if key == "request.auth.principal" {
        return principal(value, issuers);
    }
    let path = match key {
        "request.auth.audiences" => vec!["aud".to_owned()],
        "request.auth.presenter" => vec!["azp".to_owned()],
        _ => bracketed(key, CLAIMS)?,
    };
    let text = value.text()?;
    let keys: Value = path.iter().map(|name| json!({"key": name})).collect();
    if text == "*" {
        value.differs(
            "a requirement cannot say that a claim is text or a list with something in it; hint: \
             `present` is any value, an empty one and `false` among them",
        );
        return None;
    }
    if text.starts_with('*') || text.ends_with('*') {
        value.differs("a requirement cannot say how a claim begins or ends");
        return None;
    }
    if path == ["azp"] {
        let all = issuers.iter().map(|issuer| issuer.provider.clone());
        let claim = json!({"claim_path": keys, "equals": text});
        return Some(vec![Need {
            providers: all.collect(),
            claims: vec![claim],
        }]);
    }
    let is_split = |issuer: &&Issuer| match path.as_slice() {
        [name] => issuer.split.contains(name),
        _ => false,
    };
    let (split, whole): (Vec<_>, Vec<_>) = issuers.iter().partition(is_split);
    let ways = [(split, Text::Split), (whole, Text::Whole)];
    let ways = ways.into_iter().filter(|(issuers, _)| !issuers.is_empty());
    let needs = ways.map(|(issuers, way)| {
        let providers = issuers.into_iter().map(|issuer| issuer.provider.clone());
        Need {
            providers: providers.collect(),
            claims: vec![way.condition(("claim_path", &keys), &text, value)],
        }
    });
    Some(needs.collect())
}
