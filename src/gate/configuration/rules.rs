//! Rules and what routes choose: `RequirementRule`, `requirement_map`.

use std::rc::Rc;

use super::matchers::{self, exact, whole_pattern};
use super::requirement::requirement;
use crate::configuration::{Fields, Node, Read, all};
use crate::gate::matching::{Matcher, PathMatcher};
use crate::gate::policy::{FilterStateRules, Requirement, Routes, Rule};
use crate::gate::text::TextMatcher;

type Named = [(String, Rc<Requirement>)];

/// `requirement_map`, and ◆ which route chooses which of them.
pub(super) fn routes(fields: &mut Fields<'_>, providers: &[String]) -> Routes {
    let requirements = fields.optional("requirement_map");
    let requirements = requirements.map(|node| requirements_of(node, providers));
    let requirements = requirements.unwrap_or_default();
    let mut by_name = Vec::new();
    let entries = fields.optional("requirement_by_route_name");
    let entries = entries.and_then(|node| node.entries().ok());
    for (route, node) in entries.into_iter().flatten() {
        if let Ok(requirement) = chosen(node, &requirements) {
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
    let Some(node) = fields.optional("filter_state_rules") else {
        return Ok(None);
    };
    node.object(|fields| {
        let name = fields.required_text("name");
        let requires = fields.optional("requires");
        let requirements = requires.map(|node| requirements_of(node, providers));
        Ok(Some(FilterStateRules {
            name: name?.to_owned(),
            requirements: requirements.unwrap_or_default(),
        }))
    })
}

/// Requirements by names that the operator chooses.
fn requirements_of(node: Node<'_>, providers: &[String]) -> Vec<(String, Rc<Requirement>)> {
    let mut requirements = Vec::new();
    for (name, node) in node.entries().into_iter().flatten() {
        if let Ok(requirement) = requirement(node, providers) {
            requirements.push((name.to_owned(), Rc::new(requirement)));
        }
    }
    requirements
}

/// The name of a requirement, or `disabled: true` as in `jwt_authn`'s settings of a route.
fn chosen(node: Node<'_>, requirements: &Named) -> Read<Rc<Requirement>> {
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

fn named(node: Node<'_>, requirements: &Named) -> Read<Rc<Requirement>> {
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
    match fields.optional("rules") {
        None => Ok(Vec::new()),
        Some(node) => all(node.elements()?, |node| rule(node, providers, requirements)),
    }
}

/// `requires: {}` and neither key ask for nothing, as in `jwt_authn`.
fn rule(node: Node<'_>, providers: &[String], requirements: &Named) -> Read<Rule> {
    node.object(|fields| {
        let matcher = fields.required("match").and_then(matcher);
        let way = fields.at_most_one_of(&[("requires", true), ("requirement_name", false)]);
        let requirement = match way? {
            None => Ok(Rc::new(Requirement::Nothing)),
            Some((true, node)) => requirement(node, providers).map(Rc::new),
            Some((false, node)) => named(node, requirements),
        };
        Ok(Rule {
            matcher: matcher?,
            requirement: requirement?,
        })
    })
}

fn matcher(node: Node<'_>) -> Read<Matcher> {
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
        let path = fields.one_of(&[
            ("prefix", prefix as ReadPath),
            ("path", |node, ignore_case| {
                exact(node, ignore_case).map(PathMatcher::Text)
            }),
            ("path_separated_prefix", separated_prefix),
            ("safe_regex", |node, ignore_case| {
                whole_pattern(node, ignore_case).map(PathMatcher::Text)
            }),
            ("connect_matcher", |node, _| {
                node.object(|_| Ok(PathMatcher::Connect))
            }),
        ]);
        let path = path.and_then(|(read, node)| read(node, ignore_case));
        let headers = fields.each("headers", matchers::header);
        let parameters = fields.each("query_parameters", matchers::parameter);
        Ok(Matcher {
            path: path?,
            headers,
            parameters,
        })
    })
}

/// How a matcher for the path is read, with or without regard to case.
type ReadPath = fn(Node<'_>, bool) -> Read<PathMatcher>;

/// A prefix, which may be empty and matches every path then.
fn prefix(node: Node<'_>, ignore_case: bool) -> Read<PathMatcher> {
    let prefix = TextMatcher::prefix(node.string()?, ignore_case);
    Ok(PathMatcher::Text(prefix))
}

fn separated_prefix(node: Node<'_>, ignore_case: bool) -> Read<PathMatcher> {
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
