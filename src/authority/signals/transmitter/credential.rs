//! What a transmitter is shown.

use std::fmt::{self, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::Method;

use super::calls::{Ask, Body, Http};
use super::fault::{Fault, FaultReason};
use super::{TIMEOUT, read};
use crate::authority::signals::configuration::{Authorization, ClientCredentials, SecretMethod};
use crate::authority::signals::secret::{Secret, SignalSecretError, Text};
use crate::percent::encoded;

/// The most that is read of an authorization server's answer.
const MOST_BYTES: u64 = 64 << 10;

/// How long before its end a token is not used any more.
const MARGIN: Duration = Duration::from_secs(30);

/// The longest time that a token is kept for. It may be refused earlier, and is fetched anew then.
const LONGEST: Duration = Duration::from_hours(1);

/// What a transmitter is shown, and the token that stands for it at present.
pub(super) struct Credential {
    shown: Shown,
    kept: Mutex<Option<Kept>>,
}

/// What is shown, with its secret.
enum Shown {
    Nothing,
    Bearer(Secret<Text>),
    ClientCredentials(ClientCredentials, Secret<Text>),
}

/// A token and until when it is used.
struct Kept {
    header: String,
    until: Instant,
}

/// The answer of RFC 6749 section 5.1.
#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    token_type: Option<String>,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl Credential {
    /// Reads the secret.
    ///
    /// # Errors
    ///
    /// [`SignalSecretError`].
    pub(super) fn open(authorization: Option<&Authorization>) -> Result<Self, SignalSecretError> {
        let shown = match authorization {
            None => Shown::Nothing,
            Some(Authorization::Bearer(place)) => Shown::Bearer(Secret::open(place)?),
            Some(Authorization::ClientCredentials(client)) => {
                let secret = Secret::open(&client.client_secret)?;
                Shown::ClientCredentials(client.clone(), secret)
            }
        };
        Ok(Self {
            shown,
            kept: Mutex::new(None),
        })
    }

    /// The header `Authorization`.
    pub(super) fn header(&self, http: &Http) -> Result<Option<String>, Fault> {
        match &self.shown {
            Shown::Nothing => Ok(None),
            Shown::Bearer(secret) => Ok(Some(format!("Bearer {}", secret.value(Instant::now())))),
            Shown::ClientCredentials(client, secret) => self.token(client, secret, http).map(Some),
        }
    }

    /// Whether there will be another one, since this one was refused.
    pub(super) fn is_renewed(&self) -> bool {
        let kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        kept.is_some()
    }

    fn token(
        &self,
        client: &ClientCredentials,
        secret: &Secret<Text>,
        http: &Http,
    ) -> Result<String, Fault> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.as_ref().filter(|kept| Instant::now() < kept.until) {
            return Ok(kept.header.clone());
        }
        let token = fetched(client, secret, http)?;
        let header = token.header.clone();
        *kept = Some(token);
        Ok(header)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Credential(…)")
    }
}

/// Asks the authorization server for a token (RFC 6749 section 4.4).
fn fetched(client: &ClientCredentials, secret: &Secret<Text>, http: &Http) -> Result<Kept, Fault> {
    let secret = secret.value(Instant::now());
    let (id, secret) = (encoded(&client.client_id), encoded(&secret));
    let mut form = "grant_type=client_credentials".to_owned();
    if let Some(scope) = &client.scope {
        let _ = write!(form, "&scope={}", encoded(scope));
    }
    let basic = match client.method {
        SecretMethod::Basic => Some(format!(
            "Basic {}",
            STANDARD.encode(format!("{id}:{secret}"))
        )),
        SecretMethod::Post => {
            let _ = write!(form, "&client_id={id}&client_secret={secret}");
            None
        }
    };
    let answer = http.ask(&Ask {
        method: Method::POST,
        url: &client.token_endpoint,
        authorization: basic.as_deref(),
        body: Some(Body::Form(form)),
        language: None,
        timeout: TIMEOUT,
        longest: MOST_BYTES,
    })?;
    let is_refused = matches!(answer.status, 400 | 401 | 403);
    let answer = answer.success().map_err(|fault| Fault {
        reason: if is_refused {
            FaultReason::CredentialRefused
        } else {
            fault.reason
        },
        ..fault
    })?;
    let token: TokenAnswer = read(&answer).map_err(|_| {
        let detail = "the answer of the token endpoint is not one of RFC 6749 section 5.1";
        FaultReason::CredentialRefused.because(detail)
    })?;
    kept(&token)
}

fn kept(token: &TokenAnswer) -> Result<Kept, Fault> {
    let is_bearer = |name: &String| name.eq_ignore_ascii_case("bearer");
    if !token.token_type.as_ref().is_none_or(is_bearer) {
        let detail = "the token endpoint gave a token that is no bearer token";
        return Err(FaultReason::CredentialRefused.because(detail));
    }
    if !is_header_text(&token.access_token) {
        let detail = "the token endpoint gave a token that cannot stand in a header";
        return Err(FaultReason::CredentialRefused.because(detail));
    }
    let life = token
        .expires_in
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let life = life.unwrap_or(LONGEST).min(LONGEST).saturating_sub(MARGIN);
    Ok(Kept {
        header: format!("Bearer {}", token.access_token),
        until: Instant::now() + life,
    })
}

fn is_header_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}
