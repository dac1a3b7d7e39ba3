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
        let email_claim = match fields.optional("email_claim") {
            Some(node) => name(node),
            None => Ok("email".to_owned()),
        };
        let unknown_subjects = fields.word(
            "unknown_subjects",
            &[
                ("accept", UnknownSubjects::Accept),
                ("not_found", UnknownSubjects::NotFound),
            ],
            UnknownSubjects::Accept,
        );
        Ok(Some(GlobalRevocationRules {
            name: path_name?,
            authentication: authentication?,
            email_claim: email_claim?,
            unknown_subjects,
        }))
    })
}

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
