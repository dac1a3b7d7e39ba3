//! Global Token Revocation (draft-parecki-oauth-global-token-revocation-06): an identity provider, or a
//! tool for incidents, asks that everything which a user was issued until now be revoked. Okta calls it
//! Universal Logout.
//!
//! The body says who is meant (section 3.2), and the credential who asks. Where that is a JWT (section
//! 3.5), it says nothing of the body. So one that is seen twice may be a stolen one, and is refused, other
//! than a logout token, which can only mean the same again.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use super::configuration::SignalIssuer;
use super::reason::{Code, Refusal};
use super::statement;
use super::text::{is_name, shown};
use crate::authority::strict;
use crate::revocation::MAX_NAME_BYTES;
use crate::time::UnixTime;
use crate::token::VerifiedToken;

/// Everything of a user is to be revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GlobalRevocation {
    /// Whose.
    pub(super) subject: Identifier,
    /// When that was asked, by the issuer's clock; `None` where only the clock here tells.
    pub(super) asked_at: Option<UnixTime>,
}

/// A subject identifier (RFC 9493), of the formats that name a user here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Identifier {
    /// `iss_sub` (section 3.2.3).
    IssuerSubject {
        /// `iss`.
        issuer: String,
        /// `sub`.
        subject: String,
    },
    /// `opaque` (section 3.2.4).
    Opaque(String),
    /// `email` (section 3.2.2).
    Email(String),
}

impl Identifier {
    /// What it calls the user.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::IssuerSubject { subject: name, .. } | Self::Opaque(name) | Self::Email(name) => {
                name
            }
        }
    }
}

/// The JWT of a caller, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Assertion {
    /// `jti`, by which it is known when it comes again.
    pub(super) id: String,
    /// `iat`.
    pub(super) issued_at: UnixTime,
    /// From when on it would be refused for its age.
    pub(super) good_until: UnixTime,
}

/// What the body of a request says. Members of other names are ignored, as those of a later draft.
#[derive(Deserialize)]
struct Body {
    sub_id: Option<SubjectMembers>,
    /// What the first drafts called it, and Okta still does.
    subject: Option<SubjectMembers>,
}

/// The members of every format. One that its format does not have is a fault (RFC 9493 section 3).
#[derive(Deserialize, PartialEq)]
struct SubjectMembers {
    format: String,
    iss: Option<String>,
    sub: Option<String>,
    id: Option<String>,
    email: Option<String>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Who is meant by the body of a request.
///
/// # Errors
///
/// [`Code::BodyInvalid`], [`Code::SubjectMissing`], [`Code::SubjectInvalid`], [`Code::SubjectFormatUnknown`].
pub(super) fn subject(body: &[u8]) -> Result<Identifier, Refusal> {
    let body: Body = strict::from_slice(body).map_err(|error| {
        Code::BodyInvalid.because(format!("expected a JSON object with `sub_id`: {error}"))
    })?;
    let members = match (body.sub_id, body.subject) {
        (Some(one), None) | (None, Some(one)) => one,
        (Some(one), Some(other)) if one == other => one,
        (Some(_), Some(_)) => {
            let detail = "`sub_id` and `subject` name different users";
            return Err(Code::BodyInvalid.because(detail));
        }
        (None, None) => return Err(Code::SubjectMissing.because("`sub_id` is missing")),
    };
    identifier(members)
}

fn identifier(members: SubjectMembers) -> Result<Identifier, Refusal> {
    let SubjectMembers {
        format,
        iss,
        sub,
        id,
        email,
        others,
    } = members;
    let found = match (&*format, iss, sub, id, email) {
        ("iss_sub", Some(issuer), Some(subject), None, None) => {
            Some(Identifier::IssuerSubject { issuer, subject })
        }
        ("opaque", None, None, Some(id), None) => Some(Identifier::Opaque(id)),
        ("email", None, None, None, Some(email)) => Some(Identifier::Email(email)),
        ("iss_sub" | "opaque" | "email", ..) => None,
        _ => {
            return Err(Code::SubjectFormatUnknown.because(format!(
                "the subject identifier has the format `{}`, expected `iss_sub`, `opaque` or `email`",
                shown(&format)
            )));
        }
    };
    let found = found.filter(|_| others.is_empty());
    let found = found.ok_or_else(|| {
        Code::SubjectInvalid.because(format!(
            "the subject identifier has not exactly the members of its format `{format}`"
        ))
    })?;
    if !is_name(found.name()) {
        return Err(Code::SubjectInvalid.because(format!(
            "expected the user's name to have 1 to {MAX_NAME_BYTES} bytes"
        )));
    }
    Ok(found)
}

/// What a caller's JWT with a good signature says, if it is one for a request to this URL (section 3.5).
///
/// # Errors
///
/// The first rule that it breaks.
pub(super) fn assertion(
    token: &VerifiedToken,
    issuer: &SignalIssuer,
    url: &str,
    now: UnixTime,
    clock_skew: Duration,
) -> Result<Assertion, Refusal> {
    let claims = token.claims();
    // The draft names no type; Okta's is one of its own. Without one, `aud` tells such a token from others.
    statement::check_type(token.token_type(), "global-token-revocation+jwt")?;
    if !claims.audiences().any(|audience| audience == url) {
        let found: Vec<_> = claims.audiences().take(4).map(shown).collect();
        return Err(Code::AudienceMismatch.because(format!(
            "`aud` is `{}`, expected the URL of this receiver, `{url}`",
            found.join("`, `")
        )));
    }
    if claims.expires_at().is_none() {
        return Err(Code::ExpiryMissing.into());
    }
    let (issued_at, good_until) = statement::times(claims, issuer.max_age, now, clock_skew)?;
    let id = statement::id(claims)?;
    let caller = claims.string("sub").unwrap_or_default();
    if !issuer.client_ids.iter().any(|known| known == caller) {
        let known = issuer.client_ids.join("`, `");
        return Err(Code::CallerUnknown.because(format!(
            "`sub` of the caller's JWT is `{}`, which is not among the `client_ids` of its issuer: \
             `{known}`",
            shown(caller)
        )));
    }
    Ok(Assertion {
        id,
        issued_at,
        good_until,
    })
}

#[cfg(test)]
mod tests;
