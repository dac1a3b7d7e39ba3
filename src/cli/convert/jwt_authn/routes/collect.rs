//! The routes of a file, and what each needs.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Need;
use crate::cli::convert::item::Item;
use crate::cli::yaml::plain;

/// A route, with what it needs: more than one thing where its clusters do not agree.
pub(super) struct Route<'d> {
    pub(super) item: Item<'d>,
    pub(super) needs: Vec<Need>,
}

/// What has been said so far, from the outside to the inside, of the filter.
#[derive(Clone, Default)]
struct Said {
    is_off: bool,
    /// What the last one that says so asks for.
    need: Option<Need>,
}

impl Said {
    fn need(&self) -> Need {
        match &self.need {
            _ if self.is_off => Need::Nothing,
            Some(need) => need.clone(),
            None => Need::Rules,
        }
    }

    /// As Envoy does it: an entry turns the filter on or off, and what it asks for takes the place of
    /// what was asked for further out, if it asks for something.
    fn and(&self, settings: &Item<'_>) -> Self {
        let kind = settings.text_of("@type").unwrap_or_default();
        if kind.ends_with(".FilterConfig") || settings.member("config").is_some() {
            let is_off = settings.flag_of("disabled");
            let config = settings.member("config");
            let config = config.filter(|config| !is_empty(config) && !is_off);
            return Self {
                is_off,
                need: config
                    .map(|config| asked(&config))
                    .or_else(|| self.need.clone()),
            };
        }
        Self {
            is_off: false,
            need: Some(asked(settings)),
        }
    }
}

fn is_empty(item: &Item<'_>) -> bool {
    item.value
        .as_object()
        .is_some_and(serde_json::Map::is_empty)
}

/// What a `PerRouteConfig` asks for.
fn asked(settings: &Item<'_>) -> Need {
    let kind = settings.text_of("@type").unwrap_or_default();
    if kind.ends_with(".TypedStruct") {
        let kind = settings.text_of("type_url").unwrap_or_default();
        let value = settings.member("value");
        return match value {
            Some(value) if kind.ends_with(".PerRouteConfig") => asked(&value),
            _ => Need::Unknown,
        };
    }
    let is_known = settings.value.as_object().is_some_and(|members| {
        let known = ["@type", "disabled", "requirementname"];
        members
            .keys()
            .all(|name| known.contains(&plain(name).as_str()))
    });
    if !is_known || !(kind.is_empty() || kind.ends_with("jwt_authn.v3.PerRouteConfig")) {
        return Need::Unknown;
    }
    match (
        settings.flag_of("disabled"),
        settings.text_of("requirement_name"),
    ) {
        (true, None) => Need::Nothing,
        (false, Some(name)) => Need::Named(name),
        _ => Need::Unknown,
    }
}

/// Every route, with what it needs: as its clusters say, else as it says itself, else its virtual
/// host, else the configuration of routes.
pub(super) fn collect<'d>(documents: &[Item<'d>], filter: &str) -> Vec<Route<'d>> {
    let mut walk = Walk {
        filter,
        known: documents.iter().flat_map(names_of_routes).collect(),
        found: Vec::new(),
    };
    for document in documents {
        walk.visit(document, &Said::default());
    }
    walk.found
}

/// The configurations of routes in a document, by their names.
fn names_of_routes(document: &Item<'_>) -> Vec<String> {
    fn search(value: &Value, names: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                let is_one = members.keys().any(|name| plain(name) == "virtualhosts");
                if is_one && let Some(name) = members.get("name").and_then(Value::as_str) {
                    names.push(name.to_owned());
                }
                members.values().for_each(|inner| search(inner, names));
            }
            Value::Array(elements) => elements.iter().for_each(|inner| search(inner, names)),
            _ => {}
        }
    }
    let mut names = Vec::new();
    search(document.value, &mut names);
    names
}

struct Walk<'f, 'd> {
    filter: &'f str,
    known: BTreeSet<String>,
    found: Vec<Route<'d>>,
}

impl<'d> Walk<'_, 'd> {
    fn own(&self, item: &Item<'d>) -> Option<Item<'d>> {
        item.member("typed_per_filter_config")?.exact(self.filter)
    }

    fn said(&self, item: &Item<'d>, outer: &Said) -> Said {
        let own = self.own(item);
        own.map_or_else(|| outer.clone(), |settings| outer.and(&settings))
    }

    fn visit(&mut self, item: &Item<'d>, outer: &Said) {
        if item.value.is_array() {
            for element in item.elements() {
                self.visit(&element, outer);
            }
            return;
        }
        let Some(members) = item.value.as_object() else {
            return;
        };
        let kind = members.get("@type").and_then(Value::as_str);
        if kind.is_some_and(|kind| kind.ends_with("route.v3.Route")) {
            self.route(item, outer);
            return;
        }
        let has = |wanted: &str| members.keys().any(|name| plain(name) == wanted);
        let is_level = ["virtualhosts", "vhds", "domains", "routes", "matcher"]
            .iter()
            .any(|name| has(name));
        if !is_level && let Some(settings) = self.own(item) {
            settings.opens(
                "stands where it is not looked at, so what it asks for is not asked for any more, and \
                 this OPENS what it closes; hint: move it to a route with a name, and convert again",
            );
        }
        let said = self.said(item, outer);
        for (name, inner) in item.members() {
            match plain(name).as_str() {
                "typedperfilterconfig" => {}
                "routes" => {
                    for route in inner.elements() {
                        self.route(&route, &said);
                    }
                }
                name => {
                    if inner.value.is_object() {
                        self.elsewhere(name, &inner, has("domains"));
                    }
                    self.visit(&inner, &said);
                }
            }
        }
    }

    fn route(&mut self, route: &Item<'d>, outer: &Said) {
        let said = self.said(route, outer);
        let action = route.member("route");
        let weighted = action
            .as_ref()
            .and_then(|action| action.member("weighted_clusters"));
        let clusters = weighted.as_ref().map(|weighted| weighted.list("clusters"));
        let clusters = clusters.unwrap_or_default();
        let needs = clusters
            .iter()
            .map(|cluster| self.said(cluster, &said).need());
        let mut needs: Vec<_> = needs.collect();
        if needs.is_empty() {
            needs.push(said.need());
        }
        self.found.push(Route {
            item: route.clone(),
            needs,
        });
        self.others(route, &|path| {
            path == route.path || clusters.iter().any(|cluster| cluster.path == path)
        });
    }

    /// Says of the settings in a route that stand where Envoy's documentation does not have any.
    fn others(&self, item: &Item<'d>, is_known: &dyn Fn(&str) -> bool) {
        if item.value.is_array() {
            for element in &item.elements() {
                self.others(element, is_known);
            }
        } else if item.value.is_object() {
            if !is_known(&item.path)
                && let Some(settings) = self.own(item)
            {
                settings.opens(
                    "stands where it is not looked at, so what it asks for is not asked for any more, \
                     and this OPENS what it closes; hint: move it to the route, and convert again",
                );
            }
            for (name, inner) in item.members() {
                if plain(name) != "typedperfilterconfig" {
                    self.others(&inner, is_known);
                }
            }
        }
    }

    /// Says of what leads to routes, or to their settings, that are not in the files.
    fn elsewhere(&self, name: &str, item: &Item<'d>, is_host: bool) {
        let is_here = |name: Option<String>| name.is_some_and(|name| self.known.contains(&name));
        match name {
            "rds" if is_here(item.text_of("route_config_name")) => {}
            "rds" | "vhds" | "scopedrds" => item.differs(
                "leads to routes that are not in these files, so what they ask for in place of the \
                 rules cannot be seen, and the rules decide there, even if they ask for less; hint: \
                 convert the file with their `virtual_hosts` together with this one",
            ),
            "matcher" if is_host => item.differs(
                "is a tree, in which only a `Route` and a `RouteList` are looked at; what any other \
                 leads to asks for in place of the rules cannot be seen, and the rules decide there, \
                 even if they ask for less; hint: write `routes` in its place",
            ),
            _ => {}
        }
    }
}
