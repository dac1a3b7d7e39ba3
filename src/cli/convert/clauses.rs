//! Turns clauses that count together into rules of which the first match decides.
//!
//! An `AuthorizationPolicy` lets a request through when one of many clauses fits it, and refuses it
//! when one of others does, in whatever order they stand. So the requests are divided into regions:
//! those of the clauses, and all intersections of these, the narrower ones first. A region needs
//! what all clauses that cover it need together.

mod region;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::item::Item;
use region::Common;
pub(super) use region::{Paths, Region};

/// How many regions there may be, with their intersections; no sensible policy has more.
const MAX_REGIONS: usize = 256;

/// How many alternatives one region may need.
const MAX_ALTERNATIVES: usize = 64;

/// A token that is good enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// One of these providers.
    pub(super) providers: Vec<String>,
    /// What it has to say, as in `claims` of a requirement.
    pub(super) claims: Vec<Value>,
}

/// How the original looks for a value in a claim that is text; in a list it looks at each element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// As a word of it.
    Split,
    /// As the whole of it.
    Whole,
    /// Not at all.
    Never,
}

impl Text {
    /// A condition on the claim (`claim_name` or `claim_path`) that no more tokens meet than
    /// before: `contains` finds words too. Where fewer tokens meet it, that is a warning.
    pub(super) fn condition(self, claim: (&str, &Value), value: &str, item: &Item<'_>) -> Value {
        let (key, claim) = claim;
        if self == Self::Split {
            return json!({key: claim, "contains": value});
        }
        item.differs(
            "lets less through than before where this claim is a list of several values: what finds \
             one of them, `contains`, also finds a word of a text, which is not enough; hint: say \
             `contains` in place of `one_of` if the claim is always a list",
        );
        let alone = (self == Self::Whole).then(|| json!(value));
        let values: Vec<_> = alone.into_iter().chain([json!([value])]).collect();
        json!({key: claim, "one_of": values})
    }
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// What every request needs.
    Base,
    /// One of these; if there are none, no token is enough.
    OneOf(Vec<Need>),
}

/// Requests, and what they need.
#[derive(Clone, Debug)]
pub(super) struct Clause {
    pub(super) region: Region,
    /// Those among them that it does not reach.
    pub(super) except: Vec<Region>,
    pub(super) demand: Demand,
}

/// The clauses of all policies.
#[derive(Debug, Default)]
pub(super) struct Clauses {
    /// Every one of these that reaches a request has to be met.
    pub(super) demands: Vec<Clause>,
    /// One of these that reaches it has to be met; `None` if there is no such condition.
    pub(super) allows: Option<Vec<Clause>>,
}

/// Whether a clause is for a region.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    Whole,
    /// It is not, or only for a part of it that is a region of its own.
    Nothing,
    Unknown,
}

impl Clause {
    fn reach(&self, region: &Region) -> Reach {
        if !self.region.contains(region) {
            return match self.region.common(region) {
                Common::Unknown => Reach::Unknown,
                Common::Nothing | Common::This(_) => Reach::Nothing,
            };
        }
        let is_unknown = |except: &Region| matches!(except.common(region), Common::Unknown);
        if self.except.iter().any(|except| except.contains(region)) {
            Reach::Nothing
        } else if self.except.iter().any(is_unknown) {
            Reach::Unknown
        } else {
            Reach::Whole
        }
    }
}

impl Clauses {
    /// Rules for what these clauses come to; `base` is what every request needs. What is not
    /// certain is decided so that less goes through, with a warning.
    pub(super) fn rules(&self, base: &Value, item: &Item<'_>) -> Vec<Value> {
        let Some(regions) = self.regions() else {
            item.differs("there are too many cases to tell them apart, so nothing goes through");
            return Vec::new();
        };
        let mut decided: Vec<(Region, Demand)> = Vec::new();
        for region in regions {
            let demand = self.demand(&region, item);
            decided.push((region, demand));
        }
        // What no token is enough for is refused by having no rule.
        while let Some((_, Demand::OneOf(needs))) = decided.last() {
            if !needs.is_empty() {
                break;
            }
            decided.pop();
        }
        let needed = decided
            .iter()
            .enumerate()
            .filter(|(index, (region, demand))| {
                let behind = decided.get(index + 1..).unwrap_or_default();
                !is_needless(region, demand, behind)
            });
        let written = needed.map(|(_, (region, demand))| {
            json!({"match": region.matcher(), "requires": requirement(demand, base)})
        });
        written.collect()
    }

    fn all(&self) -> impl Iterator<Item = &Clause> {
        self.demands.iter().chain(self.allows.iter().flatten())
    }

    /// The regions and their intersections, each before those that contain it; `None` when there
    /// are too many.
    fn regions(&self) -> Option<Vec<Region>> {
        let named = self
            .all()
            .flat_map(|clause| clause.except.iter().chain([&clause.region]));
        let mut found: BTreeSet<Region> = named.cloned().collect();
        found.insert(Region::all());
        let mut new: Vec<Region> = found.iter().cloned().collect();
        while let Some(one) = new.pop() {
            for other in found.clone() {
                if let Common::This(region) = one.common(&other)
                    && found.insert(region.clone())
                {
                    new.push(region);
                }
            }
            if found.len() > MAX_REGIONS {
                return None;
            }
        }
        let mut ordered: Vec<Region> = Vec::new();
        for region in found {
            let position = ordered.iter().position(|other| other.contains(&region));
            ordered.insert(position.unwrap_or(ordered.len()), region);
        }
        Some(ordered)
    }

    fn demand(&self, region: &Region, item: &Item<'_>) -> Demand {
        let mut demand = Demand::Base;
        if let Some(allows) = &self.allows {
            let mut needs = Vec::new();
            let mut is_open = false;
            for clause in allows {
                match (clause.reach(region), &clause.demand) {
                    (Reach::Whole, Demand::Base) => is_open = true,
                    (Reach::Whole, Demand::OneOf(more)) => add(more, &mut needs),
                    (Reach::Nothing, _) => {}
                    (Reach::Unknown, _) => item.differs(LESS),
                }
            }
            if !is_open {
                demand = Demand::OneOf(needs);
            }
        }
        for clause in &self.demands {
            match clause.reach(region) {
                Reach::Nothing => continue,
                Reach::Whole => {}
                Reach::Unknown => item.differs(LESS),
            }
            demand = both(demand, clause.demand.clone());
        }
        if let Demand::OneOf(needs) = &mut demand
            && needs.len() > MAX_ALTERNATIVES
        {
            needs.truncate(MAX_ALTERNATIVES);
            item.differs("there are too many alternatives, of which only the first ones are kept");
        }
        demand
    }
}

const LESS: &str = "lets less through than before where templates for paths overlap with other paths: \
                    whether they do is not known here";

fn add(more: &[Need], needs: &mut Vec<Need>) {
    for need in more {
        if !needs.contains(need) {
            needs.push(need.clone());
        }
    }
}

/// Whether the later rules decide the same for this region.
fn is_needless(region: &Region, demand: &Demand, behind: &[(Region, Demand)]) -> bool {
    for (other, others) in behind {
        if other.contains(region) {
            return others == demand;
        }
        let is_apart = matches!(region.common(other), Common::Nothing);
        if !is_apart && others != demand {
            return false;
        }
    }
    false
}

/// Needs that meet one of each list.
pub(super) fn both(one: Demand, other: Demand) -> Demand {
    let (one, other) = match (one, other) {
        (Demand::Base, demand) | (demand, Demand::Base) => return demand,
        (Demand::OneOf(one), Demand::OneOf(other)) => (one, other),
    };
    let mut needs = Vec::new();
    for first in &one {
        for second in &other {
            let providers = first.providers.iter();
            let providers = providers.filter(|name| second.providers.contains(name));
            let providers: Vec<_> = providers.cloned().collect();
            let merged = |one: &[Value], other: &[Value]| {
                let more = other.iter().filter(|claim| !one.contains(claim));
                one.iter().chain(more).cloned().collect::<Vec<_>>()
            };
            let need = Need {
                providers,
                claims: merged(&first.claims, &second.claims),
            };
            if !need.providers.is_empty() && !needs.contains(&need) {
                needs.push(need);
            }
        }
    }
    Demand::OneOf(needs)
}

fn requirement(demand: &Demand, base: &Value) -> Value {
    let needs = match demand {
        Demand::Base => return base.clone(),
        Demand::OneOf(needs) => needs,
    };
    let mut alternatives = Vec::new();
    for need in needs {
        for provider in &need.providers {
            let mut one = json!({"provider_name": provider});
            if let Some(members) = one.as_object_mut()
                && !need.claims.is_empty()
            {
                members.insert("claims".to_owned(), need.claims.clone().into());
            }
            alternatives.push(one);
        }
    }
    match alternatives.len() {
        0 => never(base),
        1 => alternatives.remove(0),
        _ => json!({"requires_any": {"requirements": alternatives}}),
    }
}

/// A requirement that no token meets. There is no keyword for it, since having no rule refuses too.
fn never(base: &Value) -> Value {
    let provider = first_provider(base).unwrap_or_default();
    let claim = json!({"claim_name": "iss", "one_of": []});
    json!({"provider_name": provider, "claims": [claim]})
}

fn first_provider(requirement: &Value) -> Option<&str> {
    match requirement {
        Value::Object(members) => {
            let own = members.get("provider_name").and_then(Value::as_str);
            own.or_else(|| members.values().find_map(first_provider))
        }
        Value::Array(elements) => elements.iter().find_map(first_provider),
        _ => None,
    }
}
