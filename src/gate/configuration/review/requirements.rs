//! What rules and routes ask for: requirements that ask for nothing without saying so.

use serde_json::Value;

use super::{Reviewed, elements, finding, members};
use crate::gate::configuration::reader::{Fault, joined};

impl Reviewed<'_> {
    pub(super) fn requirements(&self, findings: &mut Vec<Fault>) {
        for rule in self.rules() {
            let path = joined(&rule.path, "requires");
            let Some(requirement) = rule.written.get("requires") else {
                continue;
            };
            if is_empty(requirement) {
                let message = "asks for nothing, so the path is open; hint: leave `requires` out \
                               where that is meant";
                findings.push(finding(&*path, message));
            }
            inside(&path, requirement, findings);
        }
        let empty = Value::Null;
        let by_filter_state = self.configuration.get("filter_state_rules");
        let by_filter_state = by_filter_state.unwrap_or(&empty);
        for (holder, key, path) in [
            (self.configuration, "requirement_map", "requirement_map"),
            (by_filter_state, "requires", "filter_state_rules.requires"),
        ] {
            for (name, requirement) in members(holder, key) {
                inside(&joined(path, name), requirement, findings);
            }
        }
    }
}

/// What stands inside a requirement.
fn inside(path: &str, requirement: &Value, findings: &mut Vec<Fault>) {
    for (key, message) in [
        (
            "requires_any",
            "asks for nothing, so every request meets it and needs nothing else; hint: \
             `allow_missing: {}` where a token is not needed",
        ),
        ("requires_all", "asks for nothing"),
    ] {
        let list = requirement.get(key).unwrap_or(&Value::Null);
        for (place, element) in elements(list, "requirements").enumerate() {
            let path = format!("{path}.{key}.requirements[{place}]");
            if is_empty(element) {
                findings.push(finding(&*path, message));
            }
            inside(&path, element, findings);
        }
    }
    for key in ["claims", "token_types"] {
        if is_empty_list(requirement, key) {
            findings.push(finding(joined(path, key), NOTHING_CHECKED));
        }
    }
}

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
