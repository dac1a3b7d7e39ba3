//! What routes ask for in place of the rules.
//!
//! The gate chooses by the name of a route, Envoy by the route. Wherever the two could differ, what
//! is written refuses more, or a warning says that it opens something.

mod collect;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::cli::convert::item::Item;
use collect::{Route, collect};

/// What requests to a route need.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Need {
    /// No token: the filter is switched off, or the requirement asks for nothing.
    Nothing,
    /// What the rules say, which is also what is needed where nothing is said.
    Rules,
    /// A requirement by its name.
    Named(String),
    /// Something that cannot be read.
    Unknown,
}

/// The strictest of these, as far as that is certain; else [`Need::Unknown`].
fn strictest(needs: &BTreeSet<Need>) -> Need {
    let mut more = needs.iter().filter(|need| **need != Need::Nothing);
    match (more.next(), more.next()) {
        (None, _) => Need::Nothing,
        (Some(need), None) => need.clone(),
        (Some(_), Some(_)) => Need::Unknown,
    }
}

/// What routes ask for in place of the rules: `typed_per_filter_config` of a bootstrap or of a
/// configuration of routes. They are found by the name that the filter has there.
pub(in crate::cli::convert) fn routes(
    documents: &[Item<'_>],
    filter: &str,
    kept: &mut Map<String, Value>,
) {
    let found = collect(documents, filter);
    let mut by_name: BTreeMap<String, Vec<Route<'_>>> = BTreeMap::new();
    for mut route in found {
        route.needs = route
            .needs
            .into_iter()
            .map(|need| plain(need, kept))
            .collect();
        match route.item.text_of("name") {
            Some(name) => by_name.entry(name).or_default().push(route),
            None => without_name(&route),
        }
    }
    let mut chosen: Map<String, Value> = Map::new();
    for (name, routes) in by_name {
        let requirement = match together(&routes) {
            Need::Rules => continue,
            Need::Nothing => json!({"disabled": true}),
            Need::Named(requirement) => requirement.into(),
            Need::Unknown => refusal(kept).into(),
        };
        chosen.insert(name, requirement);
    }
    if !chosen.is_empty() {
        kept.insert("requirement_by_route_name".to_owned(), chosen.into());
    }
}

/// A requirement that asks for nothing counts as [`Need::Nothing`], and one that equals what all
/// rules ask for as [`Need::Rules`].
fn plain(need: Need, kept: &Map<String, Value>) -> Need {
    let Need::Named(name) = &need else {
        return need;
    };
    let by_name = kept.get("requirement_map").and_then(|map| map.get(name));
    if by_name == Some(&json!({})) {
        return Need::Nothing;
    }
    let first = kept.get("rules").and_then(|rules| rules.get(0));
    let Some(first) = first.filter(|rule| rule["match"] == json!({"prefix": "/"})) else {
        return need;
    };
    let is_same = first.get("requirement_name") == Some(&json!(name))
        || (by_name.is_some() && first.get("requires") == by_name);
    if is_same { Need::Rules } else { need }
}

fn without_name(route: &Route<'_>) {
    let needs: BTreeSet<_> = route.needs.iter().cloned().collect();
    if needs.iter().all(|need| *need == Need::Rules) {
        return;
    }
    if needs
        .iter()
        .all(|need| matches!(need, Need::Rules | Need::Nothing))
    {
        route.item.differs(
            "has no `name` by which what it needs could be chosen, so the rules decide, and requests \
             that went through unchecked may be refused; hint: give it a name of its own, and \
             convert again",
        );
        return;
    }
    route.item.opens(
        "has no `name` by which what it needs could be chosen, so the rules decide, and this OPENS \
         the route to whatever they ask less of; hint: give it a name of its own, and convert again",
    );
}

/// What counts for all routes of a name, with a warning where one of them asks for something else.
fn together(routes: &[Route<'_>]) -> Need {
    let needs: BTreeSet<_> = routes
        .iter()
        .flat_map(|route| route.needs.iter().cloned())
        .collect();
    let strictest = strictest(&needs);
    if needs.len() == 1 && strictest != Need::Unknown {
        return strictest;
    }
    for route in routes {
        if route.needs.iter().all(|need| *need == strictest) && strictest != Need::Unknown {
            continue;
        }
        if route.needs.contains(&Need::Unknown) {
            route.item.differs(
                "asks for something that cannot be translated, so requests to routes of this name \
                 are refused; hint: let it ask for a `requirement_name`",
            );
            continue;
        }
        let is_within = route.needs.iter().collect::<BTreeSet<_>>().len() > 1;
        let who = if is_within {
            "its clusters need different things, and the gate does not know which one is chosen"
        } else {
            "another route of this name needs something else"
        };
        let outcome = match strictest {
            Need::Unknown => "requests are refused",
            _ => "the stricter one counts",
        };
        route.item.differs(format!(
            "{who}, so {outcome}; hint: {}",
            if is_within {
                "make routes of their own of them"
            } else {
                "rename one"
            }
        ));
    }
    strictest
}

/// An unused name, for a requirement that no token meets.
fn refusal(kept: &mut Map<String, Value>) -> String {
    let mut name = "nothing-passes".to_owned();
    let provider = kept.get("providers").and_then(Value::as_object);
    let provider = provider.and_then(|providers| providers.keys().next());
    // Without a provider the name is that of no requirement, which the filter does not take.
    let Some(provider) = provider else {
        return name;
    };
    let never = json!({"provider_name": provider, "claims": [
        {"claim_name": "exp", "equals": 0}, {"claim_name": "exp", "equals": 1},
    ]});
    let map = kept
        .entry("requirement_map")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(map) = map.as_object_mut() {
        while map.get(&name).is_some_and(|known| *known != never) {
            name.push('_');
        }
        map.insert(name.clone(), never);
    }
    name
}
