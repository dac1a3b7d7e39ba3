//! What a request needs: `JwtRequirement`, and ◆ what the token has to say beside.

use std::time::Duration;

use super::claims::claim_path;
use super::provider::comparable;
use crate::configuration::{Fields, Node, Read, all as each};
use crate::gate::policy::{
    Alternatives, ClaimCondition, ClaimTest, Otherwise, Requirement, SignIn, TokenRequirement,
    Words,
};

/// `{}` asks for nothing, as in `jwt_authn`.
pub(super) fn requirement(node: Node<'_>, providers: &[String]) -> Read<Requirement> {
    let every_provider = || (0..providers.len()).collect();
    Ok(match parsed(node, providers)? {
        Parsed::Requirement(requirement) => requirement,
        Parsed::Otherwise(Otherwise::AllowMissingOrFailed) => {
            Requirement::AllowMissingOrFailed(every_provider())
        }
        Parsed::Otherwise(_) => Requirement::AllowMissing(every_provider()),
    })
}

/// A requirement, or what becomes of requests that do not meet the others beside it.
enum Parsed {
    Requirement(Requirement),
    Otherwise(Otherwise),
}

/// How one of the kinds of requirements is read.
type ReadKind = fn(Node<'_>, &[String]) -> Read<Parsed>;

fn parsed(node: Node<'_>, providers: &[String]) -> Read<Parsed> {
    node.object(|fields| {
        fields.refused(
            "extract_only_without_validation",
            "refused: it passes on what nothing has verified; hint: `allow_missing_or_failed`",
        );
        let kind = fields.at_most_one_of(&[
            ("provider_name", of_provider as ReadKind),
            ("provider_and_audiences", of_provider_and_audiences),
            ("requires_any", any),
            ("requires_all", all),
            ("allow_missing", |node, _| {
                otherwise(node, Otherwise::AllowMissing)
            }),
            ("allow_missing_or_failed", |node, _| {
                otherwise(node, Otherwise::AllowMissingOrFailed)
            }),
        ]);
        let requirement = kind.and_then(|kind| match kind {
            None => Ok(Parsed::Requirement(Requirement::Nothing)),
            Some((read, node)) => read(node, providers),
        });
        with_conditions(fields, requirement)
    })
}

fn otherwise(node: Node<'_>, otherwise: Otherwise) -> Read<Parsed> {
    node.object(|_| Ok(Parsed::Otherwise(otherwise)))
}

fn token(provider: usize, audiences: Option<Vec<String>>) -> Parsed {
    let needs = TokenRequirement {
        audiences,
        ..TokenRequirement::PLAIN
    };
    Parsed::Requirement(Requirement::Token { provider, needs })
}

fn provider_index(node: Node<'_>, providers: &[String]) -> Read<usize> {
    let name = node.text()?;
    let index = providers.iter().position(|provider| provider == name);
    index.ok_or_else(|| node.fault(format!("no provider is called `{}`", name.escape_default())))
}

fn of_provider(node: Node<'_>, providers: &[String]) -> Read<Parsed> {
    Ok(token(provider_index(node, providers)?, None))
}

fn of_provider_and_audiences(node: Node<'_>, providers: &[String]) -> Read<Parsed> {
    node.object(|fields| {
        let name = fields.required("provider_name");
        let index = name.and_then(|node| provider_index(node, providers));
        let audiences = fields.texts("audiences");
        // As in `jwt_authn`, an empty list leaves the provider's own in force.
        let audiences = (!audiences.is_empty()).then(|| comparable(&audiences));
        Ok(token(index?, audiences))
    })
}

/// Two kinds of elements are not requirements of their own: `allow_missing` and
/// `allow_missing_or_failed` say what becomes of requests that meet none of the others; the more
/// lenient one counts, as in `jwt_authn`.
fn any(node: Node<'_>, providers: &[String]) -> Read<Parsed> {
    let mut requirements = Vec::new();
    let mut otherwise = Otherwise::Refuse;
    for element in elements(node, |element| parsed(element, providers))? {
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
}

fn all(node: Node<'_>, providers: &[String]) -> Read<Parsed> {
    let requirements = elements(node, |element| requirement(element, providers))?;
    Ok(Parsed::Requirement(Requirement::All(requirements)))
}

/// What `read` makes of the elements of `requirements`, which must not be empty.
fn elements<'c, T>(node: Node<'c>, read: impl Fn(Node<'c>) -> Read<T>) -> Read<Vec<T>> {
    node.object(|fields| {
        let node = fields.required("requirements")?;
        each(node.some_elements("requirement")?, read)
    })
}

/// ◆ What the token has to say, which comes beside the provider.
fn with_conditions(fields: &mut Fields<'_>, requirement: Read<Parsed>) -> Read<Parsed> {
    let scopes = fields.optional("scopes").map(words_of);
    let claims = fields.each("claims", condition);
    let types = fields.texts("token_types");
    let sign_in = sign_in(fields);
    let scopes = scopes.transpose()?;
    let sign_in = sign_in?;
    match requirement? {
        Parsed::Requirement(Requirement::Token { provider, needs }) => {
            let needs = TokenRequirement {
                scopes: scopes.unwrap_or_default(),
                claims,
                types,
                sign_in,
                ..needs
            };
            Ok(Parsed::Requirement(Requirement::Token { provider, needs }))
        }
        other => {
            if scopes.is_some() || !claims.is_empty() || !types.is_empty() || sign_in.is_some() {
                fields.node().fault(
                    "`scopes`, `claims`, `token_types`, `acr_values`, `amr_values` and \
                     `max_authentication_age` stand beside `provider_name` or \
                     `provider_and_audiences`",
                );
            }
            Ok(other)
        }
    }
}

/// `acr_values`, `amr_values` and `max_authentication_age`; `None` where there is none of them.
fn sign_in(fields: &mut Fields<'_>) -> Read<Option<Box<SignIn>>> {
    let acr_values = each_word(fields, "acr_values");
    let ways = fields.optional("amr_values").map(words_of).transpose();
    let max_age = fields.optional("max_authentication_age").map(whole_seconds);
    let sign_in = SignIn {
        acr_values: acr_values?.into_iter().collect::<Read<_>>()?,
        amr_values: ways?.unwrap_or_default(),
        max_age: max_age.transpose()?,
    };
    Ok((sign_in != SignIn::default()).then(|| Box::new(sign_in)))
}

/// A duration that can be told in whole seconds.
fn whole_seconds(node: Node<'_>) -> Read<Duration> {
    let duration = node.duration()?;
    if duration.subsec_nanos() > 0 {
        return Err(node.fault("expected whole seconds, which is how the client is told"));
    }
    Ok(duration)
}

fn words_of(node: Node<'_>) -> Read<Words> {
    node.object(|fields| {
        let (all_of, any_of) = (each_word(fields, "all_of"), each_word(fields, "any_of"));
        let (all_of, any_of) = (all_of?, any_of?);
        if all_of.is_empty() && any_of.is_empty() {
            return Err(fields.node().fault("expected `all_of` or `any_of`"));
        }
        Ok(Words {
            all_of: all_of.into_iter().collect::<Read<_>>()?,
            any_of: any_of.into_iter().collect::<Read<_>>()?,
        })
    })
}

fn each_word(fields: &mut Fields<'_>, key: &'static str) -> Read<Vec<Read<String>>> {
    let elements = fields.optional(key);
    let elements = elements
        .map(|node| node.some_elements("word"))
        .transpose()?;
    Ok(elements.into_iter().flatten().map(word).collect())
}

/// As RFC 6749 section 3.3 has scopes; so that it needs no escape in a challenge either.
fn word(node: Node<'_>) -> Read<String> {
    let word = node.text_of(
        "a word of printable ASCII characters without blanks, `\"` and `\\`",
        |byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e),
    );
    word.map(str::to_owned)
}

/// How one of the ways to look at a claim is read.
type ReadTest = fn(Node<'_>) -> Read<ClaimTest>;

fn condition(node: Node<'_>) -> Read<ClaimCondition> {
    node.object(|fields| {
        let path = claim_path(fields);
        let (read, node) = fields.one_of(&[
            ("equals", equals as ReadTest),
            ("one_of", one_of),
            ("contains", |node| {
                node.value().cloned().map(ClaimTest::Contains)
            }),
            ("present", present),
        ])?;
        let test = read(node);
        Ok(ClaimCondition {
            path: path?,
            test: test?,
        })
    })
}

fn equals(node: Node<'_>) -> Read<ClaimTest> {
    let value = node.value()?;
    Ok(ClaimTest::OneOf(vec![value.clone()]))
}

fn one_of(node: Node<'_>) -> Read<ClaimTest> {
    let values = each(node.elements()?, |value| value.value().cloned());
    values.map(ClaimTest::OneOf)
}

fn present(node: Node<'_>) -> Read<ClaimTest> {
    if node.boolean()? {
        return Ok(ClaimTest::Present);
    }
    Err(node.fault("expected `true`: a rule cannot ask for a claim to be absent"))
}
