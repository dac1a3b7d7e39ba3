//! What a client sends: a form, and who it says it is.
//!
//! | how a client shows who it is | where |
//! |---|---|
//! | `client_secret_basic` | `Authorization: Basic`, both halves form-encoded (RFC 6749 section 2.3.1) |
//! | `client_secret_post` | `client_id` and `client_secret` in the form |
//! | `private_key_jwt` | `client_assertion` and `client_assertion_type` in the form (RFC 7523 section 2.2) |

use std::fmt;

use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::authority::signals::form::decoded;
use crate::authority::signals::reason::{Code, Refusal};
use crate::authority::signals::reception::claimed_issuer;
use crate::authority::signals::secret::Presented;

/// The one type of assertion that is known (RFC 7523 section 2.2).
const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// What a client asks, and who it says it is.
pub(super) struct Asked {
    /// The token that it asks about.
    pub(super) token: String,
    /// Who it says it is.
    pub(super) credentials: Credentials,
}

/// Who a client says it is, and by what it shows that.
#[derive(Debug)]
pub(super) enum Credentials {
    /// By a secret.
    Secret {
        /// `client_id`.
        client_id: String,
        /// The secret.
        secret: Presented,
    },
    /// By something that it has signed.
    Assertion {
        /// `client_id` beside it, which has to be the same.
        client_id: Option<String>,
        /// The token.
        assertion: Assertion,
    },
}

/// A token by which a client shows who it is.
pub(super) struct Assertion(pub(super) String);

impl Asked {
    /// What a form asks, with the values of `Authorization` beside it.
    ///
    /// # Errors
    ///
    /// [`Code::BodyInvalid`], [`Code::ParameterRepeated`], [`Code::ParameterMissing`],
    /// [`Code::MethodsMixed`], [`Code::ClientMissing`], [`Code::ClientRefused`].
    pub(super) fn read(body: &[u8], authorization: &[HeaderValue]) -> Result<Self, Refusal> {
        let form = Form::read(body)?;
        let [token, client_id, secret, assertion, assertion_type] = form.0;
        let given = Given {
            client_id,
            secret,
            assertion,
            assertion_type,
        };
        let credentials = given.credentials(authorization)?;
        let token = token.ok_or(Code::ParameterMissing)?;
        Ok(Self { token, credentials })
    }

    /// Which client it claims to be of.
    pub(super) fn claimed_client(&self) -> String {
        match &self.credentials {
            Credentials::Secret { client_id, .. } => client_id.clone(),
            Credentials::Assertion { assertion, .. } => {
                claimed_issuer(&assertion.0).unwrap_or_default()
            }
        }
    }
}

/// The parameters that count. Others are ignored (RFC 6749 section 3.2), `token_type_hint` too: the
/// token itself says what it is.
const PARAMETERS: [&str; 5] = [
    "token",
    "client_id",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
];

/// Their values, in the same order. One without a value counts as left out (RFC 6749 section 3.2).
struct Form([Option<String>; PARAMETERS.len()]);

impl Form {
    fn read(body: &[u8]) -> Result<Self, Refusal> {
        let mut values = [const { None }; PARAMETERS.len()];
        let mut found = [false; PARAMETERS.len()];
        for pair in body.split(|byte| *byte == b'&') {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let (name, value) = (halves.next(), halves.next());
            let name = decoded(name.unwrap_or_default())?;
            let known = PARAMETERS.iter().zip(&mut values).zip(&mut found);
            let mut known = known.filter(|((known, _), _)| known.as_bytes() == name);
            let Some(((known, slot), found)) = known.next() else {
                continue;
            };
            if std::mem::replace(found, true) {
                let detail = format!("`{known}` is there more than once");
                return Err(Code::ParameterRepeated.because(detail));
            }
            let value = String::from_utf8(decoded(value.unwrap_or_default())?);
            let value = value
                .map_err(|_| Code::BodyInvalid.because(format!("`{known}` is not in UTF-8")))?;
            *slot = Some(value).filter(|value| !value.is_empty());
        }
        Ok(Self(values))
    }
}

/// What a form has of the client.
struct Given {
    client_id: Option<String>,
    secret: Option<String>,
    assertion: Option<String>,
    assertion_type: Option<String>,
}

impl Given {
    fn credentials(self, authorization: &[HeaderValue]) -> Result<Credentials, Refusal> {
        let ways = [
            !authorization.is_empty(),
            self.secret.is_some(),
            self.assertion.is_some() || self.assertion_type.is_some(),
        ];
        if authorization.len() > 1 || ways.iter().filter(|way| **way).count() > 1 {
            return Err(Code::MethodsMixed.into());
        }
        if let Some(header) = authorization.first() {
            return self.basic(header);
        }
        let Self {
            client_id,
            secret,
            assertion,
            assertion_type,
        } = self;
        if let Some(secret) = secret {
            let without = || Code::ClientMissing.because("there is `client_secret` alone");
            return Ok(Credentials::Secret {
                client_id: client_id.ok_or_else(without)?,
                secret: Presented::new(secret.as_bytes()),
            });
        }
        match (assertion, assertion_type) {
            (None, None) => Err(Code::ClientMissing.into()),
            (Some(assertion), Some(kind)) if kind == ASSERTION_TYPE => Ok(Credentials::Assertion {
                client_id,
                assertion: Assertion(assertion),
            }),
            _ => Err(Code::ClientRefused.because(format!(
                "expected `client_assertion` and `client_assertion_type`, `{ASSERTION_TYPE}`"
            ))),
        }
    }

    fn basic(self, header: &HeaderValue) -> Result<Credentials, Refusal> {
        let expected = || {
            Code::ClientRefused.because(
                "expected `Authorization: Basic` with `client_id` and secret, each form-encoded, in \
                 Base64",
            )
        };
        let (client_id, secret) = basic_halves(header.as_bytes()).ok_or_else(expected)?;
        if self.client_id.is_some_and(|other| other != client_id) {
            return Err(Code::ClientRefused
                .because("`client_id` in the form is another than in `Authorization`"));
        }
        Ok(Credentials::Secret {
            client_id,
            secret: Presented::new(&secret),
        })
    }
}

/// Both halves of `Basic`, without their encodings.
fn basic_halves(header: &[u8]) -> Option<(String, Vec<u8>)> {
    let (scheme, encoded) = header.split_at_checked("basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let mut halves = pair.splitn(2, |byte| *byte == b':');
    let client_id = decoded(halves.next()?).ok()?;
    let secret = decoded(halves.next()?).ok()?;
    let client_id = String::from_utf8(client_id).ok()?;
    (!client_id.is_empty() && !secret.is_empty()).then_some((client_id, secret))
}

impl fmt::Debug for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Asked(…)")
    }
}

impl fmt::Debug for Assertion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Assertion(…)")
    }
}

#[cfg(test)]
mod tests;
