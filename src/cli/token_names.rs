//! The names in a token: what it could be revoked by.
//!
//! The token itself is never shown, not even in an error: on a screen or in a log, it could be
//! copied and used.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::authority::bare;
use crate::gate::{ClaimSource, NamingRules, check_request_of};
use crate::revocation::wire::{CheckRequest, Member, StatusReference};
use crate::revocation::{Kind, MAX_NAME_BYTES};
use crate::time::UnixTime;
use crate::token::{Claims, LARGEST_MAX_TOKEN_BYTES, TokenError, UnverifiedToken};

/// The names in a token that was not verified.
#[derive(Debug)]
pub struct TokenNames {
    claims: Claims,
    check: CheckRequest,
    status: Status,
    device_claim: Option<String>,
    sources: Vec<ClaimSource>,
}

/// What a token says of its status, which counts at providers that have `status_list: honour`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nothing.
    Absent,
    /// That this entry of a status list says it.
    Entry(StatusReference),
    /// Something that is no reference to a list.
    Unusable,
}

/// The name that one claim gives the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'n> {
    /// The member of a check that asks about it.
    pub member: Member,
    /// The claim.
    pub claim: &'n str,
    /// The name, or why there is none.
    pub value: Result<&'n str, Nameless>,
}

/// Why a claim cannot be used as a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nameless {
    /// It is missing or empty.
    Absent,
    /// It is not text, or too long.
    Unusable,
}

impl TokenNames {
    /// Reads the token in a file, or on standard input (`-`). What is often pasted with it is
    /// removed: white space and quotes around it, and `Bearer`, `DPoP` or the name of the header
    /// before it.
    ///
    /// # Errors
    ///
    /// [`TokenFileError`].
    pub fn read(
        path: &Path,
        device_claim: Option<&str>,
        claims: &[String],
    ) -> Result<Self, TokenFileError> {
        let text = if path.as_os_str() == "-" {
            text_of(io::stdin())
        } else {
            File::open(path).and_then(text_of)
        };
        let text = text.map_err(|source| match path.to_str() {
            Some(token) if looks_like_a_token(token) => TokenFileError::Typed,
            _ => TokenFileError::Read {
                path: path.to_owned(),
                source,
            },
        })?;
        Self::of(&text, device_claim, claims)
    }

    fn of(
        text: &str,
        device_claim: Option<&str>,
        claims: &[String],
    ) -> Result<Self, TokenFileError> {
        let token = bare(text).as_bytes();
        let token = UnverifiedToken::parse_up_to(LARGEST_MAX_TOKEN_BYTES, token)?;
        let sources: Vec<ClaimSource> = claims.iter().map(|name| ClaimSource::at(name)).collect();
        let claims = token.unverified_claims().clone();
        let rules = NamingRules {
            device_claim,
            claims: &sources,
            ..NamingRules::default()
        };
        let check = check_request_of(&claims, rules);
        let status = Status::of(&claims);
        if check.issuer.is_empty() {
            return Err(TokenFileError::Issuer);
        }
        Ok(Self {
            claims,
            check,
            status,
            device_claim: device_claim.map(str::to_owned),
            sources,
        })
    }

    /// Claim `iss`, which every name belongs to.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.check.issuer
    }

    /// Claim `exp`.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.claims.expires_at()
    }

    /// What an edge would ask the authority about this token: about every name that it has.
    #[must_use]
    pub const fn check(&self) -> &CheckRequest {
        &self.check
    }

    /// What it says of its status. The check asks nothing about that.
    #[must_use]
    pub const fn status(&self) -> &Status {
        &self.status
    }

    /// Every claim besides `iss` that names tokens, in the order in which they are looked up.
    #[must_use]
    pub fn all(&self) -> Vec<Name<'_>> {
        let check = &self.check;
        let device = self.device_claim.as_deref();
        let claims = [
            (Member::Jti, "jti", &check.jti),
            (Member::Sid, "sid", &check.sid),
            (Member::Device, device.unwrap_or_default(), &check.device),
            (Member::Subject, "sub", &check.subject),
            (Member::Client, "client_id", &check.client),
            (Member::Azp, "azp", &check.azp),
        ];
        let claims = claims.into_iter().filter(|(member, claim, name)| {
            let is_absent = name.is_none() && !self.is_unusable(claim);
            match member {
                Member::Device => device.is_some(),
                Member::Azp => !is_absent,
                _ => true,
            }
        });
        let named = claims.map(|(member, claim, name)| Name {
            member,
            claim,
            value: name.as_deref().ok_or(if self.is_unusable(claim) {
                Nameless::Unusable
            } else {
                Nameless::Absent
            }),
        });
        let listed = self.sources.iter().map(|source| {
            let found = check.claims.iter().find(|claim| claim.name == source.name);
            let is_there = self.claims.at(&source.path).is_some();
            Name {
                member: Member::Claim,
                claim: &source.name,
                value: found.map(|claim| claim.value.as_str()).ok_or(if is_there {
                    Nameless::Unusable
                } else {
                    Nameless::Absent
                }),
            }
        });
        named.chain(listed).collect()
    }

    /// The name of this kind; `None` for an issuer.
    ///
    /// # Errors
    ///
    /// [`TokenFileError::Name`], [`TokenFileError::DeviceClaim`].
    pub fn name(&self, kind: Kind) -> Result<Option<String>, TokenFileError> {
        if kind == Kind::Issuer {
            return Ok(None);
        }
        let names = self.all();
        let of_kind = || names.iter().filter(|name| name.member.kind() == kind);
        if let Some(value) = of_kind().find_map(|name| name.value.ok()) {
            return Ok(Some(value.to_owned()));
        }
        let first = of_kind().next().ok_or(TokenFileError::DeviceClaim)?;
        Err(TokenFileError::Name {
            claim: first.claim.to_owned(),
        })
    }

    /// Whether a claim is there that no revocation can name.
    fn is_unusable(&self, claim: &str) -> bool {
        let value = self.claims.get(claim);
        let is_name = |text: &str| text.len() <= MAX_NAME_BYTES;
        value.is_some_and(|value| !value.as_str().is_some_and(is_name))
    }
}

impl Status {
    /// What these claims say.
    #[must_use]
    pub fn of(claims: &Claims) -> Self {
        let rules = NamingRules {
            honours_status: true,
            ..NamingRules::default()
        };
        match check_request_of(claims, rules).status {
            Some(reference) => Self::Entry(reference),
            None if claims.get("status").is_some() => Self::Unusable,
            None => Self::Absent,
        }
    }
}

/// Enough for the longest token and what may surround it.
fn text_of(source: impl Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(MAX_TEXT_BYTES).read_to_string(&mut text)?;
    Ok(text)
}

/// The token that was typed as an argument, or, where that is `-`, the one on standard input; what
/// is often pasted with it is removed.
pub(super) fn typed_or_piped(argument: &str) -> io::Result<String> {
    Ok(bare(&pasted(argument)?).to_owned())
}

/// The same with what was pasted with it.
pub(super) fn pasted(argument: &str) -> io::Result<String> {
    match argument {
        "-" => text_of(io::stdin()),
        typed => Ok(typed.to_owned()),
    }
}

/// The scheme of `Authorization` that was pasted before a token.
pub(super) fn scheme_of(pasted: &str) -> Option<&str> {
    let before = pasted.split_once(bare(pasted)).map(|(before, _)| before)?;
    let mut words = before.split([' ', ':', '"', '\'']);
    words.find(|word| {
        ["bearer", "dpop"]
            .iter()
            .any(|it| word.eq_ignore_ascii_case(it))
    })
}

/// Whether a name of a file is the token itself.
fn looks_like_a_token(path: &str) -> bool {
    let path = bare(path);
    path.starts_with("eyJ") || (path.len() > 64 && path.matches('.').count() == 2)
}

/// Why there are no names.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// The token could not be read.
    #[error("could not read the token from `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The token itself was given where the name of its file belongs.
    #[error("expected the name of a file, found a token")]
    Typed,
    /// It is not a token.
    #[error("the gate would not accept the token")]
    Token(#[from] TokenError),
    /// It has no issuer, which every name needs.
    #[error("the token has no `iss`, and cannot be revoked by anything")]
    Issuer,
    /// It has no name of this kind.
    #[error("the token has no `{claim}` that a revocation could name")]
    Name {
        /// The claim.
        claim: String,
    },
    /// The claim that names the device is not known.
    #[error("expected `--device-claim`, as in `revocation.device_claim` of the filters")]
    DeviceClaim,
}

impl TokenFileError {
    /// The exit code of the process.
    #[must_use]
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Typed | Self::DeviceClaim => 2,
            _ => 10,
        }
    }

    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Typed => Some(
                "put the token into a file, or pipe it in and name `-`: what is typed can be read by \
                 every user of the machine",
            ),
            Self::Token(TokenError::Parts { .. }) => Some(
                "a token has three parts with dots between them; what an identity provider keeps to \
                 itself, such as an opaque or an encrypted token, has no names to read",
            ),
            _ => None,
        }
    }
}

/// Several times as long as any token that the gate takes, which says itself when one is too long.
const MAX_TEXT_BYTES: u64 = 256 * 1024;

#[cfg(test)]
mod tests;
