//! What a policy asks of tokens, as a requirement can say it.

use serde_json::{Value, json};

use super::words::bracketed;
use crate::cli::convert::clauses::Need;
use crate::cli::convert::istio::Issuer;
use crate::cli::convert::item::Item;

const CLAIMS: &str = "request.auth.claims";

fn need(providers: Vec<String>, claims: Vec<Value>) -> Need {
    Need {
        providers,
        claims,
        scopes: Vec::new(),
    }
}

/// Tokens whose issuer and subject are like this; `*` stands for any text, at one end. `None` for
/// what a requirement cannot say.
pub(super) fn principal(value: &Item<'_>, issuers: &[Issuer]) -> Option<Vec<Need>> {
    let text = value.text()?;
    let of = |is_meant: &dyn Fn(&str) -> bool| {
        let meant = issuers.iter().filter(|known| is_meant(&known.name));
        let meant: Vec<_> = meant.map(|known| known.provider.clone()).collect();
        if meant.is_empty() {
            value.note("no provider here has such an issuer, so nobody is meant");
        }
        meant
    };
    let there = json!({"claim_name": "sub", "present": true});
    let is = |subject: &str| json!({"claim_name": "sub", "equals": subject});
    let refused = || {
        value.differs("a requirement cannot say how `sub` begins or ends");
        None
    };
    let (providers, claim) = match text.rsplit_once('/') {
        None if text == "*" => (of(&|_| true), there),
        Some((issuer, subject)) if text.starts_with('*') => {
            let end = issuer.strip_prefix('*').unwrap_or(issuer);
            (of(&|known| known.ends_with(end)), is(subject))
        }
        None if text.starts_with('*') => return refused(),
        Some((issuer, "*")) => (of(&|known| known == issuer), there),
        Some(_) if text.ends_with('*') => return refused(),
        None if text.ends_with('*') => {
            let begin = text.strip_suffix('*').unwrap_or(&text);
            (of(&|known| known.starts_with(begin)), there)
        }
        Some((issuer, subject)) => (of(&|known| known == issuer), is(subject)),
        None => (of(&|known| known == text), is("")),
    };
    let meant = (!providers.is_empty()).then(|| need(providers, vec![claim]));
    Some(Vec::from_iter(meant))
}

/// Tokens that a condition is for.
pub(super) fn condition(
    key: &str,
    value: &Item<'_>,
    when: &Item<'_>,
    issuers: &[Issuer],
) -> Option<Vec<Need>> {
    if key == "request.auth.principal" {
        return principal(value, issuers);
    }
    let path = match key {
        "request.auth.audiences" => vec!["aud".to_owned()],
        "request.auth.presenter" => vec!["azp".to_owned()],
        _ => bracketed(key, CLAIMS)?,
    };
    let text = value.text()?;
    let keys: Vec<_> = path.iter().map(|name| json!({"key": name})).collect();
    let all = issuers.iter().map(|issuer| issuer.provider.clone());
    let (way, expected) = if text == "*" {
        ("present", true.into())
    } else if text.starts_with('*') || text.ends_with('*') {
        value.differs("a requirement cannot say how a claim begins or ends");
        return None;
    } else if path == ["azp"] {
        ("equals", Value::from(text))
    } else {
        let is_split = |issuer: &Issuer| match path.as_slice() {
            [name] => issuer.split.contains(name),
            _ => false,
        };
        if path != ["aud"] && !issuers.iter().all(is_split) {
            when.differs(
                "where this claim is text of several words, one of them is enough, which was not \
                 so; in a list it is the same",
            );
        }
        ("contains", Value::from(text))
    };
    let claim = json!({"claim_path": keys, way: expected});
    Some(vec![need(all.collect(), vec![claim])])
}
