//! What is revoked, as it is typed: a kind and its names.

use clap::Subcommand;

use crate::authority::request::KindName;

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
    pub fn parts(&self) -> (KindName, &str, Option<&str>) {
        match self {
            Self::Token { value, issuer } => (KindName::Token, issuer, Some(value)),
            Self::Session { value, issuer } => (KindName::Session, issuer, Some(value)),
            Self::Device { value, issuer } => (KindName::Device, issuer, Some(value)),
            Self::Subject { value, issuer } => (KindName::Subject, issuer, Some(value)),
            Self::Client { value, issuer } => (KindName::Client, issuer, Some(value)),
            Self::Issuer { issuer } => (KindName::Issuer, issuer, None),
        }
    }
}
