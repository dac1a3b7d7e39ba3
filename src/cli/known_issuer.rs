//! A warning where a name belongs to an issuer that the authority has never heard of: most often it
//! is mistyped, with a slash at the end for example, and nothing else would show it. What is
//! revoked under such a name refuses no token, and every check of it is answered "not revoked".

use std::io::{self, Write as _};

use super::authority_client::{Client, ClientError};
use super::printable::printable;
use crate::percent::encoded;
use crate::revocation::wire::IssuerAnswer;

/// Asks the authority, and writes the warning to standard error where there is reason for one.
///
/// # Errors
///
/// [`ClientError`], where the authority does not answer.
pub(super) fn warn(client: &Client, issuer: &str) -> Result<(), ClientError> {
    print(doubt(client, issuer)?);
    Ok(())
}

/// Writes a warning to standard error, since standard output is for data.
pub(super) fn print(doubt: Option<String>) {
    if let Some(doubt) = doubt {
        let _ = writeln!(io::stderr(), "{doubt}");
    }
}

/// The warning, where there is reason for one. A command whose credential may not ask goes without.
///
/// # Errors
///
/// [`ClientError`], where the authority does not answer.
pub(super) fn doubt(client: &Client, issuer: &str) -> Result<Option<String>, ClientError> {
    let answer = client.get::<IssuerAnswer>(&format!("/v1/issuers?issuer={}", encoded(issuer)));
    match answer {
        Ok(answer) => Ok(warning(issuer, &answer)),
        Err(error) if error.is_of_the_way() => Err(error),
        Err(_) => Ok(None),
    }
}

/// The warning about an issuer of which the authority says this.
pub(super) fn warning(issuer: &str, answer: &IssuerAnswer) -> Option<String> {
    if answer.known {
        return None;
    }
    let issuer = printable(issuer);
    let similar = match &answer.similar {
        Some(similar) => format!("; did you mean `{}`?", printable(similar)),
        None => String::new(),
    };
    Some(format!(
        "warning: nothing of the issuer `{issuer}` was ever revoked here{similar}"
    ))
}
