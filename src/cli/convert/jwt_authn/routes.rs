//! What routes ask for in place of the rules.

use serde_json::{Map, Value, json};

use crate::cli::convert::item::{Item, plain};

/// What routes ask for in place of the rules: `typed_per_filter_config` of a bootstrap or of a
/// configuration of routes. They are found by the name that the filter has there.
pub(in crate::cli::convert) fn routes(
    document: &Item<'_>,
    filter: &str,
    kept: &mut Map<String, Value>,
) {
    let mut found = Vec::new();
    collect(document, filter, None, &mut found);
    if found.iter().all(|(_, settings)| settings.is_none()) {
        return;
    }
    let mut chosen: Map<String, Value> = Map::new();
    for (route, settings) in found {
        let Some(settings) = settings else { continue };
        let Some(name) = route.text_of("name") else {
            route.differs(
                "has no `name` by which what it needs could be chosen, so the rules decide; hint: \
                 give it a name of its own, and convert again",
            );
            continue;
        };
        let Some(requirement) = requirement_of(&settings, kept) else {
            continue;
        };
        let known = chosen.insert(name, requirement.clone().into());
        if known.is_some_and(|known| known != *requirement) {
            route.differs("another route of this name needs something else; hint: rename one");
        }
    }
    if !chosen.is_empty() {
        kept.insert("requirement_by_route_name".to_owned(), chosen.into());
    }
}

type RouteSettings<'d> = (Item<'d>, Option<Item<'d>>);

/// Every route, with what counts there: its own settings, else those of its virtual host, else
/// those of the configuration of routes.
fn collect<'d>(
    item: &Item<'d>,
    filter: &str,
    outer: Option<&Item<'d>>,
    found: &mut Vec<RouteSettings<'d>>,
) {
    if item.value.is_array() {
        for element in item.elements() {
            collect(&element, filter, outer, found);
        }
        return;
    }
    if !item.value.is_object() {
        return;
    }
    let own = item.member("typed_per_filter_config");
    let own = own.and_then(|settings| settings.member(filter));
    let counts = own.as_ref().or(outer);
    for (name, inner) in item.members() {
        match plain(name).as_str() {
            "typedperfilterconfig" => {}
            "routes" => {
                for route in inner.elements() {
                    let own = route.member("typed_per_filter_config");
                    let own = own.and_then(|settings| settings.member(filter));
                    let counts = own.or_else(|| counts.cloned());
                    found.push((route, counts));
                }
            }
            _ => collect(&inner, filter, counts, found),
        }
    }
}

/// The name in `requirement_map` of what a route asks for.
fn requirement_of(settings: &Item<'_>, kept: &mut Map<String, Value>) -> Option<String> {
    const OPEN: &str = "no-token-needed";
    if settings.flag_of("disabled") {
        let map = kept
            .entry("requirement_map")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(map) = map.as_object_mut() {
            map.insert(OPEN.to_owned(), json!({}));
        }
        return Some(OPEN.to_owned());
    }
    // Envoy's `FilterConfig` wraps it.
    let wrapped = settings.member("config");
    let settings = wrapped.as_ref().unwrap_or(settings);
    settings.text_of("requirement_name").or_else(|| {
        settings.differs("asks for nothing that can be translated, so the rules decide");
        None
    })
}
