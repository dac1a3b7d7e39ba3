//! The target of a command as it is typed: its kind, its name and its issuer. Every command takes
//! its target in this form.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::token_names::{TokenFileError, TokenNames};
use crate::revocation::Kind;

/// The target within its kind.
#[derive(Clone, Debug, Default, Args)]
// Its name would be that of the command's own arguments, which clap takes for one group.
#[group(skip)]
pub struct Names {
    /// Its name: claim `jti`, `sid`, `sub` or `client_id`, or the device; none for `issuer`. One that
    /// is an option too, such as `-h`, stands behind `--`
    #[arg(value_name = "NAME", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// Whose name it is: claim `iss`
    #[arg(long, value_name = "ISSUER")]
    pub issuer: Option<String>,
    /// Take issuer and name from the token in this file, or from standard input (`-`). Whether
    /// the token is genuine is not checked
    #[arg(
        long,
        visible_alias = "token",
        value_name = "FILE",
        conflicts_with_all = ["name", "issuer"]
    )]
    pub from_token: Option<PathBuf>,
    /// The claim of the token that names the device, as `device_claim` of the filters
    #[arg(long, value_name = "CLAIM", requires = "from_token")]
    pub device_claim: Option<String>,
}

/// A whole target.
#[derive(Debug)]
pub struct Target {
    /// Its kind.
    pub kind: Kind,
    /// The issuer that gave out the name.
    pub issuer: String,
    /// The name; `None` for an issuer.
    pub value: Option<String>,
    /// The token that the names were taken from.
    pub token: Option<TokenNames>,
}

impl Names {
    /// The target, of this kind.
    ///
    /// # Errors
    ///
    /// [`TargetError`].
    pub fn target(&self, kind: Kind) -> Result<Target, TargetError> {
        if let Some(token) = self.token()? {
            return Ok(Target {
                kind,
                issuer: token.issuer().to_owned(),
                value: token.name(kind)?,
                token: Some(token),
            });
        }
        match (&self.name, kind) {
            (Some(_), Kind::Issuer) => return Err(TargetError::NameOfIssuer),
            (None, kind) if kind != Kind::Issuer => return Err(TargetError::Name(kind)),
            _ => {}
        }
        Ok(Target {
            kind,
            issuer: self.issuer.clone().ok_or(TargetError::Issuer)?,
            value: self.name.clone(),
            token: None,
        })
    }

    /// The token that names are to be taken from.
    ///
    /// # Errors
    ///
    /// [`TargetError::Token`].
    pub fn token(&self) -> Result<Option<TokenNames>, TargetError> {
        let file = self.from_token.as_deref();
        let token = file.map(|file| TokenNames::read(file, self.device_claim.as_deref()));
        Ok(token.transpose()?)
    }
}

impl Target {
    /// The target in words, if it was taken from a token and not typed.
    #[must_use]
    pub fn taken_from_token(&self) -> Option<String> {
        self.token.as_ref()?;
        let (kind, issuer) = (self.kind.name(), &self.issuer);
        Some(match &self.value {
            Some(value) => format!("{kind} {value} of {issuer}"),
            None => format!("{kind} {issuer}"),
        })
    }
}

/// Why the target is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The kind is missing.
    #[error("expected one of `token`, `session`, `device`, `subject`, `client`, `issuer`")]
    Kind,
    /// No name.
    #[error("expected the name of a {}, found none", .0.name())]
    Name(Kind),
    /// An issuer is named by `--issuer`, as the issuer of everything else is.
    #[error("expected no name of an `issuer` but the one in `--issuer`")]
    NameOfIssuer,
    /// No issuer.
    #[error("expected `--issuer`, found none")]
    Issuer,
    /// A token that the names were to be taken from.
    #[error(transparent)]
    Token(#[from] TokenFileError),
}

impl TargetError {
    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Name(_) => Some(
                "it stands behind the kind: `session ID --issuer ISSUER`; or take it from a token \
                 with `--from-token`",
            ),
            Self::Issuer => Some(
                "name the issuer as it stands in the claim `iss` of its tokens, or take it from \
                 one with `--from-token`",
            ),
            Self::NameOfIssuer => Some("write `issuer --issuer ISSUER`"),
            Self::Token(error) => error.hint(),
            Self::Kind => None,
        }
    }
}

// By hand, so that the revocations know nothing of the command line.
impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(match self {
            Self::Token => "one token, by its `jti`",
            Self::Session => "one session, by its `sid`",
            Self::Device => "one device, by the claim that the filters are configured with",
            Self::Subject => {
                "everything a subject was issued before an instant: \"sign out everywhere\""
            }
            Self::Client => "everything a client was issued before an instant",
            Self::Issuer => "everything an issuer issued before an instant",
        }))
    }
}
