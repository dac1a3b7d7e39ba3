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
    if needs.is_empty() {
        value.note("no provider here has such an issuer, so nobody is meant");
    }
    Some(needs)
}

/// What `sub` has to be so that an issuer, a slash and `sub` are like this text. Either may have
/// slashes itself. `None` for what a requirement cannot say.
fn subjects(text: &str, issuer: &str) -> Option<Vec<Value>> {
    let there = json!({"claim_name": "sub", "present": true});
    let is = |subject: &str| json!({"claim_name": "sub", "equals": subject});
    let before = format!("{issuer}/");
    match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(""), _) => Some(vec![there]),
        (Some(end), _) => {
            // The subjects that end so as well are left out: less is let through.
            let places = end
                .match_indices('/')
                .map(|(place, _)| end.split_at(place + 1));
            let whole = places.filter(|(of_issuer, _)| before.ends_with(of_issuer));
            let subjects: Vec<_> = whole.map(|(_, subject)| is(subject)).collect();
            end.contains('/').then_some(subjects)
        }
        (None, Some(begin)) if before.starts_with(begin) => Some(vec![there]),
        (None, Some(begin)) => (!begin.starts_with(&before)).then(Vec::new),
        (None, None) => Some(text.strip_prefix(&before).map(is).into_iter().collect()),
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
