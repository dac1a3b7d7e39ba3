//! `portcullis proof`: a proof that the sender of a request has a key (DPoP, RFC 9449 section 4.2),
//! which goes into the request's header `DPoP`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;

use axum::http::Uri;
use clap::Args;
use serde_json::{Value, json};

use super::time_offset::TimeOffset;
use super::token_names::typed_or_piped;
use super::{CommandError, key_file, mint};
use crate::signer::{SignError, Signer};
use crate::time::UnixTime;
use crate::token::{PROOF_TYPE, token_hash};

/// The arguments of `portcullis proof`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The private JWK file to sign with
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Claim `htm`: method of the request
    #[arg(long, default_value = "GET")]
    pub method: Method,
    /// Claim `htu`: URL of the request, as the client has it, without query and fragment, which are
    /// left out
    #[arg(long)]
    pub url: TargetUrl,
    /// Claim `ath`: the hash of this token, with or without `DPoP` before it; `-` reads it from
    /// standard input, where it stays out of the shell's history
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Claim `nonce`
    #[arg(long, value_name = "TEXT")]
    pub nonce: Option<String>,
    /// Claim `iat`, counted from now [default: now]
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub issued_in: Option<TimeOffset>,
}

/// Signs one proof and writes it to `output`, on one line.
///
/// # Errors
///
/// [`CommandError::KeyFile`], [`CommandError::Mint`] and [`CommandError::Proof`].
pub fn run(
    arguments: &Arguments,
    now: SystemTime,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let now = mint::unix_time(now)?;
    let proof_id = mint::random_token_id()?;
    let signer = key_file::read(&arguments.key)?;
    let token = arguments.token.as_deref().map(typed_or_piped).transpose();
    let token = token.map_err(ProofError::Read)?;
    let claims = claims(arguments, now, &proof_id, token.as_deref())?;
    let proof = signer
        .sign_token(&header(&signer), &claims)
        .map_err(ProofError::Sign)?;
    writeln!(output, "{proof}").map_err(CommandError::Output)
}

/// The proof's header: what it is, and the key by which it is checked.
fn header(signer: &Signer) -> Value {
    json!({
        "typ": PROOF_TYPE,
        "alg": signer.algorithm_name(),
        "jwk": signer.plain_public_jwk(),
    })
}

/// The proof's claims.
fn claims(
    arguments: &Arguments,
    now: UnixTime,
    proof_id: &str,
    token: Option<&str>,
) -> Result<Value, ProofError> {
    let issued_at = match arguments.issued_in {
        Some(offset) => offset.counted_from(now).into(),
        None => now.seconds().into(),
    };
    let named = [
        ("jti", Some(proof_id.into())),
        ("htm", Some(arguments.method.0.as_str().into())),
        ("htu", Some(arguments.url.0.as_str().into())),
        ("iat", Some(issued_at)),
        ("ath", token.map(hash).transpose()?.map(Value::from)),
        ("nonce", arguments.nonce.as_deref().map(Value::from)),
    ];
    Ok(Value::Object(mint::present(named)))
}

/// The hash by which a proof names a token, which need not be a JWT.
fn hash(token: &str) -> Result<String, ProofError> {
    let is_of_tokens = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    // The hash of anything else, or of nothing, would fit no request.
    if token.is_empty() || !token.bytes().all(is_of_tokens) {
        return Err(ProofError::NotAToken);
    }
    Ok(token_hash(token.as_bytes()))
}

/// The method of a request (RFC 9110 section 9.1). Upper and lower case differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Method(String);

impl FromStr for Method {
    type Err = MethodSyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // RFC 9110 section 5.6.2.
        let is_of_names =
            |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if text.is_empty() || !text.bytes().all(is_of_names) {
            return Err(MethodSyntaxError);
        }
        Ok(Self(text.to_owned()))
    }
}

/// The text is not a method.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a method such as `GET`")]
pub struct MethodSyntaxError;

/// The URL of a request without query and fragment, otherwise as it was typed: how it is spelt may
/// be what is to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl(String);

impl FromStr for TargetUrl {
    type Err = TargetUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TargetUrlError::Characters);
        }
        let end = text.find(['?', '#']).unwrap_or(text.len());
        let target = text.get(..end).unwrap_or(text);
        let url: Uri = target.parse().map_err(|_| TargetUrlError::Form)?;
        let is_http = matches!(url.scheme_str(), Some("http" | "https"));
        let authority = url.authority().filter(|_| is_http);
        let authority = authority.ok_or(TargetUrlError::Form)?;
        if authority.as_str().contains('@') {
            return Err(TargetUrlError::User);
        }
        let is_number = authority.port_u16().is_some();
        let has_port = authority.as_str().len() > authority.host().len();
        if authority.host().is_empty() || (has_port && !is_number) {
            return Err(TargetUrlError::Form);
        }
        Ok(Self(target.to_owned()))
    }
}

/// Why a text is not the URL of a request.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetUrlError {
    /// Not the scheme of HTTP, a host, and a path.
    #[error("expected an absolute URL such as `https://api.example.com/orders`")]
    Form,
    /// A user, which no request is sent with.
    #[error("expected a URL without a user before its host")]
    User,
    /// White space, or characters beyond ASCII.
    #[error("expected a URL in ASCII without blanks; others are written as `%20` and the like")]
    Characters,
}

/// Why no proof was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The token could not be read.
    #[error("could not read the token from standard input")]
    Read(#[source] io::Error),
    /// What was given as the token is none (RFC 6750 section 2.1). It is not shown: most of it may
    /// be one.
    #[error("`--token`: expected a token, which has letters, digits and `-._~+/=` only")]
    NotAToken,
    /// Signing failed.
    #[error("could not sign the proof")]
    Sign(#[source] SignError),
}

#[cfg(test)]
mod tests;
