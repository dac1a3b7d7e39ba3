//! What a request needs: `JwtRequirement`, and ◆ what the token has to say beside.

use super::claims::claim_path;
use super::provider::comparable;
use super::reader::{Fields, Node};
use crate::gate::policy::{
    Alternatives, ClaimCondition, ClaimTest, Otherwise, Requirement, Scopes, TokenRequirement,
};

/// `{}` asks for nothing, as in `jwt_authn`.
pub(super) fn requirement(node: &Node<'_>, providers: &[String]) -> Option<Requirement> {
    let everybody = || (0..providers.len()).collect();
    Some(match parsed(node, providers)? {
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

fn parsed(node: &Node<'_>, providers: &[String]) -> Option<Parsed> {
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
                found.push(node.object(|_| Some(Parsed::Otherwise(otherwise))));
            }
        }
        if found.is_empty() {
            found.push(Some(Parsed::Requirement(Requirement::Nothing)));
        }
        let requirement = fields.one_of(found, KINDS);
        with_conditions(fields, requirement)
    })
}

const fn token(provider: usize, audiences: Option<Vec<String>>) -> Parsed {
    Parsed::Requirement(Requirement::Token(TokenRequirement {
        provider,
        audiences,
        scopes: Scopes {
            all_of: Vec::new(),
            any_of: Vec::new(),
        },
        claims: Vec::new(),
        types: Vec::new(),
    }))
}

fn place(node: &Node<'_>, providers: &[String]) -> Option<usize> {
    let name = node.text()?;
    let place = providers.iter().position(|provider| provider == name);
    if place.is_none() {
        node.fault(format!("no provider is called `{}`", name.escape_debug()));
    }
    place
}

fn provider_and_audiences(node: &Node<'_>, providers: &[String]) -> Option<Parsed> {
    node.object(|fields| {
        let place = fields
            .required("provider_name")
            .and_then(|node| place(&node, providers));
        let audiences = fields.texts("audiences");
        // As in `jwt_authn`, where an empty list leaves the provider's own in force.
        let audiences = (!audiences.is_empty()).then(|| comparable(&audiences));
        Some(token(place?, audiences))
    })
}

/// The elements of `requirements`, of which there has to be one.
fn list<'c>(fields: &mut Fields<'c>) -> Option<Vec<Node<'c>>> {
    let node = fields.required("requirements")?;
    let elements: Vec<_> = node.elements()?.collect();
    if elements.is_empty() {
        node.fault("expected at least one requirement");
        return None;
    }
    Some(elements)
}

/// Two kinds of elements are no requirements of their own: `allow_missing` and
/// `allow_missing_or_failed` say what becomes of requests that meet none of the others; the more
/// lenient one counts, as in `jwt_authn`.
fn any(node: &Node<'_>, providers: &[String]) -> Option<Parsed> {
    node.object(|fields| {
        let mut requirements = Vec::new();
        let mut otherwise = Otherwise::Refuse;
        let mut is_sound = true;
        for element in list(fields)? {
            match parsed(&element, providers) {
                Some(Parsed::Requirement(requirement)) => requirements.push(requirement),
                Some(Parsed::Otherwise(Otherwise::AllowMissingOrFailed)) => {
                    otherwise = Otherwise::AllowMissingOrFailed;
                }
                Some(Parsed::Otherwise(other)) if otherwise == Otherwise::Refuse => {
                    otherwise = other;
                }
                Some(Parsed::Otherwise(_)) => {}
                None => is_sound = false,
            }
        }
        if !is_sound {
            return None;
        }
        if requirements.is_empty() {
            return Some(Parsed::Otherwise(otherwise));
        }
        Some(Parsed::Requirement(Requirement::Any(Alternatives {
            together: Requirement::all_providers(&requirements, false),
            providers: Requirement::all_providers(&requirements, true),
            requirements,
            otherwise,
        })))
    })
}

fn all(node: &Node<'_>, providers: &[String]) -> Option<Parsed> {
    node.object(|fields| {
        let elements = list(fields)?;
        let requirements: Vec<_> = elements
            .iter()
            .map(|element| requirement(element, providers))
            .collect();
        let requirements: Option<Vec<_>> = requirements.into_iter().collect();
        Some(Parsed::Requirement(Requirement::All(requirements?)))
    })
}

/// ◆ `scopes`, `claims` and `token_types`, which stand beside the provider.
fn with_conditions(fields: &mut Fields<'_>, requirement: Option<Parsed>) -> Option<Parsed> {
    let scopes = fields.optional("scopes");
    let scopes = scopes.as_ref().and_then(scopes_of);
    let claims = fields.list("claims");
    let claims: Vec<_> = claims.iter().filter_map(condition).collect();
    let types = fields.texts("token_types");
    match requirement? {
        Parsed::Requirement(Requirement::Token(token)) => {
            Some(Parsed::Requirement(Requirement::Token(TokenRequirement {
                scopes: scopes.unwrap_or_default(),
                claims,
                types,
                ..token
            })))
        }
        other => {
            if scopes.is_some() || !claims.is_empty() || !types.is_empty() {
                fields.node().fault(
                    "`scopes`, `claims` and `token_types` stand beside `provider_name` or \
                     `provider_and_audiences`",
                );
            }
            Some(other)
        }
    }
}

fn scopes_of(node: &Node<'_>) -> Option<Scopes> {
    node.object(|fields| {
        let mut scopes = |key| {
            let texts = fields.texts(key);
            // RFC 6749 section 3.3; so that they need no escape in a challenge either.
            let is_token = |byte: u8| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
            if !texts.iter().all(|scope| scope.bytes().all(is_token)) {
                fields.node().fault(format!(
                    "`{key}`: expected scopes of printable ASCII characters without blanks, \
                     `\"` and `\\`"
                ));
            }
            texts
        };
        let scopes = Scopes {
            all_of: scopes("all_of"),
            any_of: scopes("any_of"),
        };
        if scopes == Scopes::default() {
            fields.node().fault("expected `all_of` or `any_of`");
        }
        Some(scopes)
    })
}

fn condition(node: &Node<'_>) -> Option<ClaimCondition> {
    node.object(|fields| {
        let path = claim_path(fields);
        let mut found = Vec::new();
        if let Some(node) = fields.optional("equals") {
            found.push(Some(ClaimTest::OneOf(vec![node.value().clone()])));
        }
        if let Some(node) = fields.optional("one_of") {
            let values = node.elements().map(|elements| {
                let values = elements.map(|element| element.value().clone());
                values.collect()
            });
            found.push(values.map(ClaimTest::OneOf));
        }
        if let Some(node) = fields.optional("contains") {
            found.push(Some(ClaimTest::Contains(node.value().clone())));
        }
        if let Some(node) = fields.optional("present") {
            let is_true = node.boolean()?;
            if !is_true {
                node.fault("expected `true`: that a claim is absent cannot be asked for");
            }
            found.push(Some(ClaimTest::Present));
        }
        let message = "expected one of `equals`, `one_of`, `contains` and `present`";
        let test = fields.one_of(found, message);
        Some(ClaimCondition {
            path: path?,
            test: test?,
        })
    })
}
