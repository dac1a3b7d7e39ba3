//! The requests that an operation matches.

use std::collections::BTreeSet;

use serde_json::json;

use super::Reach;
use super::words::text_match;
use crate::cli::convert::clauses::{Paths, Region};
use crate::cli::convert::item::Item;
use crate::cli::convert::template;

/// The requests that an operation is for. What cannot be read does not narrow them, which is a
/// warning.
pub(super) fn operation(to: &Item<'_>) -> Vec<Reach> {
    let Some(operation) = to.member("operation") else {
        return vec![Reach::all()];
    };
    let mut regions = vec![Region::all()];
    let mut except = Vec::new();
    let mut is_more = false;
    for (name, member) in operation.members() {
        let values = member.elements();
        let read: Vec<Option<Region>> = match name {
            _ if values.is_empty() => continue,
            "paths" | "notPaths" => values.iter().map(paths).collect(),
            "methods" | "notMethods" => methods(&values),
            "hosts" | "notHosts" => values.iter().map(host).collect(),
            _ => {
                member.differs(
                    "the gate does not know it; hint: a filter can be for one port (`match` of a \
                     TrafficExtension)",
                );
                vec![None]
            }
        };
        let found: Vec<_> = read.iter().flatten().collect();
        if found.len() < read.len() {
            is_more = true;
        } else if name.starts_with("not") {
            except.extend(found.into_iter().cloned());
        } else {
            let narrowed = regions
                .iter()
                .flat_map(|region| found.iter().map(|more| merged(region, more)));
            regions = narrowed.collect();
        }
    }
    let regions = regions.into_iter();
    regions
        .map(|region| Reach {
            region,
            except: except.clone(),
            is_more,
        })
        .collect()
}

/// What is in both; they look at different things.
fn merged(region: &Region, more: &Region) -> Region {
    Region {
        paths: if more.paths == Region::all().paths {
            region.paths.clone()
        } else {
            more.paths.clone()
        },
        methods: more.methods.clone().or_else(|| region.methods.clone()),
        headers: region.headers.union(&more.headers).cloned().collect(),
    }
}

fn paths(value: &Item<'_>) -> Option<Region> {
    let text = value.text()?;
    let paths = if text.contains("{*}") || text.contains("{**}") {
        let text = text.replace("{**}", "**").replace("{*}", "*");
        let Some(pattern) = template::pattern(&text) else {
            value.differs("is no template for paths, so it is left out");
            return None;
        };
        Paths::Like(pattern)
    } else {
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(end), _) => Paths::within("", end),
            (None, Some(begin)) => Paths::below(begin),
            (None, None) => Paths::One(text),
        }
    };
    Some(Region {
        paths,
        ..Region::all()
    })
}

/// One region for all names, and one for each pattern (`P*`, `*ST`, `*`).
fn methods(values: &[Item<'_>]) -> Vec<Option<Region>> {
    let mut names = BTreeSet::new();
    let mut regions = Vec::new();
    for value in values {
        match value.text() {
            Some(text) if !text.contains('*') => {
                names.insert(text);
            }
            text => regions.push(text.map(|text| like(":method", &text, false))),
        }
    }
    if !names.is_empty() {
        regions.push(Some(Region {
            methods: Some(names),
            ..Region::all()
        }));
    }
    regions
}

fn host(value: &Item<'_>) -> Option<Region> {
    Some(like(":authority", &value.text()?, true))
}

/// Where this header is like this text, in which `*` stands for any text at one end.
fn like(header: &str, text: &str, ignore_case: bool) -> Region {
    let mut region = Region::all();
    if let Some(matcher) = text_match(text, ignore_case) {
        let header = json!({"name": header, "string_match": matcher});
        region.headers.insert(header.to_string());
    }
    region
}
