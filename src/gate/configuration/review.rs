//! What a configuration without faults may still get wrong: what opens the API although it looks
//! closed, and what can never work.
//!
//! That something cannot be, a rule that no request reaches for instance, is reported only where it
//! is certain: an operator who turns warnings into faults must not have to write a sound
//! configuration differently.

mod blanks;
mod login;
mod methods;
mod paths;
mod providers;
mod records;
mod requirements;
mod session_routes;
mod shadowing;
mod spellings;

use serde_json::Value;

use crate::configuration::{Fault, joined};
use crate::gate::matching::Matcher;
use crate::gate::policy::{Policy, Requirement};

/// A configuration as it was written, and what was made of it.
pub(super) struct Reviewed<'c> {
    configuration: &'c Value,
    policy: &'c Policy,
}

/// One rule as it was written, and what was made of it.
struct Rule<'c> {
    path: String,
    written: &'c Value,
    /// What was made of its `match`.
    known: &'c Matcher,
    requirement: &'c Requirement,
}

/// Every finding, each with its path.
pub(super) fn review(configuration: &Value, policy: &Policy) -> Vec<Fault> {
    let reviewed = Reviewed {
        configuration,
        policy,
    };
    let mut findings = Vec::new();
    reviewed.no_rules(&mut findings);
    reviewed.providers(&mut findings);
    reviewed.blanks(&mut findings);
    reviewed.paths(&mut findings);
    reviewed.methods(&mut findings);
    reviewed.shadowed_rules(&mut findings);
    reviewed.open_spellings(&mut findings);
    reviewed.requirements(&mut findings);
    reviewed.login(&mut findings);
    reviewed.records(&mut findings);
    reviewed.session_routes(&mut findings);
    findings
}

/// The clusters that a configuration names, each with its path.
pub(super) fn clusters(configuration: &Value) -> Vec<(String, &str)> {
    let mut holders = Vec::new();
    for (name, provider) in members(configuration, "providers") {
        let path = joined(&joined("providers", name), "remote_jwks");
        let remote = provider.get("remote_jwks");
        for key in ["http_uri", "openid_discovery"] {
            let holder = remote.and_then(|remote| remote.get(key));
            holders.push((joined(&path, key), holder));
        }
    }
    holders.push(("revocation".to_owned(), configuration.get("revocation")));
    let named = holders.into_iter().filter_map(|(path, holder)| {
        let cluster = holder?.get("cluster")?.as_str()?;
        Some((joined(&path, "cluster"), cluster))
    });
    named.collect()
}

impl<'c> Reviewed<'c> {
    fn rules(&self) -> impl Iterator<Item = Rule<'c>> {
        let written = elements(self.configuration, "rules").enumerate();
        let rules = written.zip(&self.policy.rules);
        rules.map(|((index, written), rule)| Rule {
            path: format!("rules[{index}]"),
            written,
            known: &rule.matcher,
            requirement: &rule.requirement,
        })
    }

    /// Whether something other than rules chooses what a request needs.
    fn has_other_choices(&self) -> bool {
        self.policy.routes.choose() || self.policy.filter_state_rules.is_some()
    }

    fn no_rules(&self, findings: &mut Vec<Fault>) {
        if !self.policy.rules.is_empty() || self.has_other_choices() {
            return;
        }
        let message = if self.policy.allow_unmatched {
            "there are none, and `allow_unmatched` lets every request through"
        } else {
            "there are none, so every request is refused"
        };
        findings.push(finding("rules", message));
    }
}

impl Rule<'_> {
    fn matcher(&self) -> &Value {
        self.written.get("match").unwrap_or(&Value::Null)
    }

    /// A text of the matcher, with its path.
    fn text(&self, key: &str) -> Option<(String, &str)> {
        let text = self.matcher().get(key)?.as_str()?;
        Some((format!("{}.match.{key}", self.path), text))
    }

    /// The text that the path has to be, or to begin with, if it is not a pattern.
    fn plain_path(&self) -> Option<(String, &str)> {
        let mut keys = ["path", "prefix", "path_separated_prefix"].into_iter();
        keys.find_map(|key| self.text(key))
    }

    fn pattern(&self) -> Option<(String, &str)> {
        let pattern = self.matcher().get("safe_regex")?.get("regex")?.as_str()?;
        Some((format!("{}.match.safe_regex.regex", self.path), pattern))
    }

    /// Whether it looks at more than the path.
    fn has_conditions(&self) -> bool {
        let mut lists = ["headers", "query_parameters"].into_iter();
        lists.any(|key| elements(self.matcher(), key).next().is_some())
    }
}

fn finding(path: impl Into<String>, message: impl Into<String>) -> Fault {
    Fault {
        path: path.into(),
        message: message.into(),
    }
}

/// The elements of a list; none where there is no list.
fn elements<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    let list = value.get(key).and_then(Value::as_array);
    list.into_iter().flatten()
}

/// The members of an object; none where there is no object.
fn members<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = (&'v str, &'v Value)> {
    let object = value.get(key).and_then(Value::as_object);
    object
        .into_iter()
        .flatten()
        .map(|(name, member)| (name.as_str(), member))
}
