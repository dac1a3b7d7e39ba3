//! The target of a command as it is typed: its kind, its name and its issuer. Every command takes
//! its target in this form.

use std::path::PathBuf;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use super::token_names::{TokenFileError, TokenNames};
use crate::revocation::Kind;
use crate::revocation::wire::ClaimName;

/// The target within its kind.
#[derive(Clone, Debug, Default, Args)]
// Its name would be that of the command's own arguments, which clap takes for one group.
#[group(skip)]
pub struct Names {
    /// Its name: claim `jti`, `sid`, `sub` or `client_id`, or the device; none for `issuer`. For `claim`,
    /// that of the claim. One that is an option too, such as `-h`, stands behind `--`
    #[arg(value_name = "NAME", allow_hyphen_values = true)]
    pub name: Option<String>,
    /// For `claim`: its value
    #[arg(value_name = "VALUE", allow_hyphen_values = true, requires = "name")]
    pub value: Option<String>,
    /// For `subject`: only at this client, its `client_id` or `azp`
    #[arg(long, value_name = "CLIENT")]
    pub client: Option<String>,
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
    /// A claim of the token that it can be revoked by, as in `revocation.claims` of the filters; `.` leads
    /// into an object. May be given several times
    #[arg(long = "claim", value_name = "CLAIM", requires = "from_token")]
    pub claims: Vec<String>,
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
    /// The claim whose value it is.
    pub claim: Option<String>,
    /// The client at which the subject is meant.
    pub client: Option<String>,
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
        let kind = self.kind(kind)?;
        if kind == Kind::SubjectAndClient && self.client.is_none() {
            return Err(TargetError::Client);
        }
        if kind == Kind::Claim {
            return self.claim();
        }
        let target = |issuer, value, token| Target {
            kind,
            issuer,
            value,
            claim: None,
            client: self.client.clone(),
            token,
        };
        if let Some(token) = self.token()? {
            let value = token.name(match kind {
                Kind::SubjectAndClient => Kind::Subject,
                kind => kind,
            })?;
            return Ok(target(token.issuer().to_owned(), value, Some(token)));
        }
        if self.name.is_none() && kind != Kind::Issuer {
            return Err(TargetError::Name(kind));
        }
        let issuer = self.issuer.clone().ok_or(TargetError::Issuer)?;
        Ok(target(issuer, self.name.clone(), None))
    }

    /// The kind, of a subject also at one client. What is missing is not looked at: a search may do
    /// without.
    ///
    /// # Errors
    ///
    /// [`TargetError`], where something is there that a target of this kind does not have.
    pub fn kind(&self, kind: Kind) -> Result<Kind, TargetError> {
        let kind = match (kind, &self.client) {
            (Kind::Subject | Kind::SubjectAndClient, Some(_)) => Kind::SubjectAndClient,
            (_, Some(_)) => return Err(TargetError::Client),
            (kind, None) => kind,
        };
        match kind {
            // Which of a token's claims is meant has to be typed.
            Kind::Claim if self.from_token.is_some() => Err(TargetError::Claim),
            Kind::Claim => Ok(kind),
            _ if self.value.is_some() => Err(TargetError::Value),
            Kind::Issuer if self.name.is_some() => Err(TargetError::NameOfIssuer),
            _ => Ok(kind),
        }
    }

    /// A claim is typed, since a token has many.
    fn claim(&self) -> Result<Target, TargetError> {
        let (Some(claim), Some(value)) = (&self.name, &self.value) else {
            return Err(TargetError::Claim);
        };
        Ok(Target {
            kind: Kind::Claim,
            issuer: self.issuer.clone().ok_or(TargetError::Issuer)?,
            value: Some(value.clone()),
            claim: Some(claim.clone()),
            client: None,
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
        let device_claim = self.device_claim.as_deref();
        let token = file.map(|file| TokenNames::read(file, device_claim, &self.claims));
        Ok(token.transpose()?)
    }
}

impl Target {
    /// The claim, as a check asks about it.
    #[must_use]
    pub fn claim_to_check(&self) -> Option<ClaimName> {
        Some(ClaimName {
            name: self.claim.clone()?,
            value: self.value.clone()?,
        })
    }

    /// The target in words, if it was taken from a token and not typed.
    #[must_use]
    pub fn taken_from_token(&self) -> Option<String> {
        self.token.as_ref()?;
        let (kind, issuer) = (self.kind.name(), &self.issuer);
        Some(match (&self.value, &self.client) {
            (Some(value), Some(client)) => format!("subject {value} at {client} of {issuer}"),
            (Some(value), None) => format!("{kind} {value} of {issuer}"),
            (None, _) => format!("{kind} {issuer}"),
        })
    }
}

/// Why the target is not known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The kind is missing.
    #[error("expected one of `token`, `session`, `device`, `subject`, `client`, `issuer`, `claim`")]
    Kind,
    /// A second name where one is enough.
    #[error("expected one name, found two: only a `claim` has a name and a value")]
    Value,
    /// A claim without its value.
    #[error("expected the name of a claim and its value")]
    Claim,
    /// A client where none belongs, or none where one does.
    #[error("expected `--client` with `subject`, and with nothing else")]
    Client,
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
            Self::Claim => Some("they stand behind the kind: `claim tenant acme --issuer ISSUER`"),
            Self::Client => Some(
                "write `subject ID --client CLIENT` for one subject at one client, or `client CLIENT` for all \
                 of a client",
            ),
            Self::NameOfIssuer => Some("write `issuer --issuer ISSUER`"),
            Self::Token(error) => error.hint(),
            Self::Kind | Self::Value => None,
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
            Self::Claim => "everything with a claim of this value issued before an instant",
            Self::SubjectAndClient => "everything a subject was issued at one `--client`",
        }))
    }
}
