//! The body of a request with a signal: `application/x-www-form-urlencoded`, read strictly.

use super::reason::{Code, Refusal};
use crate::percent;

/// The one `logout_token` of a form. Parameters of other names are ignored, as the specification asks
/// (Back-Channel Logout 1.0 section 2.5).
///
/// # Errors
///
/// [`Code::BodyInvalid`], [`Code::TokenMissing`], [`Code::TokenRepeated`].
pub(super) fn logout_token(body: &[u8]) -> Result<String, Refusal> {
    let mut found = None;
    for pair in body.split(|byte| *byte == b'&') {
        let mut halves = pair.splitn(2, |byte| *byte == b'=');
        let (name, value) = (halves.next(), halves.next());
        let name = decoded(name.unwrap_or_default())?;
        if name != b"logout_token" {
            continue;
        }
        let value = decoded(value.unwrap_or_default())?;
        if found.replace(value).is_some() {
            return Err(Code::TokenRepeated.into());
        }
    }
    match found {
        Some(token) if !token.is_empty() => {
            String::from_utf8(token).map_err(|_| Code::TokenMalformed.into())
        }
        _ => Err(Code::TokenMissing.into()),
    }
}

/// A name or value without its escapes.
pub(super) fn decoded(text: &[u8]) -> Result<Vec<u8>, Refusal> {
    let blanks = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte });
    let decoded = percent::decoded(&blanks.collect::<Vec<_>>());
    decoded.ok_or_else(|| Code::BodyInvalid.because("the form has an escape that is none"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(body: &str) -> Code {
        logout_token(body.as_bytes()).unwrap_err().code
    }

    #[test]
    fn the_one_token_of_a_form_is_found_however_it_is_written() {
        for body in [
            "logout_token=a.b-c_",
            "logout_token=a%2Eb%2dc_",
            "logout%5Ftoken=a.b-c_",
            "x=1&logout_token=a.b-c_&y",
            "&logout_token=a.b-c_&&",
            "logout_token=a.b-c_&Logout_Token=x&logout_token2=y",
        ] {
            assert_eq!(logout_token(body.as_bytes()).unwrap(), "a.b-c_", "{body}");
        }
    }

    #[test]
    fn a_form_without_exactly_one_token_is_refused() {
        for (body, expected) in [
            ("", Code::TokenMissing),
            ("logout_token", Code::TokenMissing),
            ("logout_token=", Code::TokenMissing),
            ("token=a.b.c", Code::TokenMissing),
            ("logout_token=a&logout_token=a", Code::TokenRepeated),
            ("logout_token=a&x=1&logout%5ftoken=b", Code::TokenRepeated),
            ("logout_token=&logout_token=b", Code::TokenRepeated),
            ("logout_token=a%2", Code::BodyInvalid),
            ("logout_token=a%zz", Code::BodyInvalid),
            ("%=a&logout_token=b", Code::BodyInvalid),
            ("logout_token=%ff", Code::TokenMalformed),
        ] {
            assert_eq!(code(body), expected, "{body}");
        }
    }
}
