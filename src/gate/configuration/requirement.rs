//! What a request needs: `JwtRequirement`, and ◆ what the token has to say beside.

use super::claims::claim_path;
use super::provider::comparable;
use super::reader::{Fields, Node, Read, all as each};
use crate::gate::policy::{
    Alternatives, ClaimCondition, ClaimTest, Otherwise, Requirement, Scopes, TokenRequirement,
};

/// `{}` asks for nothing, as in `jwt_authn`.
pub(super) fn requirement(node: &Node<'_>, providers: &[String]) -> Read<Requirement> {
    let everybody = || (0..providers.len()).collect();
    Ok(match parsed(node, providers)? {
        Parsed::Requirement(requirement) => requirement,
        Parsed::Otherwise(Otherwise::AllowMissingOrFailed) => {
            Requirement::AllowMissingOrFailed(everybody())
        }
        Parsed::Otherwise(_) => Requirement::AllowMissing(everybody()),
    })
}

/// A requirement, or what becomes of requests that do not meet the others beside it.
enum Parsed {
    Requirement(Requirement),
    Otherwise(Otherwise),
}

const KINDS: &str = "expected at most one of `provider_name`, `provider_and_audiences`, \
                     `requires_any`, `requires_all`, `allow_missing` and \
                     `allow_missing_or_failed`";

fn parsed(node: &Node<'_>, providers: &[String]) -> Read<Parsed> {
    node.object(|fields| {
        fields.refused(
            "extract_only_without_validation",
            "refused: it passes on what nobody has verified; hint: `allow_missing_or_failed`",
        );
        let mut found = Vec::new();
        if let Some(node) = fields.optional("provider_name") {
            let place = place(&node, providers);
            found.push(place.map(|place| token(place, None)));
        }
        if let Some(node) = fields.optional("provider_and_audiences") {
            found.push(provider_and_audiences(&node, providers));
        }
        if let Some(node) = fields.optional("requires_any") {
            found.push(any(&node, providers));
        }
        if let Some(node) = fields.optional("requires_all") {
            found.push(all(&node, providers));
        }
        for (key, otherwise) in [
            ("allow_missing", Otherwise::AllowMissing),
            ("allow_missing_or_failed", Otherwise::AllowMissingOrFailed),
        ] {
            if let Some(node) = fields.optional(key) {
                found.push(node.object(|_| Ok(Parsed::Otherwise(otherwise))));
            }
        }
        if found.is_empty() {
            found.push(Ok(Parsed::Requirement(Requirement::Nothing)));
        }
        let requirement = fields.one_of(found, KINDS);
        with_conditions(fields, requirement)
    })
}

fn token(provider: usize, audiences: Option<Vec<String>>) -> Parsed {
    let needs = TokenRequirement {
        audiences,
        ..TokenRequirement::PLAIN
    };
    Parsed::Requirement(Requirement::Token { provider, needs })
}

fn place(node: &Node<'_>, providers: &[String]) -> Read<usize> {
    let name = node.text()?;
    let place = providers.iter().position(|provider| provider == name);
    place.ok_or_else(|| node.fault(format!("no provider is called `{}`", name.escape_default())))
}

fn provider_and_audiences(node: &Node<'_>, providers: &[String]) -> Read<Parsed> {
    node.object(|fields| {
        let place = fields
            .required("provider_name")
            .and_then(|node| place(&node, providers));
        let audiences = fields.texts("audiences")?;
        // As in `jwt_authn`, where an empty list leaves the provider's own in force.
        let audiences = (!audiences.is_empty()).then(|| comparable(&audiences));
        Ok(token(place?, audiences))
    })
}

/// The elements of `requirements`, of which there has to be one.
fn list<'c>(fields: &mut Fields<'c>) -> Read<Vec<Node<'c>>> {
    let node = fields.required("requirements")?;
    let elements = node.elements()?;
    if elements.is_empty() {
        return Err(node.fault("expected at least one requirement"));
    }
    Ok(elements)
}

/// Two kinds of elements are no requirements of their own: `allow_missing` and
/// `allow_missing_or_failed` say what becomes of requests that meet none of the others; the more
/// lenient one counts, as in `jwt_authn`.
fn any(node: &Node<'_>, providers: &[String]) -> Read<Parsed> {
    node.object(|fields| {
        let mut requirements = Vec::new();
        let mut otherwise = Otherwise::Refuse;
        for element in each(&list(fields)?, |element| parsed(element, providers))? {
            match element {
                Parsed::Requirement(requirement) => requirements.push(requirement),
                Parsed::Otherwise(Otherwise::AllowMissingOrFailed) => {
                    otherwise = Otherwise::AllowMissingOrFailed;
                }
                Parsed::Otherwise(other) if otherwise == Otherwise::Refuse => otherwise = other,
                Parsed::Otherwise(_) => {}
            }
        }
        if requirements.is_empty() {
            return Ok(Parsed::Otherwise(otherwise));
        }
        Ok(Parsed::Requirement(Requirement::Any(Alternatives {
            together: Requirement::all_providers(&requirements, false),
            providers: Requirement::all_providers(&requirements, true),
            requirements,
            otherwise,
        })))
    })
}

fn all(node: &Node<'_>, providers: &[String]) -> Read<Parsed> {
    node.object(|fields| {
        let requirements = each(&list(fields)?, |element| requirement(element, providers))?;
        Ok(Parsed::Requirement(Requirement::All(requirements)))
    })
}

/// ◆ `scopes`, `claims` and `token_types`, which stand beside the provider.
fn with_conditions(fields: &mut Fields<'_>, requirement: Read<Parsed>) -> Read<Parsed> {
    let scopes = fields.optional_as("scopes", scopes_of);
    let claims = fields.each("claims", condition);
    let types = fields.texts("token_types");
    let (scopes, claims, types) = (scopes?, claims?, types?);
    match requirement? {
        Parsed::Requirement(Requirement::Token { provider, needs }) => {
            let needs = TokenRequirement {
                scopes: scopes.unwrap_or_default(),
                claims,
                types,
                ..needs
            };
            Ok(Parsed::Requirement(Requirement::Token { provider, needs }))
        }
        other => {
            if scopes.is_some() || !claims.is_empty() || !types.is_empty() {
                fields.node().fault(
                    "`scopes`, `claims` and `token_types` stand beside `provider_name` or \
                     `provider_and_audiences`",
                );
            }
            Ok(other)
        }
    }
}

fn scopes_of(node: &Node<'_>) -> Read<Scopes> {
    node.object(|fields| {
        let (all_of, any_of) = (fields.each("all_of", scope), fields.each("any_of", scope));
        let scopes = Scopes {
            all_of: all_of?,
            any_of: any_of?,
        };
        if scopes == Scopes::default() {
            return Err(fields.node().fault("expected `all_of` or `any_of`"));
        }
        Ok(scopes)
    })
}

/// RFC 6749 section 3.3; so that it needs no escape in a challenge either.
fn scope(node: &Node<'_>) -> Read<String> {
    let scope = node.text()?;
    let is_token = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
    if !scope.bytes().all(is_token) {
        let message =
            "expected a scope of printable ASCII characters without blanks, `\"` and `\\`";
        return Err(node.fault(message));
    }
    Ok(scope.to_owned())
}

fn condition(node: &Node<'_>) -> Read<ClaimCondition> {
    node.object(|fields| {
        let path = claim_path(fields);
        let mut found = Vec::new();
        if let Some(node) = fields.optional("equals") {
            let value = node.value();
            found.push(value.map(|value| ClaimTest::OneOf(vec![value.clone()])));
        }
        if let Some(node) = fields.optional("one_of") {
            let values = node.elements();
            let values = values.and_then(|values| each(&values, |value| value.value().cloned()));
            found.push(values.map(ClaimTest::OneOf));
        }
        if let Some(node) = fields.optional("contains") {
            found.push(node.value().cloned().map(ClaimTest::Contains));
        }
        if let Some(node) = fields.optional("present") {
            let is_true = node.boolean()?;
            if !is_true {
                node.fault("expected `true`: that a claim is absent cannot be asked for");
            }
            found.push(Ok(ClaimTest::Present));
        }
        let message = "expected one of `equals`, `one_of`, `contains` and `present`";
        let test = fields.one_of(found, message);
        Ok(ClaimCondition {
            path: path?,
            test: test?,
        })
    })
}
