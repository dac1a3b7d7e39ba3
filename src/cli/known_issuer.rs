//! A warning where a name belongs to an issuer that the authority has never heard of: most often it
//! is mistyped, by a slash at the end for example, and nothing says so. What is revoked under such a
//! name refuses nobody, and what is asked about it is always "not revoked".

use std::io::{self, Write as _};

use super::authority_client::{Client, ClientError};
use super::list::encoded;
use super::printable::printable;
use crate::authority::http::IssuerAnswer;

/// Writes the warning to standard error, where there is reason for one.
///
/// # Errors
///
/// [`ClientError`], where nobody answers.
pub(super) fn warn(client: &Client, issuer: &str) -> Result<(), ClientError> {
    if let Some(doubt) = doubt(client, issuer)? {
        // Data on standard output, what people should look at on the other.
        let _ = writeln!(io::stderr(), "{doubt}");
    }
    Ok(())
}

/// The warning, where there is reason for one. Whoever may not ask goes without.
///
/// # Errors
///
/// [`ClientError`], where nobody answers.
pub(super) fn doubt(client: &Client, issuer: &str) -> Result<Option<String>, ClientError> {
    let answer = client.get::<IssuerAnswer>(&format!("/v1/issuers?issuer={}", encoded(issuer)));
    let answer = match answer {
        Ok(answer) if !answer.known => answer,
        Err(error) if error.is_of_the_way() => return Err(error),
        Ok(_) | Err(_) => return Ok(None),
    };
    let issuer = printable(issuer);
    let known = match answer.similar {
        Some(similar) => format!("; did you mean `{}`?", printable(&similar)),
        None => String::new(),
    };
    Ok(Some(format!(
        "warning: nothing of the issuer `{issuer}` was ever revoked here{known}"
    )))
}
