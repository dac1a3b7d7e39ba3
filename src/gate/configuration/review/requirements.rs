//! What rules and routes ask for: requirements that ask for nothing without saying so.

use std::rc::Rc;

use serde_json::Value;

use super::blanks::audiences;
use super::{Reviewed, elements, finding, members};
use crate::configuration::{Fault, joined};
use crate::gate::policy::Requirement;

impl Reviewed<'_> {
    pub(super) fn requirements(&self, findings: &mut Vec<Fault>) {
        for rule in self.rules() {
            for key in ["requires", "requirement_name"] {
                let Some(written) = rule.written.get(key) else {
                    continue;
                };
                let path = joined(&rule.path, key);
                let is_told = inside(&path, written, findings);
                if !is_told && opens(rule.requirement) {
                    let message = format!(
                        "asks for nothing, so the path is open; hint: leave `{key}` out where \
                         that is meant"
                    );
                    findings.push(finding(path, message));
                }
            }
        }
        self.named_requirements(findings);
        if self.policy.refusals.is_stripped && self.policy.asks_for_sign_in() {
            let message = "no client is told how its user has to sign in, for which rules ask";
            findings.push(finding("strip_failure_response", message));
        }
    }

    fn named_requirements(&self, findings: &mut Vec<Fault>) {
        let routes = &self.policy.routes;
        let empty = Value::Null;
        let by_filter_state = self.configuration.get("filter_state_rules");
        let by_filter_state = by_filter_state.unwrap_or(&empty);
        let filter_state_rules = self.policy.filter_state_rules.iter();
        let chosen_by_filter_state = filter_state_rules.flat_map(|rules| &rules.requirements);
        // What refers to an entry of the map by its name is reported there.
        let chosen_by_metadata = routes.requirements.iter();
        let chosen_by_metadata = chosen_by_metadata.filter(|_| routes.by_metadata);
        let holders: [(&Value, &str, &str, Vec<&Named>); 3] = [
            (
                self.configuration,
                "requirement_map",
                "requirement_map",
                chosen_by_metadata.collect(),
            ),
            (
                self.configuration,
                "requirement_by_route_name",
                "requirement_by_route_name",
                routes.by_name.iter().collect(),
            ),
            (
                by_filter_state,
                "requires",
                "filter_state_rules.requires",
                chosen_by_filter_state.collect(),
            ),
        ];
        for (holder, key, path, chosen) in holders {
            for (name, written) in members(holder, key) {
                let path = joined(path, name);
                let is_told = inside(&path, written, findings);
                let mut chosen = chosen.iter().filter(|(known, _)| known == name);
                let says_so = written.get("disabled").is_some();
                if !is_told && !says_so && chosen.any(|(_, requirement)| opens(requirement)) {
                    findings.push(finding(path, OPENS_WHAT_CHOOSES_IT));
                }
            }
        }
    }
}

type Named = (String, Rc<Requirement>);

const OPENS_WHAT_CHOOSES_IT: &str = "asks for nothing, so whatever chooses it is open; hint: \
                                     where that is meant, a route can say `disabled: true` in \
                                     place of a name, and `allow_missing_or_failed: {}` has \
                                     tokens checked that come all the same";

/// Whether every request meets it, although it does not say so by `allow_missing`, for instance.
fn opens(requirement: &Requirement) -> bool {
    match requirement {
        Requirement::Nothing => true,
        Requirement::Any(alternatives) => alternatives.requirements.iter().any(opens),
        Requirement::All(requirements) => requirements.iter().all(opens),
        Requirement::Token { .. }
        | Requirement::AllowMissing(_)
        | Requirement::AllowMissingOrFailed(_) => false,
    }
}

/// What is inside a requirement. Says whether a part was reported that asks for nothing.
fn inside(path: &str, requirement: &Value, findings: &mut Vec<Fault>) -> bool {
    let mut is_told = false;
    for (key, message) in [
        (
            "requires_any",
            "asks for nothing, so every request meets it and needs nothing else; hint: \
             `allow_missing: {}` where a token is not needed",
        ),
        ("requires_all", "asks for nothing"),
    ] {
        let list = requirement.get(key).unwrap_or(&Value::Null);
        for (index, element) in elements(list, "requirements").enumerate() {
            let path = format!("{path}.{key}.requirements[{index}]");
            if is_empty(element) {
                findings.push(finding(&*path, message));
                is_told = true;
            }
            is_told |= inside(&path, element, findings);
        }
    }
    void_alternatives(path, requirement, findings);
    if let Some(holder) = requirement.get("provider_and_audiences") {
        let path = joined(path, "provider_and_audiences");
        audiences(&path, holder, findings);
        if is_empty_list(holder, "audiences") {
            let message = "is empty, so the provider's own `audiences` count, if it has any";
            findings.push(finding(joined(&path, "audiences"), message));
        }
    }
    for key in ["claims", "token_types"] {
        if is_empty_list(requirement, key) {
            findings.push(finding(joined(path, key), NOTHING_CHECKED));
        }
    }
    let has = |key| requirement.get(key).is_some();
    if has("amr_values") && !has("acr_values") && !has("max_authentication_age") {
        let message = "no client can be told how to meet it; hint: `acr_values` or \
                       `max_authentication_age`, which a client hands to the identity provider";
        findings.push(finding(joined(path, "amr_values"), message));
    }
    is_told
}

/// Alternatives that refuse nothing, since what stands beside them lets through what they would.
fn void_alternatives(path: &str, requirement: &Value, findings: &mut Vec<Fault>) {
    let list = requirement.get("requires_any").unwrap_or(&Value::Null);
    let is = |element: &Value, key: &str| element.get(key).is_some();
    let is_word = |element: &Value| is(element, MISSING) || is(element, MISSING_OR_FAILED);
    let others = || elements(list, "requirements").filter(|element| !is_word(element));
    let has_others = others().any(|element| !is_empty(element));
    let has_conditions = others().any(asks_for_more);
    for (index, element) in elements(list, "requirements").enumerate() {
        let message = if is(element, MISSING_OR_FAILED) && has_others {
            "lets every request through, so what stands beside it refuses none and only chooses \
             whose claims are passed on; hint: `allow_missing` refuses bad tokens"
        } else if is(element, MISSING) && has_conditions {
            "lets requests without a token through, so a client that does not have what is asked of tokens \
             beside it leaves its token out; hint: a rule without conditions for \
             what such clients may do"
        } else {
            continue;
        };
        findings.push(finding(
            format!("{path}.requires_any.requirements[{index}]"),
            message,
        ));
    }
}

/// Whether tokens have to say something beside who has issued them.
fn asks_for_more(requirement: &Value) -> bool {
    let has = |key| requirement.get(key).is_some() && !is_empty_list(requirement, key);
    let inner = ["requires_any", "requires_all"].into_iter();
    let mut inner = inner.filter_map(|key| requirement.get(key));
    let mut asked = ASKED_OF_TOKENS.iter();
    asked.any(|key| has(key)) || inner.any(|list| elements(list, "requirements").any(asks_for_more))
}

/// What tokens may have to say, and some clients cannot have said.
const ASKED_OF_TOKENS: [&str; 5] = [
    "scopes",
    "claims",
    "acr_values",
    "amr_values",
    "max_authentication_age",
];

const MISSING: &str = "allow_missing";
const MISSING_OR_FAILED: &str = "allow_missing_or_failed";

pub(super) const NOTHING_CHECKED: &str = "is empty, so nothing is checked";

pub(super) fn is_empty_list(holder: &Value, key: &str) -> bool {
    let list = holder.get(key).and_then(Value::as_array);
    list.is_some_and(Vec::is_empty)
}

fn is_empty(requirement: &Value) -> bool {
    requirement
        .as_object()
        .is_some_and(serde_json::Map::is_empty)
}
