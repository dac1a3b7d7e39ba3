//! Rules and what routes choose: `RequirementRule`, `requirement_map`.

use std::rc::Rc;

use super::reader::{Fields, Node, Read};
use super::{matchers, requirement};
use crate::gate::matching::{Matcher, PathMatcher};
use crate::gate::policy::{FilterStateRules, Requirement, Routes, Rule};
use crate::gate::text::TextMatcher;

type Named = [(String, Rc<Requirement>)];

/// `requirement_map`, and ◆ which route chooses which of them.
pub(super) fn routes(fields: &mut Fields<'_>, providers: &[String]) -> Routes {
    let requirements = fields.optional_as("requirement_map", |node| {
        Ok(requirements_of(node, providers))
    });
    let requirements = requirements.ok().flatten().unwrap_or_default();
    let entries = fields.optional_as("requirement_by_route_name", |node| {
        Ok(node.entries()?.collect::<Vec<_>>())
    });
    let mut by_name = Vec::new();
    for (route, node) in entries.ok().flatten().unwrap_or_default() {
        if let Ok(requirement) = chosen(&node, &requirements) {
            by_name.push((route.to_owned(), requirement));
        }
    }
    Routes {
        by_metadata: fields.flag("requirement_from_route_metadata", false),
        requirements,
        by_name,
    }
}

/// `filter_state_rules`: requirements by the text of an object in the filter state.
pub(super) fn filter_state_rules(
    fields: &mut Fields<'_>,
    providers: &[String],
) -> Read<Option<FilterStateRules>> {
    fields.optional_as("filter_state_rules", |node| {
        node.object(|fields| {
            let name = fields.required("name").and_then(|node| node.text());
            let requires = fields.optional("requires");
            let requirements = requires.map(|node| requirements_of(&node, providers));
            Ok(FilterStateRules {
                name: name?.to_owned(),
                requirements: requirements.unwrap_or_default(),
            })
        })
    })
}

/// Requirements by names that the operator chooses.
fn requirements_of(node: &Node<'_>, providers: &[String]) -> Vec<(String, Rc<Requirement>)> {
    let mut requirements = Vec::new();
    for (name, node) in node.entries().into_iter().flatten() {
        if let Ok(requirement) = requirement::requirement(&node, providers) {
            requirements.push((name.to_owned(), Rc::new(requirement)));
        }
    }
    requirements
}

/// The name of a requirement, or `disabled: true` as in `jwt_authn`'s settings of a route.
fn chosen(node: &Node<'_>, requirements: &Named) -> Read<Rc<Requirement>> {
    if !node.is_object() {
        return named(node, requirements);
    }
    node.object(|fields| {
        let node = fields.required("disabled")?;
        if node.boolean()? {
            return Ok(Rc::new(Requirement::Nothing));
        }
        Err(node.fault("expected `true`; hint: the name of a requirement in place of the object"))
    })
}

fn named(node: &Node<'_>, requirements: &Named) -> Read<Rc<Requirement>> {
    let name = node.text()?;
    let found = requirements.iter().find(|(known, _)| known == name);
    let requirement = found.map(|(_, requirement)| Rc::clone(requirement));
    requirement.ok_or_else(|| {
        node.fault(format!(
            "no entry of `requirement_map` is called `{}`",
            name.escape_default()
        ))
    })
}

pub(super) fn rules(
    fields: &mut Fields<'_>,
    providers: &[String],
    requirements: &Named,
) -> Read<Vec<Rule>> {
    fields.each("rules", |node| rule(node, providers, requirements))
}

/// `requires: {}` and neither key ask for nothing, as in `jwt_authn`.
fn rule(node: &Node<'_>, providers: &[String], requirements: &Named) -> Read<Rule> {
    node.object(|fields| {
        let matcher = fields.required("match").and_then(|node| matcher(&node));
        let requires = fields.optional("requires");
        let name = fields.optional("requirement_name");
        let requirement = match (requires, name) {
            (None, None) => Ok(Rc::new(Requirement::Nothing)),
            (Some(node), None) => requirement::requirement(&node, providers).map(Rc::new),
            (None, Some(node)) => named(&node, requirements),
            _ => {
                let message = "expected either `requires` or `requirement_name`";
                Err(fields.node().fault(message))
            }
        };
        Ok(Rule {
            matcher: matcher?,
            requirement: requirement?,
        })
    })
}

fn matcher(node: &Node<'_>) -> Read<Matcher> {
    node.object(|fields| {
        for key in [
            "dynamic_metadata",
            "filter_state",
            "grpc",
            "runtime_fraction",
            "tls_context",
        ] {
            fields.refused(key, "not looked at by `jwt_authn`; hint: leave it out");
        }
        fields.refused(
            "path_match_policy",
            "URI templates are not supported; hint: `safe_regex`",
        );
        let ignore_case = !fields.flag("case_sensitive", true);
        let path = path_matcher(fields, ignore_case);
        let headers = fields.each("headers", matchers::header);
        let parameters = fields.each("query_parameters", matchers::parameter);
        Ok(Matcher {
            path: path?,
            headers: headers?,
            parameters: parameters?,
        })
    })
}

fn path_matcher(fields: &mut Fields<'_>, ignore_case: bool) -> Read<PathMatcher> {
    let mut found = Vec::new();
    if let Some(node) = fields.optional("prefix") {
        let prefix = node.string();
        found.push(prefix.map(|text| PathMatcher::Text(TextMatcher::prefix(text, ignore_case))));
    }
    if let Some(node) = fields.optional("path") {
        let path = node.text();
        found.push(path.map(|text| PathMatcher::Text(TextMatcher::exact(text, ignore_case))));
    }
    if let Some(node) = fields.optional("path_separated_prefix") {
        found.push(separated_prefix(&node, ignore_case));
    }
    if let Some(node) = fields.optional("safe_regex") {
        let pattern = matchers::pattern(&node).map(TextMatcher::pattern);
        found.push(pattern.map(PathMatcher::Text));
    }
    if let Some(node) = fields.optional("connect_matcher") {
        found.push(node.object(|_| Ok(PathMatcher::Connect)));
    }
    let message = "expected one of `prefix`, `path`, `path_separated_prefix`, `safe_regex` and \
                   `connect_matcher`";
    fields.one_of(found, message)
}

fn separated_prefix(node: &Node<'_>, ignore_case: bool) -> Read<PathMatcher> {
    let text = node.text()?;
    if text.contains(['?', '#']) || text.ends_with('/') {
        let message = "expected a path without `?` and `#` that does not end with `/`";
        return Err(node.fault(message));
    }
    Ok(PathMatcher::Segments {
        prefix: TextMatcher::prefix(text, ignore_case),
        length: text.len(),
    })
}
