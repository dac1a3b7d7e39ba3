//! `portcullis mint`: a signed token with any claims.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use serde_json::{Map, Value, json};

use super::instant::Instant;
use super::key_file::KeyFileError;
use super::time_offset::{TimeOffset, TimeOffsetError};
use super::{CommandError, key_file};
use crate::signer::{KeyError, SignError, Signer};
use crate::time::UnixTime;
use crate::token::thumbprint;

/// The claim that binds a token to a key (RFC 7800).
const BINDING: &str = "cnf";

/// The arguments of `portcullis mint`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The private JWK file to sign with
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// Claim `iss`
    #[arg(long, value_name = "TEXT")]
    pub issuer: Option<String>,
    /// Claim `sub`
    #[arg(long, value_name = "TEXT")]
    pub subject: Option<String>,
    /// Claim `aud`; when repeated, a list
    #[arg(long = "audience", value_name = "TEXT")]
    pub audiences: Vec<String>,
    /// Claim `sid`
    #[arg(long, value_name = "TEXT")]
    pub session: Option<String>,
    /// Claim `scope`
    #[arg(long, value_name = "TEXT")]
    pub scope: Option<String>,
    /// Claim `client_id`
    #[arg(long, value_name = "TEXT")]
    pub client: Option<String>,
    /// Claim `exp`, counted from now: `15m`, `1h`, `-1h` (expired), or `never` to leave it out
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "15m",
        allow_hyphen_values = true
    )]
    pub expires_in: Expiration,
    /// Claim `exp` as an instant: `2026-12-01T18:00:00Z`
    #[arg(long, value_name = "TIME", conflicts_with = "expires_in")]
    pub expires_at: Option<Instant>,
    /// Claim `nbf`, counted from now
    #[arg(long, value_name = "DURATION", allow_hyphen_values = true)]
    pub not_before_in: Option<TimeOffset>,
    /// Claim `nbf` as an instant: `2026-12-01T18:00:00Z`
    #[arg(long, value_name = "TIME", conflicts_with = "not_before_in")]
    pub not_before: Option<Instant>,
    /// Claim `cnf`, which binds the token to the private JWK in a file: a request with it needs a
    /// proof by that key (DPoP), as `portcullis proof` prints them
    #[arg(long, value_name = "FILE")]
    pub dpop_key: Option<PathBuf>,
    /// `kid` in the header [default: the key's own]
    #[arg(long, value_name = "ID")]
    pub key_id: Option<String>,
    /// `typ` in the header
    #[arg(long = "type", value_name = "TYPE", default_value = "JWT")]
    pub token_type: String,
    /// Any other claim, or another value for one of the above; JSON, else a string
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    pub claims: Vec<Claim>,
}

/// Signs one token and writes it to `output`, on one line.
///
/// # Errors
///
/// [`CommandError::KeyFile`] and [`CommandError::Mint`].
pub fn run(
    arguments: &Arguments,
    now: SystemTime,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let now = unix_time(now)?;
    let token_id = random_token_id()?;
    let thumbprint = thumbprint_of_holder(arguments)?;
    let claims = claims(arguments, now, &token_id, thumbprint.as_deref())?;
    let signer = key_file::read(&arguments.key)?;
    let token = signer
        .sign_token(&header(arguments, &signer), &claims)
        .map_err(MintError::Sign)?;
    writeln!(output, "{token}").map_err(CommandError::Output)
}

/// The token's header: `alg`, `typ`, and `kid` if there is one.
fn header(arguments: &Arguments, signer: &Signer) -> Value {
    let mut header = Map::new();
    header.insert("alg".to_owned(), signer.algorithm_name().into());
    header.insert("typ".to_owned(), arguments.token_type.as_str().into());
    if let Some(key_id) = arguments.key_id.as_deref().or(signer.key_id()) {
        header.insert("kid".to_owned(), key_id.into());
    }
    Value::Object(header)
}

/// The thumbprint of the key that the token is bound to.
fn thumbprint_of_holder(arguments: &Arguments) -> Result<Option<String>, CommandError> {
    let Some(path) = &arguments.dpop_key else {
        return Ok(None);
    };
    // Either of them may be meant: a token that is bound to the other would mislead.
    if arguments.claims.iter().any(|claim| claim.name == BINDING) {
        return Err(MintError::TwoBindings.into());
    }
    let thumbprint = thumbprint(&key_file::read(path)?.public_jwk());
    let thumbprint = thumbprint.ok_or_else(|| KeyFileError::Invalid {
        path: path.clone(),
        source: KeyError::UnsupportedKeyType,
    });
    Ok(thumbprint.map(Some)?)
}

/// The token's claims. `--claim` comes last and therefore wins.
fn claims(
    arguments: &Arguments,
    now: UnixTime,
    token_id: &str,
    thumbprint: Option<&str>,
) -> Result<Value, MintError> {
    let text = |argument: &Option<String>| argument.as_deref().map(Value::from);
    let time = |offset: TimeOffset| Value::from(offset.counted_from(now));
    let instant = |instant: Instant| Value::from(instant.seconds());
    let expires_at = arguments.expires_at.map(instant);
    let not_before = arguments.not_before.map(instant);
    let named = [
        ("iss", text(&arguments.issuer)),
        ("sub", text(&arguments.subject)),
        ("aud", audience(&arguments.audiences)),
        ("sid", text(&arguments.session)),
        ("scope", text(&arguments.scope)),
        ("client_id", text(&arguments.client)),
        ("jti", Some(token_id.into())),
        ("iat", Some(now.seconds().into())),
        ("nbf", not_before.or(arguments.not_before_in.map(time))),
        (
            "exp",
            expires_at.or(arguments.expires_in.offset().map(time)),
        ),
        (BINDING, thumbprint.map(|text| json!({ "jkt": text }))),
    ];
    let mut claims = present(named);
    let mut typed = HashSet::new();
    for Claim { name, value } in &arguments.claims {
        if !typed.insert(name) {
            return Err(MintError::RepeatedClaim { name: name.clone() });
        }
        claims.insert(name.clone(), value.clone());
    }
    Ok(Value::Object(claims))
}

/// Those of these claims that have a value.
pub(super) fn present<const N: usize>(named: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let present = |(name, value): (&str, Option<Value>)| Some((name.to_owned(), value?));
    named.into_iter().filter_map(present).collect()
}

/// A single audience is a plain string, as RFC 7519 section 4.1.3 allows and most issuers do.
fn audience(audiences: &[String]) -> Option<Value> {
    match audiences {
        [] => None,
        [audience] => Some(audience.as_str().into()),
        audiences => Some(audiences.into()),
    }
}

/// When a token expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiration {
    /// This much later than now, or earlier.
    After(TimeOffset),
    /// The token has no `exp`.
    Never,
}

impl Expiration {
    fn offset(self) -> Option<TimeOffset> {
        match self {
            Self::After(offset) => Some(offset),
            Self::Never => None,
        }
    }
}

impl FromStr for Expiration {
    type Err = TimeOffsetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "never" => Ok(Self::Never),
            _ => text.parse().map(Self::After),
        }
    }
}

/// One claim as it is typed: `name=value`.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The claim's name, never empty.
    pub name: String,
    /// Its value.
    pub value: Value,
}

impl FromStr for Claim {
    type Err = ClaimSyntaxError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            None | Some(("", _)) => Err(ClaimSyntaxError),
            Some((name, value)) => Ok(Self {
                name: name.to_owned(),
                value: serde_json::from_str(value).unwrap_or_else(|_| value.into()),
            }),
        }
    }
}

/// The text is not a claim.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `NAME=VALUE`")]
pub struct ClaimSyntaxError;

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MintError {
    /// `--claim` was given twice for one name, and JSON has no meaning for that.
    #[error("expected one `--claim` for each name, found two for `{name}`")]
    RepeatedClaim {
        /// The claim's name.
        name: String,
    },
    /// What the token is bound to was given in two ways.
    #[error("expected `--dpop-key` or `--claim cnf=…`, found both")]
    TwoBindings,
    /// The clock stands before 1970 or after 9999.
    #[error("the system's clock is set to an impossible time")]
    Clock,
    /// The system has no randomness for the token's id.
    #[error("could not make a random token id")]
    Random(#[source] getrandom::Error),
    /// Signing failed.
    #[error("could not sign the token")]
    Sign(#[source] SignError),
}

pub(super) fn unix_time(now: SystemTime) -> Result<UnixTime, MintError> {
    let since_epoch = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_err(|_| MintError::Clock)?;
    UnixTime::from_seconds(since_epoch.as_secs()).ok_or(MintError::Clock)
}

/// 128 random bits: ids do not repeat and cannot be guessed.
pub(super) fn random_token_id() -> Result<String, MintError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(MintError::Random)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests;
