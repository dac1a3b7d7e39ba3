//! `receivers.global_token_revocation`: who may have everything of a user revoked, and how users are
//! named in such requests.

use std::path::Path;

use super::secrets::{SecretSource, secret_source};
use crate::authority::configuration::name;
use crate::configuration::{Fields, Node, Read};

/// Requests to revoke everything of a user are received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GlobalRevocationRules {
    /// The last part of the path, in place of the issuer.
    pub name: String,
    /// How a caller shows who it is.
    pub authentication: CallerAuthentication,
    /// The claim of access tokens with the e-mail address.
    pub email_claim: String,
    /// What is answered about users of whom nothing is known.
    pub unknown_subjects: UnknownSubjects,
}

/// How a caller shows who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallerAuthentication {
    /// By a JWT that the issuer has signed for this one request.
    SignedJwt,
    /// By this secret.
    Bearer(SecretSource),
}

/// What is answered about users of whom nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownSubjects {
    /// They are revoked as all others: the authority need not have heard of a user who has tokens.
    Accept,
    /// 404, and nothing is revoked.
    NotFound,
}

/// The section.
pub(super) fn global_revocation(
    fields: &mut Fields<'_>,
    directory: &Path,
) -> Read<Option<GlobalRevocationRules>> {
    let Some(node) = fields.optional("global_token_revocation") else {
        return Ok(None);
    };
    node.object(|fields| {
        let path_name = fields.required("name").and_then(path_name);
        let authentication = authentication(fields, directory);
        let email_claim = email_claim(fields);
        let unknown_subjects = fields.word(
            "unknown_subjects",
            &[
                ("accept", UnknownSubjects::Accept),
                ("not_found", UnknownSubjects::NotFound),
            ],
            UnknownSubjects::Accept,
        );
        if let Ok(claim) = &email_claim {
            warn_of_unknown(fields, claim, unknown_subjects);
        }
        Ok(Some(GlobalRevocationRules {
            name: path_name?,
            authentication: authentication?,
            email_claim: email_claim?,
            unknown_subjects,
        }))
    })
}

/// By default a claim that filters do not look at, so that it says so to everyone who has not decided.
fn email_claim(fields: &mut Fields<'_>) -> Read<String> {
    if let Some(node) = fields.optional("email_claim") {
        return name(node);
    }
    fields.node().warning(format!(
        "`email_claim` is `{DEFAULT_EMAIL_CLAIM}` where it is left out, and tokens of a user who is named by \
         an e-mail address are then refused only by filters that have this claim among their \
         `revocation.claims`; hint: write `email_claim: {DEFAULT_EMAIL_CLAIM}` once they have, or \
         `email_claim: sub` where access tokens have the address as `sub`"
    ));
    Ok(DEFAULT_EMAIL_CLAIM.to_owned())
}

/// Nothing is known of claims, so that every address counts as known.
fn warn_of_unknown(fields: &mut Fields<'_>, email_claim: &str, unknown: UnknownSubjects) {
    if unknown == UnknownSubjects::NotFound
        && email_claim != "sub"
        && let Some(node) = fields.optional("unknown_subjects")
    {
        node.warning(format!(
            "has no effect on users who are named by an e-mail address: which values of `{email_claim}` \
             there are is not known, so the answer about them is never 404"
        ));
    }
}

/// The claim that OpenID Connect has for it.
const DEFAULT_EMAIL_CLAIM: &str = "email";

fn authentication(fields: &mut Fields<'_>, directory: &Path) -> Read<CallerAuthentication> {
    let words = [("signed_jwt", false), ("bearer", true)];
    if fields.word("authentication", &words, false) {
        let credential = fields.required("credential")?;
        return secret_source(credential, directory).map(CallerAuthentication::Bearer);
    }
    let message = "has no effect without `authentication: bearer`";
    fields.refused("credential", message);
    Ok(CallerAuthentication::SignedJwt)
}

/// What needs no escape in a path, and is short.
fn path_name(node: Node<'_>) -> Read<String> {
    const MOST_BYTES: usize = 64;
    let name = node.text()?;
    let is_fit = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.len() > MOST_BYTES || !name.bytes().all(is_fit) {
        let message = "expected at most 64 lower-case letters, digits and hyphens, since it is part of \
                       a path";
        return Err(node.fault(message));
    }
    Ok(name.to_owned())
}
