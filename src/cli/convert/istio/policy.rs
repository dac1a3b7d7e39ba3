//! What an `AuthorizationPolicy` asks of tokens.

mod operation;
mod tokens;
mod words;

use super::Issuer;
use crate::cli::convert::clauses::{Clause, Clauses, Demand, Need, Region, both};
use crate::cli::convert::item::Item;
use operation::operation;
use tokens::{condition, principal};
use words::{bracketed, header};

const HEADERS: &str = "request.headers";

/// Whether anything in the policy depends on a token.
pub(super) fn asks_for_tokens(policy: &Item<'_>) -> bool {
    let spec = policy.member("spec");
    let rules = spec.map_or_else(Vec::new, |spec| spec.list("rules"));
    rules.iter().any(rule_asks)
}

fn rule_asks(rule: &Item<'_>) -> bool {
    let from = rule.list("from");
    let mut sources = from.iter().filter_map(|from| from.member("source"));
    let by_source = sources.any(|source| {
        let mut keys = ["requestPrincipals", "notRequestPrincipals"].into_iter();
        keys.any(|key| !source.list(key).is_empty())
    });
    let mut when = rule.list("when").into_iter();
    by_source || when.any(|when| when.text_of("key").is_some_and(|key| is_of_token(&key)))
}

fn is_of_token(key: &str) -> bool {
    key.starts_with("request.auth.")
}

fn action(policy: &Item<'_>) -> String {
    let spec = policy.member("spec");
    let action = spec.and_then(|spec| spec.text_of("action"));
    action.unwrap_or_else(|| "ALLOW".to_owned())
}

/// Any policy that allows is enough, so either all of them are translated or none.
fn translates_allows(policies: &[&Item<'_>]) -> bool {
    let mut allowing = policies.iter().filter(|policy| action(policy) == "ALLOW");
    allowing.any(|policy| asks_for_tokens(policy))
}

/// Whether a part of the policy is translated where these apply.
pub(super) fn is_translated(policy: &Item<'_>, policies: &[&Item<'_>]) -> bool {
    match action(policy).as_str() {
        "ALLOW" => translates_allows(policies),
        "DENY" => asks_for_tokens(policy),
        _ => false,
    }
}

/// Says what becomes of a policy, or a rule of it, that has been translated.
fn tell_fate(item: &Item<'_>, is_replaced: bool, done: &str) {
    if is_replaced {
        item.note(format!(
            "the gate decides in its place from now on: {done}; of plain TCP, which it kept away as \
             well, the gate sees nothing: keep a policy for such ports"
        ));
    } else {
        item.differs(
            "the gate decides in its place only for the workloads of these configurations, and it is \
             still needed for its other ones: do not delete it, but narrow it to those",
        );
    }
}

/// The clauses of all these policies, as far as a token decides about them; `is_replaced` tells
/// whether the gate decides for all workloads of one.
pub(super) fn clauses(
    policies: &[&Item<'_>],
    issuers: &[Issuer],
    is_replaced: &dyn Fn(&Item<'_>) -> bool,
) -> Clauses {
    let translates_allows = translates_allows(policies);
    let mut clauses = Clauses::default();
    for policy in policies {
        let spec = policy.member("spec");
        if let Some(spec) = &spec
            && is_translated(policy, policies)
        {
            spec.refuse_others(&["selector", "targetRef", "targetRefs", "action", "rules"]);
        }
        let rules = spec.map_or_else(Vec::new, |spec| spec.list("rules"));
        match action(policy).as_str() {
            "ALLOW" if translates_allows => {
                let done = "delete it, or it refuses what has no `requestPrincipals` any more";
                tell_fate(policy, is_replaced(policy), done);
                let allows = clauses.allows.get_or_insert_default();
                for rule in &rules {
                    allows.extend(Rule::of(rule, issuers).allows());
                }
            }
            "DENY" => {
                let asking: Vec<_> = rules.iter().filter(|rule| rule_asks(rule)).collect();
                let done = "delete this rule, or it goes by a `requestPrincipals` that is always \
                            empty";
                for rule in &asking {
                    tell_fate(rule, is_replaced(policy), done);
                    clauses.demands.extend(Rule::of(rule, issuers).demands());
                }
                if asking.is_empty() {
                    policy.note("stays as it is: no token decides in it");
                }
            }
            "AUDIT" if asks_for_tokens(policy) => policy.differs(
                "only the actions `ALLOW` and `DENY` can be translated, so it is left out; what it \
                 asks of tokens finds none any more",
            ),
            _ if asks_for_tokens(policy) => policy.opens(
                "only the actions `ALLOW` and `DENY` can be translated, so it is left out; what it \
                 asks of tokens finds none any more, and the service that it calls is not \
                 asked, which may OPEN what it closed; hint: let it go by something else, and \
                 convert again",
            ),
            _ => policy.note("stays as it is: no token decides in it"),
        }
    }
    clauses
}

/// One rule of a policy: sources, operations, conditions.
struct Rule<'r, 'd> {
    item: &'r Item<'d>,
    sources: Vec<Source>,
    regions: Vec<Reach>,
}

/// Requests that an operation is for.
#[derive(Clone)]
struct Reach {
    region: Region,
    /// Those among them that it is not for.
    except: Vec<Region>,
    /// Whether there is more to it that the gate does not see, or cannot say.
    is_more: bool,
}

impl Reach {
    const fn all() -> Self {
        Self {
            region: Region::all(),
            except: Vec::new(),
            is_more: false,
        }
    }
}

/// The sender of a request, as far as its token names it.
#[derive(Clone, Default)]
struct Source {
    /// Conditions on its token, all of which have to hold.
    has: Vec<Vec<Need>>,
    /// Conditions of which none may hold.
    lacks: Vec<Vec<Need>>,
    /// Whether there is more to it that the gate does not see, or cannot say.
    is_more: bool,
}

impl<'r, 'd> Rule<'r, 'd> {
    fn of(item: &'r Item<'d>, issuers: &[Issuer]) -> Self {
        item.refuse_others(&["from", "to", "when"]);
        let from = item.list("from");
        let mut sources: Vec<_> = from.iter().map(|from| source(from, issuers)).collect();
        if sources.is_empty() {
            sources.push(Source::default());
        }
        let to = item.list("to");
        for (list, known) in [(&from, "source"), (&to, "operation")] {
            for one in list {
                one.refuse_others(&[known]);
            }
        }
        let mut regions: Vec<_> = to.iter().flat_map(operation).collect();
        if to.is_empty() {
            regions.push(Reach::all());
        }
        let mut rule = Self {
            item,
            sources,
            regions,
        };
        for when in item.list("when") {
            rule.add_condition(&when, issuers);
        }
        rule
    }

    fn add_condition(&mut self, when: &Item<'_>, issuers: &[Issuer]) {
        when.refuse_others(&["key", "values", "notValues"]);
        let key = when.text_of("key").unwrap_or_default();
        let (values, others) = (when.list("values"), when.list("notValues"));
        if values.is_empty() && others.is_empty() {
            when.opens(
                "says of no value what it should be, so it narrows nothing; that may OPEN what it was \
                 to close; hint: `values` or `notValues`",
            );
        }
        if let Some(name) = bracketed(&key, HEADERS)
            .as_deref()
            .and_then(<[String]>::first)
        {
            self.add_headers(name, &values, &others);
            return;
        }
        let mut has = Vec::new();
        let mut is_more = !is_of_token(&key);
        let read = |list: &[Item<'_>], is_more: &mut bool| {
            let mut needs = Vec::new();
            for value in list {
                match condition(&key, value, issuers) {
                    Some(more) => needs.extend(more),
                    None => *is_more = true,
                }
            }
            needs
        };
        if is_more {
            when.differs(format!("the gate does not know `{key}`"));
        } else {
            if !values.is_empty() {
                has.push(read(&values, &mut is_more));
            }
            let lacks = read(&others, &mut is_more);
            for source in &mut self.sources {
                source.has.extend(has.clone());
                if !others.is_empty() {
                    source.lacks.push(lacks.clone());
                }
            }
        }
        for source in &mut self.sources {
            source.is_more |= is_more;
        }
    }

    fn add_headers(&mut self, name: &str, values: &[Item<'_>], others: &[Item<'_>]) {
        let regions = std::mem::take(&mut self.regions);
        for reach in regions {
            let mut inverted = reach.region;
            for other in others.iter().filter_map(Item::text) {
                let mut matcher = header(name, &other);
                if let Some(members) = matcher.as_object_mut() {
                    members.insert("invert_match".to_owned(), true.into());
                    if !members.contains_key("present_match") {
                        members.insert("treat_missing_header_as_empty".to_owned(), true.into());
                    }
                }
                inverted.headers.insert(matcher.to_string());
            }
            let (except, is_more) = (reach.except, reach.is_more);
            let mut narrowed = vec![inverted.clone()];
            if !values.is_empty() {
                let values = values.iter().filter_map(Item::text);
                let values = values.map(|value| {
                    let mut region = inverted.clone();
                    region.headers.insert(header(name, &value).to_string());
                    region
                });
                narrowed = values.collect();
            }
            self.regions
                .extend(narrowed.into_iter().map(|region| Reach {
                    region,
                    except: except.clone(),
                    is_more,
                }));
        }
    }

    /// What it lets through.
    fn allows(self) -> Vec<Clause> {
        let mut clauses = Vec::new();
        for source in &self.sources {
            if source.is_more || !source.lacks.is_empty() {
                self.item.differs(
                    "lets nothing through any more: it is for requests that the gate cannot tell \
                     from others",
                );
                continue;
            }
            let mut demand = Demand::Base;
            for needs in &source.has {
                demand = both(demand, Demand::OneOf(needs.clone()));
            }
            if self.regions.iter().any(|reach| reach.is_more) {
                self.item.differs(
                    "lets less through than before: it goes by something of the request that the \
                     gate does not know",
                );
            }
            let known = self.regions.iter().filter(|reach| !reach.is_more);
            clauses.extend(known.map(|reach| reach.clause(&demand)));
        }
        clauses
    }

    /// What is needed so that it does not refuse.
    fn demands(self) -> Vec<Clause> {
        let mut clauses = Vec::new();
        for source in &self.sources {
            if source.has.is_empty() && source.lacks.is_empty() {
                self.item.note(
                    "has a source about which no token decides: keep the rule for that source alone",
                );
                continue;
            }
            if source.is_more || self.regions.iter().any(|reach| reach.is_more) {
                self.item.differs(
                    "refuses more than before: it goes by something besides the token that the gate \
                     does not know",
                );
            }
            if !source.has.is_empty() {
                self.item.differs(
                    "refuses more than before: it is for tokens of one kind, and the gate cannot \
                     tell what a token must not be like",
                );
            }
            let demand = Demand::OneOf(source.lacks.concat());
            let regions = self.regions.iter();
            clauses.extend(regions.map(|reach| reach.clause(&demand)));
        }
        clauses
    }
}

impl Reach {
    fn clause(&self, demand: &Demand) -> Clause {
        Clause {
            region: self.region.clone(),
            except: self.except.clone(),
            demand: demand.clone(),
        }
    }
}

fn source(from: &Item<'_>, issuers: &[Issuer]) -> Source {
    let mut source = Source::default();
    let Some(given) = from.member("source") else {
        return source;
    };
    for (name, member) in given.members() {
        let values = member.elements();
        match name {
            "requestPrincipals" | "notRequestPrincipals" => {
                let mut needs = Vec::new();
                for value in &values {
                    match principal(value, issuers) {
                        Some(need) => needs.extend(need),
                        None => source.is_more = true,
                    }
                }
                if name == "requestPrincipals" {
                    source.has.push(needs);
                } else {
                    source.lacks.push(needs);
                }
            }
            _ if values.is_empty() => {}
            _ => {
                member.differs("the gate does not know it");
                source.is_more = true;
            }
        }
    }
    source
}
