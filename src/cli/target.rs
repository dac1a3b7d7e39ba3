//! What is revoked, as it is typed: a kind and its names.

use clap::Subcommand;

use crate::revocation::Kind;

/// What is meant.
#[derive(Clone, Debug, Subcommand)]
pub enum Target {
    /// One token
    Token {
        /// Claim `jti`
        value: String,
        /// Claim `iss`
        #[arg(long, value_name = "URL")]
        issuer: String,
    },
    /// One session
    Session {
        /// Claim `sid`
        value: String,
        /// Claim `iss`
        #[arg(long, value_name = "URL")]
        issuer: String,
    },
    /// One device
    Device {
        /// The claim that the filters are configured with
        value: String,
        /// Claim `iss`
        #[arg(long, value_name = "URL")]
        issuer: String,
    },
    /// Everything a subject was issued before an instant: "sign out everywhere"
    Subject {
        /// Claim `sub`
        value: String,
        /// Claim `iss`
        #[arg(long, value_name = "URL")]
        issuer: String,
    },
    /// Everything a client was issued before an instant
    Client {
        /// Claim `client_id`
        value: String,
        /// Claim `iss`
        #[arg(long, value_name = "URL")]
        issuer: String,
    },
    /// Everything an issuer issued before an instant
    Issuer {
        /// Claim `iss`
        #[arg(value_name = "URL")]
        issuer: String,
    },
}

impl Target {
    /// Kind, issuer and value.
    #[must_use]
    pub fn parts(&self) -> (Kind, &str, Option<&str>) {
        match self {
            Self::Token { value, issuer } => (Kind::Token, issuer, Some(value)),
            Self::Session { value, issuer } => (Kind::Session, issuer, Some(value)),
            Self::Device { value, issuer } => (Kind::Device, issuer, Some(value)),
            Self::Subject { value, issuer } => (Kind::Subject, issuer, Some(value)),
            Self::Client { value, issuer } => (Kind::Client, issuer, Some(value)),
            Self::Issuer { issuer } => (Kind::Issuer, issuer, None),
        }
    }
}
