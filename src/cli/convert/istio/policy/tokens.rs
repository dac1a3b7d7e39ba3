//! What a policy asks of tokens, as a requirement can say it.

use serde_json::json;

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
        value.note("means only this subject; Istio before 1.21 took those that end so as well");
    }
    let mut needs = Vec::new();
    for issuer in issuers {
        let claim = match subjects(&text, &issuer.name) {
            Subjects::None => continue,
            Subjects::One(subject) => json!({"claim_name": "sub", "equals": subject}),
            Subjects::Like => {
                value.differs("a requirement cannot say how `sub` begins or ends");
                return None;
            }
            Subjects::All => {
                value.note(
                    "a token with an empty `sub` is let through as well, which Istio refuses",
                );
                json!({"claim_name": "sub", "present": true})
            }
        };
        needs.push(Need {
            providers: vec![issuer.provider.clone()],
            claims: vec![claim],
        });
    }
    if needs.is_empty() {
        value.note("no provider here has such an issuer, so it matches no token");
    }
    Some(needs)
}

/// Which subjects of an issuer are meant.
enum Subjects<'t> {
    None,
    One(&'t str),
    /// Those that begin or end like something.
    Like,
    All,
}

/// Istio takes what follows the last slash for the subject; before 1.21 it compared issuer, slash and
/// subject as one text, which let through what this does and more.
fn subjects<'t>(text: &'t str, issuer: &str) -> Subjects<'t> {
    if text == "*" {
        return Subjects::All;
    }
    if let Some(end) = text.strip_prefix('*') {
        return match end.rsplit_once('/') {
            Some((of_issuer, subject)) if issuer.ends_with(of_issuer) => Subjects::One(subject),
            Some(_) => Subjects::None,
            None => Subjects::Like,
        };
    }
    let Some((of_issuer, subject)) = text.rsplit_once('/') else {
        return match text.strip_suffix('*') {
            Some(begin) if issuer.starts_with(begin) => Subjects::All,
            _ => Subjects::None,
        };
    };
    match subject.strip_suffix('*') {
        _ if of_issuer != issuer => Subjects::None,
        Some("") => Subjects::All,
        Some(_) => Subjects::Like,
        None => Subjects::One(subject),
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
    let keys = json!(path);
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
